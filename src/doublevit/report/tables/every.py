"""All tables that some runs have the measurements for, by the part of a report in which they stand."""

from collections.abc import Iterator, Sequence

from doublevit.report.attacked import attacks
from doublevit.report.candidates import Contender
from doublevit.report.collection import Collection
from doublevit.report.corrupted import measured_groups
from doublevit.report.groups import Group
from doublevit.report.table import Table
from doublevit.report.tables.accuracy import accuracy_table
from doublevit.report.tables.attacks import attack_tables, transfer_tables
from doublevit.report.tables.differences import difference_table
from doublevit.report.tables.paper import check_table, with_paper
from doublevit.report.tables.robustness import cell_table, robustness_table, severity_table
from doublevit.report.tables.runs import run_table
from doublevit.report.tables.speed import speed_table


def every_table(collection: Collection, *, paper: bool = False) -> dict[str, list[Table]]:
    """Tables by section; if asked for, with the paper's numbers beside ours, and its arithmetic checked."""
    contenders, trained, base = collection.contenders, collection.as_trained, collection.base
    groups = measured_groups(contenders)
    robustness = [table for group in groups for table in _robustness(contenders, base, group)]
    speed = speed_table(contenders)
    compared = difference_table(contenders, base, groups[0] if groups else None) if len(contenders) > 1 else None
    found = {
        "runs": [run_table(contenders)],
        "accuracy": [accuracy_table(contenders)],
        "robustness": robustness,
        "cells": [table for one in trained for group in groups if (table := cell_table(one, group))],
        "attacks": [*_attacks(trained), *transfer_tables(trained)],
        "comparison": [compared] if compared else [],
        "speed": [speed] if speed else [],
        "paper": [check_table()] if paper else [],
    }
    return {name: [with_paper(table) for table in tables] for name, tables in found.items()} if paper else found


def _attacks(contenders: Sequence[Contender]) -> Iterator[Table]:
    for attack in attacks(contenders):
        yield from attack_tables(contenders, attack)


def _robustness(contenders: Sequence[Contender], base: Contender, group: Group) -> list[Table]:
    return [robustness_table(contenders, base, group), severity_table(contenders, group)]
