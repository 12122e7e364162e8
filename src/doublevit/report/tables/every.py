"""All tables that a comparison has the measurements for, by the part of a report in which they stand."""

from collections.abc import Sequence

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
    robustness = [
        table(comparison, corrupted)
        for corrupted in comparison.corrupted
        for table in (robustness_table, severity_table)
    ]
    tables = {
        "runs": [run_table(comparison)],
        "accuracy": _there(accuracy_table(comparison)),
        "robustness": robustness,
        "cells": cell_tables(comparison),
        "means": _there(mean_table(comparison)),
        "attacks": [*attack_tables(comparison), *transfer_tables(comparison.transfers)],
        "parts": list(attack_tables(comparison, parts=True)),
        "comparison": _there(difference_table(comparison)) if len(comparison.methods) > 1 else [],
        "speed": _there(speed_table(comparison)),
        "paper": [check_table()] if paper else [],
    }
    return {name: [with_paper(table) for table in several] for name, several in tables.items()} if paper else tables


def result_tables(comparison: Comparison, sections: Sequence[str] = SECTIONS) -> list[Table]:
    """The tables of some sections that there are, in order."""
    tables = every_table(comparison)
    return [table for name in sections for table in tables[name]]


def _there(table: Table | None) -> list[Table]:
    return [table] if table else []
