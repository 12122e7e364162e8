"""All tables that a comparison has the measurements for, by the part of a report in which they stand."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence

from doublevit.analysis.comparison import Comparison
from doublevit.report.table import Table
from doublevit.report.tables import SECTIONS
from doublevit.report.tables.accuracy import accuracy_table
from doublevit.report.tables.attacks import attack_tables, transfer_tables
from doublevit.report.tables.differences import difference_table
from doublevit.report.tables.paper import check_table, with_paper
from doublevit.report.tables.robustness import cell_tables, mean_table, robustness_table, severity_table
from doublevit.report.tables.runs import run_table, speed_table


def every_table(comparison: Comparison, *, paper: bool = False) -> dict[str, list[Table]]:
    """Tables by section; if asked for, with the paper's numbers beside ours, and its arithmetic checked."""
    tables = {name: result_tables(comparison, (name,)) for name in SECTIONS}
    if not paper:
        return tables
    beside = {name: [with_paper(table) for table in several] for name, several in tables.items()}
    return beside | {"paper": [check_table()]}


def result_tables(comparison: Comparison, sections: Sequence[str]) -> list[Table]:
    """The tables of some sections that there are, in order; no others are made."""
    return [table for name in sections for table in MAKERS[name](comparison)]


def _robustness(comparison: Comparison) -> Iterator[Table]:
    for corrupted in comparison.corrupted:
        yield robustness_table(comparison, corrupted)
        yield severity_table(comparison, corrupted)


def _attacks(comparison: Comparison) -> Iterator[Table]:
    yield from attack_tables(comparison)
    yield from transfer_tables(comparison.transfers)


def _if_any(make: Callable[[Comparison], Table | None]) -> Callable[[Comparison], list[Table]]:
    """What makes a list of the table that there may be."""
    return lambda comparison: [table] if (table := make(comparison)) else []


MAKERS: dict[str, Callable[[Comparison], Iterable[Table]]] = {
    "runs": _if_any(run_table),
    "accuracy": _if_any(accuracy_table),
    "robustness": _robustness,
    "cells": cell_tables,
    "means": _if_any(mean_table),
    "attacks": _attacks,
    "parts": functools.partial(attack_tables, parts=True),
    "comparison": _if_any(difference_table),
    "speed": _if_any(speed_table),
    "paper": lambda comparison: [],
}
"""What makes the tables of each section of our own numbers."""
