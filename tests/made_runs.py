"""Runs made of numbers that a test chooses, so that every table of them can be worked out by hand."""

from typing import Any

import msgspec
import numpy as np

from doublevit.data.identity import DatasetId, Subset
from doublevit.recipes import get_recipe, to_dict
from doublevit.recipes.recipe import with_changes
from doublevit.runs.conditions import (
    AdaptationId,
    Attack,
    CheckpointId,
    Clean,
    Condition,
    Corruption,
    CorruptionSource,
    ModelId,
    Speed,
    Transfer,
    frost_of,
)
from doublevit.runs.folder import RunFolder
from doublevit.runs.predictions import Predictions
from doublevit.runs.results import EvalResult, Results
from doublevit.runs.row import Row
from doublevit.runs.study_record import StudyEntry
from doublevit.statistics import wilson_interval

IMAGES = DatasetId("scikit-learn's bundled digits", "0dd0dd00", "val")
PETS = DatasetId("image folder pets", "0123abcd", "val")
CLASSES = 10
HOME_MADE = CorruptionSource(kind="home-made", constants="tiny", seed=0, version=1)
PUBLISHED = CorruptionSource(kind="published")
LAST = CheckpointId(which="last", name="epoch-001-step-0000010", digest="00000000")
ADAPTATIONS = {
    "batch": AdaptationId(method="batch", layers=20, batch_size=100, seed=0, prior=16.0),
    "set": AdaptationId(method="set", layers=20, batch_size=100, seed=0, prior=0.0),
    "momentum": AdaptationId(method="momentum", layers=20, batch_size=100, seed=0, batches=3, momentum=0.1),
}
SPEED = Speed(device="a cpu", batch_size=32, image_size=(8, 8))
FACTS = {
    "attack": "pgd",
    "norm": "linf",
    "space": "image",
    "budgets": "nested",
    "parameters": {"steps": 10, "relative_step": 0.25},
    "restarts": 1,
    "attack_seed": 0,
}


def make_run(folder: Any, name: str, recipe: str = "digits-double", **changes: Any) -> RunFolder:
    """A run without results; `changes` of its recipe, with __ for dots."""
    made = with_changes(get_recipe(recipe), {path.replace("__", "."): value for path, value in changes.items()})
    return RunFolder.create(to_dict(made), folder, name)


def measure(run: RunFolder, correct: Any, condition: Condition | None = None, **fields: Any) -> Row:
    """Add a row of the condition (clean) in which the images of `correct` were recognized, bool (N,)."""
    correct = np.asarray(correct, bool)
    condition = condition or Clean()
    labels = np.arange(len(correct)) % CLASSES
    first = np.where(correct, labels, (labels + 1) % CLASSES)
    classes = (first[:, None] + np.array([0, 2, 3, 4, 5])) % CLASSES
    probabilities = np.tile([0.6, 0.2, 0.1, 0.06, 0.04], (len(correct), 1))
    predictions = Predictions(labels, classes, probabilities, np.log(np.full(len(correct), 0.5)))
    low, high = wilson_interval(int(correct.sum()), len(correct))
    given = {
        "model": run.path.name,
        "dataset": None if isinstance(condition, Speed) else IMAGES,
        "condition": condition,
        "metric": "robust top-1" if isinstance(condition, Attack | Transfer) else "top-1",
        "value": float(correct.mean()),
        "low": low,
        "high": high,
        "count": len(correct),
        "seed": 0,
        "checkpoint": LAST,
        "precision": "float32",
        "seconds": 1.0,
    }
    row = Row(**(given | fields))
    Results(run).add(EvalResult((row,), predictions))
    return row


def entry_of(row: Row, cell: str, group: str = "", *, label: str = "", problem: str = "", seed: int = 0) -> StudyEntry:
    """A study's entry for a cell whose accuracy on clean images is a row."""
    return StudyEntry(
        group=group,
        cell=cell,
        run=row.model,
        top_k=row.top_k,
        measured=True,
        problem=problem,
        seed=seed,
        label=label,
    )


def checkpoint(which: str, name: str, digest: str) -> CheckpointId:
    """A checkpoint of that name."""
    return CheckpointId(which=which, name=name, digest=digest)


def corruption(name: str, severity: int, source: CorruptionSource = HOME_MADE, **more: Any) -> Corruption:
    """The condition of a cell."""
    frost = {"frost": frost_of((name,), None if source.kind == "published" else "generated textures")}
    return Corruption(corruption=name, severity=severity, source=source, **(frost | more))


def pgd(epsilon: float, **more: Any) -> Attack:
    """The condition of PGD at an epsilon."""
    return Attack(**(FACTS | {"epsilon": epsilon} | more))


def transfer(epsilon: float, made_on: str, **more: Any) -> Transfer:
    """The condition of PGD's images that were made on a run."""
    model = ModelId(model=made_on, seed=0, checkpoint=LAST, precision="float32")
    return Transfer(**(FACTS | {"epsilon": epsilon, "made_on": model} | more))


def first(count: int, dataset: DatasetId = IMAGES) -> DatasetId:
    """The first so many images of a data set."""
    return msgspec.structs.replace(dataset, subset=Subset("first", count))


def right(count: int, of: int = 200) -> np.ndarray:
    """The first `count` of so many images are right."""
    return np.arange(of) < count
