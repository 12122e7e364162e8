"""An exported model as a file: an ONNX graph, what describes it in the metadata, a checksum at the end. No torch.

The checksum is itself an entry of the metadata: protocol buffers may be appended to one another, so any reader of ONNX
finds it among the others, and the bytes before it are what it is of.
"""

import dataclasses
import functools
import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from doublevit import strict_json
from doublevit.errors import UserError, first_line
from doublevit.runs.conditions import CheckpointId, Record
from doublevit.runs.folder import METADATA
from doublevit.runs.model_info import ModelInfo, parse_info

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

EXPORT = "doublevit.export"  # the key of an `ExportRecord` in the metadata
IMAGES, LOGITS, PROBABILITIES = "images", "logits", "probabilities"
PIXELS = "pixels"  # within the graph: images as the network sees them, float (N, 3, S, S) in [0, 1]
INSTALL = "pip install 'doublevit[export]'"
CHECKSUM_KEY = b"doublevit.sha256"
HEX_DIGITS = 64
_ENTRY = b"\x0a" + bytes([len(CHECKSUM_KEY)]) + CHECKSUM_KEY + b"\x12" + bytes([HEX_DIGITS])
HEAD = b"\x72" + bytes([len(_ENTRY) + HEX_DIGITS]) + _ENTRY  # field 14 of ModelProto: metadata_props
MAX_PIXELS = 4_000_000  # of the images that are computed at once: some 200 MB while they are resized


class ExportRecord(Record, frozen=True, kw_only=True):
    """How a file was exported: of which weights, for which version of ONNX, in which precision and layout."""

    checkpoint: CheckpointId
    opset: int
    precision: Literal["float32", "float16"]
    layout: Literal["nchw", "nhwc"]


@dataclasses.dataclass(frozen=True)
class OnnxFile:
    """An opened export: `digest` is the first eight hexadecimal digits of its checksum."""

    path: Path
    session: "InferenceSession"
    info: ModelInfo
    record: ExportRecord
    digest: str

    def run(self, images: Any) -> tuple[Any, Any]:
        """Compute logits and probabilities, float32 (N, classes), of images uint8 (N, H, W, 3) of one size."""
        if self.record.layout == "nchw":
            images = images.transpose(0, 3, 1, 2)
        logits, probabilities = self.session.run([LOGITS, PROBABILITIES], {IMAGES: images})
        return logits, probabilities


def checksum_entry(body: bytes) -> bytes:
    """Return what is appended to the bytes of an ONNX file to seal them."""
    return HEAD + hashlib.sha256(body).hexdigest().encode()


def open_file(path: Path) -> OnnxFile:
    """Open a file that `doublevit export --format onnx` wrote.

    Raises:
        UserError: onnxruntime is not installed; the file is missing, damaged, or not an export of doublevit.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist: expected a file that doublevit export --format onnx wrote")
    runtime()
    checksum = _checksum(path)
    session = start(path, path)
    if checksum is None:
        _refuse_foreign(path, session)
    metadata = session.get_modelmeta().custom_metadata_map
    try:
        info = parse_info(metadata[METADATA], path)
        record = strict_json.decode(metadata[EXPORT], ExportRecord)
    except (KeyError, ValueError, msgspec.MsgspecError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} does not say how it was exported ({error}): export it again") from error
    outputs = next((output.shape[-1] for output in session.get_outputs() if output.name == LOGITS), None)
    if outputs != len(info.class_ids):
        raise UserError(f"{path} names {len(info.class_ids):,} classes, and has {outputs} outputs: export it again")
    return OnnxFile(path, session, info, record, str(checksum)[:8])


def _checksum(path: Path) -> str | None:
    """Return the checksum at the end of a file; None if there is none.

    Raises:
        UserError: it is not that of the bytes before it.
    """
    rest, length = hashlib.sha256(), path.stat().st_size - len(HEAD) - HEX_DIGITS
    with path.open("rb") as file:
        file.seek(max(length, 0))
        if file.read(len(HEAD)) != HEAD:
            return None
        found = file.read()
        file.seek(0)
        while length:
            block = file.read(min(length, 1 << 20))
            rest.update(block)
            length -= len(block)
    if rest.hexdigest().encode() != found:
        raise UserError(f"{path} is damaged, or was changed: its checksum is another; export it again")
    return rest.hexdigest()


def _refuse_foreign(path: Path, session: "InferenceSession") -> None:
    if METADATA in session.get_modelmeta().custom_metadata_map:
        raise UserError(
            f"{path} was cut short, or rewritten by another program, since doublevit exported it; export it again"
        )
    raise UserError(
        f"{path} was not exported by doublevit: it does not name its classes, nor the mean, std and size of its input."
        f" In Python, doublevit.wrap({path.name!r}, mean=..., std=..., classes=...) takes these from you"
    )


def runtime() -> Any:
    """Import onnxruntime.

    Raises:
        UserError: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f"ONNX files want the package onnxruntime: {INSTALL}") from error
    return onnxruntime


def start(model: Path | bytes, name: Path) -> "InferenceSession":
    """Start onnxruntime on the CPU with a file, or the bytes of one; errors call it `name`.

    Raises:
        UserError: it cannot be run.
    """
    options = runtime().SessionOptions()
    options.log_severity_level = 3  # errors; they are raised as well
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # cores are for decoding, or torch, too
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0").partition(",")[0] or 0)
    try:
        return runtime().InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime raises a dozen kinds
        raise UserError(
            f"{name} is no ONNX file that onnxruntime {_version()} can run ({reason(error)}); expected one that is"
            " whole, with its weights inside it or in its own folder"
        ) from error


def reason(error: Exception) -> str:
    """Return the first line of what onnxruntime raised, without its codes."""
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", first_line(error))


@functools.cache
def _version() -> str:
    return str(runtime().__version__)
