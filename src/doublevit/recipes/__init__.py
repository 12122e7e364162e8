"""Recipes: everything that a run needs to know, as data."""

from doublevit.recipes.named import RECIPES, get_recipe
from doublevit.recipes.recipe import Recipe, from_dict, to_dict

__all__ = ["RECIPES", "Recipe", "from_dict", "get_recipe", "to_dict"]
