"""A picture of what corruptions do to a photo."""

import numpy as np
from PIL import Image

from doublevit.corrupted.config import CorruptionConfig
from doublevit.corrupted.sets import OnTheFly
from doublevit.data.sheet import grid_sheet


def corruption_sheet(corrupted: OnTheFly, photo: int, config: CorruptionConfig) -> Image.Image:
    """The photo of that number under each of some corruptions, by severity; the clean one above."""
    index = np.array([photo])
    rows = {"clean": [corrupted.clean.images[index][0]]}
    for name in config.names:
        title = f"{name}\n({corrupted.textures.name})" if name == "frost" else name
        rows[title] = [corrupted.cell((name, severity)).images[index][0] for severity in config.severities]
    return grid_sheet(rows, [str(severity) for severity in config.severities])
