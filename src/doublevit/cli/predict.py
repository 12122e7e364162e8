"""`doublevit predict`, `doublevit serve` and `doublevit upgrade`: using a trained model."""

import csv
import dataclasses
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.table import Table
from rich.text import Text

from doublevit.cli.parse import parse
from doublevit.cli.terminal import STOPPED, fail, out, remark, say, warn
from doublevit.errors import UserError
from doublevit.files import whole_file, write_text
from doublevit.jobs.onnx.config import is_onnx
from doublevit.jobs.options import DeviceOptions
from doublevit.serve.options import ServeOptions, is_loopback

if TYPE_CHECKING:
    from doublevit.jobs.prediction import Prediction, Predicts

NOT_FOR_ONNX = ("checkpoint", "weights", "model")
NAMED = 10  # unreadable files that are named


@dataclasses.dataclass(frozen=True)
class Predict(DeviceOptions):
    """Classify images with a model. Files that cannot be read are named, and the rest goes on (exit code 1)."""

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A run's folder, timm:NAME, hf:REPO_OR_FOLDER, an exported folder or .onnx, or a file of weights with --model."""
    images: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="IMAGE ...")]
    """Files, folders (however deep), patterns such as 'photos/*.jpg', or - for names on standard input."""
    top: int = 5
    """How many classes to show."""
    format: Literal["table", "csv", "json"] = "table"
    """How to print: a table, CSV with a line for each image, or a JSON object for each image and line."""
    output: Path | None = None
    """A file to write instead of printing."""
    sheet: Path | None = None
    """A PNG to write: the images with their classes."""
    checkpoint: Literal["last", "best"] = "last"
    """Which weights of a run."""
    weights: str = "hub"
    """For timm:NAME: hub (downloaded), none, a file, or a folder of files that bear timm's names."""
    model: str | None = None
    """The timm network that a file of weights belongs to."""
    batch_size: int = 32
    """Images at a time."""
    workers: int | None = None
    """Threads that decode; if not given, one for each core."""

    def __post_init__(self) -> None:
        for name in ("top", "batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"`{name}`: expected at least 1, found {getattr(self, name)}")
        if self.workers is not None and self.workers < 1:
            raise UserError(f"`workers`: expected at least 1, found {self.workers}")
        if not self.images:
            raise UserError("expected images: files, folders, patterns, or - for names on standard input")
        if self.sheet is not None and self.sheet.suffix.lower() != ".png":
            raise UserError(f"`sheet` {self.sheet}: expected a name that ends in .png")


def predict(arguments: Sequence[str]) -> None:
    """Classify images: `predict MODEL IMAGE ... [--top 5] [--format csv] [--output FILE]`."""
    options = parse(Predict, "doublevit predict", arguments)
    from doublevit.jobs.predict import STDIN, find_files, predict_files, prediction_sheet

    files = find_files(options.images, list(sys.stdin) if STDIN in options.images else [])
    model = _open(options)
    unread: dict[Path, str] = {}
    predictions = list(predict_files(model, files, unread, options.top, options.batch_size, options.workers))
    if predictions:
        _write(predictions, options)
        if options.sheet:
            with whole_file(options.sheet) as file:
                prediction_sheet(model.info, predictions).save(file, format="PNG")
            if options.format == "table":
                say(f"written: {options.sheet}")
    for path, reason in list(unread.items())[:NAMED]:
        warn(f"{path} cannot be read ({reason})")
    if unread:
        fail(f"{len(unread)} of {len(files)} files cannot be read", 1)


def _open(options: Predict) -> "Predicts":
    """Open the model; an ONNX file needs onnxruntime, and no torch."""
    if is_onnx(options.source):
        from doublevit.jobs.onnx.file import OnnxPredictor

        if options.device not in ("auto", "cpu"):
            raise UserError(f"`device` {options.device}: ONNX files are computed on the cpu here")
        for name in NOT_FOR_ONNX:
            if (found := getattr(options, name)) != getattr(Predict, name):
                raise UserError(f"`{name}` {found}: an ONNX file holds the weights of one network; leave it out")
        return OnnxPredictor.open(Path(options.source))
    from doublevit.device import this_process
    from doublevit.jobs.open_model import open_model

    model = open_model(options.source, weights=options.weights, model=options.model, which=options.checkpoint)
    return model.to(this_process().device)


@dataclasses.dataclass(frozen=True)
class Upgrade:
    """Add model.json and data.json, which name classes and images, to a run that an older version made.

    They are taken from the images as they are now; the weights stay as they are.
    """

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    data: Path | None = None
    """Where its images lie now, if elsewhere."""


def upgrade(arguments: Sequence[str]) -> None:
    """Add to an older run what it takes to use it without its images: `upgrade RUN [--data PATH]`."""
    options = parse(Upgrade, "doublevit upgrade", arguments)
    from doublevit.jobs.train import upgrade as add

    add(options.run, options.data)
    say(f"{options.run} stands alone now: its classes and images are in model.json and data.json")


def _write(predictions: "Sequence[Prediction]", options: Predict) -> None:
    if options.format == "table" and options.output is None:
        out.print(_table(predictions))
        return
    text = {"table": _csv, "csv": _csv, "json": _json}[options.format](predictions)
    if options.output is None:
        sys.stdout.write(text)
        return
    write_text(options.output, text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    say(f"written: {options.output}")


def _table(predictions: "Sequence[Prediction]") -> Table:
    table = Table(box=None)
    for name in ("image", "class", "probability", "then"):
        table.add_column(name, justify="right" if name == "probability" else "left", overflow="fold")
    for each in predictions:
        then = ", ".join(f"{label} {value:.1%}" for label, value in each.top[1:])
        table.add_row(Text(_printable(str(each.path))), Text(each.label), f"{each.probability:.1%}", Text(then))
    return table


def _printable(text: str) -> str:
    """Return a file's name without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _csv(predictions: "Sequence[Prediction]") -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    count = len(predictions[0].top)
    head = [name for number in range(1, count + 1) for name in (f"class_{number}", f"probability_{number}")]
    writer.writerow(["path", *head])
    for each in predictions:
        writer.writerow([each.path, *(cell for label, value in each.top for cell in (label, f"{value:.6f}"))])
    return text.getvalue()


def _json(predictions: "Sequence[Prediction]") -> str:
    lines = [
        {"path": str(each.path), "label": each.label, "probability": each.probability, "top": each.top}
        for each in predictions
    ]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def serve(arguments: Sequence[str]) -> None:
    """A model, or two, as a page in the browser and an API on this machine: `serve MODEL [MODEL] [--port 7860]`."""
    options = parse(ServeOptions, "doublevit serve", arguments)
    names = " and ".join(options.models)
    remark(f"loading {names}")
    try:
        from doublevit.serve.server import serve as run

        if not is_loopback(options.host):
            warn(f"everyone who reaches {options.host} can use this server, and it asks for no password")
        run(options, lambda address: say(f"serving {names} at {address} (Ctrl-C ends it)"))
    except KeyboardInterrupt:
        fail("stopped", STOPPED)
