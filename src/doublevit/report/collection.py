"""Runs, or a whole study of them, opened to be reported together."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from doublevit.errors import UserError
from doublevit.report.candidates import Candidate, Contender, candidates, photo_set, way_of_use
from doublevit.report.conditions import METRICS
from doublevit.report.study import read_record
from doublevit.report.study.record import FILE, Entry
from doublevit.results import is_cut_short
from doublevit.run_folder import RunFolder

ON_PHOTOS = ("clean", "corruption", "attack", "transfer")
"""Kinds of rows that are accuracies on photos."""


@dataclasses.dataclass(frozen=True)
class Collection:
    """Rows of tables, in the order in which they were named; `remarks`, what must be said of the files.

    `title` of the whole; `note`, what a study says of itself.
    """

    title: str
    contenders: tuple[Contender, ...]
    remarks: tuple[str, ...] = ()
    note: str = ""
    baseline: str = ""
    """Label of a study's baseline."""

    @property
    def base(self) -> Contender:
        """What the others are compared with: a study's baseline, else the first."""
        return next((one for one in self.contenders if one.label == self.baseline), self.contenders[0])

    @property
    def as_trained(self) -> list[Contender]:
        """Without other ways of using the same networks."""
        return [one for one in self.contenders if one.first.as_trained] or list(self.contenders)


def open_runs(paths: Sequence[Path]) -> Collection:
    """Runs and studies by their folders.

    Raises:
        UserError: there are none, one is neither, has no results, or they are of different photos.
    """
    if not paths:
        raise UserError("expected folders of runs or of a study, found none; for example: doublevit report runs/first")
    whole = [path.resolve() for path in paths]
    if twice := [str(path) for path, found in zip(paths, whole, strict=True) if whole.count(found) > 1]:
        raise UserError(f"{twice[0]} is named twice; name each run once")
    parts = [_study(path) if (path / FILE).exists() else _run(path) for path in paths]
    contenders = _distinct([contender for part in parts for contender in part.contenders])
    if not contenders:
        raise UserError(f"{paths[0]} has no results yet: no cell of the study is done")
    _require_same_data(contenders)
    title = f"{len(paths)} runs compared"
    remarks = tuple(remark for part in parts for remark in part.remarks)
    if len(parts) == 1:
        return dataclasses.replace(parts[0], remarks=remarks)
    return Collection(title, contenders, remarks)


def _run(path: Path) -> Collection:
    run, name = RunFolder.open(path), path.resolve().name
    found = candidates(run)
    contenders = tuple(Contender(name + way_of_use(one), "", (one,)) for one in found)
    return Collection(name, contenders, tuple(_remarks(run, found)))


def _study(folder: Path) -> Collection:
    """The cells that are done; seeds of the same cell together. What cannot be read is remarked on."""
    record = read_record(folder)
    remarks = dict.fromkeys(f"{entry.title} failed: {entry.problem}" for entry in record.entries if entry.problem)
    members: dict[tuple[str, str], list[Candidate]] = {}
    for entry in _once(record.entries):
        try:
            run = RunFolder.open(folder / Path(entry.run).name)  # never beside or above the study's own folder
            found = candidates(run)
            remarks |= dict.fromkeys(_remarks(run, found))
        except UserError as error:
            remarks[f"{entry.title} is left out: {error}"] = None
            continue
        for candidate in found:
            members.setdefault((entry.group, entry.title + way_of_use(candidate)), []).append(candidate)
    contenders = tuple(Contender(label, group, tuple(found)) for (group, label), found in members.items())
    base = next((entry.title for entry in record.entries if entry.cell == record.baseline), "")
    return Collection(record.name, contenders, tuple(remarks), record.note, base)


def _once(entries: Sequence[Entry]) -> Iterator[Entry]:
    """An entry for each run that has results; cells that share a run are told by the first."""
    seen: set[str] = set()
    for entry in entries:
        if entry.row is not None and entry.run not in seen:
            seen.add(entry.run)
            yield entry


def _distinct(contenders: Sequence[Contender]) -> tuple[Contender, ...]:
    """With the folders that they lie in before labels that several have, as many as it takes to tell them apart."""
    found = list(contenders)
    for depth in range(1, 1 + max((len(one.first.run.path.resolve().parts) for one in found), default=0)):
        labels = Counter(one.label for one in found)
        if len(labels) == len(found):
            break
        found = [_deeper(one, depth) if labels[one.label] > 1 else one for one in found]
    return tuple(found)


def _deeper(one: Contender, depth: int) -> Contender:
    folder = one.first.run.path.resolve().parts[-1 - depth]
    return dataclasses.replace(one, label=f"{folder}/{one.label}")


def _remarks(run: RunFolder, found: Sequence[Candidate]) -> Iterator[str]:
    """What must be said of a run's files."""
    if is_cut_short(run.path / "results.jsonl"):
        yield f"{run.path / 'results.jsonl'}: the last line is damaged and was left out"
    measured = [one.scores(row) is None for one in found for row in one.rows if row.metric in METRICS]
    if lost := sum(measured):
        yield (
            f"{run.path}: the predictions of {lost} of {len(measured)} measurements are missing or damaged: what takes"
            " them (tests, means, changes, plots) is left out; evaluate again to have it"
        )


def _require_same_data(contenders: Sequence[Contender]) -> None:
    """Photos of a published corrupted set are never the run's own; all others must be of the same data."""
    first: tuple[str, str, str] | None = None
    for contender in contenders:
        for row in (row for member in contender.members for row in member.rows):
            if row.condition.get("kind") not in ON_PHOTOS or row.condition.get("set") == "published":
                continue
            base = photo_set(row)[0]
            if first is not None and base != first[0]:
                raise UserError(
                    f"{first[1]} was measured on {first[2]}, {contender.label} on {row.dataset}: numbers of different"
                    " photos do not belong in one table; report these runs apart"
                )
            first = first or (base, contender.label, row.dataset)
