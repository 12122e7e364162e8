"""Black box by transfer: images that were made to fool one model, shown to all."""

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
from doublevit.evaluators.attacks.journal import Journal, Key, identify, open_journal
from doublevit.evaluators.attacks.plan import AttackId
from doublevit.evaluators.attacks.rows import condition_of, in_float32, row_of, tell_findings
from doublevit.evaluators.attacks.runner import AttackResult, Target, require_valid
from doublevit.evaluators.attacks.sanity_checks import clean_predictions, findings_before
from doublevit.evaluators.attacks.state import AttackState, Outcome
from doublevit.evaluators.evaluator import EvalModel
from doublevit.runs.conditions import Transfer
from doublevit.runs.predictions import Predictions
from doublevit.runs.results import EvalResult, Results
from doublevit.runs.row import Row


@dataclasses.dataclass(frozen=True)
class TransferEvaluation:
    """Every model against every other, and itself, on the images of `dataset`.

    All images are attacked, those too that the attacked model takes for something else: another may not. An image
    counts as robust on a model if that was right before and is right on what the attack has made of it.
    """

    models: Sequence[EvalModel]
    dataset: Dataset
    config: AttackConfig
    seed: int = 0
    journal_folder: Path | None = None
    resume: bool = True
    strict: bool = False

    def run(self, results: Sequence[Results]) -> list[Row]:
        """A row for every pair, attack and epsilon, added to the results of the model that was shown the images.

        What the checks find of a model is in the rows of images made on it.

        Raises:
            UserError: a check found something, and that is fatal.
        """
        pairs = zip(self.models, results, strict=True)
        correct = [next(CleanEvaluator().run(model, self.dataset, own)).correct(1) for model, own in pairs]
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
            for made_on, target in enumerate(targets):
                findings = findings_before(target, self.config, correct[made_on], clean[made_on])
                tell_findings(findings, strict=self.strict)
                for shown, result, about in self._made_on(made_on, targets, clean, journal):
                    row = self._row(result, made_on, shown, checks.distinct([*findings, *about]))
                    results[shown].add_once(EvalResult((row,), result.predictions))
                    rows.append(row)
        return rows

    def _made_on(
        self, made_on: int, targets: Sequence[Target], clean: Sequence[Predictions], journal: Journal
    ) -> Iterator[tuple[int, AttackResult, list[Finding]]]:
        """What every model makes of images made on one: its number, the result, and findings about it."""
        for number, name in enumerate(self.config.names):
            attacked = made_on * len(self.config.names) + number
            outcomes = self._attack(attacked, targets[made_on], targets, journal)
            for (size, epsilon), shown in itertools.product(enumerate(self.config.epsilon_values), range(len(targets))):
                state, own = AttackState.before(clean[shown]), outcomes.get((attacked, size, shown), [])
                for outcome in own:
                    state.update(outcome, name)
                damaged = checks.non_finite(sum(outcome.damaged for outcome in own), name, name)
                seconds = sum(outcome.seconds for outcome in own)
                yield shown, AttackResult.read(state, AttackId(name, "", ()), epsilon, seconds), list(damaged)

    def _attack(
        self, attacked: int, made_on: Target, targets: Sequence[Target], journal: Journal
    ) -> dict[Key, list[Outcome]]:
        """Outcomes of all samples on every model at every epsilon."""
        process, name = this_process(), self.config.names[attacked % len(self.config.names)]
        attack = make_attack(name, self.config.norm, self.config.parameters)
        batches = np.array_split(np.arange(len(self.dataset)), -(-len(self.dataset) // self.config.batch_size))
        batch = _TransferBatch(attacked, self.config.epsilon_values, made_on, targets, attack, journal)
        title = f"{name} on {self.models[attacked // len(self.config.names)].id.model}"
        with progress.bar(title, len(self.dataset)) as bar:
            own = []
            for indices in batches[process.process_index :: process.num_processes]:
                own += batch.known(indices) or batch.make(indices)
                bar.advance(len(indices) * process.num_processes)
        outcomes: dict[Key, list[Outcome]] = {}
        for key, outcome in gather_object(own):
            outcomes.setdefault(key, []).append(outcome)
        return outcomes

    def _row(self, result: AttackResult, made_on: int, shown: int, findings: Sequence[Finding]) -> Row:
        alone = dataclasses.replace(self.config, independent=True)
        attack = condition_of(result.attack, result.epsilon, alone, self.seed)
        facts = {name: getattr(attack, name) for name in Transfer.__struct_fields__ if name != "made_on"}
        condition = Transfer(made_on=self.models[made_on].id, **facts)
        return row_of(result, condition, in_float32(self.models[shown].id), self.dataset.id, findings)

    def _journal(self) -> contextlib.AbstractContextManager[Journal]:
        identity = {"transfer": [model.id for model in self.models]} | identify(self.dataset, self.config, self.seed)
        return open_journal(self.journal_folder, identity, np.asarray(self.dataset.labels), resume=self.resume)


@dataclasses.dataclass(frozen=True)
class _TransferBatch:
    """Makes a batch's images on one model, and shows them to all."""

    attacked: int
    sizes: Sequence[float]
    made_on: Target
    targets: Sequence[Target]
    attack: AttackFunction
    journal: Journal

    def known(self, indices: np.ndarray) -> list[tuple[Key, Outcome]]:
        """What was written down of these samples, if it was all."""
        keys = [
            (self.attacked, size, shown)
            for size, epsilon in enumerate(self.sizes)
            for shown in range(len(self.targets))
            if epsilon
        ]
        found = [(key, outcome) for key in keys if (outcome := self.journal.find(key, indices)) is not None]
        return found if len(found) == len(keys) else []

    def make(self, indices: np.ndarray) -> list[tuple[Key, Outcome]]:
        """Attack these samples, and write down what every model predicts."""
        start, samples, made = time.perf_counter(), self.made_on.samples(indices), []
        sizes = [(size, epsilon) for size, epsilon in enumerate(self.sizes) if epsilon]
        attacked = self.attack(self.made_on.victim, samples, [epsilon for _, epsilon in sizes]) if sizes else []
        seconds = (time.perf_counter() - start) / max(len(sizes) * len(self.targets), 1)
        for (size, epsilon), moved in zip(sizes, attacked, strict=True):
            images, damaged = require_valid(moved, samples.images, self.made_on.norm, epsilon)
            for shown, target in enumerate(self.targets):
                answers, not_finite = target.predict(dataclasses.replace(samples, images=images))
                min_epsilon = np.where(answers.correct(1), np.inf, epsilon)
                outcome = Outcome(indices, min_epsilon, answers, damaged + not_finite, round(seconds, 3))
                self.journal.add((self.attacked, size, shown), outcome)
                made.append(((self.attacked, size, shown), outcome))
        return made
