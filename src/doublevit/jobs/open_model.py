"""A `Model` by its name: a run, an export, a network of timm or of Hugging Face, or a file of weights."""

import json
from pathlib import Path
from typing import Any

import msgspec
import timm
import torch
from torch import nn

from doublevit.errors import UserError, first_line
from doublevit.jobs.ensemble import ensemble, member_names
from doublevit.jobs.load import load_weights
from doublevit.jobs.model import Model
from doublevit.jobs.onnx.config import is_onnx
from doublevit.jobs.onnx.file import open_file
from doublevit.jobs.onnx.network import OnnxClassifier
from doublevit.jobs.wrap import wrap
from doublevit.models.backbones import create, resolve
from doublevit.models.classifier import Classifier, build
from doublevit.models.weights import fit_state, read_state
from doublevit.runs import checkpoint
from doublevit.runs.conditions import CheckpointId
from doublevit.runs.folder import RunFolder
from doublevit.runs.model_info import FILE as INFO
from doublevit.runs.model_info import ModelInfo, read_info, require_same_info

WEIGHT_FILES = (".safetensors", ".pth", ".pt", ".tar", ".bin", ".ckpt")
KINDS = (
    "a run's folder, timm:NAME, hf:REPO_OR_FOLDER, an exported folder or .onnx, a file of weights with `model`, or"
    " several joined by +"
)


def open_model(name: str | Path, *, weights: str = "hub", model: str | None = None, which: str = "last") -> Model:
    """Open a model by name.

    Args:
        name: a run's folder; timm:NAME; hf:REPO_OR_FOLDER; a folder, or an ONNX file, that `doublevit export` wrote; a
            file of weights; or several of these joined by +, for their ensemble.
        weights: for timm:NAME, as in recipes: hub, none, a file, or a folder of files that bear timm's names.
        model: the timm network that a file of weights belongs to.
        which: of a run, the "last" weights or the "best".

    Raises:
        UserError: there is no such model, or its weights cannot be had.
    """
    if members := member_names(name):
        return ensemble([open_model(member, weights=weights, model=model, which=which) for member in members])
    text, path = str(name), Path(name)
    if text.startswith("timm:"):
        return from_timm(text.removeprefix("timm:"), weights)
    if text.startswith("hf:"):
        return from_hugging_face(text.removeprefix("hf:"))
    if path.is_dir() or is_onnx(path):
        return load(path, which)
    if path.is_file() and path.suffix.lower() in WEIGHT_FILES:
        return from_file(path, model)
    require_model(name)
    raise UserError(f"{text} is no model: expected {KINDS}")


def require_model(name: str | Path) -> None:
    """Raise `UserError` where a name can be that of no model, before anything slow."""
    for member in member_names(name):
        require_model(member)
    if not member_names(name) and not str(name).startswith(("timm:", "hf:")) and not Path(name).exists():
        raise UserError(f"{name} is no model: expected {KINDS}")


def load(path: str | Path, checkpoint: str = "last") -> Model:
    """Load a run, or a folder or an ONNX file that `doublevit export` wrote; no images are needed.

    Args:
        path: the folder or file.
        checkpoint: of a run, the "last" weights, or the "best", chosen on the images that they were validated on.

    Raises:
        UserError: there is no such folder or file, or it is damaged or of another version.

    Example:
        >>> import doublevit
        >>> run = doublevit.train("digits-vit", epochs=0, name="doctest")
        >>> doublevit.load(run.path).classes[:3]
        ('zero', 'one', 'two')
    """
    folder = Path(path)
    if is_onnx(folder) and not folder.is_dir():
        return open_onnx(folder)
    if (folder / "recipe.json").is_file():
        return _load_run(RunFolder(folder), checkpoint)
    if (folder / "config.json").is_file():
        return _load_foreign(folder)
    if (folder / INFO).is_file():
        return _load_exported(folder)
    raise UserError(f"{folder} is no model: expected {KINDS}")


