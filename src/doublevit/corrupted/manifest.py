"""What a written corrupted set says of itself, so that it is never taken for the published one."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from doublevit.corruptions.config import COMMON, SEVERITIES, VALIDATION, VERSION
from doublevit.data.tiny_imagenet_c import MANIFEST, Cell
from doublevit.errors import UserError
from doublevit.files import write_text

LAYOUT = 1
JPEG_QUALITY = 85
"""The published sets'."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Which clean photos (`side` is height and width), what the set was made with, and whether as jpeg or store.

    `cells` are those that were ever asked for; one that is not there was not finished.
    """

    source: str
    count: int
    side: tuple[int, int]
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    seed: int
    constants: str
    frost: str
    kept_as: str
    cells: tuple[Cell, ...] = ()
    corruptions_version: int = VERSION
    layout: int = LAYOUT

    def condition(self) -> dict[str, Any]:
        """What every row of this set says."""
        saved = {"saved": f"JPEG, quality {JPEG_QUALITY}"} if self.kept_as == "jpeg" else {}
        return home_made(self.constants, self.seed, self.frost, self.corruptions_version) | saved

    def differs_in(self, other: "Manifest") -> str | None:
        """The first thing, other than the cells, in which two sets are not the same."""
        names = (field.name for field in dataclasses.fields(self) if field.name != "cells")
        return next((name for name in names if getattr(self, name) != getattr(other, name)), None)

    def _require_sense(self) -> None:
        """Raise `ValueError` where a field is not what it can be."""
        texts = (self.source, self.constants, self.frost, *self.class_ids, *self.class_names)
        numbers = (self.seed, self.count - 1, *(side - 1 for side in self.side))
        checks = {
            "text": all(isinstance(text, str) for text in texts),
            "number": all(isinstance(number, int) and number >= 0 for number in numbers),
            "classes": len(self.class_ids) == len(self.class_names) > 0,
            "side": len(self.side) == 2,
            "kept_as": self.kept_as in ("jpeg", "store"),
            "cells": set(self.cells) <= {(n, s) for n in COMMON + VALIDATION for s in SEVERITIES} and bool(self.cells),
        }
        wrong = [name for name, is_right in checks.items() if not is_right]
        if wrong:
            raise ValueError(f"{wrong[0]} is not as it should be")

    def write(self, folder: Path) -> None:
        """Put the manifest into its folder."""
        write_text(folder / MANIFEST, json.dumps(dataclasses.asdict(self), indent=1))

    @classmethod
    def read(cls, folder: Path) -> "Manifest | None":
        """The manifest in a folder, if it has one.

        Raises:
            UserError: it is damaged, or of another version.
        """
        path = folder / MANIFEST
        if not path.is_file():
            return None
        try:
            entries: dict[str, Any] = json.loads(path.read_text())
            fields: Any = {key: tuple(old) if isinstance(old, list) else old for key, old in entries.items()}
            manifest = cls(**fields | {"cells": tuple((name, severity) for name, severity in fields["cells"])})
            manifest._require_sense()
        except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise UserError(f"{path} is damaged ({error}); make the set again: doublevit data corrupt") from error
        if manifest.layout != LAYOUT:
            raise UserError(f"{path}: layout {manifest.layout}, expected {LAYOUT}; make the set again")
        return manifest


def home_made(constants: str, seed: int, frost: str, version: int = VERSION) -> dict[str, Any]:
    """What a row says of pictures that we made, on the fly or before."""
    said = {"set": "home-made", "constants": constants, "corruption_seed": seed, "frost": frost}
    return said | {"corruptions_version": version}
