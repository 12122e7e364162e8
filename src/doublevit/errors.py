"""Errors for the user, in one line: what was expected, what was found, what to do."""

import difflib
from collections.abc import Iterable

MAX_LISTED = 40  # names in one message


class UserError(ValueError):
    """Bad input or a full disk, never a bug: the command line prints the message and exits with status 2."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; its type if it has none."""
    return (str(error) or type(error).__name__).splitlines()[0]


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Return the error for an unknown name; it suggests names that begin with it, or similar ones, or lists all.

    Example: `unknown("recipe", "digit-double", RECIPES)` says "did you mean digits-double?".
    """
    names = sorted(known)
    longer = sorted((known for known in names if len(name) > 2 and known.startswith(name)), key=len)[:3]
    near = longer or difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    listed = ", ".join(names) if len(names) < MAX_LISTED else "doublevit recipes lists what there is"
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {listed}"
    return UserError(f"unknown {kind} {name!r}; {hint}")
