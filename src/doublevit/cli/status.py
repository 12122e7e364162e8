"""`doublevit status`, which tells what runs there are, how far they are, and how good."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import tyro

from doublevit import strict_json
from doublevit.analysis.status import find_runs, run_status, studies_in
from doublevit.cli.parse import parse
from doublevit.cli.terminal import out, say
from doublevit.report.formats import print_tables
from doublevit.report.tables.status import detail_table, next_command, status_table


@dataclasses.dataclass(frozen=True)
class Status:
    """Tell what runs there are, how far each is trained, how good it is, and what of it was measured.

    Of a single run it tells more: last losses, speed, memory, checkpoints, the command to go on with. A training counts
    as at work while it keeps writing to its log.
    """

    paths: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Folders of runs, or of studies, whose runs are then told; if none is given, every run in --runs."""
    runs: Path = Path("runs")
    """Folder that holds all runs."""
    format: Literal["terminal", "json"] = "terminal"
    """How to print it."""


def status(arguments: Sequence[str]) -> None:
    """Tell what runs there are, how far and how good: `status [RUN ...] [--runs FOLDER]`."""
    options = parse(Status, "doublevit status", arguments)
    found = list(find_runs(options.paths, options.runs))
    runs = [run_status(path, name) for path, name in found]
    if options.format == "json":
        say(strict_json.pretty([strict_json.to_builtins(run) | {"next": next_command(run)} for run in runs]).strip())
        return
    studies = [study for path in options.paths or (options.runs,) for study in studies_in(path)]
    is_one = len(options.paths) == len(runs) == 1
    remark = f"Studies, which `doublevit status STUDY` tells: {', '.join(map(str, studies))}." if studies else ""
    print_tables([detail_table(runs[0]) if is_one else status_table(runs, remark)], out)
