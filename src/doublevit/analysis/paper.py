"""What the paper printed, and whether its numbers add up.

*Cross Vision Transformers and Sparse Attention for the Tiny ImageNet Challenge*. Every number is kept as it is printed,
in percent, because its digits say how it was rounded: 70.63 is known ten times better than 70.6, 75 ten times worse.
A `Check` disagrees only where no unrounded numbers could give what is printed.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from decimal import Decimal

COLUMNS_1 = ("Baseline", "Impulse Noise", "Snow", "Motion Blur", "Elastic Transform", "Jpeg", "Average", "% Change")
TABLE_1 = {
    "ViT": ("79.2", "68.0", "68.0", "70.63", "67.2", "70.5", "68.9", "-13.0"),
    "PiT": ("85.3", "67.6", "73.0", "72.6", "70.6", "73.1", "71.4", "-16.3"),
    "DoubleViT": ("81.1", "67.7", "67.6", "70.5", "67.6", "71.1", "68.9", "-15.0"),
    "DoubleViT+Cross": ("81.2", "67.1", "68.7", "71.2", "67.8", "72.1", "69.4", "-14.6"),
    "DoubleViT+2Cross": ("80.7", "65.9", "68.4", "71.2", "68.2", "71.9", "69.1", "-14.4"),
}
COLUMNS_2 = ("Top 1 Val Accuracy", "Top 3 Val Accuracy")
TABLE_2 = {
    "PiT": ("85.5", "93.9"),
    "PiT+Aug": ("85.3", "93.7"),
    "PiT+Aug+Sparse": ("79.7", "90.3"),
    "ViT": ("78.4", "88.1"),
    "ViT+Aug": ("79.1", "88.8"),
    "ViT+Aug+Sparse": ("75", "86.9"),
    "InceptionResnetV2": ("67.3", "80.5"),
    "InceptionResnetV2+Aug": ("67.9", "80.3"),
    "DoubleViT": ("81.1", "90.8"),
    "DoubleViT-Cross": ("81.2", "91.6"),
    "DoubleViT-2Cross": ("80.7", "91.9"),
}
LARGER = "ViT_L_patch16_224_in21k"
MINUTES_PER_EPOCH = {LARGER: "50", "DoubleViT": "20"}  # section 4.1, on a V100
ERRORS = {LARGER: "20.1", "DoubleViT": "18.9"}  # section 4.1
EPOCHS = {"section 3.4": "10", "section 5": "2"}
VAL_IMAGES = 10_000
"""How many images an accuracy is taken to be of: an assumption. The paper says nowhere how many it measured on. Tiny
ImageNet has so many for validation, and so has each severity of a corruption in Tiny ImageNet-C, though which of these
it measured it does not say either. Its released code divides by 10,016."""


@dataclasses.dataclass(frozen=True)
class Check:
    """Something the paper says: `what`; as `stated`; as its other numbers have it; and whether both can be true.

    A number that was computed has its bounds behind it: what it can be, given that what it comes from is rounded. For a
    claim, `stated` names models in the order in which their numbers must rise, and `recomputed` gives the numbers.
    """

    what: str
    stated: str
    recomputed: str
    agrees: bool


@dataclasses.dataclass(frozen=True)
class Counted:
    """An accuracy as images: `right` of `count`, as near as its rounding allows, `count` being `VAL_IMAGES`."""

    table: int
    model: str
    column: str
    printed: str
    right: int
    count: int = VAL_IMAGES


def counted() -> list[Counted]:
    """Every accuracy of a single measurement in both tables (no average, no change), for a binomial interval."""
    tables = ((1, COLUMNS_1[:6], TABLE_1), (2, COLUMNS_2, TABLE_2))
    return [
        Counted(number, model, column, text, round(Decimal(text) * VAL_IMAGES / 100))
        for number, columns, table in tables
        for model, texts in table.items()
        for column, text in zip(columns, texts, strict=False)
    ]


def bounds(printed: str) -> tuple[Decimal, Decimal]:
    """The least and the greatest number that is printed so: half a unit of the last digit to either side."""
    number = Decimal(printed)
    half = Decimal((0, (5,), int(number.as_tuple().exponent) - 1))
    return number - half, number + half


def checks() -> list[Check]:
    """Table 1 recomputed from its own cells, then what is printed twice, then claims that the numbers decide."""
    table = [check for model, texts in TABLE_1.items() for check in _row_checks(model, texts)]
    return [*table, *(_twice(*printed) for printed in TWICE), *(_rising(*claim) for claim in RISING)]


def _row_checks(model: str, texts: Sequence[str]) -> list[Check]:
    """A model's average, and its change by the stated average and by the recomputed one."""
    clean, *cells, average, change = texts
    low, high = map(_mean, zip(*map(bounds, cells), strict=True))
    mean = (_mean([Decimal(cell) for cell in cells]), low, high)
    stated = (Decimal(average), *bounds(average))
    return [
        _recomputed(f"Table 1, {model}: average of its five corruptions", average, mean),
        _recomputed(f"Table 1, {model}: % change, by the stated average", change, _change(clean, stated)),
        _recomputed(f"Table 1, {model}: % change, by the recomputed average", change, _change(clean, mean)),
    ]


Bounded = tuple[Decimal, Decimal, Decimal]
"""A number, the least and the most that it can be."""


def _mean(numbers: Sequence[Decimal]) -> Decimal:
    return sum(numbers, Decimal()) / len(numbers)


