"""Files of a JSON object a line, which are only ever added to; a kill may cut the last line short."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from doublevit import strict_json
from doublevit.errors import UserError
from doublevit.files import write_text


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a .jsonl file; the last line is passed over where a kill cut it short, and so are empty ones.

    Raises:
        UserError: another line is damaged.
    """
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
    """Add objects to a .jsonl file, mending a last line that a kill cut short.

    Raises:
        OSError: the disk is full; then all of the entries are added, or none.
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
    """Whether the last line of a .jsonl file is damaged, as a kill leaves it, so that reading passes it over."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    try:
        return bool(lines) and not dict(json.loads(lines[-1]))
    except (ValueError, TypeError, RecursionError):
        return True


def _lacks_end(path: Path) -> bool:
    """Whether the last line has no end; looks at one byte, since a training adds a line every few steps."""
    if not path.exists() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"
