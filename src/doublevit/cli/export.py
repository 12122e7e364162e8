"""`doublevit export`: a model for other programs."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from doublevit.cli.parse import parse
from doublevit.cli.terminal import fail, out, remark, say
from doublevit.errors import UserError
from doublevit.jobs.onnx.config import OPSET, OnnxConfig

ONNX_ONLY = ("opset", "precision", "layout", "verify", "split", "weights", "model")


@dataclasses.dataclass(frozen=True)
class Export:
    """Write a run's weights for doublevit, timm or Hugging Face's transformers, or a whole model as one ONNX file.

    The first three make a folder with a card; ONNX makes a file that resizes and normalizes by itself, of any model.
    """

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """The run's folder; for onnx any model, as `doublevit predict` takes them."""
    output: Path | None = None
    """The folder to write, to be made; for onnx the file, model.onnx in the run's folder, or in
    the working directory for other models, if not given."""
    format: Literal["doublevit", "timm", "hf", "onnx"] = "doublevit"
    """doublevit: any run, for doublevit.load; timm: one network with a linear head; hf: a ViT or DeiT; onnx: any."""
    checkpoint: Literal["last", "best"] = "last"
    """Which weights of a run."""
    opset: int = OPSET
    """For onnx: the version of its operations, 18 to 23."""
    precision: Literal["float32", "float16"] = "float32"
    """For onnx: of the weights; bytes go in and float32 comes out either way."""
    layout: Literal["nchw", "nhwc"] = "nchw"
    """For onnx: of the input, uint8 (N, 3, H, W) or (N, H, W, 3)."""
    verify: str | None = None
    """For onnx: labeled images, as for evaluate --data, on which the file is run beside torch."""
    split: str = ""
    """The part of the images of `verify`, such as test; if not given, their val, or all of them."""
    weights: str = "hub"
    """For timm:NAME: hub (downloaded), none, a file, or a folder of files that bear timm's names."""
    model: str | None = None
    """The timm network that a file of weights belongs to."""

    def __post_init__(self) -> None:
        if self.format == "onnx":
            OnnxConfig(self.opset, self.precision, self.layout)
            return
        if self.output is None:
            raise UserError(f"expected `output`, the folder to write for `format` {self.format}")
        for name in ONNX_ONLY:
            if getattr(self, name) != getattr(Export, name):
                raise UserError(f"`{name}` is for `format` onnx, found `format` {self.format}")


def export(arguments: Sequence[str]) -> None:
    """A model for doublevit, timm, transformers or ONNX: `export RUN --output FOLDER [--format timm]`."""
    options = parse(Export, "doublevit export", arguments)
    if options.format == "onnx":
        _export_onnx(options)
        return
    from doublevit.jobs.export import export as export_folder
    from doublevit.jobs.export import rows_of
    from doublevit.jobs.open_model import load
    from doublevit.runs.folder import RunFolder

    model, run = load(options.run, options.checkpoint), RunFolder.open(Path(options.run))
    export_folder(model, options.output or Path(), options.format, rows_of(model, run))
    say(f"written: {options.output}")


def _export_onnx(options: Export) -> None:
    remark(f"loading {options.run}")
    from doublevit.data.decode import Decoding
    from doublevit.jobs.onnx.export import export_onnx
    from doublevit.jobs.onnx.images import mixed_images
    from doublevit.jobs.onnx.verify import table_path, verify
    from doublevit.jobs.open_model import open_model
    from doublevit.report.formats.terminal import print_tables

    path = options.output or (Path(options.run) if Path(options.run).is_dir() else Path()) / "model.onnx"
    model = open_model(options.run, weights=options.weights, model=options.model, which=options.checkpoint)
    images = None
    if options.verify is not None:  # before it takes long
        images = mixed_images(options.verify, options.split, Decoding(model.info.bits))
    export_onnx(model, path, OnnxConfig(options.opset, options.precision, options.layout))
    say(f"written: {path}")
    if images is None:
        return
    parity = verify(model, path, images)
    print_tables([parity.table()], out)
    say(f"written: {table_path(path)}")
    if not parity.is_enough:
        others = len(parity.labels) - parity.same
        fail(f"the file gives another first class on {others} images of {len(parity.labels)}", 1)
