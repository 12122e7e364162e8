"""Measure how fast images are augmented on one core, against timm and torchvision, in one run.

    python benchmarks/augment.py --path FOLDER/tiny-imagenet-200 [--turns 12]

AugMix m3-w3 at 64 and at 224 pixels, with timm's 13 operations and with the strict nine; RandAugment and TrivialAugment
at 64; and the whole way from stored 64-pixel images to augmented ones of 224 pixels, as bytes: ours augments and then
resizes, timm's users resize (bilinear) and then augment. Peers get Pillow images and return them, as in a DataLoader's
worker; torchvision's v2 transforms, which draw one chain for a whole batch, get one tensor at a time. One thread each.
All take turns over the same images, so that other load of the machine affects all. Prints images per second and the
ratios, with their quartiles. With a GPU: also images per second there, as a fraction of a ViT-B/16 training step.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm.data.auto_augment as timm
import torch
import tyro
from PIL import Image
from torchvision.transforms import v2

from doublevit import data
from doublevit.augment import OPERATION_SETS
from doublevit.augment.augmix import AugMix
from doublevit.augment.draws import draw_table
from doublevit.augment.policies import AugmentStage
from doublevit.augment.sequences import RandAugment, TrivialAugment
from doublevit.models.preprocess import Resize

SMALL, LARGE = 512, 32  # images of 64 and of 224 pixels that are augmented together, as in training
Work = Callable[[], object]


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    path: Path
    """Unpacked Tiny ImageNet, or its zip."""
    cache: Path = data.DataConfig().cache
    """Folder of the decoded data set."""
    turns: int = 12
    """How often each is measured."""


def timms_nine() -> Callable[[Image.Image], Image.Image]:
    """Return timm's AugMix without the operations that overlap the test corruptions."""
    left_out = ("Color", "Contrast", "Brightness", "Sharpness")
    names = [name for name in timm._AUGMIX_TRANSFORMS if not name.startswith(left_out)]
    settings = {"translate_const": 250, "img_mean": (128, 128, 128), "magnitude_std": float("inf")}
    return timm.AugMixAugment(timm.augmix_ops(3, settings, names))


