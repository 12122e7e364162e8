"""What a run gets wrong under a condition: classes, confusions, calibration, pictures. Needs no torch and no model."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from doublevit.data import DataConfig, Dataset, load
from doublevit.errors import UserError
from doublevit.files import whole_file, writable_folder
from doublevit.models.top_k import alike
from doublevit.recipes import from_dict
from doublevit.report import plots
from doublevit.report.calibration import Calibration, calibration
from doublevit.report.classes import ClassResult, Pair, class_results, confusions, labels_and_answers
from doublevit.report.conditions import Kept, fitting
from doublevit.report.files import write_calibration, write_classes, write_pairs
from doublevit.report.gallery import mistakes, mistakes_sheet
from doublevit.report.photos import Seen, numbered, seen
from doublevit.results import Predictions
from doublevit.run_folder import RunFolder

FILES = {
    "classes.csv": "every class: accuracy with its interval, how often it was said",
    "confusions.csv": "every pair of classes of which one was taken for the other",
    "calibration.json": "calibration errors, bins and all, and which measurement they are of",
    "reliability.png": "accuracy by confidence",
    "reliability.svg": "the same for print",
    "classes.png": "accuracy of all classes, the worst by name",
    "classes.svg": "the same for print",
    "confusion.png": "true classes against answers, all or the most confused",
    "confusion.svg": "the same for print",
    "mistakes.png": "the surest mistakes",
}
"""What may lie in the folder of an analysis, in the order in which it is told."""


@dataclasses.dataclass(frozen=True)
class Analysis:
    """A measurement, `fitting` as many as had been asked for, and what was found of it; `folder` holds the files."""

    kept: Kept
    fitting: int
    predictions: Predictions
    classes: list[ClassResult]
    pairs: list[Pair]
    calibration: Calibration
    seen: Seen
    folder: Path

    @property
    def title(self) -> str:
        """The run and the condition."""
        return f"{self.kept.row.model}, {self.kept.name}"

    def files(self) -> dict[Path, str]:
        """The files that were written, and what each is."""
        return {self.folder / name: meaning for name, meaning in FILES.items() if (self.folder / name).is_file()}


def analyse(path: Path, condition: Sequence[str], worst: int, shown: int) -> Analysis:
    """The newest measurement that fits some words, of the network as trained if there is one, with files in its folder.

    Args:
        path: of the run.
        condition: words as `report.conditions.fitting` takes them.
        worst: how many classes are named in the plot.
        shown: how many mistakes the gallery shows, 0 for none.

    Raises:
        UserError: there is no such run or measurement, its predictions are damaged, or files cannot be written.
    """
    run = RunFolder.open(path)
    recipe = from_dict(run.recipe())
    top_k = alike(recipe.model.top_k)
    found = sorted(fitting(run, condition), key=lambda one: (one.row.top_k == top_k, not one.row.adapted))
    kept, predictions = found[-1], found[-1].predictions()
    photos = _seen(recipe.data, kept, predictions)
    labels, answers = labels_and_answers(predictions)
    analysis = Analysis(
        kept=kept,
        fitting=len(found),
        predictions=predictions,
        classes=class_results(labels, answers, len(photos.class_ids)),
        pairs=confusions(labels, answers),
        calibration=calibration(predictions),
        seen=photos,
        folder=writable_folder(run.path / "errors" / kept.folder_name, "what is found of errors"),
    )
    _write(analysis, worst, shown)
    return analysis


def _seen(config: DataConfig, kept: Kept, predictions: Predictions) -> Seen:
    try:
        val: Dataset = load(dataclasses.replace(config, download=False))["val"]
    except (UserError, OSError) as error:
        remark = f"the photos cannot be had, so classes are told by number, and there is no gallery ({error})"
        return numbered(predictions, remark)
    return seen(kept.row, predictions, val, config.cache)


def _write(analysis: Analysis, worst: int, shown: int) -> None:
    folder, photos = analysis.folder, analysis.seen
    for name in FILES:  # of an older analysis, of which some might not be written anew
        (folder / name).unlink(missing_ok=True)
    write_classes(folder / "classes.csv", analysis.classes, photos.class_ids, photos.class_names)
    write_pairs(folder / "confusions.csv", analysis.pairs, photos.class_ids, photos.class_names)
    write_calibration(folder / "calibration.json", analysis.calibration, analysis.kept.row)
    plots.save(plots.reliability(analysis.calibration, analysis.title), folder / "reliability")
    plots.save(plots.classes(analysis.classes, photos.class_names, worst, analysis.title), folder / "classes")
    confused = plots.confusion(*labels_and_answers(analysis.predictions), photos.class_names)
    plots.save(confused, folder / "confusion")
    _write_gallery(analysis, shown)


def _write_gallery(analysis: Analysis, shown: int) -> None:
    photos, places = analysis.seen, mistakes(analysis.predictions, shown)
    if photos.images is None or not len(places):
        return
    all_ = sum(pair.photos for pair in analysis.pairs)
    heading = f"{analysis.title}: the {len(places)} surest of {all_:,} mistakes\n{photos.remark}"
    with whole_file(analysis.folder / "mistakes.png") as file:
        sheet = mistakes_sheet(photos.images, analysis.predictions, places, photos.class_names, heading)
        sheet.save(file, format="PNG")
