"""What a user can ask of attacks. Nothing here imports torch, so that help stays quick."""

import dataclasses
from typing import Annotated, Any, Literal

import tyro

from doublevit.attacks.catalogue import ATTACKS, ENSEMBLES, FOOLBOX_ATTACKS, parts_of, repeatable, spec_of
from doublevit.attacks.epsilons import parse_epsilons
from doublevit.attacks.hyperparameters import Hyperparameters, field_name
from doublevit.errors import UserError, unknown

_NO_L0 = "its ball of changed pixels is none of our norms, and Foolbox cannot cut to it either"
_NUMBA = "needs numba, which Foolbox does not bring and takes half a minute to compile it"
_AS_BIM = "Foolbox forgets Adam in this norm: it is bim to the bit"
_UNAWARE = "smaller than epsilon once it is cut to [0, 1]; the noise attacks here are not"
_ONCE = "as {} with `attack.{}.repeats=1`"

LEFT_OUT: dict[str, str] = {
    "Attack": "the base class",
    "BinarizationRefinementAttack": "needs another attack's images and a model that binarizes",
    "DatasetAttack": "needs images of a data set to start from",
    "GenAttack": "targeted only: ValueError, unsupported criterion",
    "PointwiseAttack": "broken: AttributeError, no attribute _distance",
    "NewtonFoolAttack": "broken: NaN for most images, since it divides by the gradient's norm to the fourth power",
    "L0FMNAttack": _NO_L0,
    "L0BrendelBethgeAttack": _NO_L0,
    "L1BrendelBethgeAttack": _NUMBA,
    "L2BrendelBethgeAttack": _NUMBA,
    "LinfinityBrendelBethgeAttack": _NUMBA,
    "L1AdamBasicIterativeAttack": _AS_BIM,
    "L2AdamBasicIterativeAttack": _AS_BIM,
    "L2AdditiveGaussianNoiseAttack": _UNAWARE,
    "L2AdditiveUniformNoiseAttack": _UNAWARE,
    "L2RepeatedAdditiveGaussianNoiseAttack": _UNAWARE,
    "L2RepeatedAdditiveUniformNoiseAttack": _UNAWARE,
    "L2ClippingAwareAdditiveGaussianNoiseAttack": _ONCE.format("gaussian-noise", "gaussian-noise"),
    "L2ClippingAwareAdditiveUniformNoiseAttack": _ONCE.format("uniform-noise", "uniform-noise"),
    "LinfAdditiveUniformNoiseAttack": _ONCE.format("uniform-noise", "uniform-noise"),
    "L2ContrastReductionAttack": "contrast-reduction finds the least change on the same line",
    "LinearSearchContrastReductionAttack": "as contrast-reduction, with 1,000 queries instead of 15",
}
"""Classes of `foolbox.attacks` that have no name here, and why; errors are those of Foolbox 3.3.4."""


@dataclasses.dataclass(frozen=True)
class AttackConfig:
    """Choose which attacks run, how large their perturbations are, and what is perturbed."""

    names: tuple[str, ...] = ()
    """Attacks in their order: autoattack, pgd, paper (its Linf PGD of 10 steps) ...; `doublevit recipes` lists all."""
    norm: Literal["linf", "l2", "l1"] = "linf"
    """Norm that measures the size of a perturbation."""
    epsilons: tuple[str, ...] = ()
    """Sizes in units of the pixel range, such as 0.5/255 1/255; for linf 0 and 0.25/255 to 8/255 if not given."""
    space: Literal["image", "input"] = "image"
    """What is perturbed: the image at its own resolution, or resized to the network's input."""
    independent: bool = False
    """Run every attack at every epsilon on all rightly classified images, not only on those that are not yet broken."""
    restarts: int = 1
    """Runs of attacks with random draws, each on the images that are not yet broken."""
    batch_size: int = 32
    """Images attacked at a time; random draws of Foolbox's attacks depend on it."""
    save_images: bool = False
    """Keep the worst variant of every image (float32, in the run's folder) and a contact sheet."""
    parameters: Annotated[Hyperparameters, tyro.conf.arg(name="")] = Hyperparameters()

    def __post_init__(self) -> None:
        for name in self.names:
            _require_known(name, self.norm)
        if len(set(self.names)) < len(self.names):
            raise UserError(f"`attack.names` {' '.join(self.names)}: expected each once; to repeat, `attack.restarts`")
        for name, count in (("restarts", self.restarts), ("batch_size", self.batch_size)):
            if count < 1:
                raise UserError(f"`attack.{name}`: expected at least 1, found {count}")
        if not self.names and any(getattr(self, field.name) != field.default for field in dataclasses.fields(self)):
            raise UserError("expected `attack.names`, to say which attack; for example `attack.names=pgd`")
        _ = self.epsilon_values  # raises where one cannot be parsed
        self._require_used()

    @property
    def epsilon_values(self) -> tuple[float, ...]:
        """The epsilons as numbers, in rising order; the norm's defaults if none are given."""
        return parse_epsilons(self.epsilons, self.norm)

    def parameters_of(self, name: str) -> dict[str, Any]:
        """Return the hyperparameters of an attack, or those of an ensemble's parts by their names."""
        parts = parts_of(name)
        return self.parameters.of(name) if parts == (name,) else {part: self.parameters.of(part) for part in parts}

    def require_classes(self, count: int) -> None:
        """Raise `UserError` where an attack needs more classes than the `count` that there are."""
        for name in self.names:
            possible = [part for part in parts_of(name) if ATTACKS[part].min_classes <= count]
            impossible = [part for part in parts_of(name) if part not in possible]
            if impossible:
                hint = f"; give `attack.names={' '.join(possible)}`" if possible else ""
                needed = f"{impossible[0]} needs {ATTACKS[impossible[0]].min_classes} classes"
                raise UserError(f"`attack.names` {name}: {needed}, found {count}{hint}")

    def repetitions(self, attack: str) -> int:
        """Return how often an attack is run: once where it would do the same again."""
        return self.restarts if repeatable(attack, self.parameters) else 1

    def _require_used(self) -> None:
        """Raise `UserError` where hyperparameters of an attack are given that is not run."""
        used = {field_name(part) for name in self.names for part in parts_of(name)}
        for field in dataclasses.fields(self.parameters):
            if getattr(self.parameters, field.name) != field.default and field.name not in used:
                raise UserError(f"`attack.{field.name}`: no attack of `attack.names` has these parameters")


def _require_known(name: str, norm: str) -> None:
    """Raise `UserError` unless there is such an attack, and in that norm; Foolbox's class names are explained."""
    if name not in ATTACKS and name not in ENSEMBLES:
        plain = name.lower().replace("-", "").removesuffix("attack")
        left_out = next((cls for cls in LEFT_OUT if cls.lower().removesuffix("attack") == plain), None)
        if left_out is not None:
            raise UserError(f"attack {name} is left out ({left_out}): {LEFT_OUT[left_out]}")
        known_as = next((attack for attack, spec in FOOLBOX_ATTACKS.items() if name in spec.class_names), name.lower())
        if known_as in ATTACKS or known_as in ENSEMBLES:
            raise UserError(f"unknown attack {name!r}; here it is called {known_as}")
        raise unknown("attack", name, [*ATTACKS, *ENSEMBLES])
    norms = spec_of(name).norms
    if norms and norm not in norms:
        raise UserError(
            f"`attack.names` {name}: it has no norm {norm}, only {', '.join(norms)}; add `attack.norm={norms[0]}`"
        )
