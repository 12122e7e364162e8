"""Measure speed and strength of attacks against a plain loop, Foolbox, torchattacks and pyautoattack, in one run.

    pip install --no-deps torchattacks pyautoattack
    python benchmarks/attacks.py --path FOLDER/tiny-imagenet-200 --weights vit_tiny.safetensors

All attack the same ViT-Ti/16 with its own ImageNet head, whose first layers resize and normalize, on the same images of
64 pixels with the same epsilon and steps (Linf PGD, 10 steps of epsilon/4 from a random start). They take turns, batch
by batch, so that other load of the machine affects all. Ours is what `doublevit evaluate` does with a batch: attack,
check that the images are in ball and box, predict again. The peers are called as their documentation says.
"""

import dataclasses
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import tyro

from doublevit import data
from doublevit.attacks.catalogue import parts_of
from doublevit.attacks.config import AttackConfig
from doublevit.attacks.foolbox_attack import import_foolbox
from doublevit.attacks.foolbox_hyperparameters import Pgd
from doublevit.attacks.hyperparameters import Hyperparameters
from doublevit.attacks.interface import Samples
from doublevit.attacks.make import make_attack
from doublevit.attacks.victim import frozen
from doublevit.evaluators.attacks.plan import Stage
from doublevit.evaluators.attacks.runner import Target, attack_batch
from doublevit.evaluators.attacks.sanity_checks import clean_predictions
from doublevit.models.classifier import Classifier, build
from doublevit.recipes import get_recipe
from doublevit.runs.predictions import Predictions
from doublevit.statistics import bootstrap

STEPS, RELATIVE_STEP = 10, 0.25
SIX = tuple(levels / 255 for levels in (0.25, 0.5, 1, 2, 4, 8))
PGD = Hyperparameters(pgd=Pgd(STEPS, RELATIVE_STEP))


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    path: Path
    """Unpacked Tiny ImageNet, or its zip."""
    weights: Path
    """Weights of ViT-Ti/16, pretrained on ImageNet."""
    images: int = 500
    """Images for a single epsilon."""
    images_of_six: int = 96
    """Images for six epsilons, for which Foolbox makes six runs."""
    autoattack_images: int = 0
    """Images for AutoAttack (200 take half an hour on two cores)."""
    epsilon: float = 0.5 / 255
    """Epsilon of the first comparison."""
    epsilon_of_autoattack: float = 1 / 255
    """Epsilon of AutoAttack."""
    batch: int = 32
    """Images in a batch."""
    cache: Path = data.DataConfig().cache
    """Folder of the decoded data set."""


Attack = Callable[[Samples], torch.Tensor]
"""Correctly recognized images -> perturbed images."""


def plain_loop(model: Classifier, epsilon: float) -> Attack:
    """Return PGD as a loop written by hand."""

    def run(samples: Samples) -> torch.Tensor:
        clean = samples.images
        images = (clean + torch.empty_like(clean).uniform_(-epsilon, epsilon)).clamp(0, 1)
        for _ in range(STEPS):
            images.requires_grad_()
            (gradient,) = torch.autograd.grad(F.cross_entropy(model(images), samples.labels), images)
            images = images.detach() + RELATIVE_STEP * epsilon * gradient.sign()
            images = torch.maximum(torch.minimum(images, clean + epsilon), clean - epsilon).clamp(0, 1)
        return images

    return run


def foolbox_pgd(model: Classifier, epsilons: Sequence[float]) -> Callable[[Samples], list[torch.Tensor]]:
    """Return Foolbox's PGD, called directly."""
    foolbox = import_foolbox()
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(steps=STEPS, rel_stepsize=RELATIVE_STEP)
    return lambda samples: attack(wrapped, samples.images, samples.labels, epsilons=list(epsilons))[1]


def torchattacks_pgd(model: Classifier, epsilon: float) -> Attack:
    """Return torchattacks' PGD, called directly."""
    import torchattacks

    attack = torchattacks.PGD(model, eps=epsilon, alpha=RELATIVE_STEP * epsilon, steps=STEPS, random_start=True)
    return lambda samples: attack(samples.images, samples.labels)


