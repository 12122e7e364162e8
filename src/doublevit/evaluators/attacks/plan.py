"""In which order attacks are run, and on what is left by which.

An image that is broken at an epsilon is broken at every larger one of the same norm, since the larger ball holds the
smaller. So attacks form a chain in which each is spared the images that are broken; independent ones form a chain each.
"""

import dataclasses
from collections.abc import Iterator

from doublevit.attacks.catalogue import is_control, parts_of, spec_of
from doublevit.attacks.config import AttackConfig

WHOLE_BOX = 1.0  # stands for the epsilon of shifts and turns, which have none


@dataclasses.dataclass(frozen=True)
class AttackId:
    """An attack: the ensemble that it is `part_of` ("" if none), and what was run on the same images before it."""

    name: str
    part_of: str
    after: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Stage:
    """One attack at some epsilons, all in one run, `times` over, on what is robust; `named` is what was asked for."""

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
        """The stages of what was asked for by that name, with their indices in the chain."""
        return ((index, stage) for index, stage in enumerate(self.stages) if stage.named == name)

    def part(self, index: int) -> AttackId:
        """The attack of a stage, as rows name it."""
        stage = self.stages[index]
        before = self.names[: self.names.index(stage.named)]
        earlier = dict.fromkeys(other.attack for _, other in self.of(stage.named) if other.attack != stage.attack)
        parts = [name for name in earlier if self._first(stage.named, name) < self._first(stage.named, stage.attack)]
        return AttackId(stage.attack, stage.named if stage.attack != stage.named else "", (*before, *parts))

    def is_ensemble(self, name: str) -> bool:
        """Whether a name stands for several attacks, which are told apart and together."""
        return any(stage.attack != name for _, stage in self.of(name))

    def rows(self) -> Iterator[tuple[AttackId, float]]:
        """Every attack at every epsilon that there is to be a row of."""
        for position, name in enumerate(self.names):
            whole = AttackId(name, "", self.names[:position])
            if 0.0 in self.epsilons:
                yield whole, 0.0
            stages = list(self.of(name))
            yield from ((self.part(index), epsilon) for index, stage in stages for epsilon in stage.epsilons)
            if self.is_ensemble(name):
                sizes = dict.fromkeys(epsilon for _, stage in stages for epsilon in stage.epsilons)
                yield from ((whole, epsilon) for epsilon in sizes)

    def _first(self, named: str, attack: str) -> int:
        return next(index for index, stage in self.of(named) if stage.attack == attack)


def plan(config: AttackConfig) -> tuple[Chain, ...]:
    """The chains of an evaluation. Noise is a control, at every epsilon anew; other changes stand alone too."""
    others = _in_order(config.names)
    in_a_row = [] if config.independent or not others else [_chain(others, config.epsilon_values, config)]
    alone = [name for name in config.names if config.independent or name not in others]
    return (*in_a_row, *(chain for name in alone for chain in _alone(name, config)))


def _in_order(names: tuple[str, ...]) -> tuple[str, ...]:
    """Attacks with gradients, then those without: what only these break shows that gradients are masked."""
    return tuple(name for kind in ("white-box", "black-box") for name in names if spec_of(name).kind == kind)


def _alone(name: str, config: AttackConfig) -> list[Chain]:
    if not spec_of(name).norms:
        return [_chain((name,), (WHOLE_BOX,), config)]
    if config.independent or is_control(name):
        return [_chain((name,), (epsilon,), config) for epsilon in config.epsilon_values]
    return [_chain((name,), config.epsilon_values, config)]


def _chain(names: tuple[str, ...], epsilons: tuple[float, ...], config: AttackConfig) -> Chain:
    stages = [stage for name in names for part in parts_of(name) for stage in _stages(part, name, epsilons, config)]
    return Chain(names, epsilons, tuple(stages))


def _stages(attack: str, named: str, epsilons: tuple[float, ...], config: AttackConfig) -> Iterator[Stage]:
    """At epsilon 0 there is nothing to attack."""
    spec, sizes = spec_of(attack), tuple(epsilon for epsilon in epsilons if epsilon)
    for epsilons_at_once in [sizes] if spec.one_run and sizes else [(epsilon,) for epsilon in sizes]:
        yield Stage(attack, named, epsilons_at_once, config.repetitions(attack))
