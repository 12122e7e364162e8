"""Every attack by its name: what must be known of it before it runs. No torch and no Foolbox here.

Foolbox's attacks follow Foolbox 3.3.4. The parts of AutoAttack are those of Croce and Hein (2020), "Reliable evaluation
of adversarial robustness with an ensemble of diverse parameter-free attacks".
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

from doublevit.attacks.hyperparameters import Hyperparameters

ALL = ("linf", "l2", "l1")
BALLS = ("linf", "l2")

ARGUMENTS = {
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
    """What must be known of an attack before it runs.

    Args:
        note: one line for people.
        norms: those that it can run in; an attack without any moves images out of every ball.
        kind: what it asks of the model: gradients ("white-box"), predictions ("black-box"), predictions on noise, or
            predictions on changes that people would make.
        class_names: the class of `foolbox.attacks` for each norm, or the one that serves all; none for our own attacks.
        shared: one run serves every epsilon.
        random: repeating it with other draws can find more, see `repeatable`.
        min_classes: the fewest classes that it works with.
        arguments: Foolbox's names for hyperparameters, where this attack's differ from `ARGUMENTS`.
        norm_argument: the argument that tells Foolbox the norm, where one class serves several.
        one_gradient: it takes one step, whose gradient does not depend on epsilon.
        from_outside: it walks from an image of another class to the clean image.
        black_fails: where it finds nothing, Foolbox returns a black image.
    """

    note: str
    norms: tuple[str, ...]
    kind: Literal["white-box", "black-box", "noise", "transformation"]
    class_names: tuple[str, ...] = ()
    shared: bool = False
    random: bool = False
    min_classes: int = 2
    arguments: Mapping[str, str] = dataclasses.field(default_factory=dict)
    norm_argument: str | None = None
    one_gradient: bool = False
    from_outside: bool = False
    black_fails: bool = False

    @property
    def needs_gradients(self) -> bool:
        """Whether it differentiates the model."""
        return self.kind == "white-box"

    def class_name(self, norm: str | None) -> str:
        """The class of `foolbox.attacks` that runs it in a norm (None for an attack without norms)."""
        if norm is None or len(self.class_names) == 1:
            return self.class_names[0]
        return self.class_names[self.norms.index(norm)]


def _each(name: str) -> tuple[str, ...]:
    """The three classes of Foolbox whose names differ in the norm that they begin with."""
    return tuple(prefix + name for prefix in ("Linf", "L2", "L1"))


FOOLBOX: dict[str, AttackSpec] = {
    "fgsm": AttackSpec(
        "one step along the gradient's sign, or the gradient",
        ALL,
        "white-box",
        _each("FastGradientAttack"),
        shared=True,
        one_gradient=True,
    ),
    "pgd": AttackSpec(
        "projected gradient descent", ALL, "white-box", _each("ProjectedGradientDescentAttack"), random=True
    ),
    "paper": AttackSpec(
        "the paper's pgd: 10 steps of epsilon/30, too short to go far",
        ("linf",),
        "white-box",
        ("LinfProjectedGradientDescentAttack",),
        random=True,
    ),
    "bim": AttackSpec(
        "the basic iterative method: pgd from the image", ALL, "white-box", _each("BasicIterativeAttack")
    ),
    "mi-fgsm": AttackSpec("bim with momentum", ALL, "white-box", _each("MomentumIterativeFastGradientMethod")),
    "adam-pgd": AttackSpec(
        "pgd with Adam's steps", ALL, "white-box", _each("AdamProjectedGradientDescentAttack"), random=True
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
        shared=True,
        black_fails=True,
    ),
    "ead": AttackSpec(
        "elastic net: smallest L1 with some L2",
        ("l1",),
        "white-box",
        ("EADAttack",),
        shared=True,
        black_fails=True,
        arguments={"step": "initial_stepsize"},
    ),
    "deepfool": AttackSpec(
        "DeepFool: the nearest linear boundary",
        BALLS,
        "white-box",
        ("LinfDeepFoolAttack", "L2DeepFoolAttack"),
        shared=True,
    ),
    "fmn": AttackSpec(
        "fast minimum norm", ALL, "white-box", ("LInfFMNAttack", "L2FMNAttack", "L1FMNAttack"), shared=True
    ),
    "ddn": AttackSpec("decoupled direction and norm: smallest L2", ("l2",), "white-box", ("DDNAttack",), shared=True),
    "hopskipjump": AttackSpec(
        "HopSkipJump, from decisions only",
        BALLS,
        "black-box",
        ("HopSkipJumpAttack",),
        shared=True,
        random=True,
        from_outside=True,
        norm_argument="constraint",
    ),
    "boundary": AttackSpec(
        "a random walk along the boundary",
        ("l2",),
        "black-box",
        ("BoundaryAttack",),
        shared=True,
        random=True,
        from_outside=True,
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
        BALLS,
        "noise",
        ("LinfRepeatedAdditiveUniformNoiseAttack", "L2ClippingAwareRepeatedAdditiveUniformNoiseAttack"),
        random=True,
    ),
    "salt-and-pepper": AttackSpec(
        "as few black and white pixels as fool", ALL, "noise", ("SaltAndPepperNoiseAttack",), shared=True, random=True
    ),
    "blended-noise": AttackSpec(
        "as little of a noise picture as fools",
        ALL,
        "noise",
        ("LinearSearchBlendedUniformNoiseAttack",),
        shared=True,
        random=True,
    ),
    "gaussian-blur": AttackSpec("as little blur as fools", ALL, "transformation", ("GaussianBlurAttack",), shared=True),
    "contrast-reduction": AttackSpec(
        "as little loss of contrast as fools",
        ALL,
        "transformation",
        ("BinarySearchContrastReductionAttack",),
        shared=True,
    ),
    "inversion": AttackSpec("the negative", ALL, "transformation", ("InversionAttack",), shared=True),
    "spatial": AttackSpec(
        "shifts and turns; no ball", (), "transformation", ("SpatialAttack",), shared=True, random=True
    ),
}
"""Attacks that Foolbox runs."""

PARTS: dict[str, AttackSpec] = {
    "apgd-ce": AttackSpec("Auto-PGD on the cross-entropy", BALLS, "white-box", random=True),
    "apgd-dlr": AttackSpec(
        "Auto-PGD on the difference of logits ratio", BALLS, "white-box", random=True, min_classes=3
    ),
    "apgd-dlr-t": AttackSpec(
        "the same, towards the nine likeliest classes in turn", BALLS, "white-box", random=True, min_classes=4
    ),
    "fab-t": AttackSpec("FAB: the nearest boundary, towards nine classes in turn", BALLS, "white-box", shared=True),
    "square": AttackSpec("squares that are kept where they help; by logits only", BALLS, "black-box", random=True),
    "apgd-ce-eot": AttackSpec("apgd-ce, each gradient a mean over passes", BALLS, "white-box", random=True),
    "apgd-dlr-eot": AttackSpec(
        "apgd-dlr, each gradient a mean over passes", BALLS, "white-box", random=True, min_classes=3
    ),
}
"""Our own attacks: the parts of AutoAttack."""

ENSEMBLES: dict[str, tuple[str, ...]] = {
    "autoattack": ("apgd-ce", "apgd-dlr-t", "fab-t", "square"),
    "autoattack-rand": ("apgd-ce-eot", "apgd-dlr-eot"),
}
"""Each part attacks what those before it have left. `autoattack` is the standard version, `-rand` for random models."""

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
"""Classes of `foolbox.attacks` without a name, and why; errors are those of Foolbox 3.3.4."""

ATTACKS: dict[str, AttackSpec] = FOOLBOX | PARTS

TRANSFERABLE = tuple(
    name for name, spec in FOOLBOX.items() if spec.needs_gradients and (spec.one_gradient or not spec.shared)
)
"""Attacks that go as far as the ball allows; others stop at the border of the model that they see."""


def parts_of(name: str) -> tuple[str, ...]:
    """The attacks that an ensemble is made of; an attack itself."""
    return ENSEMBLES.get(name, (name,))


def spec_of(name: str) -> AttackSpec:
    """What must be known of an attack, or of the first part of an ensemble, whose parts have the same norms."""
    return ATTACKS[parts_of(name)[0]]


def is_control(name: str) -> bool:
    """Whether it is noise, which shows what a perturbation does that is not aimed."""
    return spec_of(name).kind == "noise"


def repeatable(name: str, parameters: Hyperparameters) -> bool:
    """Whether other draws can find more, with these hyperparameters: a fixed start repeats itself."""
    chosen = parameters.of(name)
    fixed = chosen.get("grid_search", False) or not chosen.get("random_start", True)
    return ATTACKS[name].random and not fixed