def ours(target: Target, clean: Predictions, epsilons: Sequence[float]) -> Callable[[np.ndarray], np.ndarray]:
    """Return our PGD: indices of images -> the smallest epsilon that broke each, infinite if robust."""
    attack = make_attack("pgd", "linf", PGD)

    def run(indices: np.ndarray) -> np.ndarray:
        min_epsilon = np.full(len(indices), np.inf)
        with frozen(target.victim):
            for epsilon in epsilons:
                unbroken = np.flatnonzero(min_epsilon > epsilon)
                stage = Stage("pgd", "pgd", (epsilon,), 1)
                outcome, _ = attack_batch(target, attack, stage, 0, indices[unbroken], clean)
                min_epsilon[unbroken] = outcome.min_epsilon
        return min_epsilon

    return run


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Return the seconds that `work` took, and its result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def robust(target: Target, images: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """Return which images are recognized, bool (B,)."""
    return (target.victim.predict(images).argmax(dim=1) == labels).numpy()


def one_epsilon(options: Options, target: Target, model: Classifier, clean: Predictions) -> None:
    """Attack the images that are recognized by all in turn, at one epsilon."""
    right = np.flatnonzero(clean.correct(1))
    batches = np.array_split(right, -(-len(right) // options.batch))
    foolbox = foolbox_pgd(model, [options.epsilon])
    peers: dict[str, Attack] = {
        "plain loop": plain_loop(model, options.epsilon),
        "foolbox": lambda samples: foolbox(samples)[0],
        "torchattacks": torchattacks_pgd(model, options.epsilon),
    }
    attack = ours(target, clean, [options.epsilon])
    seconds: dict[str, list[float]] = {name: [] for name in ("ours", *peers)}
    robust_by: dict[str, list[np.ndarray]] = {name: [] for name in ("ours", *peers)}
    for indices in batches:
        samples = target.samples(indices)
        took, min_epsilon = timed(lambda indices=indices: attack(indices))
        seconds["ours"].append(took)
        robust_by["ours"].append(np.isinf(min_epsilon))
        for name, peer in peers.items():
            took, images = timed(lambda peer=peer, samples=samples: peer(samples))
            seconds[name].append(took)
            robust_by[name].append(robust(target, images.detach(), samples.labels))
    size = f"{options.epsilon * 255:g}/255"
    print(f"one epsilon, {size}, {len(right)} right of {options.images} images, {len(batches)} turns")
    for name in peers:
        report(name, seconds["ours"], seconds[name])
        compare(name, len(clean.labels), np.concatenate(robust_by["ours"]), np.concatenate(robust_by[name]))


def report(name: str, ours: list[float], theirs: list[float]) -> None:
    """Print the ratio of our time to a peer's: median and quartiles over the turns."""
    ratios = [our_time / peer_time for our_time, peer_time in zip(ours, theirs, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    print(
        f"  ours {sum(ours):.0f} s, {name} {sum(theirs):.0f} s; ratio {middle:.2f} (quartiles {low:.2f} to {high:.2f})"
    )


def compare(name: str, count: int, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Print robust accuracies over `count` images, and the difference with its paired 95 % interval."""
    padded = np.zeros((2, count))
    padded[0, : len(ours)], padded[1, : len(theirs)] = ours, theirs
    estimate = bootstrap([padded], lambda means: means[:, 0] - means[:, 1])
    print(
        f"  robust accuracy: ours {padded[0].mean():.2%}, {name} {padded[1].mean():.2%};"
        f" difference {estimate.value:+.2%} ({estimate.low:+.2%} to {estimate.high:+.2%})"
    )


def six_epsilons(options: Options, target: Target, model: Classifier, clean: Predictions) -> None:
    """Attack images at six epsilons; ours skips images that are wrong or broken, Foolbox attacks all at each."""
    indices = np.arange(options.images_of_six)
    attack, foolbox = ours(target, clean, SIX), foolbox_pgd(model, SIX)
    seconds: tuple[list[float], list[float]] = ([], [])
    counts = np.zeros((2, len(SIX)))
    for batch in np.array_split(indices, -(-len(indices) // options.batch)):
        right = batch[clean.correct(1)[batch]]
        took, min_epsilon = timed(lambda right=right: attack(right))
        seconds[0].append(took)
        counts[0] += [(min_epsilon > epsilon).sum() for epsilon in SIX]
        samples = target.samples(batch)
        took, images = timed(lambda samples=samples: foolbox(samples))
        seconds[1].append(took)
        counts[1] += [robust(target, part.detach(), samples.labels).sum() for part in images]
    print(f"six epsilons, {len(indices)} images")
    report("foolbox", *seconds)
    for epsilon, our, other in zip(SIX, *(counts / len(indices)), strict=True):
        print(f"  {epsilon * 255:g}/255: ours {our:.1%}, foolbox {other:.1%}")


def autoattack(options: Options, target: Target, clean: Predictions) -> None:
    """Compare our standard AutoAttack with pyautoattack's."""
    from pyautoattack import AutoAttack

    epsilon, right = options.epsilon_of_autoattack, np.flatnonzero(clean.correct(1)[: options.autoattack_images])
    left, start = right, time.perf_counter()
    with frozen(target.victim):
        for part in parts_of("autoattack"):
            attack, stage = make_attack(part, "linf", Hyperparameters()), Stage(part, "autoattack", (epsilon,), 1)
            batches = [left[begin : begin + options.batch] for begin in range(0, len(left), options.batch)]
            outcomes = [attack_batch(target, attack, stage, 0, batch, clean)[0] for batch in batches]
            left = np.concatenate([outcome.indices[np.isinf(outcome.min_epsilon)] for outcome in outcomes] or [left])
            print(f"  {part}: {len(left)} of {options.autoattack_images} robust, {time.perf_counter() - start:.0f} s")
    samples, start = target.samples(right), time.perf_counter()
    peer = AutoAttack(target.victim, norm="Linf", eps=epsilon, version="standard", device="cpu", seed=0, verbose=False)
    images = peer.run_standard_evaluation(samples.images, samples.labels, bs=options.batch)
    print(f"  pyautoattack: {time.perf_counter() - start:.0f} s")
    compare("pyautoattack", options.autoattack_images, np.isin(right, left), robust(target, images, samples.labels))


def main() -> None:
    """Run all comparisons and print the results."""
    options = tyro.cli(Options, description=__doc__)
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    recipe = get_recipe("pretrained-vit-ti")
    config = dataclasses.replace(recipe.data, path=options.path, cache=options.cache)
    images = data.load(config)["val"].stratified(options.images)
    model = build(dataclasses.replace(recipe.model, weights=str(options.weights)), images.class_ids).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(True)  # as in a new network; ours freezes them itself
    target = Target.of(model, images, AttackConfig(("pgd",), parameters=PGD), 0)
    clean = clean_predictions(target, 100)
    print(f"{torch.get_num_threads()} threads; clean accuracy {clean.correct(1).mean():.1%}")
    one_epsilon(options, target, model, clean)
    six_epsilons(options, target, model, clean)
    if options.autoattack_images:
        autoattack(options, target, clean)


if __name__ == "__main__":
    main()
