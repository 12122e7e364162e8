import io

import numpy as np
import pytest
from PIL import Image

from conftest import random_image
from doublevit.data.decode import BadImage, decode, decode_jpeg, may_be_turned


@pytest.mark.slow
def test_fast_decoder_equals_pillow_on_real_images(real_images):
    for content in real_images:
        assert np.array_equal(decode_jpeg(content), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


@pytest.mark.parametrize("decoder", [decode, decode_jpeg])
@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_truncated_image_is_bad(decoder, keep):
    file = io.BytesIO()
    random_image(np.random.default_rng(0)).save(file, format="JPEG")
    content = file.getvalue()
    assert decoder(content).shape == (64, 64, 3)
    with pytest.raises(BadImage):
        decoder(content[: int(keep * len(content))])


def test_png_in_a_file_called_jpeg_is_read():
    image, file = random_image(np.random.default_rng(0)), io.BytesIO()
    image.save(file, format="PNG")
    assert np.array_equal(decode_jpeg(file.getvalue()), np.asarray(image))


def test_an_orientation_is_looked_for_before_the_pixels_alone():
    start, pixels = b"\xff\xd8\xff\xe0\x00\x04..", b"\xff\xda\x00\x04.."
    named = b"\xff\xe1\x00\x08Exif.."
    assert may_be_turned(start + named + pixels)
    assert may_be_turned(start + b"\xff\xe2\x00\x06\xff\xda.." + named + pixels)  # a color profile that looks alike
    assert not may_be_turned(start + pixels + b"Exif")
    for damaged in (b"", start, start + b"Exif", start + named[:6], start + b"\xff", b"\xff\xd8\xff\xe0"):
        assert may_be_turned(damaged) == (b"Exif" in damaged)
