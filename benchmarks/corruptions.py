"""Measure how fast corruptions are made: each on one core, the whole set on all cores, and within an evaluation.

    python benchmarks/corruptions.py --path FOLDER/tiny-imagenet-200 --output SCRATCH [--images 10000]

First every corruption on one core, severities 1 to 5, microseconds an image of 64 pixels; then, if the package
imagecorruptions can be imported, in comparison with it: at 64 pixels, where its constants are those for 224, and at
224, where both use the same. (Three of its functions call what NumPy and scikit-image have removed; these calls are
renamed, nothing else.) Then all of the fifteen at all severities on all cores, made and dropped, and made and written
as JPEG files into a folder of SCRATCH: wall and CPU seconds, peak memory. Then the fraction of an evaluation's time
spent corrupting: of ViT-B/16 on a GPU, else of ViT-Ti/16.
"""

import concurrent.futures
import dataclasses
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import threadpoolctl
import tyro

from doublevit import data
from doublevit.corrupted_sets.manifest import Manifest
from doublevit.corrupted_sets.write import write
from doublevit.corruptions import COMMON, SEVERITIES, textures
from doublevit.corruptions.apply import CORRUPTIONS, CorruptedImages, corrupt

CELLS = [(name, severity) for name in COMMON for severity in SEVERITIES]
ALONE, CHUNK = 400, 500  # images at a time: on one core, and by each process of many


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    path: Path
    """Unpacked Tiny ImageNet, or its zip."""
    output: Path
    """Folder for the written set (3 GB), which is removed afterwards."""
    cache: Path = data.DataConfig().cache
    """Folder of the decoded data set."""
    frost_textures: Path | None = None
    """Folder with the published textures; if not given, generated ones."""
    images: int = 10_000
    """How many validation images to use."""
    workers: int = os.cpu_count() or 1
    """Processes for the whole set."""
    turns: int = 5
    """How often each corruption is measured on one core."""


def microseconds(work: Callable[[], object], count: int, turns: int) -> float:
    """Return the median time for an image, in microseconds."""
    times = []
    for _ in range(turns + 1):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) / count * 1e6)
    return statistics.median(times[1:])  # the first warms up


def one_core(images: np.ndarray, frost: textures.Textures, turns: int) -> None:
    """Time every corruption on one core."""
    total = 0.0
    for name in CORRUPTIONS:
        costs = [
            microseconds(lambda s=severity, n=name: corrupt(images, n, s, textures=frost), len(images), turns)
            for severity in SEVERITIES
        ]
        mean = statistics.mean(costs)
        total += mean if name in COMMON else 0
        print(f"{name:18} {' '.join(f'{cost:6.0f}' for cost in costs)} us; {1e6 / mean:,.0f} images/s/core")
    print(f"the fifteen, mean: {total / len(COMMON):.0f} us")


def against_imagecorruptions(small: np.ndarray, frost: textures.Textures, turns: int) -> None:
    """Time both on the same images, severity 3."""
    try:
        peer = imported_peer()
    except ImportError as error:
        print(f"imagecorruptions cannot be imported ({error})")
        return
    large = np.kron(small[:4, :56, :56], np.ones((1, 4, 4, 1), np.uint8))
    for images, title in ((small[:16], "64 pixels, its constants for 224"), (large, "224 pixels, the same constants")):
        ratios = []
        print(f"against imagecorruptions, severity 3, {title}:")
        for name in CORRUPTIONS:
            our_time = microseconds(lambda n=name, p=images: corrupt(p, n, 3, textures=frost), len(images), turns)
            peer_time = microseconds(
                lambda n=name, p=images: [peer(image, corruption_name=n, severity=3) for image in p], len(images), 2
            )
            ratios.append(peer_time / our_time)
            print(f"  {name:18} {our_time:9,.0f} us, {peer_time:10,.0f} us, ratio {peer_time / our_time:6.1f}")
        print(f"  geometric mean of the ratios {statistics.geometric_mean(ratios):.1f}")


def imported_peer() -> Callable[..., np.ndarray]:
    """Return the `corrupt` of imagecorruptions, made to work with current libraries."""
    np.float_ = np.float64  # type: ignore[attr-defined]  # as NumPy called it before version 2
    import imagecorruptions.corruptions as peer

    gaussian = peer.gaussian

    def renamed(*arguments: object, multichannel: bool = False, **more: object) -> np.ndarray:
        return gaussian(*arguments, channel_axis=-1 if multichannel else None, **more)

    peer.gaussian = renamed
    import imagecorruptions

    return imagecorruptions.corrupt


_images: np.ndarray
_frost: textures.Textures


