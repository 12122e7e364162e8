"""`doublevit errors` and `doublevit show attention`, which look into a run."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from doublevit.cli.parse import asks_help, parse
from doublevit.cli.terminal import out, say
from doublevit.errors import UserError, unknown
from doublevit.files import whole_file
from doublevit.jobs.options import AttentionOptions

if TYPE_CHECKING:
    from doublevit.jobs.errors import ErrorAnalysis

MOST_MISTAKES = 600  # a sheet of a hundred rows
BEST_CLASSES = 3


@dataclasses.dataclass(frozen=True)
class Errors:
    """Analyze what a run gets wrong: worst classes, confusions, calibration and surest mistakes of a measurement."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    condition: tuple[str, ...] = ("clean",)
    """Words that the measurement fits, such as clean, fog 3, pgd 1/255, best, adapted, unadapted, top-k=32, n=500.
    Of those that fit, the newest is taken, preferably of the network as it was trained."""
    worst: int = 10
    """How many of the worst classes and of the most confused pairs are shown."""
    mistakes: int = 24
    """How many of the surest mistakes the gallery shows; 0 for none."""

    def __post_init__(self) -> None:
        if not self.condition:
            raise UserError("--condition: expected words such as clean or fog 3, found none")
        if self.worst < 1:
            raise UserError(f"--worst: expected at least 1, found {self.worst}")
        if not 0 <= self.mistakes <= MOST_MISTAKES:
            raise UserError(f"--mistakes: expected 0 to {MOST_MISTAKES}, found {self.mistakes}")


def errors(arguments: Sequence[str]) -> None:
    """Show what a run gets wrong, by class and by image, and how sure it is: `errors RUN [--condition fog 3]`."""
    options = parse(Errors, "doublevit errors", arguments)
    from doublevit.jobs.errors import analyze

    analysis = analyze(options.run, options.condition, options.worst, options.mistakes)
    _show_measurement(analysis)
    _show_tables(analysis, options.worst)
    if analysis.measured.remark and (options.mistakes or analysis.measured.images is None):
        say(f"remark: {analysis.measured.remark}")
    if not analysis.confusions:
        say("remark: no mistakes, so there are none to show")
    for path, meaning in analysis.files().items():
        say(f"  {path}  {meaning}")


def _show_measurement(analysis: "ErrorAnalysis") -> None:
    """Print the result in one sentence, and which measurement it is of."""
    row, error = analysis.measurement.row, analysis.calibration.equal_width.ece
    say(
        f"{analysis.title}: {row.value:.1%} of {row.count:,} images right (95 % interval {row.low:.1%} to"
        f" {row.high:.1%}), expected calibration error {error.value:.1%} ({error.low:.1%} to {error.high:.1%})"
    )
    averages = (
        f"{name} {average.value:.1%} ({average.low:.1%} to {average.high:.1%})"
        for name, average in analysis.averages.items()
    )
    say(f"  over classes, a rare one counting as much as a frequent one: {', '.join(averages)}")
    newest = f"; newest of {analysis.fitting} that fit" if analysis.fitting > 1 else ""
    say(f"  measured on {row.dataset}; {row.checkpoint}; {row.precision}{newest}")
    if row.metric != "top-1":
        say(
            "  what is robust under attack is judged by the image itself; what is broken, by what the attack made of it"
        )
    if row.findings:
        say(f"  findings that speak against believing it: {', '.join(row.findings)}")


def _show_tables(analysis: "ErrorAnalysis", worst: int) -> None:
    from doublevit.analysis.classes import best_first, worst_first
    from doublevit.report.formats import terminal
    from doublevit.report.tables.errors import calibration_table, class_table, pair_table

    names = analysis.measured.class_names
    taken_for = {pair.label: pair for pair in reversed(analysis.confusions)}  # the most frequent overwrites others
    rising, best = worst_first(analysis.classes), best_first(analysis.classes)
    out.print(terminal(class_table("worst-classes", "Worst classes", rising[:worst], names, taken_for)))
    if len(rising) > worst:
        few = best[: min(BEST_CLASSES, len(rising) - worst)]
        out.print(terminal(class_table("best-classes", "Best classes", few, names, taken_for)))
    if analysis.confusions:
        out.print(terminal(pair_table(analysis.confusions[:worst], names)))
    out.print(terminal(calibration_table(analysis.calibration)))


USAGE = "usage: doublevit show attention RUN [IMAGE ...] [options]\n\nall options: doublevit show attention --help"


def show(arguments: Sequence[str]) -> None:
    """Draw what a network attends to: `show attention RUN [IMAGE ...] [options]`."""
    if asks_help(arguments):
        say(USAGE)
    elif arguments[0] != "attention":
        raise unknown("command", f"show {arguments[0]}", ["show attention"])
    else:
        _attention(arguments[1:])


def _attention(arguments: Sequence[str]) -> None:
    options = parse(AttentionOptions, "doublevit show attention", arguments)
    from doublevit.jobs.attention import attention_sheet

    sheet = attention_sheet(options)
    with whole_file(options.output_path) as file:
        sheet.save(file, format="PNG")
    say(f"written: {options.output_path}")
