"""Accuracy on corrupted photos: the paper's Table 1, and by severity."""

from collections.abc import Callable, Sequence

from doublevit.report.candidates import Contender
from doublevit.report.corrupted import Corrupted, corrupted
from doublevit.report.groups import Group
from doublevit.report.measured import of_all_members
from doublevit.report.readings import Reading, cells, choose, same_seeds
from doublevit.report.table import Cell, Column, Table, points, share, text, words
from doublevit.statistics import relative_error

Chosen = list[Corrupted]
MOST_COLUMNS = 6
"""Corruptions that stand in columns of their own; of more, only their mean."""


def robustness_table(contenders: Sequence[Contender], base: Contender, group: Group) -> Table:
    """Clean accuracy, each corruption (of a small group), their average, % change, error relative to the base's."""
    chosen = _chosen(contenders, group)
    kept = [(contender, mine) for contender, mine in zip(contenders, chosen, strict=True) if mine]
    names = group.corruptions if len(group.corruptions) <= MOST_COLUMNS else ()
    columns: list[tuple[Column, list[Cell]]] = [(Column("clean", "clean"), _column(kept, Corrupted.clean_reading))]
    columns += [(Column(name.replace("_", " "), name), _column(kept, _mean_of(name))) for name in names]
    columns.append((Column("average", "average"), _column(kept, Corrupted.mean)))
    columns.append((Column("% change", "change"), _change_column(kept)))
    bases = next((mine for contender, mine in kept if contender is base), None)
    if bases and len(kept) > 1:
        columns.append((Column(f"error / {base.label}'s", "relative_error"), _relative_column(kept, bases)))
    heads = (words("model"), *(column for column, _ in columns))
    rows = zip([text(contender.label) for contender, _ in kept], *(made for _, made in columns), strict=True)
    groups = tuple(contender.group for contender, _ in kept)
    return Table(
        f"robustness-{group.name}", f"Robustness to {group.title}", heads, tuple(rows), _caption(kept, base), groups
    )


def severity_table(contenders: Sequence[Contender], group: Group) -> Table:
    """Mean over the corruptions at each severity."""
    kept = [(one, mine) for one, mine in zip(contenders, _chosen(contenders, group), strict=True) if mine]
    severities = sorted({severity for _, mine in kept for _, severity in mine[0].cells})
    columns = [
        _column([(one, mine if _has(mine, severity) else []) for one, mine in kept], _mean_at(severity))
        for severity in severities
    ]
    heads = (words("model"), Column("clean", "clean"), *_severity_columns(severities))
    names = [text(contender.label) for contender, _ in kept]
    rows = zip(names, _column(kept, Corrupted.clean_reading), *columns, strict=True)
    groups = tuple(contender.group for contender, _ in kept)
    title = f"By severity: mean over {group.title}"
    return Table(f"severity-{group.name}", title, heads, tuple(rows), _photos_caption(kept), groups)


def cell_table(contender: Contender, group: Group) -> Table | None:
    """One network, each corruption at each severity; None where it was not measured."""
    options = _options(contender, group)
    if not options:
        return None
    (one, *_) = choose([options])[0] or []
    severities = sorted({severity for _, severity in one.cells})
    rows = tuple(
        (text(name.replace("_", " ")), *(share(*_numbers(one.mean(name, severity))) for severity in severities))
        for name in group.corruptions
    )
    heads = (words("corruption"), *_severity_columns(severities))
    seeds = ", of the first seed" if len(contender.members) > 1 else ""
    title = f"{contender.label}: {group.title}"
    caption = f"{one.said}, n = {one.some.count:,}{seeds}"
    return Table(f"cells-{group.name}-{contender.label}", title, heads, rows, caption)


def _severity_columns(severities: Sequence[int]) -> list[Column]:
    return [Column(f"severity {severity}", f"severity{severity}") for severity in severities]


def _numbers(found: Reading) -> tuple[float, float, float, int]:
    return found.value, found.low, found.high, found.count


def _options(contender: Contender, group: Group) -> dict[str, tuple[int, Chosen]]:
    return of_all_members(contender, lambda candidate: corrupted(candidate, group))


def _chosen(contenders: Sequence[Contender], group: Group) -> list[Chosen | None]:
    return choose([_options(contender, group) for contender in contenders])


Kept = Sequence[tuple[Contender, Chosen]]


def _column(kept: Kept, read: Callable[[Corrupted], Reading]) -> list[Cell]:
    return cells([[read(one) for one in mine] for _, mine in kept])


def _change_column(kept: Kept) -> list[Cell]:
    changes = [[one.change() for one in mine] for _, mine in kept]
    return cells([[change for change in mine if change] for mine in changes], points)


def _relative_column(kept: Kept, bases: Chosen) -> list[Cell]:
    """Mean over corruptions of the error summed over severities, divided by the base's."""
    pairs = [same_seeds(mine, bases) for _, mine in kept]
    found = [[_relative(*pair) for pair in several] for several in pairs]
    return cells([[one for one in several if one] for several in found], _ratio, rising=False)


def _relative(one: Corrupted, base: Corrupted) -> Reading | None:
    hits, others = one.hits(), base.hits()
    if one.said != base.said or hits is None or others is None:
        return None
    try:
        found = relative_error(hits, others, [name for name, _ in one.cells])
    except ValueError:  # the reference makes no error on some corruption
        return None
    return one.reading(found)


def _ratio(value: float, low: float, high: float, count: int | None = None) -> Cell:
    return Cell(f"{value:.3f}", f"{low:.3f} to {high:.3f}", value, low, high, count)


def _mean_of(name: str) -> Callable[[Corrupted], Reading]:
    return lambda one: one.mean(name)


def _mean_at(severity: int) -> Callable[[Corrupted], Reading]:
    return lambda one: one.mean(severity=severity)


def _has(mine: Chosen, severity: int) -> bool:
    return any(strength == severity for _, strength in mine[0].cells)


def _caption(kept: Kept, base: Contender) -> str:
    return (
        f"Accuracy in percent, with 95 % intervals; {_photos_caption(kept)} % change: of the average against the clean"
        " accuracy, as a share of that (the paper's measure). Relative error: mean over corruptions of the error"
        f" summed over severities, divided by {base.label}'s (1 is equal, less is better). Bold: better than every"
        " row that was measured alike, by a paired test on the same photos (t test over seeds where there are several;"
        " Holm, 5 %)."
    )


def _photos_caption(kept: Kept) -> str:
    sorts = [one[0].said for _, one in kept]
    usual = max(dict.fromkeys(sorts), key=sorts.count)
    one = next(mine[0] for _, mine in kept if mine[0].said == usual)
    clean = "" if one.matched else "; clean accuracy is of OTHER photos, so that % change mixes two effects"
    return f"{usual}, n = {one.some.count:,}{clean}."
