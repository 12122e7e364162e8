"""Runs made of numbers that a test chooses, so that every table of them can be worked out by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from doublevit.recipes import get_recipe, to_dict
from doublevit.recipes.recipe import with_changes
from doublevit.results import Predictions, Row
from doublevit.run_folder import RunFolder
from doublevit.statistics import wilson_interval

PHOTOS = "scikit-learn's bundled digits"
CLASSES = 10
SET = {"set": "home-made", "constants": "tiny", "corruption_seed": 0, "frost": "generated textures"}
PGD = {
    "kind": "attack",
    "attack": "pgd",
    "norm": "linf",
    "space": "photo",
    "budgets": "nested",
    "parameters": {"steps": 10, "relative_step": 0.25},
    "restarts": 1,
    "attack_seed": 0,
}


def make_run(folder: Path, name: str, recipe: str = "digits-double", **changes: Any) -> RunFolder:
    """A run without results; `changes` of its recipe, with __ for dots."""
    made = with_changes(get_recipe(recipe), {path.replace("__", "."): value for path, value in changes.items()})
    return RunFolder.create(to_dict(made), folder, name)


def measure(run: RunFolder, hits: Any, condition: Mapping[str, Any] | None = None, **fields: Any) -> Row:
    """Add a row of the condition (clean) in which the photos of `hits` were recognised, bool (N,)."""
    hits = np.asarray(hits, bool)
    condition = dict(condition or {"kind": "clean"})
    labels = np.arange(len(hits)) % CLASSES
    first = np.where(hits, labels, (labels + 1) % CLASSES)
    classes = (first[:, None] + np.array([0, 2, 3, 4, 5])) % CLASSES
    probabilities = np.tile([0.6, 0.2, 0.1, 0.06, 0.04], (len(hits), 1))
    predictions = Predictions(labels, classes, probabilities, np.log(np.full(len(hits), 0.5)))
    low, high = wilson_interval(int(hits.sum()), len(hits))
    metric = "robust top-1" if condition["kind"] in ("attack", "transfer") else "top-1"
    given = {
        "model": run.path.name,
        "dataset": PHOTOS,
        "condition": condition,
        "metric": metric,
        "value": float(hits.mean()),
        "low": low,
        "high": high,
        "count": len(hits),
        "seed": 0,
        "checkpoint": "last, epoch-001-step-0000010-00000000",
        "precision": "float32",
        "seconds": 1.0,
    }
    row = Row(**(given | fields))
    run.add_results([row], predictions)
    return row


def corruption(name: str, severity: int, **more: Any) -> dict[str, Any]:
    """The condition of a cell."""
    return {"kind": "corruption", "corruption": name, "severity": severity, **SET, **more}


def right(count: int, photos: int = 200) -> np.ndarray:
    """The first `count` of so many photos are right."""
    return np.arange(photos) < count
