"""The hyperparameters of all attacks, and what they may be. No torch and no Foolbox here: `--help` stays quick."""

import dataclasses
from typing import Any

from doublevit.attacks.foolbox_hyperparameters import (
    BlendedNoise,
    Boundary,
    CarliniWagner,
    Contrast,
    DecoupledNorm,
    DeepFool,
    Descent,
    ElasticNet,
    FastMinimumNorm,
    GaussianBlur,
    HopSkipJump,
    MomentumDescent,
    Noise,
    Pgd,
    SaltAndPepper,
    SparseDescent,
    Spatial,
    VirtualAdversarial,
)
from doublevit.errors import UserError

LIMITS: dict[str, tuple[float, float]] = {
    "steps": (1, 1e6),
    "binary_search_steps": (1, 100),
    "repeats": (1, 1e6),
    "queries": (1, 1e6),
    "targets": (1, 1e6),
    "eot": (1, 1e4),
    "directions": (1, 1e6),
    "random_steps": (1, 1e6),
    "initial_queries": (1, 1e4),
    "candidates": (2, 1e6),
    "num_translations": (1, 1000),
    "num_rotations": (1, 1000),
    "relative_step": (1e-6, 10),
    "step": (1e-9, 1e3),
    "largest_step": (1e-9, 1e3),
    "spherical_step": (1e-9, 1),
    "source_step": (1e-9, 1),
    "initial_constant": (1e-9, 1e9),
    "initial_epsilon": (1e-6, 1e4),
    "confidence": (0, 1e4),
    "regularization": (0, 1e4),
    "overshoot": (0, 10),
    "momentum": (0, 10),
    "gamma": (1e-3, 0.999),
    "quantile": (0, 1),
    "target": (0, 1),
    "largest_sigma": (1e-3, 1e4),
    "max_translation": (0, 1e4),
    "max_rotation": (0, 180),
}
"""The lowest and the highest value of each field that does something, in whichever attack."""

PAPER = Pgd(steps=10)
"""The attack called paper: nobody can change it."""

PGD_DEFAULTS = {("pgd", "linf"): (40, 1 / 30), ("paper", "linf"): (40, 1 / 30)}
OTHER_PGD_DEFAULTS = (50, 1 / 40)
"""Foolbox's own steps, and their length relative to epsilon, where none are given."""


@dataclasses.dataclass(frozen=True)
class AutoPgd:
    """All Auto-PGDs."""

    steps: int = 100
    """Gradient steps of each run."""
    targets: int = 9
    """Classes that apgd-dlr-t aims at."""
    eot: int = 20
    """Passes whose mean is a gradient of apgd-ce-eot and apgd-dlr-eot."""


@dataclasses.dataclass(frozen=True)
class FastAdaptiveBoundary:
    """FAB."""

    steps: int = 100
    """Steps towards each class."""
    targets: int = 9
    """Classes that it aims at."""


@dataclasses.dataclass(frozen=True)
class SquareHyperparameters:
    """The Square attack."""

    queries: int = 5000
    """Predictions for each image."""


@dataclasses.dataclass(frozen=True)
class Parameters:
    """The hyperparameters of each attack that has any."""

    pgd: Pgd = Pgd()
    adam_pgd: Pgd = Pgd()
    bim: Descent = Descent()
    adam_bim: Descent = Descent()
    mi_fgsm: MomentumDescent = MomentumDescent()
    sparse_l1_descent: SparseDescent = SparseDescent()
    vat: VirtualAdversarial = VirtualAdversarial()
    cw: CarliniWagner = CarliniWagner()
    ead: ElasticNet = ElasticNet()
    deepfool: DeepFool = DeepFool()
    fmn: FastMinimumNorm = FastMinimumNorm()
    ddn: DecoupledNorm = DecoupledNorm()
    hopskipjump: HopSkipJump = HopSkipJump()
    boundary: Boundary = Boundary()
    gaussian_noise: Noise = Noise()
    uniform_noise: Noise = Noise()
    salt_and_pepper: SaltAndPepper = SaltAndPepper()
    blended_noise: BlendedNoise = BlendedNoise()
    gaussian_blur: GaussianBlur = GaussianBlur()
    contrast_reduction: Contrast = Contrast()
    spatial: Spatial = Spatial()
    apgd: AutoPgd = AutoPgd()
    fab: FastAdaptiveBoundary = FastAdaptiveBoundary()
    square: SquareHyperparameters = SquareHyperparameters()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            for parameter, value in dataclasses.asdict(getattr(self, field.name)).items():
                _check(f"`attack.{field.name}.{parameter}`", value, LIMITS.get(parameter))

    def of(self, name: str) -> dict[str, Any]:
        """The hyperparameters of the attack called `name` by their fields' names; empty for an attack without any."""
        chosen = PAPER if name == "paper" else getattr(self, field_of(name), None)
        return {} if chosen is None else dataclasses.asdict(chosen)

    def steps_of(self, name: str, norm: str) -> tuple[int, float] | None:
        """How many gradient steps an attack takes, and how long each is relative to epsilon; None if it has no such."""
        chosen = self.of(name)
        if not {"steps", "relative_step"} <= chosen.keys():
            return None
        steps, step = PGD_DEFAULTS.get((name, norm), OTHER_PGD_DEFAULTS)
        return chosen["steps"] or steps, chosen["relative_step"] or step


def field_of(name: str) -> str:
    """The field of `Parameters` that holds the hyperparameters of an attack, if it has any."""
    family = next((family for family in ("apgd", "fab") if name.startswith(f"{family}-")), name)
    return family.replace("-", "_")


def _check(argument: str, value: float | None, limits: tuple[float, float] | None) -> None:
    if value is None or limits is None:
        return
    if not limits[0] <= value <= limits[1]:
        raise UserError(f"{argument}: expected {limits[0]:,g} to {limits[1]:,g}, found {value}")