def _change(clean: str, average: Bounded) -> Bounded:
    """It rises with the average and falls with the clean accuracy, so that its bounds are at theirs."""
    least, most = bounds(clean)
    number, low, high = (100 * (a / b - 1) for a, b in zip(average, (Decimal(clean), most, least), strict=True))
    return number, low, high


def _recomputed(what: str, stated: str, found: Bounded) -> Check:
    number, low, high = found
    return Check(what, stated, f"{number:.2f} ({low:.2f} to {high:.2f})", _meet(bounds(stated), (low, high)))


def _meet(one: tuple[Decimal, Decimal], other: tuple[Decimal, Decimal]) -> bool:
    """Whether a number can lie in both; not on a common end alone, which is rounded to one side only."""
    return max(one[0], other[0]) < min(one[1], other[1])


def _column(table: Mapping[str, Sequence[str]], index: int) -> dict[str, str]:
    return {model: texts[index] for model, texts in table.items()}


CLEAN, AVERAGE, CHANGE = (_column(TABLE_1, index) for index in (0, 6, 7))
TOP_1, TOP_3 = (_column(TABLE_2, index) for index in (0, 1))
TWICE = (  # what it is, as it is printed in one place, in another
    ("ViT, clean: Table 1; Table 2 with Aug, as section 3.1 says of all", CLEAN["ViT"], TOP_1["ViT+Aug"]),
    ("ViT, clean: Table 1; Table 2 without Aug", CLEAN["ViT"], TOP_1["ViT"]),
    ("PiT, clean: Table 1; Table 2 with Aug", CLEAN["PiT"], TOP_1["PiT+Aug"]),
    ("DoubleViT, clean: Table 1; Table 2", CLEAN["DoubleViT"], TOP_1["DoubleViT"]),
    ("DoubleViT+Cross, clean: Table 1; Table 2", CLEAN["DoubleViT+Cross"], TOP_1["DoubleViT-Cross"]),
    ("DoubleViT+2Cross, clean: Table 1; Table 2", CLEAN["DoubleViT+2Cross"], TOP_1["DoubleViT-2Cross"]),
    *((f"{name}: abstract and section 5; Table 2", "81", TOP_1[name]) for name in [*TOP_1][-3:]),
    ("PiT: section 1; Table 2 with Aug", "85", TOP_1["PiT+Aug"]),
    ("DoubleViT, error: section 4.1; from Table 2", ERRORS["DoubleViT"], str(100 - Decimal(TOP_1["DoubleViT"]))),
    ("epochs: section 3.4, of most models; section 5, of DoubleViT", EPOCHS["section 3.4"], EPOCHS["section 5"]),
)
CROSS_1 = ("DoubleViT", "DoubleViT+Cross", "DoubleViT+2Cross")
CROSS_2 = ("DoubleViT", "DoubleViT-Cross", "DoubleViT-2Cross")
INCEPTION = ("InceptionResnetV2", "InceptionResnetV2+Aug")
RISING = (  # a claim, the numbers it is about, and the models in the order in which these must rise if it is true
    ("section 3.1: AugMix is consistently better: PiT, top 1, without and with Aug", TOP_1, ("PiT", "PiT+Aug")),
    ("section 3.1: AugMix is consistently better: ViT, top 1, without and with Aug", TOP_1, ("ViT", "ViT+Aug")),
    ("section 3.1: AugMix is consistently better: InceptionResnetV2, the same", TOP_1, INCEPTION),
    ("section 3.3: sparse attention lowers accuracy: PiT", TOP_1, ("PiT+Aug+Sparse", "PiT+Aug")),
    ("section 3.3: sparse attention lowers accuracy: ViT", TOP_1, ("ViT+Aug+Sparse", "ViT+Aug")),
    ("section 4.1: DoubleViT errs less than the larger ViT", ERRORS, ("DoubleViT", LARGER)),
    ("section 4.1: its epochs are shorter", MINUTES_PER_EPOCH, ("DoubleViT", LARGER)),
    ("section 4.2: ViT is the worst of all models on clean images", TOP_1, ("ViT", "InceptionResnetV2")),
    ("section 4.2: top 3 rises with cross attention", TOP_3, CROSS_2),
    ("section 4.3: ViT is the worst of Table 1 on clean images", CLEAN, ("ViT", "DoubleViT+2Cross")),
    ("section 4.3: ViT is the most robust, by % change", CHANGE, ("DoubleViT+2Cross", "ViT")),
    ("section 4.3: PiT is the least robust, by % change", CHANGE, ("PiT", "DoubleViT")),
    ("PiT is the least robust, by average: not the paper's measure", AVERAGE, ("PiT", "DoubleViT")),
    ("section 4.3: robustness rises with cross attention, by % change", CHANGE, CROSS_1),
    ("robustness rises with cross attention, by average: not the paper's measure", AVERAGE, CROSS_1),
    ("section 5: cross attention benefits clean accuracy: one layer", CLEAN, ("DoubleViT", "DoubleViT+Cross")),
    ("section 5: cross attention benefits clean accuracy: two layers", CLEAN, ("DoubleViT", "DoubleViT+2Cross")),
)


def _twice(what: str, one: str, other: str) -> Check:
    return Check(what, one, other, _meet(bounds(one), bounds(other)))


def _rising(what: str, numbers: Mapping[str, str], models: Sequence[str]) -> Check:
    """As printed: numbers that differ there are in the same order unrounded."""
    texts = [numbers[model] for model in models]
    agrees = all(Decimal(low) < Decimal(high) for low, high in itertools.pairwise(texts))
    return Check(what, " < ".join(models), ", ".join(texts), agrees)
