"""Data sets of Hugging Face: of the hub by name, or local ones, saved to disk or as parquet; read by `datasets`.

Nothing is asked of the network unless the path is `hf:USER/SET`, and no code of a data set is run: `datasets` has done
without since its version 4.
"""

import functools
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from doublevit.data.address import HUB, SAVED
from doublevit.data.config import DataConfig
from doublevit.data.listing import Listing
from doublevit.data.names import differing_in_case, is_hidden, listed, printable, split_of
from doublevit.data.parts import WHOLE, Part, Parts, numbered
from doublevit.data.training_parts import training_listing
from doublevit.errors import UserError, first_line
from doublevit.files import read_bytes

IMAGE_COLUMNS = ("image", "img", "images", "picture", "pixel_values")
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target", "category")
BYTES = ("binary", "large_binary")
Columns = tuple[str, str, str | None]
"""The names of the columns of images, of labels and, where there is one, of groups."""
HELP = "a folder that save_to_disk wrote, parquet with the images in it, or hf:USER/SET"


def listing(config: DataConfig) -> Listing:
    """List the images to train and validate on.

    Raises:
        UserError: the data set cannot be had, or its columns are not images and labels.
    """
    return training_listing(read(config), config)


def read(config: DataConfig) -> Parts:
    """Return the parts of the data set that `config.path` names, "hf:USER/SET", or that lies there.

    Raises:
        UserError: the data set cannot be had, or its columns are not images and labels.
    """
    if config.path is None:
        raise UserError(f"the source hf wants `data.path`: {HELP}")
    address = str(config.path).removeprefix(HUB)
    local = Path(address)
    on_hub = not local.exists() and str(config.path).startswith(HUB)
    sets = _from_hub(address) if on_hub else _from_disk(local, config.cache)
    source = printable(str(config.path))
    places = {_split_name(name, list(sets)): name for name in sets}
    columns = {name: _columns(sets[name], config, source) for name in sets}
    images = {name: _image_column(sets[name], columns[name][0]) for name in sets}
    plain = re.sub(r"[^\w.]+", "-", address if on_hub else local.resolve().name)
    return Parts(
        name=f"hf-{plain}",
        source=f"data set {source}",
        places={split: name and f"split {name}" for split, name in places.items()},
        part=lambda split: _part(_of(source, split), sets[places[split]], columns[places[split]], places[split]),
        read=functools.partial(_read, images),
        hashed=lambda name: "",  # a row's number is not its own: others before it change it
    )


def _from_hub(address: str) -> Mapping[str, Any]:
    """Load USER/SET, USER/SET/CONFIG or either with @REVISION."""
    datasets = _library()
    name, _, revision = address.partition("@")
    owner, *rest = name.split("/")
    parts = [owner, *rest]
    if not all(re.fullmatch(r"[\w.-]+", part) for part in parts) or len(parts) > 3:
        raise UserError(f"hf:{printable(address)}: expected hf:USER/SET, hf:USER/SET/CONFIG or a folder after hf:")
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    try:
        config = parts[2] if len(parts) > 2 else None
        found = datasets.load_dataset("/".join(parts[:2]), config, revision=revision or None)
    except Exception as error:  # of five libraries: what they raise without a connection is no common kind
        raise UserError(
            f"hf:{printable(address)} cannot be had from the hub ({first_line(error)}): check the name and the network,"
            " or fetch it elsewhere and pass its folder"
        ) from error
    return dict(found)


def _from_disk(path: Path, cache: Path) -> Mapping[str, Any]:
    datasets = _library()
    try:
        if path.is_dir() and any((path / name).is_file() for name in SAVED):
            found = datasets.load_from_disk(str(path))
            return dict(found) if isinstance(found, dict) else {WHOLE: found}
        files = _parquet_files(path)
        return {
            name: datasets.Dataset.from_parquet([str(file) for file in of_split], cache_dir=str(cache / "parquet"))
            for name, of_split in files.items()
        }
    except UserError:
        raise
    except Exception as error:  # of pyarrow and datasets, in many kinds
        raise UserError(f"{printable(str(path))} cannot be read ({first_line(error)}); expected {HELP}") from error


def _parquet_files(path: Path) -> dict[str, list[Path]]:
    """Return the files of each split: train-00000-of-00002.parquet, or train/0.parquet; all are one if none is."""
    if path.is_file():
        return {WHOLE: [path]}
    every = sorted(file for file in path.rglob("*.parquet") if not any(map(is_hidden, file.relative_to(path).parts)))
    if not every:
        raise UserError(f"{printable(str(path))}: expected {HELP}, found no such file")
    files: dict[str, list[Path]] = {}
    for file in every:
        words = [re.split(r"[-_.]\d|\.", file.name)[0], *reversed(file.relative_to(path).parent.parts)]
        named = next((word for word in words if split_of(word)), None)
        files.setdefault(named or WHOLE, []).append(file)
    if WHOLE in files and len(files) > 1:
        raise UserError(
            f"{printable(str(path))}: {printable(files[WHOLE][0].name)} is of no split, and others are of"
            f" {listed(filter(None, files))}; expected all or none to begin with train, val or test"
        )
    return files


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise UserError("data sets of Hugging Face want `datasets`: pip install 'doublevit[datasets]'") from error
    return datasets


