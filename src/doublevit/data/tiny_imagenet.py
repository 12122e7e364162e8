"""Tiny ImageNet (Stanford CS231n): 200 classes of 64 x 64 images, 500 for training in each, 10,000 for validation.

It is read from the official zip without unpacking, from the unpacked folder, or downloaded. A label is the rank of
the class's wnid when sorted; validation labels come from val_annotations.txt.
"""

from pathlib import Path

import numpy as np

from doublevit.data.archive import Files, FolderFiles, ZipFiles
from doublevit.data.config import DataConfig
from doublevit.data.decode import BadImage, decode_jpeg
from doublevit.data.listing import Entries, Listing
from doublevit.data.names import natural_key
from doublevit.download import Download, fetch
from doublevit.errors import UserError

SIDE = 64
OFFICIAL = Download(
    url="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    md5="90528d7ca1a48142e341f4ef8d21d0de",
    file_name="tiny-imagenet-200.zip",
)


def listing(config: DataConfig) -> Listing:
    """List the images to decode, in `config.path`, or in the downloaded zip if that is None.

    Raises:
        UserError: the data set is missing, damaged or incomplete.
    """
    path = config.path or _downloaded(config)
    files = _open(path)
    class_ids = tuple(sorted(_lines(files, "wnids.txt")))
    if len(set(class_ids)) != len(class_ids):
        raise UserError(f"{path}: wnids.txt names a class twice; unpack the zip again")
    names = dict(line.split("\t", 1) for line in _lines(files, "words.txt") if "\t" in line)
    return Listing(
        name="tiny-imagenet",
        source=f"Tiny ImageNet from {path}",
        side=SIDE,
        class_ids=class_ids,
        class_names=tuple(names.get(wnid, wnid).split(",")[0].strip() for wnid in class_ids),
        splits={"train": _train(files, class_ids, path), "val": _val_entries(files, class_ids, path)},
        read=files.read,
        decode=_decode,
        fingerprint=files.fingerprint,
    )


def _downloaded(config: DataConfig) -> Path:
    path = config.cache / "downloads" / OFFICIAL.file_name
    if config.download:  # an existing file is checked, and fetched again if it is damaged
        return fetch(OFFICIAL, path.parent)
    if path.is_file():
        return path
    raise UserError(
        "Tiny ImageNet is not here: expected `data.path` with the official zip or folder;"
        f" pass that, or `data.download=True` to fetch it from {OFFICIAL.url}"
    )


def _open(path: Path) -> Files:
    if path.is_dir():
        root = path if (path / "wnids.txt").exists() else path / "tiny-imagenet-200"
        if not (root / "wnids.txt").exists():
            raise UserError(f"{path} is no Tiny ImageNet folder: expected wnids.txt in it; unpack the zip again")
        return FolderFiles(root)
    if not path.exists():
        raise UserError(f"{path} does not exist: expected Tiny ImageNet's official zip or its unpacked folder")
    return ZipFiles(path, "wnids.txt")


def _lines(files: Files, name: str) -> list[str]:
    if name not in files.names:
        raise UserError(f"Tiny ImageNet without {name}: the folder is not whole; unpack the zip again")
    try:
        return [line for line in files.read(name).decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is no text: it is damaged; unpack the zip again") from error


def _train(files: Files, class_ids: tuple[str, ...], path: Path) -> Entries:
    names_by_class: dict[str, list[str]] = {wnid: [] for wnid in class_ids}
    for name in files.names:
        parts = name.split("/")
        if len(parts) == 4 and parts[0] == "train" and parts[2] == "images" and parts[1] in names_by_class:
            names_by_class[parts[1]].append(name)
    for wnid, names in names_by_class.items():
        # Each class comes with a list of boxes, a line for each image, by which a half-unpacked class is noticed.
        boxes = f"train/{wnid}/{wnid}_boxes.txt"
        expected = len(_lines(files, boxes)) if boxes in files.names else max(map(len, names_by_class.values()))
        if not len(names) == expected > 0:
            raise UserError(
                f"{path}: class {wnid} has {len(names)} train images, expected {expected or 500}; unpack the zip again"
            )
    names = [name for wnid in class_ids for name in sorted(names_by_class[wnid], key=natural_key)]
    labels = np.repeat(np.arange(len(class_ids)), [len(names_by_class[wnid]) for wnid in class_ids])
    return Entries(names, labels)


def _val_entries(files: Files, class_ids: tuple[str, ...], path: Path) -> Entries:
    """List the val images in their official order, whether they lie in val/images or were sorted into class folders."""
    if any(name.startswith("val/images/") for name in files.names):
        return _val(files, class_ids, path)
    rank = {wnid: label for label, wnid in enumerate(class_ids)}
    parts = [name.split("/") for name in files.names if name.startswith("val/") and name.count("/") >= 2]
    sorted_names = sorted((natural_key(part[-1]), "/".join(part), part[1]) for part in parts if part[1] in rank)
    strange = next((part[1] for part in parts if part[1] not in rank), None)
    if strange is not None:
        raise UserError(f"{path}: val has a folder {strange}, which wnids.txt has not; unpack the zip again")
    labels = np.array([rank[wnid] for _, _, wnid in sorted_names], dtype=np.int64)
    counts = np.bincount(labels, minlength=len(class_ids))
    if not counts.min() == counts.max() > 0:
        raise UserError(
            f"{path}: val has {counts.min()} to {counts.max()} images of a class, {class_ids[int(counts.argmin())]} the"
            " fewest; expected as many of each, in val/images or in a folder for each class"
        )
    return Entries([name for _, name, _ in sorted_names], labels)


def _val(files: Files, class_ids: tuple[str, ...], path: Path) -> Entries:
    rank = {wnid: label for label, wnid in enumerate(class_ids)}
    annotated = [line.split("\t")[:2] for line in _lines(files, "val/val_annotations.txt")]
    if any(len(entry) != 2 or not entry[1] for entry in annotated):
        raise UserError(f"{path}: val_annotations.txt has a line without a class; unpack the zip again")
    annotated.sort(key=lambda entry: natural_key(entry[0]))
    names = [f"val/images/{file}" for file, _ in annotated]
    missing = [name for name in names if name not in files.names]
    if missing:
        raise UserError(
            f"{path}: {len(missing)} of {len(names)} val images are missing, {missing[0]} first; unpack the zip again"
        )
    unlabeled = sum(name.startswith("val/images/") for name in files.names) - len(set(names))
    if unlabeled or len(set(names)) != len(names):
        problem = f"lacks {unlabeled} of the val images" if unlabeled else "names an image twice"
        raise UserError(f"{path}: val_annotations.txt {problem}; unpack the zip again")
    unknown_wnid = next((wnid for _, wnid in annotated if wnid not in rank), None)
    if unknown_wnid or not annotated:
        found = f"class {unknown_wnid}, which wnids.txt has not" if unknown_wnid else "no image"
        raise UserError(f"{path}: val_annotations.txt names {found}; unpack the zip again")
    return Entries(names, np.array([rank[wnid] for _, wnid in annotated], dtype=np.int64))


def _decode(data: bytes) -> np.ndarray:
    image = decode_jpeg(data)
    if image.shape != (SIDE, SIDE, 3):
        raise BadImage(f"expected {SIDE} x {SIDE} pixels, found {image.shape[1]} x {image.shape[0]}")
    return image
