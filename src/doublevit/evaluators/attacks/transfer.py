"""Transfer attacks: images made to fool a source model, predicted by every target model."""

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from accelerate.utils import gather_object

from doublevit import progress
from doublevit.attacks import checks
from doublevit.attacks.checks import Finding
from doublevit.attacks.config import AttackConfig
from doublevit.attacks.interface import AttackFunction
from doublevit.attacks.make import make_attack
from doublevit.attacks.victim import frozen
from doublevit.data.dataset import Dataset
from doublevit.device import this_process
from doublevit.evaluators.accuracy import CleanEvaluator
from doublevit.evaluators.attacks.journal import BatchKey, Journal, identity_without_models, open_journal
from doublevit.evaluators.attacks.plan import AttackId
from doublevit.evaluators.attacks.rows import attack_condition, attack_row, in_float32, report_findings
from doublevit.evaluators.attacks.runner import AttackResult, Target, require_valid
from doublevit.evaluators.attacks.sanity_checks import check_model, clean_predictions
from doublevit.evaluators.attacks.state import AttackState, Outcome
from doublevit.evaluators.evaluator import EvalModel
from doublevit.runs.conditions import Transfer
from doublevit.runs.predictions import Predictions
from doublevit.runs.results import EvalResult, Results
from doublevit.runs.row import Row