def ours(stage: AugmentStage, images: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Return the work of our stage on the whole batch, with new draws every time."""
    epochs = iter(range(10**9))
    return lambda: stage(images, draw_table(0, next(epochs), len(images), stage.columns))


def peer(transform: Callable[[Image.Image], Image.Image], images: list[Image.Image]) -> Work:
    """Return the work of a transform on one Pillow image after the other."""
    return lambda: [np.asarray(transform(image)) for image in images]


def tensors(transform: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> Work:
    """Return the work of a transform on one tensor after the other, so that each has its own draws."""
    return lambda: [transform(image) for image in images]


def augmented_and_resized(augment: Callable[[], torch.Tensor], resize: Resize) -> Work:
    """Return the work of augmenting many images at once and resizing them batch by batch, as in training."""

    def work() -> None:
        for batch in augment().split(LARGE):
            resize(batch)

    return work


def compare(title: str, our_work: tuple[int, Work], peers: dict[str, tuple[int, Work]], turns: int) -> None:
    """Let all take turns; print images per second, and our speed as a multiple of each peer's."""
    works = {"ours": our_work, **peers}
    speeds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(turns + 1):
        for name, (count, work) in works.items():
            start = time.perf_counter()
            work()
            if turn:  # the first warms up
                speeds[name].append(count / (time.perf_counter() - start))
    print(f"{title}: ours {statistics.median(speeds['ours']):,.0f} images/s")
    for name in peers:
        ratios = [our_speed / peer_speed for our_speed, peer_speed in zip(speeds["ours"], speeds[name], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"    {name} {statistics.median(speeds[name]):,.0f}; ratio {middle:.2f} (quartiles {low:.2f} to {high:.2f})"
        )


def compare_on_cpu(images: np.ndarray, turns: int) -> None:
    """Run all comparisons on one core."""
    torch.set_num_threads(1)
    small = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    resize = Resize(224, "bilinear")
    large = resize(small[:LARGE]).contiguous()
    pillow = [Image.fromarray(image) for image in images[:128]]
    pillow_large = [image.resize((224, 224), Image.Resampling.BILINEAR) for image in pillow[:LARGE]]
    thirteen, nine = (AugMix(OPERATION_SETS[name], 3.0, 3, -1, 1.0) for name in ("timm", "strict"))
    timms = timm.augment_and_mix_transform("augmix-m3-w3", {})
    for operations, stage, peer_transform in (("13 operations", thirteen, timms), ("9 operations", nine, timms_nine())):
        peers = {"timm": (128, peer(peer_transform, pillow))}
        if stage is thirteen:
            peers["torchvision, Pillow"] = (128, peer(v2.AugMix(), pillow))
            peers["torchvision, tensors"] = (64, tensors(v2.AugMix(), small[:64]))
        compare(f"AugMix, {operations}, 64 pixels", (SMALL, ours(stage, small)), peers, turns)
        peers = {"timm": (LARGE, peer(peer_transform, pillow_large))}
        compare(f"AugMix, {operations}, 224 pixels", (LARGE, ours(stage, large)), peers, turns)
    # With noise on the magnitude timm asks Pillow at times to keep no bit at all, which Pillow 13 refuses.
    rand, trivial = timm.rand_augment_transform("rand-m9-inc1", {}), v2.TrivialAugmentWide()
    compare("RandAugment, 64 pixels", (SMALL, ours(RandAugment(), small)), {"timm": (128, peer(rand, pillow))}, turns)
    peers = {"torchvision, Pillow": (128, peer(trivial, pillow))}
    compare("TrivialAugment, 64 pixels", (SMALL, ours(TrivialAugment(), small)), peers, turns)
    our_work = (SMALL, augmented_and_resized(ours(thirteen, small), resize))
    timms_work = peer(lambda image: timms(image.resize((224, 224), Image.Resampling.BILINEAR)), pillow[:LARGE])
    compare("AugMix and resizing from 64 to 224 pixels", our_work, {"timm": (LARGE, timms_work)}, turns)


def compare_on_gpu(originals: np.ndarray, turns: int) -> None:
    """Print images per second at 64 pixels, and as a fraction of a step of ViT-B/16 on 128 images in bfloat16."""
    import timm as models

    network = models.create_model("vit_base_patch16_224").cuda()
    optimizer = torch.optim.Adam(network.parameters())
    images = torch.from_numpy(originals[:128]).permute(0, 3, 1, 2).cuda()
    pixels = torch.rand(128, 3, 224, 224, device="cuda")
    augment = ours(AugMix(OPERATION_SETS["timm"], 3.0, 3, -1, 1.0), images)

    def step() -> None:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            network(pixels).logsumexp(1).mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    seconds = {}
    for name, work in (("augment", augment), ("step", step)):
        times = []
        for _ in range(turns):
            torch.cuda.synchronize()
            start = time.perf_counter()
            work()
            torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        seconds[name] = statistics.median(times)
    fraction = seconds["augment"] / seconds["step"]
    print(
        f"{torch.cuda.get_device_name()}: {128 / seconds['augment']:,.0f} images/s; {fraction:.1%} of a training step"
    )


def main() -> None:
    """Run all comparisons and print the results."""
    options = tyro.cli(Options, description=__doc__)
    if options.turns < 2:
        raise SystemExit("--turns: expected at least 2, for quartiles")
    config = data.DataConfig("tiny-imagenet", options.path, cache=options.cache)
    images = np.array(data.load(config)["train"].images[:: 100_000 // SMALL][:SMALL])
    compare_on_cpu(images, options.turns)
    if torch.cuda.is_available():
        compare_on_gpu(images, options.turns)


if __name__ == "__main__":
    main()
