"""Images per second of `doublevit predict` on an exported ONNX file against the model that it was made of, in turns.

    python benchmarks/onnx_files.py mix --photos FOLDER --tiny TINY --output MIXED [--count 1000]
    doublevit export MODEL --format onnx --output model.onnx --verify MIXED
    python benchmarks/onnx_files.py time --model MODEL --file model.onnx --images MIXED [--count 200] [--turns 3]

`mix` makes images of mixed sizes in class folders: all of FOLDER (class folders of photos), and val images of TINY
(Tiny ImageNet, unpacked) to make up the count, by turns as they are (JPEG, 64 x 64), as crops of odd sizes (33 to 63
pixels a side, PNG) and enlarged to odd sizes (65 to 421 pixels a side, bicubic, JPEG). With `--only-tiny` photos of
classes that Tiny ImageNet does not have are left out. `time` predicts the same files with both, decoding included, on
all cores.
"""

import dataclasses
import shutil
import statistics
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image

from doublevit.jobs.onnx.file import OnnxPredictor
from doublevit.jobs.open_model import open_model
from doublevit.jobs.predict import predict_files
from doublevit.jobs.read import files_in


@dataclasses.dataclass
class Mix:
    """Make images of mixed sizes."""

    photos: Path
    """A folder of class folders of photos."""
    tiny: Path
    """Tiny ImageNet, unpacked."""
    output: Path
    """The folder to make."""
    count: int = 1000
    only_tiny: bool = False
    """Leave out photos of classes that Tiny ImageNet does not have."""


@dataclasses.dataclass
class Time:
    """Time both on the same files."""

    model: str
    """As for `doublevit predict`."""
    file: Path
    images: Path
    weights: str = "hub"
    count: int = 200
    turns: int = 3
    batch_size: int = 32


def mix(options: Mix) -> None:
    """Write class folders of images of mixed sizes."""
    wnids = set((options.tiny / "wnids.txt").read_text().split())
    photos = [path for path in files_in(options.photos) if path.parent.name in wnids or not options.only_tiny]
    lines = (options.tiny / "val" / "val_annotations.txt").read_text().splitlines()
    labels = dict(line.split("\t")[:2] for line in lines)
    chosen = np.random.default_rng(0).permutation(sorted(labels))[: options.count - len(photos)]
    for path in photos:
        folder = options.output / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.name)
    for index, name in enumerate(chosen):
        folder = options.output / labels[name]
        folder.mkdir(parents=True, exist_ok=True)
        _write_odd(options.tiny / "val" / "images" / name, folder, index)
    print(f"{len(photos)} photos, {len(chosen)} images of Tiny ImageNet")


def _write_odd(path: Path, folder: Path, index: int) -> None:
    generator = np.random.default_rng(index)
    if index % 3 == 0:
        shutil.copy(path, folder / path.name)
        return
    image = Image.open(path).convert("RGB")
    if index % 3 == 1:
        width, height = (int(2 * side + 1) for side in generator.integers(16, 32, 2))
        left, top = (64 - width) // 2, (64 - height) // 2
        image.crop((left, top, left + width, top + height)).save(folder / f"{path.stem}.png")
    else:
        size = tuple(int(2 * side + 1) for side in generator.integers(32, 211, 2))
        image.resize(size, Image.Resampling.BICUBIC).save(folder / f"{path.stem}.jpg", quality=90)


def measure(options: Time) -> None:
    """Predict the files with both in turns, and print images per second and their ratio."""
    files = files_in(options.images)
    files = [files[index] for index in np.linspace(0, len(files) - 1, options.count).astype(int)]
    models = {
        "torch": open_model(options.model, weights=options.weights),
        "onnxruntime": OnnxPredictor.open(options.file),
    }
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(options.turns + 1):  # the first warms up
        for name, model in models.items():
            start = time.perf_counter()
            list(predict_files(model, files, {}, batch_size=options.batch_size))
            if turn:
                seconds[name].append(time.perf_counter() - start)
    for name, times in seconds.items():
        print(f"{name}: {', '.join(f'{len(files) / each:.1f}' for each in times)} images/s")
    ratios = [torch / onnx for torch, onnx in zip(seconds["torch"], seconds["onnxruntime"], strict=True)]
    print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    chosen = tyro.cli(Annotated[Mix, tyro.conf.subcommand("mix")] | Annotated[Time, tyro.conf.subcommand("time")])
    mix(chosen) if isinstance(chosen, Mix) else measure(chosen)
