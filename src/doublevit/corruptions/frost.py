"""Frost: a photo of ice laid over the photo."""

import numpy as np

from doublevit.corruptions.config import Constants
from doublevit.corruptions.draws import Draws, to_uniform
from doublevit.corruptions.levels import cut_off
from doublevit.corruptions.textures import Textures
from doublevit.errors import UserError


def require_room(textures: Textures, scale: float, height: int, width: int) -> None:
    """Raise `UserError` unless photos of a size can be cut from every texture, scaled, at more than one place."""
    least = np.min([picture.shape[:2] for picture in textures.scaled(scale)], axis=0)
    if height >= least[0] or width >= least[1]:
        raise UserError(
            f"frost: photos of {width} x {height} are too large for the {textures.name}: expected less than"
            f" {least[1]} x {least[0]}; leave frost out, or prepare smaller photos (--data.size)"
        )


def draw_crops(draws: Draws, images: np.ndarray, constants: Constants, textures: Textures) -> dict[str, np.ndarray]:
    """`texture`, by number, and `row` and `column` of the crop in it, scaled: int (N,) each."""
    uniform = to_uniform(draws.words(3)).astype(np.float64)
    pictures = textures.scaled(constants[2])
    texture = (uniform[:, 0] * len(pictures)).astype(int)
    # As published, the last row and the last column that would fit are never the first of a crop.
    room = np.array([picture.shape[:2] for picture in pictures]) - images.shape[1:3]
    row, column = (uniform[:, 1:] * room[texture]).astype(int).T
    return {"texture": texture, "row": row, "column": column}


def frost(
    images: np.ndarray,
    constants: Constants,
    textures: Textures,
    texture: np.ndarray,
    row: np.ndarray,
    column: np.ndarray,
) -> np.ndarray:
    """Ice flowers on the window."""
    of_photo, of_ice, scale = constants
    pictures, ice = textures.scaled(scale), np.empty_like(images)
    height, width = images.shape[1:3]
    for crop, number, top, left in zip(ice, texture.tolist(), row.tolist(), column.tolist(), strict=True):
        crop[:] = pictures[number][top : top + height, left : left + width]
    values = images * np.float64(of_photo)
    values += ice * np.float64(of_ice)
    return cut_off(values)
