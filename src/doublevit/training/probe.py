"""A linear probe: heads fitted to the features of the network as it is, before the first step.

Fine-tuning that begins there distorts the pretrained features less than from zeros (Kumar et al. 2022, "Fine-Tuning can
Distort Pretrained Features and Underperform Out-of-Distribution").
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import broadcast, gather_object

from doublevit.data.batches import Batch, evaluation_batches, gather
from doublevit.data.dataset import Dataset
from doublevit.device import autocast, device_of, this_process
from doublevit.errors import UserError
from doublevit.models.classifier import Classifier
from doublevit.prefetch import prefetch
from doublevit.progress import Bar, bar

L2 = tuple(10 ** (-power / 2) for power in range(13))  # 1 to 1e-6: each fit starts from the one before
HELD_OUT = 5  # one image in so many, of each class, chooses among them
LEAST_IMAGES = 2  # of each class: one to fit on, one to choose by
ITERATIONS = 200
BATCH_SIZE = 100
ROWS = 1 << 16  # features at a time, so that their logits fit into memory


@dataclasses.dataclass(frozen=True)
class LinearFit:
    """A linear layer: `weight` (classes, D) and `bias` (classes,), float32."""

    weight: torch.Tensor
    bias: torch.Tensor

    @classmethod
    def zeros(cls, classes: int, features: torch.Tensor) -> "LinearFit":
        """Return zeros for features (N, D)."""
        return cls(features.new_zeros(classes, features.shape[1]), features.new_zeros(classes))

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (N, D) to logits (N, classes)."""
        return F.linear(features, self.weight, self.bias)

    def loss(self, features: torch.Tensor, labels: torch.Tensor) -> float:
        """Return the mean cross-entropy of features (N, D) and labels (N,)."""
        return float(F.cross_entropy(self.logits(features), labels))


@dataclasses.dataclass(frozen=True)
class Probe:
    """A fitted head, by the penalty `l2`, and how many images were held out, with their loss and accuracy by it."""

    fit: LinearFit
    l2: float
    held_out: int
    held_out_loss: float
    held_out_top1: float

    def facts(self) -> dict[str, float]:
        """Return what the log says of it."""
        return {name: value for name, value in vars(self).items() if name != "fit"}


def fit_heads(model: Classifier, train: Dataset, dtype: torch.dtype, seed: int) -> list[Probe]:
    """Fit each linear head of a model to the training images' features, and give it to the model.

    Images are not augmented, and the network is in evaluation mode. All processes share the features; the first one
    fits, and sends the heads to the others.

    Args:
        model: on the device that it is to be trained on; its heads are linear layers.
        train: the images.
        dtype: the type that matrix products of the network run in.
        seed: decides which images are held out.

    Returns:
        The probe of each head, in the first process; none in the others.

    Raises:
        UserError: a class has too few images, or the network's features are not finite.
    """
    require_images(train)
    features, labels = features_of(model, train, dtype), torch.from_numpy(train.labels)
    probes: list[Probe] = []
    if this_process().is_main_process:
        device = device_of(model)
        probes = [probe(part.to(device), labels.to(device), len(train.class_ids), seed) for part in features]
        for head, fitted in zip(model.heads, probes, strict=True):
            head.load_state_dict({"weight": fitted.fit.weight, "bias": fitted.fit.bias})
    for parameter in model.heads.parameters():
        parameter.data.copy_(broadcast(parameter.data))  # the others wait here for the fit
    return probes


def require_images(train: Dataset) -> None:
    """Raise `UserError` if a class has too few images for one of them to be held out."""
    counts = np.bincount(train.labels, minlength=len(train.class_ids))
    if counts.min() < LEAST_IMAGES:
        raise UserError(
            f"`model.head_init=probe` fits on some images of each class and chooses by others: expected at least"
            f" {LEAST_IMAGES} training images of each, found {counts.min()} of class"
            f" {train.class_ids[int(counts.argmin())]!r}; give more images, or choose zeros"
        )


