"""Assembly of the page: result, tables, plots, galleries, caveats, how to repeat the runs."""

import datetime
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from doublevit.analysis.comparison import MAX_DETAILED_RUNS, Comparison
from doublevit.analysis.evaluated import EvaluatedModel
from doublevit.jsonl import read_lines
from doublevit.report import plots
from doublevit.report.page.caveats import caveats
from doublevit.report.page.content import Figure, Page, Picture, Section
from doublevit.report.page.sentence import result_sentence
from doublevit.report.plots.style import Plot
from doublevit.report.table import Table, text_cell, text_column
from doublevit.runs.conditions import Clean
from doublevit.runs.folder import COMMANDS, RunFolder
from doublevit.version import __version__

TITLES = {
    "accuracy": "Clean accuracy",
    "robustness": "Common corruptions",
    "attacks": "Attacks",
    "comparison": "Compared on the same images",
    "speed": "Speed and size",
    "training": "Training",
    "errors": "Errors and calibration",
    "images": "Images",
    "attention": "Where they look",
    "paper": "The paper's arithmetic",
}
"""Sections of the page that hold results, in their order."""
FOLDED = {"robustness": ("cells",), "errors": ("classes",)}
"""Groups of tables that are folded, by the section of the page that holds them."""
UNNOTED = "Of {runs}, only the command of the training is known."
PIXELS_PER_INCH = 96  # so that a plot's text is about as large as the page's
FIRST_NETWORKS = f"Shown for the first {MAX_DETAILED_RUNS} networks; doublevit errors RUN tells the same of each."
VERSIONS = ("torch", "torchvision", "timm", "foolbox", "numpy")
REPEAT = "Give these commands again, with the same versions and data: seeds decide all that is random."


def build_page(
    comparison: Comparison,
    tables: Mapping[str, Sequence[Table]],
    drawn: Iterable[Plot],
    pictures: Mapping[str, Sequence[Picture]],
    remarks: Sequence[str] = (),
) -> Page:
    """Assemble the page; empty sections are left out when it is rendered.

    Args:
        comparison: the runs.
        tables: by section.
        drawn: plots, each of which names its section.
        pictures: galleries by section.
        remarks: what could not be loaded.
    """
    figures = [(plot.section, _figure(plot)) for plot in drawn]
    many = len(comparison.distinct_methods) > MAX_DETAILED_RUNS
    parts = [
        Section(
            name,
            title,
            (FIRST_NETWORKS,) if name in ("errors", "attention") and many else (),
            tables=tuple(tables.get(name, ())),
            figures=tuple(figure for section, figure in figures if section == name),
            pictures=tuple(pictures.get(name, ())),
            folded=tuple(table for section in FOLDED.get(name, ()) for table in tables.get(section, ())),
        )
        for name, title in TITLES.items()
    ]
    run = Section("runs", "What was run", tables=tuple(tables["runs"]))
    caveat = Section("caveats", "What the numbers do not say", points=tuple(caveats(comparison)))
    return Page(
        title=comparison.title,
        result=result_sentence(comparison),
        made=f"Made by doublevit {__version__} on {datetime.date.today():%Y-%m-%d}.",
        sections=(*parts[:1], run, *parts[1:], caveat, _repeat(comparison)),
        note=comparison.note,
        remarks=(*comparison.remarks, *remarks),
    )


def _repeat(comparison: Comparison) -> Section:
    missing = ", ".join(_unnoted(comparison))
    paragraphs = (REPEAT, *([UNNOTED.format(runs=missing)] if missing else []))
    table = _version_table(comparison)
    return Section("repeat", "How to repeat it", paragraphs, (table,), commands=_all_commands(comparison))


def _figure(plot: Plot) -> Figure:
    width = round(PIXELS_PER_INCH * plot.figure.get_figwidth())
    return Figure(plots.inline_svg(plot.figure, plot.caption), plot.caption, width)


def _all_commands(comparison: Comparison) -> tuple[str, ...]:
    """Return every command that made or measured the runs, each once, in order."""
    return tuple(dict.fromkeys(command for member in comparison.members for command in _commands(member.run)))


def _unnoted(comparison: Comparison) -> list[str]:
    """Return the names of runs of which not all commands are known."""
    further = [member for member in comparison.members if len(member.rows_of(Clean)) < len(member.rows)]
    return list(dict.fromkeys(member.run.path.name for member in further if not (member.run.path / COMMANDS).exists()))


def _version_table(comparison: Comparison) -> Table:
    """Return versions, machine and seed of each run."""
    heads = ("run", "started", "doublevit", "python", *VERSIONS, "machine", "seed")
    rows = dict.fromkeys(tuple(map(text_cell, _versions(member))) for member in comparison.members)
    return Table("versions", "Versions", tuple(map(text_column, heads)), tuple(rows))


def _versions(member: EvaluatedModel) -> list[object]:
    environment = _environment(member.run)
    libraries = environment.get("libraries")
    libraries = libraries if isinstance(libraries, dict) else {}
    program = [environment.get(key, "-") for key in ("started", "doublevit", "python")]
    versions = [libraries.get(name, "-") for name in VERSIONS]
    return [member.run.path.name, *program, *versions, environment.get("platform", "-"), member.seed]


def _environment(run: RunFolder) -> Mapping[str, Any]:
    try:
        environment = json.loads((run.path / "environment.json").read_text())
    except (OSError, ValueError):
        return {}
    return environment if isinstance(environment, dict) else {}


def _commands(run: RunFolder) -> Iterator[str]:
    for entry in [_environment(run), *read_lines(run.path / COMMANDS)]:
        arguments = entry.get("command")
        if isinstance(arguments, list) and arguments:
            program, *rest = map(str, arguments)
            yield shlex.join(["doublevit" if _is_ours(program) else program, *rest])


def _is_ours(program: str) -> bool:
    return Path(program).name in ("doublevit", "__main__.py")
