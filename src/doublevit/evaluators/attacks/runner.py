"""Execution of a chain of attacks on one model, batch by batch, with every image checked and predicted afresh."""

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
from doublevit.evaluators.attacks.journal import BatchKey, Journal
from doublevit.evaluators.attacks.plan import AttackId, Chain, Stage
from doublevit.evaluators.attacks.state import AttackState, Outcome
from doublevit.evaluators.prediction import ranking
from doublevit.runs.predictions import Predictions

SaveImages = Callable[[np.ndarray, torch.Tensor], None]
"""A function that is given indices (n,) of samples that were attacked, and the resulting images (n, 3, H, W)."""


@dataclasses.dataclass(frozen=True)
class Target:
    """A target is a model under attack, on the images of a data set.

    `prepare` maps uint8 images (B, 3, H, W) to the floats in [0, 1] that are perturbed, at the images' own resolution
    or at that of the network's input; `seed` decides every random draw.
    """

    victim: Victim
    dataset: Dataset
    prepare: Callable[[torch.Tensor], torch.Tensor]
    norm: str
    seed: int

    @classmethod
    def of(cls, network: nn.Module, dataset: Dataset, config: AttackConfig, seed: int) -> "Target":
        """Make a target of a network in evaluation mode.

        Raises:
            UserError: the network's input is to be perturbed, but the network has no `resize`.
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
        """Return the samples at `indices` as attacks take them; each repetition of an attack has other draws."""
        batch = gather(self.dataset, indices).to(self.victim.device)
        images = self.prepare(batch.images)
        require_pixels(images)
        return Samples(images, batch.labels, AttackDraws(self.seed, indices, repeat))

    def predict(self, samples: Samples) -> tuple[Predictions, int]:
        """Predict samples, and count those whose logits are not finite; these count as misclassified."""
        logits = self.victim.predict(samples.images)
        finite = torch.isfinite(logits).all(dim=1, keepdim=True)
        wrong = torch.zeros_like(logits).scatter(1, samples.labels[:, None], -1)
        logits = torch.where(finite, logits, wrong)
        predictions = Predictions(samples.labels.cpu().numpy(), *ranking(logits, samples.labels))
        return predictions, int((~finite).sum())


@dataclasses.dataclass(frozen=True)
class AttackResult:
    """A result that says what an attack did to all samples at one epsilon.

    `broken` bool (N,): wrong without an attack, or broken by now; `broken_by_attack` bool (N,): broken by this attack,
    in this ball or a smaller one; `predictions` for the worst images so far; `seconds` that the attack took.
    """

    attack: AttackId
    epsilon: float
    broken: np.ndarray
    broken_by_attack: np.ndarray
    predictions: Predictions
    seconds: float

    @classmethod
    def of(cls, state: AttackState, attack: AttackId, epsilon: float, seconds: float) -> "AttackResult":
        """Read the result of an attack at `epsilon` from the state after it."""
        broken = state.min_epsilon <= epsilon
        by_attack = broken & (state.broken_by == attack.name)
        return cls(attack, epsilon, broken, by_attack, state.predictions(epsilon), seconds)


@dataclasses.dataclass
class AttackRunner:
    """A runner of one chain of attacks on one model; the journal tells chains apart by `chain_index`."""

    target: Target
    chain: Chain
    chain_index: int
    attacks: Mapping[str, AttackFunction]
    journal: Journal
    batch_size: int
    save_images: SaveImages | None = None
    findings: list[Finding] = dataclasses.field(default_factory=list)

    def run(self, state: AttackState) -> Iterator[AttackResult]:
        """Attack what is robust, and yield the result of each attack at each epsilon as soon as it is known.

        An ensemble's results follow those of its parts. `state` and `findings` are kept up to date.
        """
        for position, name in enumerate(self.chain.names):
            attack = AttackId(name, "", self.chain.names[:position])
            if 0.0 in self.chain.epsilons:
                yield AttackResult.of(state, attack, 0.0, 0.0)
            yield from self._run_requested(attack, state)

    def _run_requested(self, attack: AttackId, state: AttackState) -> Iterator[AttackResult]:
        total = collections.defaultdict[float, float](float)
        for index, stage in self.chain.stages_of(attack.name):
            seconds = self._run_stage(index, stage, state)
            for epsilon in stage.epsilons:
                total[epsilon] += seconds
                yield AttackResult.of(state, self.chain.attack_id(index), epsilon, seconds)
        if self.chain.is_ensemble(attack.name):
            for epsilon, seconds in total.items():
                yield AttackResult.of(state, attack, epsilon, seconds)

    def _run_stage(self, index: int, stage: Stage, state: AttackState) -> float:
        """Run all repetitions of a stage, and return the seconds that they took, now or before a resumption."""
        broken, seconds, label = [], 0.0, f"{stage.attack} {self._describe_epsilons(stage)}".rstrip()
        for repeat in range(stage.repetitions):
            outcomes = self._run_repetition((self.chain_index, index, repeat), stage, state, label)
            broken.append(sum(state.update(outcome, stage.attack) for outcome in outcomes))
            seconds += sum(outcome.seconds for outcome in outcomes)
            self.findings += non_finite(sum(outcome.non_finite for outcome in outcomes), label, stage.attack)
        self.findings += restarts(broken, len(state.min_epsilon), label, stage.attack, stage.epsilons[0])
        return seconds

    def _run_repetition(self, key: BatchKey, stage: Stage, state: AttackState, label: str) -> list[Outcome]:
        """Attack every robust sample, each in one process; all processes return all outcomes."""
        process, robust = this_process(), state.robust(stage.epsilons[0])
        batches = [robust[start : start + self.batch_size] for start in range(0, len(robust), self.batch_size)]
        outcomes: list[Outcome] = []
        if not len(robust):
            return outcomes
        with progress.bar(f"{key[1] + 1}/{len(self.chain.stages)} {label}", len(robust)) as bar:
            for batch in batches[process.process_index :: process.num_processes]:
                outcomes.append(self._run_batch(key, stage, batch, state))
                bar.advance(len(batch) * process.num_processes)
                bar.say(f"{sum(np.isinf(outcome.min_epsilon).sum() for outcome in outcomes):,} robust")
        return list(gather_object(outcomes))

    def _describe_epsilons(self, stage: Stage) -> str:
        ends = dict.fromkeys((stage.epsilons[0], stage.epsilons[-1]))
        return (
            " to ".join(format_epsilon(epsilon, self.target.norm) for epsilon in ends)
            if spec_of(stage.attack).norms
            else ""
        )

    def _run_batch(self, key: BatchKey, stage: Stage, indices: np.ndarray, state: AttackState) -> Outcome:
        known = self.journal.find(key, indices)
        if known is not None:
            return known
        attack = self.attacks[stage.attack]
        outcome, images = attack_batch(self.target, attack, stage, key[-1], indices, state.clean)
        if self.save_images is not None:  # but not over an image that broke its sample, unless at a smaller epsilon
            before = state.min_epsilon[indices]
            saved = np.flatnonzero((outcome.min_epsilon < before) | np.isinf(before))
            self.save_images(indices[saved], images[torch.from_numpy(saved).to(images.device)])
        self.journal.add(key, outcome)
        return outcome


def attack_batch(
    target: Target, attack: AttackFunction, stage: Stage, repeat: int, indices: np.ndarray, clean: Predictions
) -> tuple[Outcome, torch.Tensor]:
    """Attack the robust samples at `indices`; return the outcome, and the images that broke them or were tried last.

    The attack's own word is not taken for success: each image is checked to be in the ball (if it has one) and in the
    box, and predicted afresh. `repeat` counts the repetitions of the stage; `clean` are the predictions of all images.
    """
    start, samples = time.perf_counter(), target.samples(indices, repeat)
    norm = target.norm if ATTACKS[stage.attack].norms else None
    worst, non_finite = samples.images.clone(), 0
    min_epsilon, predictions = np.full(len(samples), np.inf), clean.at(indices)
    for epsilon, attacked in zip(stage.epsilons, attack(target.victim, samples, stage.epsilons), strict=True):
        images, non_finite_images = require_valid(attacked, samples.images, norm, epsilon)
        robust = np.flatnonzero(np.isinf(min_epsilon))  # what a smaller epsilon broke stays as it was broken
        on_device = torch.from_numpy(robust).to(images.device)
        worst[on_device] = images[on_device]
        fresh, non_finite_logits = target.predict(dataclasses.replace(samples.at(on_device), images=images[on_device]))
        non_finite = max(non_finite, non_finite_images + non_finite_logits)
        predictions.put(robust, fresh)
        min_epsilon[robust[~fresh.correct(1)]] = epsilon
    return Outcome(indices, min_epsilon, predictions, non_finite, round(time.perf_counter() - start, 3)), worst


def require_valid(
    images: torch.Tensor, clean: torch.Tensor, norm: str | None, epsilon: float
) -> tuple[torch.Tensor, int]:
    """Replace images that are not finite by their clean images, and count them: gradients not finite make these.

    Raises:
        OutsideError: an image is outside the box, or outside the ball around its clean image (if there is a `norm`).
    """
    finite = torch.isfinite(images).flatten(1).all(dim=1)
    images = torch.where(finite.view(-1, 1, 1, 1), images, clean)
    require_inside(images, clean, norm, epsilon)
    return images, int((~finite).sum())
