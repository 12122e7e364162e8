"""Which corruptions, and what they are made with: the knobs that several commands share."""

import dataclasses
from pathlib import Path

from doublevit.corruptions import COMMON, PAPER, SEVERITIES, VALIDATION, require_known
from doublevit.errors import UserError

GROUPS = {"common": COMMON, "validation": VALIDATION, "paper": PAPER, "all": COMMON + VALIDATION}
"""Names for several corruptions at once."""


@dataclasses.dataclass(frozen=True)
class CorruptionConfig:
    """Which corruptions, how strong, and with what random numbers and frost."""

    corruptions: tuple[str, ...] = ("common",)
    """Names, or common (the fifteen), validation (the other four, to tune on), paper (its five), all."""
    severities: tuple[int, ...] = SEVERITIES
    """1 (weakest) to 5."""
    corruption_seed: int = 0
    """Decides every draw, together with corruption, severity and the photo's place."""
    frost_textures: Path | None = None
    """Folder with the published frost1.png ... frost5.jpg; if not given, those downloaded, or generated ones."""
    download_frost_textures: bool = False
    """Fetch the published frost textures (1.6 MB) into the cache if they are not there."""

    def __post_init__(self) -> None:
        require_known(self.names, self.severities)
        if not self.names or not self.severities:
            raise UserError("--corruptions and --severities: expected at least one of each")
        if not 0 <= self.corruption_seed < 2**64:
            raise UserError(f"--corruption-seed: expected 0 or more, and below 2**64, found {self.corruption_seed}")

    @property
    def names(self) -> tuple[str, ...]:
        """The corruptions, one by one, each once."""
        return tuple(dict.fromkeys(name for entry in self.corruptions for name in GROUPS.get(entry, (entry,))))

    @property
    def cells(self) -> tuple[tuple[str, int], ...]:
        """Every corruption at every severity."""
        return tuple((name, severity) for name in self.names for severity in self.severities)
