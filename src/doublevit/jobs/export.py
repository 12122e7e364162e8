"""A run's weights as folders that doublevit, timm or Hugging Face's transformers load."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch

from doublevit.errors import UserError, unknown
from doublevit.files import whole_folder, write_text
from doublevit.jobs.model import Model
from doublevit.jobs.model_card import model_card
from doublevit.models.backbones import SingleBackbone, is_distilled, resolve
from doublevit.models.classifier import Classifier
from doublevit.models.top_k import recorded
from doublevit.models.weights import State
from doublevit.runs.conditions import Transfer
from doublevit.runs.folder import METADATA, RunFolder
from doublevit.runs.model_info import ModelInfo, write_info
from doublevit.runs.row import Row

WEIGHTS = "model.safetensors"


def export(model: Model, folder: Path, format: str, rows: list[Row] | None = None) -> None:  # noqa: A002  # the option
    """Write a model into a new folder, with a model card; nothing is left where it cannot be done.

    Args:
        model: a run's, as `load` gives it.
        folder: to be made.
        format: "doublevit" (any model; `doublevit.load` reads it), "timm" or "hf".
        rows: what was measured of it, for the card.

    Raises:
        UserError: the folder exists, or the network has parts that the other library's does not have.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    if folder.exists():
        raise UserError(f"{folder} exists; choose another `output`")
    if not isinstance(model.network, Classifier):
        raise UserError(f"{model.info.name} was not built by doublevit: there is nothing to export")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(folder) as part:
        FORMATS[format](model, part)
        write_info(part, model.info)
        write_text(part / "README.md", model_card(model, format, rows or []))


def rows_of(model: Model, run: RunFolder) -> list[Row]:
    """Return what was measured in a run of the very weights of a model, as they were trained, for its card."""
    top_k = recorded(model.info.model.top_k) if model.info.model else None
    rows = [row for row in run.rows() if model.checkpoint.weights == row.checkpoint.weights]
    return [row for row in rows if row.top_k == top_k and not row.adapted and not isinstance(row.condition, Transfer)]


def _to_doublevit(model: Model, folder: Path) -> None:
    weights = {name: tensor.contiguous() for name, tensor in model.network.state_dict().items()}
    safetensors.torch.save_file(weights, folder / WEIGHTS, metadata={"format": "pt", METADATA: model.info.to_json()})


def _to_timm(model: Model, folder: Path) -> None:
    """Timm's own layout: config.json, and weights under timm's names."""
    network: Any = model.network
    info, backbone = model.info, _single(network, "timm")
    entry = resolve(info.model.backbone if info.model else info.name)
    pretrained: Any = timm.get_pretrained_cfg(entry.timm_name)
    state = _timm_state(network, backbone)
    [normalization] = info.normalization.values()
    side = network.resize.size
    arguments = {key: value for key, value in entry.options.items() if key != "weight_init"}
    if pretrained.fixed_input_size and side != pretrained.input_size[-1]:
        arguments["img_size"] = side
    _try(entry.timm_name, arguments, len(info.class_ids), state)
    content = {
        "architecture": entry.timm_name.partition(".")[0],
        "num_classes": len(info.class_ids),
        "model_args": arguments,
        "pretrained_cfg": {
            "tag": info.name,
            "custom_load": False,
            "input_size": [3, side, side],
            "fixed_input_size": pretrained.fixed_input_size,
            **_timm_geometry(info),
            "mean": list(normalization.mean),
            "std": list(normalization.std),
            "num_classes": len(info.class_ids),
            "pool_size": None if pretrained.pool_size is None else list(pretrained.pool_size),
            "first_conv": pretrained.first_conv,
            "classifier": pretrained.classifier,
            "label_names": list(info.class_ids),
            "label_descriptions": dict(zip(info.class_ids, info.class_names, strict=True)),
        },
    }
    write_text(folder / "config.json", json.dumps(content, indent=2) + "\n")
    safetensors.torch.save_file(state, folder / WEIGHTS, metadata={"format": "pt", METADATA: info.to_json()})


CROP_MODES = {"crop": "center", "older": "center", "squash": "squash", "pad": "border"}


def _timm_geometry(info: ModelInfo) -> dict[str, Any]:
    """How images are brought to the network in timm's words; of its two resizings the first, where there are two.

    Raises:
        UserError: borders have a color that timm would not give them.
    """
    geometry, [normalization] = info.geometry, info.normalization.values()
    mean = tuple(round(255 * value) for value in normalization.mean)
    if geometry.fit == "pad" and geometry.fill != mean:
        raise UserError(
            f"`format` timm: borders have the color {geometry.fill}, and timm's always that of the mean, {mean};"
            " `format=doublevit` exports it"
        )
    return {
        "interpolation": "bicubic" if geometry.fit == "older" else geometry.interpolation,
        "crop_pct": geometry.crop,
        "crop_mode": CROP_MODES[geometry.fit],
    }


def _single(network: Any, library: str) -> SingleBackbone:
    """The one network of a classifier that another library can hold.

    Raises:
        UserError: it has parts that are doublevit's own.
    """
    reason = ""
    if not isinstance(network.backbone, SingleBackbone):
        reason = "a DoubleViT is two networks"
    elif network.attention is not None:
        reason = "its attention is sparse"
    elif not all(isinstance(head, torch.nn.Linear) for head in network.heads):
        reason = "its head is not one linear layer"
    if reason:
        raise UserError(f"`format` {library}: {reason}, which {library} does not have; `format=doublevit` exports it")
    backbone: SingleBackbone = network.backbone
    return backbone


def _timm_state(network: Any, backbone: SingleBackbone) -> State:
    """The weights under the names that timm gives them."""
    names = _classifier_names(backbone.network)
    state = {name: tensor.contiguous() for name, tensor in backbone.network.state_dict().items()}
    for name, head in zip(names, network.heads, strict=True):
        state |= {f"{name}.{key}": tensor.detach().contiguous() for key, tensor in head.state_dict().items()}
    return state


def _classifier_names(network: Any) -> tuple[str, ...]:
    classifier = network.pretrained_cfg.get("classifier", "head")
    names = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    return names[: 2 if is_distilled(network) else 1]


def _try(timm_name: str, arguments: dict[str, Any], classes: int, state: State) -> None:
    """Make sure now that timm takes the weights.

    Raises:
        UserError: its classifier of this network is more than a linear layer, as LeViT's with batch norm.
    """
    twin = timm.create_model(timm_name.partition(".")[0], pretrained=False, num_classes=classes, **arguments)
    try:
        twin.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise UserError(
            f"`format` timm: its {type(twin).__name__} has no linear classifier, which this one has;"
            " `format=doublevit` exports it"
        ) from error


def _to_hugging_face(model: Model, folder: Path) -> None:
    """Write the layout of transformers: config.json, model.safetensors, preprocessor_config.json."""
    from doublevit.jobs.export_hf import to_hugging_face

    network: Any = model.network
    backbone = _single(network, "hf")
    to_hugging_face(model.info, network.resize, backbone.network, _timm_state(network, backbone), folder)


FORMATS: dict[str, Callable[[Model, Path], None]] = {
    "doublevit": _to_doublevit,
    "timm": _to_timm,
    "hf": _to_hugging_face,
}
