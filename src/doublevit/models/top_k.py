"""The number of keys that each query of sparse attention attends to, written `16`, `10%`, `32,16,8` or `none`."""

import dataclasses
import fractions
import math
import re

from doublevit.errors import UserError

NONE, AS_TRAINED = "none", "as-trained"
EXPECTED = (
    "expected none, a number of keys from 1, a fraction of them as 10%, or one of these for each stage as 32,16,8"
)


@dataclasses.dataclass(frozen=True)
class TopK:
    """Numbers of keys (int) or fractions of them (Fraction in 0..1): one for all or for each stage of a network."""

    parts: tuple[int | fractions.Fraction, ...]

    @classmethod
    def parse(cls, text: str, argument: str = "model.top_k") -> "TopK | None":
        """Parse `text`, None for `none`; errors name the `argument`.

        Raises:
            UserError: the text has none of the forms, or a number is out of range.
        """
        if text.lower() == NONE:
            return None
        return cls(tuple(_part(part, f"`{argument}` {text!r}: {EXPECTED}") for part in text.split(",")))

    def __str__(self) -> str:
        """Return the canonical text: "16", "10%", "32,16,8"."""
        return ",".join(str(part) if isinstance(part, int) else f"{float(100 * part):g}%" for part in self.parts)

    def at(self, stage: int) -> int | fractions.Fraction:
        """Return the number or fraction for a stage, counted from 0; the last one holds for all that follow."""
        return self.parts[min(stage, len(self.parts) - 1)]


def keys_kept(part: int | fractions.Fraction, keys: int) -> int:
    """Return how many of `keys` keys are kept, from 1 to all; fractions are rounded up."""
    return max(1, min(keys, part if isinstance(part, int) else math.ceil(part * keys)))


Recorded = tuple[int | float, ...] | None
"""Top-k as results record it: keys (int) or fractions (float) for each stage, or one for all; None is dense."""


def recorded(text: str) -> Recorded:
    """Convert the text of top-k to the form that results record."""
    top_k = TopK.parse(text)
    if top_k is None:
        return None
    return tuple(part if isinstance(part, int) else float(part) for part in top_k.parts)


def show(top_k: Recorded) -> str:
    """Convert the recorded form of top-k to text: "none", "16", "10%", "32,16,8"."""
    parts = (str(part) if isinstance(part, int) else f"{100 * part:g}%" for part in top_k or ())
    return ",".join(parts) or NONE


def mention(top_k: Recorded, lead: str = "") -> str:
    """Describe sparse attention behind `lead`: ", top-k 16"; "" if attention is dense."""
    return f"{lead}top-k {show(top_k)}" if top_k else ""


def _part(text: str, complaint: str) -> int | fractions.Fraction:
    try:
        text = (
            text if re.fullmatch(r"\s*[-+]?[\d.]{1,20}%?\s*", text, re.ASCII) else ""
        )  # Fraction("1e999999999") is huge
        value = fractions.Fraction(text[:-1]) / 100 if text.endswith("%") else int(text)
    except (ValueError, ZeroDivisionError):
        raise UserError(complaint) from None
    if value < 1 if isinstance(value, int) else not 0 < value <= 1:
        raise UserError(complaint)
    return value
