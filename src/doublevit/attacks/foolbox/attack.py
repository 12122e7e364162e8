"""Foolbox's attacks as functions of our own face: quiet, repeatable, and inside ball and box."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from doublevit.attacks.balls import project
from doublevit.attacks.foolbox.catalogue import CLASSES, FOOLBOX
from doublevit.attacks.foolbox.surroundings import import_foolbox, quiet, seeded
from doublevit.attacks.interface import Attack, Samples
from doublevit.attacks.knobs.parameters import Parameters
from doublevit.attacks.victim import Victim, cross_entropy, frozen
from doublevit.errors import UserError, unknown

# Foolbox's names of our knobs, where they differ; then those that differ in one attack only.
ARGUMENTS = {
    "relative_step": "rel_stepsize",
    "step": "stepsize",
    "largest_step": "max_stepsize",
    "initial_constant": "initial_const",
    "initial_epsilon": "init_epsilon",
    "initial_queries": "initial_gradient_eval_steps",
    "largest_sigma": "max_sigma",
}
OWN_ARGUMENTS = {"vat": {"step": "xi"}, "ead": {"step": "initial_stepsize"}}

FROM_OUTSIDE = ("hopskipjump", "boundary")  # they walk from an image of another class to the photo
BLACK_FAILS = ("cw", "ead")  # where they find nothing, they return a black image


def make_foolbox(name: str, norm: str | None, parameters: Parameters) -> Attack:
    """The attack of that name in that norm (`None` for one without norms), with its knobs of `parameters`.

    Where nothing was found the photo comes back, or some image of its ball; where epsilon is 0, the photo. An attack
    without norms gives the same images for each epsilon, 0 too. What comes back for one epsilon does not depend on
    which others are asked for.

    Raises:
        UserError: there is no such attack, or not in that norm.
    """
    if name not in FOOLBOX:
        raise unknown("attack", name, FOOLBOX)
    norms = FOOLBOX[name].norms
    if norm not in (norms or (None,)):
        raise UserError(f"--attack.norm: expected {' or '.join(norms) or 'none'} for {name}, found {norm}")
    classes = CLASSES[name]
    chosen = classes[norms.index(norm)] if norm is not None and len(classes) > 1 else classes[0]
    return FoolboxAttack(name, norm, chosen, arguments(name, norm, parameters))


def arguments(name: str, norm: str | None, parameters: Parameters) -> dict[str, Any]:
    """The attack's knobs by Foolbox's names; what is not given is left to Foolbox."""
    names = ARGUMENTS | OWN_ARGUMENTS.get(name, {})
    chosen = {names.get(knob, knob): value for knob, value in parameters.of(name).items() if value is not None}
    return chosen | ({"constraint": norm} if name == "hopskipjump" else {})


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
            if self.name == "fgsm":
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
            found = self._walk(samples) if self.name in FROM_OUTSIDE else self._run(samples, **epsilon)
        # Where a gradient is zero some attacks divide by it: what is not finite was not found.
        good = found.isfinite().flatten(1).all(1)
        if self.name in BLACK_FAILS:
            good &= found.flatten(1).any(1)
        return torch.where(good.view(-1, 1, 1, 1), found, samples.images).detach()

    def _run(self, samples: Samples, **options: Any) -> torch.Tensor:
        images: torch.Tensor = self.attack.run(self.model, samples.images, samples.labels, **options)
        return images

    def _walk(self, samples: Samples) -> torch.Tensor:
        """Foolbox gives up a whole batch where noise is taken for the right class; here only that photo is left."""
        starts = self._start(samples)
        places = torch.arange(len(samples), device=samples.images.device)
        while len(places):
            fooled = self.victim(starts[places]).argmax(1) != samples.labels[places]
            if fooled.all():
                break
            places = places[fooled]  # and once more, since in a smaller batch the last digits of logits may differ
        images = samples.images.clone()
        if len(places):
            images[places] = self._run(samples.at(places), starting_points=starts[places])
        return images

    def _start(self, samples: Samples) -> torch.Tensor:
        """What Foolbox itself starts from."""
        noise = import_foolbox().attacks.LinearSearchBlendedUniformNoiseAttack(steps=50)
        images: torch.Tensor = noise.run(self.model, samples.images, samples.labels)
        return images

    def use_gradient_of(self, samples: Samples) -> None:
        """Of an attack of one step: its gradient does not depend on epsilon."""
        import eagerpy

        _, losses, gradient = self.victim.gradient(samples.images, samples.labels, cross_entropy)
        known = eagerpy.astensors(losses.sum(), gradient)
        self.attack.value_and_grad = lambda loss, images: known