def _load_run(run: RunFolder, which: str) -> Model:
    info = read_info(run.path)
    if which not in ("last", "best"):
        raise UserError(f"`checkpoint` {which!r}: expected last or best")
    network = network_of(run.path, info)
    load_weights(run, which, network, info)
    identity = checkpoint.identify(run.checkpoints, "last" if which == "last" else "best")
    return Model(network, info, identity, runs=(run.path,))


def network_of(folder: Path, info: ModelInfo) -> Classifier:
    """Build the network that a folder's model.json describes, to be filled with weights."""
    if info.model is None:
        raise UserError(
            f"{folder / INFO} describes a network that was not built by doublevit: it cannot be loaded again"
        )
    return build(info.model, info.class_ids, load_weights=False)


def _load_exported(folder: Path) -> Model:
    info, file = read_info(folder), folder / "model.safetensors"
    network = network_of(folder, info)
    require_same_info(file, info)
    fit_state(network, read_state(file), file)
    return Model(network, info)


def _load_foreign(folder: Path) -> Model:
    """A folder with config.json: timm's names one architecture, Hugging Face's a list of classes."""
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / 'config.json'} is damaged ({error})") from error
    if isinstance(config, dict) and "architecture" in config:
        try:
            network = timm.create_model(f"local-dir:{folder}", pretrained=True)
        except Exception as error:  # timm takes what it reads for granted, and raises nearly anything
            raise UserError(f"{folder} is no network that timm can load ({first_line(error)})") from error
        model = wrap(network, name=folder.resolve().name)
    else:
        model = from_hugging_face(str(folder))
    if not (folder / INFO).is_file():
        return model
    info = read_info(folder)  # exported by doublevit, with its own geometry
    if len(info.class_ids) != len(model.classes):
        raise UserError(
            f"{folder / INFO} names {len(info.class_ids):,} classes, and the network has {len(model.classes):,}"
            " outputs; export it again"
        )
    require_same_info(folder / "model.safetensors", info)
    return Model(model.network, info, model.checkpoint)


def from_timm(name: str, weights: str = "hub") -> Model:
    """Open a network of timm with its own classifier, and the weights that `weights` names."""
    network = create(name, weights, with_classifier=True)
    return wrap(network.module, name=name)


def from_hugging_face(name: str) -> Model:
    """Open an image classifier of Hugging Face, by repository or folder; only safetensors are read, no code is run.

    Raises:
        UserError: transformers is not installed, or there is no such classifier.
    """
    try:
        import transformers
    except ImportError as error:
        raise UserError("hf: wants the package transformers: pip install transformers") from error
    transformers.utils.logging.disable_progress_bar()
    try:
        network = transformers.AutoModelForImageClassification.from_pretrained(
            name, trust_remote_code=False, use_safetensors=True
        )
        processor = transformers.AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # transformers takes what it reads for granted, and raises nearly anything
        raise UserError(
            f"hf:{name} cannot be opened ({first_line(error)}); expected an image classifier's repository or folder"
        ) from error
    return wrap(network, processor, name=Path(name).name)


def from_file(path: Path, name: str | None) -> Model:
    """Open a timm network with the weights of a file, as many classes as these have.

    Raises:
        UserError: `name` is not given, or the weights are another network's.
    """
    if name is None:
        raise UserError(f"{path}: expected `model`, the name of the timm network that these weights belong to")
    backbone, state = resolve(name), read_state(path)
    config: Any = timm.get_pretrained_cfg(backbone.timm_name)
    classifier = config.classifier if isinstance(config.classifier, str) else config.classifier[0]
    head: torch.Tensor | None = state.get(f"{classifier}.weight")
    options: dict[str, Any] = {} if head is None else {"num_classes": len(head)}
    network: nn.Module = timm.create_model(backbone.timm_name, pretrained=False, **backbone.options, **options)
    fit_state(network, state, path)
    return wrap(network, name=path.name.partition(".")[0])


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