def _split_name(name: str, every: list[str]) -> str:
    split = split_of(name)
    alike = [other for other in every if split_of(other) == split]
    return split if split and len(alike) == 1 else name


def _of(source: str, split: str) -> str:
    return f"{source}, {split}" if split else source


def _columns(dataset: Any, config: DataConfig, source: str) -> Columns:
    """Return the names of the columns of images, labels and, where there is one, groups."""
    features = dataset.features
    asked = config.image_column, config.label_column, config.group_column
    for name, option in zip(asked, ("image_column", "label_column", "group_column"), strict=True):
        if name and name not in features:
            raise UserError(f"`data.{option}` {name}: {source} has the columns {listed(features, 20)}")
    image = asked[0] or _first([name for name in features if _holds_images(features[name])], IMAGE_COLUMNS)
    classes = [name for name in features if type(features[name]).__name__ == "ClassLabel"]
    label = asked[1] or _first(classes, LABEL_COLUMNS) or next((n for n in LABEL_COLUMNS if n in features), "")
    if not image or not label:
        missing, option = ("images", "image_column") if not image else ("labels", "label_column")
        raise UserError(
            f"{source} has the columns {listed(features, 20)}: expected one of {missing}; `data.{option}` names it"
        )
    return image, label, asked[2] or ("group" if "group" in features else None)


def _first(names: list[str], preferred: tuple[str, ...]) -> str:
    return next((name for name in preferred if name in names), names[0] if names else "")


def _holds_images(feature: Any) -> bool:
    is_bytes = getattr(feature, "dtype", "") in BYTES and type(feature).__name__ == "Value"
    return type(feature).__name__ == "Image" or is_bytes or (isinstance(feature, dict) and "bytes" in feature)


def _image_column(dataset: Any, column: str) -> Any:
    """Return the data set with its encoded images alone."""
    datasets = _library()
    only = dataset.select_columns([column]).with_format(None)
    if type(dataset.features[column]).__name__ == "Image":
        only = only.cast_column(column, datasets.Image(decode=False))
    return only


def _read(images: Mapping[str, Any], name: str) -> bytes:
    """Return the encoded image of a row, "train/12".

    Raises:
        UserError: the row has no image, or only the path of one that the hub's client has not put there.
    """
    split, _, row = name.rpartition("/")
    [value] = images[split][int(row)].values()
    data = value.get("bytes") if isinstance(value, dict) else value
    if data is not None:
        return bytes(data)
    path = Path(value.get("path") or "") if isinstance(value, dict) else Path()
    if not any(path.resolve().is_relative_to(folder) for folder in _folders_of_hub()):
        raise UserError(
            f"row {name.strip('/')} holds no image, but {printable(str(path))}: expected the bytes of an image, as"
            " save_to_disk of Hugging Face's datasets writes them"
        )
    return read_bytes(path)


def _folders_of_hub() -> list[Path]:
    """Return where the hub's client keeps what it has fetched."""
    config = _library().config
    return [Path(folder).resolve() for folder in (config.HF_CACHE_HOME, config.HF_DATASETS_CACHE)]


def _part(source: str, dataset: Any, columns: Columns, name: str) -> Part:
    _, label, group = columns
    numbers, class_ids = _labels(dataset, label, source)
    files = [Path(file["filename"]) for file in dataset.cache_files]
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    fingerprint = hashlib.sha256(repr((dataset._fingerprint, len(dataset), name, stats)).encode()).hexdigest()
    groups = list(dataset.with_format(None)[group][:]) if group else []
    if None in groups:
        raise UserError(f"{source}: row {groups.index(None)} has no {group}; expected a group in each, or in none")
    return Part(
        names=[f"{name}/{row}" for row in range(len(dataset))],
        labels=numbers,
        class_ids=class_ids,
        source=f"images in {source}",
        place=name and f"split {name}",
        fingerprint=fingerprint,
        groups=np.array(list(map(str, groups))) if group else None,
        notes=tuple(differing_in_case(class_ids)),
    )


def _labels(dataset: Any, column: str, source: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return labels as indices into the classes that have an image, in the order of the data set's own names."""
    values, feature = list(dataset.with_format(None)[column][:]), dataset.features[column]
    missing = sum(value is None or value == "" for value in values)
    names = list(getattr(feature, "names", None) or ())
    missing += sum(value == -1 for value in values) if names else 0
    if missing:
        raise UserError(f"{source}: {missing:,} of {len(values):,} rows have no label; expected one for each image")
    if not names:
        if values and isinstance(values[0], list | dict | float):
            raise UserError(f"{source}: the column {column} holds no classes: expected names, numbers or ClassLabel")
        return numbered([str(value) for value in values], source)
    numbers = np.array(values, dtype=np.int64)
    there = np.unique(numbers)
    return np.searchsorted(there, numbers), tuple(printable(names[index]) for index in there.tolist())
