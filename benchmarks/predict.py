"""Images per second of `doublevit predict` against a plain timm loop over the same files, in turns.

    python benchmarks/predict.py --weights FILE --images FOLDER [--count 2000] [--turns 3]

Both read the same files of mixed sizes, apply timm's own evaluation transform and the same ViT-Ti/16, in batches of 32,
and keep the five best classes of each. The timm loop is that of timm's inference.py: ImageDataset, create_loader with
as many workers as there are cores, and the network under inference mode. Prints both speeds and their ratio, turn by
turn, and in how many images both name the same class.
"""

import dataclasses
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
import torch
import tyro
from PIL import Image
from timm.data import ImageDataset, create_loader, resolve_data_config

import doublevit
from doublevit.jobs.predict import predict_files
from doublevit.jobs.read import files_in

NETWORK = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


@dataclasses.dataclass
class Options:
    """What is compared."""

    weights: Path
    """The file of ViT-Ti/16's weights."""
    images: Path
    """A folder with images; they are resized to many sizes, as JPEG, to make up the count."""
    count: int = 2000
    batch_size: int = 32
    turns: int = 3


def make_files(source: Path, folder: Path, count: int) -> None:
    """Write JPEG files of 200 to 900 pixels a side, made from the images in `source`."""
    generator, files = np.random.default_rng(0), files_in(source)
    for index in range(count):
        size = tuple(int(side) for side in generator.integers(200, 900, 2))
        with Image.open(files[index % len(files)]) as image:
            image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(folder / f"{index:05}.jpg", quality=90)


def timm_loop(network: torch.nn.Module, folder: Path, batch_size: int) -> Callable[[], list[int]]:
    """Return a run of timm's inference loop over a folder: the first class of each image, files in natural order."""
    config = resolve_data_config(model=network)

    def run() -> list[int]:
        dataset = ImageDataset(str(folder), reader="", class_map="", load_bytes=False)
        loader = create_loader(
            dataset,
            batch_size=batch_size,
            use_prefetcher=False,
            num_workers=os.cpu_count() or 1,
            **{name: config[name] for name in ("input_size", "interpolation", "mean", "std", "crop_pct")},
        )
        best = []
        with torch.inference_mode():
            for images, _ in loader:
                best += network(images).softmax(-1).topk(5).indices[:, 0].tolist()
        return best

    return run


def our_loop(model: doublevit.Model, folder: Path, batch_size: int) -> Callable[[], list[int]]:
    """Return a run of what `doublevit predict` does: the first class of each image."""
    names = {name: index for index, name in reversed([*enumerate(model.classes)])}

    def run() -> list[int]:
        predictions = predict_files(model, files_in(folder), {}, batch_size=batch_size)
        return [names[prediction.label] for prediction in predictions]

    return run


def main(options: Options) -> None:
    """Compare the loops in turns."""
    network = timm.create_model(NETWORK, checkpoint_path=str(options.weights)).eval()
    place = Path(tempfile.mkdtemp())
    try:
        (place / "all").mkdir()
        make_files(options.images, place / "all", options.count)
        loops = {
            "doublevit": our_loop(doublevit.wrap(network), place, options.batch_size),
            "timm": timm_loop(network, place, options.batch_size),
        }
        seconds: dict[str, list[float]] = {name: [] for name in loops}
        answers = {}
        for turn in range(options.turns + 1):  # the first warms up
            for name, loop in loops.items():
                start = time.perf_counter()
                answers[name] = loop()
                if turn:
                    seconds[name].append(time.perf_counter() - start)
        names = list(doublevit.wrap(network).classes)
        same = np.mean([ours == names.index(names[theirs]) for ours, theirs in zip(*answers.values(), strict=True)])
        for name, times in seconds.items():
            speeds = ", ".join(f"{options.count / each:.1f}" for each in times)
            print(f"{name}: {speeds} images/s")
        ratios = [theirs / ours for ours, theirs in zip(seconds["doublevit"], seconds["timm"], strict=True)]
        print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); same class {same:.1%}")
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main(tyro.cli(Options))
