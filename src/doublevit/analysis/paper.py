"""The numbers that the paper printed, and checks whether they add up.

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
LARGER_VIT = "ViT_L_patch16_224_in21k"
MINUTES_PER_EPOCH = {LARGER_VIT: "50", "DoubleViT": "20"}  # section 4.1, on a V100
ERRORS = {LARGER_VIT: "20.1", "DoubleViT": "18.9"}  # section 4.1
EPOCHS = {"section 3.4": "10", "section 5": "2"}
VAL_IMAGES = 10_000
"""How many images an accuracy is taken to be of: an assumption. The paper says nowhere how many it measured on. Tiny
ImageNet has so many for validation, and so has each severity of a corruption in Tiny ImageNet-C, though which of these
it measured it does not say either. Its released code divides by 10,016."""


@dataclasses.dataclass(frozen=True)
class Check:
    """Holds a claim of the paper as `stated`, as `recomputed` from its other numbers, and whether the two can agree.

    A recomputed number is followed by its bounds, since the numbers it comes from are rounded. For a claim of order,
    `stated` names models in the order in which their numbers must rise, and `recomputed` gives these numbers.
    """

    claim: str
    stated: str
    recomputed: str
    agrees: bool


@dataclasses.dataclass(frozen=True)
class PrintedAccuracy:
    """Holds a printed accuracy as `correct` of `count` images, as near as its rounding allows."""

    table: int
    model: str
    column: str
    printed: str
    correct: int
    count: int = VAL_IMAGES


def printed_accuracies() -> list[PrintedAccuracy]:
    """List every accuracy of a single measurement in both tables (no average, no change), for binomial intervals."""
    tables = ((1, COLUMNS_1[:6], TABLE_1), (2, COLUMNS_2, TABLE_2))
    return [
        PrintedAccuracy(number, model, column, text, round(Decimal(text) * VAL_IMAGES / 100))
        for number, columns, table in tables
        for model, texts in table.items()
        for column, text in zip(columns, texts, strict=False)
    ]


def rounding_bounds(printed: str) -> tuple[Decimal, Decimal]:
    """Return the least and the greatest number printed so: half a unit of the last digit to either side."""
    number = Decimal(printed)
    half = Decimal((0, (5,), int(number.as_tuple().exponent) - 1))
    return number - half, number + half


def checks() -> list[Check]:
    """Check Table 1 against its own cells, then numbers that are printed twice, then claims about their order."""
    table = [check for model, texts in TABLE_1.items() for check in _row_checks(model, texts)]
    return [
        *table,
        *(_check_twice(*numbers) for numbers in PRINTED_TWICE),
        *(_check_order(*claim) for claim in CLAIMS_OF_ORDER),
    ]


def _row_checks(model: str, texts: Sequence[str]) -> list[Check]:
    """Check a model's average, and its % change by the stated average and by the recomputed one."""
    clean, *cells, average, change = texts
    low, high = map(_mean, zip(*map(rounding_bounds, cells), strict=True))
    mean = (_mean([Decimal(cell) for cell in cells]), low, high)
    stated = (Decimal(average), *rounding_bounds(average))
    return [
        _check_recomputed(f"Table 1, {model}: average of its five corruptions", average, mean),
        _check_recomputed(f"Table 1, {model}: % change, by the stated average", change, _change(clean, stated)),
        _check_recomputed(f"Table 1, {model}: % change, by the recomputed average", change, _change(clean, mean)),
    ]


Bounded = tuple[Decimal, Decimal, Decimal]
"""A number, with the least and the greatest that it can be."""


def _mean(numbers: Sequence[Decimal]) -> Decimal:
    return sum(numbers, Decimal()) / len(numbers)


def _change(clean: str, average: Bounded) -> Bounded:
    """Return the % change; its bounds follow, since it rises with the average and falls with the clean accuracy."""
    least, greatest = rounding_bounds(clean)
    divisors = (Decimal(clean), greatest, least)
    number, low, high = (100 * (value / divisor - 1) for value, divisor in zip(average, divisors, strict=True))
    return number, low, high


