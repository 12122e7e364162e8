"""The fewest images that batch norm can be trained on: a single one fails where a layer gets one value per channel."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from doublevit.device import device_of
from doublevit.errors import UserError
from doublevit.models.classifier import Classifier
from doublevit.training.config import TrainConfig


def fewest_images(model: Classifier) -> int:
    """Return 2 if training needs two images at a time, else 1.

    It does where a batch norm that is trained would get a single value of each channel from an image, as one behind
    global pooling: a variance needs two. This is found by one image's way through the network, which is left as it was.
    """
    training = model.training
    model.train()
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.training]
    single: list[bool] = []

    def look(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        single.append(inputs[0].numel() == inputs[0].shape[1])

    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    model.eval()
    if layers:
        side = model.resize.size
        model.resize.train()  # at the side that training has
        with torch.no_grad():
            model(torch.zeros(1, 3, side, side, dtype=torch.uint8, device=device_of(model)))
    for hook in hooks:
        hook.remove()
    model.train(training)
    return 2 if any(single) else 1


def require_enough(config: TrainConfig, fewest: int, processes: int, count: int) -> None:
    """Raise `UserError` if steps, as they are shared by processes and accumulated, come down to single images.

    Args:
        config: of the training.
        fewest: as `fewest_images` returns it.
        processes: among which a batch is shared.
        count: training images.
    """
    if fewest == 1 or not config.epochs:
        return
    least = processes * (config.accumulate + 1)  # then every part has more than one image
    reason = "this network's batch norm needs two images at a time"
    if config.batch_size < least:
        parts = f" in {config.accumulate} parts" if config.accumulate > 1 else ""
        shared = f" for {processes} processes" if processes > 1 else ""
        raise UserError(
            f"{reason}: expected `train.batch_size` of at least {least}{parts}{shared}, found {config.batch_size}"
        )
    if count < fewest * processes:
        raise UserError(f"{reason}: expected at least {fewest * processes} training images, found {count}")


def part_sizes(count: int, parts: int, fewest: int) -> list[int]:
    """Return the sizes of up to `parts` parts of `count` images, none below `fewest` unless `count` is."""
    size = max(-(-count // parts), fewest)
    sizes = [min(size, count - start) for start in range(0, count, size)]
    if len(sizes) > 1 and sizes[-1] < fewest:
        sizes[-2:] = [sizes[-2] + sizes[-1]]
    return sizes
