"""Tables for the terminal: what trains, and what came out."""

from collections.abc import Iterable
from pathlib import Path

from rich.table import Table

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


def result_table(rows: Iterable[Row], run: Path, note: str) -> Table:
    """Accuracies with their intervals; below them, how the network was trained."""
    table = Table("metric", "condition", "accuracy", "95 % interval", "n", title=run.name, caption=note)
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        interval = f"{row.low:.2%} to {row.high:.2%}"
        table.add_row(row.metric, str(row.condition["kind"]), f"{row.value:.2%}", interval, f"{row.count:,}")
    return table
