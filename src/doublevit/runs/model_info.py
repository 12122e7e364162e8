"""What a model is, kept beside its weights, so that it can be used where its training images are not."""

from pathlib import Path
from typing import Any

import msgspec

from doublevit import strict_json
from doublevit.errors import UserError
from doublevit.files import write_text
from doublevit.geometry import MAX_SIDE, Geometry
from doublevit.models.config import ModelConfig, of_older
from doublevit.runs.conditions import Record
from doublevit.runs.folder import METADATA
from doublevit.version import __version__

FILE = "model.json"
VERSION = 2
AMONG = ", among "
"""What follows the name of a model that is asked for some of its classes only, before their number."""


class Normalization(Record, frozen=True):
    """Mean and standard deviation of each channel, of pixels in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class ModelInfo(Record, frozen=True, kw_only=True):
    """A model's classes, in the order of its logits, and what becomes of an image before the network sees it.

    An image file of any size is decoded, integer levels having `bits` where files do not say so, and brought to a
    square by `geometry`. The model itself resizes that to `image_size` by `interpolation` ("bicubic" or "bilinear") and
    normalizes, each branch by its own `normalization`. `model` is the recipe's part, None for a network that was not
    built here.
    """

    name: str
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    geometry: Geometry
    image_size: int
    interpolation: str
    normalization: dict[str, Normalization]
    bits: int | None = None
    model: ModelConfig | None = None
    seed: int = 0
    doublevit: str = __version__
    version: int = VERSION

    def __post_init__(self) -> None:
        if len(self.class_ids) != len(self.class_names) or len(set(self.class_ids)) != len(self.class_ids):
            raise ValueError("expected different class_ids, and a name for each")
        if not (1 <= self.image_size <= MAX_SIDE and 8 <= (self.bits or 8) <= 16):
            raise ValueError(f"expected image_size of 1 to {MAX_SIDE}, and bits of 8 to 16")
        if self.interpolation not in ("bicubic", "bilinear"):
            raise ValueError(f"interpolation {self.interpolation!r}: expected bicubic or bilinear")

    @property
    def side(self) -> int:
        """The side in pixels of the square that images are brought to."""
        return self.geometry.side

    def to_json(self) -> str:
        """Return the text of model.json."""
        return strict_json.pretty(self)


def write_info(folder: Path, info: ModelInfo) -> None:
    """Write model.json into a folder."""
    write_text(folder / FILE, info.to_json())


def read_info(folder: Path) -> ModelInfo:
    """Read the model.json of a folder.

    Raises:
        UserError: there is none, as in runs made before there were any, or it is damaged or of another version.
    """
    path = folder / FILE
    if not path.is_file():
        raise UserError(
            f"{folder} has no {FILE}, which names its classes: an older doublevit made it. Where its images are at"
            f" hand, this adds it: doublevit upgrade {folder}"
        )
    return parse_info(path.read_bytes(), path)


def require_same_info(weights: Path, info: ModelInfo) -> None:
    """Raise `UserError` where a file of weights names other classes, or another geometry, than `info`."""
    import safetensors  # reports, which need no weights, do without it

    try:
        with safetensors.safe_open(weights, "np") as file:
            text = (file.metadata() or {}).get(METADATA)
    except (OSError, safetensors.SafetensorError):  # loading them will say so
        return
    if text is None:
        return
    own = parse_info(text, weights)
    same = {"name": info.name, "doublevit": info.doublevit}
    if msgspec.structs.replace(own, **same) != info:
        raise UserError(
            f"{weights} is of a model with other classes or geometry than {FILE} beside it says; bring back the {FILE}"
            " that belongs to it"
        )


def parse_info(text: str | bytes, path: Path) -> ModelInfo:
    """Parse what `ModelInfo.to_json` wrote; `path` is named in errors.

    Raises:
        UserError: the text is damaged or of another version.
    """
    try:
        entries: dict[str, Any] = strict_json.decode(text, dict)
        version = entries.get("version")
        if version == 1:
            entries = _of_version_1(entries)
        elif version != VERSION:
            raise ValueError(f"version {version}, and this doublevit ({__version__}) reads versions 1 to {VERSION}")
        if isinstance(entries.get("model"), dict):
            entries["model"] = of_older(entries["model"])
        return strict_json.convert(entries, ModelInfo)
    except (ValueError, msgspec.MsgspecError) as error:
        raise UserError(f"{path} does not describe a model that can be read ({error})") from error


def _of_version_1(entries: dict[str, Any]) -> dict[str, Any]:
    """Return what version 1 says in the fields of this one: a geometry was `side`, and `squash` or timm's `crop`."""
    rest = {key: value for key, value in entries.items() if key not in ("side", "crop", "squash")}
    geometry: dict[str, Any] = {"side": entries.get("side"), "fit": "older"}
    if entries.get("squash"):
        geometry |= {"fit": "squash", "interpolation": entries.get("interpolation")}
    elif entries.get("crop") is not None:
        geometry |= {"fit": "crop", "crop": entries["crop"], "interpolation": entries.get("interpolation")}
    return rest | {"geometry": geometry, "version": VERSION}
