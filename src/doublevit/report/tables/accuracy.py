"""Accuracy on clean images: the paper's Table 2."""

from doublevit.analysis.comparison import Comparison
from doublevit.analysis.descriptions import describe_attention
from doublevit.analysis.evaluated import EvaluatedModel, trained_top_k
from doublevit.report.table import Cell, Column, Table, number, text, words
from doublevit.report.tables.cells import bold_note, method_cell, score_cells

CAPTION = "Accuracy in percent on the clean validation images, with 95 % intervals."
NUMBERS = (Column("top-1", "top1"), Column("top-3", "top3"), Column("n", "n"))
HEADS = (words("model"), *NUMBERS, words("augmentation"), words("attention", "top_k"))


def accuracy_table(comparison: Comparison) -> Table | None:
    """Top-1 and top-3, and what the network was trained with; None where nothing was measured on clean images."""
    columns = [score_cells(column) for column in comparison.clean.values()]
    if not any(cell.count for cell in columns[0]):
        return None
    rows = [
        (method_cell(method), top1, top3, number(top1.count) if top1.count else Cell("-"), *_training(method.first))
        for method, top1, top3 in zip(comparison.methods, *columns, strict=True)
    ]
    groups = tuple(method.group for method in comparison.methods)
    return Table("accuracy", "Clean accuracy", HEADS, tuple(rows), CAPTION + bold_note(len(rows)), groups)


def _training(model: EvaluatedModel) -> tuple[Cell, Cell]:
    recipe, trained = model.recipe, trained_top_k(model.recipe)
    augment = recipe["augment"]["policy"] if recipe["train"]["epochs"] else "not trained"
    other = "" if model.top_k == trained else f" (trained {describe_attention(trained)})"
    return text(augment), text(describe_attention(model.top_k) + other)
