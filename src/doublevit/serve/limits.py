"""What is refused, and how: every error of the API is one line of JSON with a code of its own."""

import base64
import binascii
import dataclasses

import numpy as np

from doublevit.data.decode import BadImage, Decoding, decode_upright
from doublevit.image_files import TooManyPixels
from doublevit.serve.options import Limits

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""What is decoded; Pillow knows formats too that start other programs."""
RETRY_SECONDS = 1


@dataclasses.dataclass
class Refused(Exception):  # noqa: N818  # named after what became of the request
    """Raised for a request that is not answered: HTTP `status`, a `code` for programs, a `detail` for people."""

    status: int
    code: str
    detail: str

    def __str__(self) -> str:
        return self.detail

    def body(self) -> dict[str, str]:
        """Return the JSON of the answer."""
        return {"error": self.code, "detail": self.detail}

    def headers(self) -> dict[str, str]:
        """Return the headers of the answer: when to come back, and that an unread body ends the connection."""
        retry = {"retry-after": str(RETRY_SECONDS)} if self.status == 503 else {}
        return retry | ({"connection": "close"} if self.status in (408, 413, 431) or self.code == "framing" else {})


def decode_upload(data: bytes, limits: Limits, bits: int | None = None) -> np.ndarray:
    """Decode an image that somebody sent to uint8 (H, W, 3); `bits` are a model's, see `Decoding`.

    Raises:
        Refused: it is no image, or has more pixels than `limits` allow; no memory is taken for it then.
    """
    try:
        return decode_upright(data, Decoding(bits, limits.pixels, FORMATS))
    except TooManyPixels as error:
        detail = f"expected at most {limits.pixels:,} pixels, found {error.found}"
        raise Refused(413, "too_many_pixels", detail) from error
    except BadImage as error:
        known = ", ".join(FORMATS)
        raise Refused(422, "no_image", f"cannot be read ({error}); expected an image: {known}") from error


def decode_base64(text: str) -> bytes:
    """Decode the base64 of a file, with or without `data:image/png;base64,` before it.

    Raises:
        Refused: it is no base64.
    """
    head, comma, rest = text.partition(",")
    try:
        return base64.b64decode(rest if comma and head.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(422, "no_base64", f"cannot be read ({error}); expected the base64 of an image file") from error


def too_large(limits: Limits) -> Refused:
    """Return the refusal of a body with too many bytes."""
    return Refused(413, "body_too_large", f"expected a body of at most {limits.body_bytes:,} bytes")
