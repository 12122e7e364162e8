"""An analysis of errors as tables for the terminal."""

from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from doublevit.report.calibration import BINS, Binned, Calibration
from doublevit.report.classes import ClassResult, Pair

WORST_NOTE = "the worst of many classes look worse than they are"


def class_table(title: str, results: Sequence[ClassResult], names: Sequence[str], taken: Mapping[int, Pair]) -> Table:
    """Accuracy of some classes; `taken` says which other each was most often taken for."""
    table = Table("class", "right", "accuracy", "95 % interval", "most taken for", title=title)
    for column in table.columns[1:4]:
        column.justify = "right"
    for result in results:
        pair = taken.get(result.label)
        other = f"{names[pair.said]} ({pair.photos})" if pair else ""
        interval = f"{result.low:.0%} to {result.high:.0%}"
        cells = (f"{result.right:,}/{result.photos:,}", f"{result.accuracy:.1%}", interval)
        table.add_row(escape(names[result.label]), *cells, escape(other))
    return table


def pair_table(pairs: Sequence[Pair], names: Sequence[str]) -> Table:
    """Classes and what they were taken for."""
    table = Table("true class", "taken for", "photos", "of the class", title="Most confused")
    for column in table.columns[2:]:
        column.justify = "right"
    for pair in pairs:
        table.add_row(escape(names[pair.true]), escape(names[pair.said]), f"{pair.photos:,}", f"{pair.share:.1%}")
    return table


def calibration_table(found: Calibration) -> Table:
    """Calibration errors with intervals, and what stands beside them."""
    table = Table("", "value", "95 % interval", "if calibrated", title="Calibration")
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row("expected error, equal width", *_error(found.equal_width))
    table.add_row("expected error, equal mass", *_error(found.equal_mass))
    largest, photos = found.equal_width.largest
    table.add_row(f"largest error (bin of {photos:,})", f"{largest:.1%}", "", "")
    table.add_row("mean confidence", f"{found.confidence:.1%}", "", "")
    table.add_row("confidence less accuracy", f"{found.confidence - found.accuracy:+.1%}", "", "")
    table.add_row("negative log-likelihood", f"{found.log_likelihood:.3f}", "", "")
    table.caption = f"{BINS} bins; if calibrated: by chance alone, mean and 95th percentile"
    return table


def _error(bins: Binned) -> tuple[str, str, str]:
    error, (mean, most) = bins.error, bins.by_chance
    return f"{error.value:.1%}", f"{error.low:.1%} to {error.high:.1%}", f"{mean:.1%} (up to {most:.1%})"
