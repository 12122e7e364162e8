"""Networks that were not trained here, as a `Model`: timm's, Hugging Face's, and any that takes normalized floats."""

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm.data
import torch
from torch import nn

from doublevit.errors import UserError
from doublevit.geometry import MAX_SIDE, Geometry
from doublevit.jobs.geometry import timm_geometry
from doublevit.jobs.model import Model
from doublevit.jobs.onnx.network import OnnxNetwork, open_foreign
from doublevit.models.wrapped import Wrapped, count_outputs
from doublevit.runs.model_info import ModelInfo, Normalization

Channels = Sequence[float]
CONVNEXT_SQUASHES = 384  # pixels from which transformers' ConvNeXt processor resizes both sides, and cuts nothing


def wrap(
    network: nn.Module | str | Path,
    processor: Any = None,
    *,
    mean: Channels | None = None,
    std: Channels | None = None,
    size: int | None = None,
    classes: Sequence[str] | None = None,
    name: str | None = None,
) -> Model:
    """Make a `Model`, from pixels to logits, of a network that takes normalized floats.

    What is not given is read from where it is known: a timm network's own `pretrained_cfg`, or a Hugging Face image
    classifier's `config` and its image `processor`.

    Args:
        network: any module (B, 3, size, size) -> logits (B, classes); a Hugging Face classifier too; or the path of an
            ONNX file that takes such floats, which has no gradients.
        processor: the Hugging Face image processor of the network.
        mean: of each channel, of pixels in [0, 1].
        std: of each channel.
        size: side in pixels of the network's input.
        classes: names in the order of the logits; for a head of ImageNet's 1,000 classes they are known.
        name: what tables call the model.

    Raises:
        UserError: something that is needed is not known, or the network's output is not logits for these classes.

    Example:
        >>> import doublevit, timm
        >>> model = doublevit.wrap(timm.create_model("test_vit"))
        >>> len(model.classes)
        1000
    """
    if isinstance(network, str | Path):
        path, network = network, open_foreign(Path(network))
        name = name or Path(path).stem
    network.eval()
    known = _known_of_processor(network, processor) if processor is not None else _known_of_timm(network)
    given = {"mean": mean, "std": std, "size": size}
    known |= {key: value for key, value in given.items() if value is not None}
    means, stds, side = _required_input(network, known)
    module = Wrapped(network, side, known.get("interpolation", "bicubic"), means, stds)
    ids, names = _class_names(count_outputs(module, side), classes, known)
    info = ModelInfo(
        name=name or known.get("name") or type(network).__name__,
        class_ids=ids,
        class_names=names,
        geometry=_geometry(side, known, means),
        image_size=side,
        interpolation=known.get("interpolation", "bicubic"),
        normalization={"network": Normalization(means, stds)},
    )
    return Model(module, info)


def _required_input(network: nn.Module, known: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...], int]:
    """Return mean and std of each channel, and the side of the input in pixels.

    Raises:
        UserError: one of them is not known, or cannot be.
    """
    missing = [key for key in ("mean", "std", "size") if key not in known]
    if missing:
        raise UserError(
            f"{type(network).__name__} does not say how it wants its input; pass `{missing[0]}`: expected mean and std"
            " of each channel, of pixels in [0, 1], and size, the side of its input in pixels"
        )
    means, stds, side = _three(known["mean"], "mean"), _three(known["std"], "std"), int(known["size"])
    if not all(-1 <= value <= 2 for value in means):
        raise UserError(f"`mean`: expected three numbers for pixels in [0, 1], found {means}; divide by 255?")
    if not 1 <= side <= MAX_SIDE:
        raise UserError(f"`size`: expected 1 to {MAX_SIDE} pixels, found {side}")
    if not all(value > 0 for value in stds):
        raise UserError(f"`std`: expected three numbers above 0, found {stds}")
    return means, stds, side


def _geometry(side: int, known: dict[str, Any], means: tuple[float, ...]) -> Geometry:
    names = ("fit", "crop", "interpolation")
    red, green, blue = (min(255, max(0, round(255 * mean))) for mean in means)
    return Geometry(side=side, fill=(red, green, blue), **{name: known[name] for name in names if name in known})


def _known_of_timm(network: nn.Module) -> dict[str, Any]:
    """What a timm network's configuration says of its evaluation, which may be at another size than its training was.

    Or what the input of an ONNX graph says; nothing for other networks.
    """
    if isinstance(network, OnnxNetwork):
        return {"size": network.size[0]} if network.size[0] else {}
    config = getattr(network, "pretrained_cfg", None)
    if not isinstance(config, dict) or "mean" not in config:
        return {}
    tag = f".{config['tag']}" if config.get("tag") else ""
    return {
        "mean": config["mean"],
        "std": config["std"],
        "size": (config.get("test_input_size") or config["input_size"])[-1],
        **timm_geometry(config | {"crop_pct": config.get("test_crop_pct") or config.get("crop_pct")}),
        "name": f"{config['architecture']}{tag}" if config.get("architecture") else None,
        "labels": config.get("label_names"),
    }


