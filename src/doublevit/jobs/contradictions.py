"""Labels that a trained model surely contradicts.

A label counts as contradicted where the model gives it a probability of `LABEL_MOST` at most, and another class one of
`OTHER_LEAST` at least. (The thresholds of confident learning, the mean probability of each class over its own images,
would miss about half of the wrong labels where a class's images are all alike.)
"""

import dataclasses
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from doublevit.data.check.duplicates import Group
from doublevit.data.check.findings import DataFinding
from doublevit.data.check.scan import Scan
from doublevit.data.check.source import Source
from doublevit.data.decode import BadImage
from doublevit.data.identity import DatasetId
from doublevit.data.stores.reading import in_order
from doublevit.device import this_process
from doublevit.jobs.fit import class_indices
from doublevit.jobs.model import Model
from doublevit.jobs.open_model import open_model
from doublevit.progress import bar
from doublevit.runs.training_data import IMAGES

LABEL_MOST, OTHER_LEAST = 0.01, 0.9
BATCH = 64


@dataclasses.dataclass(frozen=True)
class _Classes:
    """The classes of a source, as they are matched with a model's."""

    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    id: DatasetId


def contradicted_labels(scan: Scan, name: str | Path, weights: str, workers: int) -> DataFinding | None:
    """Predict every image that can be read with the model `name`; None if it contradicts no label.

    Raises:
        UserError: there is no such model, or it does not know the source's classes.
    """
    model, source = open_model(name, weights=weights), scan.source
    indices = class_indices(model.info, _Classes(source.class_ids, source.class_names, DatasetId(source.name)))
    model.to(this_process().device)
    probabilities, trained = _predict(model, indices, scan, workers, _trained_on(Path(name)))
    labels = source.labels[scan.good]
    rows, others = contradictions(probabilities, labels)
    if not len(rows):
        return None
    names = [model.info.class_names[index] for index in indices]  # a folder's are often ids
    groups = []
    for row, other in zip(rows.tolist(), others.tolist(), strict=True):
        (more, less), label = probabilities[row, [other, labels[row]]], labels[row]
        groups.append(Group((int(scan.good[row]),), f"{names[other]} {more:.1%}, not {names[label]} {less:.1%}"))
    remark = f" It was trained on {trained:,} of the {len(labels):,} images, of which it tells less." if trained else ""
    advice = (
        f"Look at them: the label has {LABEL_MOST:.0%} at most by {model.info.name}, another class {OTHER_LEAST:.0%} at"
        f" least.{remark}"
    )
    return DataFinding("contradicted", "warning", "labels that the model surely contradicts", advice, tuple(groups))


def contradictions(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which labels (n,) are contradicted by probabilities (n, classes), and by which class; surest first."""
    rows = np.arange(len(labels))
    others = probabilities.argmax(axis=1)
    surest, given = probabilities[rows, others], probabilities[rows, labels]
    found = np.flatnonzero((given <= LABEL_MOST) & (surest >= OTHER_LEAST))
    found = found[np.argsort(given[found] - surest[found], kind="stable")]
    return found, others[found]


def _predict(model: Model, indices: list[int], scan: Scan, workers: int, trained: np.ndarray) -> tuple[np.ndarray, int]:
    """Return probabilities of the source's classes, float32 (n, classes), and how many images are `trained` on."""
    probabilities, known = [], 0
    among = model.info.model is None  # such as ImageNet's head: it is asked which of the source's classes
    with bar("predicting", len(scan.good)) as progress, torch.inference_mode():
        for images in _batches(model, scan.source, scan.good, workers):
            logits = model(torch.from_numpy(images).permute(0, 3, 1, 2).to(model.device)).float()
            logits = logits[:, indices] if among else logits
            chosen = logits.softmax(dim=1)
            probabilities.append((chosen if among else chosen[:, indices]).cpu().numpy())
            known += int(np.isin([zlib.crc32(image.tobytes()) for image in images], trained).sum())
            progress.advance(len(images))
    return np.concatenate(probabilities or [np.empty((0, len(indices)), np.float32)]), known


def _batches(model: Model, source: Source, good: np.ndarray, workers: int) -> Iterator[np.ndarray]:
    """Yield the images as the model takes them, uint8 (B, side, side, 3), in order."""

    def prepared(index: int) -> np.ndarray:
        try:
            return model.prepare(model.decode(source.read(source.names[index])))
        except BadImage:  # too narrow for the model's geometry: black, of which no label is sure
            return np.zeros((model.info.side, model.info.side, 3), np.uint8)

    batch: list[np.ndarray] = []
    for image in in_order(prepared, good.tolist(), workers):
        batch.append(image)
        if len(batch) == BATCH:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)


def _trained_on(path: Path) -> np.ndarray:
    """Return the CRC-32 of the images that a run was trained on, as they are prepared; none where that is unknown."""
    try:
        return np.asarray(np.load(path / IMAGES, allow_pickle=False))
    except (OSError, ValueError, EOFError):
        return np.empty(0, np.uint32)
