"""Attention maps of a run's network, as a picture."""

from pathlib import Path

import numpy as np
import torch
from PIL.Image import Image

from doublevit.data.dataset import Dataset
from doublevit.data.decode import BadImage, decode_upright
from doublevit.data.sheet import LETTERS, captioned_sheet, first_name, first_of_classes
from doublevit.device import device_of
from doublevit.errors import UserError
from doublevit.files import read_bytes
from doublevit.jobs.load import LoadedModel, load_model, own_images
from doublevit.jobs.options import AttentionOptions, EvalOptions
from doublevit.jobs.prediction import decoded, prepared
from doublevit.models.attention_maps import attention_maps
from doublevit.progress import bar
from doublevit.report.sheets import beside_overlays, headed, overlay

EXAMPLES = 4  # validation images of the run, if none are given
CaptionedImage = tuple[np.ndarray, str]
"""Pixels uint8 (H, W, 3) and a caption: the file's name, or the true class."""


def attention_sheet(options: AttentionOptions) -> Image:
    """Draw a row for each image: the image with its prediction, then its attention maps.

    Raises:
        UserError: an image cannot be read, or the network has no attention that can be shown.
    """
    files = [(_read(path), path.name) for path in options.images]  # a bad file is found before anything slow
    loaded = load_model(options.run, EvalOptions(checkpoint=options.checkpoint, top_k=options.top_k))
    given = [(prepared(loaded.info, decoded(loaded.info, content)), name) for content, name in files]
    images = given or _examples(own_images(loaded.run, loaded.recipe, loaded.info))
    rows = []
    with bar("looking", len(images)) as progress:
        for image in images:
            rows.append(_row(loaded, image))
            progress.advance(1)
    return headed(captioned_sheet(rows), _heading(loaded), LETTERS * len(rows[0]))


def _heading(loaded: LoadedModel) -> str:
    """Return the name of the run, its checkpoint, and its sparse attention."""
    identity, mode = loaded.model.id, loaded.network.attention
    sparse = f"; sparse attention: {mode.describe()}" if mode else ""
    return f"{identity.model}, {identity.checkpoint}{sparse}"


def _row(loaded: LoadedModel, captioned: CaptionedImage) -> list[tuple[np.ndarray, list[str]]]:
    pixels, caption = captioned
    model = loaded.network
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].to(device_of(model))
    maps = attention_maps(model, image)
    tiles = [(beside_overlays(pixels), [caption, _prediction(loaded, image)])]
    for attention_map in maps:
        weights = attention_map.weights.float().cpu().numpy()
        most = f"{weights.max():.1%} at most, {weights.mean():.1%} on the mean"
        tiles.append((overlay(pixels, weights), [attention_map.title, most]))
    return tiles


@torch.inference_mode()
def _prediction(loaded: LoadedModel, image: torch.Tensor) -> str:
    probabilities = loaded.network.eval()(image).softmax(dim=1)[0]
    label = int(probabilities.argmax())
    return f"predicted: {first_name(loaded.info.class_names[label])}, {float(probabilities[label]):.0%}"


def _examples(dataset: Dataset) -> list[CaptionedImage]:
    """Return the first image of each of a few classes."""
    indices = first_of_classes(dataset, EXAMPLES)
    names = [first_name(dataset.class_names[label]) for label in dataset.labels[indices]]
    return [(image, f"true: {name}") for image, name in zip(dataset.images[indices], names, strict=True)]


def _read(path: Path) -> bytes:
    """Read an image file that can be decoded."""
    try:
        content = read_bytes(path)
        decode_upright(content)
        return content
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; expected an image file") from error
    except BadImage as error:
        raise UserError(f"{path} is no image that can be read ({error}); expected a JPEG, PNG or the like") from error
