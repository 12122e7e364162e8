"""An ONNX graph as a module of torch, from pixels or normalized floats to logits. It has no gradients."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from doublevit.errors import UserError
from doublevit.jobs.onnx.file import IMAGES, INSTALL, LOGITS, PIXELS, OnnxFile, reason, start
from doublevit.models.preprocess import Resize

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


class OnnxNetwork(nn.Module):
    """Float images (B, 3, S, S) -> logits (B, classes), by onnxruntime on the CPU.

    A graph that takes a fixed number of images gets as many, the last ones filled up with zeros.

    Raises:
        UserError: the graph does not take images (N, 3, H, W) in floats, and nothing else.
    """

    has_gradients = False

    def __init__(self, session: "InferenceSession", name: str | Path) -> None:
        super().__init__()
        self.session, self.name = session, name
        inputs = session.get_inputs()
        kinds = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
        if len(inputs) != 1 or inputs[0].type not in kinds or len(inputs[0].shape) != 4 or inputs[0].shape[1] != 3:
            found = ", ".join(f"{each.name} {each.type} {each.shape}" for each in inputs)
            raise UserError(f"{name}: expected one input of images, float (N, 3, H, W), found {found}")
        self.input, self.kind = inputs[0].name, kinds[inputs[0].type]
        self.batch, _, *self.size = (length if isinstance(length, int) else None for length in inputs[0].shape)
        outputs = [output.name for output in session.get_outputs()]
        self.output = LOGITS if LOGITS in outputs else outputs[0]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.requires_grad and torch.is_grad_enabled():
            raise UserError("an ONNX model gives no gradients: attack it with a black-box attack, such as square")
        pixels = images.detach().cpu().numpy().astype(self.kind)
        step = self.batch or max(1, len(pixels))
        parts = [self._run(pixels[first : first + step]) for first in range(0, len(pixels), step)]
        return torch.from_numpy(np.concatenate(parts)).to(images.device)

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        missing = (self.batch or 0) - len(pixels)
        if missing > 0:
            pixels = np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), pixels.dtype)])
        try:
            logits = self.session.run([self.output], {self.input: pixels})[0]
        except Exception as error:  # onnxruntime raises a dozen kinds, none of them Python's
            found = " x ".join(map(str, pixels.shape[2:]))
            raise UserError(f"{self.name} cannot take images of {found} pixels ({reason(error)})") from error
        return np.asarray(logits, np.float32)[: len(logits) - max(missing, 0)]


class OnnxClassifier(nn.Module):
    """Images (B, 3, H, W) of any size, float in [0, 1] or uint8 -> logits (B, classes), by an exported model.

    Its graph is entered behind its own resizing, at the network's pixels, so that floats, as those of attacks are,
    reach it unrounded; images are resized as for the network that was exported.
    """

    def __init__(self, file: OnnxFile) -> None:
        super().__init__()
        self.precision = file.record.precision
        self.resize = Resize(file.info.image_size, file.info.interpolation)
        self.network = OnnxNetwork(start(behind_input(file.path), file.path), file.path)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = self.resize(images)
        logits: torch.Tensor = self.network(pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels)
        return logits


def behind_input(path: Path) -> bytes:
    """Return an exported graph without its preprocessing: from pixels, float (N, 3, S, S) in [0, 1], to logits.

    Raises:
        UserError: the package onnx is not installed.
    """
    onnx = onnx_package()
    model = onnx.load(path)
    graph, wanted, nodes = model.graph, {LOGITS}, []
    for node in reversed(graph.node):
        if wanted.intersection(node.output) and PIXELS not in node.output:
            if node.op_type == "Shape" and node.input[0] == IMAGES:
                node.input[0] = PIXELS  # the exporter asks the first input how many images there are
            wanted.update(_inputs(node))
            nodes.append(node)
    side = [value for value in graph.value_info if value.name == PIXELS]
    logits = [value for value in graph.output if value.name == LOGITS]
    weights = [tensor for tensor in graph.initializer if tensor.name in wanted]
    part = onnx.helper.make_graph(nodes[::-1], graph.name, side, logits, weights)
    body = onnx.helper.make_model(part, opset_imports=model.opset_import, ir_version=model.ir_version)
    body.functions.extend(model.functions)
    return bytes(body.SerializeToString())


def _inputs(node: Any) -> Iterator[str]:
    """Yield the values that a node takes, those of graphs within it included."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _inputs(inner)


def onnx_package() -> Any:
    """Import the package onnx.

    Raises:
        UserError: it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise UserError(f"ONNX files want the package onnx here: {INSTALL}") from error
    return onnx


def open_foreign(path: Path) -> OnnxNetwork:
    """Open an ONNX file of whatever origin as a network that takes normalized floats.

    Raises:
        UserError: it cannot be run, or takes other inputs; or its weights lie outside its folder.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist: expected an ONNX file")
    return OnnxNetwork(start(path, path), path)
