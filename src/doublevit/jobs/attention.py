"""A picture of what a run's network looks at."""

from pathlib import Path

import numpy as np
import torch
from PIL.Image import Image

from doublevit.data.dataset import Dataset
from doublevit.data.decode import BadImage, decode, resize_and_crop
from doublevit.data.sheet import LETTERS, captioned_sheet, spread
from doublevit.errors import UserError
from doublevit.jobs.opening import Opened, open_run
from doublevit.jobs.options import Attention, Measuring
from doublevit.models.attention_maps import attention_maps
from doublevit.progress import bar
from doublevit.report.gallery import first_name, headed
from doublevit.report.overlay import overlay, shown

EXAMPLES = 4  # photos of the run's own, where none are given
Photo = tuple[np.ndarray, str]
"""Pixels uint8 (H, W, 3) and what is known of them."""


def attention_sheet(options: Attention) -> Image:
    """A row for each photo: the photo with what it was taken for, and its maps.

    Raises:
        UserError: a photo cannot be read, or the network has no attention that can be laid over it.
    """
    given = [(_read(path), path.name) for path in options.photos]  # before anything slow
    opened = open_run(options.run, Measuring(checkpoint=options.checkpoint, top_k=options.top_k))
    photos = given or _examples(opened.photos)
    rows = []
    with bar("looking", len(photos)) as progress:
        for photo in photos:
            rows.append(_row(opened, photo))
            progress.advance(1)
    return headed(captioned_sheet(rows), _heading(opened), LETTERS * len(rows[0]))


def _heading(opened: Opened) -> str:
    """Whose attention it is."""
    subject, mode = opened.bench.subject, opened.bench.model.attention
    sparse = f"; sparse attention: {mode.describe()}" if mode else ""
    return f"{subject.model}, {subject.checkpoint}{sparse}"


def _row(opened: Opened, photo: Photo) -> list[tuple[np.ndarray, list[str]]]:
    pixels, known = photo
    model = opened.bench.model
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].to(next(model.parameters()).device)
    maps = attention_maps(model, image)
    tiles = [(shown(pixels), [known, _said(opened, image)])]
    for each in maps:
        shares = each.shares.float().cpu().numpy()
        most = f"{shares.max():.1%} at most, {shares.mean():.1%} on the mean"
        tiles.append((overlay(pixels, shares), [each.title, most]))
    return tiles


@torch.inference_mode()
def _said(opened: Opened, image: torch.Tensor) -> str:
    probabilities = opened.bench.model.eval()(image).softmax(dim=1)[0]
    label = int(probabilities.argmax())
    return f"said: {first_name(opened.photos.class_names[label])}, {float(probabilities[label]):.0%}"


def _examples(dataset: Dataset) -> list[Photo]:
    """The first photo of each of a few classes."""
    places = np.array([np.argmax(dataset.labels == label) for label in spread(dataset, EXAMPLES)])
    names = [first_name(dataset.class_names[label]) for label in dataset.labels[places]]
    return [(photo, f"true: {name}") for photo, name in zip(dataset.images[places], names, strict=True)]


def _read(path: Path) -> np.ndarray:
    """A photo's centre square, at its own resolution."""
    try:
        photo = decode(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; expected an image file") from error
    except BadImage as error:
        raise UserError(f"{path} is no image that can be read ({error}); expected a JPEG, PNG or the like") from error
    return resize_and_crop(photo, min(photo.shape[:2]))
