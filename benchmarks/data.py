"""Measure how fast batches are loaded, against torchvision's ImageFolder with a DataLoader, in one run.

    python benchmarks/data.py --path FOLDER/tiny-imagenet-200 [--seconds 6]
    python benchmarks/data.py --path CLASS_FOLDERS --only-decode

Peers are set up as is usual: ToTensor, and for 224 pixels Resize((224, 224)) and Normalize, in 0, 1 and 2 workers.
Ours are gathered from the decoded store, resized and normalized by the model's first layer. Prints images per second
and, as the result, the ratio to the fastest peer.
"""

import dataclasses
import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
import tyro
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from doublevit import data
from doublevit.data.batches import gather, training_batches
from doublevit.data.sampling import shuffled
from doublevit.models.preprocess import Normalize, Resize

BATCH = 32
HALF = (0.5, 0.5, 0.5)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    path: Path
    """Unpacked Tiny ImageNet; with --only-decode, any folder of class folders too."""
    only_decode: bool = False
    """Measure only how fast files are decoded into a store and how fast it is opened again."""
    cache: Path = data.DataConfig().cache
    """Folder of the decoded data set."""
    seconds: float = 6.0
    """Seconds of each measurement."""


def ours(dataset: data.Dataset, size: int) -> Iterator[torch.Tensor]:
    """Yield our batches, as the training loop gathers them and the network's first layer transforms them."""
    resize, normalize = Resize(size, "bilinear"), Normalize(HALF, HALF)
    for epoch in itertools.count():
        for part in training_batches(shuffled(len(dataset), 0, epoch).order, BATCH):
            images = gather(dataset, part.indices).images
            yield normalize(resize(images)) if size != images.shape[-1] else images.float() / 255


def peer(path: Path, size: int, workers: int) -> Iterator[torch.Tensor]:
    """Return the batches of ImageFolder and DataLoader."""
    steps = [transforms.ToTensor()]
    if size != 64:
        steps = [transforms.Resize((size, size)), *steps, transforms.Normalize(HALF, HALF)]
    folder = ImageFolder(str(path / "train"), transforms.Compose(steps))
    loader = DataLoader(folder, batch_size=BATCH, shuffle=True, num_workers=workers)
    return (images for images, _ in loader)


def rate(batches: Iterable[torch.Tensor], seconds: float) -> float:
    """Return images per second, after two seconds of warming up."""
    batches = iter(batches)
    _drain(batches, 2.0)
    start = time.perf_counter()
    return _drain(batches, seconds) / (time.perf_counter() - start)


def _drain(batches: Iterator[torch.Tensor], seconds: float) -> int:
    end, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        count += len(next(batches))
    return count


def prepare_rates(options: Options) -> data.Splits:
    """Decode into a fresh store and open it again, printing how long both took."""
    import shutil
    import tempfile

    source = data.source_at(options.path)
    config = data.DataConfig(source, options.path, cache=Path(tempfile.mkdtemp(dir=options.cache)))
    for action in ("decoded", "opened again"):
        start = time.perf_counter()
        splits = data.load(config)
        seconds, count = time.perf_counter() - start, sum(map(len, splits.values()))
        print(f"{count:,} images {action} in {seconds:.2f} s ({count / seconds:,.0f} images/s)")
    shutil.rmtree(config.cache)
    return data.load(dataclasses.replace(config, cache=options.cache))


def main() -> None:
    """Run all comparisons and print the results."""
    options = tyro.cli(Options, description=__doc__)
    options.cache.mkdir(parents=True, exist_ok=True)
    train = prepare_rates(options)["train"]
    if options.only_decode:
        return
    for size in (64, 224):
        our_rate = rate(ours(train, size), options.seconds)
        peers = {workers: rate(peer(options.path, size, workers), options.seconds) for workers in (0, 1, 2)}
        shown = ", ".join(f"{workers} workers {speed:,.0f}" for workers, speed in peers.items())
        print(f"{size} pixels: ours {our_rate:,.0f} images/s; ImageFolder + DataLoader: {shown}")
        ratios = (
            f"{our_rate / max(peers.values()):.1f} x the fastest peer, {our_rate / peers[0]:.1f} x that without workers"
        )
        print(f"{size} pixels: {ratios}")


if __name__ == "__main__":
    main()
