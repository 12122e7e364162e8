"""Measure how fast images of mixed sizes are brought to 224 pixels, by each store and by four peers, in one run.

    python benchmarks/stores.py --images PHOTOS [--count 5000] [--seconds 6] [--crop resized] [--clock]

PHOTOS are any JPEG files; of these, files of about 500 x 400 pixels are made. Everybody resizes the shorter side to
224 and cuts the center, or makes random resized crops of 224, shuffles, and gives bytes (normalizing is the device's
work) in batches of 32. Two figures each: images a second of processor time, in one process with one thread, which
depends little on what else the machine does; and by the clock with a worker for each core, with --clock. timm's loader
is set to hand over bytes, as to its prefetcher.
"""

import dataclasses
import functools
import io
import itertools
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from doublevit import data
from doublevit.augment.draws import Draws
from doublevit.augment.resized_crop import ResizedCrop
from doublevit.data.batches import Batch, gather, training_batches
from doublevit.data.sampling import shuffled
from doublevit.images import Regions
from doublevit.prefetch import prefetch

BATCH, SIZE = 32, 224
LEAST_AREA = 0.08  # of random resized crops
STORES = ("decoded", "encoded", "none")
MODES = ("bicubic", "bilinear")

Batches = Iterator[torch.Tensor]


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    images: Path
    """Folder with JPEG files, at any depth."""
    count: int = 5000
    """How many files to make."""
    seconds: float = 6.0
    """Seconds of each measurement."""
    crop: Literal["center", "resized"] = "center"
    """The center, or a random resized crop."""
    clock: bool = False
    """Measure by the clock, with a worker for each core, and not by the processor's time, without any."""
    keep: Path | None = None
    """Folder for the files made, to use them again; if not given, a temporary one."""


def make_files(options: Options, root: Path) -> None:
    """Write train/ (ten classes) and val/ (one image of each): 400 to 600 pixels by 320 to 480, either way up."""
    sources, random = sorted(options.images.rglob("*.[jJ][pP]*")), np.random.default_rng(0)
    for index in range(options.count + 10):
        image = Image.open(sources[index % len(sources)]).convert("RGB")
        scale = random.uniform(0.8, 1.2)
        sides = round(500 * scale), round(400 * scale)
        folder = root / ("train" if index < options.count else "val") / f"class{index % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        image = image.resize(sides if image.width >= image.height else sides[::-1], Image.Resampling.BICUBIC)
        image.save(folder / f"{index}.jpg", quality=90)


def ours(root: Path, workers: int, mode: str, crop: str, *, kind: str) -> Batches:
    """Return batches as the training loop gathers them, a batch ahead."""
    cache = root.parent / "cache"
    config = data.DataConfig(
        *("folder", root), cache=cache, size=SIZE, store=kind, workers=max(1, workers), interpolation=mode
    )
    return (batch.images for batch in prefetch(_gathered(data.load(config)["train"], mode, crop)))


def _gathered(train: data.Dataset, mode: str, crop: str) -> Iterator[Batch]:
    random = ResizedCrop(LEAST_AREA)
    for epoch in itertools.count():
        draws = Draws(0, epoch, len(train), random.columns)
        for part in training_batches(shuffled(len(train), 0, epoch).order, BATCH):
            boxes = random.boxes(draws.rows(part.indices), (SIZE, SIZE))
            yield gather(train, part.indices, None if crop == "center" else Regions(boxes, SIZE, mode))


def transform(mode: str, crop: str) -> transforms.Compose:
    """Return torchvision's usual transform, to bytes."""
    how = transforms.InterpolationMode(mode)
    if crop == "resized":
        return transforms.Compose([transforms.RandomResizedCrop(SIZE, interpolation=how), transforms.PILToTensor()])
    return transforms.Compose([transforms.Resize(SIZE, how), transforms.CenterCrop(SIZE), transforms.PILToTensor()])


def image_folder(root: Path, workers: int, mode: str, crop: str) -> Batches:
    """Yield batches of torchvision's ImageFolder."""
    loader = DataLoader(
        ImageFolder(str(root / "train"), transform(mode, crop)), BATCH, shuffle=True, num_workers=workers
    )
    return (images for _ in itertools.count() for images, _ in loader)


