"""Lists of images: a CSV file with columns path,label, and split and group where there are any."""

import csv
import difflib
import functools
import hashlib
import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from doublevit.data.address import LISTS
from doublevit.data.config import DataConfig
from doublevit.data.listing import Listing
from doublevit.data.names import differing_in_case, is_hidden, listed, printable, split_of
from doublevit.data.parts import WHOLE, Part, Parts, numbered
from doublevit.data.training_parts import training_listing
from doublevit.data.walk import file_version
from doublevit.errors import UserError
from doublevit.files import read_bytes

COLUMNS = {
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "name"),
    "label": ("label", "labels", "class", "target", "category"),
    "split": ("split", "subset", "partition"),
    "group": ("group",),
}
"""What columns are called, in any case; the first of these that a list has is taken."""
FORMAT = "a CSV file with a head line path,label (also split, group) and a line for each image"


def listing(config: DataConfig) -> Listing:
    """List the images to train and validate on.

    Raises:
        UserError: the list is missing, or a line of it is wrong.
    """
    return training_listing(read(config), config)


def read(config: DataConfig) -> Parts:
    """Return the parts of the list at `config.path`: that file, or the only one in that folder.

    Raises:
        UserError: the list is missing, or a line of it is wrong.
    """
    table = _table(config.path)
    root = table.parent
    columns, notes = _columns(table, config)
    names = _checked_names(columns["path"], table)
    if "" in columns["label"]:
        raise UserError(
            f"{table}: expected a file below {root} and a label in each line, found none in {_line(columns['label'])}"
        )
    splits = _splits(columns.get("split"), table) or {WHOLE: np.ones(len(names), dtype=bool)}
    parts = {
        name: functools.partial(_part, root, name, [names, columns["label"], columns.get("group")], rows)
        for name, rows in splits.items()
    }
    return Parts(
        name=f"list-{root.resolve().name}",
        source=f"list {printable(str(table))}",
        places={name: name and f"split {name}" for name in parts},
        part=lambda name: parts[name](),
        read=lambda name: read_bytes(f"{root}/{name}"),
        hashed=os.path.basename,
        version=file_version(root),
        notes=tuple(notes),
    )


def _table(path: Path | None) -> Path:
    if path is None:
        raise UserError(f"the source list wants `data.path`: {FORMAT}")
    if path.is_file():
        return path
    tables = sorted(file for suffix in LISTS for file in path.glob(f"*{suffix}") if not is_hidden(file.name))
    if len(tables) != 1:
        found = f"{len(tables)} CSV files in it; pass the one with the labels" if tables else "no such file"
        raise UserError(f"{path}: expected {FORMAT}, found {found}")
    return tables[0]


