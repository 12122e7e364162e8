"""Opening a set that lies on the disk, after a look at every cell that is asked for."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from doublevit.corrupted.layout import describe_photos, read_photos, require_finished
from doublevit.corrupted.manifest import Manifest
from doublevit.corrupted.problems import problems, problems_of_store, problems_of_written
from doublevit.corrupted.sets import CorruptedSet, Published, Written
from doublevit.data.dataset import Dataset
from doublevit.data.tiny_imagenet_c import Cell, PublishedFiles, open_published, require_no_manifest
from doublevit.errors import UserError


def open_set(path: Path, clean: Dataset, cells: Iterable[Cell], count: int | None = None) -> CorruptedSet:
    """The set in a folder or tar: one that was written here, or the published one, of which `count` limits the photos.

    Raises:
        UserError: cells are missing or not as they should be, or the set was made from other photos than `clean`.
    """
    cells, manifest = tuple(cells), Manifest.read(path)
    if manifest is None:
        files = open_published(path)
        require_no_manifest(files)
        _require_shared_classes(files, clean)
        _require_none(problems(files, cells, clean.class_ids), path)
        return Published(files, clean, count)
    _require_same_photos(manifest, clean, path)
    require_finished(path, cells)
    if manifest.kept_as == "store":
        _require_none(problems_of_store(path, cells, manifest), path)
        return Written(path, manifest, clean, None)
    files = open_published(path)
    _require_none(problems_of_written(files, cells, manifest, path), path)
    return Written(path, manifest, clean, files)


def _require_none(found: list[str], path: Path) -> None:
    if found:
        more = f" ({len(found) - 1} more cells are not right: doublevit data verify --corrupted-set {path})"
        raise UserError(found[0] + (more if len(found) > 1 else ""))


def _require_shared_classes(files: PublishedFiles, clean: Dataset) -> None:
    if not set(files.class_ids) & set(clean.class_ids):
        raise UserError(
            f"{files.path} shows other classes ({', '.join(files.class_ids[:2])} ...) than the network was made for"
            f" ({', '.join(clean.class_ids[:2])} ...); evaluate a run on Tiny ImageNet with it"
        )


def _require_same_photos(manifest: Manifest, clean: Dataset, path: Path) -> None:
    if len(clean) > manifest.count:
        raise UserError(f"{path} holds {manifest.count:,} of the {len(clean):,} photos; add --photos {manifest.count}")
    same_kind = manifest.class_ids == clean.class_ids and manifest.side == clean.images.shape[1:3]
    if not same_kind or not np.array_equal(read_photos(path)[: len(clean)], describe_photos(clean)):
        raise UserError(
            f"{path} was made from other photos ({manifest.source}) than those to be evaluated ({clean.source});"
            " make a set from these: doublevit data corrupt"
        )