def timm_loader(root: Path, workers: int, mode: str, crop: str) -> Batches:
    """Yield batches of timm's loader with its prefetcher: bytes until they are normalized, a batch at a time."""
    from timm.data import create_dataset, create_loader

    dataset = create_dataset("", str(root / "train"), split="train", class_map="")
    loader = create_loader(
        dataset,
        (3, SIZE, SIZE),
        BATCH,
        is_training=crop == "resized",
        hflip=0.0,
        color_jitter=None,
        train_crop_mode="rrc",
        interpolation=mode,
        crop_pct=1.0,
        num_workers=workers,
        persistent_workers=workers > 0,
        device=torch.device("cpu"),
    ).loader
    return (images for _ in itertools.count() for images, _ in loader)


def webdataset(root: Path, workers: int, mode: str, crop: str) -> Batches:
    """Yield batches of webdataset, from one tar for each worker."""
    import webdataset as wds

    shards = [str(root.parent / f"shard-{number}.tar") for number in range(max(1, workers))]
    if not all(Path(shard).exists() for shard in shards):
        _write_shards(sorted((root / "train").rglob("*.jpg")), shards)
    pipeline = wds.WebDataset(shards, shardshuffle=False).shuffle(1000).decode("pil").to_tuple("jpg")
    loader = DataLoader(pipeline.map_tuple(transform(mode, crop)).repeat(), BATCH, num_workers=workers)
    return (images for (images,) in loader)


def _write_shards(files: list[Path], shards: list[str]) -> None:
    for number, shard in enumerate(shards):
        with tarfile.open(shard, "w") as archive:
            for file in files[number :: len(shards)]:
                info = tarfile.TarInfo(f"{file.parent.name}-{file.stem}.jpg")
                info.size = file.stat().st_size
                archive.addfile(info, io.BytesIO(file.read_bytes()))


def hugging_face(root: Path, workers: int, mode: str, crop: str) -> Batches:
    """Yield batches of Hugging Face's datasets."""
    import datasets

    change, files = transform(mode, crop), [str(path) for path in sorted((root / "train").rglob("*.jpg"))]
    images = datasets.Dataset.from_dict({"image": files}).cast_column("image", datasets.Image())
    changed = images.with_transform(lambda batch: {"image": [change(image.convert("RGB")) for image in batch["image"]]})
    loader = DataLoader(changed, BATCH, shuffle=True, num_workers=workers)
    return (batch["image"] for _ in itertools.count() for batch in loader)


PEERS: dict[str, Callable[[Path, int, str, str], Batches]] = {
    "ImageFolder + DataLoader": image_folder,
    "timm": timm_loader,
    "webdataset": webdataset,
    "Hugging Face datasets": hugging_face,
}


def rate(batches: Batches, seconds: float, clock: Callable[[], float]) -> float:
    """Return images a second by `clock`, after two seconds of warming up."""
    _drain(batches, 2.0)
    start = clock()
    count = _drain(batches, seconds)
    return count / (clock() - start)


def _drain(batches: Batches, seconds: float) -> int:
    end, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        images = next(batches)
        if images.shape[1:] != (3, SIZE, SIZE) or images.dtype != torch.uint8:
            raise ValueError(f"expected bytes, found {images.dtype} {images.shape}")
        count += len(images)
    return count


def main() -> None:
    """Run all comparisons and print the results."""
    options = tyro.cli(Options, description=__doc__)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = (options.keep or Path(folder)) / "images"
        if not root.exists():
            make_files(options, root)
        mine = {f"ours, {kind}": functools.partial(ours, kind=kind) for kind in STORES}
        workers, clock = (os.cpu_count() or 1, time.perf_counter) if options.clock else (0, time.process_time)
        print(f"images a second of {'the clock' if options.clock else 'one core'}, and times the fastest peer:")
        for mode in MODES:
            rates = {
                name: rate(make(root, workers, mode, options.crop), options.seconds, clock)
                for name, make in (PEERS | mine).items()
            }
            best = max(rates[name] for name in PEERS)
            for name, of_clock in rates.items():
                print(f"  {mode:8} {name:26} {of_clock:9,.0f} {of_clock / best:6.2f}", flush=True)


if __name__ == "__main__":
    main()