def _crop(side: int, shorter: int) -> float:
    """Return the crop by which a shorter side is resized to `shorter` pixels, and not to one less by rounding."""
    crop = side / max(side, shorter)
    return crop if math.floor(side / crop) >= shorter else math.nextafter(crop, 0)


def _known_of_processor(network: nn.Module, processor: Any) -> dict[str, Any]:
    """What a Hugging Face image processor and its network's configuration say.

    Raises:
        UserError: the processor is of a kind that cannot be read.
    """
    size = getattr(processor, "crop_size", None) if getattr(processor, "do_center_crop", False) else None
    size = size or getattr(processor, "size", None)
    side = _entry(size, "height") or _entry(size, "shortest_edge")
    mean, std = getattr(processor, "image_mean", None), getattr(processor, "image_std", None)
    if not side or mean is None or std is None:
        raise UserError(
            f"{type(processor).__name__} does not say size, mean and std; pass `size`, `mean` and `std` instead of it"
        )
    factor = float(getattr(processor, "rescale_factor", 1 / 255) or 1 / 255)
    if not getattr(processor, "do_normalize", True) or abs(factor * 255 - 1) > 1e-6:
        raise UserError(
            f"{type(processor).__name__} scales pixels otherwise than to [0, 1] and by mean and std; wrap the network"
            " with `mean`, `std` and `size` instead"
        )
    cuts = getattr(processor, "do_center_crop", False) or _entry(getattr(processor, "size", None), "shortest_edge")
    crop_pct = getattr(processor, "crop_pct", None)
    shorter = _entry(getattr(processor, "size", None), "shortest_edge") or side
    squashes = not cuts or bool(crop_pct and side >= CONVNEXT_SQUASHES)
    config = getattr(network, "config", None)
    labels = getattr(config, "id2label", None) or {}
    return {
        "mean": mean,
        "std": std,
        "size": side,
        "interpolation": "bilinear" if int(getattr(processor, "resample", 3)) == 2 else "bicubic",
        "crop": 1.0 if squashes else float(crop_pct) if crop_pct else _crop(side, shorter),
        "fit": "squash" if squashes else "crop",
        "name": Path(getattr(config, "_name_or_path", "") or "").name or None,
        "labels": [labels[index] for index in sorted(labels)] or None,
    }


def _entry(size: Any, key: str) -> int | None:
    """An entry of a processor's size, which is a dict or an object like one."""
    value = size.get(key) if hasattr(size, "get") else getattr(size, key, None)
    return int(value) if value else None


def _class_names(
    count: int, classes: Sequence[str] | None, known: dict[str, Any]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ids and names of a network's classes.

    Raises:
        UserError: there are not as many as outputs, or two are the same.
    """
    if isinstance(classes, str):
        raise UserError(f"`classes`: expected a list of names, found the text {classes!r}")
    if classes is not None:
        names = tuple(map(str, classes))
        if len(names) != count:
            raise UserError(
                f"`classes`: expected {count:,} names, as many as the network has outputs, found {len(names):,}"
            )
        if len(set(names)) != count:
            double = next(name for name in names if names.count(name) > 1)
            raise UserError(f"`classes`: expected different names, found {double!r} twice")
        return names, names
    if count == len(imagenet_ids()) and not _is_named(known.get("labels")):
        return imagenet_ids(), imagenet_names()
    labels = known.get("labels")
    names = tuple(labels) if labels and len(labels) == count else tuple(map(str, range(count)))
    ids = names if len(set(names)) == count else tuple(map(str, range(count)))
    return ids, names


def _is_named(labels: Sequence[str] | None) -> bool:
    """Whether labels are a network's own, and not the thousand names of ImageNet's, which have ids."""
    return bool(labels) and labels is not None and labels[0].split(",")[0] not in ("tench", "n01440764")


@functools.cache
def imagenet_ids() -> tuple[str, ...]:
    """Return the wnids of ImageNet's 1,000 classes, in the order of a network's outputs."""
    return tuple(timm.data.ImageNetInfo().label_names())


@functools.cache
def imagenet_names() -> tuple[str, ...]:
    """Return the first of the words of each of ImageNet's 1,000 classes."""
    info = timm.data.ImageNetInfo()
    return tuple(info.index_to_description(index).split(",")[0].strip() for index in range(1000))


def _three(values: Any, name: str) -> tuple[float, ...]:
    numbers = tuple(torch.as_tensor(values, dtype=torch.float64).flatten().tolist())
    if len(numbers) != 3:
        raise UserError(f"`{name}`: expected three numbers, one for each channel, found {len(numbers)}")
    return numbers
