"""What networks cost: the paper's section 4.1."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from doublevit.report.candidates import Candidate, Contender
from doublevit.report.table import Cell, Column, Table, number, words
from doublevit.results import Row, read_lines

MILLION, GIGA = 1e6, 1e9
METRICS = {
    "inference images/s": Column("inference images/s", "inference_images_per_second"),
    "training images/s": Column("training images/s", "training_images_per_second"),
    "inference memory": Column("inference MB", "inference_bytes"),
    "training memory": Column("training MB", "training_bytes"),
    "parameters": Column("parameters, M", "parameters"),
    "trained parameters": Column("trained, M", "trained_parameters"),
    "MACs": Column("GMACs", "macs"),
}
"""The metrics of rows, and their columns."""
HEADS = (words("model"), Column("s/epoch", "seconds_per_epoch"), *METRICS.values())
CAPTION = (
    "Seconds for an epoch: of the training itself, as its log says, on the machine that it ran on, without validation."
    " Everything else: doublevit speed, on {device}; images/s with 95 % intervals; memory: the most that tensors took,"
    " weights included (with gradients and the optimiser's state, in training); GMACs: billions of multiply-accumulate"
    " operations of one forward pass, attention counted as dense."
)


def speed_table(contenders: Sequence[Contender]) -> Table | None:
    """None where nothing of it is known."""
    kept = [(one, speeds(one.first), seconds_per_epoch(one.first)) for one in contenders if one.first.as_trained]
    kept = [entry for entry in kept if entry[1] or entry[2]]
    if not kept:
        return None
    devices = {word: None for _, rows, _ in kept for word in _devices(rows)}
    usual = next(iter(devices), "")
    rows = tuple(_row(one, speed, epoch, usual) for one, speed, epoch in kept)
    return Table("speed", "What it costs", HEADS, rows, CAPTION.format(device=usual or "-"))


def speeds(candidate: Candidate) -> dict[str, Row]:
    """The newest of each measure."""
    return {row.metric: row for row in candidate.of_kind("speed")}


def seconds_per_epoch(candidate: Candidate) -> list[float]:
    """Of each epoch that was trained, in its log."""
    found = []
    for entry in read_lines(candidate.run.path / "log.jsonl"):
        train = entry.get("train")
        pair = entry.get("photos"), train.get("images_per_second") if isinstance(train, dict) else None
        if all(isinstance(number, int | float) and number > 0 for number in pair):
            found.append(float(pair[0] or 0) / float(pair[1] or 1))
    return found


def _row(one: Contender, rows: Mapping[str, Row], epochs: Sequence[float], usual: str) -> tuple[Cell, ...]:
    notes = tuple(f"on {device}" for device in _devices(rows) if device != usual)
    epoch = _epoch(one.first, epochs) if epochs else Cell("-")
    name = Cell(one.label, value=one.label, notes=notes)
    return (name, epoch, *(_cell(rows.get(metric), metric) for metric in METRICS))


def _epoch(candidate: Candidate, seconds: Sequence[float]) -> Cell:
    count = candidate.recipe["data"].get("per_class")
    notes = (f"an epoch of {count:,} photos a class" if count else "an epoch of all photos",)
    return dataclasses.replace(number(statistics.fmean(seconds), ",.1f"), notes=notes)


def _cell(row: Row | None, metric: str) -> Cell:
    if row is None:
        return Cell("-")
    if metric.endswith("images/s"):
        interval = f"{row.low:,.1f} to {row.high:,.1f}"
        return Cell(f"{row.value:,.1f}", interval, row.value, row.low, row.high, row.count)
    scale, digits = (GIGA, 2) if metric == "MACs" else (MILLION, 1)
    return Cell(f"{row.value / scale:,.{digits}f}", value=int(row.value))


def _devices(rows: Mapping[str, Row]) -> list[str]:
    return list(dict.fromkeys(device_of(row) for row in rows.values()))


def device_of(row: Row) -> str:
    """What a measurement of speed was made on, and how."""
    condition = row.condition
    height, width = condition["pixels"]
    return f"{condition['device']}, batches of {condition['batch_size']}, photos of {height} x {width}, {row.precision}"
