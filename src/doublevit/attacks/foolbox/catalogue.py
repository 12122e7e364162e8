"""Which attacks of Foolbox there are by name, and why others are not. No torch and no Foolbox here."""

from doublevit.attacks.entry import Entry
from doublevit.attacks.knobs.parameters import Parameters

ALL = ("linf", "l2", "l1")


FOOLBOX: dict[str, Entry] = {
    "fgsm": Entry("one step along the gradient's sign, or the gradient", ALL, "white-box", shared=True),
    "pgd": Entry("projected gradient descent", ALL, "white-box", random=True),
    "paper": Entry("the paper's pgd: 10 steps of epsilon/30, too short to go far", ("linf",), "white-box", random=True),
    "bim": Entry("the basic iterative method: pgd from the photo", ALL, "white-box"),
    "mi-fgsm": Entry("bim with momentum", ALL, "white-box"),
    "adam-pgd": Entry("pgd with Adam's steps", ALL, "white-box", random=True),
    "adam-bim": Entry("bim with Adam's steps", ("linf",), "white-box"),
    "sparse-l1-descent": Entry("pgd for L1 that changes few pixels", ("l1",), "white-box"),
    "vat": Entry("where the prediction changes most, without the label", ("l2",), "white-box", random=True),
    "cw": Entry("Carlini and Wagner: smallest L2", ("l2",), "white-box", shared=True),
    "ead": Entry("elastic net: smallest L1 with some L2", ("l1",), "white-box", shared=True),
    "deepfool": Entry("DeepFool: the nearest linear boundary", ("linf", "l2"), "white-box", shared=True),
    "fmn": Entry("fast minimum norm", ALL, "white-box", shared=True),
    "ddn": Entry("decoupled direction and norm: smallest L2", ("l2",), "white-box", shared=True),
    "hopskipjump": Entry("HopSkipJump, from decisions only", ("linf", "l2"), "black-box", shared=True, random=True),
    "boundary": Entry("a random walk along the boundary", ("l2",), "black-box", shared=True, random=True),
    "gaussian-noise": Entry("Gaussian noise of size epsilon", ("l2",), "noise", random=True),
    "uniform-noise": Entry("uniform noise of size epsilon", ("linf", "l2"), "noise", random=True),
    "salt-and-pepper": Entry("as few black and white pixels as fool", ALL, "noise", shared=True, random=True),
    "blended-noise": Entry("as little of a noise picture as fools", ALL, "noise", shared=True, random=True),
    "gaussian-blur": Entry("as little blur as fools", ALL, "transformation", shared=True),
    "contrast-reduction": Entry("as little loss of contrast as fools", ALL, "transformation", shared=True),
    "inversion": Entry("the negative", ALL, "transformation", shared=True),
    "spatial": Entry("shifts and turns; no ball", (), "transformation", shared=True, random=True),
}

CLASSES: dict[str, tuple[str, ...]] = {
    "fgsm": ("LinfFastGradientAttack", "L2FastGradientAttack", "L1FastGradientAttack"),
    "pgd": (
        "LinfProjectedGradientDescentAttack",
        "L2ProjectedGradientDescentAttack",
        "L1ProjectedGradientDescentAttack",
    ),
    "paper": ("LinfProjectedGradientDescentAttack",),
    "bim": ("LinfBasicIterativeAttack", "L2BasicIterativeAttack", "L1BasicIterativeAttack"),
    "mi-fgsm": (
        "LinfMomentumIterativeFastGradientMethod",
        "L2MomentumIterativeFastGradientMethod",
        "L1MomentumIterativeFastGradientMethod",
    ),
    "adam-pgd": (
        "LinfAdamProjectedGradientDescentAttack",
        "L2AdamProjectedGradientDescentAttack",
        "L1AdamProjectedGradientDescentAttack",
    ),
    "adam-bim": ("LinfAdamBasicIterativeAttack",),
    "sparse-l1-descent": ("SparseL1DescentAttack",),
    "vat": ("VirtualAdversarialAttack",),
    "cw": ("L2CarliniWagnerAttack",),
    "ead": ("EADAttack",),
    "deepfool": ("LinfDeepFoolAttack", "L2DeepFoolAttack"),
    "fmn": ("LInfFMNAttack", "L2FMNAttack", "L1FMNAttack"),
    "ddn": ("DDNAttack",),
    "hopskipjump": ("HopSkipJumpAttack",),
    "boundary": ("BoundaryAttack",),
    "gaussian-noise": ("L2ClippingAwareRepeatedAdditiveGaussianNoiseAttack",),
    "uniform-noise": (
        "LinfRepeatedAdditiveUniformNoiseAttack",
        "L2ClippingAwareRepeatedAdditiveUniformNoiseAttack",
    ),
    "salt-and-pepper": ("SaltAndPepperNoiseAttack",),
    "blended-noise": ("LinearSearchBlendedUniformNoiseAttack",),
    "gaussian-blur": ("GaussianBlurAttack",),
    "contrast-reduction": ("BinarySearchContrastReductionAttack",),
    "inversion": ("InversionAttack",),
    "spatial": ("SpatialAttack",),
}
"""By name the class of `foolbox.attacks` for each of the entry's norms, or the one that serves them all."""

_NO_L0 = "its ball of changed pixels is none of our norms, and Foolbox cannot cut to it either"
_NUMBA = "needs numba, which Foolbox does not bring and takes half a minute to compile it"
_AS_BIM = "Foolbox forgets Adam in this norm: it is bim to the bit"
_UNAWARE = "smaller than epsilon once it is cut to [0, 1]; the noise attacks here are not"
_ONCE = "as {} with --attack.{}.repeats 1"

LEFT_OUT: dict[str, str] = {
    "Attack": "the base class",
    "BinarizationRefinementAttack": "needs another attack's images and a model that binarises",
    "DatasetAttack": "needs photos of a data set to start from",
    "GenAttack": "targeted only: ValueError, unsupported criterion",
    "PointwiseAttack": "broken: AttributeError, no attribute _distance",
    "NewtonFoolAttack": "broken: NaN for most photos, since it divides by the gradient's norm to the fourth power",
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


def repeatable(name: str, parameters: Parameters) -> bool:
    """Whether repeating the attack with other draws can find more, by its knobs too: a fixed start repeats itself."""
    knobs = parameters.of(name)
    fixed = knobs.get("grid_search", False) or not knobs.get("random_start", True)
    return FOOLBOX[name].random and not fixed
