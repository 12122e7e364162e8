"""Append-only files with a JSON object in each line; a killed process may leave the last line truncated."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from doublevit import strict_json
from doublevit.errors import UserError
from doublevit.files import write_text


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a .jsonl file, without empty lines and a truncated last one; none if there is no file.

    Raises:
        UserError: a line other than the last is damaged, or it is no file.
    """
    if path.exists() and not path.is_file():  # a pipe would keep its reader waiting
        raise UserError(f"{path} is damaged: expected a file; remove it")
    lines = path.read_bytes().splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield dict(json.loads(line))
        except (ValueError, TypeError, RecursionError) as error:
            if number < len(lines):
                raise UserError(f"{path}, line {number} is damaged: {error}; remove the line") from error


def append_lines(path: Path, entries: Iterable[Any]) -> None:
    """Append objects to a .jsonl file, after removing a truncated last line.

    Raises:
        OSError: the disk is full; none of the entries is appended.
    """
    lines = b"".join(strict_json.encode(entry) + b"\n" for entry in entries)
    if _lacks_end(path):
        write_text(path, "".join(json.dumps(entry) + "\n" for entry in read_lines(path)))
    before = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab") as file:
            file.write(lines)
    except OSError:
        os.truncate(path, before)
        raise


def is_cut_short(path: Path) -> bool:
    """Return whether the last line of a .jsonl file is truncated, so that `read_lines` skips it."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    try:
        return bool(lines) and not dict(json.loads(lines[-1]))
    except (ValueError, TypeError, RecursionError):
        return True


def _lacks_end(path: Path) -> bool:
    """Return whether the last line has no newline; reads one byte only, since training appends every few steps."""
    if not path.exists() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"
