"""All tables for which a comparison has measurements, by section of the report."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence

from doublevit.analysis.comparison import Comparison
from doublevit.report.table import Table
from doublevit.report.tables import SECTIONS
from doublevit.report.tables.accuracy import accuracy_table, class_table, difference_table
from doublevit.report.tables.attacks import attack_tables, transfer_tables
from doublevit.report.tables.errors import tables_by_class
from doublevit.report.tables.paper import check_table, with_paper
from doublevit.report.tables.robustness import cell_tables, mean_table, robustness_table, severity_table
from doublevit.report.tables.runs import run_table, speed_table


def every_table(comparison: Comparison, *, paper: bool = False) -> dict[str, list[Table]]:
    """Return tables by section; with `paper`, also the paper's numbers below ours, and a check of its arithmetic."""
    tables = {name: result_tables(comparison, (name,)) for name in SECTIONS}
    if not paper:
        return tables
    with_papers = {name: [with_paper(table) for table in section] for name, section in tables.items()}
    return with_papers | {"paper": [check_table()]}


def result_tables(comparison: Comparison, sections: Sequence[str]) -> list[Table]:
    """Return the tables of some sections, in this order; no others are made."""
    return [table for name in sections for table in MAKERS[name](comparison)]


def _accuracy(comparison: Comparison) -> list[Table]:
    return [table for make in (accuracy_table, class_table) if (table := make(comparison))]


def _robustness(comparison: Comparison) -> Iterator[Table]:
    for corrupted in comparison.corrupted:
        yield robustness_table(comparison, corrupted)
        yield severity_table(comparison, corrupted)


def _attacks(comparison: Comparison) -> Iterator[Table]:
    yield from attack_tables(comparison)
    yield from transfer_tables(comparison.transfers)


def _if_any(make: Callable[[Comparison], Table | None]) -> Callable[[Comparison], list[Table]]:
    """Turn a function that may make a table into one that makes a list of tables."""
    return lambda comparison: [table] if (table := make(comparison)) else []


MAKERS: dict[str, Callable[[Comparison], Iterable[Table]]] = {
    "runs": _if_any(run_table),
    "accuracy": _accuracy,
    "classes": lambda comparison: list(tables_by_class(comparison)),
    "robustness": _robustness,
    "cells": cell_tables,
    "means": _if_any(mean_table),
    "attacks": _attacks,
    "parts": functools.partial(attack_tables, parts=True),
    "comparison": _if_any(difference_table),
    "speed": _if_any(speed_table),
    "paper": lambda comparison: [],
}
"""The functions that make the tables of a section (without the paper's numbers)."""
