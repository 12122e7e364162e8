"""Sizes of perturbations in units of the pixel range [0, 1], written as people write them: n/255."""

import math
from collections.abc import Sequence

from doublevit.errors import UserError

ARGUMENT = "`attack.epsilons`"
LEVELS = 255  # brightest value of a stored pixel
DEFAULTS = {
    "linf": ("0", "0.25/255", "0.5/255", "1/255", "2/255", "4/255", "8/255"),
    "l2": ("0", "0.1", "0.25", "0.5", "1"),
    "l1": ("0", "2", "5", "10", "20"),
}
"""Epsilons for each norm that suit undefended models, with 0 as a control."""


def parse_epsilon(text: str, norm: str, argument: str = ARGUMENT) -> float:
    """Return the number that "0.5/255" or "0.002" is; errors name the `argument`.

    Raises:
        UserError: it is no number, negative, or, for Linf, more than 1.
    """
    numerator, slash, denominator = text.partition("/")
    try:
        value = float(numerator) / (float(denominator) if slash else 1)
    except (ValueError, ZeroDivisionError):
        raise UserError(f"{argument}: expected numbers such as 0.5/255 or 0.002, found {text!r}") from None
    if not 0 <= value < math.inf:
        raise UserError(f"{argument}: expected 0 or more, and not infinite, found {text}")
    if norm == "linf" and value > 1:
        hint = f"; did you mean {text}/255?" if not slash and value <= LEVELS else ""
        raise UserError(f"{argument} {text}: expected at most 1, since pixels run from 0 to 1{hint}")
    return value


def parse_epsilons(texts: Sequence[str], norm: str) -> tuple[float, ...]:
    """Return the different epsilons in rising order; the norm's defaults if there are none."""
    return tuple(sorted({parse_epsilon(text, norm) for text in texts or DEFAULTS[norm]}))


def format_epsilon(epsilon: float, norm: str) -> str:
    """Write an epsilon as levels of a pixel, as in "0.5/255", for Linf; as a plain number for other norms."""
    return f"{epsilon * LEVELS:.4g}/{LEVELS}" if norm == "linf" and epsilon else f"{epsilon:g}"
