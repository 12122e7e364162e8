"""Whether a wrapped network is fed as it was trained: another normalization that does better speaks against it."""

from typing import cast

import numpy as np
import torch
from torch import nn

from doublevit.attacks.checks import Finding
from doublevit.data.dataset import Dataset
from doublevit.jobs.fit import Among
from doublevit.jobs.model import Model
from doublevit.models.preprocess import Normalize
from doublevit.models.wrapped import Wrapped
from doublevit.statistics import mcnemar

CHECKED_IMAGES, BATCH = 200, 50
SIGNIFICANT = 0.001
USUAL = {
    "ImageNet's mean and std": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "mean and std 0.5": ((0.5,) * 3, (0.5,) * 3),
    "mean 0 and std 1": ((0.0,) * 3, (1.0,) * 3),
    "mean 0 and std 1/255": ((0.0,) * 3, (1 / 255,) * 3),
}
"""How most networks want their input."""


def normalization_findings(model: Model, dataset: Dataset) -> list[Finding]:
    """Find out whether a usual normalization makes significantly fewer errors than the one that was given.

    It takes a few forward passes on up to 200 images; networks that were built here know their own.
    """
    wrapped = _wrapped(model.network)
    if wrapped is None:
        return []
    images = dataset if len(dataset) <= CHECKED_IMAGES else dataset.stratified(CHECKED_IMAGES)
    given, better = wrapped.normalize, {}
    correct = _correct(model, images)
    try:
        for name, (mean, std) in USUAL.items():
            if _same(given, mean, std):
                continue
            wrapped.normalize = Normalize(mean, std).to(given.mean.device)
            other = _correct(model, images)
            if other.sum() > correct.sum() and mcnemar(other, correct) < SIGNIFICANT:
                better[name] = other.mean()
    finally:
        wrapped.normalize = given
    if not better:
        return []
    best = max(better, key=lambda name: better[name])
    text = (
        f"with {best} {better[best]:.0%} of {len(images)} images are right, and {correct.mean():.0%} with the"
        " normalization that the network was given: is that the one it was trained with?"
    )
    return [Finding("normalization", text)]


def _wrapped(network: nn.Module) -> Wrapped | None:
    inner = network.model if isinstance(network, Among) else network
    return inner if isinstance(inner, Wrapped) else None


def _same(given: Normalize, mean: tuple[float, ...], std: tuple[float, ...]) -> bool:
    pairs = ((given.mean, mean), (given.std, std))
    return all(np.allclose(values.flatten().cpu(), numbers, atol=1e-3) for values, numbers in pairs)


@torch.inference_mode()
def _correct(model: Model, dataset: Dataset) -> np.ndarray:
    """Whether each image is recognized, bool (N,)."""
    predicted = []
    for indices in np.array_split(np.arange(len(dataset)), -(-len(dataset) // BATCH)):
        batch = torch.from_numpy(np.ascontiguousarray(dataset.images[indices])).permute(0, 3, 1, 2)
        logits = cast(torch.Tensor, model(batch.to(model.device)))
        predicted.append(logits.argmax(dim=1).cpu().numpy())
    return np.concatenate(predicted) == np.asarray(dataset.labels)
