"""Foolbox's attacks with the signature of ours: quiet, repeatable, and inside ball and box."""

import contextlib
import dataclasses
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from doublevit.attacks.balls import project
from doublevit.attacks.catalogue import ARGUMENTS, FOOLBOX
from doublevit.attacks.hyperparameters import Hyperparameters
from doublevit.attacks.interface import AttackFunction, Samples
from doublevit.attacks.victim import Victim, cross_entropy, frozen
from doublevit.errors import UserError, unknown


def make_foolbox(name: str, norm: str | None, parameters: Hyperparameters) -> AttackFunction:
    """The attack of that name in that norm (`None` for one without norms), with its hyperparameters from `parameters`.

    Where nothing was found the clean image comes back, or some image of its ball; where epsilon is 0, the clean image.
    An attack without norms gives the same images for each epsilon, 0 too. What comes back for one epsilon does not
    depend on which others are asked for.

    Raises:
        UserError: there is no such attack, or not in that norm.
    """
    if name not in FOOLBOX:
        raise unknown("attack", name, FOOLBOX)
    spec = FOOLBOX[name]
    if norm not in (spec.norms or (None,)):
        raise UserError(f"`attack.norm`: expected {' or '.join(spec.norms) or 'none'} for {name}, found {norm}")
    return FoolboxAttack(name, norm, spec.class_name(norm), arguments(name, norm, parameters))


def arguments(name: str, norm: str | None, parameters: Hyperparameters) -> dict[str, Any]:
    """The attack's hyperparameters by Foolbox's names; what is not given is left to Foolbox."""
    spec = FOOLBOX[name]
    renamed = {**ARGUMENTS, **spec.arguments}
    chosen = {renamed.get(ours, ours): value for ours, value in parameters.of(name).items() if value is not None}
    return chosen | ({spec.norm_argument: norm} if spec.norm_argument else {})


@dataclasses.dataclass(frozen=True)
class FoolboxAttack:
    """One class of `foolbox.attacks` with its settings; see `make_foolbox`."""

    name: str
    norm: str | None
    class_name: str
    arguments: dict[str, Any]

    def __call__(self, victim: Victim, samples: Samples, epsilons: Sequence[float]) -> list[torch.Tensor]:
        """For each epsilon images (B, 3, H, W), detached."""
        if not len(samples) or (self.norm is not None and not any(epsilons)):
            return [samples.images.clone() for _ in epsilons]
        with quiet(), frozen(victim), torch.enable_grad():
            run = self._prepare(victim)
            if self.norm is None:
                return [run(samples).clamp(0, 1)] * len(epsilons)
            if FOOLBOX[self.name].one_gradient:
                run.use_gradient_of(samples)
            elif FOOLBOX[self.name].shared:
                found = run(samples)
                return [project(found, samples.images, self.norm, epsilon) for epsilon in epsilons]
            return [self._within(run, samples, epsilon) for epsilon in epsilons]

    def _prepare(self, victim: Victim) -> "_Run":
        foolbox = import_foolbox()
        attack = getattr(foolbox.attacks, self.class_name)(**self.arguments)
        return _Run(self.name, attack, victim, foolbox.PyTorchModel(victim, bounds=(0, 1), device=victim.device))

    def _within(self, run: "_Run", samples: Samples, epsilon: float) -> torch.Tensor:
        if self.norm is None or not epsilon:
            return samples.images.clone()
        return project(run(samples, epsilon=epsilon), samples.images, self.norm, epsilon)


@dataclasses.dataclass
class _Run:
    """An attack of Foolbox on one model."""

    name: str
    attack: Any
    victim: Victim
    model: Any

    def __call__(self, samples: Samples, **epsilon: float) -> torch.Tensor:
        """Images that may be outside of the ball."""
        with seeded(samples.draws.batch_seed(self.name), samples.images.device):
            found = self._walk(samples) if FOOLBOX[self.name].from_outside else self._run(samples, **epsilon)
        # Where a gradient is zero some attacks divide by it: what is not finite was not found.
        good = found.isfinite().flatten(1).all(1)
        if FOOLBOX[self.name].black_fails:
            good &= found.flatten(1).any(1)
        return torch.where(good.view(-1, 1, 1, 1), found, samples.images).detach()

    def _run(self, samples: Samples, **options: Any) -> torch.Tensor:
        images: torch.Tensor = self.attack.run(self.model, samples.images, samples.labels, **options)
        return images

    def _walk(self, samples: Samples) -> torch.Tensor:
        """Foolbox gives up a whole batch where noise is taken for the right class; here only that image is given up."""
        starts = self._start(samples)
        indices = torch.arange(len(samples), device=samples.images.device)
        while len(indices):
            fooled = self.victim(starts[indices]).argmax(1) != samples.labels[indices]
            if fooled.all():
                break
            indices = indices[fooled]  # and once more, since in a smaller batch the last digits of logits may differ
        images = samples.images.clone()
        if len(indices):
            images[indices] = self._run(samples.at(indices), starting_points=starts[indices])
        return images

    def _start(self, samples: Samples) -> torch.Tensor:
        """What Foolbox itself starts from."""
        noise = import_foolbox().attacks.LinearSearchBlendedUniformNoiseAttack(steps=50)
        images: torch.Tensor = noise.run(self.model, samples.images, samples.labels)
        return images

    def use_gradient_of(self, samples: Samples) -> None:
        """Give an attack of one step its gradient, which does not depend on epsilon, once for all."""
        import eagerpy

        _, losses, gradient = self.victim.gradient(samples.images, samples.labels, cross_entropy)
        known = eagerpy.astensors(losses.sum(), gradient)
        self.attack.value_and_grad = lambda loss, images: known


def import_foolbox() -> Any:
    """Foolbox, quietly."""
    # Its model zoo imports GitPython, which fails where there is no program git unless it is set not to look for it.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it takes a filter from a module of SciPy that is about to go
        import foolbox
    return foolbox


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No warnings, and no logging: Foolbox logs on the root logger, which sets the whole program's logging up."""
    nobody = logging.NullHandler()
    logging.root.addHandler(nobody)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.removeHandler(nobody)


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seeded draws of torch on the CPU and that device and of NumPy; afterwards each goes on as it was."""
    cards = [device] if device.type == "cuda" else []
    before = np.random.get_state()
    with torch.random.fork_rng(cards):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed seeds every GPU, and not all are put back
        for card in cards:
            with torch.cuda.device(card):
                torch.cuda.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)
