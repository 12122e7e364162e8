"""Training and merging from Python: the same as the commands."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doublevit.data import source_at
from doublevit.errors import UserError, unknown
from doublevit.jobs import train as jobs
from doublevit.jobs.merge import merge as merging
from doublevit.jobs.model import Model
from doublevit.jobs.open_model import load
from doublevit.recipes import Recipe, get_recipe
from doublevit.recipes.recipe import flat, with_changes

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

SHORT = {
    "data": "data.path",
    "epochs": "train.epochs",
    "lr": "train.backbone_lr",
    "batch_size": "train.batch_size",
    "optimizer": "train.optimizer",
    "model": "model.backbone",
    "weights": "model.weights",
    "workers": "data.workers",
}
"""Names without a dot, as on the command line."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A training or merge that is done: its folder, and the model that it made."""

    path: Path

    @property
    def model(self) -> Model:
        """The last weights, loaded anew."""
        return load(self.path)


def train(
    recipe: str = "",
    data: str | Path | None = None,
    *,
    name: str | None = None,
    output: str | Path = "runs",
    log: "Sequence[str | GeneralTracker]" = (),
    **changes: Any,
) -> Run:
    """Train by a recipe, as `doublevit train` does.

    Args:
        recipe: a recipe's name, or that of any timm network.
        data: a folder of class folders, labels.csv, "hf:USER/SET", parquet, "wds:shard-{000..099}.tar", or Tiny
            ImageNet's zip or folder; if not given, as the recipe says.
        name: of the run's folder; recipe and time if not given.
        output: the folder that holds all runs.
        log: trackers that the run is logged to: tensorboard, wandb, mlflow, or objects of accelerate's class
            `GeneralTracker`, such as your own. Nothing is sent anywhere, unless WANDB_MODE or MLFLOW_TRACKING_URI
            says so.
        changes: other values of the recipe: epochs, lr, batch_size, optimizer, model, weights, seed, or any field by
            its dotted path with underscores for dots, as in model_cross_after=(9,).

    Returns:
        The run, with its folder `path` and its `model`.

    Raises:
        UserError: something cannot be had, or does not fit.

    Example:
        >>> import doublevit
        >>> run = doublevit.train("digits-vit", epochs=0, name="example")
        >>> run.path.name
        'example'
    """
    if not recipe and "model" not in changes:
        raise UserError("`recipe`: expected a recipe's name, or that of a timm network")
    chosen = get_recipe(recipe or str(changes["model"]))
    if data is not None:
        changes |= {"data": Path(data), "data_source": source_at(Path(data))}
    chosen = with_changes(chosen, _by_path(chosen, changes))
    return Run(jobs.start(chosen, Path(output), name, log).run.path)


def merge(
    runs: Sequence[str | Path],
    alpha: float | Sequence[float] = (),
    *,
    name: str | None = None,
    output: str | Path = "runs",
    samples: int = merging.SAMPLES,
) -> Run:
    """Make one run of several by the mean of their weights, as `doublevit merge` does.

    Args:
        runs: folders of runs of the same network, classes and data; of two, the start first.
        alpha: weight of the second of two runs, 0 to 1; of several values, or without any (then 0, 0.1 ... 1), the best
            on training images, clean and corrupted, is taken. `merge.json` in the run's folder has all of them.
        name: of the new run's folder; recipe and time if not given.
        output: the folder that holds all runs.
        samples: the most training images that alpha is chosen on.

    Returns:
        The run, with its folder `path` and its `model`.

    Raises:
        UserError: the runs do not fit together, or the images that are needed cannot be had.

    Example:
        >>> import doublevit
        >>> runs = [doublevit.train("digits-vit", epochs=0, seed=seed, name=f"seed{seed}").path for seed in (0, 1)]
        >>> doublevit.merge(runs, alpha=0.5, name="merged").path.name
        'merged'
    """
    alphas = (alpha,) if isinstance(alpha, int | float) else tuple(alpha)
    return Run(merging.merge([Path(run) for run in runs], alphas, Path(output), name, samples).run.path)


def _by_path(recipe: Recipe, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted path, of names as Python has them.

    Raises:
        UserError: the recipe has no such field.
    """
    paths = {path.replace(".", "_"): path for path in flat(recipe)} | SHORT
    strange = next((name for name in changes if name not in paths), None)
    if strange is not None:
        raise unknown("field of a recipe", strange, paths)
    return {paths[name]: value for name, value in changes.items()}
