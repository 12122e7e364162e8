"""What a device does to a photo: contrast, coarse pixels, JPEG."""

import io

import numpy as np
import simplejpeg
from PIL import Image

from doublevit.corruptions.config import Constants
from doublevit.corruptions.levels import to_levels, to_unit


def contrast(images: np.ndarray, constants: Constants) -> np.ndarray:
    """Every value nearer to the mean of its photo and colour."""
    (kept,) = constants
    count, height, width, _ = images.shape
    values = to_unit(images)
    means = np.einsum("nhwc->nc", values) / (height * width)  # sums in the published order, to the last bit
    rows, means = values.reshape(count, height, -1), np.tile(means, width)[:, None]
    rows -= means
    rows *= kept
    rows += means
    return to_levels(values)


def pixelate(images: np.ndarray, constants: Constants) -> np.ndarray:
    """Averaged down and repeated up, as Pillow's box filter does."""
    (kept,) = constants
    height, width = images.shape[1:3]
    small = int(width * kept), int(height * kept)
    box = Image.Resampling.BOX
    photos = (Image.fromarray(image).resize(small, box).resize((width, height), box) for image in images)
    return np.stack([np.asarray(photo) for photo in photos])


def jpeg_compression(images: np.ndarray, constants: Constants) -> np.ndarray:
    """Saved as JPEG and read again."""
    quality = int(constants[0])
    return np.stack([simplejpeg.decode_jpeg(to_jpeg(image, quality), "RGB") for image in images])


def to_jpeg(image: np.ndarray, quality: int) -> bytes:
    """Encoded by Pillow: simplejpeg only knows a faster cosine transform, which gives other pixels."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return file.getvalue()
