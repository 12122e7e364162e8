"""An attack by its name."""

from collections.abc import Callable

from doublevit.attacks.autoattack.apgd import Apgd
from doublevit.attacks.autoattack.fab import Fab
from doublevit.attacks.autoattack.square import Square
from doublevit.attacks.catalogue import FOOLBOX
from doublevit.attacks.foolbox_attack import make_foolbox
from doublevit.attacks.hyperparameters import Hyperparameters
from doublevit.attacks.interface import AttackFunction

MAKERS: dict[str, Callable[[str, Hyperparameters], AttackFunction]] = {
    "apgd-ce": lambda norm, chosen: Apgd(norm, "ce", chosen.apgd.steps),
    "apgd-dlr": lambda norm, chosen: Apgd(norm, "dlr", chosen.apgd.steps),
    "apgd-dlr-t": lambda norm, chosen: Apgd(norm, "dlr-targeted", chosen.apgd.steps, targets=chosen.apgd.targets),
    "fab-t": lambda norm, chosen: Fab(norm, chosen.fab.steps, chosen.fab.targets),
    "square": lambda norm, chosen: Square(norm, chosen.square.queries),
    "apgd-ce-eot": lambda norm, chosen: Apgd(norm, "ce", chosen.apgd.steps, eot=chosen.apgd.eot),
    "apgd-dlr-eot": lambda norm, chosen: Apgd(norm, "dlr", chosen.apgd.steps, eot=chosen.apgd.eot),
}
"""Makes each part of AutoAttack in a norm."""


def make(name: str, norm: str, parameters: Hyperparameters) -> AttackFunction:
    """The attack called `name` (no ensemble) in a norm, which one without norms does not look at.

    Raises:
        UserError: there is no such attack, or not in that norm.
    """
    if name in MAKERS:
        return MAKERS[name](norm, parameters)
    without = name in FOOLBOX and not FOOLBOX[name].norms
    return make_foolbox(name, None if without else norm, parameters)
