"""In which order attacks are run, and on what is left by which.

A photo that fell at an epsilon falls at every larger one of the same norm, since the larger ball holds the smaller. So
attacks form a chain in which each is spared the photos that have fallen; independent ones form a chain each.
"""

import dataclasses
from collections.abc import Iterator

from doublevit.attacks.config import AttackConfig, entry_of, is_control, parts_of

WHOLE_BOX = 1.0  # stands for the epsilon of shifts and turns, which have none


@dataclasses.dataclass(frozen=True)
class Stage:
    """One attack at some epsilons, all in one run, `times` over, on what stands; `named` is what was asked for."""

    attack: str
    named: str
    epsilons: tuple[float, ...]
    times: int


@dataclasses.dataclass(frozen=True)
class Chain:
    """Stages, each of which attacks what those before have left; `names` is what was asked for."""

    names: tuple[str, ...]
    epsilons: tuple[float, ...]
    stages: tuple[Stage, ...]

    def of(self, name: str) -> Iterator[tuple[int, Stage]]:
        """The stages of what was asked for by that name, with their places in the chain."""
        return ((place, stage) for place, stage in enumerate(self.stages) if stage.named == name)


def plan(config: AttackConfig) -> tuple[Chain, ...]:
    """The chains of an evaluation. Noise is a control, at every epsilon anew; other changes stand alone too."""
    others = _in_order(config.names)
    together = [] if config.independent or not others else [_chain(others, config.sizes, config)]
    alone = [name for name in config.names if config.independent or name not in others]
    return (*together, *(chain for name in alone for chain in _alone(name, config)))


def _in_order(names: tuple[str, ...]) -> tuple[str, ...]:
    """Attacks with gradients, then those without: what only these fell shows that gradients are masked."""
    return tuple(name for kind in ("white-box", "black-box") for name in names if entry_of(name).kind == kind)


def _alone(name: str, config: AttackConfig) -> list[Chain]:
    if not entry_of(name).norms:
        return [_chain((name,), (WHOLE_BOX,), config)]
    if config.independent or is_control(name):
        return [_chain((name,), (epsilon,), config) for epsilon in config.sizes]
    return [_chain((name,), config.sizes, config)]


def _chain(names: tuple[str, ...], epsilons: tuple[float, ...], config: AttackConfig) -> Chain:
    stages = [stage for name in names for part in parts_of(name) for stage in _stages(part, name, epsilons, config)]
    return Chain(names, epsilons, tuple(stages))


def _stages(attack: str, named: str, epsilons: tuple[float, ...], config: AttackConfig) -> Iterator[Stage]:
    """At epsilon 0 there is nothing to attack."""
    entry, sizes = entry_of(attack), tuple(epsilon for epsilon in epsilons if epsilon)
    for together in [sizes] if entry.shared and sizes else [(epsilon,) for epsilon in sizes]:
        yield Stage(attack, named, together, config.times(attack))
