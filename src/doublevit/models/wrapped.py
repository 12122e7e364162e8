"""Any network that takes normalized floats, as a model from pixels to logits."""

from typing import Any

import torch
from torch import nn

from doublevit.device import device_of
from doublevit.errors import UserError, first_line
from doublevit.models.preprocess import Normalize, Resize

PROBES = 4  # images of noise by which a network's output is looked at


class Wrapped(nn.Module):
    """Images (B, 3, H, W), float in [0, 1] or uint8 -> logits (B, classes), by a network that takes normalized floats.

    Args:
        network: takes float (B, 3, size, size); returns logits, or an object that has `logits`.
        size: side in pixels of its input; None where it takes any.
        interpolation: "bicubic" or "bilinear", by which images are resized to `size`.
        mean: of each channel, of pixels in [0, 1].
        std: of each channel.
    """

    def __init__(
        self,
        network: nn.Module,
        size: int | None,
        interpolation: str,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        super().__init__()
        self.resize: nn.Module = nn.Identity() if size is None else Resize(size, interpolation)
        self.normalize = Normalize(mean, std)
        self.network = network
        self.to(device_of(network))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return logits_of(self.network(self.normalize(self.resize(images))), self.network)


def logits_of(output: Any, network: nn.Module) -> torch.Tensor:
    """Return the logits in a network's output: the tensor itself, or its attribute `logits`.

    Raises:
        UserError: it is neither.
    """
    logits = getattr(output, "logits", output)
    if isinstance(logits, torch.Tensor):
        return logits
    raise UserError(
        f"{type(network).__name__} returns a {type(output).__name__}: expected logits (B, classes), or an object with"
        " the attribute logits; wrap it in a module that returns the logits alone"
    )


@torch.inference_mode()
def count_outputs(model: nn.Module, size: int) -> int:
    """Return how many classes a model has, after a look at what it makes of images of noise.

    Raises:
        UserError: its output has another shape than (B, classes), is not finite, or is probabilities.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(PROBES, 3, size, size, generator=generator).to(device_of(model))
    try:
        logits = model.eval()(images)
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"the network cannot take images of {size} x {size} pixels ({first_line(error)}); is `size` right?"
        ) from error
    if logits.ndim != 2 or len(logits) != PROBES or logits.shape[1] < 2:
        raise UserError(f"expected logits ({PROBES}, classes) for {PROBES} images, found shape {tuple(logits.shape)}")
    if not torch.isfinite(logits).all():
        raise UserError("the network's logits are not finite: its weights are damaged, or its numbers overflow")
    if (logits >= 0).all() and torch.allclose(logits.sum(dim=1), torch.ones(PROBES, device=logits.device), atol=1e-3):
        raise UserError(
            "the network returns probabilities: expected logits, since attacks need them; leave out the softmax"
        )
    return int(logits.shape[1])
