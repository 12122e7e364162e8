"""Error analysis of a run under a condition: classes, confusions, calibration, gallery. Needs no torch, no model."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from doublevit.analysis.calibration import Calibration, calibration
from doublevit.analysis.classes import (
    ClassResult,
    Confusion,
    class_results,
    confusions,
    labels_and_predictions,
    most_confident_mistakes,
)
from doublevit.analysis.evaluated_images import EvaluatedImages, evaluated_images, without_images
from doublevit.analysis.saved_predictions import SavedPredictions, find_predictions
from doublevit.data import Dataset, load
from doublevit.errors import UserError
from doublevit.files import whole_file, writable_folder
from doublevit.models.top_k import recorded
from doublevit.recipes import from_dict
from doublevit.report import plots
from doublevit.report.error_files import write_calibration, write_classes, write_pairs
from doublevit.report.sheets import mistakes_sheet
from doublevit.runs.folder import RunFolder
from doublevit.runs.model_info import FILE as MODEL
from doublevit.runs.model_info import read_info
from doublevit.runs.predictions import Predictions
from doublevit.statistics import Estimate
from doublevit.statistics.class_averages import CLASS_AVERAGES

FILES = {
    "classes.csv": "every class: accuracy with its interval, how often it was the answer",
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
"""The files that an analysis may write, in the order in which they are listed, and what each holds."""


@dataclasses.dataclass(frozen=True)
class ErrorAnalysis:
    """Holds the errors of a measurement, the newest of `fitting` that fit the condition; `folder` holds the files."""

    measurement: SavedPredictions
    fitting: int
    predictions: Predictions
    classes: list[ClassResult]
    confusions: list[Confusion]
    calibration: Calibration
    averages: dict[str, Estimate]
    measured: EvaluatedImages
    folder: Path

    @property
    def title(self) -> str:
        """The names of the run and of the condition."""
        return f"{self.measurement.row.model}, {self.measurement.name}"

    def files(self) -> dict[Path, str]:
        """Return the files that were written, and what each holds."""
        return {self.folder / name: meaning for name, meaning in FILES.items() if (self.folder / name).is_file()}


def analyze(path: Path, condition: Sequence[str], worst: int, shown: int) -> ErrorAnalysis:
    """Analyze the newest measurement that fits `condition`, of the network as trained if possible, and write files.

    Args:
        path: the folder of the run.
        condition: words as `analysis.saved_predictions.find_predictions` takes them.
        worst: how many classes are named in the plot.
        shown: how many mistakes the gallery shows, 0 for none.

    Raises:
        UserError: there is no such run or measurement, its predictions are damaged, or files cannot be written.
    """
    run = RunFolder.open(path)
    recipe = from_dict(run.recipe())
    top_k = recorded(recipe.model.top_k)
    fit = sorted(find_predictions(run, condition), key=lambda saved: (saved.row.top_k == top_k, not saved.row.adapted))
    measurement, predictions = fit[-1], fit[-1].load()
    measured = _measured_images(run, measurement, predictions)
    labels, answers = labels_and_predictions(predictions)
    analysis = ErrorAnalysis(
        measurement=measurement,
        fitting=len(fit),
        predictions=predictions,
        classes=class_results(labels, answers, len(measured.class_ids)),
        confusions=confusions(labels, answers),
        calibration=calibration(predictions),
        averages={name: average(labels, answers) for name, average in CLASS_AVERAGES.items()},
        measured=measured,
        folder=writable_folder(run.path / "errors" / measurement.folder_name, "what is found of errors"),
    )
    _write(analysis, worst, shown)
    return analysis


def _measured_images(run: RunFolder, measurement: SavedPredictions, predictions: Predictions) -> EvaluatedImages:
    """Return the images that were predicted where they are here, else the classes that the run's folder names."""
    recipe = from_dict(run.recipe())
    info = read_info(run.path) if (run.path / MODEL).is_file() else None
    try:
        val: Dataset = load(dataclasses.replace(recipe.data, download=False))["val"]
        images = evaluated_images(measurement.row, predictions, val, recipe.data.cache)
    except (UserError, OSError) as error:
        known = "" if info else "classes are told by number, and "
        return without_images(predictions, f"the images cannot be had, so {known}there is no gallery ({error})", info)
    if images.images is None and info is not None:
        return without_images(predictions, images.remark.replace("classes are told by number, and ", ""), info)
    return images


def _write(analysis: ErrorAnalysis, worst: int, shown: int) -> None:
    folder, images = analysis.folder, analysis.measured
    for name in FILES:  # of an older analysis: some of them might not be written again
        (folder / name).unlink(missing_ok=True)
    write_classes(folder / "classes.csv", analysis.classes, images.class_ids, images.class_names)
    write_pairs(folder / "confusions.csv", analysis.confusions, images.class_ids, images.class_names)
    write_calibration(folder / "calibration.json", analysis.calibration, analysis.measurement.row)
    plots.save(plots.reliability(analysis.calibration, analysis.title), folder / "reliability")
    plots.save(plots.classes(analysis.classes, images.class_names, worst, analysis.title), folder / "classes")
    confused = plots.confusion(*labels_and_predictions(analysis.predictions), images.class_names)
    plots.save(confused, folder / "confusion")
    _write_gallery(analysis, shown)


def _write_gallery(analysis: ErrorAnalysis, shown: int) -> None:
    measured, indices = analysis.measured, most_confident_mistakes(analysis.predictions, shown)
    if measured.images is None or not len(indices):
        return
    total = sum(confusion.images for confusion in analysis.confusions)
    heading = f"{analysis.title}: the {len(indices)} surest of {total:,} mistakes\n{measured.remark}"
    with whole_file(analysis.folder / "mistakes.png") as file:
        sheet = mistakes_sheet(measured.images, analysis.predictions, indices, measured.class_names, heading)
        sheet.save(file, format="PNG")
