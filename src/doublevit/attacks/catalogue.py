"""Every attack by its name: what must be known of it before it runs. Nothing here imports torch or Foolbox.

Foolbox's attacks follow Foolbox 3.3.4. The parts of AutoAttack are those of Croce and Hein (2020), "Reliable evaluation
of adversarial robustness with an ensemble of diverse parameter-free attacks".
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

from doublevit.attacks.hyperparameters import Hyperparameters

ALL_NORMS = ("linf", "l2", "l1")
LINF_L2 = ("linf", "l2")

FOOLBOX_ARGUMENTS = {
    "relative_step": "rel_stepsize",
    "step": "stepsize",
    "largest_step": "max_stepsize",
    "initial_constant": "initial_const",
    "initial_epsilon": "init_epsilon",
    "initial_queries": "initial_gradient_eval_steps",
    "largest_sigma": "max_sigma",
}
"""Foolbox's names for our hyperparameters, where they differ."""


@dataclasses.dataclass(frozen=True)
class AttackSpec:
    """Holds what must be known of an attack before it runs.

    Args:
        note: one line of description.
        norms: the norms that it can run in; an attack without any moves images out of every ball.
        kind: what it asks of the model: gradients ("white-box"), predictions ("black-box"), predictions on noise, or
            predictions on transformations of the whole image.
        class_names: the class of `foolbox.attacks` for each norm, or the one that serves all; none for our own attacks.
        single_run: a single run serves all epsilons: its result is projected into each ball.
        random: it draws random numbers, so that repeating it can break more images; see `repeatable`.
        min_classes: the fewest classes that it works with.
        arguments: Foolbox's names for hyperparameters, where this attack's differ from `FOOLBOX_ARGUMENTS`.
        norm_argument: the argument that tells Foolbox the norm, where one class serves several.
        single_step: it takes one gradient step, and the gradient does not depend on epsilon.
        needs_starting_points: it goes from an image of another class towards the clean image.
        black_on_failure: where it fails, Foolbox returns a black image.
    """

    note: str
    norms: tuple[str, ...]
    kind: Literal["white-box", "black-box", "noise", "transformation"]
    class_names: tuple[str, ...] = ()
    single_run: bool = False
    random: bool = False
    min_classes: int = 2
    arguments: Mapping[str, str] = dataclasses.field(default_factory=dict)
    norm_argument: str | None = None
    single_step: bool = False
    needs_starting_points: bool = False
    black_on_failure: bool = False

    @property
    def needs_gradients(self) -> bool:
        """Whether the attack differentiates the model."""
        return self.kind == "white-box"

    def class_name(self, norm: str | None) -> str:
        """Return the class of `foolbox.attacks` that runs it in a norm (None for an attack without norms)."""
        if norm is None or len(self.class_names) == 1:
            return self.class_names[0]
        return self.class_names[self.norms.index(norm)]


def _per_norm(name: str) -> tuple[str, ...]:
    """Return the three classes of Foolbox whose names differ in the norm that they begin with."""
    return tuple(prefix + name for prefix in ("Linf", "L2", "L1"))


