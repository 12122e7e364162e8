"""The record of a study, study.json in its folder: it names the run behind every row of the study's table."""

from pathlib import Path

import msgspec

from doublevit import strict_json
from doublevit.errors import UserError
from doublevit.files import write_text
from doublevit.runs.conditions import Record
from doublevit.version import __version__

FILE = "study.json"
VERSION = 2


class StudyEntry(Record, frozen=True, kw_only=True):
    """Records a cell with one seed, evaluated with one sparse attention.

    `run` is the name of the run's folder inside the study's (cells of equal recipes have the same run); `top_k` is None
    for dense attention; `measured` tells whether the results have its accuracy on clean images; `problem` tells why
    training or a measurement failed; `label` is the cell's name in tables, if not `cell`.
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
        """The name of the cell in tables."""
        return self.label or self.cell


class StudyRecord(Record, frozen=True, kw_only=True):
    """Records a study as far as it is done; all entries are compared with the cell `baseline` of the same seed.

    `seconds` are the training times by run, summed over its parts where a run was stopped and resumed.
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
    """Read what `write_record` wrote.

    Raises:
        UserError: there is no record, or it is damaged, or of another version.
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
    """Holds the version of a record, read before all else; the first records had no number."""

    version: int = 1
