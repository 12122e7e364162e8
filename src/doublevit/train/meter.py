"""Running loss and accuracy of an epoch, kept on the device so that a GPU need not wait at every step."""

import math
import time

import torch
from accelerate.utils import reduce

from doublevit.errors import UserError


class Meter:
    """Sums over the photos of an epoch, and the time they took."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.start()

    def start(self) -> None:
        """Begin anew, for another epoch."""
        self._sums = torch.zeros(3, device=self._device)  # loss, hits, photos
        self._started = time.perf_counter()

    def add(self, loss: torch.Tensor, hits: torch.Tensor, count: int) -> None:
        """Take in the mean `loss` of `count` photos, of which `hits` were classified rightly."""
        self._sums += torch.stack([loss.detach() * count, hits, torch.full_like(loss, count)])

    def read(self) -> dict[str, float | None]:
        """Mean loss, share of hits and photos per second so far, over all processes; None where there was no photo.

        All processes must call it together.

        Raises:
            UserError: the loss is not finite.
        """
        loss, hits, count = reduce(self._sums, reduction="sum").tolist()
        if not math.isfinite(loss):
            raise diverged()
        if not count:
            return {"loss": None, "top1": None, "images_per_second": None}
        seconds = time.perf_counter() - self._started
        return {"loss": loss / count, "top1": hits / count, "images_per_second": count / seconds}


def diverged() -> UserError:
    """What is said of a training that cannot go on."""
    return UserError(
        "loss or weights are no longer finite: training has diverged; the last good checkpoint is kept."
        " Lower --train.backbone-lr and --train.head-lr, or set --train.clip-norm 1"
    )
