"""Running a chain of attacks on one model, batch by batch; each batch is looked at and predicted afresh."""

import collections
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import nn

from doublevit import progress
from doublevit.attacks.balls import require_inside
from doublevit.attacks.catalogue import ATTACKS, spec_of
from doublevit.attacks.checks import Finding, non_finite, restarts
from doublevit.attacks.config import AttackConfig
from doublevit.attacks.draws import AttackDraws
from doublevit.attacks.epsilons import format_epsilon
from doublevit.attacks.interface import AttackFunction, Samples
from doublevit.attacks.victim import Victim, require_pixels
from doublevit.data.batches import gather
from doublevit.data.dataset import Dataset
from doublevit.device import this_process
from doublevit.errors import UserError
from doublevit.evaluators.attacks.journal import Journal, Key
from doublevit.evaluators.attacks.plan import AttackId, Chain, Stage
from doublevit.evaluators.attacks.state import AttackState, Outcome
from doublevit.evaluators.prediction import ranking
from doublevit.runs.predictions import Predictions

Save = Callable[[np.ndarray, torch.Tensor], None]
"""Is told of samples that were attacked, and the images (n, 3, H, W) that came of it."""


@dataclasses.dataclass(frozen=True)
class Target:
    """A model under attack, on the images of a data set.

    `prepare` makes bytes (B, 3, H, W) the floats in [0, 1] that epsilon applies to, at the images' own resolution or at
    the network's. `seed` decides every draw.
    """

    victim: Victim
    dataset: Dataset
    prepare: Callable[[torch.Tensor], torch.Tensor]
    norm: str
    seed: int

    @classmethod
    def of(cls, network: nn.Module, dataset: Dataset, config: AttackConfig, seed: int) -> "Target":
        """A network as attacks see it.

        Raises:
            UserError: the network's input is to be attacked, and it does not say how it resizes.
        """
        resize: Any = getattr(network, "resize", None)
        if config.space == "input" and resize is None:
            raise UserError(
                "`attack.space=input`: expected a network with a resize of its own; attack the image instead"
            )

        def prepare(images: torch.Tensor) -> torch.Tensor:
            pixels = images.float() / 255
            return resize(pixels) if config.space == "input" else pixels

        return cls(Victim(network), dataset, prepare, config.norm, seed)

    def samples(self, indices: np.ndarray, repeat: int = 0) -> Samples:
        """Images as an attack gets them."""
        batch = gather(self.dataset, indices).to(self.victim.device)
        images = self.prepare(batch.images)
        require_pixels(images)
        return Samples(images, batch.labels, AttackDraws(self.seed, indices, repeat))

    def predict(self, samples: Samples) -> tuple[Predictions, int]:
        """Predictions; and how many logits were not finite, which count as any class but the right one."""
        logits = self.victim.predict(samples.images)
        finite = torch.isfinite(logits).all(dim=1, keepdim=True)
        wrong = torch.zeros_like(logits).scatter(1, samples.labels[:, None], -1)
        logits = torch.where(finite, logits, wrong)
        answers = Predictions(samples.labels.cpu().numpy(), *ranking(logits, samples.labels))
        return answers, int((~finite).sum())


@dataclasses.dataclass(frozen=True)
class AttackResult:
    """The state of all samples after an attack at one epsilon.

    `broken` bool (N,): wrong from the start, or broken by now; `newly` bool (N,): broken by this attack, in this ball
    or a smaller one; `predictions` say how; `seconds` it took.
    """

    attack: AttackId
    epsilon: float
    broken: np.ndarray
    newly: np.ndarray
    predictions: Predictions
    seconds: float

    @classmethod
    def read(cls, state: AttackState, attack: AttackId, epsilon: float, seconds: float) -> "AttackResult":
        """What a state says of an epsilon."""
        broken = state.min_epsilon <= epsilon
        newly = broken & (state.broken_by == attack.name)
        return cls(attack, epsilon, broken, newly, state.predictions(epsilon), seconds)


