"""Shards of webdataset: tars in which the files of a sample follow one another, `000017.jpg` with `000017.cls`.

They are read by the standard library, each through an index of where its members lie. Names of members only name
samples and never become paths; nothing is unpickled.
"""

import functools
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from doublevit.data.address import SHARDS
from doublevit.data.braces import expanded
from doublevit.data.config import DataConfig
from doublevit.data.listing import Listing
from doublevit.data.names import NaturalKey, differing_in_case, is_hidden, listed, natural_key, printable, split_of
from doublevit.data.parts import WHOLE, Part, Parts, numbered
from doublevit.data.tar_index import kept_index, read_member
from doublevit.data.training_parts import training_listing
from doublevit.errors import UserError, first_line

IMAGES = frozenset(
    ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm", "pbm", "avif", "heic", "img", "image")
)
LABELS = ("cls", "class", "label")
JSON_LABELS = ("label", "class", "cls", "target", "category")
CODE = frozenset(["pyd", "pkl", "pickle", "pth", "pt", "joblib"])
"""Members that hold pickled objects, which may be any program."""
MOST_LABEL = 1 << 24  # bytes of a label
HELP = '"wds:shard-{000..099}.tar", a tar, or a folder of tars'


def listing(config: DataConfig) -> Listing:
    """List the images to train and validate on.

    Raises:
        UserError: a shard is missing or truncated, or a sample has no image or no label.
    """
    return training_listing(read(config), config)


def read(config: DataConfig) -> Parts:
    """Return the parts of the shards that `config.path` names; they begin with train, val ... if there are several.

    Raises:
        UserError: a shard is missing.
    """
    if config.path is None:
        raise UserError(f"the source wds wants `data.path`: {HELP}")
    shards = _shards(str(config.path).removeprefix(SHARDS))
    splits, files = _by_split(shards), _ShardFiles()
    return Parts(
        name=f"wds-{shards[0].resolve().parent.name}",
        source=f"shards {printable(str(config.path))}",
        places={name: name and f"split {name}" for name in splits},
        part=lambda name: _part(name, splits[name], files, config),
        read=files.read,
        hashed=lambda name: name.rpartition(":")[2],
    )


class _ShardFiles:
    """Reads members by their names, "shard-000.tar:key.jpg", from several threads at once.

    A member's place is kept in arrays, since there may be millions.
    """

    def __init__(self) -> None:
        self._shards: list[Path] = []
        self._rows: dict[str, int] = {}
        self._places = np.empty((0, 3), dtype=np.int64)  # shard, first byte, size

    def add(self, shard: Path, names: list[str], starts: np.ndarray, sizes: np.ndarray) -> None:
        """Add members of a shard, which have these names."""
        if names and names[0] in self._rows:
            return  # listed before
        first = len(self._places)
        self._rows |= {name: row for row, name in enumerate(names, first)}
        places = np.stack([np.full(len(names), len(self._shards)), starts, sizes], axis=1)
        self._places = np.concatenate([self._places, places])
        self._shards.append(shard)

    def read(self, name: str) -> bytes:
        """Return the contents of a member."""
        shard, start, size = self._places[self._rows[name]].tolist()
        with open(self._shards[shard], "rb", buffering=0) as file:
            return read_member(file.fileno(), name, start, size)


def _shards(pattern: str) -> list[Path]:
    if re.match(r"(https?|s3|gs|hdfs|pipe|ftp):", pattern):
        raise UserError(f"wds:{pattern}: expected shards on this machine; fetch them, then pass {HELP}")
    paths = [Path(name) for name in expanded(pattern)]
    if len(paths) == 1 and paths[0].is_dir():
        paths = sorted((file for file in paths[0].glob("*.tar") if not is_hidden(file.name)), key=_order)
    elif len(paths) == 1 and re.search(r"[*?]", pattern):
        paths = sorted((file for file in paths[0].parent.glob(paths[0].name) if file.is_file()), key=_order)
    missing = next((path for path in paths if not path.is_file()), None)
    if missing or not paths:
        found = f"{printable(str(missing))} is no file" if missing else "no tar there"
        raise UserError(f"wds:{printable(pattern)}: expected {HELP}, found {found}")
    if len({path.name for path in paths}) != len(paths):
        raise UserError(f"wds:{printable(pattern)}: two shards have one name; expected another name for each")
    return paths


def _order(path: Path) -> NaturalKey:
    return natural_key(path.name)


def _by_split(shards: list[Path]) -> dict[str, list[Path]]:
    """Return the shards of each split, by the word that their names begin with; all are one if none is a split's."""
    splits: dict[str, list[Path]] = {}
    for shard in shards:
        splits.setdefault(split_of(re.split(r"[-_.\d]", shard.name)[0]) or WHOLE, []).append(shard)
    if WHOLE in splits and len(splits) > 1:
        raise UserError(
            f"{printable(splits[WHOLE][0].name)} is of no split, and other shards are of"
            f" {listed(filter(None, splits))}; expected the names of all or none to begin with train, val or test"
        )
    return splits


