"""Running a chain of attacks: batch by batch, written down as it comes, told attack by attack."""

import collections
import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from accelerate.utils import gather_object

from doublevit import progress
from doublevit.adversarial.journal import Journal, Key
from doublevit.adversarial.plan import Chain, Stage
from doublevit.adversarial.setting import Setting, attack_batch
from doublevit.adversarial.standing import Outcome, Standing
from doublevit.attacks.checks import Finding, damage, restarts
from doublevit.attacks.config import entry_of
from doublevit.attacks.epsilons import show
from doublevit.attacks.interface import Attack
from doublevit.processes import this_process
from doublevit.results import Predictions

Keep = Callable[[np.ndarray, torch.Tensor], None]
"""Told of samples that were attacked, and the images (n, 3, H, W) that came of it."""


@dataclasses.dataclass(frozen=True)
class Said:
    """Which attack: the ensemble that it is `part_of` ("" if none), and what was run on the same photos before it."""

    attack: str
    part_of: str
    after: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Told:
    """How samples stand after an attack at one epsilon.

    `fell` bool (N,): wrong from the start, or beaten by now; `news` bool (N,): beaten by this attack, in this ball or a
    smaller one; `predictions` say how; `seconds` it took.
    """

    said: Said
    epsilon: float
    fell: np.ndarray
    news: np.ndarray
    predictions: Predictions
    seconds: float


@dataclasses.dataclass
class Campaign:
    """One chain of attacks on one model; `number` tells it from others in the journal."""

    setting: Setting
    chain: Chain
    number: int
    attacks: Mapping[str, Attack]
    journal: Journal
    batch_size: int = 1
    keep: Keep | None = None
    findings: list[Finding] = dataclasses.field(default_factory=list)

    def run(self, standing: Standing) -> Iterator[Told]:
        """Attack what stands; tells of every attack at every epsilon as soon as it is known, of ensembles at their end.

        `standing` and `findings` are kept up to date.
        """
        for position, name in enumerate(self.chain.names):
            before = self.chain.names[:position]
            if 0.0 in self.chain.epsilons:
                yield tell(standing, Said(name, "", before), 0.0, 0.0)
            yield from self._run(name, before, standing)

    def _run(self, name: str, before: tuple[str, ...], standing: Standing) -> Iterator[Told]:
        seconds, parts = collections.defaultdict[float, float](float), list[str]()
        for place, stage in self.chain.of(name):
            took = self._stage(place, stage, standing)
            parts += [stage.attack] if stage.attack not in parts else []
            said = Said(stage.attack, name if stage.attack != name else "", (*before, *parts[:-1]))
            for epsilon in stage.epsilons:
                seconds[epsilon] += took
                yield tell(standing, said, epsilon, took)
        if parts not in ([], [name]):
            for epsilon in seconds:
                yield tell(standing, Said(name, "", before), epsilon, seconds[epsilon])

    def _stage(self, place: int, stage: Stage, standing: Standing) -> float:
        """All repetitions of a stage; the seconds that the attack took, now or before it was resumed."""
        fallen, seconds, where = [], 0.0, f"{stage.attack} {self._sizes(stage)}".rstrip()
        for repeat in range(stage.times):
            outcomes = self._repetition((self.number, place, repeat), stage, standing, where)
            fallen.append(sum(standing.take(outcome, stage.attack) for outcome in outcomes))
            seconds += sum(outcome.seconds for outcome in outcomes)
            self.findings += damage(sum(outcome.damaged for outcome in outcomes), where, stage.attack)
        self.findings += restarts(fallen, len(standing.fell), where, stage.attack, stage.epsilons[0])
        return seconds

    def _repetition(self, key: Key, stage: Stage, standing: Standing, where: str) -> list[Outcome]:
        """Every sample that stands, each in one process."""
        state, left = this_process(), standing.left(stage.epsilons[0])
        batches = [left[start : start + self.batch_size] for start in range(0, len(left), self.batch_size)]
        outcomes: list[Outcome] = []
        if not len(left):
            return outcomes
        with progress.bar(f"{key[1] + 1}/{len(self.chain.stages)} {where}", len(left)) as bar:
            for batch in batches[state.process_index :: state.num_processes]:
                outcomes.append(self._batch(key, stage, batch, standing))
                bar.advance(len(batch) * state.num_processes)
                bar.say(f"{sum(np.isinf(outcome.fell).sum() for outcome in outcomes):,} stand")
        return list(gather_object(outcomes))

    def _sizes(self, stage: Stage) -> str:
        """The epsilons of a stage, for people."""
        ends = dict.fromkeys((stage.epsilons[0], stage.epsilons[-1]))
        return " to ".join(show(epsilon, self.setting.norm) for epsilon in ends) if entry_of(stage.attack).norms else ""

    def _batch(self, key: Key, stage: Stage, indices: np.ndarray, standing: Standing) -> Outcome:
        known = self.journal.find(key, indices)
        if known is not None:
            return known
        attack = self.attacks[stage.attack]
        outcome, images = attack_batch(self.setting, attack, (stage, key[-1]), indices, standing.clean)
        if self.keep is not None:  # but not over that with which a photo has fallen, unless at a smaller epsilon
            before = standing.fell[indices]
            kept = np.flatnonzero((outcome.fell < before) | np.isinf(before))
            self.keep(indices[kept], images[torch.from_numpy(kept).to(images.device)])
        self.journal.add(key, outcome)
        return outcome


def tell(standing: Standing, said: Said, epsilon: float, seconds: float) -> Told:
    """How samples stand at an epsilon."""
    fell = standing.fell <= epsilon
    return Told(said, epsilon, fell, fell & (standing.felled_by == said.attack), standing.predictions(epsilon), seconds)
