"""A study: cells, each a recipe that differs from a common base in a few fields, to be compared with one of them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from doublevit.corruptions import SEVERITIES
from doublevit.recipes.named import get_recipe
from doublevit.recipes.recipe import Recipe, differences, with_changes


@dataclasses.dataclass(frozen=True)
class StudyCell:
    """One network of a study, and how it is evaluated."""

    name: str
    group: str
    """The factor that it varies."""
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Changes to the study's base: dotted fields of the recipe, and their values."""
    inference: tuple[str, ...] = ()
    """The sparse attentions to evaluate it with, as of `top_k`; none given: the one it was trained with."""
    recipe: str | None = None
    """Name of a recipe to take instead of the study's base."""
    label: str = ""
    """How tables name it, where that is not its name."""


@dataclasses.dataclass(frozen=True)
class Protocol:
    """What every trained cell is measured with, as it was trained, besides accuracy on clean images."""

    corruptions: tuple[str, ...] = ()
    """As of `corruptions`; on the images that the study evaluates on."""
    severities: tuple[int, ...] = SEVERITIES
    attacks: tuple[str, ...] = ()
    """As of `attack.names`."""
    epsilons: tuple[str, ...] = ()
    """As of `attack.epsilons`."""
    attack_samples: int = 100
    """Attack so many validation images, of each class its fraction, drawn with seed 0; all where there are fewer."""
    speed: bool = False
    """Whether what the network costs is measured too."""


@dataclasses.dataclass(frozen=True)
class Study:
    """Cells around a base. Changes are made in this order: the study's own, the user's, the cell's."""

    name: str
    note: str
    base: str
    """Name of a recipe."""
    baseline: str
    """Name of the cell that the others are compared with."""
    cells: tuple[StudyCell, ...]
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Changes to the base, for all cells."""
    protocol: Protocol = Protocol()
    beside_paper: bool = False
    """Whether its report shows the paper's numbers beside its own."""

    def base_recipe(self) -> Recipe:
        """What the user may change."""
        return with_changes(get_recipe(self.base), self.changes)

    def recipe_of(self, cell: StudyCell, base: Recipe) -> Recipe:
        """A cell's recipe, where `base` is what the user made of the base.

        Raises:
            UserError: the cell's values do not fit to the user's.
        """
        asked = {path: value for path, (_, value) in differences(self.base_recipe(), base).items()}
        asked |= {"data.cache": base.data.cache, "data.download": base.data.download}
        own = get_recipe(cell.recipe or self.base)
        return with_changes(own, {**self.changes, **asked, **cell.changes})
