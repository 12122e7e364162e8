"""Arguments to dataclasses by tyro, whose boxed complaints are folded into the one line that every error gets."""

import contextlib
import io
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from doublevit.errors import UserError

Options = TypeVar("Options")


def parse(kind: type[Options], prog: str, arguments: Sequence[str], **tyro_options: Any) -> Options:
    """An instance of the dataclass `kind`, filled from `arguments`; `--help` is printed and ends the program.

    Raises:
        UserError: an argument is unknown, missing, of another type or out of range.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(kind, prog=prog, args=list(arguments), **tyro_options)
    except SystemExit as end:
        if not end.code:
            raise
        raise UserError(f"{_fold(complaint.getvalue())}; see {prog} --help") from None


def asks_help(arguments: Sequence[str]) -> bool:
    """Whether a command that wants a word was given none, or asked for help."""
    return not arguments or arguments[0] in ("-h", "--help")


def _fold(box: str) -> str:
    """The first part of a box as one line, with the flags that it suggests: "Unrecognized option ...; near: --x"."""
    below_title = box.splitlines()[1:]
    text = " ".join(line.strip("│╰╯ ") for line in below_title)  # without borders where the terminal has no UTF-8
    parts = [part.strip() for part in re.split(r"[─-]{4,}", text) if part.strip()]
    line = re.sub(r"^Error parsing \w[\w.]*: ", "", parts[0]).rstrip(".")
    near = [re.findall(r"--[\w.-]+", part) for part in parts[1:] if part.startswith("Perhaps you meant")]
    return line + (f"; did you mean {' or '.join(dict.fromkeys(near[0]))}?" if near else "")
