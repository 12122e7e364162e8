"""Options and policies of augmentation, by name only: without torch, importing them is quick."""

import dataclasses
from collections.abc import Iterable
from typing import Literal

from doublevit.errors import UserError, unknown

POLICIES: dict[str, str] = {
    "none": "the images as they are",
    "crop": "random crop: for digits and text, which must not flip",
    "basic": "random crop, horizontal flip",
    "classic": "random crop, both flips, rotation, color jitter, Cutout: the paper's first trials",
    "augmix": "basic, then AugMix with timm's 13 operations, four of which are also test corruptions",
    "augmix-strict": "basic, then AugMix with the nine operations that its authors allow",
    "augmix-jsd": "augmix on two more views of each image, with the Jensen-Shannon consistency loss",
    "randaugment": "basic, then timm's rand-m9-n2-mstd0.5-inc1",
    "trivial": "basic, then one operation of any strength: torchvision's TrivialAugmentWide",
}

# The operations of the AugMix paper, none of which is a test corruption of ImageNet-C.
STRICT = (
    "autocontrast",
    "equalize",
    "rotate",
    "posterize",
    "solarize",
    "shear-x",
    "shear-y",
    "translate-x",
    "translate-y",
)
OVERLAPPING = ("color", "contrast", "brightness", "sharpness")
OPERATION_SETS: dict[str, tuple[str, ...]] = {"timm": (*STRICT, *OVERLAPPING), "strict": STRICT}
OPERATIONS = (*STRICT, *OVERLAPPING, "invert", "solarize-add")
PLACES = {"image": "at the image's own size", "input": "at the network's input size"}
MAX_LENGTH = 32  # of chains, and their largest number
# The operations, beside crop and flip, of the policies that offer no choice of them.
FIXED: dict[str, tuple[str, ...]] = {
    "classic": ("rotate", "brightness", "contrast", "color", "hue"),
    "randaugment": OPERATIONS,
    "trivial": ("identity", *STRICT, *OVERLAPPING),
}


def expand(names: Iterable[str]) -> tuple[str, ...]:
    """Expand a mixture of names of operations and of sets to operations, each once.

    Raises:
        UserError: a name is unknown; near names are suggested.
    """
    known = {**{name: (name,) for name in OPERATIONS}, **OPERATION_SETS}
    chosen: dict[str, None] = {}
    for name in names:
        if name not in known:
            raise unknown("operation", name, known)
        chosen |= dict.fromkeys(known[name])
    return tuple(chosen)


