"""Accuracy on clean images: the paper's Table 2."""

from doublevit.analysis.comparison import Comparison
from doublevit.analysis.descriptions import describe_attention
from doublevit.analysis.evaluated import EvaluatedModel, trained_top_k
from doublevit.report.table import Cell, Column, Table, number_cell, text_cell, text_column
from doublevit.report.tables.cells import bold_note, method_cell, score_cells

CAPTION = "Accuracy in percent on the clean validation images, with 95 % intervals."
TOPS = (Column("top-1", "top1"), Column("top-3", "top3"), Column("top-5", "top5"))


def accuracy_table(comparison: Comparison) -> Table | None:
    """Return top-1, top-3, top-5 and how networks were trained; None if nothing was measured on clean images.

    Data with fewer than five classes have no top-5, and no column for it.
    """
    columns = [score_cells(column) for column in comparison.clean.values()]
    measured = [column for column in columns if any(cell.count for cell in column)]
    if not measured:
        return None
    rows = [
        (
            method_cell(method),
            *tops,
            number_cell(tops[0].count) if tops[0].count else Cell("-"),
            *_training(method.first),
        )
        for method, *tops in zip(comparison.methods, *measured, strict=True)
    ]
    heads = (
        text_column("model"),
        *TOPS[: len(measured)],
        Column("n", "n"),
        text_column("augmentation"),
        text_column("attention", "top_k"),
    )
    groups = tuple(method.group for method in comparison.methods)
    return Table("accuracy", "Clean accuracy", heads, tuple(rows), CAPTION + bold_note(len(rows)), groups)


def _training(model: EvaluatedModel) -> tuple[Cell, Cell]:
    recipe, trained = model.recipe, trained_top_k(model.recipe)
    augment = recipe["augment"]["policy"] if recipe["train"]["epochs"] else "not trained"
    other = "" if model.top_k == trained else f" (trained {describe_attention(trained)})"
    return text_cell(augment), text_cell(describe_attention(model.top_k) + other)
