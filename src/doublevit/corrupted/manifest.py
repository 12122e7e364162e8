"""What a written corrupted set says of itself, so that it is never taken for the published one."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from doublevit.errors import UserError
from doublevit.files import write_text

NAME = "corrupted.json"
VERSION = 1
JPEG_QUALITY = 85
"""The published sets'."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Which clean photos (`side` is height and width), what the set was made with, and whether as jpeg or store."""

    source: str
    count: int
    side: tuple[int, int]
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    seed: int
    constants: str
    frost: str
    kept_as: str
    version: int = VERSION

    def condition(self) -> dict[str, Any]:
        """What every row of this set says."""
        saved = {"saved": f"JPEG, quality {JPEG_QUALITY}"} if self.kept_as == "jpeg" else {}
        return home_made(self.constants, self.seed, self.frost) | saved

    def write(self, folder: Path) -> None:
        """Put the manifest into its folder."""
        write_text(folder / NAME, json.dumps(dataclasses.asdict(self), indent=1))

    @classmethod
    def read(cls, folder: Path) -> "Manifest | None":
        """The manifest in a folder, if it has one.

        Raises:
            UserError: it is damaged, or of another version.
        """
        path = folder / NAME
        if not path.is_file():
            return None
        try:
            entries: dict[str, Any] = json.loads(path.read_text())
            fields: Any = {key: tuple(old) if isinstance(old, list) else old for key, old in entries.items()}
            manifest = cls(**fields)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is damaged ({error}); make the set again: doublevit data corrupt") from error
        if manifest.version != VERSION:
            raise UserError(f"{path}: version {manifest.version}, expected {VERSION}; make the set again")
        return manifest


def home_made(constants: str, seed: int, frost: str) -> dict[str, Any]:
    """What a row says of pictures that we made, on the fly or before."""
    return {"set": "home-made", "constants": constants, "corruption_seed": seed, "frost": frost}
