"""A study: cells, each a recipe that differs from a common base in a few fields, to be compared with one of them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from doublevit.corruptions import SEVERITIES
from doublevit.recipes.named import get_recipe
from doublevit.recipes.recipe import Recipe, differences, with_changes


@dataclasses.dataclass(frozen=True)
class StudyCell:
    """Describes one network of a study, and how it is evaluated."""

    name: str
    group: str
    """The factor that is varied."""
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Changes to the study's base recipe: values by dotted paths of fields."""
    inference: tuple[str, ...] = ()
    """The sparse attentions to evaluate with, each as `top_k`; if none is given, that of the training."""
    recipe: str | None = None
    """Name of a recipe that replaces the study's base."""
    label: str = ""
    """Name in tables, if not `name`."""


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Describes what is measured of every cell, as it was trained, besides accuracy on clean images."""

    corruptions: tuple[str, ...] = ()
    """Corruptions or groups of them, applied to the images that the study evaluates on."""
    severities: tuple[int, ...] = SEVERITIES
    attacks: tuple[str, ...] = ()
    """Names of attacks, as in `attack.names`."""
    epsilons: tuple[str, ...] = ()
    """Epsilons of the attacks, as in `attack.epsilons`."""
    attack_samples: int = 100
    """How many validation images are attacked, drawn with seed 0 in proportion to the classes; at most all."""
    speed: bool = False
    """Whether speed, memory and size are measured too."""


@dataclasses.dataclass(frozen=True)
class Study:
    """Describes cells around a base recipe. Changes apply in this order: the study's, the user's, the cell's."""

    name: str
    note: str
    base: str
    """Name of the base recipe."""
    baseline: str
    """Name of the cell with which the others are compared."""
    cells: tuple[StudyCell, ...]
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Changes to the recipes of all cells."""
    protocol: Protocol = Protocol()
    beside_paper: bool = False
    """Whether the report shows the paper's numbers beside those of the study."""

    def base_recipe(self) -> Recipe:
        """Return the base recipe with the study's changes, which the user may change further."""
        return with_changes(get_recipe(self.base), self.changes)

    def recipe_of(self, cell: StudyCell, base: Recipe) -> Recipe:
        """Return the recipe of a cell, given the `base` recipe as the user changed it.

        Raises:
            UserError: the cell's values do not fit the user's.
        """
        user_changes = {path: value for path, (_, value) in differences(self.base_recipe(), base).items()}
        user_changes |= {"data.cache": base.data.cache, "data.download": base.data.download}
        recipe = get_recipe(cell.recipe or self.base)
        return with_changes(recipe, {**self.changes, **user_changes, **cell.changes})
