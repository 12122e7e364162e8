"""The manifest of a written corrupted set, which keeps it from being mistaken for the published one."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from doublevit import strict_json
from doublevit.corruptions.config import COMMON, SEVERITIES, VALIDATION, VERSION
from doublevit.data.identity import Cell
from doublevit.errors import UserError
from doublevit.files import write_text
from doublevit.runs.conditions import CorruptionSource

MANIFEST = "corrupted.json"
"""The file that `doublevit data corrupt` adds to the sets it writes, which have the published layout."""
LAYOUT = 1
Positive = Annotated[int, msgspec.Meta(ge=1)]
JPEG_QUALITY = 85
"""That of the published sets."""


def _is_known(cell: Cell) -> bool:
    return cell[0] in COMMON + VALIDATION and cell[1] in SEVERITIES


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The clean images of a set (`side` is height and width), how they were corrupted, and the format they are kept in.

    `cells` are all that were ever requested; one that does not exist was not finished.
    """

    source: str
    count: Positive
    side: tuple[Positive, Positive]
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    seed: Annotated[int, msgspec.Meta(ge=0)]
    constants: str
    frost: str
    kept_as: Literal["jpeg", "store"]
    cells: tuple[Cell, ...] = ()
    corruptions_version: int = VERSION
    layout: int = LAYOUT

    def corruption_source(self) -> CorruptionSource:
        """Return the source of this set's images, which every row of results records."""
        saved_as = f"JPEG, quality {JPEG_QUALITY}" if self.kept_as == "jpeg" else None
        return home_made(self.constants, self.seed, self.corruptions_version, saved_as)

    def differs_in(self, other: "Manifest") -> str | None:
        """Return the first field other than `cells` that differs, or None."""
        names = (name for name in self.__struct_fields__ if name != "cells")
        return next((name for name in names if getattr(self, name) != getattr(other, name)), None)

    def write(self, folder: Path) -> None:
        """Write the manifest into `folder`."""
        write_text(folder / MANIFEST, strict_json.pretty(self))

    @classmethod
    def read(cls, folder: Path) -> "Manifest | None":
        """Read the manifest in a folder; None if there is none.

        Raises:
            UserError: the manifest is damaged or of another version.
        """
        path = folder / MANIFEST
        if not path.is_file():
            return None
        try:
            manifest = strict_json.decode(path.read_bytes(), cls)
            manifest._require_consistent()
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is damaged ({error}); make the set again: doublevit data corrupt") from error
        if manifest.layout != LAYOUT:
            raise UserError(f"{path}: layout {manifest.layout}, expected {LAYOUT}; make the set again")
        return manifest

    def _require_consistent(self) -> None:
        """Raise `ValueError` where fields contradict each other, which types cannot tell."""
        if not len(self.class_ids) == len(self.class_names) > 0:
            raise ValueError("expected as many names as class ids, and at least one")
        if not self.cells or not all(map(_is_known, self.cells)):
            raise ValueError("expected cells of known corruptions and severities")


def home_made(constants: str, seed: int, version: int = VERSION, saved_as: str | None = None) -> CorruptionSource:
    """Return the source of images that were corrupted here, on the fly or earlier."""
    return CorruptionSource(kind="home-made", constants=constants, seed=seed, version=version, saved_as=saved_as)