@dataclasses.dataclass(frozen=True)
class TransferEvaluation:
    """An evaluation that attacks every model as source, and shows the images to every model, itself included.

    All images are attacked, also those that the source model gets wrong: a target model may get them right. An image
    counts as robust on a target model if that was right before the attack and is right after it.
    """

    models: Sequence[EvalModel]
    dataset: Dataset
    config: AttackConfig
    seed: int = 0
    journal_folder: Path | None = None
    resume: bool = True
    strict: bool = False

    def run(self, results: Sequence[Results]) -> list[Row]:
        """Return a row for every pair of models, attack and epsilon, and add it to the target model's `results`.

        What the checks find about a model stands in the rows of which it is the source.

        Raises:
            UserError: a check found something, and `strict` makes that fatal.
        """
        models = zip(self.models, results, strict=True)
        correct = [next(CleanEvaluator().run(model, self.dataset, known)).correct(1) for model, known in models]
        with contextlib.ExitStack() as stack:
            for model in self.models:
                model.network.eval()
                stack.enter_context(frozen(model.network))
            targets = [Target.of(model.network, self.dataset, self.config, self.seed) for model in self.models]
            clean = [
                clean_predictions(target, model.batch_size) for target, model in zip(targets, self.models, strict=True)
            ]
            journal = stack.enter_context(self._journal())
            rows = []
            for source in range(len(targets)):
                findings = check_model(targets[source], self.config, correct[source], clean[source])
                report_findings(findings, strict=self.strict)
                for target, result, damaged in self._results_from(source, targets, clean, journal):
                    row = self._row(result, source, target, checks.distinct([*findings, *damaged]))
                    results[target].add_once(EvalResult((row,), result.predictions))
                    rows.append(row)
        return rows

    def _results_from(
        self, source: int, targets: Sequence[Target], clean: Sequence[Predictions], journal: Journal
    ) -> Iterator[tuple[int, AttackResult, list[Finding]]]:
        """Yield each target model's index and result on images made on the source model, and findings about them."""
        for position, name in enumerate(self.config.names):
            attack_index = source * len(self.config.names) + position
            outcomes = self._attack(attack_index, name, source, targets, journal)
            pairs = itertools.product(enumerate(self.config.epsilon_values), range(len(targets)))
            for (epsilon_index, epsilon), target in pairs:
                state = AttackState.initial(clean[target])
                batches = outcomes.get((attack_index, epsilon_index, target), [])
                for outcome in batches:
                    state.update(outcome, name)
                damaged = checks.non_finite(sum(outcome.non_finite for outcome in batches), name, name)
                seconds = sum(outcome.seconds for outcome in batches)
                yield target, AttackResult.of(state, AttackId(name, "", ()), epsilon, seconds), list(damaged)

    def _attack(
        self, attack_index: int, name: str, source: int, targets: Sequence[Target], journal: Journal
    ) -> dict[BatchKey, list[Outcome]]:
        """Return the outcomes of all samples on every target model at every epsilon above 0."""
        process, attack = this_process(), make_attack(name, self.config.norm, self.config.parameters)
        batches = np.array_split(np.arange(len(self.dataset)), -(-len(self.dataset) // self.config.batch_size))
        transfer = _TransferAttack(attack_index, self.config.epsilon_values, targets[source], targets, attack, journal)
        with progress.bar(f"{name} on {self.models[source].id.model}", len(self.dataset)) as bar:
            from_this_process = []
            for indices in batches[process.process_index :: process.num_processes]:
                from_this_process += transfer.known(indices) or transfer.run(indices)
                bar.advance(len(indices) * process.num_processes)
        outcomes: dict[BatchKey, list[Outcome]] = {}
        for key, outcome in gather_object(from_this_process):
            outcomes.setdefault(key, []).append(outcome)
        return outcomes

    def _row(self, result: AttackResult, source: int, target: int, findings: Sequence[Finding]) -> Row:
        independent = dataclasses.replace(self.config, independent=True)
        attack = attack_condition(result.attack, result.epsilon, independent, self.seed)
        fields = {name: getattr(attack, name) for name in Transfer.__struct_fields__ if name != "made_on"}
        condition = Transfer(made_on=self.models[source].id, **fields)
        return attack_row(result, condition, in_float32(self.models[target].id), self.dataset.id, findings)

    def _journal(self) -> contextlib.AbstractContextManager[Journal]:
        models = {"transfer": [model.id for model in self.models]}
        identity = models | identity_without_models(self.dataset, self.config, self.seed)
        return open_journal(self.journal_folder, identity, np.asarray(self.dataset.labels), resume=self.resume)


@dataclasses.dataclass(frozen=True)
class _TransferAttack:
    """One attack, which makes images on the source model and has every target model predict them, batch by batch."""

    attack_index: int
    epsilons: Sequence[float]
    source: Target
    targets: Sequence[Target]
    attack: AttackFunction
    journal: Journal

    def known(self, indices: np.ndarray) -> list[tuple[BatchKey, Outcome]]:
        """Return the outcomes of these samples from the journal, or none unless it has all of them."""
        keys = [
            (self.attack_index, epsilon_index, target)
            for epsilon_index, epsilon in enumerate(self.epsilons)
            for target in range(len(self.targets))
            if epsilon
        ]
        outcomes = [(key, outcome) for key in keys if (outcome := self.journal.find(key, indices)) is not None]
        return outcomes if len(outcomes) == len(keys) else []

    def run(self, indices: np.ndarray) -> list[tuple[BatchKey, Outcome]]:
        """Attack these samples, and add to the journal what every target model predicts."""
        start, samples, outcomes = time.perf_counter(), self.source.samples(indices), []
        epsilons = [(epsilon_index, epsilon) for epsilon_index, epsilon in enumerate(self.epsilons) if epsilon]
        attacked = self.attack(self.source.victim, samples, [epsilon for _, epsilon in epsilons]) if epsilons else []
        seconds = (time.perf_counter() - start) / max(len(epsilons) * len(self.targets), 1)
        for (epsilon_index, epsilon), attacked_images in zip(epsilons, attacked, strict=True):
            images, non_finite = require_valid(attacked_images, samples.images, self.source.norm, epsilon)
            for index, target in enumerate(self.targets):
                predictions, non_finite_logits = target.predict(dataclasses.replace(samples, images=images))
                min_epsilon = np.where(predictions.correct(1), np.inf, epsilon)
                outcome = Outcome(indices, min_epsilon, predictions, non_finite + non_finite_logits, round(seconds, 3))
                self.journal.add((self.attack_index, epsilon_index, index), outcome)
                outcomes.append(((self.attack_index, epsilon_index, index), outcome))
        return outcomes
