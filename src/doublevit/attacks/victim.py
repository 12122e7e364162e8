"""The model as an attack sees it: pixels in [0, 1] to logits, in evaluation mode, with no gradient for its weights."""

import contextlib
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import nn

from doublevit.device import device_of
from doublevit.errors import UserError

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Takes logits (B, classes) and labels (B,), and gives a loss for each sample (B,), which attacks make large."""


class Victim(nn.Module):
    """Wraps a model that maps images (B, 3, H, W) in [0, 1] to logits (B, classes), which become float32.

    Gradients are float32 too: in bfloat16 attacks that look for the nearest boundary broke fewer images.

    Raises:
        UserError: the model is in training mode: dropout and batch statistics would make the attack random.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if model.training:
            raise UserError("the model is in training mode; call model.eval() before it is attacked")
        self.model = model
        self.training = False

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return device_of(self.model)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(images)
        return logits.float()

    @torch.no_grad()
    def predict(self, images: torch.Tensor, batch_size: int = 100) -> torch.Tensor:
        """Return logits (B, classes) without a gradient, computed in batches to bound memory."""
        return torch.cat([self(part) for part in images.split(batch_size)])

    def gradient(self, images: torch.Tensor, labels: torch.Tensor, loss: Loss) -> tuple[torch.Tensor, ...]:
        """Return logits (B, classes), losses (B,) and their gradients in the images (B, 3, H, W), all detached."""
        images = images.detach().requires_grad_()
        with torch.enable_grad():
            logits = self(images)
            losses = loss(logits, labels)
            (gradient,) = torch.autograd.grad(losses.sum(), images)
        return logits.detach(), losses.detach(), gradient


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of each sample (B,)."""
    return F.cross_entropy(logits, labels, reduction="none")


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Let no parameter require a gradient in the block; afterwards each does as before.

    Attacks differentiate by pixels only; gradients of the weights cost a third of their time.
    """
    parameters = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        for parameter, _ in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, required_grad in parameters:
            parameter.requires_grad_(required_grad)


def require_pixels(images: torch.Tensor) -> None:
    """Raise `UserError` unless images are floats in [0, 1]."""
    if not images.is_floating_point():
        raise UserError(f"expected images as floats in [0, 1], found {images.dtype}; divide bytes by 255")
    if images.numel() and not 0 <= images.min() <= images.max() <= 1:
        extremes = f"{images.min().item():.3g} to {images.max().item():.3g}"
        raise UserError(f"expected images in [0, 1], found {extremes}; the model normalizes by itself: give it pixels")
