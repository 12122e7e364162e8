"""Accuracy on clean images, the paper's Table 2; and how far each network is from the baseline, on the same images."""

from doublevit.analysis.comparison import Comparison
from doublevit.analysis.descriptions import describe_attention
from doublevit.analysis.differences import Difference
from doublevit.analysis.evaluated import EvaluatedModel, trained_top_k
from doublevit.report.table import Cell, Column, Table, number_cell, p_value_cell, points_cell, text_cell, text_column
from doublevit.report.tables.cells import bold_note, method_cell, score_cells
from doublevit.report.tables.runs import untrained_words

CAPTION = "Accuracy in percent on the clean validation images, with 95 % intervals."
CLASS_CAPTION = (
    "In percent, with 95 % intervals: the mean over classes of the fraction of each class that is recognized (balanced"
    " accuracy), and of F1; a rare class counts as much as a frequent one."
)
DIFFERENCE_CAPTION = (
    "Points more than {base} on the same images, with 95 % intervals. Clean: McNemar's test.{corrupted} p values are"
    " corrected by Holm's method for all {count} comparisons with {base}, what several rows share counted once. They"
    " are of these very networks: what another seed would change is not in them, but where a footnote names several."
)
CORRUPTED_CAPTION = (
    " Corrupted: mean accuracy under {group}, paired bootstrap, and t test of the images' means. % change: the paper's"
    " measure, in points, bootstrap."
)
DIFFERENCE_HEADS = {"clean": "clean", "corrupted": "corrupted", "change": "% change"}
GAP_NOTE = (
    " Gap: top-1 minus that on clean images of the same classes, in points, with Newcombe's interval for two samples."
)
AVERAGES = (Column("balanced accuracy", "balanced_accuracy"), Column("macro-F1", "macro_f1"))
TOPS = (Column("top-1", "top1"), Column("top-3", "top3"), Column("top-5", "top5"))


def accuracy_table(comparison: Comparison) -> Table | None:
    """Return top-1, top-3, top-5 and how networks were trained; None if nothing was measured on clean images.

    Data with fewer than five classes have no top-5, and no column for it.
    """
    columns = [score_cells(comparison.clean[head.head]) for head in TOPS]
    measured = [column for column in columns if any(cell.count for cell in column)]
    if not measured:
        return None
    has_gaps = any(comparison.gap.scores)
    gaps = [(cell,) if has_gaps else () for cell in score_cells(comparison.gap, points_cell)]
    rows = [
        (
            method_cell(method),
            *tops,
            number_cell(tops[0].count) if tops[0].count else Cell("-"),
            *_training(method.first),
            *gap,
        )
        for method, gap, *tops in zip(comparison.methods, gaps, *measured, strict=True)
    ]
    heads = (
        text_column("model"),
        *TOPS[: len(measured)],
        Column("n", "n"),
        text_column("augmentation"),
        text_column("attention", "top_k"),
        *((Column("gap", "gap"),) if has_gaps else ()),
    )
    groups = tuple(method.group for method in comparison.methods)
    caption = CAPTION + bold_note(len(rows)) + (GAP_NOTE if has_gaps else "")
    return Table("accuracy", "Clean accuracy", heads, tuple(rows), caption, groups)


def class_table(comparison: Comparison) -> Table | None:
    """Return averages over classes on clean images; None if none was measured."""
    columns = [score_cells(comparison.clean[head.head]) for head in AVERAGES]
    if not any(cell.count for cell in columns[0]):
        return None
    rows = [
        (method_cell(method), *cells, number_cell(cells[0].count) if cells[0].count else Cell("-"))
        for method, *cells in zip(comparison.methods, *columns, strict=True)
    ]
    groups = tuple(method.group for method in comparison.methods)
    heads = (text_column("model"), *AVERAGES, Column("n", "n"))
    return Table("classes", "Averages over classes", heads, tuple(rows), CLASS_CAPTION, groups)


def _training(model: EvaluatedModel) -> tuple[Cell, Cell]:
    recipe, trained = model.recipe, trained_top_k(model.recipe)
    augment = recipe["augment"]["policy"] if recipe["train"]["epochs"] else untrained_words(recipe)
    other = "" if model.top_k == trained else f" (trained {describe_attention(trained)})"
    return text_cell(augment), text_cell(describe_attention(model.top_k) + other)


def difference_table(comparison: Comparison) -> Table | None:
    """Return differences of clean accuracy, and of mean and change under corruptions; None if there are none."""
    if len(comparison.methods) < 2 or not comparison.differences.family_size:
        return None
    differences, base = comparison.differences, comparison.methods[comparison.baseline]
    others = [index for index in range(len(comparison.methods)) if index != comparison.baseline]
    rows = tuple(
        (
            method_cell(comparison.methods[index]),
            *(cell for column in differences.by_measure.values() for cell in _difference_cells(column[index])),
        )
        for index in others
    )
    heads = [
        column
        for name in differences.by_measure
        for column in (Column(DIFFERENCE_HEADS[name], name), Column("p", f"{name}_p"))
    ]
    return Table(
        name="differences",
        title=f"Compared with {base.label}",
        columns=(text_column("model"), *heads),
        rows=rows,
        caption=DIFFERENCE_CAPTION.format(
            base=base.label,
            count=differences.family_size,
            corrupted=CORRUPTED_CAPTION.format(group=differences.group.title) if differences.group else "",
        ),
        groups=tuple(comparison.methods[index].group for index in others),
    )


def _difference_cells(difference: Difference | None) -> tuple[Cell, Cell]:
    if difference is None or difference.corrected_p is None:
        return Cell("-"), Cell("-")
    estimate = difference.estimate
    cell = points_cell(estimate.value, estimate.low, estimate.high)
    notes = (f"mean over {difference.seeds} seeds, paired by seed; t test",) if difference.seeds > 1 else ()
    shown = Cell(cell.text, cell.interval, cell.value, cell.low, cell.high, notes=notes)
    return shown, p_value_cell(difference.corrected_p)
