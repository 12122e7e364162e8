"""Running loss and accuracy of an epoch, kept on the device so that a GPU need not wait at every step."""

import math
import time

import torch

from doublevit.errors import UserError


class Meter:
    """Sums over the photos of an epoch, and the time they took."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.start()

    def start(self) -> None:
        """Begin anew, for another epoch."""
        self._sums = torch.zeros(3, dtype=torch.float64, device=self._device)  # loss, hits, photos
        self._started = time.perf_counter()

    def add(self, loss: torch.Tensor, hits: torch.Tensor, count: int) -> None:
        """Take in the mean `loss` of `count` photos, of which `hits` were classified rightly."""
        self._sums += torch.stack([loss.detach() * count, hits, torch.full_like(loss, count)]).double()

    def read(self) -> dict[str, float | None]:
        """Mean loss, share of hits and photos per second so far; None where there was no photo.

        Raises:
            UserError: the loss is not finite.
        """
        loss, hits, count = self._sums.tolist()
        if not math.isfinite(loss):
            raise UserError(
                "the loss is no longer finite: training has diverged; the last good checkpoint is kept."
                " Lower --train.backbone-lr and --train.head-lr, or set --train.clip-norm 1"
            )
        if not count:
            return {"loss": None, "top1": None, "images_per_second": None}
        seconds = time.perf_counter() - self._started
        return {"loss": loss / count, "top1": hits / count, "images_per_second": count / seconds}
