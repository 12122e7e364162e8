"""Evaluating any model from Python: rows, tables, the page."""

import functools
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from doublevit.analysis.compare import compare_runs
from doublevit.analysis.saved_predictions import condition_words, matches
from doublevit.attacks.config import AttackConfig
from doublevit.corrupted_sets.config import RobustnessConfig
from doublevit.corruptions import SEVERITIES
from doublevit.data import DataConfig
from doublevit.errors import UserError, unknown
from doublevit.jobs.eval_data import Data, load_for
from doublevit.jobs.evaluate import Evaluated
from doublevit.jobs.judge import external_run, judge, plain_name
from doublevit.jobs.model import Model
from doublevit.jobs.open_model import open_model
from doublevit.jobs.options import Evaluate
from doublevit.jobs.report import write_report
from doublevit.jobs.several import accuracy_alone, with_gap
from doublevit.jobs.wrap import wrap
from doublevit.report.formats.markdown import markdown
from doublevit.report.table import Table
from doublevit.report.tables.every import every_table
from doublevit.runs.folder import RunFolder
from doublevit.runs.row import Row


class Evaluation:
    """What was measured of a model: rows, tables and the page, all from a run folder of its own.

    The folder is a temporary one until `save` copies it to a place that stays. `findings` are what checks found that
    speaks against believing the numbers; those of attacks are in their rows too. `clean` is what was measured on the
    clean images of the same classes, where these were given.
    """

    def __init__(
        self, run: RunFolder, findings: Sequence[str], keep: Any = None, clean: "Evaluation | None" = None
    ) -> None:
        self.run = run
        self.findings = tuple(findings)
        self.clean = clean
        self._keep = keep  # the temporary folder lives as long as this

    @property
    def rows(self) -> list[Row]:
        """Every row, in the order in which it was measured."""
        return self.run.rows()

    def __getitem__(self, key: tuple[str, str]) -> Row:
        """Return the newest row of a condition and a metric, as in results["clean", "top-1"] or ["fog 3", "top-1"].

        Raises:
            KeyError: nothing like it was measured.
        """
        condition, metric = key
        wanted = set(condition.lower().split())
        fitting = [row for row in self.rows if row.metric == metric and matches(row, wanted)]
        if not fitting:
            there = sorted({f"{' '.join(condition_words(row))}: {row.metric}" for row in self.rows})
            raise KeyError(f"{key}; measured are {'; '.join(there)}")
        return fitting[-1]

    def table(self, name: str) -> "ResultTable":
        """Return the first table of a part: accuracy, robustness, attacks, speed, runs ...

        Raises:
            UserError: there is no such part, or nothing was measured for it.
        """
        parts = every_table(compare_runs([self.run.path]))
        if name not in parts:
            raise unknown("table", name, parts)
        if not parts[name]:
            raise UserError(
                f"nothing was measured for the table {name!r}; there are {', '.join(n for n in parts if parts[n])}"
            )
        return ResultTable(parts[name][0])

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame with a line for each row and a column for each fact; pandas must be installed."""
        import pandas  # type: ignore[import-untyped,unused-ignore]

        from doublevit import strict_json

        return pandas.json_normalize([strict_json.to_builtins(row) for row in self.rows])

    def report(self, path: str | Path = "report.html") -> Path:
        """Write the page, one HTML file, and return where it is."""
        return write_report([self.run.path], Path(path)).page

    def save(self, folder: str | Path) -> Path:
        """Copy everything to a new run folder, which `doublevit report` compares with others.

        Raises:
            UserError: the folder exists.
        """
        target = Path(folder)
        if target.exists():
            raise UserError(f"{target} exists; choose another folder")
        shutil.copytree(self.run.path, target, symlinks=True)
        return target

    def __repr__(self) -> str:
        lines = [f"{' '.join(condition_words(row))}: {row.metric} {row.value:.1%}" for row in self.rows]
        return "\n".join(lines)


class ResultTable:
    """A table of results: shown as Markdown in print and in notebooks."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __str__(self) -> str:
        return markdown(self.table)

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return markdown(self.table)


