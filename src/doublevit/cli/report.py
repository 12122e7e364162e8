"""`doublevit report`, `doublevit tables` and `doublevit status`, which show runs and their results."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import tyro

from doublevit import strict_json
from doublevit.analysis.status import find_runs, run_status, studies_in
from doublevit.cli.parse import parse
from doublevit.cli.terminal import out, say, warn
from doublevit.errors import UserError
from doublevit.report.formats import FORMATS, print_tables
from doublevit.report.formats.plain import as_named_csv, as_object, to_json
from doublevit.report.tables import SECTIONS, USUAL
from doublevit.report.tables.status import detail_table, next_command, status_table


@dataclasses.dataclass(frozen=True)
class Report:
    """Write the page of one run, of several compared, or of a study: one HTML file that needs only a browser.

    It holds the result with its interval, sortable tables, plots, images, mistakes, attacks and attention maps if there
    are any, what the numbers do not say, and how to repeat them. Nothing is measured again.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Folders of runs, or of a study; comparisons are with the first, or with the study's baseline."""
    output: Path | None = None
    """The file to write; if not given, report.html in the folder of the one run or study, else here."""
    files: Path | None = None
    """A folder for every table (Markdown, LaTeX, CSV, JSON) and every plot (SVG, PNG) by itself."""
    paper: bool = False
    """Also show the paper's own numbers, and whether they add up."""

    def __post_init__(self) -> None:
        if self.output is not None and self.output.suffix.lower() not in (".html", ".htm"):
            raise UserError(f"--output {self.output}: expected a name that ends in .html")


@dataclasses.dataclass(frozen=True)
class Tables:
    """Print what was measured of some runs as tables for the terminal, or in a form for papers and programs."""

    runs: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Folders of runs, or of a study; comparisons are with the first, or with the study's baseline."""
    format: Literal["terminal", "markdown", "latex", "csv", "json"] = "terminal"
    """How to print them; several tables are one JSON array, and in CSV have a line with their name before them."""
    only: tuple[str, ...] = ()
    """Parts to print: runs, accuracy, robustness, cells (each corruption at each severity), means (over corruptions, as
    they were measured), attacks, parts (of ensembles of attacks), comparison, speed, paper; all but cells, means and
    parts if not given."""
    paper: bool = False
    """Also show the paper's own numbers, and whether they add up."""

    def __post_init__(self) -> None:
        for name in self.only:
            if name not in SECTIONS:
                raise UserError(f"--only {name}: expected some of {', '.join(SECTIONS)}")


def report(arguments: Sequence[str]) -> None:
    """Write a page with tables, plots and galleries, in one HTML file: `report RUN ... [--output FILE]`."""
    options = parse(Report, "doublevit report", arguments)
    from doublevit.jobs.report import write_report

    written = write_report(options.runs, options.output, options.files, paper=options.paper)
    for remark in written.remarks:
        warn(remark)
    if options.files:
        say(f"{len(written.files)} files of tables and plots in {options.files}")
    say(f"the page: {written.page.resolve()}")


def tables(arguments: Sequence[str]) -> None:
    """Print the tables of the page as text, Markdown, LaTeX, CSV or JSON: `tables RUN ... [--format latex]`."""
    options = parse(Tables, "doublevit tables", arguments)
    from doublevit.analysis.compare import compare_runs
    from doublevit.report.tables.every import every_table

    comparison = compare_runs(options.runs)
    for remark in comparison.remarks:
        warn(remark)
    made = every_table(comparison, paper=options.paper or "paper" in options.only)
    chosen = [table for name in options.only or USUAL for table in made[name]]
    if not chosen:
        warn("nothing of what is asked for was measured")
    if options.format == "terminal":
        print_tables(chosen, out)
    elif options.format == "json":
        say(to_json([as_object(table) for table in chosen]))
    elif options.format == "csv":
        say(as_named_csv(chosen))
    else:
        say("\n".join(map(FORMATS[options.format][1], chosen)))


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
    is_single = len(options.paths) == len(runs) == 1
    remark = f"Studies, which `doublevit status STUDY` tells: {', '.join(map(str, studies))}." if studies else ""
    print_tables([detail_table(runs[0]) if is_single else status_table(runs, remark)], out)
