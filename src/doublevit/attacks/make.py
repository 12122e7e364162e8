"""Makes attacks by their names."""

from collections.abc import Callable

from doublevit.attacks.autoattack.apgd import Apgd
from doublevit.attacks.autoattack.fab import Fab
from doublevit.attacks.autoattack.square import Square
from doublevit.attacks.catalogue import FOOLBOX_ATTACKS
from doublevit.attacks.foolbox_attack import make_foolbox
from doublevit.attacks.hyperparameters import Hyperparameters
from doublevit.attacks.interface import AttackFunction

AUTOATTACK_MAKERS: dict[str, Callable[[str, Hyperparameters], AttackFunction]] = {
    "apgd-ce": lambda norm, parameters: Apgd(norm, "ce", parameters.apgd.steps),
    "apgd-dlr": lambda norm, parameters: Apgd(norm, "dlr", parameters.apgd.steps),
    "apgd-dlr-t": lambda norm, parameters: Apgd(
        norm, "dlr-targeted", parameters.apgd.steps, targets=parameters.apgd.targets
    ),
    "fab-t": lambda norm, parameters: Fab(norm, parameters.fab.steps, parameters.fab.targets),
    "square": lambda norm, parameters: Square(norm, parameters.square.queries),
    "apgd-ce-eot": lambda norm, parameters: Apgd(norm, "ce", parameters.apgd.steps, eot=parameters.apgd.eot),
    "apgd-dlr-eot": lambda norm, parameters: Apgd(norm, "dlr", parameters.apgd.steps, eot=parameters.apgd.eot),
}
"""Functions that make each part of AutoAttack in a norm."""


def make_attack(name: str, norm: str, parameters: Hyperparameters) -> AttackFunction:
    """Make the attack called `name`, no ensemble, in a norm, which attacks without norms ignore.

    Raises:
        UserError: there is no such attack, or not in that norm.
    """
    if name in AUTOATTACK_MAKERS:
        return AUTOATTACK_MAKERS[name](norm, parameters)
    has_norms = name not in FOOLBOX_ATTACKS or FOOLBOX_ATTACKS[name].norms
    return make_foolbox(name, norm if has_norms else None, parameters)