def features_of(model: Classifier, dataset: Dataset, dtype: torch.dtype) -> list[torch.Tensor]:
    """Return the features (N, D), float32 on the CPU, that each head is given of every image of a data set."""
    state, parts = this_process(), []
    model.eval()
    batches = evaluation_batches(len(dataset), BATCH_SIZE, state.process_index, state.num_processes)
    with bar("features for the head", len(dataset)) as progress:
        for batch in prefetch(gather(dataset, indices) for indices in batches):
            parts.append((batch.indices, *_features(model, batch, dtype)))
            progress.advance(len(batch) * state.num_processes)
    indices, *columns = (torch.cat(column) for column in zip(*gather_object(parts), strict=True))
    order = indices.argsort()
    if not all(column.isfinite().all() for column in columns):
        raise UserError("the network's features are not finite: its weights are damaged")
    return [column[order] for column in columns]


@torch.inference_mode()
def _features(model: Classifier, batch: Batch, dtype: torch.dtype) -> list[torch.Tensor]:
    device = device_of(model)
    with autocast(device, dtype):
        features = model.features(batch.images.to(device))
    return [feature.float().cpu() for feature in features]


def probe(features: torch.Tensor, labels: torch.Tensor, classes: int, seed: int) -> Probe:
    """Fit multinomial logistic regression to features (N, D) and labels (N,), on their device.

    Features are standardized for the fit, and the result is of the features as they are. Of the penalties `L2`, from
    the strongest until the loss of held-out images rises, the one is taken by which most of them are recognized: on
    Tiny ImageNet the one of the least loss recognized fewer. Then all images are fitted.
    """
    deviation, mean = torch.std_mean(features, dim=0, correction=0)
    deviation = torch.where(deviation > 1e-6, deviation, 1.0)  # of a feature that is always the same
    standard = (features - mean) / deviation
    out = held_out(labels.cpu().numpy(), seed).to(labels.device)
    fitting, held = (standard[~out], labels[~out]), (standard[out], labels[out])
    with bar("fitting the head", len(L2) + 1, "fits") as progress:
        fits = list(_path(fitting, held, classes, progress))
        best = max(fits, key=lambda each: (each.held_out_top1, -each.held_out_loss))
        whole = fit(standard, labels, best.l2, best.fit)
        progress.advance(len(L2) + 1)
    weight = whole.weight / deviation
    return dataclasses.replace(best, fit=LinearFit(weight, whole.bias - weight @ mean))


Images = tuple[torch.Tensor, torch.Tensor]
"""Features (N, D) and labels (N,)."""


def _path(fitting: Images, held: Images, classes: int, progress: Bar) -> Iterator[Probe]:
    """Yield fits of ever weaker penalties, each from the one before, until the loss of held-out images rises."""
    fitted, least = LinearFit.zeros(classes, fitting[0]), float("inf")
    for l2 in L2:
        fitted = fit(*fitting, l2, fitted)
        progress.advance(1)
        loss, logits = fitted.loss(*held), fitted.logits(held[0])
        yield Probe(fitted, l2, len(logits), loss, float((logits.argmax(dim=1) == held[1]).double().mean()))
        if loss >= least:
            return
        least = loss


def held_out(labels: np.ndarray, seed: int) -> torch.Tensor:
    """Return which of the labels (N,) are held out, bool (N,): of each class one in `HELD_OUT`, but at least one."""
    order = np.random.default_rng(seed).permutation(len(labels))
    out = torch.zeros(len(labels), dtype=torch.bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        out[members[: max(1, len(members) // HELD_OUT)]] = True
    return out


def fit(features: torch.Tensor, labels: torch.Tensor, l2: float, start: LinearFit) -> LinearFit:
    """Minimize the mean cross-entropy plus l2 / 2 times the squared norm of the weight, by L-BFGS from `start`.

    It is scikit-learn's `LogisticRegression` with C = 1 / (l2 * N), for features (N, D) of about one scale.
    """
    weight, bias = start.weight.clone(), start.bias.clone()
    optimizer = torch.optim.LBFGS(
        [weight.requires_grad_(), bias.requires_grad_()],
        max_iter=ITERATIONS,
        tolerance_grad=1e-5,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def objective() -> torch.Tensor:
        optimizer.zero_grad()
        penalty = 0.5 * l2 * weight.square().sum()
        penalty.backward()
        loss = penalty.detach()
        for part, part_labels in zip(features.split(ROWS), labels.split(ROWS), strict=True):
            part_loss = F.cross_entropy(F.linear(part, weight, bias), part_labels, reduction="sum") / len(labels)
            part_loss.backward()  # here, so that the logits of one part are in memory at a time
            loss = loss + part_loss.detach()
        return loss

    optimizer.step(objective)
    return LinearFit(weight.detach(), bias.detach())
