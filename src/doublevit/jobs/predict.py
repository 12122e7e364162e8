"""Predictions for many files: decoded ahead, in batches, with progress; files that cannot be read are left out."""

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL.Image import Image

from doublevit.data.decode import BadImage
from doublevit.data.sheet import captioned_sheet
from doublevit.errors import UserError
from doublevit.jobs.prediction import BATCH_SIZE, TOP, Prediction, Predictor, Preparation
from doublevit.jobs.read import files_in, read_batches
from doublevit.progress import bar
from doublevit.runs.model_info import ModelInfo

SHEET_COLUMNS, SHEET_IMAGES = 6, 120
STDIN = "-"


def find_files(names: Sequence[str], lines: Sequence[str] = ()) -> list[Path]:
    """Return the files that names stand for: files, folders (however deep), patterns, and `lines` for "-".

    Raises:
        UserError: a name stands for nothing, or there are none.
    """
    files: list[Path] = []
    for name in names:
        path = Path(name)
        if name == STDIN:
            files += [Path(line.rstrip("\r\n")) for line in lines if line.strip()]
        elif path.is_dir():
            files += files_in(path)
        elif path.exists():
            files.append(path)
        elif matching := sorted(glob.glob(name, recursive=True)):  # noqa: PTH207  # any pattern, absolute ones too
            files += [Path(each) for each in matching if Path(each).is_file()]
        else:
            raise UserError(
                f"{name} does not exist: expected image files, folders, patterns, or - for names on standard input"
            )
    if not files:
        raise UserError("expected images, found none")
    return list(dict.fromkeys(files))


def predict_files(
    model: Predictor,
    files: Sequence[Path],
    unread: dict[Path, str],
    top: int = TOP,
    batch_size: int = BATCH_SIZE,
    workers: int | None = None,
) -> Iterator[Prediction]:
    """Yield a prediction for each file that can be read, in order; the others go to `unread`, with the reason."""

    def note(index: int, error: BadImage) -> None:
        unread[files[index]] = str(error)
        progress.advance(1)

    with bar("predicting", len(files)) as progress:
        for batch, indices in read_batches(model, files, batch_size, workers, note):
            yield from model.predict_arrays(batch, [files[index] for index in indices], top)
            progress.advance(len(batch))


def prediction_sheet(info: ModelInfo, predictions: Sequence[Prediction]) -> Image:
    """Draw a contact sheet of the first images, each with its class and probability."""
    tiles = []
    for prediction in predictions[:SHEET_IMAGES]:
        [(batch, _)] = read_batches(Preparation(info), [prediction.path or Path()], 1)
        caption = [prediction.label, f"{prediction.probability:.0%}"]
        tiles.append((batch[0], caption))
    rows = [tiles[begin : begin + SHEET_COLUMNS] for begin in range(0, len(tiles), SHEET_COLUMNS)]
    return captioned_sheet(rows)
