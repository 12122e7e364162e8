"""Options of corruptions, of their random numbers and frost, and of the comparison with another run."""

import dataclasses
from pathlib import Path

from doublevit.corruptions import COMMON, PAPER, SEVERITIES, VALIDATION, require_known
from doublevit.errors import UserError

GROUPS = {"common": COMMON, "validation": VALIDATION, "paper": PAPER, "all": COMMON + VALIDATION}
"""Names of groups of corruptions."""


@dataclasses.dataclass(frozen=True)
class CorruptionConfig:
    """Which corruptions at which severities, with which random numbers and frost."""

    corruptions: tuple[str, ...] = ()
    """Names of corruptions, or common (the fifteen), validation (the other four, to tune on), paper (its five), all."""
    severities: tuple[int, ...] = SEVERITIES
    """Severities, 1 (weakest) to 5."""
    corruption_seed: int = 0
    """Seed of all draws, together with corruption, severity and the image's index."""
    frost_textures: Path | None = None
    """Folder with the published frost1.png ... frost5.jpg; if not given, downloaded or generated textures."""
    download_frost_textures: bool = False
    """Fetch the published frost textures into the cache if they are not there."""

    def __post_init__(self) -> None:
        require_known(self.names, self.severities)
        if not self.severities:
            raise UserError("`severities`: expected at least one of 1 to 5")
        if not 0 <= self.corruption_seed < 2**64:
            raise UserError(f"`corruption_seed`: expected 0 or more, and below 2**64, found {self.corruption_seed}")

    @property
    def names(self) -> tuple[str, ...]:
        """The corruptions' names, with groups expanded, each once."""
        return tuple(dict.fromkeys(name for entry in self.corruptions for name in GROUPS.get(entry, (entry,))))

    @property
    def cells(self) -> tuple[tuple[str, int], ...]:
        """Every corruption at every severity, each once."""
        return tuple((name, severity) for name in self.names for severity in dict.fromkeys(self.severities))


@dataclasses.dataclass(frozen=True)
class RobustnessConfig(CorruptionConfig):
    """Which corruptions to evaluate, on which images, and relative to which other run."""

    corrupted_set: Path | None = None
    """Tiny-ImageNet-C, ImageNet-C, or a set that `data corrupt` wrote; if not given, made on the fly."""
    download_corrupted_set: bool = False
    """Fetch the published set (the repaired archive, Zenodo 8206060) into the cache, and use that."""
    relative_to: Path | None = None
    """Another run, evaluated before on the same corruptions: also give the error relative to it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.corruptions and any(
            getattr(self, field.name) != field.default for field in dataclasses.fields(self)
        ):
            raise UserError("expected `corruptions`, to say which; for the fifteen: `corruptions=common`")
        if self.corrupted_set and self.download_corrupted_set:
            raise UserError("`corrupted_set` and `download_corrupted_set`: expected one of them")
        made = (self.corruption_seed, self.frost_textures, self.download_frost_textures)
        if (self.corrupted_set or self.download_corrupted_set) and any(made):
            raise UserError("`corruption_seed` and frost textures are for images corrupted on the fly, not for a set")
        if self.download_corrupted_set and len({name in VALIDATION for name in self.names}) > 1:
            raise UserError(
                "the published fifteen and the other four are two archives: evaluate `corruptions=common`,"
                " then `corruptions=validation`"
            )