def _part(split: str, shards: list[Path], files: _ShardFiles, config: DataConfig) -> Part:
    names, labels, groups = list[str](), list[str](), list[str | None]()
    digest = hashlib.sha256()
    for shard in shards:
        members, starts, sizes = kept_index(shard, config.cache)
        digest.update(repr((shard.name, shard.stat().st_size, shard.stat().st_mtime_ns)).encode())
        rows = []
        with shard.open("rb") as file:
            contents = functools.partial(_member, file, starts, sizes)
            for image, label, group in _samples(shard, members, contents, config):
                rows.append(image)
                labels.append(label)
                groups.append(group)
        of_shard = [f"{shard.name}:{members[row]}" for row in rows]
        files.add(shard, of_shard, starts[rows], sizes[rows])
        names += of_shard
    if None in groups and any(groups):
        raise UserError(f"{printable(shards[0].name)}: some samples have a group and some none; expected it in each")
    source = f"images in {printable(str(config.path))}" + (f", {split}" if split else "")
    numbers, class_ids = numbered(labels, source)
    return Part(
        names=names,
        labels=numbers,
        class_ids=class_ids,
        source=source,
        place=split and f"split {split}",
        fingerprint=digest.hexdigest(),
        notes=tuple(differing_in_case(class_ids)),
        groups=np.array(groups) if groups and None not in groups else None,
    )


def _member(file: BinaryIO, starts: np.ndarray, sizes: np.ndarray, row: int) -> bytes:
    return os.pread(file.fileno(), min(int(sizes[row]), MOST_LABEL), int(starts[row]))


def _samples(
    shard: Path, members: list[str], read: Callable[[int], bytes], config: DataConfig
) -> Iterator[tuple[int, str, str | None]]:
    """Yield the row of each sample's image among the members, its label, and its group if it has one."""
    samples: dict[str, dict[str, int]] = {}
    for row, name in enumerate(members):
        folder, _, last = name.rpartition("/")
        key, _, kind = last.partition(".")
        rows = samples.setdefault(f"{folder}/{key}", {})
        if kind.lower() in rows:
            raise UserError(f"{shard} holds {printable(name)} twice; expected each member once")
        if kind.lower().rpartition(".")[2] in CODE:
            raise UserError(f"{shard} holds {printable(name)}, which may be a program; it is not safe, and not read")
        rows[kind.lower()] = row
    for key, rows in samples.items():
        images = [kind for kind in rows if kind in IMAGES]
        if len(images) > 1:
            raise UserError(
                f"{shard}: {printable(key.lstrip('/'))} has {len(images)} images,"
                f" {listed(f'.{kind}' for kind in images)}; expected one in each sample"
            )
        label, group = _label(rows, read, config, f"{shard}: {printable(key.lstrip('/'))}")
        if not images or not label:
            lacks = "no label" if images else "no image"
            raise UserError(
                f"{shard}: {printable(key.lstrip('/'))} has {lacks}, only {listed(f'.{kind}' for kind in rows)};"
                " expected an image (.jpg, .png ...) and .cls, or .json with a label"
            )
        yield rows[images[0]], label, group


def _label(
    rows: dict[str, int], read: Callable[[int], bytes], config: DataConfig, sample: str
) -> tuple[str, str | None]:
    """Return a sample's label, "" if it has none, and its group."""
    fields = _fields(read(rows["json"]), sample) if "json" in rows else {}
    asked = (config.label_column,) if config.label_column else JSON_LABELS
    label = next((fields[name] for name in asked if fields.get(name) is not None), "")
    if isinstance(label, list | dict):
        raise UserError(
            f"{sample} has the label {printable(str(label))[:40]} in its .json; expected a number or a name"
        )
    beside = {_text(read(rows[kind]), sample).strip() for kind in LABELS if kind in rows}
    if len(beside) > 1:
        raise UserError(f"{sample} has the labels {listed(sorted(beside))}; expected one in each sample")
    if beside and not config.label_column:
        label = beside.pop()
    group = fields.get(config.group_column or "group")
    if config.group_column and group is None:
        raise UserError(f"{sample} has no {config.group_column} in its .json; expected `data.group_column` in each")
    return str(label).strip(), None if group is None else str(group)


def _fields(data: bytes, sample: str) -> dict[str, Any]:
    try:
        fields = json.loads(_text(data, sample))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{sample}.json is no JSON ({first_line(error)}); expected an object with a label") from error
    return fields if isinstance(fields, dict) else {"label": fields}


def _text(data: bytes, sample: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{sample} has a label that is no text in UTF-8; expected a number or a name") from error
