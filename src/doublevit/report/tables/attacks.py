"""Adversarial accuracy by epsilon, and transfer matrices."""

from collections.abc import Iterable, Iterator

from doublevit.analysis.attacked import AttackSetting, TransferMatrix
from doublevit.analysis.comparison import Comparison
from doublevit.analysis.descriptions import describe_epsilon
from doublevit.report.table import Cell, Column, Table, fraction_cell, text_cell, text_column
from doublevit.report.tables.cells import bold_note, method_cell, score_cells
from doublevit.runs.row import Row

CAPTION = (
    "Fraction of images in percent that are recognized and stay so, with 95 % intervals; {description}, n = {count:,}."
    " An attack bounds robustness from above: a stronger one may find more."
)


def attack_tables(comparison: Comparison, *, parts: bool = False) -> Iterator[Table]:
    """Yield a table for each attack and setting, with a column for each epsilon; with `parts`, those of ensembles."""
    for attack, settings in comparison.attacks.items():
        if bool(attack.part_of) == parts:
            for number, setting in enumerate(settings):
                yield _attack_table(comparison, setting, f"-{number + 1}" if number else "")


def _attack_table(comparison: Comparison, setting: AttackSetting, suffix: str) -> Table:
    attack = setting.attack
    measured = [index for index, scores in enumerate(setting.scores) if scores]
    columns = [score_cells(setting.column(epsilon, comparison.duplicates)) for epsilon in setting.epsilons]
    heads = [Column(describe_epsilon(attack.norm, epsilon), f"epsilon_{epsilon:.6g}") for epsilon in setting.epsilons]
    norm = f" ({attack.norm})" if attack.norm else ""
    part = f", a part of {attack.part_of}" if attack.part_of else ""
    return Table(
        name="-".join(filter(None, ["attack", attack.part_of, attack.name, attack.norm])) + suffix,
        title=f"Under attack: {attack.name}{norm}{part}, by epsilon",
        columns=(text_column("model"), *heads),
        rows=tuple(
            (method_cell(comparison.methods[index]), *(column[index] for column in columns)) for index in measured
        ),
        caption=CAPTION.format(description=setting.description, count=setting.count) + bold_note(len(measured)),
        groups=tuple(comparison.methods[index].group for index in measured),
    )


def transfer_tables(matrices: Iterable[TransferMatrix]) -> Iterator[Table]:
    """Yield a matrix for every attack and epsilon: made on the network of the row, shown to that of the column."""
    for number, matrix in enumerate(matrices, 1):
        targets = list(dict.fromkeys(target for _, target in matrix.rows))
        sources = list(dict.fromkeys(source for source, _ in matrix.rows))
        rows = tuple(
            (text_cell(source), *(_accuracy(matrix.rows.get((source, target))) for target in targets))
            for source in sources
        )
        attack, count = matrix.attack, next(iter(matrix.rows.values())).count
        yield Table(
            name=f"transfer-{number}-{attack.name}-{attack.norm}",
            title=f"Transfer: {attack.name}, {attack.norm} {describe_epsilon(attack.norm, matrix.epsilon)}",
            columns=(text_column("made on"), *(Column(target, target) for target in targets)),
            rows=rows,
            caption="Fraction of images recognized in percent, of images made on the network at the left;"
            f" {matrix.description}, n = {count:,}.",
        )


def _accuracy(row: Row | None) -> Cell:
    return fraction_cell(row.value, row.low, row.high, row.count) if row else Cell("-")
