"""The evaluator of speed, memory and size, on random images."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator

import torch

from doublevit.data.dataset import Dataset
from doublevit.device import autocast
from doublevit.evaluators.evaluator import EvalModel
from doublevit.evaluators.prediction import model_fields
from doublevit.evaluators.speed.cost import (
    MEMORY_DEVICES,
    count_macs_per_image,
    peak_additional_bytes,
    storage_bytes,
)
from doublevit.evaluators.speed.timing import describe_device, time_batches
from doublevit.runs.conditions import ModelId, Speed
from doublevit.runs.results import EvalResult, Expected, Results
from doublevit.runs.row import ResultKey, Row
from doublevit.statistics import Estimate

INFERENCE, TRAINING = "inference", "training"
SIZE_METRICS = ("parameters", "trained parameters", "MACs")


@dataclasses.dataclass(frozen=True)
class TrainingWork:
    """Work that consists of training steps: `step` makes one on a fixed batch, and leaves no gradients behind.

    `optimizer` is the one that it steps; its state counts as memory.
    """

    step: Callable[[], None]
    optimizer: torch.optim.Optimizer


@dataclasses.dataclass(frozen=True)
class SpeedEvaluator:
    """An evaluator that measures speed, memory and size of a network, on random images.

    `image_size` is (height, width); inference and training are timed for about `seconds` each. `prepare_training` maps
    a batch uint8 (B, 3, H, W) to training steps, which change the network; without it no training is measured.
    """

    device: torch.device
    image_size: tuple[int, int]
    batch_size: int = 32
    seconds: float = 3.0
    prepare_training: Callable[[torch.Tensor], TrainingWork] | None = None
    name = "speed"

    def conditions(self, model: ModelId, dataset: Dataset | None = None) -> list[Expected]:
        """List memory and sizes on this device; `dataset` is not used, since the images are random."""
        return [Expected(self._key(model, count), metrics) for count, metrics in self._metrics()]

    def run(self, model: EvalModel, dataset: Dataset | None, results: Results) -> Iterator[EvalResult]:
        """Yield one result with every row: all are measured anew, and added together at the end."""
        result = EvalResult(tuple(self.measure(model)))
        results.add(result)
        yield result

    def measure(self, model: EvalModel) -> Iterator[Row]:
        """Measure every row: inference, training, then sizes."""
        images = random_images(self.batch_size, self.image_size, self.device)
        yield from self.inference(model, images)
        if self.prepare_training is not None:
            yield from self.training(model, images, self.prepare_training(images))
        yield from self.sizes(model)

    def inference(self, model: EvalModel, images: torch.Tensor) -> Iterator[Row]:
        """Measure speed and memory from uint8 images to float32 logits, as an evaluation runs (with resizing)."""
        network = model.network.eval()

        @torch.inference_mode()
        def infer() -> None:
            with autocast(images.device, model.dtype):
                network(images).float()

        yield from self._measure_work(model, INFERENCE, images, infer, lambda: ())

    def training(self, model: EvalModel, images: torch.Tensor, work: TrainingWork) -> Iterator[Row]:
        """Measure speed and memory of whole training steps; the optimizer's state is part of the memory."""
        model.network.train()
        states = work.optimizer.state.values()
        yield from self._measure_work(
            model, TRAINING, images, work.step, lambda: itertools.chain.from_iterable(map(_tensors, states))
        )

    def sizes(self, model: EvalModel) -> Iterator[Row]:
        """Count the parameters, those of them that are trained, and the MACs of one image."""
        parameters = list(model.network.parameters())
        trains = self.prepare_training is not None
        trained = sum(parameter.numel() for parameter in parameters if trains and parameter.requires_grad)
        counts = (
            sum(parameter.numel() for parameter in parameters),
            trained,
            count_macs_per_image(model.network, self.image_size),
        )
        for metric, value in zip(SIZE_METRICS, counts, strict=True):
            yield self._exact(model, metric, value)

    def _metrics(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Yield the number of images that rows have, with the metrics of these rows.

        Images/s are left out: how many images they are of is known only once they are timed.
        """
        kinds = (INFERENCE, TRAINING) if self.prepare_training is not None else (INFERENCE,)
        if self.device.type in MEMORY_DEVICES:
            yield self.batch_size, tuple(f"{kind} memory" for kind in kinds)
        yield 1, SIZE_METRICS

    def _key(self, model: ModelId, count: int) -> ResultKey:
        return ResultKey(model=model, dataset=None, count=count, condition=self._condition())

    def _condition(self) -> Speed:
        return Speed(device=describe_device(self.device), batch_size=self.batch_size, image_size=self.image_size)

    def _row(self, model: EvalModel, metric: str, estimate: Estimate, count: int, seconds: float = 0.0) -> Row:
        """Return the row of a number that was measured on `count` images in `seconds`."""
        return Row(
            **model_fields(model.id),
            dataset=None,
            condition=self._condition(),
            metric=metric,
            count=count,
            seconds=round(seconds, 3),
            **dataclasses.asdict(estimate),
        )

    def _exact(self, model: EvalModel, metric: str, value: int, count: int = 1) -> Row:
        """Return the row of a number that is exact, so that its interval has no width."""
        return self._row(model, metric, Estimate(float(value), float(value), float(value)), count)

    def _measure_work(
        self,
        model: EvalModel,
        kind: str,
        images: torch.Tensor,
        work: Callable[[], None],
        more_tensors: Callable[[], Iterable[torch.Tensor]],
    ) -> Iterator[Row]:
        """Time some work on the batch, then measure its memory.

        `more_tensors` lists what is held beside images and network: a function, since an optimizer has no state before
        its first step.
        """
        timing = time_batches(work, len(images), self.seconds, images.device, f"timing {kind}")
        yield self._row(
            model, f"{kind} images/s", timing.images_per_second(), timing.count, float(timing.seconds.sum())
        )
        if images.device.type in MEMORY_DEVICES:
            held = storage_bytes([images, *model.network.parameters(), *model.network.buffers(), *more_tensors()])
            peak = held + peak_additional_bytes(work, images.device)
            yield self._exact(model, f"{kind} memory", peak, len(images))


def random_images(batch_size: int, image_size: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Draw a batch of uniform noise, uint8 (B, 3, H, W); it is the same every time."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch_size, 3, *image_size), dtype=torch.uint8, generator=generator).to(device)


def _tensors(state: dict[str, object]) -> list[torch.Tensor]:
    return [value for value in state.values() if isinstance(value, torch.Tensor)]
