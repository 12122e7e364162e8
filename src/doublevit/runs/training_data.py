"""Which images a run was trained and validated on, so that others in their place are noticed."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from doublevit import strict_json
from doublevit.data.dataset import Dataset
from doublevit.data.stores import Store, store_of
from doublevit.errors import UserError
from doublevit.files import whole_file, write_text
from doublevit.images import Images, WithoutMargin, checksums
from doublevit.runs.conditions import Record

FILE, IMAGES = "data.json", "trained.npy"


class SplitRecord(Record, frozen=True, kw_only=True):
    """How many images a split had, and their checksum (CRC-32, eight hexadecimal digits)."""

    count: int
    checksum: str


class TrainingData(Record, frozen=True, kw_only=True):
    """The splits that a run began with; `changed` where its training went on with other images, as was asked for.

    `store` is the kind of store that its images were read from (see `data.stores`), None where that is not known, or
    where they come with a library.
    """

    source: str
    splits: dict[str, SplitRecord]
    changed: bool = False
    store: Store | None = None

    def differences(self, splits: Mapping[str, Dataset]) -> dict[str, str]:
        """Return for each split that is another now what became of it, such as "120 images then, 124 now"."""
        found = {}
        for name, record in self.splits.items():
            dataset = splits.get(name)
            if dataset is None:
                found[name] = f"{record.count:,} images then, none now"
            elif len(dataset) != record.count:
                found[name] = f"{record.count:,} images then, {len(dataset):,} now"
            elif dataset.id.checksum != record.checksum:
                found[name] = f"{record.count:,} images then and now, but other ones"
        return found


def record_data(splits: Mapping[str, Dataset], *, changed: bool = False) -> TrainingData:
    """Return what is to be kept of the splits that a run is trained on."""
    records = {name: SplitRecord(count=len(each), checksum=each.id.checksum) for name, each in splits.items()}
    store = store_of(splits["val"].images)  # not of train, of which a part may be in memory
    return TrainingData(source=next(iter(splits.values())).id.source, splits=records, changed=changed, store=store)


def write_training_data(folder: Path, data: TrainingData) -> None:
    """Write data.json into a run's folder."""
    write_text(folder / FILE, strict_json.pretty(data))


def write_trained_images(folder: Path, train: Dataset, margin: int = 0) -> None:
    """Keep the CRC-32 of every training image, so that none is ever taken for one to validate on.

    Images with a `margin` are kept without it: as they would be stored for validation.
    """
    with whole_file(folder / IMAGES) as file:
        np.save(file, _checksums(train.images, margin))


def count_trained_on(folder: Path, dataset: Dataset) -> int:
    """Count the images of a data set that a run was trained on, as far as its folder knows."""
    try:
        trained = np.load(folder / IMAGES, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return 0
    return int(np.isin(_checksums(dataset.images), trained).sum())


def _checksums(images: Images, margin: int = 0) -> np.ndarray:
    """CRC-32 of each image without its margin in pixels, uint32 (N,)."""
    return checksums(WithoutMargin(images, margin) if margin else images).astype(np.uint32)


def read_training_data(folder: Path) -> TrainingData | None:
    """Read a run's data.json; None for a run made before there were any.

    Raises:
        UserError: it is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        return strict_json.decode(path.read_bytes(), TrainingData)
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); the run's images cannot be told from others") from error
