"""Measure how fast images of mixed sizes are brought to 224 pixels, by each store and by four peers, in one run.

    python benchmarks/stores.py --images PHOTOS [--count 5000] [--seconds 6]

PHOTOS are any JPEG files; of these, files of about 500 x 400 pixels are made. Everybody resizes the shorter side to
224, cuts the center, shuffles, and gives bytes (normalizing is the device's work) in batches of 32. All resize by
bicubic interpolation; peers also by bilinear, which is their fastest. Two figures each: images a second of processor
time, in one process with one thread, which depends little on what else the machine does; and by the clock with a worker
for each core. timm's loader is set to hand over bytes, as to its prefetcher.
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

import numpy as np
import torch
import tyro
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from doublevit import data
from doublevit.data.batches import gather, training_batches
from doublevit.data.sampling import shuffled
from doublevit.prefetch import prefetch

BATCH, SIZE = 32, 224
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


def ours(root: Path, kind: str, workers: int) -> Batches:
    """Yield batches as the training loop gathers them, a batch ahead."""
    config = data.DataConfig(
        "folder", root, cache=root.parent / "cache", size=SIZE, store=kind, workers=max(1, workers)
    )
    train = data.load(config)["train"]
    orders = (shuffled(len(train), 0, epoch).order for epoch in itertools.count())
    indices = (batch for order in orders for batch in training_batches(order, BATCH))
    return (batch.images for batch in prefetch(gather(train, chosen.indices) for chosen in indices))


def transform(mode: str) -> transforms.Compose:
    """Return torchvision's usual transform, to bytes."""
    resize = transforms.Resize(SIZE, transforms.InterpolationMode(mode))
    return transforms.Compose([resize, transforms.CenterCrop(SIZE), transforms.PILToTensor()])


def image_folder(root: Path, workers: int, mode: str) -> Batches:
    """Yield batches of torchvision's ImageFolder."""
    loader = DataLoader(ImageFolder(str(root / "train"), transform(mode)), BATCH, shuffle=True, num_workers=workers)
    return (images for _ in itertools.count() for images, _ in loader)


def timm_loader(root: Path, workers: int, mode: str) -> Batches:
    """Yield batches of timm's loader with its prefetcher: bytes until they are normalized, a batch at a time."""
    from timm.data import create_dataset, create_loader

    dataset = create_dataset("", str(root / "train"), split="train", class_map="")
    loader = create_loader(
        dataset,
        (3, SIZE, SIZE),
        BATCH,
        is_training=False,
        interpolation=mode,
        crop_pct=1.0,
        num_workers=workers,
        persistent_workers=workers > 0,
        device=torch.device("cpu"),
    ).loader
    return (images for _ in itertools.count() for images, _ in loader)


def webdataset(root: Path, workers: int, mode: str) -> Batches:
    """Yield batches of webdataset, from one tar for each worker."""
    import webdataset as wds

    shards = [str(root.parent / f"shard-{number}.tar") for number in range(max(1, workers))]
    if not all(Path(shard).exists() for shard in shards):
        _write_shards(sorted((root / "train").rglob("*.jpg")), shards)
    pipeline = wds.WebDataset(shards, shardshuffle=False).shuffle(1000).decode("pil").to_tuple("jpg")
    loader = DataLoader(pipeline.map_tuple(transform(mode)).repeat(), BATCH, num_workers=workers)
    return (images for (images,) in loader)


def _write_shards(files: list[Path], shards: list[str]) -> None:
    for number, shard in enumerate(shards):
        with tarfile.open(shard, "w") as archive:
            for file in files[number :: len(shards)]:
                info = tarfile.TarInfo(f"{file.parent.name}-{file.stem}.jpg")
                info.size = file.stat().st_size
                archive.addfile(info, io.BytesIO(file.read_bytes()))


def hugging_face(root: Path, workers: int, mode: str) -> Batches:
    """Yield batches of Hugging Face's datasets."""
    import datasets

    change, files = transform(mode), [str(path) for path in sorted((root / "train").rglob("*.jpg"))]
    images = datasets.Dataset.from_dict({"image": files}).cast_column("image", datasets.Image())
    changed = images.with_transform(lambda batch: {"image": [change(image.convert("RGB")) for image in batch["image"]]})
    loader = DataLoader(changed, BATCH, shuffle=True, num_workers=workers)
    return (batch["image"] for _ in itertools.count() for batch in loader)


PEERS: dict[str, Callable[[Path, int, str], Batches]] = {
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
        makers = {f"ours, {kind}": functools.partial(ours, root, kind) for kind in STORES}
        peers = {
            f"{name}, {mode}": functools.partial(make, root, mode=mode)
            for mode in MODES
            for name, make in PEERS.items()
        }
        rates = {
            name: (
                rate(make(0), options.seconds, time.process_time),
                rate(make(os.cpu_count() or 1), options.seconds, time.perf_counter),
            )
            for name, make in (makers | peers).items()
        }
    for column, title in enumerate(("a second of one core", "a second of the clock, a worker for each core")):
        best = [max(rates[name][column] for name in peers if name.endswith(mode)) for mode in MODES]
        print(f"images {title}, and times the fastest peer ({', '.join(MODES)}):")
        for name, of_clocks in rates.items():
            ratios = "  ".join(f"{of_clocks[column] / other:5.2f}" for other in best)
            print(f"  {name:36} {of_clocks[column]:9,.0f}  {ratios}")


if __name__ == "__main__":
    main()
