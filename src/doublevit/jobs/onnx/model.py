"""An exported model as a `Model`: what `doublevit.load` and `doublevit evaluate` make of an ONNX file."""

from pathlib import Path

import msgspec

from doublevit.jobs.model import Model
from doublevit.jobs.onnx.file import open_file
from doublevit.jobs.onnx.network import OnnxClassifier
from doublevit.runs.conditions import CheckpointId


def open_onnx(path: Path) -> Model:
    """Open a file that `doublevit export --format onnx` wrote; rows name it as ONNX, by its own checksum.

    Raises:
        UserError: see `open_file`.
    """
    file = open_file(path)
    kind = "ONNX" if file.record.precision == "float32" else f"ONNX, {file.record.precision}"
    info = msgspec.structs.replace(file.info, name=f"{file.info.name} ({kind})")
    checkpoint = CheckpointId(which=file.record.checkpoint.which, name=path.name, digest=file.digest)
    return Model(OnnxClassifier(file), info, checkpoint)
