"""What a check finds, as typed values: how grave it is, which files, and what to do."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np

from doublevit.data.check.duplicates import Group
from doublevit.data.check.scan import Scan
from doublevit.data.names import listed
from doublevit.data.summary import UNEQUAL

Level = Literal["error", "warning", "note"]
USUAL = 0.9  # fraction of images of one size, from which on others are told
UNDER_DIFFERENT = "under different classes"
LONG = 3.0  # longer side over shorter side of an extreme shape


@dataclasses.dataclass(frozen=True)
class DataFinding:
    """Files that something is the matter with: an error spoils a training or its result, a warning may.

    `groups` hold the files that belong together, or single ones; `advice` says what to do.
    """

    name: str
    level: Level
    title: str
    advice: str
    groups: tuple[Group, ...] = ()

    @property
    def images(self) -> int:
        """How many files it is about."""
        return sum(len(group.indices) for group in self.groups)


@dataclasses.dataclass(frozen=True)
class Findings:
    """Everything that a check found, the gravest first; `input_side` is the network's input in pixels."""

    scan: Scan
    input_side: int
    found: tuple[DataFinding, ...]

    @property
    def has_errors(self) -> bool:
        """Whether something must be mended before training."""
        return any(finding.level == "error" for finding in self.found)

    def get(self, name: str) -> DataFinding | None:
        """Return the finding of a name, if there is such a one."""
        return next((finding for finding in self.found if finding.name == name), None)


def find(
    scan: Scan, exact: Sequence[Group], near: Sequence[Group], input_side: int, more: Iterable[DataFinding]
) -> Findings:
    """Judge what was seen, and the duplicates among it; `more` are findings of others, such as of a model."""
    every = [*_files(scan), *_classes(scan), *_of_exact(scan, exact), *_of_near(scan, near)]
    every += [*more, *_pixels(scan), *_sizes(scan, input_side)]
    order: tuple[Level, ...] = ("error", "warning", "note")
    return Findings(scan, input_side, tuple(sorted(every, key=lambda finding: order.index(finding.level))))


def _files(scan: Scan) -> Iterator[DataFinding]:
    if scan.bad:
        groups = tuple(Group((index,), why) for index, why in sorted(scan.bad.items()))
        advice = "Mend or remove them, or train with `data.skip_bad=True`."
        yield DataFinding("unreadable", "error", "files that cannot be read", advice, groups)


def _classes(scan: Scan) -> Iterator[DataFinding]:
    """Yield what is wrong with the numbers of images by class."""
    counts, source = class_counts(scan), scan.source
    for split, of_split in zip(source.split_names, counts, strict=True):
        missing = [source.class_names[label] for label in np.flatnonzero((of_split == 0) & (counts.sum(axis=0) > 0))]
        if missing and split in ("train", "val"):
            title = f"{len(missing):,} classes of other splits without a readable image in {split}: {listed(missing)}"
            yield DataFinding(f"missing-in-{split}", "error", title, "Add images of them, or leave the classes out.")
    if "train" not in source.split_names:
        title, advice = (
            f"nothing to train on, {listed(source.split_names)} alone",
            "To evaluate a model, that is enough.",
        )
        yield DataFinding("no-train", "warning", title, advice)
    train = counts[0][counts[0] > 0]
    if len(train) and train.max() >= UNEQUAL * train.min():
        title = f"classes are unequal: {train.min():,} to {train.max():,} images of one in {source.split_names[0]}"
        advice = "Look at balanced accuracy beside top-1; `train.class_weights` may help."
        yield DataFinding("unequal", "warning", title, advice)


def _of_exact(scan: Scan, exact: Sequence[Group]) -> Iterator[DataFinding]:
    """Yield equal files, each group once: those of two splits, those of two classes, and the others."""
    splits, classes, same = _by_kind(scan, exact)
    if splits:
        advice = "What is validated on is known from training: remove them from one of the splits."
        worst = sum(UNDER_DIFFERENT in group.detail for group in splits)
        title = f"the same file in two splits{f', {worst:,} of them under different classes' if worst else ''}"
        yield DataFinding("same-file-in-splits", "error", title, advice, splits)
    if classes:
        advice = "One of the labels is wrong, or both are right and the task has several labels an image."
        yield DataFinding("same-file-in-classes", "error", "the same file under two classes", advice, classes)
    if same:
        yield DataFinding("same-file", "warning", "the same file twice in a split", "Remove all but one.", same)