def _check_recomputed(claim: str, stated: str, recomputed: Bounded) -> Check:
    number, low, high = recomputed
    return Check(
        claim, stated, f"{number:.2f} ({low:.2f} to {high:.2f})", _overlap(rounding_bounds(stated), (low, high))
    )


def _overlap(first: tuple[Decimal, Decimal], second: tuple[Decimal, Decimal]) -> bool:
    """Return whether a number can lie in both intervals; not a common end, which is rounded to one side only."""
    return max(first[0], second[0]) < min(first[1], second[1])


def _column(table: Mapping[str, Sequence[str]], index: int) -> dict[str, str]:
    return {model: texts[index] for model, texts in table.items()}


CLEAN, AVERAGE, CHANGE = (_column(TABLE_1, index) for index in (0, 6, 7))
TOP_1, TOP_3 = (_column(TABLE_2, index) for index in (0, 1))
PRINTED_TWICE = (  # the claim, its number in one place, its number in another
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
CROSS_NAMES_1 = ("DoubleViT", "DoubleViT+Cross", "DoubleViT+2Cross")  # as Table 1 spells them
CROSS_NAMES_2 = ("DoubleViT", "DoubleViT-Cross", "DoubleViT-2Cross")  # as Table 2 spells them
INCEPTION = ("InceptionResnetV2", "InceptionResnetV2+Aug")
CLAIMS_OF_ORDER = (  # the claim, its numbers, and the models in the order in which these rise if it is true
    ("section 3.1: AugMix is consistently better: PiT, top 1, without and with Aug", TOP_1, ("PiT", "PiT+Aug")),
    ("section 3.1: AugMix is consistently better: ViT, top 1, without and with Aug", TOP_1, ("ViT", "ViT+Aug")),
    ("section 3.1: AugMix is consistently better: InceptionResnetV2, the same", TOP_1, INCEPTION),
    ("section 3.3: sparse attention lowers accuracy: PiT", TOP_1, ("PiT+Aug+Sparse", "PiT+Aug")),
    ("section 3.3: sparse attention lowers accuracy: ViT", TOP_1, ("ViT+Aug+Sparse", "ViT+Aug")),
    ("section 4.1: DoubleViT errs less than the larger ViT", ERRORS, ("DoubleViT", LARGER_VIT)),
    ("section 4.1: its epochs are shorter", MINUTES_PER_EPOCH, ("DoubleViT", LARGER_VIT)),
    ("section 4.2: ViT is the worst of all models on clean images", TOP_1, ("ViT", "InceptionResnetV2")),
    ("section 4.2: top 3 rises with cross attention", TOP_3, CROSS_NAMES_2),
    ("section 4.3: ViT is the worst of Table 1 on clean images", CLEAN, ("ViT", "DoubleViT+2Cross")),
    ("section 4.3: ViT is the most robust, by % change", CHANGE, ("DoubleViT+2Cross", "ViT")),
    ("section 4.3: PiT is the least robust, by % change", CHANGE, ("PiT", "DoubleViT")),
    ("PiT is the least robust, by average: not the paper's measure", AVERAGE, ("PiT", "DoubleViT")),
    ("section 4.3: robustness rises with cross attention, by % change", CHANGE, CROSS_NAMES_1),
    ("robustness rises with cross attention, by average: not the paper's measure", AVERAGE, CROSS_NAMES_1),
    ("section 5: cross attention benefits clean accuracy: one layer", CLEAN, ("DoubleViT", "DoubleViT+Cross")),
    ("section 5: cross attention benefits clean accuracy: two layers", CLEAN, ("DoubleViT", "DoubleViT+2Cross")),
)


def _check_twice(claim: str, first: str, second: str) -> Check:
    return Check(claim, first, second, _overlap(rounding_bounds(first), rounding_bounds(second)))


def _check_order(claim: str, numbers: Mapping[str, str], models: Sequence[str]) -> Check:
    """Check an order of numbers as printed: those that differ in print are in the same order unrounded."""
    texts = [numbers[model] for model in models]
    agrees = all(Decimal(low) < Decimal(high) for low, high in itertools.pairwise(texts))
    return Check(claim, " < ".join(models), ", ".join(texts), agrees)