def evaluate(
    model: nn.Module | str | Path,
    data: Data,
    *,
    corruptions: str | Sequence[str] = (),
    severities: int | Sequence[int] = SEVERITIES,
    attacks: str | Sequence[str] = (),
    norm: str = "linf",
    epsilons: str | float | Sequence[str | float] = (),
    corrupted_set: str | Path | None = None,
    clean: str | Path | None = None,
    samples: int | None = None,
    first: int | None = None,
    seed: int = 0,
    split: str = "",
    label_column: str = "",
    batch_size: int = 100,
    cache: str | Path | None = None,
) -> Evaluation:
    """Measure any model: clean, under corruptions made on the fly, and under attacks, with 95 % intervals.

    Args:
        model: what `load` or `wrap` made, a timm network, or a name: a run's folder, timm:NAME, hf:REPO_OR_FOLDER.
        data: whatever `doublevit.train` takes (a folder of class folders, labels.csv, "hf:USER/SET", parquet,
            "wds:shard-{000..099}.tar", Tiny ImageNet's zip or folder), "digits", a `Dataset`, or (images uint8
            (N, H, W, 3), labels).
        corruptions: names, or "common", "validation", "paper", "all".
        severities: 1 (weakest) to 5.
        attacks: names, such as "pgd" or "autoattack".
        norm: of the attacks: "linf", "l2" or "l1".
        epsilons: sizes in units of the pixel range, as "1/255"; the norm's usual ones if not given.
        corrupted_set: Tiny-ImageNet-C, ImageNet-C, or a set that `doublevit data corrupt` wrote, to take `corruptions`
            from; made on the fly if not given.
        clean: clean images, as a path: accuracy on those of the data's classes is measured too (`Evaluation.clean`),
            and the gap is among the rows.
        samples: only so many images, of each class in proportion.
        first: only the first so many images.
        seed: decides which, and every draw.
        split: the part of the data, such as "test"; if not given, its val, else its test, or all.
        label_column: the column of the data that holds the labels, if not a usual one.
        batch_size: images at a time.
        cache: where decoded images are kept.

    Raises:
        UserError: the images cannot be had, the model does not know their classes, or an argument is out of range.

    Example:
        >>> import doublevit
        >>> run = doublevit.train("digits-vit", epochs=0, name="evaluated")
        >>> results = doublevit.evaluate(run.model, "digits", corruptions="fog", severities=[3], samples=50)
        >>> results["clean", "top-1"].count
        50
        >>> 0 <= results["fog 3", "top-1"].value <= 1
        True
    """
    measured = _as_model(model)
    place = tempfile.TemporaryDirectory(prefix="doublevit-", ignore_cleanup_errors=True)
    data_config = DataConfig(label_column=label_column, cache=Path(cache) if cache else DataConfig.cache)
    dataset = load_for(measured, data, split, data_config)
    robustness = RobustnessConfig(
        corruptions=_several(corruptions),
        severities=_several(severities) if corruptions else SEVERITIES,
        corrupted_set=Path(corrupted_set) if corrupted_set else None,
    )
    options = Evaluate(
        Path(place.name),
        samples=samples,
        first=first,
        seed=seed,
        batch_size=batch_size,
        robustness=robustness,
        attack=AttackConfig(_several(attacks), norm=norm, epsilons=tuple(map(str, _several(epsilons)))),  # type: ignore[arg-type]
    )
    name = plain_name(measured.info.name)
    evaluated = judge(
        measured, dataset, options, lambda: external_run(measured, dataset, options.run, name), data_config.cache
    )
    beside = None if clean is None else _of_clean(measured, clean, data_config, dataset.class_ids, options, name)
    if beside is None:
        return Evaluation(evaluated.run, _texts(evaluated), place)
    of_clean = Evaluation(beside.run, _texts(beside), place)
    return Evaluation(evaluated.run, _texts(with_gap(evaluated, beside)), place, of_clean)


def _as_model(model: nn.Module | str | Path) -> Model:
    """Return a model that is named, or given as a network, as a `Model`."""
    if isinstance(model, str | Path):
        return open_model(model)
    return model if isinstance(model, Model) else wrap(model)


def _of_clean(
    model: Model, data: Data, data_config: DataConfig, class_ids: tuple[str, ...], options: Evaluate, name: str
) -> Evaluated:
    """Measure accuracy on the clean images of some classes, in a run folder beside that called `name`."""
    images = load_for(model, data, "", data_config, class_ids)
    make_run = functools.partial(external_run, model, images, options.run, f"{name}-clean")
    return judge(model, images, accuracy_alone(options), make_run, data_config.cache)


def _texts(evaluated: Evaluated) -> list[str]:
    return [str(finding) for finding in evaluated.findings]


def _several(values: Any) -> tuple[Any, ...]:
    """Return one value or many as a tuple."""
    return (values,) if isinstance(values, str | int | float) else tuple(values)
