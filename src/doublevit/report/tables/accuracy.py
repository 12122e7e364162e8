"""Accuracy on clean photos: the paper's Table 2."""

from collections.abc import Sequence

from doublevit.report.candidates import Candidate, Contender, trained_top_k
from doublevit.report.measured import clean_rows, of_all_members, reading
from doublevit.report.readings import Reading, cells, choose
from doublevit.report.table import Cell, Column, Table, number, text, words
from doublevit.results import Row

CAPTION = (
    "Accuracy in percent on the clean validation photos, with 95 % intervals. Bold: better than every row that was"
    " measured alike, by McNemar's test on the same photos (t test where there are several seeds; Holm, 5 %)."
)


def accuracy_table(contenders: Sequence[Contender]) -> Table:
    """Top-1 and top-3, and what the network was trained with."""
    columns = [accuracy_cells(contenders, metric) for metric in ("top-1", "top-3")]
    counts = [cell.count for cell in columns[0]]
    rows = [
        (text(contender.label), top1, top3, number(count) if count else Cell("-"), *_training(contender.first))
        for contender, top1, top3, count in zip(contenders, *columns, counts, strict=True)
    ]
    numbers = (Column("top-1", "top1"), Column("top-3", "top3"), Column("n", "n"))
    heads = (words("model"), *numbers, words("augmentation"), words("attention", "top_k"))
    groups = tuple(contender.group for contender in contenders)
    return Table("accuracy", "Clean accuracy", heads, tuple(rows), CAPTION, groups)


def accuracy_cells(contenders: Sequence[Contender], metric: str) -> list[Cell]:
    """A cell for each contender, on the same clean photos where they have them."""
    chosen = choose([of_all_members(contender, clean_rows) for contender in contenders])
    return cells([_readings(*pair, metric) for pair in zip(contenders, chosen, strict=True)])


def _readings(contender: Contender, rows: list[dict[str, Row]] | None, metric: str) -> list[Reading]:
    """Of each member, if all were measured."""
    pairs = list(zip(contender.members, rows or [], strict=False))
    if not all(metric in mine for _, mine in pairs):
        return []
    return [reading(member, mine[metric]) for member, mine in pairs]


def _training(candidate: Candidate) -> tuple[Cell, Cell]:
    recipe = candidate.recipe
    augment = recipe["augment"]["policy"] if recipe["train"]["epochs"] else "not trained"
    trained = trained_top_k(recipe)
    kept = "dense" if candidate.top_k == "none" else f"top-k {candidate.top_k}"
    other = "" if candidate.top_k == trained else f" (trained {'dense' if trained == 'none' else f'top-k {trained}'})"
    return text(augment), text(kept + other)