def begin(path: str, frost: textures.Textures) -> None:
    """Initialize a worker process."""
    global _images, _frost  # each worker has one set of images
    _images, _frost = np.load(path, mmap_mode="r"), frost
    threadpoolctl.threadpool_limits(1)


def piece(name: str, severity: int, start: int) -> int:
    """Make a part of a cell, and drop it."""
    indices = np.arange(start, min(start + CHUNK, len(_images)))
    return len(corrupt(_images[indices], name, severity, 0, indices, _frost))


def measure(title: str, work: Callable[[], int]) -> None:
    """Print wall and CPU seconds, and the peak memory of this process and of a worker."""
    start, before = time.perf_counter(), os.times()
    count = work()
    wall, after = time.perf_counter() - start, os.times()
    cpu = sum(
        getattr(after, part) - getattr(before, part) for part in ("user", "system", "children_user", "children_system")
    )
    peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(
        f"{title}: {count:,} images in {wall:.1f} s, {cpu:.1f} CPU seconds ({cpu / count * 1e6:.0f} us an image);"
        f" at most {peaks[0]:,.0f} MB here and {peaks[1]:,.0f} MB in a worker"
    )


def in_memory(images: Path, count: int, frost: textures.Textures, workers: int) -> int:
    """Make all cells on all cores; starting the processes is included."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, context, begin, (str(images), frost)) as pool:
        tasks = [pool.submit(piece, *cell, start) for cell in CELLS for start in range(0, count, CHUNK)]
        return sum(task.result() for task in tasks)


def whole_set(clean: data.Dataset, frost: textures.Textures, options: Options) -> None:
    """Time making the whole set in memory, and writing it."""
    with tempfile.TemporaryDirectory(dir=options.output) as folder:
        images = Path(folder) / "images.npy"
        np.save(images, clean.images[np.arange(len(clean))])
        measure("all cells in memory", lambda: in_memory(images, len(clean), frost, options.workers))
        manifest = Manifest(
            source=str(clean.id),
            count=len(clean),
            side=clean.images.shape[1:3],
            class_ids=clean.class_ids,
            class_names=clean.class_names,
            seed=0,
            constants="tiny",
            frost=frost.name,
            kept_as="jpeg",
        )
        root = Path(folder) / "set"
        count = len(CELLS) * len(clean)
        measure(
            "all cells as JPEG files", lambda: write(clean, manifest, frost, root, CELLS, options.workers) and count
        )


def within_an_evaluation(clean: data.Dataset, frost: textures.Textures) -> None:
    """Time evaluations on clean images and on images corrupted on the fly, in turns."""
    import torch

    from doublevit.device import choose_dtype
    from doublevit.evaluators.prediction import predict
    from doublevit.models import ModelConfig
    from doublevit.models.classifier import build

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name, count = ("vit-b16", 5000) if device.type == "cuda" else ("vit-ti16", 400)
    model = build(ModelConfig(name, weights="none"), clean.class_ids).to(device)
    subset = clean.first(min(count, len(clean)))
    names = ("gaussian_noise", "glass_blur", "snow")
    images = [CorruptedImages(subset.images, corruption, 3, 0, frost) for corruption in names]
    sets = {"clean": subset} | {
        n: dataclasses.replace(subset, images=made) for n, made in zip(names, images, strict=True)
    }
    seconds: dict[str, list[float]] = {corruption: [] for corruption in sets}
    for turn in range(4):
        for corruption, dataset in sets.items():
            took = predict(model, dataset, choose_dtype("auto", device)).seconds
            seconds[corruption] += [took] if turn else []
    print(f"evaluating {count:,} images, {name} on {device.type}, fraction of the time spent corrupting:")
    for corruption in names:
        fractions = [
            1 - clean_time / other_time
            for clean_time, other_time in zip(seconds["clean"], seconds[corruption], strict=True)
        ]
        print(
            f"  {corruption:18} {statistics.median(fractions):+.1%} (of {statistics.median(seconds[corruption]):.2f} s)"
        )


def main() -> None:
    """Run all measurements and print the results."""
    options = tyro.cli(Options, description=__doc__)
    config = data.DataConfig("tiny-imagenet", options.path, cache=options.cache)
    clean = data.load(config)["val"].first(options.images)
    frost = textures.find(options.frost_textures, options.cache, download=False)
    print(f"frost: {frost.name}")
    with threadpoolctl.threadpool_limits(1):
        subset = clean.first(min(ALONE, len(clean))).images[np.arange(min(ALONE, len(clean)))]
        one_core(subset, frost, options.turns)
        against_imagecorruptions(subset, frost, options.turns)
    options.output.mkdir(parents=True, exist_ok=True)
    whole_set(clean, frost, options)
    within_an_evaluation(clean, frost)


if __name__ == "__main__":
    main()