@dataclasses.dataclass(frozen=True)
class AugMixConfig:
    """AugMix: several chains of random operations, mixed at random with one another and with the image."""

    severity: float = 3.0
    """Largest magnitude of an operation, 0 to 10; each operation draws its magnitude below that."""
    width: int = 3
    """Number of chains."""
    depth: int = -1
    """Number of operations in a chain; -1: 1, 2 or 3 at random."""
    alpha: float = 1.0
    """Parameter of the Dirichlet distribution of the chains' weights and the Beta distribution of the image's."""
    operations: tuple[str, ...] = ()
    """timm (13), strict (9), or names of operations; if not given, strict for augmix-strict and timm for the others."""

    def __post_init__(self) -> None:
        if not 0 <= self.severity <= 10:
            raise UserError(f"`augment.augmix.severity`: expected 0 to 10, found {self.severity}")
        if self.width not in range(1, MAX_LENGTH + 1):
            raise UserError(f"`augment.augmix.width`: expected 1 to {MAX_LENGTH} chains, found {self.width}")
        if self.depth not in (-1, *range(1, MAX_LENGTH + 1)):
            raise UserError(f"`augment.augmix.depth`: expected 1 to {MAX_LENGTH}, or -1 for 1 to 3, found {self.depth}")
        if not 0.1 <= self.alpha <= 1000:
            raise UserError(f"`augment.augmix.alpha`: expected 0.1 to 1000, found {self.alpha}")
        expand(self.operations)


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """How training images are augmented."""

    policy: str = "basic"
    """none, crop, basic, classic, augmix, augmix-strict, augmix-jsd, randaugment, trivial: see `doublevit recipes`."""
    place: Literal["image", "input"] = "image"
    """Augment before resizing (image), or after it at the network's input size (input: the paper's order; slower)."""
    crop_size: int | None = None
    """Side in pixels of the random crop; if not given, the image's. Images are padded by 8/224 of their sides first."""
    scale: float | None = None
    """Crop by the random resized crop instead: the least area, as a fraction of the image's (timm's --scale: 0.08)."""
    erasing: float = 0.0
    """Probability of random erasing: noise in a box of 2 to 33 % of the image (timm's --reprob, --remode pixel)."""
    mixup: float = 0.0
    """Alpha of Mixup: images and labels are blended in pairs; 0: none."""
    cutmix: float = 0.0
    """Alpha of CutMix: a rectangle of each image is another's; 0: none. With Mixup, each image gets one of the two."""
    augmix: AugMixConfig = AugMixConfig()

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise unknown("augmentation policy", self.policy, POLICIES)
        self._check_numbers()
        if self.place not in PLACES:
            raise unknown("place for augmentation", self.place, PLACES)
        if self.consistency and (self.mixup or self.cutmix):
            raise UserError(
                "`augment.policy=augmix-jsd` compares views of one image, `augment.mixup` and `augment.cutmix` blend"
                " two: choose one of them"
            )
        self._refuse_what_does_nothing()

    def _check_numbers(self) -> None:
        for name in ("mixup", "cutmix"):
            if not 0 <= getattr(self, name) <= 1000:
                raise UserError(f"`augment.{name}`: expected 0 (none) to 1000, found {getattr(self, name)}")
        if not 0 <= self.erasing <= 1:
            raise UserError(f"`augment.erasing`: expected a probability, 0 (none) to 1, found {self.erasing}")
        if self.scale is not None and not 0 < self.scale <= 1:
            raise UserError(f"`augment.scale`: expected a fraction of the area, above 0 to 1, found {self.scale}")
        if self.crop_size is not None and not (isinstance(self.crop_size, int) and self.crop_size > 0):
            raise UserError(f"`augment.crop_size`: expected a whole number above 0, found {self.crop_size}")

    def _refuse_what_does_nothing(self) -> None:
        mixes = self.policy.startswith("augmix")
        if self.augmix != AugMixConfig() and not mixes:
            raise UserError(f"`augment.augmix` changes nothing in {self.policy}; add `augment.policy=augmix`")
        if self.crop_size is not None and self.policy == "none":
            raise UserError("`augment.crop_size`: the policy none does not crop; choose another one")
        if self.scale is not None and self.policy == "none":
            raise UserError("`augment.scale`: the policy none does not crop; choose another one")
        if self.scale is not None and self.crop_size is not None and self.place == "input":
            raise UserError(
                "`augment.crop_size`: with `augment.scale` and `augment.place=input` regions are resized to the"
                " network's input; leave it out"
            )
        lenient = [name for name in self.operations if name not in STRICT]
        if self.policy == "augmix-strict" and lenient:
            raise UserError(f"`augment.policy=augmix-strict` leaves out {', '.join(lenient)}; for these choose augmix")

    @property
    def consistency(self) -> bool:
        """Whether the policy makes several views of each image, which the loss compares."""
        return self.policy == "augmix-jsd"

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations on colors and geometry, beside crop and flip."""
        if not self.policy.startswith("augmix"):
            return FIXED.get(self.policy, ())
        return expand(self.augmix.operations or (("strict",) if self.policy == "augmix-strict" else ("timm",)))

    def check_size(self, height: int, width: int) -> None:
        """Check that images of this size can be cropped to `crop_size`.

        Raises:
            UserError: the crop is larger than the image with its padding.
        """
        largest = min(side + 2 * crop_padding(side) for side in (height, width))
        if self.scale is None and self.crop_size is not None and self.crop_size > largest:
            raise UserError(
                f"`augment.crop_size` {self.crop_size}: expected at most {largest}, since the images are"
                f" {height} x {width} pixels with a padding of {crop_padding(min(height, width))}"
            )


def crop_padding(side: int) -> int:
    """Return the padding in pixels of a side of this length before a random crop: 8 at 224, as in the paper's code."""
    return max(1, round(8 / 224 * side))


def describe(config: AugmentConfig) -> str:
    """Describe policy, operations and place in one line, for the report of a run."""
    mixed, sets = config.augmix, {operations: name for name, operations in OPERATION_SETS.items()}
    parts = [config.policy]
    if config.policy.startswith("augmix"):
        depth = "1 to 3" if mixed.depth == -1 else mixed.depth
        chains = "1 chain" if mixed.width == 1 else f"{mixed.width} chains"
        parts.append(f"severity {mixed.severity:g}, {chains} of {depth}, alpha {mixed.alpha:g}")
    if config.operations in sets:
        parts.append(f"operations {sets[config.operations]} ({len(config.operations)})")
    elif config.operations:
        parts.append(f"operations {' '.join(config.operations)}")
    overlap = [name for name in config.operations if name in OVERLAPPING]
    if overlap:
        parts.append(f"overlapping the test corruptions in {' '.join(overlap)}")
    parts += [f"{name} {alpha:g}" for name, alpha in (("mixup", config.mixup), ("cutmix", config.cutmix)) if alpha]
    parts += [f"crops of {config.crop_size} pixels"] if config.crop_size else []
    parts += [f"random resized crop of {config.scale:g} to 1"] if config.scale else []
    parts += [f"random erasing {config.erasing:g}"] if config.erasing else []
    parts.append(PLACES[config.place])
    return ", ".join(parts)
