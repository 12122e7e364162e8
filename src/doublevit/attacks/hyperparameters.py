"""The hyperparameters of all attacks, and their limits. Nothing here imports torch or Foolbox: help stays quick."""

import dataclasses
from typing import Any

from doublevit.attacks.foolbox_hyperparameters import (
    BasicIterative,
    BlendedNoise,
    Boundary,
    CarliniWagner,
    ContrastReduction,
    DecoupledDirectionNorm,
    DeepFool,
    ElasticNet,
    FastMinimumNorm,
    GaussianBlur,
    HopSkipJump,
    MomentumIterative,
    Noise,
    Pgd,
    SaltAndPepper,
    SparseL1Descent,
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
"""The lowest and the highest value of each numeric field, the same for all attacks that have it."""

PAPER_PGD = Pgd(steps=10)
"""Hyperparameters of the attack called paper, which are fixed."""

FOOLBOX_PGD_STEPS = {("pgd", "linf"): (40, 1 / 30), ("paper", "linf"): (40, 1 / 30)}
OTHER_FOOLBOX_STEPS = (50, 1 / 40)
"""Foolbox's own number of steps, and their length relative to epsilon, where none are given."""


@dataclasses.dataclass(frozen=True)
class AutoPgd:
    """Auto-PGD, the parts of AutoAttack whose names begin with apgd, chooses its own step sizes."""

    steps: int = 100
    """Gradient steps of each run."""
    targets: int = 9
    """Classes that apgd-dlr-t aims at."""
    eot: int = 20
    """Passes whose mean is a gradient of apgd-ce-eot and apgd-dlr-eot."""


@dataclasses.dataclass(frozen=True)
class FastAdaptiveBoundary:
    """FAB, the fast adaptive boundary attack, looks for the nearest image of another class."""

    steps: int = 100
    """Gradient steps towards each class."""
    targets: int = 9
    """Classes that fab-t aims at."""


@dataclasses.dataclass(frozen=True)
class SquareHyperparameters:
    """The Square attack changes squares at random positions, and sees logits only."""

    queries: int = 5000
    """Predictions for each image."""


@dataclasses.dataclass(frozen=True)
class Hyperparameters:
    """Holds the hyperparameters of each attack that has any."""

    pgd: Pgd = Pgd()
    adam_pgd: Pgd = Pgd()
    bim: BasicIterative = BasicIterative()
    adam_bim: BasicIterative = BasicIterative()
    mi_fgsm: MomentumIterative = MomentumIterative()
    sparse_l1_descent: SparseL1Descent = SparseL1Descent()
    vat: VirtualAdversarial = VirtualAdversarial()
    cw: CarliniWagner = CarliniWagner()
    ead: ElasticNet = ElasticNet()
    deepfool: DeepFool = DeepFool()
    fmn: FastMinimumNorm = FastMinimumNorm()
    ddn: DecoupledDirectionNorm = DecoupledDirectionNorm()
    hopskipjump: HopSkipJump = HopSkipJump()
    boundary: Boundary = Boundary()
    gaussian_noise: Noise = Noise()
    uniform_noise: Noise = Noise()
    salt_and_pepper: SaltAndPepper = SaltAndPepper()
    blended_noise: BlendedNoise = BlendedNoise()
    gaussian_blur: GaussianBlur = GaussianBlur()
    contrast_reduction: ContrastReduction = ContrastReduction()
    spatial: Spatial = Spatial()
    apgd: AutoPgd = AutoPgd()
    fab: FastAdaptiveBoundary = FastAdaptiveBoundary()
    square: SquareHyperparameters = SquareHyperparameters()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            for parameter, value in dataclasses.asdict(getattr(self, field.name)).items():
                _check(f"`attack.{field.name}.{parameter}`", value, LIMITS.get(parameter))

    def of(self, name: str) -> dict[str, Any]:
        """Return the hyperparameters of the attack called `name`, by field; none for an attack without any."""
        values = PAPER_PGD if name == "paper" else getattr(self, field_name(name), None)
        return {} if values is None else dataclasses.asdict(values)

    def gradient_steps(self, name: str, norm: str) -> tuple[int, float] | None:
        """Return how many gradient steps an attack takes, and how long each is relative to epsilon; None without."""
        values = self.of(name)
        if not {"steps", "relative_step"} <= values.keys():
            return None
        steps, relative_step = FOOLBOX_PGD_STEPS.get((name, norm), OTHER_FOOLBOX_STEPS)
        return values["steps"] or steps, values["relative_step"] or relative_step


def field_name(name: str) -> str:
    """Return the name of the field of `Hyperparameters` that is for an attack, if it has any."""
    family = next((family for family in ("apgd", "fab") if name.startswith(f"{family}-")), name)
    return family.replace("-", "_")


def _check(argument: str, value: float | None, limits: tuple[float, float] | None) -> None:
    if value is None or limits is None:  # left to Foolbox, or a switch
        return
    if not limits[0] <= value <= limits[1]:
        raise UserError(f"{argument}: expected {limits[0]:,g} to {limits[1]:,g}, found {value}")
