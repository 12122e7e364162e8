"""Reports: from the files of runs to tables, plots and a page, without torch and without a model."""

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from doublevit.analysis.compare import compare_runs
from doublevit.analysis.comparison import Comparison
from doublevit.data import load
from doublevit.data.dataset import Dataset
from doublevit.errors import UserError
from doublevit.files import writable_folder, write_text
from doublevit.progress import bar
from doublevit.recipes import from_dict
from doublevit.report import plots
from doublevit.report.figures import all_plots
from doublevit.report.formats import FORMATS
from doublevit.report.formats.markdown import markdown
from doublevit.report.galleries import every_gallery
from doublevit.report.page.build import build_page
from doublevit.report.page.content import render
from doublevit.report.plots.style import Plot
from doublevit.report.table import Table
from doublevit.report.tables import USUAL
from doublevit.report.tables.every import every_table
from doublevit.runs.trackers import read_trackers

PAGE = "report.html"


@dataclasses.dataclass(frozen=True)
class WrittenReport:
    """Holds the path of the page, remarks on the runs that it shows, and the further files that were written."""

    page: Path
    remarks: tuple[str, ...]
    files: tuple[Path, ...] = ()


def write_report(
    paths: Sequence[Path], output: Path | None = None, files: Path | None = None, *, paper: bool = False
) -> WrittenReport:
    """Write the page of some runs or of a study, and, into the folder `files`, every table and plot by itself.

    Without `output`, the page of a single run or study goes into its folder, that of several into the current folder.
    The page of a single run also goes to its trackers.

    Raises:
        UserError: runs cannot be read or compared, or a folder cannot be written to.
    """
    comparison = compare_runs(paths)
    output = output or (paths[0] / PAGE if len(paths) == 1 else Path(PAGE))
    writable_folder(output.absolute().parent, "the page")
    tables = every_table(comparison, paper=paper)
    val, cache, remarks = _validation_images(comparison)
    drawn = _draw(comparison, val)
    page = build_page(comparison, tables, drawn, every_gallery(comparison, val, cache), remarks)
    write_text(output, render(page))
    written = _write_files(files, tables, drawn) if files else ()
    remarks = _log_to_trackers(paths[0], output, tables) if len(paths) == 1 else []
    return WrittenReport(output, (*page.remarks, *remarks), written)


def _log_to_trackers(run: Path, page: Path, tables: Mapping[str, Sequence[Table]]) -> list[str]:
    """Give the page to the run's trackers, or its tables as text to those that have no artefacts; return remarks."""
    try:
        records = read_trackers(run)
        if records:
            from doublevit.training.trackers import log_report

            log_report(run, records, page, "\n".join(markdown(table) for name in USUAL for table in tables[name]))
    except (UserError, ImportError) as error:  # the page itself needs neither torch nor accelerate
        return [f"the page was not given to the run's trackers ({error})"]
    return []


def _draw(comparison: Comparison, val: Dataset | None) -> list[Plot]:
    """Return every plot, drawn already, with a progress bar, since this takes most of the time."""
    drawn = list(all_plots(comparison, val.class_names if val else None))
    with bar("drawing", len(drawn), unit="plots") as progress:
        for plot in drawn:
            _ = plot.figure  # draws it
            progress.advance(1)
    return drawn


def _validation_images(comparison: Comparison) -> tuple[Dataset | None, Path, list[str]]:
    """Return the validation images if they are on this machine (they are not downloaded), the cache, and remarks."""
    try:
        config = from_dict(dict(comparison.methods[0].first.recipe)).data
        return load(dataclasses.replace(config, download=False))["val"], config.cache, []
    except (UserError, OSError) as error:
        remark = f"the images cannot be had, so none are shown, and classes are told by number ({error})"
        return None, Path(), [remark]


def _write_files(folder: Path, tables: Mapping[str, Sequence[Table]], drawn: Sequence[Plot]) -> tuple[Path, ...]:
    writable_folder(folder, "tables and plots")
    written = []
    for table in (table for section in tables.values() for table in section):
        for suffix, make in FORMATS.values():
            path = folder / f"{_safe(table.name)}.{suffix}"
            write_text(path, make(table))
            written.append(path)
    for plot in drawn:
        written += plots.save(plot.figure, folder / _safe(plot.name))
    return tuple(written)


def _safe(name: str) -> str:
    """Return a file name that is valid on every system; a digest of `name` follows if characters were replaced."""
    safe = re.sub(r"[^\w.+-]", "-", name, flags=re.ASCII).strip(".-")[:100]
    return safe if safe == name else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
