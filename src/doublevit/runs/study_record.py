"""What a study's folder says of itself: study.json, which names the runs behind every row of its table."""

from pathlib import Path

import msgspec

from doublevit import __version__, strict_json
from doublevit.errors import UserError
from doublevit.files import write_text
from doublevit.runs.conditions import Record

FILE = "study.json"
VERSION = 2


class StudyEntry(Record, frozen=True, kw_only=True):
    """A cell with one seed, evaluated with one sparse attention.

    `run` names the run's folder in the study's (cells of the same recipe share one); `top_k` is None for dense
    attention; `measured`: whether its accuracy on clean images is in the run's results; `problem`: why the cell failed,
    or something that was to be measured of it; `label`: how tables name the cell, where that is not its name.
    """

    group: str
    cell: str
    run: str
    top_k: tuple[int | float, ...] | None = None
    measured: bool = False
    problem: str = ""
    seed: int = 0
    label: str = ""

    @property
    def title(self) -> str:
        """How tables name it."""
        return self.label or self.cell


class StudyRecord(Record, frozen=True, kw_only=True):
    """A study as far as it is done; all entries are compared with the cell `baseline` of the same seed.

    `seconds` that training took, by run, over all its parts where it was stopped.
    """

    name: str
    note: str
    baseline: str
    entries: tuple[StudyEntry, ...] = ()
    seconds: dict[str, float] = msgspec.field(default_factory=dict)
    version: int = VERSION


def write_record(folder: Path, record: StudyRecord) -> None:
    """Replace the folder's study.json."""
    write_text(folder / FILE, strict_json.pretty(record))


def read_record(folder: Path) -> StudyRecord:
    """What `write_record` wrote.

    Raises:
        UserError: there is none, or it is damaged, or of another version.
    """
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"{folder} is no study: expected a folder with {FILE}, as `doublevit study` leaves it")
    try:
        text = path.read_bytes()
        version = msgspec.json.decode(text, type=_Version).version
        record = strict_json.decode(text, StudyRecord) if version == VERSION else None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it and give the study's command again") from error
    if record is None:
        raise UserError(
            f"{path} is of version {version}, and this doublevit ({__version__}) reads version {VERSION}: delete it and"
            " give the study's command again"
        )
    return record


class _Version(msgspec.Struct):
    """All that is read of a record before it is known to be of this version; the first ones had no number."""

    version: int = 1
