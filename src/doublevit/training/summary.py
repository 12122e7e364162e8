"""Which parts of a model are trained, as a table."""

from rich.table import Table

from doublevit.models import freeze
from doublevit.models.classifier import Classifier
from doublevit.training.config import TrainConfig


def freeze_table(model: Classifier, config: TrainConfig) -> Table:
    """Return a table of how much of each part of the model is trained, and at what learning rate."""
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
    """Return a warning about trained tensors that keep autograd busy through frozen layers; "" if there are none."""
    leaks = [
        f"{name}.{leak}" for name, branch in model.backbone.branches().items() for leak in freeze.autograd_leaks(branch)
    ]
    if not leaks:
        return ""
    return f"warning: {', '.join(leaks[:3])} trained before frozen layers: autograd runs through them all, slowly\n"


def describe_batch(batch_size: int, processes: int) -> str:
    """Return a line that says how many images of a step each of several processes has; "" for a single one."""
    if processes == 1:
        return ""
    least, more = divmod(batch_size, processes)
    each = f"{least} or {least + 1} (weighed by that)" if more else f"{least}"
    return f"{processes} processes: batch size {batch_size} together, {each} per process\n"
