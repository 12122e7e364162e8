"""Data that tests share: a Tiny ImageNet in miniature, real images and weights where they are, small runs."""

import functools
import os
import shutil
import signal
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import settings
from PIL import Image

WNIDS = ("n02124075", "n01443537", "n03444034")  # not sorted, as in the official wnids.txt
IMAGES = 12  # a class, so that natural order differs from that of text

settings.register_profile("doublevit", max_examples=50, deadline=None, derandomize=True, database=None)
settings.load_profile("doublevit")


SECONDS = {"browser", "commanded", "digits_run", "exported", "norm_run"}
"""Fixtures that take seconds: they train a network, export it, or start a browser."""
LONGEST = ("readme", "adversarial", "serve_live", "errors", "train", "onnx", "autoattack", "trackers", "processes")
"""What takes longest begins first, so that all processes that run tests end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a fixture that takes seconds is slow; files stay whole, the longest first."""
    for item in items:
        if SECONDS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    places = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # tests run side by side


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored


@pytest.fixture(scope="session", autouse=True)
def _digits_once() -> Iterator[None]:
    """The digits are read and enlarged once in a process."""
    from doublevit.data import EMBEDDED

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EMBEDDED, "digits", functools.cache(EMBEDDED["digits"]))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real images and weights."""
    path = Path(os.environ.get("DOUBLEVIT_SHARED", "/nowhere"))
    if not path.is_dir():
        pytest.skip(
            "real images and weights are not here: set DOUBLEVIT_SHARED to the folder that holds data/ and weights/"
        )
    return path


@pytest.fixture(scope="session")
def vit_weights(shared: Path) -> str:
    """ImageNet-pretrained ViT-Ti/16."""
    return str(shared / "weights" / "vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors")


@pytest.fixture(scope="session")
def real_files(shared: Path) -> list[bytes]:
    """The files of val_0 .. val_1999."""
    import tarfile

    names = [f"tiny-imagenet-200/val/images/val_{i}.JPEG" for i in range(2000)]
    missing, found = set(names), {}
    with tarfile.open(shared / "data" / "val.tar.xz") as archive:
        while missing:
            member = archive.next()
            if member.name in missing:
                found[member.name] = archive.extractfile(member).read()
                missing.remove(member.name)
    return [found[name] for name in names]


@pytest.fixture(scope="session")
def real_images(real_files: list[bytes]) -> list[bytes]:
    """The files of val_0 .. val_299."""
    return real_files[:300]


@pytest.fixture(scope="session")
def pil_images() -> list[Image.Image]:
    """200 real images; without them, as many made ones."""
    folder = Path(os.environ.get("DOUBLEVIT_SHARED", "/nowhere"))
    if not folder.is_dir():
        return [random_image(np.random.default_rng(i)) for i in range(200)]
    import io
    import itertools
    import tarfile

    with tarfile.open(folder / "data" / "val.tar.xz") as archive:
        files = (archive.extractfile(member).read() for member in archive if member.name.endswith(".JPEG"))
        return [Image.open(io.BytesIO(file)).convert("RGB") for file in itertools.islice(files, 200)]


@pytest.fixture
def tiny_folder(tmp_path: Path) -> Path:
    """Tiny ImageNet in miniature: three classes of twelve images, one of them gray, six to validate."""
    return make_tiny_imagenet(tmp_path / "tiny-imagenet-200")


@pytest.fixture
def tiny_zip(tiny_folder: Path, tmp_path: Path) -> Path:
    """The same as the official zip lays it out."""
    path = tmp_path / "tiny.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(tiny_folder.rglob("*")):
            archive.write(file, file.relative_to(tiny_folder.parent))
    return path


def make_tiny_imagenet(root: Path) -> Path:
    generator = np.random.default_rng(0)
    for wnid in WNIDS:
        images = root / "train" / wnid / "images"
        images.mkdir(parents=True)
        names = [f"{wnid}_{i}.JPEG" for i in range(IMAGES)]
        for name in names:
            random_image(generator).save(images / name, quality=90)
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("".join(f"{name}\t0\t0\t63\t63\n" for name in names))
    random_image(generator).convert("L").save(root / "train" / WNIDS[0] / "images" / f"{WNIDS[0]}_0.JPEG", quality=90)
    (root / "val" / "images").mkdir(parents=True)
    lines = []
    for i in (10, 2, 0, 1, 3, 11):
        random_image(generator).save(root / "val" / "images" / f"val_{i}.JPEG", quality=90)
        lines.append(f"val_{i}.JPEG\t{WNIDS[i % 3]}\t0\t0\t63\t63\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    (root / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in WNIDS))
    (root / "words.txt").write_text(
        "n01443537\tgoldfish, Carassius auratus\nn02124075\tEgyptian cat\nn03444034\tgo-kart\nn00001740\tentity\n"
    )
    return root


def random_image(generator: np.random.Generator, size: tuple[int, int] = (64, 64)) -> Image.Image:
    coarse = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """An image folder with train and val, several formats and sizes."""
    return make_image_folder(tmp_path / "pets")


def make_image_folder(root: Path) -> Path:
    generator = np.random.default_rng(1)
    for split, count in (("train", 6), ("val", 3)):
        for name in ("cat", "dog"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                suffix = ("png", "jpg", "webp", "bmp", "gif", "tiff")[i % 6]
                random_image(generator, (40 + 10 * i, 80 - 5 * i)).save(folder / f"{i}.{suffix}")
    return root


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network after two short epochs: it knows some digits and takes others for them."""
    return trained_once(tmp_path_factory, "fresh", seed=0)


@pytest.fixture(scope="session")
def other_digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, trained by another seed."""
    return trained_once(tmp_path_factory, "second", seed=1)


def trained_once(tmp_path_factory: pytest.TempPathFactory, name: str, seed: int) -> Path:
    """Trained by the first of the processes that tests run in, and copied by the others."""
    own = tmp_path_factory.mktemp("runs")
    common = own.parent.parent if "PYTEST_XDIST_WORKER" in os.environ else own.parent
    with FileLock(common / f"{name}.lock"):
        if not (common / "trained" / name).exists():
            (common / name).mkdir()
            run = _train_digits(common / name, name, seed)
            (common / "trained").mkdir(exist_ok=True)
            run.rename(common / "trained" / name)
    return copied(common / "trained" / name, own)


def _train_digits(runs: Path, name: str, seed: int) -> Path:
    import dataclasses

    from doublevit.data import DataConfig
    from doublevit.jobs.train import start
    from doublevit.recipes import get_recipe

    recipe = get_recipe("digits-double")
    train = dataclasses.replace(recipe.train, epochs=2)
    return start(dataclasses.replace(recipe, data=DataConfig("digits"), train=train, seed=seed), runs, name).run.path


def copied(run: Path, folder: Path) -> Path:
    """A run's folder in another place, to be added to."""
    shutil.copytree(run, folder / run.name, symlinks=True)
    return folder / run.name


def study_copied(study: Path, folder: Path) -> Path:
    """The same of a study; it shares the weights, which are replaced but never changed."""

    def copy(source: str, target: str) -> None:
        (os.link if "checkpoints" in Path(source).parts else shutil.copy2)(source, target)

    return Path(shutil.copytree(study, folder / study.name, copy_function=copy))


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def browser():
    """Chromium, for the tests that look at a page."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium, to look at the page in a browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
