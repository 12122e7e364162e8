"""Entry points to a `Comparison`: of runs and studies by their folders, or of rows that were just measured."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from doublevit.analysis.comparison import Comparison
from doublevit.analysis.descriptions import is_published
from doublevit.analysis.evaluated import EvaluatedModel, Method, evaluated_models, variants
from doublevit.analysis.saved_predictions import PREDICTION_METRICS
from doublevit.errors import UserError
from doublevit.jsonl import is_cut_short
from doublevit.models.top_k import show
from doublevit.runs.folder import RunFolder
from doublevit.runs.row import Row
from doublevit.runs.study_record import FILE, StudyEntry, StudyRecord, read_record


def compare_runs(paths: Sequence[Path]) -> Comparison:
    """Compare runs and studies by their folders, with the first run or the study's baseline as the baseline.

    Raises:
        UserError: there are no folders, one is neither run nor study or has no results, or their images differ.
    """
    if not paths:
        raise UserError("expected folders of runs or of a study, found none; for example: doublevit report runs/first")
    resolved = [path.resolve() for path in paths]
    if repeated := [path for path in paths if resolved.count(path.resolve()) > 1]:
        raise UserError(f"{repeated[0]} is named twice; name each run once")
    parts = [_Study(path).compare() if (path / FILE).exists() else _compare_run(path) for path in paths]
    methods = _with_distinct_labels([method for part in parts for method in part.methods])
    if not methods:
        raise UserError(f"{paths[0]} has no results yet: no cell of the study is done")
    _require_same_images(methods)
    if len(parts) == 1:
        return dataclasses.replace(parts[0], methods=methods)
    remarks = tuple(remark for part in parts for remark in part.remarks)
    return Comparison(f"{len(paths)} runs compared", methods, remarks=remarks)


def compare_rows(run: RunFolder, rows: Sequence[Row]) -> Comparison:
    """Compare rows of a run that were just measured, each variant of its model as a method."""
    return Comparison(run.name, _methods_of(run, evaluated_models(run, rows)))


def _compare_run(path: Path) -> Comparison:
    run = RunFolder.open(path)
    models = _open_models(run)
    return Comparison(run.name, _methods_of(run, models), remarks=tuple(_remarks(run, models)))


def _methods_of(run: RunFolder, models: Sequence[EvaluatedModel]) -> tuple[Method, ...]:
    return tuple(Method(run.name + text, "", (model,)) for text, model in zip(variants(models), models, strict=True))


def _open_models(run: RunFolder) -> list[EvaluatedModel]:
    rows = run.rows()
    if not rows:
        raise UserError(f"{run.path} has no results yet; first give: doublevit evaluate {run.path}")
    return evaluated_models(run, rows)


class _Study:
    """Gathers the finished cells of a study, all seeds of a cell as one method; unreadable runs become remarks."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.record = folder, read_record(folder)
        self.remarks: dict[str, None] = {}
        self._loaded: dict[str, list[EvaluatedModel]] = {}
        self._members: dict[tuple[str, str], list[EvaluatedModel]] = {}
        self._labels: dict[tuple[object, ...], str] = {}  # of the first method with a model

    def compare(self) -> Comparison:
        """Compare the cells; a variant of a run that no cell asks for belongs to the first cell with that run."""
        record = self.record
        self.remarks |= dict.fromkeys(study_remarks(record))
        done = [entry for entry in record.entries if entry.measured]
        requested = {model.identity for entry in done for model in self._requested(entry)}
        for entry in done:
            self._add_models(entry, requested)
        methods = tuple(self._method(*key) for key in self._members)
        return Comparison(record.name, methods, self._baseline(methods), record.note, tuple(self.remarks))

    def _add_models(self, entry: StudyEntry, requested: set[tuple[object, ...]]) -> None:
        """Add the model that an entry requests and, for the first cell of a run, those that no entry requests."""
        models, of_entry = self._models(entry), [model.identity for model in self._requested(entry)]
        is_first = not any(model.identity in self._labels for model in models)
        if models and not of_entry:
            self.remarks[f"{entry.title} is left out: it was not evaluated with top-k {show(entry.top_k)}"] = None
        for text, model in zip(variants(models), models, strict=True):
            if model.identity in of_entry or (is_first and model.identity not in requested):
                self._add_member(entry, entry.title + text, model)

    def _models(self, entry: StudyEntry) -> list[EvaluatedModel]:
        """Return the models of an entry's run; none, with a remark, where it cannot be read."""
        if entry.run not in self._loaded:
            try:
                run = RunFolder.open(self.folder / Path(entry.run).name)  # never beside or above the study's own folder
                self._loaded[entry.run] = _open_models(run)
                self.remarks |= dict.fromkeys(_remarks(run, self._loaded[entry.run]))
            except UserError as error:
                self.remarks[f"{entry.title} is left out: {error}"] = None
                self._loaded[entry.run] = []
        return self._loaded[entry.run]

    def _requested(self, entry: StudyEntry) -> list[EvaluatedModel]:
        """Return the last weights with an entry's sparse attention, not adapted."""
        return [m for m in self._models(entry) if not m.best and not m.adapted and m.top_k == entry.top_k]

    def _add_member(self, entry: StudyEntry, label: str, model: EvaluatedModel) -> None:
        members = self._members.setdefault((entry.group, label), [])
        self._labels.setdefault(model.identity, label)
        if model.identity not in [member.identity for member in members]:
            members.append(model)

    def _method(self, group: str, label: str) -> Method:
        members = tuple(self._members[group, label])
        first_label = self._labels[members[0].identity]
        return Method(label, group, members, first_label if first_label != label else "")

    def _baseline(self, methods: Sequence[Method]) -> int:
        """Return the index of the baseline's first method; 0 where it is not done."""
        done = [entry for entry in self.record.entries if entry.measured]
        of_baseline = [entry for entry in done if entry.cell == self.record.baseline]
        labels = [entry.title + text for entry in of_baseline[:1] for text in ("", *variants(self._models(entry)))]
        method_labels = [method.label for method in methods]
        return next((method_labels.index(label) for label in labels if label in method_labels), 0)


