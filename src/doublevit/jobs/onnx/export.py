"""A model written as one ONNX file: from bytes of any size to logits and probabilities."""

import contextlib
import copy
import io
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from doublevit import strict_json
from doublevit.errors import UserError, first_line
from doublevit.files import require_space, whole_file
from doublevit.jobs.model import Model
from doublevit.jobs.onnx.config import OnnxConfig, is_onnx
from doublevit.jobs.onnx.file import (
    EXPORT,
    IMAGES,
    INSTALL,
    LOGITS,
    PIXELS,
    PROBABILITIES,
    ExportRecord,
    checksum_entry,
    package,
)
from doublevit.jobs.onnx.network import OnnxNetwork
from doublevit.models.image_input import ImageInput
from doublevit.models.preprocess import Normalize
from doublevit.progress import console
from doublevit.runs.folder import METADATA
from doublevit.version import __version__

TRACED = (2, 300, 260)  # images, height and width of the example; the graph takes any
LARGEST = 2_000_000_000  # bytes of one file of protocol buffers


class ExportedModel(nn.Module):
    """Images uint8 of any size -> probabilities and logits, float32 (N, classes), and the network's pixels."""

    def __init__(self, model: Model, config: OnnxConfig) -> None:
        super().__init__()
        self.input = ImageInput(model.info.geometry, model.info.image_size, config.layout)
        self.network = copy.deepcopy(model.network).cpu().requires_grad_(False)
        if config.precision == "float16":
            _halve(self.network)
        self.eval()

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        pixels = self.input(images)
        logits = self.network(pixels).float()
        return logits.softmax(dim=1), logits, pixels


def _halve(network: nn.Module) -> None:
    """Compute in float16 what comes after normalization."""
    network.half()
    for module in network.modules():
        if isinstance(module, Normalize):
            module.float()
            module.register_forward_hook(lambda *arguments: arguments[-1].half())


def export_onnx(model: Model, path: Path, config: OnnxConfig) -> None:
    """Write a model with its preprocessing inside; no file is left where it cannot be done.

    Raises:
        UserError: the file exists, the network is too large, cannot be exported or is an ONNX file itself, or a package
            is not installed.
    """
    if not is_onnx(path):
        raise UserError(f"`output` {path}: expected a name that ends in .onnx")
    if path.exists():
        raise UserError(f"{path} exists; choose another `output`")
    if any(isinstance(part, OnnxNetwork) for part in model.modules()):
        raise UserError(f"{model.info.name} is an ONNX file already: export the model that it was made of")
    onnx = package("onnx")
    exported = ExportedModel(model, config)
    size = sum(tensor.nbytes for tensor in exported.state_dict().values())
    if size > LARGEST:
        raise UserError(f"{model.info.name} has {size / 1e9:.1f} GB of weights: one ONNX file holds 2; try float16")
    path.parent.mkdir(parents=True, exist_ok=True)
    require_space(path.parent, size, "the ONNX file")
    with console.status(f"exporting {model.info.name}"):
        proto = _to_onnx(exported, config)
    _tidy(proto, len(model.classes), config)
    record = ExportRecord(
        checkpoint=model.checkpoint, opset=config.opset, precision=config.precision, layout=config.layout
    )
    onnx.helper.set_model_props(proto, {METADATA: model.info.to_json(), EXPORT: strict_json.encode(record).decode()})
    body = proto.SerializeToString()
    with whole_file(path) as file:
        file.write(body)
        file.write(checksum_entry(body))


def _to_onnx(exported: ExportedModel, config: OnnxConfig) -> Any:
    """Trace the model with batch, height and width left open, and return onnx's ModelProto.

    Raises:
        UserError: an operation has no counterpart in ONNX, or cannot be traced.
    """
    count, height, width = TRACED
    shape = (count, 3, height, width) if config.layout == "nchw" else (count, height, width, 3)
    open_axes = {0: "N", 2: "H", 3: "W"} if config.layout == "nchw" else {0: "N", 1: "H", 2: "W"}
    try:
        with _quiet():
            program: Any = torch.onnx.export(
                exported,
                (torch.zeros(shape, dtype=torch.uint8),),
                dynamo=True,
                opset_version=config.opset,
                input_names=[IMAGES],
                output_names=[PROBABILITIES, LOGITS, PIXELS],
                dynamic_shapes={IMAGES: dict.fromkeys(open_axes, torch.export.Dim.DYNAMIC)},
                verbose=False,
            )
            proto = program.model_proto
    except ImportError as error:
        raise UserError(f"`format` onnx wants the package {error.name}: {INSTALL}") from error
    except Exception as error:  # torch and onnxscript raise a dozen kinds, one around the other
        raise UserError(_reason(error)) from error
    found = {entry.domain: entry.version for entry in proto.opset_import}.get("")
    if found != config.opset:
        raise UserError(f"`opset` {config.opset}: this network has operations that cannot be had there; try {found}")
    for value in (*proto.graph.input, *proto.graph.output):
        _name_axes(value, open_axes if value.name == IMAGES else {0: "N"})
    return proto


def _name_axes(value: Any, names: dict[int, str]) -> None:
    for axis, name in names.items():
        value.type.tensor_type.shape.dim[axis].dim_param = name


def _reason(error: BaseException) -> str:
    """Return one line of why a network cannot be exported, with the operation where the error names one."""
    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(inner)
    text = " ".join(map(str, chain))
    operation = re.search(r"No (?:ONNX function|decompositions?)[^<]*<OpOverload\(op='([\w.]+)'", text)
    operation = operation or re.search(r"\b((?:aten|prims|torchvision|timm)[.:]+\w+(?:\.\w+)?)", text)
    what = f"its operation {operation[1]} has no counterpart in ONNX" if operation else first_line(chain[-1])
    return f"`format` onnx: this network cannot be exported: {what}; `format=doublevit` exports any"


def _tidy(proto: Any, classes: int, config: OnnxConfig) -> None:
    """Leave out what only the exporter needs, the paths of its sources among it, and say what the file is."""
    graph = proto.graph
    pixels = [output for output in graph.output if output.name == PIXELS]
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer, graph, proto, *proto.functions):
        del part.metadata_props[:]
        part.doc_string = ""
    for function in proto.functions:
        for node in function.node:
            del node.metadata_props[:]
            node.doc_string = ""
    del graph.value_info[:]
    graph.value_info.extend(pixels)
    graph.output.remove(pixels[0])
    graph.name = "doublevit"
    proto.producer_name, proto.producer_version = "doublevit", __version__
    layout = "(N, 3, H, W)" if config.layout == "nchw" else "(N, H, W, 3)"
    proto.doc_string = f"images: uint8 {layout}, RGB, of any size; logits and probabilities: float32 (N, {classes})"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks to itself: what goes wrong is raised."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
