"""The plan of an evaluation: in which order attacks run, and which images each of them is spared.

An image that is broken at an epsilon is broken at every larger one of the same norm, since the larger ball holds the
smaller. So attacks form a chain in which each is spared the images that are broken; independent attacks form a chain
of their own each.
"""

import dataclasses
from collections.abc import Iterator

from doublevit.attacks.catalogue import is_control, parts_of, spec_of
from doublevit.attacks.config import AttackConfig

NO_BALL = 1.0  # stands in for the epsilon of shifts and rotations, which have none


@dataclasses.dataclass(frozen=True)
class AttackId:
    """An attack that rows name: `part_of` is its ensemble ("" if none), `after` what ran on the same images before."""

    name: str
    part_of: str
    after: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage runs one attack on what is robust, at all of its epsilons at once, `repetitions` times.

    `requested` is the name that the user gave: the attack, or the ensemble that it is part of.
    """

    attack: str
    requested: str
    epsilons: tuple[float, ...]
    repetitions: int


@dataclasses.dataclass(frozen=True)
class Chain:
    """A chain consists of stages, each of which attacks what those before have left; `names` were requested."""

    names: tuple[str, ...]
    epsilons: tuple[float, ...]
    stages: tuple[Stage, ...]

    def stages_of(self, name: str) -> Iterator[tuple[int, Stage]]:
        """Yield the stages of a requested attack or ensemble, with their indices in the chain."""
        return ((index, stage) for index, stage in enumerate(self.stages) if stage.requested == name)

    def attack_id(self, index: int) -> AttackId:
        """Return the attack of the stage at `index`, as rows name it."""
        stage = self.stages[index]
        name = stage.requested
        before = self.names[: self.names.index(name)]
        first_stages = dict[str, int]()
        for position, other in self.stages_of(name):
            first_stages.setdefault(other.attack, position)
        parts = [attack for attack, first in first_stages.items() if first < first_stages[stage.attack]]
        return AttackId(stage.attack, name if stage.attack != name else "", (*before, *parts))

    def is_ensemble(self, name: str) -> bool:
        """Return whether a requested name is an ensemble, which gets rows of its parts and of the whole."""
        return any(stage.attack != name for _, stage in self.stages_of(name))

    def rows(self) -> Iterator[tuple[AttackId, float]]:
        """Yield every attack at every epsilon that gets a row."""
        for position, name in enumerate(self.names):
            whole = AttackId(name, "", self.names[:position])
            if 0.0 in self.epsilons:
                yield whole, 0.0
            stages = list(self.stages_of(name))
            yield from ((self.attack_id(index), epsilon) for index, stage in stages for epsilon in stage.epsilons)
            if self.is_ensemble(name):
                epsilons = dict.fromkeys(epsilon for _, stage in stages for epsilon in stage.epsilons)
                yield from ((whole, epsilon) for epsilon in epsilons)


def plan(config: AttackConfig) -> tuple[Chain, ...]:
    """Plan the chains: one of all attacks (unless independent), then those of noise and transformations.

    Noise is a control: it sees every image at every epsilon, so each epsilon is a chain.
    """
    chained = () if config.independent else _white_box_first(config.names)
    shared = [_chain(chained, config.epsilon_values, config)] if chained else []
    separate = [name for name in config.names if name not in chained]
    return (*shared, *(chain for name in separate for chain in _separate_chains(name, config)))


def _white_box_first(names: tuple[str, ...]) -> tuple[str, ...]:
    """Sort attacks: those with gradients, then those without; what only the latter break shows masked gradients."""
    return tuple(name for kind in ("white-box", "black-box") for name in names if spec_of(name).kind == kind)


def _separate_chains(name: str, config: AttackConfig) -> list[Chain]:
    if not spec_of(name).norms:
        return [_chain((name,), (NO_BALL,), config)]
    if config.independent or is_control(name):
        return [_chain((name,), (epsilon,), config) for epsilon in config.epsilon_values]
    return [_chain((name,), config.epsilon_values, config)]


def _chain(names: tuple[str, ...], epsilons: tuple[float, ...], config: AttackConfig) -> Chain:
    stages = [stage for name in names for part in parts_of(name) for stage in _stages(part, name, epsilons, config)]
    return Chain(names, epsilons, tuple(stages))


def _stages(attack: str, requested: str, epsilons: tuple[float, ...], config: AttackConfig) -> Iterator[Stage]:
    nonzero = tuple(epsilon for epsilon in epsilons if epsilon)  # a ball of radius 0 holds nothing to attack with
    for at_once in [nonzero] if spec_of(attack).single_run and nonzero else [(epsilon,) for epsilon in nonzero]:
        yield Stage(attack, requested, at_once, config.repetitions(attack))