def study_remarks(record: StudyRecord) -> tuple[str, ...]:
    """Return a remark on each cell of a study that failed or is not done, once."""
    return tuple(dict.fromkeys(filter(None, (_entry_remark(entry, record) for entry in record.entries))))


def _entry_remark(entry: StudyEntry, record: StudyRecord) -> str:
    """Return a remark on a cell that failed or is not done, "" for any other."""
    if entry.problem:
        return f"{entry.title} failed: {entry.problem}"
    seed = f", seed {entry.seed}," if len({other.seed for other in record.entries}) > 1 else ""
    return "" if entry.measured else f"{entry.title}{seed} is not done yet"


def _with_distinct_labels(methods: Sequence[Method]) -> tuple[Method, ...]:
    """Prefix labels that several methods have with parent folders, as many as it takes to tell them apart."""
    labeled = list(methods)
    for depth in range(1, 1 + max((len(method.first.run.path.resolve().parts) for method in labeled), default=0)):
        counts = Counter(method.label for method in labeled)
        if len(counts) == len(labeled):
            break
        labeled = [_with_folder(method, depth) if counts[method.label] > 1 else method for method in labeled]
    return tuple(labeled)


def _with_folder(method: Method, depth: int) -> Method:
    folder = method.first.run.path.resolve().parts[-1 - depth]
    return dataclasses.replace(method, label=f"{folder}/{method.label}")


def _remarks(run: RunFolder, models: Sequence[EvaluatedModel]) -> Iterator[str]:
    """Yield a remark on each file of a run that is damaged or missing."""
    if is_cut_short(run.path / "results.jsonl"):
        yield f"{run.path / 'results.jsonl'}: the last line is damaged and was left out"
    rows = [(model, row) for model in models for row in model.rows if row.metric in PREDICTION_METRICS]
    unreadable = [row for model, row in rows if model.correct(row) is None]
    if unreadable:
        yield (
            f"{run.path}: the predictions of {len(unreadable)} of {len(rows)} measurements are missing or damaged: what"
            " takes them (tests, means, changes, plots) is left out; evaluate again to have it"
        )


def _require_same_images(methods: Sequence[Method]) -> None:
    """Raise a UserError for methods on different data; published corrupted sets, never the run's own, may differ."""
    first: tuple[str, Row] | None = None
    for method in methods:
        for row in (row for member in method.members for row in member.rows):
            if row.dataset is None or is_published(row):
                continue
            if first is None:
                first = method.label, row
            elif first[1].dataset and row.dataset.base != first[1].dataset.base:
                raise UserError(
                    f"{first[0]} was measured on {first[1].dataset}, {method.label} on {row.dataset}: numbers of"
                    " different images do not belong in one table; report these runs apart"
                )
