"""Images from wherever they are, decoded ahead in threads, in batches as a model takes them."""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL.Image import Image

from doublevit.data.decode import BadImage
from doublevit.data.names import is_hidden, natural_key
from doublevit.data.pixels import as_rgb
from doublevit.errors import UserError
from doublevit.files import read_bytes
from doublevit.image_files import suffixes

AHEAD = 4  # images that each thread may be ahead of the model: enough to keep it busy, little memory


class Prepares(Protocol):
    """What brings an image to a model."""

    def decode(self, data: bytes) -> np.ndarray:
        """Decode the bytes of an image file to uint8 (H, W, 3), or raise `BadImage`."""

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Bring uint8 (H, W, 3) to the size that the model takes."""


def each_image(images: Any) -> Iterator[Path | np.ndarray]:
    """Yield every image of what `Model.predict` takes: paths of files, arrays uint8 (H, W, 3).

    Raises:
        UserError: something is no image, or a folder has none.
    """
    if isinstance(images, str | Path):
        path = Path(images)
        yield from files_in(path) if os.path.isdir(path) else [path]  # noqa: PTH112  # which takes any name
    elif isinstance(images, Image):
        yield _of_pillow(images)
    elif isinstance(images, np.ndarray):
        yield from _arrays(images)
    elif isinstance(images, Iterable):
        for image in images:
            yield from each_image(image)
    else:
        raise UserError(f"expected images (paths, arrays, tensors, PIL images), found {type(images).__name__}")


def files_in(folder: Path) -> list[Path]:
    """Return the image files below a folder, in natural order; hidden ones are not seen.

    Raises:
        UserError: there is none.
    """
    known = suffixes()
    files = [
        Path(root) / name
        for root, _, names in os.walk(folder)
        for name in names
        if not any(map(is_hidden, (Path(root) / name).relative_to(folder).parts))
        and Path(name).suffix.lower() in known
        and (Path(root) / name).is_file()
    ]
    if not files:
        raise UserError(f"{folder} holds no image: expected files such as .jpg or .png in it")
    return sorted(files, key=lambda path: natural_key(str(path)))


def read_batches(
    model: Prepares,
    sources: Sequence[Path | np.ndarray],
    batch_size: int,
    workers: int | None = None,
    on_bad: Callable[[int, BadImage], None] | None = None,
) -> Iterator[tuple[np.ndarray, list[int]]]:
    """Yield batches uint8 (B, H, W, 3) and the indices of their sources, in order; threads decode ahead.

    A batch ends where images of another size follow.

    Args:
        model: brings each image to its size.
        sources: paths of files, or arrays uint8 (H, W, 3).
        batch_size: the most images in a batch.
        workers: threads that decode; one for each core if not given.
        on_bad: is told of each image that cannot be read, which is then left out; without it the first one raises.

    Raises:
        UserError: an image cannot be read, and `on_bad` is not given.
    """
    ready = _ahead(model, sources, workers or os.cpu_count() or 1)
    good = _good(ready, sources, on_bad)
    for _, alike in itertools.groupby(good, key=lambda pair: pair[1].shape):
        while batch := list(itertools.islice(alike, batch_size)):
            yield np.stack([image for _, image in batch]), [index for index, _ in batch]


def _ahead(
    model: Prepares, sources: Sequence[Path | np.ndarray], workers: int
) -> Iterator[tuple[int, "Future[np.ndarray]"]]:
    pool, waiting = ThreadPoolExecutor(workers), deque[tuple[int, "Future[np.ndarray]"]]()
    try:
        for index, source in enumerate(sources):
            waiting.append((index, pool.submit(_prepared, model, source)))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft()
        yield from waiting
    finally:
        pool.shutdown(cancel_futures=True)


def _good(
    ready: Iterable[tuple[int, "Future[np.ndarray]"]],
    sources: Sequence[Path | np.ndarray],
    on_bad: Callable[[int, BadImage], None] | None,
) -> Iterator[tuple[int, np.ndarray]]:
    for index, future in ready:
        try:
            yield index, future.result()
        except BadImage as error:
            if on_bad is None:
                raise UserError(
                    f"{sources[index]} cannot be read ({error}); expected a JPEG, PNG or the like"
                ) from error
            on_bad(index, error)


def _prepared(model: Prepares, source: Path | np.ndarray) -> np.ndarray:
    return model.prepare(_pixels(model, source))


def _pixels(model: Prepares, source: Path | np.ndarray) -> np.ndarray:
    """Decode a file, turned upright; an array is returned as it is.

    Raises:
        BadImage: it cannot be read.
    """
    if isinstance(source, np.ndarray):
        return source
    try:
        return model.decode(read_bytes(source))
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        raise BadImage(getattr(error, "strerror", None) or str(error)) from error


def _arrays(images: np.ndarray) -> Iterator[np.ndarray]:
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[-1] != 3:
        raise UserError(f"expected arrays uint8 (H, W, 3) or (N, H, W, 3), found {images.dtype} {images.shape}")
    if 0 in images.shape[-3:]:
        raise UserError(f"expected images of at least 1 x 1 pixels, found {images.shape}")
    yield from images if images.ndim == 4 else [images]


def _of_pillow(image: Image) -> np.ndarray:
    try:
        return as_rgb(image)
    except (BadImage, OSError, ValueError) as error:  # ValueError: of a mode that is not converted, such as La
        raise UserError(f"a PIL image of mode {image.mode} cannot be read: {error}") from error
