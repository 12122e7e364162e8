"""A network's costs as rows: its size, and what inference and training take."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator

import torch

from doublevit.evaluate import Subject
from doublevit.models.classifier import Classifier
from doublevit.precision import autocast
from doublevit.results import Row
from doublevit.speed.machine import describe
from doublevit.speed.macs import macs_of_photo
from doublevit.speed.memory import MEASURED, held, peak_on_top
from doublevit.speed.timing import time_batches
from doublevit.statistics import Estimate

DATASET = "random photos"


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is measured: a network, on its device; one batch, uint8 (B, 3, H, W), there too; how, and under what name.

    `seconds` is how long to time inference, and training, each.
    """

    model: Classifier
    images: torch.Tensor
    dtype: torch.dtype
    seconds: float
    subject: Subject

    def row(self, metric: str, estimate: Estimate, count: int, seconds: float = 0.0) -> Row:
        """One number, measured on `count` photos in `seconds` seconds."""
        condition = {
            "kind": "speed",
            "device": describe(self.images.device),
            "batch_size": len(self.images),
            "pixels": list(self.images.shape[2:]),
        }
        return Row(
            dataset=DATASET,
            condition=condition,
            metric=metric,
            count=count,
            seconds=round(seconds, 3),
            **dataclasses.asdict(estimate),
            **dataclasses.asdict(self.subject) | {"seed": 0},  # of the photos: its own decides weights, not speed
        )

    def exact(self, metric: str, value: int, count: int = 1) -> Row:
        """One number that is no estimate."""
        return self.row(metric, Estimate(float(value), float(value), float(value)), count)


def random_photos(batch_size: int, pixels: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Noise as a batch of photos, uint8 (B, 3, H, W); always the same."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch_size, 3, *pixels), dtype=torch.uint8, generator=generator).to(device)


def size_rows(setting: Setting, *, trains: bool) -> list[Row]:
    """Parameters, those of them that are trained (none unless `trains`), and MACs of a photo."""
    parameters = list(setting.model.parameters())
    trained = sum(parameter.numel() for parameter in parameters if trains and parameter.requires_grad)
    return [
        setting.exact("parameters", sum(parameter.numel() for parameter in parameters)),
        setting.exact("trained parameters", trained),
        setting.exact("MACs", macs_of_photo(setting.model)),
    ]


def inference_rows(setting: Setting) -> list[Row]:
    """Speed and memory of uint8 photos to float32 logits, resizing included, as an evaluation computes them."""
    model, images, dtype = setting.model.eval(), setting.images, setting.dtype

    @torch.inference_mode()
    def infer() -> None:
        with autocast(images.device, dtype):
            model(images).float()

    return list(_rows(setting, "inference", infer, lambda: ()))


def training_rows(setting: Setting, step: Callable[[], None], optimiser: torch.optim.Optimizer) -> list[Row]:
    """Speed and memory of whole training steps on the setting's batch.

    Args:
        setting: its model is the one that is trained; it is changed.
        step: forward, backward and a step of the optimiser; leaves no gradients behind.
        optimiser: its state is part of the memory.
    """
    setting.model.train()
    states = optimiser.state
    return list(_rows(setting, "training", step, lambda: itertools.chain.from_iterable(map(_tensors, states.values()))))


def _tensors(state: dict[str, object]) -> list[torch.Tensor]:
    return [value for value in state.values() if isinstance(value, torch.Tensor)]


def _rows(
    setting: Setting, name: str, work: Callable[[], None], further: Callable[[], Iterable[torch.Tensor]]
) -> Iterator[Row]:
    """Of some work on the batch, which holds `further` tensors once it has run."""
    images, model = setting.images, setting.model
    timing = time_batches(work, len(images), setting.seconds, images.device, f"timing {name}")
    yield setting.row(f"{name} images/s", timing.rate(), timing.count, float(timing.taken.sum()))
    if images.device.type in MEASURED:
        there = held([images, *model.parameters(), *model.buffers(), *further()])
        yield setting.exact(f"{name} memory", there + peak_on_top(work, images.device), len(images))
