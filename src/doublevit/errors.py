"""What a user did that cannot work, said in one line: what was expected, what was found, what to do."""

import difflib
from collections.abc import Iterable

MANY = 40  # names that are more than a line


class UserError(ValueError):
    """Bad input or a full disk, never a bug: the command line prints its one line and exits with 2."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that is not in a registry; it suggests near names, or lists them all.

    Example: `unknown("recipe", "digit-double", RECIPES)` says "did you mean digits-double?".
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    listed = ", ".join(names) if len(names) < MANY else "doublevit recipes lists what there is"
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {listed}"
    return UserError(f"unknown {kind} {name!r}; {hint}")