@dataclasses.dataclass
class AttackRunner:
    """One chain of attacks on one model; `number` tells it from others in the journal."""

    target: Target
    chain: Chain
    number: int
    attacks: Mapping[str, AttackFunction]
    journal: Journal
    batch_size: int
    save: Save | None = None
    findings: list[Finding] = dataclasses.field(default_factory=list)

    def run(self, state: AttackState) -> Iterator[AttackResult]:
        """Attack what is robust; yields every attack at every epsilon as soon as it is known, ensembles at their end.

        `state` and `findings` are kept up to date.
        """
        for position, name in enumerate(self.chain.names):
            before = self.chain.names[:position]
            if 0.0 in self.chain.epsilons:
                yield AttackResult.read(state, AttackId(name, "", before), 0.0, 0.0)
            yield from self._run(name, before, state)

    def _run(self, name: str, before: tuple[str, ...], state: AttackState) -> Iterator[AttackResult]:
        seconds = collections.defaultdict[float, float](float)
        for index, stage in self.chain.of(name):
            taken = self._stage(index, stage, state)
            for epsilon in stage.epsilons:
                seconds[epsilon] += taken
                yield AttackResult.read(state, self.chain.part(index), epsilon, taken)
        if self.chain.is_ensemble(name):
            for epsilon in seconds:
                yield AttackResult.read(state, AttackId(name, "", before), epsilon, seconds[epsilon])

    def _stage(self, index: int, stage: Stage, state: AttackState) -> float:
        """All repetitions of a stage; the seconds that the attack took, now or before it was resumed."""
        broken, seconds, where = [], 0.0, f"{stage.attack} {self._sizes(stage)}".rstrip()
        for repeat in range(stage.times):
            outcomes = self._repetition((self.number, index, repeat), stage, state, where)
            broken.append(sum(state.update(outcome, stage.attack) for outcome in outcomes))
            seconds += sum(outcome.seconds for outcome in outcomes)
            self.findings += non_finite(sum(outcome.damaged for outcome in outcomes), where, stage.attack)
        self.findings += restarts(broken, len(state.min_epsilon), where, stage.attack, stage.epsilons[0])
        return seconds

    def _repetition(self, key: Key, stage: Stage, state: AttackState, where: str) -> list[Outcome]:
        """Every sample that is robust, each in one process."""
        process, left = this_process(), state.robust(stage.epsilons[0])
        batches = [left[start : start + self.batch_size] for start in range(0, len(left), self.batch_size)]
        outcomes: list[Outcome] = []
        if not len(left):
            return outcomes
        with progress.bar(f"{key[1] + 1}/{len(self.chain.stages)} {where}", len(left)) as bar:
            for batch in batches[process.process_index :: process.num_processes]:
                outcomes.append(self._batch(key, stage, batch, state))
                bar.advance(len(batch) * process.num_processes)
                bar.say(f"{sum(np.isinf(outcome.min_epsilon).sum() for outcome in outcomes):,} robust")
        return list(gather_object(outcomes))

    def _sizes(self, stage: Stage) -> str:
        """The epsilons of a stage, for people."""
        ends = dict.fromkeys((stage.epsilons[0], stage.epsilons[-1])) if spec_of(stage.attack).norms else ()
        return " to ".join(format_epsilon(epsilon, self.target.norm) for epsilon in ends)

    def _batch(self, key: Key, stage: Stage, indices: np.ndarray, state: AttackState) -> Outcome:
        known = self.journal.find(key, indices)
        if known is not None:
            return known
        attack = self.attacks[stage.attack]
        outcome, images = attack_batch(self.target, attack, (stage, key[-1]), indices, state.clean)
        if self.save is not None:  # but not over an image that broke its sample, unless at a smaller epsilon
            before = state.min_epsilon[indices]
            saved = np.flatnonzero((outcome.min_epsilon < before) | np.isinf(before))
            self.save(indices[saved], images[torch.from_numpy(saved).to(images.device)])
        self.journal.add(key, outcome)
        return outcome


def attack_batch(
    target: Target, attack: AttackFunction, turn: tuple[Stage, int], indices: np.ndarray, clean: Predictions
) -> tuple[Outcome, torch.Tensor]:
    """Attack some samples that are robust; also the images that broke them, or the last that were tried.

    A fresh prediction on each image decides, after a look whether it is in the ball (if it has one) and in the box.
    `turn` is the stage and which of its repetitions; `clean`, the predictions for every image of the data set.
    """
    stage, repeat = turn
    start, samples = time.perf_counter(), target.samples(indices, repeat)
    norm = target.norm if ATTACKS[stage.attack].norms else None
    worst, damaged = samples.images.clone(), 0
    min_epsilon, answers = np.full(len(samples), np.inf), clean.at(indices)
    for epsilon, moved in zip(stage.epsilons, attack(target.victim, samples, stage.epsilons), strict=True):
        images, broken_images = require_valid(moved, samples.images, norm, epsilon)
        left = np.flatnonzero(np.isinf(min_epsilon))  # what is broken stays as it was broken
        on_device = torch.from_numpy(left).to(images.device)
        worst[on_device] = images[on_device]
        fresh, not_finite = target.predict(dataclasses.replace(samples.at(on_device), images=images[on_device]))
        damaged = max(damaged, broken_images + not_finite)
        answers.put(left, fresh)
        min_epsilon[left[~fresh.correct(1)]] = epsilon
    return Outcome(indices, min_epsilon, answers, damaged, round(time.perf_counter() - start, 3)), worst


def require_valid(
    images: torch.Tensor, clean: torch.Tensor, norm: str | None, epsilon: float
) -> tuple[torch.Tensor, int]:
    """What an attack made of clean images, and how many came back as no image: gradients not finite make these.

    The clean images are taken for them. Raises `OutsideError` where an image is outside the ball (if it has one) or the
    box.
    """
    whole = torch.isfinite(images).flatten(1).all(dim=1)
    images = torch.where(whole.view(-1, 1, 1, 1), images, clean)
    require_inside(images, clean, norm, epsilon)
    return images, int((~whole).sum())
