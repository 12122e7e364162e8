"""An exported model as a file: an ONNX graph, what describes it in the metadata, a checksum at the end. No torch.

The checksum is itself an entry of the metadata: protocol buffers may be appended to one another, so any reader of ONNX
finds it among the others, and the bytes before it are what it is of.
"""

import dataclasses
import hashlib
import importlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from doublevit import strict_json
from doublevit.errors import UserError, first_line
from doublevit.jobs.prediction import TOP, Prediction, decoded
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
ROUNDING = 1e-3  # by which a probability may exceed 1
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
        """Compute logits and probabilities, float32 (N, classes), of images uint8 (N, H, W, 3) of one size.

        Raises:
            UserError: the graph fails, or what it gives are no probabilities of the classes.
        """
        if self.record.layout == "nchw":
            images = images.transpose(0, 3, 1, 2)
        logits, probabilities = compute(self.session, [LOGITS, PROBABILITIES], IMAGES, images, self.path)
        expected = (len(images), len(self.info.class_ids))
        if {logits.shape, probabilities.shape} != {expected}:
            raise UserError(
                f"{self.path} gave {probabilities.shape} probabilities, expected {expected}: export it again"
            )
        if not (probabilities >= 0).all() or not (probabilities <= 1 + ROUNDING).all():
            raise UserError(f"{self.path} gave probabilities that are none, not within 0 and 1; export it as float32")
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
    package("onnxruntime")  # without it, nothing is read
    checksum = _checksum(path)
    session = start(path, path)
    if checksum is None:
        _refuse_foreign(path, session)
    metadata = session.get_modelmeta().custom_metadata_map
    try:
        info = parse_info(metadata[METADATA], path)
        record = strict_json.decode(metadata[EXPORT], ExportRecord)
    except UserError:
        raise
    except (KeyError, ValueError, msgspec.MsgspecError) as error:
        raise UserError(f"{path} does not say how it was exported ({error}): export it again") from error
    _require_interface(path, session, record.layout)
    outputs = next((output.shape[-1] for output in session.get_outputs() if output.name == LOGITS), None)
    if outputs != len(info.class_ids):
        raise UserError(f"{path} names {len(info.class_ids):,} classes, and has {outputs} outputs: export it again")
    return OnnxFile(path, session, info, record, str(checksum)[:8])


def _require_interface(path: Path, session: "InferenceSession", layout: str) -> None:
    """Raise `UserError` unless a graph takes bytes of any size, and gives logits and probabilities."""
    channels = {"nchw": 1, "nhwc": 3}[layout]
    inputs = [(each.name, each.type, len(each.shape), each.shape[channels:][:1]) for each in session.get_inputs()]
    outputs = [(each.name, each.type, len(each.shape)) for each in session.get_outputs()]
    known = [(name, "tensor(float)", 2) for name in (PROBABILITIES, LOGITS)]
    if inputs != [(IMAGES, "tensor(uint8)", 4, [3])] or sorted(outputs) != sorted(known):
        found = ", ".join(f"{each.name} {each.type}" for each in (*session.get_inputs(), *session.get_outputs()))
        raise UserError(
            f"{path} is not as doublevit exports: expected {IMAGES} uint8 ({layout}), {PROBABILITIES} and {LOGITS},"
            f" found {found}; export it again"
        )


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


def package(name: Literal["onnx", "onnxruntime"]) -> Any:
    """Import a package of the extra `export`.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"ONNX files want the package {name} here: {INSTALL}") from error


def start(model: Path | bytes, name: Path) -> "InferenceSession":
    """Start onnxruntime on the CPU with a file, or the bytes of one; errors call it `name`.

    Raises:
        UserError: it cannot be run.
    """
    runtime = package("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # not errors: they are raised as well
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # cores are for decoding, or torch, too
    options.intra_op_num_threads = _threads()
    try:
        return runtime.InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime raises a dozen kinds
        raise UserError(
            f"{name} is no ONNX file that onnxruntime {runtime.__version__} can run ({_reason(error)}); expected one"
            " that is whole, with its weights inside it or in its own folder"
        ) from error


def compute(session: "InferenceSession", outputs: list[str], name: str, images: Any, path: str | Path) -> list[Any]:
    """Compute some outputs of a graph for images, its input `name`; errors call it `path`.

    Raises:
        UserError: the graph cannot take them, or memory is short.
    """
    try:
        return list(session.run(outputs, {name: images}))
    except Exception as error:  # onnxruntime raises a dozen kinds, none of them Python's
        shape = " x ".join(map(str, images.shape))
        raise UserError(f"{path} cannot take images of shape {shape} ({_reason(error)})") from error


def _threads() -> int:
    """Return how many threads the environment asks for; 0, which lets onnxruntime choose, for what is no number."""
    text = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return min(int(text), os.cpu_count() or 1) if re.fullmatch(r"[0-9]{1,9}", text) else 0


def _reason(error: Exception) -> str:
    """Return the first line of what onnxruntime raised, without its codes."""
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", first_line(error))


class OnnxPredictor:
    """An exported model as `doublevit.jobs.predict` uses it; its own graph resizes and normalizes."""

    def __init__(self, file: OnnxFile) -> None:
        self.file = file

    @classmethod
    def open(cls, path: Path) -> "OnnxPredictor":
        """Open a file that `doublevit export --format onnx` wrote.

        Raises:
            UserError: see `open_file`.
        """
        return cls(open_file(path))

    @property
    def info(self) -> ModelInfo:
        """The model's description."""
        return self.file.info

    def decode(self, data: bytes) -> np.ndarray:
        """Decode the bytes of an image file to uint8 (H, W, 3), or raise `BadImage`."""
        return decoded(self.info, data)

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Return an image as it is."""
        return image

    def predict_arrays(self, images: np.ndarray, paths: Sequence[Path | None], top: int = TOP) -> list[Prediction]:
        """Predict for images of one size, uint8 (B, H, W, 3), as many at a time as memory allows."""
        step = max(1, MAX_PIXELS // (images.shape[1] * images.shape[2]))
        parts = [self.file.run(images[start : start + step])[1] for start in range(0, len(images), step)]
        rows = zip(np.concatenate(parts), paths, strict=True)
        return [self._prediction(probabilities, path, top) for probabilities, path in rows]

    def _prediction(self, probabilities: np.ndarray, path: Path | None, top: int) -> Prediction:
        best = np.argsort(-probabilities, kind="stable")[:top].tolist()
        pairs = tuple((self.info.class_names[index], float(probabilities[index])) for index in best)
        return Prediction(*pairs[0], pairs, path)
