"""An attack by its name."""

from collections.abc import Callable

from doublevit.attacks.autoattack.apgd import Apgd
from doublevit.attacks.autoattack.fab import Fab
from doublevit.attacks.autoattack.square import Square
from doublevit.attacks.foolbox.attack import make_foolbox
from doublevit.attacks.foolbox.catalogue import FOOLBOX
from doublevit.attacks.interface import Attack
from doublevit.attacks.knobs.parameters import Parameters

PARTS: dict[str, Callable[[str, Parameters], Attack]] = {
    "apgd-ce": lambda norm, knobs: Apgd(norm, "ce", knobs.apgd.steps),
    "apgd-dlr": lambda norm, knobs: Apgd(norm, "dlr", knobs.apgd.steps),
    "apgd-dlr-t": lambda norm, knobs: Apgd(norm, "dlr-targeted", knobs.apgd.steps, targets=knobs.apgd.targets),
    "fab-t": lambda norm, knobs: Fab(norm, knobs.fab.steps, knobs.fab.targets),
    "square": lambda norm, knobs: Square(norm, knobs.square.queries),
    "apgd-ce-eot": lambda norm, knobs: Apgd(norm, "ce", knobs.apgd.steps, eot=knobs.apgd.eot),
    "apgd-dlr-eot": lambda norm, knobs: Apgd(norm, "dlr", knobs.apgd.steps, eot=knobs.apgd.eot),
}
"""The parts of AutoAttack."""


def make(name: str, norm: str, parameters: Parameters) -> Attack:
    """The attack called `name` (no ensemble) in a norm, which one without norms does not look at.

    Raises:
        UserError: there is no such attack, or not in that norm.
    """
    if name in PARTS:
        return PARTS[name](norm, parameters)
    without = name in FOOLBOX and not FOOLBOX[name].norms
    return make_foolbox(name, None if without else norm, parameters)
