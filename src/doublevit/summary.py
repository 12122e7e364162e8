"""Tables for the terminal: what trains, and what came out."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from doublevit.attacks.epsilons import show
from doublevit.models import freeze
from doublevit.models.classifier import Classifier
from doublevit.results import Row
from doublevit.train.config import TrainConfig


def freeze_table(model: Classifier, config: TrainConfig) -> Table:
    """How much of each part of the model is trained, and at what learning rate."""
    table = Table("part", "tensors trained", "of", "parameters trained", "of", "learning rate", title="What is trained")
    for column in table.columns[1:]:
        column.justify = "right"
    branches = model.backbone.branches()
    for part in freeze.summary(model.parts()):
        rate = config.backbone_lr if part.name in branches else config.head_lr
        table.add_row(
            part.name,
            f"{part.trained_tensors:,}",
            f"{part.tensors:,}",
            f"{part.trained_parameters:,}",
            f"{part.parameters:,}",
            f"{rate:g}" if part.trained_tensors else "-",
        )
    return table


def leak_warning(model: Classifier) -> str:
    """A line on trained tensors that keep autograd busy through frozen layers; empty where there is none."""
    leaks = [
        f"{name}.{leak}" for name, branch in model.backbone.branches().items() for leak in freeze.autograd_leaks(branch)
    ]
    if not leaks:
        return ""
    return f"warning: {', '.join(leaks[:3])} trained before frozen layers: autograd runs through them all, slowly\n"


def result_table(rows: Sequence[Row], run: Path, note: str) -> Table:
    """Accuracies with their intervals; below them, how the network was trained, and adapted if it was."""
    caption = _caption(note, rows)
    table = Table("metric", "condition", "accuracy", "95 % interval", "n", title=escape(run.name), caption=caption)
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        interval = f"{row.low:.2%} to {row.high:.2%}"
        table.add_row(row.metric, str(row.condition["kind"]), f"{row.value:.2%}", interval, f"{row.count:,}")
    return table


def cell_table(rows: Sequence[Row]) -> Table:
    """Top-1 accuracy of every corruption, by severity; below it, what the corrupted photos are."""
    cells = {(row.condition["corruption"], row.condition["severity"]): row for row in rows if row.metric == "top-1"}
    names, severities = (list(dict.fromkeys(parts)) for parts in zip(*cells, strict=True))
    caption = _caption(escape(describe_set(rows[0].condition)), rows)
    table = Table("top-1 by severity", *map(str, severities), "mean", caption=caption)
    for column in table.columns[1:]:
        column.justify = "right"
    for name in names:
        values = [cells[name, severity].value for severity in severities]
        table.add_row(name, *(f"{value:.1%}" for value in values), f"{sum(values) / len(values):.1%}")
    return table


def together_table(rows: Sequence[Row]) -> Table:
    """Means over corruptions and severities, with intervals; changes are relative to accuracy on clean photos."""
    table = Table("corruptions", "metric", "value", "95 % interval", "compared with", caption=_caption("", rows))
    for column in table.columns[2:4]:
        column.justify = "right"
    for row in rows:
        condition, form = row.condition, FORMS[row.metric.split()[0]]
        interval = f"{row.low:{form}} to {row.high:{form}}"
        clean = f"clean accuracy on {condition['clean']}" if "clean" in condition else ""
        other = clean or escape(condition.get("relative_to", ""))
        table.add_row(condition["of"], row.metric, f"{row.value:{form}}", interval, other)
    return table


def _caption(note: str, rows: Sequence[Row]) -> str:
    """A note, and what was done to the network for these rows: sparse attention, batch norm adapted to their photos."""
    sparse = [f"sparse attention, top-k {row.top_k}" for row in rows[:1] if row.top_k != "none"]
    adapted = [f"adapted: {escape(row.adapted)}" for row in rows[:1] if row.adapted]
    return "\n".join([*([note] if note else []), *sparse, *adapted])


FORMS = {"mean": ".2%", "relative": "+.1%", "error": ".3f"}


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
    spared = "; what fell is spared larger epsilons and later attacks" if nested else ""
    return f"right and stays right, n = {rows[0].count:,}; epsilon in {where}; seed {condition['attack_seed']}{spared}"


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


def describe_set(condition: Mapping[str, Any]) -> str:
    """A corrupted set, as its rows describe it: what can never be left out beside a number."""
    words = {"constants": "constants", "corruption_seed": "seed", "frost": "frost:", "saved": "saved as"}
    parts = [f"{word} {condition[key]}" for key, word in words.items() if key in condition]
    return ", ".join([f"{condition['set']} corruptions", *parts])
