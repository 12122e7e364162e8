"""Patterns that name many files, as a shell expands them: `shard-{000..099}.tar`, `{train,val}-0.tar`."""

import itertools
import re
from collections.abc import Iterator

from doublevit.errors import UserError

MOST = 1_000_000  # names of one pattern


def expanded(pattern: str) -> list[str]:
    """Return every name that a pattern stands for, in order; numbers keep the zeros before them.

    Raises:
        UserError: a brace is not closed, holds no range and no list, or there are more than a million names.
    """
    pieces = re.split(r"\{([^{}]*)\}", pattern)
    if any("{" in piece or "}" in piece for piece in pieces):
        raise UserError(f"{pattern}: expected braces that are closed, and none in another, such as {{000..099}}")
    choices = [[piece] if index % 2 == 0 else list(_choices(piece, pattern)) for index, piece in enumerate(pieces)]
    count = 1
    for some in choices:
        count *= len(some)
    if count > MOST:
        raise UserError(f"{pattern}: expected at most {MOST:,} names, found {count:,}")
    return ["".join(name) for name in itertools.product(*choices)]


def _choices(inside: str, pattern: str) -> Iterator[str]:
    bounds = re.fullmatch(r"(\d+)\.\.(\d+)", inside)
    if bounds is None:
        if "," not in inside:
            raise UserError(f"{pattern}: expected {{000..099}} or {{a,b}}, found {{{inside}}}")
        yield from inside.split(",")
        return
    first, last = bounds.groups()
    start, end = int(first), int(last)
    if abs(end - start) >= MOST:
        raise UserError(f"{pattern}: expected at most {MOST:,} names, found {abs(end - start) + 1:,}")
    width = max(len(first), len(last)) if first.startswith("0") or last.startswith("0") else 0
    for number in range(start, end + 1) if start <= end else range(start, end - 1, -1):
        yield f"{number:0{width}d}"
