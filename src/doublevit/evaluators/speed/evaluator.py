"""What a network costs on this machine: images a second, memory, parameters, multiply-accumulate operations."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator

import torch

from doublevit.data.dataset import Dataset
from doublevit.device import autocast
from doublevit.evaluators.evaluator import EvalModel
from doublevit.evaluators.prediction import model_fields
from doublevit.evaluators.speed.timing import MEASURED, describe_device, held, macs_of_image, peak_on_top, time_batches
from doublevit.runs.conditions import ModelId, Speed
from doublevit.runs.results import EvalResult, Expected, Results
from doublevit.runs.row import ResultKey, Row
from doublevit.statistics import Estimate

INFERENCE, TRAINING = "inference", "training"
SIZES = ("parameters", "trained parameters", "MACs")


@dataclasses.dataclass(frozen=True)
class TrainingWork:
    """Whole training steps on one batch: `step` makes one and leaves no gradients behind; `optimizer` has its state."""

    step: Callable[[], None]
    optimizer: torch.optim.Optimizer


@dataclasses.dataclass(frozen=True)
class SpeedEvaluator:
    """Speed, memory and size of a network, on random images.

    `image_size` is (height, width); `seconds` is how long to time inference, and training, each. `prepare_training`
    makes the training steps of a network on a batch uint8 (B, 3, H, W), which change it; None where nothing is trained.
    """

    device: torch.device
    image_size: tuple[int, int]
    batch_size: int = 32
    seconds: float = 3.0
    prepare_training: Callable[[torch.Tensor], TrainingWork] | None = None
    name = "speed"

    def conditions(self, model: ModelId, dataset: Dataset | None = None) -> list[Expected]:
        """See `Evaluator`; no image of a data set is looked at. Numbers of another device are other measurements."""
        return [Expected(self._key(model, count), metrics) for count, metrics in self._metrics()]

    def run(self, model: EvalModel, dataset: Dataset | None, results: Results) -> Iterator[EvalResult]:
        """See `Evaluator`; all of it is measured together, and added at the end."""
        rows = list(self.measure(model))
        result = EvalResult(tuple(rows))
        results.add(result)
        yield result

    def measure(self, model: EvalModel) -> Iterator[Row]:
        """Every row, inference first."""
        images = random_images(self.batch_size, self.image_size, self.device)
        yield from self.inference(model, images)
        if self.prepare_training is not None:
            yield from self.training(model, images, self.prepare_training(images))
        yield from self.sizes(model)

    def inference(self, model: EvalModel, images: torch.Tensor) -> Iterator[Row]:
        """Speed and memory of uint8 images to float32 logits, resizing included, as an evaluation computes them."""
        network = model.network.eval()

        @torch.inference_mode()
        def infer() -> None:
            with autocast(images.device, model.dtype):
                network(images).float()

        yield from self._work(model, INFERENCE, images, infer, lambda: ())

    def training(self, model: EvalModel, images: torch.Tensor, work: TrainingWork) -> Iterator[Row]:
        """Speed and memory of whole training steps; the optimizer's state is part of the memory."""
        model.network.train()
        states = work.optimizer.state.values()
        yield from self._work(
            model, TRAINING, images, work.step, lambda: itertools.chain.from_iterable(map(_tensors, states))
        )

    def sizes(self, model: EvalModel) -> Iterator[Row]:
        """Parameters, those of them that are trained, and the MACs of one image."""
        parameters = list(model.network.parameters())
        trains = self.prepare_training is not None
        trained = sum(parameter.numel() for parameter in parameters if trains and parameter.requires_grad)
        counts = (
            sum(parameter.numel() for parameter in parameters),
            trained,
            macs_of_image(model.network, self.image_size),
        )
        for metric, value in zip(SIZES, counts, strict=True):
            yield self._exact(model, metric, value)

    def _metrics(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """By how many images a number is of; that of images/s is known only once they are timed."""
        kinds = (INFERENCE, TRAINING) if self.prepare_training is not None else (INFERENCE,)
        if self.device.type in MEASURED:
            yield self.batch_size, tuple(f"{kind} memory" for kind in kinds)
        yield 1, SIZES

    def _key(self, model: ModelId, count: int) -> ResultKey:
        return ResultKey(model=model, dataset=None, count=count, condition=self._condition())

    def _condition(self) -> Speed:
        return Speed(device=describe_device(self.device), batch_size=self.batch_size, image_size=self.image_size)

    def _row(self, model: EvalModel, metric: str, estimate: Estimate, count: int, seconds: float = 0.0) -> Row:
        """One number, measured on `count` images in `seconds` seconds."""
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
        """One number that is no estimate."""
        return self._row(model, metric, Estimate(float(value), float(value), float(value)), count)

    def _work(
        self,
        model: EvalModel,
        kind: str,
        images: torch.Tensor,
        work: Callable[[], None],
        further: Callable[[], Iterable[torch.Tensor]],
    ) -> Iterator[Row]:
        """Time some work on the batch, which holds `further` tensors once it has run, and look at its memory."""
        timing = time_batches(work, len(images), self.seconds, images.device, f"timing {kind}")
        yield self._row(model, f"{kind} images/s", timing.rate(), timing.count, float(timing.taken.sum()))
        if images.device.type in MEASURED:
            there = held([images, *model.network.parameters(), *model.network.buffers(), *further()])
            yield self._exact(model, f"{kind} memory", there + peak_on_top(work, images.device), len(images))


def random_images(batch_size: int, image_size: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Noise as a batch of images, uint8 (B, 3, H, W); always the same."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch_size, 3, *image_size), dtype=torch.uint8, generator=generator).to(device)


def _tensors(state: dict[str, object]) -> list[torch.Tensor]:
    return [value for value in state.values() if isinstance(value, torch.Tensor)]
