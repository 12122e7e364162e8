"""The trackers of a run, trackers.json in its folder: which ones it is logged to, and how each is found again."""

import importlib.util
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from doublevit import strict_json
from doublevit.errors import UserError, unknown
from doublevit.files import write_text
from doublevit.runs.conditions import Record

FILE = "trackers.json"
PACKAGES = {"mlflow": "mlflow", "tensorboard": "tensorboard", "wandb": "wandb"}
"""Trackers by name, with the package that each needs; accelerate has a class for each."""
Position = tuple[int, bool]
"""A place in the log: the step, and whether the entry is that of an epoch, which comes after that of the step."""
START: Position = (-1, False)


class TrackerRecord(Record, frozen=True, kw_only=True):
    """Records a tracker of a run: its own name of the run, and how much of the log it has from earlier commands."""

    id: str = ""
    logged: Position = START


def read_trackers(run: Path) -> dict[str, TrackerRecord]:
    """Read which trackers a run is logged to; none without a record.

    Raises:
        UserError: the file is damaged.
    """
    path = run / FILE
    if not path.is_file():
        return {}
    try:
        records = strict_json.decode(path.read_bytes(), dict[str, TrackerRecord])
        for name, record in records.items():
            if name not in PACKAGES or not re.fullmatch(r"[\w-]*", record.id, re.ASCII):
                raise ValueError(f"no tracker has the name {name!r} and the id {record.id!r}")
        return records
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it, and give `log` again") from error


def write_trackers(run: Path, records: Mapping[str, TrackerRecord]) -> None:
    """Replace the run's record."""
    write_text(run / FILE, strict_json.pretty(dict(records)))


def require_trackers(names: Iterable[str]) -> None:
    """Raise `UserError` for an unknown tracker, and for one whose package is not installed."""
    for name in names:
        if name not in PACKAGES:
            raise unknown("tracker", name, PACKAGES)
        package = PACKAGES[name]
        if importlib.util.find_spec(package) is None:
            raise UserError(f"`log` {name}: the package {package} is not installed; install it: pip install {package}")
