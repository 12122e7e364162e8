"""`doublevit study`. What is slow to import is imported after parsing."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from doublevit.cli.names import print_names
from doublevit.cli.parse import asks_help, parse, with_source
from doublevit.cli.terminal import INTERRUPTED, STOPPED, fail, out, say, warn
from doublevit.errors import UserError
from doublevit.files import write_text
from doublevit.jobs.options import DeviceOptions
from doublevit.recipes import Recipe
from doublevit.runs.study_record import StudyRecord, read_record
from doublevit.studies.named import STUDIES, get_study
from doublevit.studies.study import Study

if TYPE_CHECKING:
    from doublevit.analysis.comparison import Comparison
    from doublevit.report.table import Table
    from doublevit.studies.plan import StudyRequest

SHORT = ("accuracy", "comparison")
"""The tables that are printed at the end of a study."""


@dataclasses.dataclass(frozen=True)
class StudyOptions(DeviceOptions):
    """Options of a study, beside those of its base recipe."""

    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    name: str | None = None
    """Name of the study's folder; if not given, the study's."""
    runs: Annotated[Path, tyro.conf.arg(aliases=("--output",))] = Path("runs")
    """Folder that holds all runs."""
    cells: tuple[str, ...] | None = None
    """Do only these cells; --dry-run lists all."""
    samples: int | None = None
    """Evaluate on so many validation images only, drawn in proportion to the classes."""
    first: int | None = None
    """Evaluate on the first so many validation images only."""
    attack_samples: int | None = None
    """Attack so many validation images, drawn in proportion to the classes; 0: no attacks; default: the study's."""
    seeds: tuple[int, ...] = ()
    """Train every cell with each of these; the first one's runs bear the cells' names. If not given, --seed alone."""
    dry_run: bool = False
    """Only print what is done and what is to do."""
    table: bool = False
    """Only make the table again, from the study's files alone; `doublevit report` renews the page."""

    def __post_init__(self) -> None:
        if self.name is not None and (Path(self.name).name != self.name or self.name == ".."):
            raise UserError(f"--name {self.name}: expected the plain name of a folder in {self.runs}")
        if self.dry_run and self.table:
            raise UserError("--dry-run and --table: expected one of them")


def study(arguments: Sequence[str]) -> None:
    """Train, measure and compare the cells of a study, going on where it was stopped: `study NAME [options]`."""
    if asks_help(arguments):
        say("usage: doublevit study NAME [options]\n\nall options: doublevit study NAME --help\n")
        print_names("Studies", {name: f"{each.note} ({len(each.cells)} cells)" for name, each in STUDIES.items()})
        return
    chosen = get_study(arguments[0])
    program, default = f"doublevit study {chosen.name}", StudyOptions(chosen.base_recipe())
    options = parse(StudyOptions, program, arguments[1:], description=chosen.note, default=default)
    data = with_source(options.recipe.data, arguments)
    options = dataclasses.replace(options, recipe=dataclasses.replace(options.recipe, data=data))
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("doublevit study works in one process, one cell after another: start it without torchrun")
    folder = options.runs / (options.name or chosen.name)
    if options.table:
        record = read_record(folder)
        if record.name != chosen.name:
            raise UserError(f"{folder} was begun as {record.name}, not as {chosen.name}; name that, or another folder")
        _show(folder, record)
    elif options.dry_run:
        _preview(_request(chosen, folder, options))
    else:
        _run(_request(chosen, folder, options))


def _request(chosen: Study, folder: Path, options: StudyOptions) -> "StudyRequest":
    from doublevit.studies.plan import StudyRequest

    return StudyRequest(
        study=chosen,
        recipe=options.recipe,
        folder=folder,
        samples=options.samples,
        first=options.first,
        cells=options.cells,
        attack_samples=options.attack_samples,
        seeds=options.seeds,
    )


def _preview(request: "StudyRequest") -> None:
    from doublevit.studies.progress import StudyProgress, summary

    progress = StudyProgress(request)
    progress.require_images()
    out.print(summary(progress))


def _run(request: "StudyRequest") -> None:
    from doublevit.studies.run import run_study
    from doublevit.training.interrupt import Stopped

    try:
        record = run_study(request)
    except (Stopped, KeyboardInterrupt):
        fail(INTERRUPTED, STOPPED)
    _report(request, record, _show(request.folder, record))
    wanted = [cell.name for cell in request.study.cells if request.wants(cell)]
    failed = dict.fromkeys(entry.cell for entry in record.entries if entry.problem and entry.cell in wanted)
    if failed:
        fail(f"{len(failed)} of {len(wanted)} cells failed: {', '.join(failed)}; the warnings above say why", 1)


def _report(request: "StudyRequest", record: StudyRecord, known: Sequence[str]) -> None:
    """Write the page of what is done so far; if that fails, only warn, since the study itself has not failed.

    Remarks of the page are printed unless they are `known`, that is printed already.
    """
    if not any(entry.measured for entry in record.entries):
        return
    from doublevit.jobs.report import write_report

    try:
        written = write_report([request.folder], paper=request.study.beside_paper)
    except (UserError, OSError) as error:
        warn(f"the page could not be made: {error}")
        return
    for remark in written.remarks:
        if remark not in known:
            warn(remark)
    say(f"  {written.page}  all tables, plots and images: open it in a browser")


def _show(folder: Path, record: StudyRecord) -> tuple[str, ...]:
    """Print tables and write them to files; print and return remarks on cells that failed or are not done."""
    from doublevit.analysis.compare import compare_runs, study_remarks
    from doublevit.report.formats.terminal import print_tables
    from doublevit.report.tables.every import result_tables

    comparison = compare_runs([folder]) if any(entry.measured for entry in record.entries) else None
    remarks = comparison.remarks if comparison else study_remarks(record)
    if comparison:
        tables = result_tables(comparison, SHORT)
        paths = write_study_tables(folder, comparison, tables)
        print_tables(tables, out)
        say(f"  {', '.join(map(str, paths))}")
    for remark in remarks:
        warn(remark)
    return remarks


def write_study_tables(folder: Path, comparison: "Comparison", tables: "Sequence[Table]") -> list[Path]:
    """Write study.md and study.csv, the `tables` of a comparison, into a study's folder.

    The CSV has a line with its name before each table. Remarks stand at the end of study.md.
    """
    from doublevit.report.formats.markdown import escape, markdown
    from doublevit.report.formats.plain import as_named_csv

    title = f"# {escape(comparison.title)}" + (f": {escape(comparison.note)}" if comparison.note else "")
    remarks = "".join(f"- {escape(remark)}\n" for remark in comparison.remarks)
    texts = {
        "study.csv": as_named_csv(tables),
        "study.md": "\n".join(filter(None, [f"{title}\n", *map(markdown, tables), remarks])),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]
