"""A model's only user: a thread that predicts waiting images together, and does all else with the model in turn."""

import contextlib
import dataclasses
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import numpy as np
import torch

from doublevit.jobs.model import Model
from doublevit.serve.limits import Refused

Result = TypeVar("Result")
WAITING = 1024
"""The most prepared images that wait: 154 MB of 224 x 224 pixels."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """The best classes of an image by their index, best first, and their probabilities."""

    classes: tuple[int, ...]
    probabilities: tuple[float, ...]

    def first(self, count: int) -> "Answer":
        """Return the best `count` of these."""
        return Answer(self.classes[:count], self.probabilities[:count])


@dataclasses.dataclass(frozen=True)
class _Image:
    pixels: np.ndarray
    top: int
    future: "Future[Answer]"


@dataclasses.dataclass(frozen=True)
class _Task:
    function: Callable[[Model], Any]
    future: "Future[Any]"


class Predictor:
    """Predicts with a model in one thread.

    Images that come while a batch is computed make up the next one: nothing waits for company, and under load
    batches grow by themselves. Attacks and attention maps, which change the model for a moment, take turns with them.

    Args:
        name: what answers call the model.
        model: the model; nobody else may use it.
        batch_size: the most images in a batch.
        on_batch: is told how many images each batch had.
    """

    def __init__(
        self, name: str, model: Model, batch_size: int = 32, on_batch: Callable[[int], None] = lambda count: None
    ) -> None:
        self.name, self.model = name, model.eval()
        self._batch_size, self._on_batch = batch_size, on_batch
        self._closing, self._closed = threading.Lock(), False
        self._queue: queue.Queue[_Image | _Task | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._work, name=f"predictor of {name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def submit(self, pixels: np.ndarray, top: int) -> "Future[Answer]":
        """Ask for the `top` best classes of an image that is prepared for the model, uint8 (side, side, 3).

        Raises:
            Refused: too many wait already, or the predictor is closed.
        """
        future: Future[Answer] = Future()
        self._put(_Image(pixels, min(top, len(self.model.classes)), future))
        return future

    def run(self, function: Callable[[Model], Result]) -> Result:
        """Call a function with the model in the thread, and return its result.

        Raises:
            Refused: too many wait already, or the predictor is closed.
        """
        future: Future[Result] = Future()
        self._put(_Task(function, future))
        return future.result()

    def close(self) -> None:
        """End the thread after what waits now; what comes later is refused, so that nobody waits for ever."""
        with self._closing:
            self._closed = True
        self._queue.put(None)
        self._thread.join()

    def _put(self, job: _Image | _Task) -> None:
        with self._closing:
            if self._closed:
                raise Refused(503, "stopped", "the server is being stopped")
            try:
                self._queue.put_nowait(job)
            except queue.Full:
                raise Refused(503, "busy", f"{WAITING:,} images wait already; come back later") from None

    def _work(self) -> None:
        for batch, task in self._turns():
            if batch:
                with _answered([image.future for image in batch]):
                    self._predict(batch)
            if task is not None and task.future.set_running_or_notify_cancel():
                with _answered([task.future]):
                    task.future.set_result(task.function(self.model))

    def _turns(self) -> Iterator[tuple[list[_Image], _Task | None]]:
        """Yield what waits: the images up to a full batch, or up to the next task, which comes after them."""
        while (job := self._queue.get()) is not None:
            batch: list[_Image] = []
            while isinstance(job, _Image):
                batch.append(job)
                if len(batch) == self._batch_size or self._queue.empty():
                    break
                job = self._queue.get()
            yield batch, job if isinstance(job, _Task) else None
            if job is None:
                return

    def _predict(self, batch: list[_Image]) -> None:
        pixels = torch.from_numpy(np.stack([image.pixels for image in batch])).permute(0, 3, 1, 2)
        answers = best_classes(self.model, pixels, max(image.top for image in batch))
        self._on_batch(len(batch))
        for image, answer in zip(batch, answers, strict=True):
            if image.future.set_running_or_notify_cancel():
                image.future.set_result(answer.first(image.top))


@torch.inference_mode()
def best_classes(model: Model, images: torch.Tensor, top: int) -> list[Answer]:
    """Return the `top` best classes of images (B, 3, H, W), uint8 or float in [0, 1]."""
    probabilities = model(images.to(model.device)).float().softmax(dim=1)
    values, classes = probabilities.topk(min(top, probabilities.shape[1]), dim=1)
    return [Answer(tuple(labels), tuple(row)) for labels, row in zip(classes.tolist(), values.tolist(), strict=True)]


@contextlib.contextmanager
def _answered(futures: "list[Future[Any]]") -> Iterator[None]:
    """Give whoever waits for one of these the error of the block, and go on."""
    try:
        yield
    except Exception as error:  # whatever it is, it is theirs, and the thread serves the next
        for future in futures:
            if not future.done():
                future.set_exception(error)
