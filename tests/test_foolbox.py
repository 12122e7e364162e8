"""Foolbox's attacks by name: complete, inside ball and box, repeatable, and Foolbox's own to the digit."""

import dataclasses
import inspect
import logging
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from doublevit.attacks.balls import norm_of, project, require_inside
from doublevit.attacks.catalogue import FOOLBOX_ATTACKS, repeatable
from doublevit.attacks.config import LEFT_OUT
from doublevit.attacks.draws import AttackDraws
from doublevit.attacks.foolbox_attack import foolbox_arguments, import_foolbox, make_foolbox, seeded
from doublevit.attacks.foolbox_hyperparameters import (
    BlendedNoise,
    Boundary,
    CarliniWagner,
    ElasticNet,
    GaussianBlur,
    HopSkipJump,
    Noise,
    Pgd,
    SaltAndPepper,
    Spatial,
)
from doublevit.attacks.hyperparameters import LIMITS, Hyperparameters
from doublevit.attacks.interface import Samples
from doublevit.attacks.victim import Victim
from doublevit.errors import UserError

foolbox = import_foolbox()

QUICK = Hyperparameters(
    cw=CarliniWagner(binary_search_steps=3, steps=60, step=0.1, initial_constant=1.0),
    ead=ElasticNet(binary_search_steps=4, steps=100, initial_constant=0.1),
    hopskipjump=HopSkipJump(steps=3, initial_queries=40),
    boundary=Boundary(steps=300, spherical_step=0.1, source_step=0.1),
    gaussian_noise=Noise(repeats=10),
    uniform_noise=Noise(repeats=10),
    salt_and_pepper=SaltAndPepper(steps=100),
    blended_noise=BlendedNoise(directions=50, steps=50),
    gaussian_blur=GaussianBlur(steps=20),
)
SMALL_AND_LARGE = {"linf": (0.02, 0.4), "l2": (0.1, 5.0), "l1": (1.0, 60.0)}
PAIRS = [(name, norm) for name, spec in FOOLBOX_ATTACKS.items() for norm in spec.norms or (None,)]


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    images = torch.tensor(values / 16, dtype=torch.float32).view(-1, 1, 8, 8).repeat(1, 3, 1, 1)
    return images, torch.tensor(labels)


@pytest.fixture(scope="module")
def victim(digits: tuple[torch.Tensor, torch.Tensor]) -> Victim:
    """A small network for digits, trained for a second."""
    images, labels = digits
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Flatten(),
            nn.Linear(256, 10),
        )
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        for _ in range(150):
            chosen = torch.randint(0, 1500, (64,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[chosen]), labels[chosen]).backward()
            optimizer.step()
        optimizer.zero_grad()
    return Victim(network.eval())


@pytest.fixture(scope="module")
def samples(victim: Victim, digits: tuple[torch.Tensor, torch.Tensor]) -> Samples:
    """A dozen that are classified rightly."""
    images, labels = digits[0][1500:], digits[1][1500:]
    indices = (victim.predict(images).argmax(1) == labels).nonzero()[:12, 0]
    return Samples(images[indices], labels[indices], AttackDraws(3, indices.numpy()))


def fooled(victim: Victim, images: torch.Tensor, samples: Samples) -> torch.Tensor:
    return victim.predict(images).argmax(1) != samples.labels


def test_every_class_of_foolbox_has_a_name_or_a_reason() -> None:
    there = {item.__name__ for item in vars(foolbox.attacks).values() if inspect.isclass(item)}
    named = {name for spec in FOOLBOX_ATTACKS.values() for name in spec.class_names}
    assert named | set(LEFT_OUT) == there
    assert not named & set(LEFT_OUT)
    assert all(len(spec.class_names) in (1, len(spec.norms)) for spec in FOOLBOX_ATTACKS.values())


OTHER_DEFAULTS = {
    ("paper", "steps"): (40, 10),
    ("vat", "steps"): (inspect.Parameter.empty, 10),
    ("vat", "xi"): (1e-6, 1.0),
    ("cw", "steps"): (10_000, 500),
    ("ead", "steps"): (10_000, 200),
    ("hopskipjump", "steps"): (64, 32),
    ("boundary", "steps"): (25_000, 5000),
    ("gaussian-blur", "steps"): (1000, 100),
}


