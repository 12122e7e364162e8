"""An exported file beside the model that it was made of, on real images of any sizes: how far both agree."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from doublevit.data.decode import Decoding
from doublevit.errors import UserError
from doublevit.files import write_text
from doublevit.jobs.fit import class_indices
from doublevit.jobs.model import Model
from doublevit.jobs.onnx.file import OnnxFile, open_file
from doublevit.jobs.onnx.images import MixedImages, mixed_images
from doublevit.progress import bar
from doublevit.report.formats.markdown import markdown
from doublevit.report.table import Cell, Column, Table, fraction_cell, number_cell, points_cell, text_cell, text_column
from doublevit.statistics import paired_difference, wilson_interval

CHUNK = 32  # images that torch takes at a time
ENOUGH = 0.999  # of the images: with fewer of the same class, the file does not do what the model does


@dataclasses.dataclass(frozen=True)
class Parity:
    """What both computed of the same N images: logits and probabilities (N, classes), and which label is right.

    `candidates` are the classes of the images among the model's, which accuracy is about.
    """

    logits: np.ndarray
    onnx_logits: np.ndarray
    onnx_probabilities: np.ndarray
    labels: np.ndarray
    candidates: np.ndarray
    source: str

    @property
    def same(self) -> int:
        """Of how many images the first class is the same."""
        return int((self.logits.argmax(axis=1) == self.onnx_logits.argmax(axis=1)).sum())

    @property
    def is_enough(self) -> bool:
        """Whether the first class is the same on at least 99.9 %."""
        return self.same >= ENOUGH * len(self.labels)

    def correct(self, logits: np.ndarray) -> np.ndarray:
        """Return which images are recognized by these logits, bool (N,)."""
        return self.candidates[logits[:, self.candidates].argmax(axis=1)] == self.labels

    def table(self) -> Table:
        """Return the parity table."""
        count, expected = len(self.labels), torch.from_numpy(self.logits).softmax(dim=1).numpy()
        both = self.correct(self.logits), self.correct(self.onnx_logits)
        difference = paired_difference(both[1], both[0])
        accuracies = [
            fraction_cell(each.mean(), *wilson_interval(int(each.sum()), count), count, digits=2) for each in both
        ]
        same = wilson_interval(self.same, count)
        rows = (
            (text_cell("top-1 of torch, %"), accuracies[0]),
            (text_cell("top-1 of onnxruntime, %"), accuracies[1]),
            (
                text_cell("difference, points, paired"),
                points_cell(difference.value, difference.low, difference.high, count),
            ),
            (text_cell("same first class, %"), fraction_cell(self.same / count, *same, count, digits=2)),
            (text_cell("images of another class"), number_cell(count - self.same)),
            (text_cell("largest difference of a logit"), _small(self.onnx_logits - self.logits)),
            (text_cell("largest difference of a probability"), _small(self.onnx_probabilities - expected)),
        )
        caption = (
            f"{count:,} images ({self.source}), decoded once. torch: resized by Pillow, the network in float32."
            " onnxruntime: the file alone, resizing inside. 95 % intervals."
        )
        columns = (text_column("what"), Column("value", "value"))
        return Table("parity", "The exported file beside torch", columns, rows, caption)


def _small(differences: np.ndarray) -> Cell:
    value = float(np.abs(differences).max())
    return Cell(f"{value:.2g}", value=value)


def verify(model: Model, path: Path, data: str, split: str = "") -> Parity:
    """Compute logits of all images by a model and by its exported file, and write the table beside the file.

    Raises:
        UserError: the images cannot be had, or the model does not know their classes; or the file cannot be opened.
    """
    images, file = mixed_images(data, split, Decoding(model.info.bits)), open_file(path)
    indices = np.asarray(class_indices(model.info, images))
    labels = indices[images.labels]
    candidates = indices if model.info.model is None else np.arange(len(model.classes))
    torch_logits, logits, probabilities = _compute(model.cpu(), file, images)
    parity = Parity(torch_logits, logits, probabilities, labels, candidates, images.id.source)
    write_text(table_path(path), markdown(parity.table()))
    return parity


def table_path(path: Path) -> Path:
    """Return where the parity table of an exported file lies: model.parity.md beside model.onnx."""
    return path.with_suffix(".parity.md")


@torch.inference_mode()
def _compute(model: Model, file: OnnxFile, images: MixedImages) -> tuple[np.ndarray, ...]:
    """Return logits of torch, and logits and probabilities of onnxruntime, each (N, classes)."""
    rows: list[tuple[np.ndarray, ...]] = []
    with bar("verifying", len(images)) as progress:
        for start in range(0, len(images), CHUNK):
            chunk = [images.read(index) for index in range(start, min(start + CHUNK, len(images)))]
            prepared = torch.from_numpy(np.stack([model.prepare(image) for image in chunk])).permute(0, 3, 1, 2)
            logits, probabilities = zip(*(file.run(image[None]) for image in chunk), strict=True)
            rows.append((model(prepared).float().numpy(), np.concatenate(logits), np.concatenate(probabilities)))
            progress.advance(len(chunk))
    parts = tuple(np.concatenate(column) for column in zip(*rows, strict=True))
    if not all(np.isfinite(part).all() for part in parts):
        raise UserError(f"{file.path}: logits are not finite; with float16, numbers overflow: export it as float32")
    return parts