FOOLBOX_ATTACKS: dict[str, AttackSpec] = {
    "fgsm": AttackSpec(
        "one step along the gradient's sign, or the gradient",
        ALL_NORMS,
        "white-box",
        _per_norm("FastGradientAttack"),
        single_run=True,
        single_step=True,
    ),
    "pgd": AttackSpec(
        "projected gradient descent", ALL_NORMS, "white-box", _per_norm("ProjectedGradientDescentAttack"), random=True
    ),
    "paper": AttackSpec(
        "the paper's pgd: 10 steps of epsilon/30, too short to go far",
        ("linf",),
        "white-box",
        ("LinfProjectedGradientDescentAttack",),
        random=True,
    ),
    "bim": AttackSpec(
        "the basic iterative method: pgd from the image", ALL_NORMS, "white-box", _per_norm("BasicIterativeAttack")
    ),
    "mi-fgsm": AttackSpec(
        "bim with momentum", ALL_NORMS, "white-box", _per_norm("MomentumIterativeFastGradientMethod")
    ),
    "adam-pgd": AttackSpec(
        "pgd with Adam's steps", ALL_NORMS, "white-box", _per_norm("AdamProjectedGradientDescentAttack"), random=True
    ),
    "adam-bim": AttackSpec("bim with Adam's steps", ("linf",), "white-box", ("LinfAdamBasicIterativeAttack",)),
    "sparse-l1-descent": AttackSpec(
        "pgd for L1 that changes few pixels", ("l1",), "white-box", ("SparseL1DescentAttack",)
    ),
    "vat": AttackSpec(
        "where the prediction changes most, without the label",
        ("l2",),
        "white-box",
        ("VirtualAdversarialAttack",),
        random=True,
        arguments={"step": "xi"},
    ),
    "cw": AttackSpec(
        "Carlini and Wagner: smallest L2",
        ("l2",),
        "white-box",
        ("L2CarliniWagnerAttack",),
        single_run=True,
        black_on_failure=True,
    ),
    "ead": AttackSpec(
        "elastic net: smallest L1 with some L2",
        ("l1",),
        "white-box",
        ("EADAttack",),
        single_run=True,
        black_on_failure=True,
        arguments={"step": "initial_stepsize"},
    ),
    "deepfool": AttackSpec(
        "DeepFool: the nearest linear boundary",
        LINF_L2,
        "white-box",
        ("LinfDeepFoolAttack", "L2DeepFoolAttack"),
        single_run=True,
    ),
    "fmn": AttackSpec(
        "fast minimum norm", ALL_NORMS, "white-box", ("LInfFMNAttack", "L2FMNAttack", "L1FMNAttack"), single_run=True
    ),
    "ddn": AttackSpec(
        "decoupled direction and norm: smallest L2", ("l2",), "white-box", ("DDNAttack",), single_run=True
    ),
    "hopskipjump": AttackSpec(
        "HopSkipJump, from decisions only",
        LINF_L2,
        "black-box",
        ("HopSkipJumpAttack",),
        single_run=True,
        random=True,
        needs_starting_points=True,
        norm_argument="constraint",
    ),
    "boundary": AttackSpec(
        "a random walk along the boundary",
        ("l2",),
        "black-box",
        ("BoundaryAttack",),
        single_run=True,
        random=True,
        needs_starting_points=True,
    ),
    "gaussian-noise": AttackSpec(
        "Gaussian noise of size epsilon",
        ("l2",),
        "noise",
        ("L2ClippingAwareRepeatedAdditiveGaussianNoiseAttack",),
        random=True,
    ),
    "uniform-noise": AttackSpec(
        "uniform noise of size epsilon",
        LINF_L2,
        "noise",
        ("LinfRepeatedAdditiveUniformNoiseAttack", "L2ClippingAwareRepeatedAdditiveUniformNoiseAttack"),
        random=True,
    ),
    "salt-and-pepper": AttackSpec(
        "as few black and white pixels as fool",
        ALL_NORMS,
        "noise",
        ("SaltAndPepperNoiseAttack",),
        single_run=True,
        random=True,
    ),
    "blended-noise": AttackSpec(
        "as little of a noise picture as fools",
        ALL_NORMS,
        "noise",
        ("LinearSearchBlendedUniformNoiseAttack",),
        single_run=True,
        random=True,
    ),
    "gaussian-blur": AttackSpec(
        "as little blur as fools", ALL_NORMS, "transformation", ("GaussianBlurAttack",), single_run=True
    ),
    "contrast-reduction": AttackSpec(
        "as little loss of contrast as fools",
        ALL_NORMS,
        "transformation",
        ("BinarySearchContrastReductionAttack",),
        single_run=True,
    ),
    "inversion": AttackSpec("the negative", ALL_NORMS, "transformation", ("InversionAttack",), single_run=True),
    "spatial": AttackSpec(
        "shifts and turns; no ball", (), "transformation", ("SpatialAttack",), single_run=True, random=True
    ),
}
"""The attacks that Foolbox runs, by name."""

AUTOATTACK_PARTS: dict[str, AttackSpec] = {
    "apgd-ce": AttackSpec("Auto-PGD on the cross-entropy", LINF_L2, "white-box", random=True),
    "apgd-dlr": AttackSpec(
        "Auto-PGD on the difference of logits ratio", LINF_L2, "white-box", random=True, min_classes=3
    ),
    "apgd-dlr-t": AttackSpec(
        "the same, towards the nine likeliest classes in turn", LINF_L2, "white-box", random=True, min_classes=4
    ),
    "fab-t": AttackSpec(
        "FAB: the nearest boundary, towards nine classes in turn", LINF_L2, "white-box", single_run=True
    ),
    "square": AttackSpec("squares that are kept where they help; by logits only", LINF_L2, "black-box", random=True),
    "apgd-ce-eot": AttackSpec("apgd-ce, each gradient a mean over passes", LINF_L2, "white-box", random=True),
    "apgd-dlr-eot": AttackSpec(
        "apgd-dlr, each gradient a mean over passes", LINF_L2, "white-box", random=True, min_classes=3
    ),
}
"""The parts of AutoAttack, which are implemented here, by name."""

ENSEMBLES: dict[str, tuple[str, ...]] = {
    "autoattack": ("apgd-ce", "apgd-dlr-t", "fab-t", "square"),
    "autoattack-rand": ("apgd-ce-eot", "apgd-dlr-eot"),
}
"""The parts of each ensemble: each attacks what those before it have not broken; `-rand` is for random models."""

ATTACKS: dict[str, AttackSpec] = FOOLBOX_ATTACKS | AUTOATTACK_PARTS

TRANSFERABLE = tuple(
    name for name, spec in FOOLBOX_ATTACKS.items() if spec.needs_gradients and (spec.single_step or not spec.single_run)
)
"""Attacks that use the whole ball, and so transfer; others stop just beyond the boundary of their own model."""


def parts_of(name: str) -> tuple[str, ...]:
    """Return the attacks that an ensemble is made of, or an attack itself."""
    return ENSEMBLES.get(name, (name,))


def spec_of(name: str) -> AttackSpec:
    """Return the spec of an attack, or of the first part of an ensemble, whose parts have the same norms."""
    return ATTACKS[parts_of(name)[0]]


def is_control(name: str) -> bool:
    """Return whether an attack is noise: a control, which shows what a perturbation does that is not optimized."""
    return spec_of(name).kind == "noise"


def repeatable(name: str, parameters: Hyperparameters) -> bool:
    """Return whether other draws can break more images, with these hyperparameters: a fixed start repeats itself."""
    values = parameters.of(name)
    fixed = values.get("grid_search", False) or not values.get("random_start", True)
    return ATTACKS[name].random and not fixed