@pytest.mark.parametrize(("name", "norm"), PAIRS)
def test_defaults_are_those_of_foolbox(name: str, norm: str | None) -> None:
    attack = make_foolbox(name, norm, Hyperparameters())
    known = inspect.signature(getattr(foolbox.attacks, attack.class_name).__init__).parameters
    for argument, value in attack.arguments.items():
        default = known[argument].default
        if (name, argument) in OTHER_DEFAULTS:
            assert (default, value) == OTHER_DEFAULTS[name, argument]
        elif argument != "constraint":
            assert value == default, argument


def test_knobs_have_limits_and_errors_name_the_flag() -> None:
    for name in FOOLBOX_ATTACKS:
        for knob, value in Hyperparameters().of(name).items():
            assert isinstance(value, bool) or knob in LIMITS, knob
    with pytest.raises(UserError, match=r"`attack.adam_pgd.relative_step`: expected .*, found 0"):
        Hyperparameters(adam_pgd=Pgd(relative_step=0))
    with pytest.raises(UserError, match=r"`attack.cw.binary_search_steps`: expected 1 to 100, found -1"):
        Hyperparameters(cw=CarliniWagner(binary_search_steps=-1))
    with pytest.raises(UserError, match="did you mean deepfool"):
        make_foolbox("deep-fool", "l2", Hyperparameters())
    with pytest.raises(UserError, match=r"`attack.norm`: expected linf or l2 for deepfool, found l1"):
        make_foolbox("deepfool", "l1", Hyperparameters())
    with pytest.raises(UserError, match=r"`attack.norm`: expected none for spatial, found l2"):
        make_foolbox("spatial", "l2", Hyperparameters())


def test_knobs_reach_foolbox() -> None:
    pgd = Pgd(steps=7, relative_step=0.3, random_start=False)
    parameters = Hyperparameters(pgd=pgd, gaussian_blur=GaussianBlur(9, 2.5))
    assert foolbox_arguments("pgd", "l2", parameters) == {"steps": 7, "rel_stepsize": 0.3, "random_start": False}
    assert foolbox_arguments("gaussian-blur", "l2", parameters) == {"steps": 9, "max_sigma": 2.5}
    assert foolbox_arguments("ead", "l1", parameters)["initial_stepsize"] == 0.01
    assert foolbox_arguments("hopskipjump", "linf", parameters)["constraint"] == "linf"
    assert foolbox_arguments("paper", "linf", parameters) == {"steps": 10, "random_start": True}


def test_names_are_there_without_torch() -> None:
    code = "import sys, doublevit.attacks.catalogue; print({'torch', 'foolbox', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "set()\n"


def test_what_repeating_can_find() -> None:
    assert repeatable("pgd", Hyperparameters())
    assert not repeatable("pgd", Hyperparameters(pgd=Pgd(random_start=False)))
    assert not repeatable("spatial", Hyperparameters())
    assert repeatable("spatial", Hyperparameters(spatial=Spatial(grid_search=False)))
    assert not repeatable("cw", Hyperparameters())


def surroundings(victim: Victim) -> list[object]:
    """All that an attack must leave as it was."""
    weights = [(p.requires_grad, p.grad is None, p.detach().clone().numpy().tobytes()) for p in victim.parameters()]
    modes = [module.training for module in victim.modules()]
    draws = [torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes(), random.getstate()]
    return [weights, modes, draws, list(logging.root.handlers), torch.is_grad_enabled()]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "norm"), PAIRS)
def test_each_attack_keeps_to_its_face(name: str, norm: str | None, victim: Victim, samples: Samples) -> None:
    small, large = SMALL_AND_LARGE.get(norm, (1, 2))
    before, originals = surroundings(victim), samples.images.clone()
    with torch.no_grad():
        found = make_foolbox(name, norm, QUICK)(victim, samples, (0, small, large))
    assert surroundings(victim) == before
    assert torch.equal(samples.images, originals)
    for images, epsilon in zip(found, (0, small, large), strict=True):
        require_inside(images, originals, norm, epsilon)
        assert not images.requires_grad
    kind = FOOLBOX_ATTACKS[name].kind
    counts = [fooled(victim, images, samples).sum().item() for images in found]
    assert norm is None or counts[0] == 0
    assert counts[-1] >= {"white-box": 6, "black-box": 6, "noise": 1, "transformation": 1}[kind], counts

    torch.rand(5), np.random.rand(3)
    alone = make_foolbox(name, norm, QUICK)(victim, samples, (large,))
    assert torch.equal(alone[0], found[-1])
    other = Samples(samples.images, samples.labels, AttackDraws(4, samples.draws.indices))
    elsewhere = make_foolbox(name, norm, QUICK)(victim, other, (small, large))
    if repeatable(name, QUICK):
        assert not torch.equal(elsewhere[-1], found[-1])
    else:
        assert torch.equal(elsewhere[-1], found[-1])


