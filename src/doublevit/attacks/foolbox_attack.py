"""Foolbox's attacks with the signature of `AttackFunction`: quiet, repeatable, and inside ball and box."""

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
from doublevit.attacks.catalogue import FOOLBOX_ARGUMENTS, FOOLBOX_ATTACKS
from doublevit.attacks.hyperparameters import Hyperparameters
from doublevit.attacks.interface import AttackFunction, Samples
from doublevit.attacks.victim import Victim, cross_entropy, frozen
from doublevit.errors import UserError, unknown


def make_foolbox(name: str, norm: str | None, parameters: Hyperparameters) -> AttackFunction:
    """Make Foolbox's attack of that name in that norm (`None` for one without norms), with its hyperparameters.

    Where it fails the clean image comes back, or some image of its ball; where epsilon is 0, the clean image.
    An attack without norms gives the same images for each epsilon, 0 too. What comes back for one epsilon does not
    depend on which others are asked for.

    Raises:
        UserError: there is no such attack, or not in that norm.
    """
    if name not in FOOLBOX_ATTACKS:
        raise unknown("attack", name, FOOLBOX_ATTACKS)
    spec = FOOLBOX_ATTACKS[name]
    if norm not in (spec.norms or (None,)):
        raise UserError(f"`attack.norm`: expected {' or '.join(spec.norms) or 'none'} for {name}, found {norm}")
    return FoolboxAttack(name, norm, spec.class_name(norm), foolbox_arguments(name, norm, parameters))


def foolbox_arguments(name: str, norm: str | None, parameters: Hyperparameters) -> dict[str, Any]:
    """Return the attack's hyperparameters by Foolbox's names; what is not given is left to Foolbox."""
    spec = FOOLBOX_ATTACKS[name]
    renamed = {**FOOLBOX_ARGUMENTS, **spec.arguments}
    given = {renamed.get(field, field): value for field, value in parameters.of(name).items() if value is not None}
    return given | ({spec.norm_argument: norm} if spec.norm_argument else {})


@dataclasses.dataclass(frozen=True)
class FoolboxAttack:
    """Runs one class of `foolbox.attacks` with its arguments; see `make_foolbox`."""

    name: str
    norm: str | None
    class_name: str
    arguments: dict[str, Any]

    def __call__(self, victim: Victim, samples: Samples, epsilons: Sequence[float]) -> list[torch.Tensor]:
        """Return for each epsilon images (B, 3, H, W), detached."""
        if not len(samples) or (self.norm is not None and not any(epsilons)):
            return [samples.images.clone() for _ in epsilons]
        with quiet(), frozen(victim), torch.enable_grad():
            run = self._prepare(victim)
            if self.norm is None:
                return [run(samples).clamp(0, 1)] * len(epsilons)
            if FOOLBOX_ATTACKS[self.name].single_step:
                run.reuse_gradient(samples)
            elif FOOLBOX_ATTACKS[self.name].single_run:
                adversarial = run(samples)
                return [project(adversarial, samples.images, self.norm, epsilon) for epsilon in epsilons]
            return [self._run_within(run, samples, epsilon) for epsilon in epsilons]

    def _prepare(self, victim: Victim) -> "_FoolboxRun":
        foolbox = import_foolbox()
        attack = getattr(foolbox.attacks, self.class_name)(**self.arguments)
        return _FoolboxRun(self.name, attack, victim, foolbox.PyTorchModel(victim, bounds=(0, 1), device=victim.device))

    def _run_within(self, run: "_FoolboxRun", samples: Samples, epsilon: float) -> torch.Tensor:
        if self.norm is None or not epsilon:
            return samples.images.clone()
        return project(run(samples, epsilon=epsilon), samples.images, self.norm, epsilon)


@dataclasses.dataclass
class _FoolboxRun:
    """Runs an attack of Foolbox on one model."""

    name: str
    attack: Any
    victim: Victim
    model: Any

    def __call__(self, samples: Samples, **epsilon: float) -> torch.Tensor:
        """Return images that may be outside of the ball, the clean ones where the attack failed."""
        spec = FOOLBOX_ATTACKS[self.name]
        with seeded(samples.draws.batch_seed(self.name), samples.images.device):
            images = self._run_from_starts(samples) if spec.needs_starting_points else self._run(samples, **epsilon)
        # Where a gradient is zero some attacks divide by it: images that are not finite are failures.
        succeeded = images.isfinite().flatten(1).all(1)
        if spec.black_on_failure:
            succeeded &= images.flatten(1).any(1)
        return torch.where(succeeded.view(-1, 1, 1, 1), images, samples.images).detach()

    def _run(self, samples: Samples, **options: Any) -> torch.Tensor:
        images: torch.Tensor = self.attack.run(self.model, samples.images, samples.labels, **options)
        return images

    def _run_from_starts(self, samples: Samples) -> torch.Tensor:
        """Run from images of other classes, and leave an image clean where no start is of another class.

        Foolbox itself gives up the whole batch where a single start is taken for the right class.
        """
        starts = self._starting_points(samples)
        indices = torch.arange(len(samples), device=samples.images.device)
        while len(indices):
            fooled = self.victim(starts[indices]).argmax(1) != samples.labels[indices]
            if fooled.all():
                break
            indices = indices[fooled]  # and check again: in a smaller batch the last digits of logits may differ
        images = samples.images.clone()
        if len(indices):
            images[indices] = self._run(samples.at(indices), starting_points=starts[indices])
        return images

    def _starting_points(self, samples: Samples) -> torch.Tensor:
        """Return the images that Foolbox itself starts from: the clean ones blended with noise."""
        noise = import_foolbox().attacks.LinearSearchBlendedUniformNoiseAttack(steps=50)
        images: torch.Tensor = noise.run(self.model, samples.images, samples.labels)
        return images

    def reuse_gradient(self, samples: Samples) -> None:
        """Compute the gradient of an attack of a single step, which does not depend on epsilon, once for all."""
        import eagerpy

        _, losses, gradient = self.victim.gradient(samples.images, samples.labels, cross_entropy)
        value_and_gradient = eagerpy.astensors(losses.sum(), gradient)
        self.attack.value_and_grad = lambda loss, images: value_and_gradient


def import_foolbox() -> Any:
    """Import Foolbox without its warnings, and return it."""
    # Its model zoo imports GitPython, which fails where there is no program git unless it is set not to look for it.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it takes a filter from a module of SciPy that is about to go
        import foolbox
    return foolbox


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings, and keep Foolbox, which logs on the root logger, from configuring the program's logging."""
    handler = logging.NullHandler()
    logging.root.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.removeHandler(handler)


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch on the CPU and that device, and NumPy; afterwards each generator goes on as it was."""
    gpus = [device] if device.type == "cuda" else []
    numpy_state = np.random.get_state()
    with torch.random.fork_rng(gpus):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed seeds every GPU, and not all are put back
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
