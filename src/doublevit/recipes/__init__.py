"""Recipes, which hold everything that a run needs to know, and studies of many: data, no code to run."""

from doublevit.recipes.named import RECIPES, get_recipe
from doublevit.recipes.recipe import Recipe, from_dict, to_dict

__all__ = ["RECIPES", "Recipe", "from_dict", "get_recipe", "to_dict"]