def test_random_shifts_repeat_and_logging_stays_as_it_was(
    victim: Victim, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    spatial = dataclasses.replace(Hyperparameters().spatial, grid_search=False, max_translation=0.5, max_rotation=10)
    attack = make_foolbox("spatial", None, Hyperparameters(spatial=spatial))
    (first,) = attack(victim, samples, (1,))
    np.random.rand(3)
    assert torch.equal(first, attack(victim, samples, (1,))[0])
    monkeypatch.setattr(logging.root, "handlers", [])  # pytest's own would hide that Foolbox adds one
    make_foolbox("deepfool", "l2", QUICK)(victim, samples, (1,))
    assert not logging.root.handlers


DIRECT = [
    *((name, norm) for name in ("pgd", "bim", "mi-fgsm", "fmn", "fgsm") for norm in ("linf", "l2", "l1")),
    *((name, norm) for name in ("deepfool", "hopskipjump") for norm in ("linf", "l2")),
    *((name, "l2") for name in ("cw", "ddn", "boundary", "vat", "gaussian-noise")),
    *(("paper", "linf"), ("adam-bim", "linf"), ("sparse-l1-descent", "l1"), ("ead", "l1")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "norm"), DIRECT)
def test_images_are_foolboxs_own(name: str, norm: str, victim: Victim, samples: Samples) -> None:
    attack = make_foolbox(name, norm, QUICK)
    directly = getattr(foolbox.attacks, attack.class_name)(**attack.arguments)
    model = foolbox.PyTorchModel(victim.model, bounds=(0, 1), device="cpu")
    epsilons = SMALL_AND_LARGE[norm]
    for images, epsilon in zip(attack(victim, samples, epsilons), epsilons, strict=True):
        with seeded(samples.draws.batch_seed(name), samples.images.device):
            raw, cut, success = directly(model, samples.images, samples.labels, epsilons=epsilon)
        if FOOLBOX_ATTACKS[name].single_run and name != "fgsm":
            assert fooled(victim, raw, samples).sum() >= 8  # what is not found is the image here, black there
            cut = torch.where(fooled(victim, raw, samples).view(-1, 1, 1, 1), cut, images)
        torch.testing.assert_close(images, cut, atol=1e-6, rtol=0)
    assert success.any()


class Counting(nn.Module):
    """A network that counts how often it is asked."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.calls = network, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.network(images)


@pytest.mark.parametrize(("name", "calls"), [("pgd", 40), ("fgsm", 1), ("deepfool", 0), ("boundary", 0)])
def test_nothing_runs_for_epsilon_0(name: str, calls: int, victim: Victim, samples: Samples) -> None:
    norm = "l2" if name == "boundary" else "linf"
    network = Counting(victim.model).eval()
    found = make_foolbox(name, norm, QUICK)(Victim(network), samples, (0, 0.0))
    assert network.calls == 0
    assert all(torch.equal(images, samples.images) for images in found)
    if calls:
        make_foolbox(name, norm, QUICK)(Victim(network), samples, (0, 0.1))
        assert network.calls == calls


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_fgsm_costs_one_gradient_and_is_foolboxs_to_the_bit(norm: str, victim: Victim, samples: Samples) -> None:
    network = Counting(victim.model).eval()
    epsilons = (0, 0.01, 0.1, 0.3, 1.0)
    found = make_foolbox("fgsm", norm, Hyperparameters())(Victim(network), samples, epsilons)
    assert network.calls == 1
    directly = getattr(foolbox.attacks, make_foolbox("fgsm", norm, Hyperparameters()).class_name)()
    model = foolbox.PyTorchModel(victim.model, bounds=(0, 1), device="cpu")
    for images, epsilon in zip(found, epsilons, strict=True):
        own = directly.run(model, samples.images, samples.labels, epsilon=epsilon)
        assert torch.equal(images, project(own, samples.images, norm, epsilon))
        assert norm != "linf" or torch.equal(images, own)
    one_step = Hyperparameters(pgd=Pgd(steps=1, relative_step=1, random_start=False))
    for images, other in zip(found, make_foolbox("pgd", norm, one_step)(victim, samples, epsilons), strict=True):
        assert torch.equal(images, other)


class Linear(nn.Module):
    """Two classes whose margin is w.x."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        margin = (images.flatten(1) - 0.5) @ self.weight
        return torch.stack([margin, -margin], 1) / 2


@pytest.mark.parametrize(("norm", "dual", "epsilon"), [("linf", "l1", 0.05), ("l2", "l2", 0.5)])
def test_pgd_reaches_the_worst_case_of_a_linear_model(norm: str, dual: str, epsilon: float) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(192, generator=generator)
    images = torch.rand(6, 3, 8, 8, generator=generator) * 0.1 + 0.45  # far from black and white: nothing is cut
    margins = (images.flatten(1) - 0.5) @ weight
    attacked = Samples(images, (margins < 0).long(), AttackDraws(0, np.arange(6)))
    network = Linear(weight).eval()
    # In L2 the random start fades with each step, geometrically.
    parameters = Hyperparameters(pgd=Pgd(steps=60, relative_step=0.5))
    (found,) = make_foolbox("pgd", norm, parameters)(Victim(network), attacked, [epsilon])
    worst = margins.abs() - epsilon * norm_of(weight[None], dual)
    reached = ((found.flatten(1) - 0.5) @ weight) * margins.sign()
    torch.testing.assert_close(reached, worst, atol=2e-4, rtol=0)


class Brightness(nn.Module):
    """Class 0 is bright, as all noise is; class 1 dark."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.flatten(1).mean(1)
        return torch.stack([mean - 0.4, 0.4 - mean], 1) * 20


@pytest.mark.parametrize("name", ["hopskipjump", "boundary"])
def test_images_without_a_start_stay_and_others_are_attacked(name: str) -> None:
    images = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.1
    images[::2] += 0.8
    attacked = Samples(images, torch.tensor([0, 1] * 3), AttackDraws(0, np.arange(6)))
    parameters = dataclasses.replace(QUICK, blended_noise=BlendedNoise(5, 5))
    (found,) = make_foolbox(name, "l2", parameters)(Victim(Brightness().eval()), attacked, [100.0])
    assert torch.equal(found[::2], images[::2])
    assert fooled(Victim(Brightness().eval()), found, attacked).tolist() == [False, True] * 3


class Deaf(nn.Module):
    """Bright images always give the same logits, others listen."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.flatten(1).mean(1)
        listening = torch.where(mean > 0.5, mean.detach() * 0, mean - 0.1)
        return torch.stack([listening, -listening], 1) + torch.tensor([0.01, 0.0]) * (mean > 0.5)[:, None]


def test_a_gradient_that_vanishes_spoils_only_its_own_image() -> None:
    images = torch.full((4, 3, 8, 8), 0.05)
    images[::2] += 0.8
    attacked = Samples(images, torch.tensor([0, 1] * 2), AttackDraws(0, np.arange(4)))
    network = Victim(Deaf().eval())
    (found,) = make_foolbox("vat", "l2", QUICK)(network, attacked, [2.0])
    assert torch.equal(found[::2], images[::2])
    assert (found[1::2] != images[1::2]).any()


@pytest.mark.parametrize(("name", "norm"), [pair for pair in PAIRS if FOOLBOX_ATTACKS[pair[0]].kind == "white-box"])
def test_a_model_without_gradients_gives_no_errors(name: str, norm: str) -> None:
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.1 + 0.8
    attacked = Samples(images, torch.zeros(3, dtype=torch.int64), AttackDraws(0, np.arange(3)))
    (found,) = make_foolbox(name, norm, QUICK)(Victim(Deaf().eval()), attacked, [0.01])
    require_inside(found, images, norm, 0.01)
    if name in ("cw", "ead"):
        assert torch.equal(found, images)


def test_an_empty_batch_is_none_of_foolboxs_business(victim: Victim, samples: Samples) -> None:
    none = samples.at(torch.tensor([], dtype=torch.int64))
    assert [len(images) for images in make_foolbox("pgd", "linf", QUICK)(victim, none, (0.1, 0.2))] == [0, 0]
