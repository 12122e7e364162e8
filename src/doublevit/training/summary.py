"""Which parts of a model are trained, as a table."""

import torch
from rich.table import Table

from doublevit.models import freeze
from doublevit.models.classifier import Classifier
from doublevit.training.config import TrainConfig


def freeze_table(model: Classifier, optimizer: torch.optim.Optimizer) -> Table:
    """Return a table of how much of each part of the model is trained, and at what learning rate."""
    table = Table("part", "tensors trained", "of", "parameters trained", "of", "learning rate", title="What is trained")
    for column in table.columns[1:]:
        column.justify = "right"
    rates = {id(parameter): group["base_lr"] for group in optimizer.param_groups for parameter in group["params"]}
    parts = model.parts()
    for part in freeze.summary(parts):
        of_part = {rates[id(parameter)] for parameter in parts[part.name].parameters() if id(parameter) in rates}
        table.add_row(
            part.name,
            f"{part.trained_tensors:,}",
            f"{part.tensors:,}",
            f"{part.trained_parameters:,}",
            f"{part.parameters:,}",
            " to ".join(f"{rate:.3g}" for rate in sorted({min(of_part), max(of_part)})) if of_part else "-",
        )
    return table


def describe_image_size(model: Classifier, config: TrainConfig) -> str:
    """Return a line that says at what side in pixels the network is trained; "" where it is that of evaluation."""
    if config.image_size is None:
        return ""
    finish = f", in the last {config.finish_epochs:g} epochs at {model.resize.size}" if config.finish_epochs else ""
    return f"trained at {config.image_size} pixels{finish}; evaluated at {model.resize.size}\n"


def describe_step(config: TrainConfig, per_class: int | None, images: int) -> str:
    """Return lines on what a step trains on, and on which weights come of it, where that is not as usual."""
    lines = list[str]()
    if per_class is not None:
        lines.append(f"{images:,} training images, at most {per_class:,} of each class")
    if config.sampling == "balanced":
        lines.append("balanced sampling: every class comes equally often")
    if config.adversarial != "none":
        rising = f", rising from 0 over {config.rising_epochs:g} epochs" if config.rising_epochs else ""
        steps = f"{config.attack_steps} step{'s' if config.attack_steps > 1 else ''}"
        lines.append(f"attacked images: {config.adversarial}, {steps}, Linf {config.epsilon}{rising}")
    if config.ema is not None:
        lines.append(f"moving average of the weights, decay {config.ema:g}: validated and saved in their place")
    return "".join(f"{line}\n" for line in lines)


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
