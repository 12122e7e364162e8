"""`doublevit recipes`, which lists everything that has a name."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from doublevit.attacks.catalogue import ATTACKS, ENSEMBLES
from doublevit.augment import OPERATION_SETS, OPERATIONS, POLICIES
from doublevit.cli.parse import asks_help
from doublevit.cli.terminal import out
from doublevit.errors import UserError
from doublevit.models.config import BACKBONES, HEAD_INITS, HEADS
from doublevit.recipes import RECIPES


def recipes(arguments: Sequence[str]) -> None:
    """List recipes, networks, heads, augmentation policies and attacks."""
    if not asks_help(arguments):
        raise UserError("doublevit recipes takes nothing; for a recipe's options: doublevit run RECIPE --help")
    print_recipes()
    print_names("Networks", {name: f"{entry.note} ({entry.timm_name})" for name, entry in BACKBONES.items()})
    print_names("Heads", HEADS)
    print_names("Starts of the linear head (model.head_init)", HEAD_INITS)
    operations = {name: ", ".join(names) for name, names in OPERATION_SETS.items()}
    operations["beside these"] = ", ".join(name for name in OPERATIONS if name not in OPERATION_SETS["timm"])
    print_names("Augmentation policies", POLICIES)
    print_names("Operations of AugMix", operations)
    attacks = {name: f"{entry.note} ({', '.join(entry.norms) or 'no norm'})" for name, entry in ATTACKS.items()}
    print_names("Attacks", attacks | {name: ", then ".join(parts) for name, parts in ENSEMBLES.items()})


def print_recipes() -> None:
    """Print the recipes, a line each."""
    print_names("Recipes", {name: recipe.note for name, recipe in RECIPES.items()})


def print_names(title: str, notes: dict[str, str]) -> None:
    """Print a titled list of names and what they mean."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False)
    for name, note in notes.items():
        table.add_row(f"  {name}", Text(note))
    out.print(table)
