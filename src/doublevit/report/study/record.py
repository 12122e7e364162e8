"""What a study's folder says of itself: study.json, which names the run and the row of every line of its table."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from doublevit.errors import UserError
from doublevit.files import write_text
from doublevit.results import Row

FILE = "study.json"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A cell, evaluated with one sparse attention: its row of results, or why there is none."""

    group: str
    cell: str
    run: str
    """Name of the run's folder in the study's; cells of the same recipe share one."""
    top_k: str
    """Empty where the cell could not even be set up."""
    row: Row | None = None
    problem: str = ""
    """Why the cell failed, or something that was to be measured of it; without a row and a problem it is not done."""
    seed: int = 0
    label: str = ""
    """How tables name the cell, where that is not its name."""

    @property
    def title(self) -> str:
        """What tables name it."""
        return self.label or self.cell


@dataclasses.dataclass(frozen=True)
class Record:
    """A study as far as it is done; all entries are compared with the cell `baseline`'s first of the same seed."""

    name: str
    note: str
    baseline: str
    entries: list[Entry] = dataclasses.field(default_factory=list)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    """That training took, by run, over all its parts where it was stopped."""


def write_record(folder: Path, record: Record) -> None:
    """Replace the folder's study.json."""
    write_text(folder / FILE, json.dumps(dataclasses.asdict(record), indent=1) + "\n")


def read_record(folder: Path) -> Record:
    """What `write_record` wrote.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"{folder} is no study: expected a folder with {FILE}, as `doublevit study` leaves it")
    try:
        parts = json.loads(path.read_text())
        return Record(**{**parts, "entries": [_entry(part) for part in parts["entries"]]})
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and give the study's command again") from error


def _entry(part: dict[str, Any]) -> Entry:
    return Entry(**{**part, "row": part["row"] and Row(**part["row"])})