def _columns(table: Path, config: DataConfig) -> tuple[dict[str, list[str]], list[str]]:
    """Return the columns that are known, by what they hold, and a note on those that are not."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=first.count)
            rows = iter(csv.reader(file, delimiter=delimiter, strict=True))
            head = [name.strip() for name in next(rows, [])]
            places = _places(head, table, config)
            columns = _read_columns(rows, head, places, table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table} cannot be read ({error}); expected {FORMAT}, in UTF-8") from error
    others = [name for index, name in enumerate(head) if name and index not in places.values()]
    return columns, [f"columns of {printable(table.name)} that are not read: {listed(others)}"] if others else []


def _places(head: Sequence[str], table: Path, config: DataConfig) -> dict[str, int]:
    """Return where the known columns are."""
    folded = [name.casefold() for name in head]
    asked = {"path": config.image_column, "label": config.label_column, "group": config.group_column}
    places = {}
    for kind, usual in COLUMNS.items():
        wanted = [asked[kind].casefold()] if asked.get(kind) else usual
        found = [name for name in wanted if name in folded]
        if asked.get(kind) and not found:
            raise UserError(f"{table} has no column {asked[kind]}: expected one of {listed(head, 20) or 'its columns'}")
        if found:
            if folded.count(found[0]) > 1:
                raise UserError(f"{table} has {folded.count(found[0])} columns {printable(found[0])!r}: expected one")
            places[kind] = folded.index(found[0])
    if "path" not in places or "label" not in places:
        raise UserError(
            f"{table}: expected a head line with columns path,label, and a line for each image; found"
            f" {listed(head, 20) or 'no line'}; `data.image_column` and `data.label_column` name others"
        )
    for index, name in enumerate(folded):
        near = difflib.get_close_matches(name, [kind for kind in COLUMNS if kind not in places], 1, 0.75)
        if near and index not in places.values():
            raise UserError(f"{table} has a column {printable(name)!r}: expected {near[0]!r}, if that is what it is")
    return places


def _read_columns(
    rows: Iterator[list[str]], head: Sequence[str], places: dict[str, int], table: Path
) -> dict[str, list[str]]:
    columns: dict[str, list[str]] = {kind: [] for kind in places}
    shared: dict[str, str] = {}  # one string for each label, not one for each line
    for number, row in enumerate(rows, 2):
        if not row:
            continue
        if len(row) != len(head):
            raise UserError(
                f"{table}, entry {number}: expected {len(head)} values, as many as columns, found {len(row)}; quote"
                " what has a comma in it"
            )
        for kind, index in places.items():
            value = row[index] if kind == "path" else row[index].strip()
            columns[kind].append(value if kind == "path" else shared.setdefault(value, value))
    if not columns["path"]:
        raise UserError(f"{table} names no image: expected {FORMAT}")
    return columns


def _checked_names(names: list[str], table: Path) -> list[str]:
    """Return the names as they are on the disk, if all are files below the list's folder."""
    root, checked = str(table.parent), []
    for number, given in enumerate(names, 2):
        path = PurePosixPath(given.strip().replace("\\", "/"))
        if not given.strip() or path.is_absolute() or ".." in path.parts or "\0" in given:
            raise UserError(
                f"{table}, entry {number}: expected a file below {root} and a label in each line, found {given!r}"
            )
        if any(map(is_hidden, path.parts)):
            raise UserError(f"{table} names {printable(given)}, a hidden file; expected one that is not")
        name = next((name for name in _spellings(given, str(path)) if _is_file(f"{root}/{name}")), None)
        if name is None:
            raise UserError(
                f"{table} names {printable(given)}, which is not in {root}: paths are relative to the list's folder"
            )
        checked.append(name)
    if len(set(checked)) != len(checked):
        seen: set[str] = set()
        twice = next(name for name in checked if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise UserError(f"{table} names {printable(twice)} more than once; expected each image in one line")
    return checked


def _spellings(given: str, path: str) -> Iterator[str]:
    """Yield a name as it is given, with slashes, and with letters and accents composed or separate."""
    yield str(PurePosixPath(given))
    yield str(PurePosixPath(given.strip()))
    yield path
    yield unicodedata.normalize("NFD", path)
    yield unicodedata.normalize("NFC", path)


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116  # quicker than Path, of a million lines
    except (OSError, ValueError):
        return False


def _splits(values: list[str] | None, table: Path) -> dict[str, np.ndarray]:
    """Return the rows of each split, bool (N,), by "train", "val", "test" or their own name; none without a column."""
    if values is None:
        return {}
    if "" in values:
        raise UserError(f"{table}: expected a split in each line, found none in {_line(values)}")
    column = np.array(values, dtype=object)
    splits: dict[str, np.ndarray] = {}
    for value in dict.fromkeys(values):
        name = split_of(value) or value
        rows = column == value
        splits[name] = splits[name] | rows if name in splits else rows
    return splits


def _line(values: list[str]) -> str:
    return f"entry {values.index('') + 2}"


def _part(root: Path, name: str, columns: Sequence[list[str] | None], rows: np.ndarray) -> Part:
    """List the files of the `rows`, bool (N,), of the columns path, label and, perhaps, group."""
    chosen = np.flatnonzero(rows).tolist()
    names, labels, groups = ([values[row] for row in chosen] if values else [] for values in columns)
    if groups and "" in groups:
        raise UserError(
            f"{root}: expected a group in each line of the list, found none for {printable(names[groups.index('')])}"
        )
    source = f"images in {printable(str(root))}" + (f", {printable(name)}" if name else "")
    numbers, class_ids = numbered(labels, source)
    digest = hashlib.sha256()
    for each in names:
        status = os.stat(f"{root}/{each}")  # noqa: PTH116
        digest.update(repr((each, status.st_size, status.st_mtime_ns)).encode())
    return Part(
        names=names,
        labels=numbers,
        class_ids=class_ids,
        source=source,
        place=name and f"split {printable(name)}",
        fingerprint=digest.hexdigest(),
        groups=np.array(groups) if groups else None,
        notes=tuple(differing_in_case(class_ids)),
    )
