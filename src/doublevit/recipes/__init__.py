"""Recipes: the whole configuration of a run, as data."""

from doublevit.recipes.named import RECIPES, fine_tuning, get_recipe
from doublevit.recipes.recipe import Recipe, from_dict, to_dict

__all__ = ["RECIPES", "Recipe", "fine_tuning", "from_dict", "get_recipe", "to_dict"]
