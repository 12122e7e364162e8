"""What every job begins with: the data and the model of a recipe."""

import torch

from doublevit import data
from doublevit.data.dataset import Splits
from doublevit.models.classifier import Classifier, build
from doublevit.progress import console, is_main_process
from doublevit.recipes import Recipe


def materials(recipe: Recipe, *, from_scratch: bool = False) -> tuple[Splits, Classifier]:
    """Data and model; `from_scratch` where a checkpoint will fill the model, so that no other weights are fetched."""
    splits = data.load(recipe.data)
    torch.manual_seed(recipe.seed)
    config = recipe.model
    return splits, build(config, splits["train"].class_ids, load_weights=not from_scratch)


def tell_attention(model: Classifier) -> None:
    """Say, where attention is sparse, how many keys are looked at in how many layers."""
    if model.attention is not None and is_main_process():
        console.print(f"sparse attention: {model.attention.describe()}", highlight=False)
