"""What was run, and what it costs: the paper's section 4.1."""

import dataclasses
import statistics
from collections.abc import Mapping
from typing import Any

from doublevit.analysis.comparison import Comparison
from doublevit.analysis.costs import Costs
from doublevit.analysis.descriptions import describe_attention, describe_network
from doublevit.analysis.evaluated import Method
from doublevit.models.config import ELSEWHERE
from doublevit.report.table import Cell, Column, Table, number_cell, text_cell, text_column
from doublevit.report.tables.cells import method_cell
from doublevit.runs.row import Row

RUN_HEADS = ("model", "network", "weights", "trained", "augmentation", "attention", "seed")


def run_table(comparison: Comparison) -> Table:
    """Return a row for each network: what it is, what it started from, how it was trained."""
    rows = tuple((method_cell(method), *map(text_cell, _words(method))) for method in comparison.methods)
    groups = tuple(method.group for method in comparison.methods)
    return Table("runs", "What was run", tuple(map(text_column, RUN_HEADS)), rows, groups=groups)


def untrained_words(recipe: Mapping[str, Any]) -> str:
    """Describe the training of a run that has none of its own."""
    if recipe["model"]["weights"] == ELSEWHERE:
        return "trained elsewhere"
    return "linear probe" if recipe["model"].get("head_init") == "probe" else "not trained"


def _words(method: Method) -> tuple[str, ...]:
    recipe = method.first.recipe
    model, train, data = recipe["model"], recipe["train"], recipe["data"]
    kinds = {"hub": "pretrained (hub)", "none": "from scratch", ELSEWHERE: "given"}
    weights = kinds.get(model["weights"], "pretrained (file)")
    images = f"{data['per_class']} images a class" if data.get("per_class") else "all images"
    epochs = f"{train['epochs']} epoch{'s' if train['epochs'] != 1 else ''}"
    frozen = "" if model["freeze"] == "none" else f", {model['freeze']}"
    trained = f"{epochs}, {images}, {train['optimizer']}{frozen}" if train["epochs"] else untrained_words(recipe)
    augment = recipe["augment"]["policy"] if train["epochs"] else "-"
    seeds = " ".join(dict.fromkeys(str(member.recipe["seed"]) for member in method.members))
    return describe_network(model), weights, trained, augment, describe_attention(method.first.top_k), seeds


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
"""Metrics of rows, and their columns."""
SPEED_HEADS = (text_column("model"), Column("s/epoch", "seconds_per_epoch"), *METRICS.values())
CAPTION = (
    "Seconds for an epoch: of the training itself, as its log says, on the machine that it ran on, without validation."
    " Everything else: doublevit speed, on {device}; images/s with 95 % intervals; memory: the most that tensors took,"
    " weights included (with gradients and the optimizer's state, in training); MB: millions of bytes; GMACs: billions"
    " of multiply-accumulate operations of one forward pass, attention counted as dense."
)


def speed_table(comparison: Comparison) -> Table | None:
    """Return the costs of networks as they were trained; None if none are known."""
    pairs = [(comparison.methods[index], comparison.costs[index]) for index in comparison.as_trained]
    known = [(method, costs) for method, costs in pairs if costs]
    if not known:
        return None
    usual = next((device for _, costs in known for device in costs.devices), "")
    rows = tuple(_row(method, costs, usual) for method, costs in known)
    groups = tuple(method.group for method, _ in known)
    return Table("speed", "What it costs", SPEED_HEADS, rows, CAPTION.format(device=usual or "-"), groups)


def _row(method: Method, costs: Costs, usual: str) -> tuple[Cell, ...]:
    notes = [f"on {device}" for device in costs.devices if device != usual]
    notes += [f"sparse attention, {describe_attention(method.first.top_k)}"] if method.first.top_k else []
    name = method_cell(method, tuple(notes))
    return (name, _epoch(method, costs), *(_cell(costs.rows.get(metric), metric) for metric in METRICS))


def _epoch(method: Method, costs: Costs) -> Cell:
    if not costs.seconds_per_epoch:
        return Cell("-")
    count = method.first.recipe["data"].get("per_class")
    notes = (f"an epoch of {count:,} images a class" if count else "an epoch of all images",)
    return dataclasses.replace(number_cell(statistics.fmean(costs.seconds_per_epoch), ",.1f"), notes=notes)


def _cell(row: Row | None, metric: str) -> Cell:
    if row is None:
        return Cell("-")
    if metric.endswith("images/s"):
        interval = f"{row.low:,.1f} to {row.high:,.1f}"
        return Cell(f"{row.value:,.1f}", interval, row.value, row.low, row.high, row.count)
    return Cell(_short(row.value / (GIGA if metric == "MACs" else MILLION)), value=int(row.value))


def _short(number: float) -> str:
    """Format a number with three digits, or with all digits before the point."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
