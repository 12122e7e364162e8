"""Every network compared with a base, on the same photos."""

from collections.abc import Sequence

from doublevit.report.candidates import Contender
from doublevit.report.groups import Group
from doublevit.report.pairs import Difference, change_differences, clean_differences, corrupted_differences
from doublevit.report.table import Cell, Column, Table, p_value, points, text, words
from doublevit.statistics import holm

CAPTION = (
    "Points more than {base} on the same photos, with 95 % intervals. Clean: McNemar's test.{corrupted} p values are"
    " corrected by Holm's method for the number of comparisons in this table ({count}). They are of these very"
    " networks: what another seed would change is not in them, but where a footnote names several."
)
CORRUPTED = (
    " Corrupted: mean accuracy under {group}, paired bootstrap, and t test of the photos' means. % change: the paper's"
    " measure, in points, bootstrap."
)
HEADS = (("clean", "clean"), ("corrupted", "corrupted"), ("% change", "change"))


def difference_table(contenders: Sequence[Contender], base: Contender, group: Group | None) -> Table | None:
    """Clean accuracy, and mean and change under a group of corruptions; None where there is nothing to compare."""
    others = [number for number, one in enumerate(contenders) if one is not base]
    columns = [clean_differences(contenders, base)]
    if group:
        columns += [compare(contenders, base, group) for compare in (corrupted_differences, change_differences)]
    columns = [[column[number] for number in others] for column in columns]
    made, count = _cells(columns)
    if not count:
        return None
    corrupted = CORRUPTED.format(group=group.title) if group else ""
    names = [text(contenders[number].label) for number in others]
    heads = [
        column for head, name in HEADS[: len(columns)] for column in (Column(head, name), Column("p", f"{name}_p"))
    ]
    return Table(
        name="differences",
        title=f"Compared with {base.label}",
        columns=(words("model"), *heads),
        rows=tuple(zip(names, *made, strict=True)),
        caption=CAPTION.format(base=base.label, count=count, corrupted=corrupted),
        groups=tuple(contenders[number].group for number in others),
    )


def _cells(columns: Sequence[Sequence[Difference | None]]) -> tuple[list[list[Cell]], int]:
    """Two columns of cells for each, of differences and of corrected p values; and how many comparisons there are."""
    known = [each.p for column in columns for each in column if each]
    corrected = iter(holm(known))
    made: list[list[Cell]] = []
    for column in columns:
        made.append([_difference(each) if each else Cell("-") for each in column])
        made.append([p_value(next(corrected)) if each else Cell("-") for each in column])
    return made, len(known)


def _difference(found: Difference) -> Cell:
    cell = points(found.estimate.value, found.estimate.low, found.estimate.high)
    notes = (f"mean over {found.seeds} seeds, paired by seed; t test",) if found.seeds > 1 else ()
    return Cell(cell.text, cell.interval, cell.value, cell.low, cell.high, notes=notes)
