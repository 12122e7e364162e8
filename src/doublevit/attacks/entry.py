"""What is to be known of an attack before it is run. No torch here."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is to be known of an attack before it is run.

    `norms` are those it can be run in; an attack without any moves photos out of every ball. `kind` is what it asks
    of the model: gradients, answers, answers to noise, or answers to changes that people would make. `shared`: one run
    serves every epsilon. `random`: repeating it with other draws can find more, see `repeatable`.
    `classes`: as many it needs at the least.
    """

    note: str
    norms: tuple[str, ...]
    kind: Literal["white-box", "black-box", "noise", "transformation"]
    shared: bool = False
    random: bool = False
    classes: int = 2
