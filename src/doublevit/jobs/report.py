"""From runs to tables and a page, by their files alone: no torch, no model."""

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from doublevit.data import load
from doublevit.data.dataset import Dataset
from doublevit.errors import UserError
from doublevit.files import writable_folder, write_text
from doublevit.progress import bar
from doublevit.recipes import from_dict
from doublevit.report import galleries, plots
from doublevit.report.collection import Collection, open_runs
from doublevit.report.corrupted import measured_groups
from doublevit.report.figures import Plot, all_plots
from doublevit.report.formats import FORMATS
from doublevit.report.page import Picture, render
from doublevit.report.page.build import build_page
from doublevit.report.table import Table
from doublevit.report.tables.every import every_table

PAGE = "report.html"


@dataclasses.dataclass(frozen=True)
class Written:
    """Where the page is, and what must be said of the files that it was made from."""

    page: Path
    remarks: tuple[str, ...]
    files: tuple[Path, ...] = ()


def write_report(
    paths: Sequence[Path], output: Path | None = None, files: Path | None = None, *, paper: bool = False
) -> Written:
    """Write the page of some runs or of a study, and, into the folder `files`, every table and plot by itself.

    The page of one run, or of one study, is put into its folder if nothing else is said; of several, here.

    Raises:
        UserError: runs cannot be read or do not belong together, or the place cannot be written to.
    """
    collection = open_runs(paths)
    output = output or (paths[0] / PAGE if len(paths) == 1 else Path(PAGE))
    writable_folder(output.absolute().parent, "the page")
    tables = every_table(collection, paper=paper)
    val, cache, remarks = _photos(collection)
    drawn = _draw(collection, val)
    pictures = _galleries(collection, val, cache)
    page = build_page(collection, tables, drawn, pictures, remarks)
    write_text(output, render(page))
    written = _write_files(files, tables, drawn) if files else ()
    return Written(output, page.remarks, written)


def _draw(collection: Collection, val: Dataset | None) -> list[Plot]:
    """Every plot, drawn now, which takes most of the time."""
    found = list(all_plots(collection.as_trained, val.class_names if val else None))
    with bar("drawing", len(found), unit="plots") as progress:
        for plot in found:
            _ = plot.figure
            progress.advance(1)
    return found


def _photos(collection: Collection) -> tuple[Dataset | None, Path, list[str]]:
    """The validation photos, where they are here (they are never fetched), the cache, and what must be said."""
    try:
        config = from_dict(dict(collection.contenders[0].first.recipe)).data
        return load(dataclasses.replace(config, download=False))["val"], config.cache, []
    except (UserError, OSError) as error:
        remark = f"the photos cannot be had, so none are shown, and classes are told by number ({error})"
        return None, Path(), [remark]


def _galleries(collection: Collection, val: Dataset | None, cache: Path) -> Mapping[str, list[Picture]]:
    shown = galleries.of_runs(collection.contenders)
    found: dict[str, list[Picture]] = {"photos": [], "robustness": [], "errors": []}
    if val is not None:
        groups = measured_groups(collection.contenders)
        found["photos"].append(galleries.photos(val))
        found["robustness"] += [made for group in groups[:1] if (made := galleries.corruptions(val, group, cache))]
        found["errors"] += [made for one in shown if (made := galleries.surest_mistakes(one, val, cache))]
    found["attacks"] = [made for one in shown for made in galleries.attacked(one)]
    found["attention"] = [made for one in shown for made in galleries.attention(one.first, one.label)]
    return found


def _write_files(folder: Path, tables: Mapping[str, Sequence[Table]], drawn: Sequence[Plot]) -> tuple[Path, ...]:
    writable_folder(folder, "tables and plots")
    written = []
    for table in (table for several in tables.values() for table in several):
        for suffix, make in FORMATS.values():
            path = folder / f"{_safe(table.name)}.{suffix}"
            write_text(path, make(table))
            written.append(path)
    for plot in drawn:
        written += plots.save(plot.figure, folder / _safe(plot.name))
    return tuple(written)


def _safe(name: str) -> str:
    """A name of a file anywhere; with eight digits of the whole where something had to be left out."""
    safe = re.sub(r"[^\w.+-]", "-", name, flags=re.ASCII).strip(".-")[:100]
    return safe if safe == name else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