def _of_near(scan: Scan, near: Sequence[Group]) -> Iterator[DataFinding]:
    splits, classes, same = _by_kind(scan, near)
    if splits:
        advice = "Look at them: where they are one image, remove it from one split."
        yield DataFinding("near-in-splits", "warning", "nearly the same image in two splits", advice, splits)
    if classes:
        advice = "Look at them: where they are one image, one label is wrong."
        yield DataFinding("near-in-classes", "warning", "nearly the same image under two classes", advice, classes)
    if same:
        advice = "Harmless in training; in val they count twice."
        yield DataFinding("near", "note", "nearly the same image in a split and class", advice, same)


def _by_kind(scan: Scan, groups: Sequence[Group]) -> tuple[tuple[Group, ...], tuple[Group, ...], tuple[Group, ...]]:
    """Sort groups into those in two splits, those of the rest under two classes, and the rest, details added."""
    splits, classes, same = list[Group](), list[Group](), list[Group]()
    for group in groups:
        rows = list(group.indices)
        labels_differ = len(set(scan.source.labels[rows].tolist())) > 1
        if len(set(scan.source.splits[rows].tolist())) > 1:
            note = UNDER_DIFFERENT if labels_differ else ""
            splits.append(group._replace(detail=", ".join(filter(None, (group.detail, note)))))
        else:
            (classes if labels_differ else same).append(group)
    splits.sort(key=lambda group: UNDER_DIFFERENT not in group.detail)  # the worst first
    return tuple(splits), tuple(classes), tuple(same)


def _pixels(scan: Scan) -> Iterator[DataFinding]:
    facts = scan.facts
    if facts["flat"].any():
        advice = "They show next to nothing. For 12-bit data in files of 16 bits, `data.bits=12`."
        yield DataFinding("constant", "warning", "nearly constant images", advice, _single(facts["flat"]))
    if facts["rotated"].any():
        advice = "They are turned upright; other programs may show them as they lie."
        yield DataFinding("turned", "note", "images turned by EXIF", advice, _single(facts["rotated"]))
    if facts["alpha"].any():
        title = "images with transparency"
        yield DataFinding("transparent", "note", title, "They are shown on white.", _single(facts["alpha"]))


def _sizes(scan: Scan, input_side: int) -> Iterator[DataFinding]:
    """Yield images of odd size or shape."""
    good, sizes = scan.good, sizes_of(scan)
    if not len(good):
        return
    shorter, longer = sizes.min(axis=1), sizes.max(axis=1)
    small = good[shorter < input_side]
    if len(small):
        title = f"images with a side shorter than the network's input, {input_side} pixels"
        yield DataFinding("small", "note", title, "They are enlarged, and stay blurred.", _with_size(scan, small))
    long = good[longer >= LONG * shorter]
    if len(long):
        title = f"images at least {LONG:g} times as long as they are wide, or wide as long"
        advice = "Their ends are cut off: `data.fit=pad` shows all of them."
        yield DataFinding("long", "warning", title, advice, _with_size(scan, long))
    different, inverse, counts = np.unique(sizes, axis=0, return_inverse=True, return_counts=True)
    usual = int(counts.argmax())
    odd = good[inverse.reshape(-1) != usual]
    if len(odd) and counts[usual] >= USUAL * len(good):
        width, height = different[usual].tolist()
        title = f"images of another size than {width} x {height}, which {counts[usual]:,} have"
        yield DataFinding("odd-size", "warning", title, "Look whether they belong here.", _with_size(scan, odd))


def class_counts(scan: Scan) -> np.ndarray:
    """Return how many files can be read of each class in each split, int64 (splits, classes)."""
    source = scan.source
    counts = np.zeros((len(source.split_names), len(source.class_ids)), np.int64)
    np.add.at(counts, (source.splits[scan.good], source.labels[scan.good]), 1)
    return counts


def sizes_of(scan: Scan) -> np.ndarray:
    """Return width and height in pixels of the files that can be read, int64 (n, 2)."""
    facts = scan.facts[scan.good]
    return np.stack([facts["width"], facts["height"]], axis=1).astype(np.int64)


def _single(mask: np.ndarray) -> tuple[Group, ...]:
    return tuple(Group((index,)) for index in np.flatnonzero(mask).tolist())


def _with_size(scan: Scan, indices: np.ndarray) -> tuple[Group, ...]:
    facts = scan.facts
    return tuple(Group((i,), f"{facts['width'][i]} x {facts['height'][i]} pixels") for i in indices.tolist())
