"""What was measured of a network, as readings that tables and plots are made of."""

from collections.abc import Callable, Mapping
from typing import Any

from doublevit.report.candidates import Candidate, Contender, photo_set
from doublevit.report.readings import Chosen, Reading
from doublevit.results import Row

Options = Mapping[str, tuple[int, Chosen]]


def of_all_members(
    contender: Contender, found: Callable[[Candidate], Options[Chosen]]
) -> dict[str, tuple[int, list[Chosen]]]:
    """What every member has, by sort: photos, and one of each member."""
    each = [found(member) for member in contender.members]
    shared = [sort for sort in each[0] if all(sort in other for other in each)]
    return {sort: (each[0][sort][0], [mine[sort][1] for mine in each]) for sort in shared}


def clean_rows(candidate: Candidate) -> dict[str, tuple[int, dict[str, Row]]]:
    """Rows of clean photos by metric, by which photos they are of."""
    found: dict[str, dict[str, Row]] = {}
    for row in candidate.of_kind("clean"):
        found.setdefault(f"{photo_set(row)[1]} n={row.count}", {})[row.metric] = row
    return {sort: (next(iter(rows.values())).count, rows) for sort, rows in found.items()}


def reading(candidate: Candidate, row: Row, sort: str = "", said: str = "") -> Reading:
    """Of a row; what nothing else is said of is told apart by its photos."""
    words = said or said_of_photos(row)
    scores = candidate.scores(row)
    bounds = row.value, row.low, row.high
    return Reading(*bounds, row.count, sort or words, words, row.precision, scores, seed=candidate.seed)


def said_of_photos(row: Row) -> str:
    """Which photos a row is of; of a published corrupted set, also which archive."""
    base, part = photo_set(row)
    archive = f"{base}, " if is_published(row) else ""
    return archive + (part or f"all {row.count:,} photos")


def is_published(row: Row) -> bool:
    """Whether a row is of a published corrupted set, whose photos are not the run's own."""
    return bool(row.condition.get("set") == "published")


def describe_set(condition: Mapping[str, Any]) -> str:
    """A corrupted set, as its rows describe it: what can never be left out beside a number."""
    words = {"constants": "constants", "corruption_seed": "seed", "frost": "frost:", "saved": "saved as"}
    parts = [f"{word} {condition[key]}" for key, word in words.items() if key in condition]
    version = condition.get("corruptions_version", 1)
    return ", ".join([f"{condition['set']} corruptions", *parts, *([f"version {version}"] if version != 1 else [])])
