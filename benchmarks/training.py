"""Measure the speed of fine-tuning and evaluation against a plain PyTorch loop over the same network, in one run.

    python benchmarks/training.py --path FOLDER/tiny-imagenet-200 --weights vit_tiny.safetensors [--steps 40]

Both: ViT-Ti/16 at 224 pixels, Adam over the last 90 tensors and a linear head, batch 32, crop and flip, bfloat16
autocast where the processor has it. The plain loop is written by hand: images decoded beforehand,
`F.interpolate`, torchvision's transforms, no freezing beyond `requires_grad`. The two take turns, step by step, so that
other load of the machine affects both. Prints images per second and the ratio, with the spread over the turns.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F
import tyro
from torchvision.transforms import v2

from doublevit import data
from doublevit.augment import AugmentConfig
from doublevit.data.batches import gather
from doublevit.evaluators.prediction import _predict_batch
from doublevit.jobs.load import load_data_and_model
from doublevit.models.weights import read_state
from doublevit.recipes import get_recipe
from doublevit.runs.folder import RunFolder
from doublevit.training.step import Meter, train_step
from doublevit.training.training import Training, epoch_batches, prepare, require_trainable

BATCH, EVALUATION_BATCH = 32, 100


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    path: Path
    """Unpacked Tiny ImageNet, or its zip."""
    weights: Path
    """Weights of ViT-Ti/16, pretrained on ImageNet."""
    cache: Path = data.DataConfig().cache
    """Folder of the decoded data set."""
    steps: int = 40
    """How many training steps of each are timed."""


class PlainLoop:
    """Trains and evaluates the network as a loop written by hand does."""

    def __init__(self, weights: Path, classes: int, dtype: torch.dtype) -> None:
        self.model = timm.create_model("vit_tiny_patch16_224")
        self.model.load_state_dict(read_state(weights))
        self.model.reset_classifier(classes)
        for parameter in list(self.model.parameters())[:-92]:
            parameter.requires_grad_(False)
        head = list(self.model.head.parameters())
        backbone = [p for name, p in self.model.named_parameters() if p.requires_grad and not name.startswith("head")]
        self.optimizer = torch.optim.Adam([{"params": backbone, "lr": 1e-4}, {"params": head, "lr": 1e-3}])
        self.augment = v2.Compose([v2.RandomCrop(64, padding=2), v2.RandomHorizontalFlip()])
        self.dtype = dtype

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits (B, classes) of uint8 images (B, 3, H, W)."""
        images = F.interpolate(images.float() / 255, size=(224, 224), mode="bicubic", antialias=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            return self.model((images - 0.5) / 0.5).float()

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Make one training step."""
        self.model.train()
        F.cross_entropy(self.forward(self.augment(images)), labels).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    @torch.inference_mode()
    def evaluate(self, images: torch.Tensor) -> torch.Tensor:
        """Return the predicted classes, int64 (B,)."""
        self.model.eval()
        return self.forward(images).argmax(dim=1)


def make_ours(options: Options) -> Training:
    """Prepare the training of the recipe ti-vit with crop and flip."""
    recipe = get_recipe("ti-vit")
    recipe = dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, path=options.path, cache=options.cache),
        augment=AugmentConfig("basic"),  # what the plain loop does
        model=dataclasses.replace(recipe.model, weights=str(options.weights)),
    )
    splits, model = load_data_and_model(recipe)
    trainable = require_trainable(model, splits["train"], recipe.train)
    return prepare(trainable, splits, recipe.train, recipe.augment, RunFolder(Path()), recipe.seed)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that `work` took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def report(title: str, batch: int, ours: list[float], plain: list[float]) -> None:
    """Print both speeds and their ratio, median and quartiles over the turns."""
    ratios = [plain_time / our_time for our_time, plain_time in zip(ours, plain, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    speeds = [batch / statistics.median(times) for times in (ours, plain)]
    print(
        f"{title}: ours {speeds[0]:.1f} images/s, plain loop {speeds[1]:.1f};"
        f" ratio {middle:.2f} (quartiles {low:.2f} to {high:.2f}, {len(ratios)} turns)"
    )


def main() -> None:
    """Run both comparisons and print the results."""
    options = tyro.cli(Options, description=__doc__)
    training = make_ours(options)
    train, val = training.splits["train"], training.splits["val"]
    plain, meter = PlainLoop(options.weights, len(train.class_ids), training.dtype), Meter(torch.device("cpu"))
    print(f"{torch.get_num_threads()} threads, {training.dtype}")
    training.wrapped.train()
    batches = epoch_batches(training, 0, 0)
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    for step in range(options.steps + 3):
        times["ours"].append(timed(lambda step=step: train_step(training, next(batches), step, meter)))
        batch = gather(train, np.arange(step * BATCH, (step + 1) * BATCH))
        times["plain"].append(timed(lambda batch=batch: plain.step(batch.images, batch.labels)))
    report("training", BATCH, times["ours"][3:], times["plain"][3:])
    training.model.eval()
    times = {"ours": [], "plain": []}
    for turn in range(options.steps // 4 + 2):
        indices = np.arange(turn * EVALUATION_BATCH, (turn + 1) * EVALUATION_BATCH)
        times["ours"].append(
            timed(lambda indices=indices: _predict_batch(training.model, gather(val, indices), training.dtype))
        )
        images = gather(val, indices).images
        times["plain"].append(timed(lambda images=images: plain.evaluate(images)))
    report("evaluating", EVALUATION_BATCH, times["ours"][2:], times["plain"][2:])


if __name__ == "__main__":
    main()
