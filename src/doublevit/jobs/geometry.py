"""How a run's images are brought to its network: as its checkpoint was evaluated, where the recipe does not say."""

import dataclasses
from typing import Any

from doublevit.data import READERS
from doublevit.data.squares import geometry_of
from doublevit.geometry import SIDE, Geometry
from doublevit.models.config import ModelConfig
from doublevit.recipes import Recipe
from doublevit.recipes.recipe import with_changes

FITS = {"squash": "squash", "border": "pad"}
"""timm's `crop_mode`, where it is not center."""


def with_geometry(recipe: Recipe) -> Recipe:
    """Return the recipe with every field of the geometry filled in, so that a run keeps it whatever becomes of timm.

    Validation images are stored exactly as the checkpoint's evaluation shows them. Training images have a margin where
    that cuts something off and augmentation crops: they are stored at the same scale, with what is cut off, and the
    random crop, as large as a validation image, moves over all of it. So objects are as large in training as in
    validation, and no edge is lost for good. Without a random crop, training images are as validation images are.

    Raises:
        UserError: there is no such network.
    """
    data = recipe.data
    filled_in = (data.size, data.fit, data.crop, data.interpolation, data.fill, data.margin)
    if data.source not in READERS or None not in filled_in:
        return recipe
    if data.fit == "older":
        return with_changes(recipe, {"data.size": data.size or SIDE, "data.margin": 0})
    own = geometry_of_checkpoint(recipe.model)
    filled = {
        name: getattr(own, field) if getattr(data, name) is None else getattr(data, name)
        for name, field in (("size", "side"), *((name, name) for name in ("fit", "crop", "interpolation", "fill")))
    }
    geometry = geometry_of(dataclasses.replace(data, **filled, margin=0))
    margin = data.margin if data.margin is not None else _margin(recipe, geometry)
    changes = {f"data.{name}": value for name, value in filled.items()} | {"data.margin": margin}
    if margin and _crops(recipe):
        changes["augment.crop_size"] = geometry.side
    return with_changes(recipe, changes)


def scaling_warning(recipe: Recipe, side: int) -> str:
    """Return what to know of images that are stored smaller than the network's input of `side` pixels; "" if not."""
    size = recipe.data.size
    if recipe.data.source not in READERS or size is None or size >= side:
        return ""
    return (
        f"warning: images are stored at {size} x {size} pixels and scaled up to {side} x {side}; without `data.size`"
        " they are stored as the network takes them"
    )


def geometry_of_checkpoint(model: ModelConfig) -> Geometry:
    """Return the geometry by which a recipe's network, of two the first, was evaluated, at the size of its input.

    Raises:
        UserError: there is no such network.
    """
    import timm  # slow, and not needed for other sources than folders

    from doublevit.models.backbones import resolve

    backbone = resolve(model.backbone)
    config: Any = timm.get_pretrained_cfg(backbone.timm_name)
    return Geometry(
        side=model.image_size or backbone.options.get("img_size") or config.input_size[-1],
        **timm_geometry(config.to_dict()),
    )


def timm_geometry(config: dict[str, Any]) -> dict[str, Any]:
    """Return what a timm network's configuration says of its geometry, beside the side."""
    interpolation = config.get("interpolation")
    return {
        "fit": FITS.get(config.get("crop_mode") or "", "crop"),
        "crop": config.get("crop_pct") or 0.875,
        "interpolation": interpolation if interpolation in ("bilinear", "bicubic") else "bicubic",
        "fill": tuple(round(255 * value) for value in config.get("mean") or (0, 0, 0)),
    }


def _margin(recipe: Recipe, geometry: Geometry) -> int:
    """Return how many pixels on each side a random crop can bring back, of those that the geometry cuts off."""
    return (geometry.resized - geometry.side) // 2 if _crops(recipe) and geometry.fit == "crop" else 0


def _crops(recipe: Recipe) -> bool:
    """Return whether images are cropped at random at their own size, to a side that the recipe leaves open."""
    return recipe.augment.policy != "none" and recipe.augment.place == "image" and recipe.augment.crop_size is None
