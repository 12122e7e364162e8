"""The page of some runs: sentence, tables, plots, galleries, caveats, how to repeat it."""

import datetime
from collections.abc import Iterable, Mapping, Sequence

from doublevit import __version__
from doublevit.report import plots
from doublevit.report.candidates import Contender
from doublevit.report.collection import Collection
from doublevit.report.figures import MOST_RUNS, Plot
from doublevit.report.page.caveats import caveats
from doublevit.report.page.content import Figure, Page, Picture, Section
from doublevit.report.page.repeat import commands, unnoted, version_table
from doublevit.report.page.sentence import result_sentence
from doublevit.report.table import Table

TITLES = {
    "accuracy": "Clean accuracy",
    "robustness": "Common corruptions",
    "attacks": "Attacks",
    "comparison": "Compared on the same photos",
    "speed": "Speed and size",
    "training": "Training",
    "errors": "Errors and calibration",
    "photos": "Photos",
    "attention": "Where they look",
    "paper": "The paper's arithmetic",
}
"""Parts of the page that hold what was measured, in their order."""
UNNOTED = "Of {runs}, only the command of the training is known."
PIXELS_PER_INCH = 96  # so that a plot's text is about as large as the page's
FIRST_ONES = f"Shown for the first {MOST_RUNS} networks; doublevit errors RUN tells the same of each."
REPEAT = "Give these commands again, with the same versions and data: seeds decide all that is random."


def build_page(
    collection: Collection,
    tables: Mapping[str, Sequence[Table]],
    drawn: Iterable[Plot],
    pictures: Mapping[str, Sequence[Picture]],
    remarks: Sequence[str] = (),
) -> Page:
    """Everything in its place; sections that would be empty are left out when the page is rendered.

    Args:
        collection: the runs.
        tables: by section.
        drawn: plots, each of which names its section.
        pictures: galleries by section.
        remarks: what could not be had.
    """
    contenders = collection.contenders
    figures = [(plot.section, _figure(plot)) for plot in drawn]
    parts = [
        Section(
            name,
            title,
            (FIRST_ONES,) if name in ("errors", "attention") and len(collection.as_trained) > MOST_RUNS else (),
            tables=tuple(tables.get(name, ())),
            figures=tuple(figure for section, figure in figures if section == name),
            pictures=tuple(pictures.get(name, ())),
            folded=tuple(tables.get("cells", ())) if name == "robustness" else (),
        )
        for name, title in TITLES.items()
    ]
    run = Section("runs", "What was run", tables=tuple(tables["runs"]))
    caveat = Section("caveats", "What the numbers do not say", points=tuple(caveats(contenders)))
    repeat = _repeat(contenders)
    return Page(
        title=collection.title,
        result=result_sentence(contenders),
        made=f"Made by doublevit {__version__} on {datetime.date.today():%Y-%m-%d}.",
        sections=(*parts[:1], run, *parts[1:], caveat, repeat),
        note=collection.note,
        remarks=(*collection.remarks, *remarks),
    )


def _repeat(contenders: Sequence[Contender]) -> Section:
    missing = ", ".join(unnoted(contenders))
    words = (REPEAT, *([UNNOTED.format(runs=missing)] if missing else []))
    return Section("repeat", "How to repeat it", words, (version_table(contenders),), commands=commands(contenders))


def _figure(plot: Plot) -> Figure:
    width = round(PIXELS_PER_INCH * plot.figure.get_figwidth())
    return Figure(plots.inline_svg(plot.figure, plot.caption), plot.caption, width)
