"""What an export to ONNX may be asked for. Nothing here imports torch."""

import dataclasses
from pathlib import Path
from typing import Literal

from doublevit.errors import UserError

OPSETS = range(18, 24)
"""The versions of ONNX's operations that torch exports to, and its converter reaches."""
OPSET = 20
SUFFIX = ".onnx"


def is_onnx(name: str | Path) -> bool:
    """Return whether a name is that of an ONNX file."""
    return Path(name).suffix.lower() == SUFFIX


@dataclasses.dataclass(frozen=True)
class OnnxConfig:
    """Options of `format` onnx.

    Raises:
        UserError: there is no such opset.
    """

    opset: int = OPSET
    """Version of ONNX's operations."""
    precision: Literal["float32", "float16"] = "float32"
    """Of weights and of everything behind the resizing; inputs are bytes, outputs float32 either way."""
    layout: Literal["nchw", "nhwc"] = "nchw"
    """Of the input: uint8 (N, 3, H, W) or (N, H, W, 3)."""

    def __post_init__(self) -> None:
        if self.opset not in OPSETS:
            raise UserError(f"`opset` {self.opset}: expected {OPSETS.start} to {OPSETS.stop - 1}")
        for name, known in (("precision", ("float32", "float16")), ("layout", ("nchw", "nhwc"))):
            if getattr(self, name) not in known:
                raise UserError(f"`{name}` {getattr(self, name)!r}: expected {' or '.join(known)}")
