"""Accuracies under attack, as tables."""

from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from doublevit.attacks.epsilons import show
from doublevit.models.top_k import mention
from doublevit.results import Row


def attack_table(rows: Sequence[Row]) -> Table:
    """Accuracy under every attack, by epsilon, with its interval."""
    table = Table("attack", "epsilon", "top-1", "95 % interval", title="Accuracy under attack")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in dict.fromkeys(map(_attack_name, rows)):
        for number, row in enumerate(row for row in rows if _attack_name(row) == name):
            interval = f"{row.low:.1%} to {row.high:.1%}"
            table.add_row(name if not number else "", _epsilon(row), f"{row.value:.1%}", interval)
        table.add_section()
    return table


def _epsilon(row: Row) -> str:
    condition = row.condition
    return f"{condition['norm']} {show(condition['epsilon'], condition['norm'])}" if "epsilon" in condition else ""


def _attack_name(row: Row) -> str:
    """The attack, indented where it is a part of an ensemble, and what was run on the same photos before it."""
    condition = row.condition
    if "part_of" in condition:
        return f"  {condition['attack']}"
    after = f" (after {', '.join(condition['after'])})" if "after" in condition else ""
    return f"{condition['attack']}{after}"


def describe_attack(rows: Sequence[Row]) -> str:
    """What can never be left out beside accuracies under attack."""
    condition = rows[0].condition
    where = {"photo": "the photo's own pixels", "input": "the network's input"}[condition["space"]]
    nested = any(row.condition["budgets"] == "nested" for row in rows)
    sparse = mention(rows[0].top_k, "; sparse attention, ")
    spared = "; what fell is spared larger epsilons and later attacks" if nested else ""
    seed = f"seed {condition['attack_seed']}"
    return f"right and stays right, n = {rows[0].count:,}; epsilon in {where}; {seed}{spared}{sparse}"


def transfer_tables(rows: Sequence[Row]) -> Iterator[Table]:
    """For every attack and epsilon a matrix: made on the run at the left, tested on the run above."""
    for attack, epsilon in dict.fromkeys((row.condition["attack"], row.condition["epsilon"]) for row in rows):
        mine = [row for row in rows if (row.condition["attack"], row.condition["epsilon"]) == (attack, epsilon)]
        size = f"{mine[0].condition['norm']} {show(epsilon, mine[0].condition['norm'])}"
        models = list(dict.fromkeys(row.model for row in mine))
        table = Table(
            f"made on, by {attack}", *map(escape, models), title=f"top-1, {size}", caption=f"n = {mine[0].count:,}"
        )
        for made_on in dict.fromkeys(row.condition["made_on"] for row in mine):
            found = {row.model: _accuracy(row) for row in mine if row.condition["made_on"] == made_on}
            table.add_row(escape(made_on), *(found[model] for model in models))
        yield table


def _accuracy(row: Row) -> str:
    return f"{row.value:.1%}\n{100 * row.low:.1f}-{100 * row.high:.1f}"
