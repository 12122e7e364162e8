"""All attacks on one model: checks before, chains of attacks, rows as they come, and what they say together."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from doublevit.attacks import checks
from doublevit.attacks.catalogue import is_control
from doublevit.attacks.checks import Finding
from doublevit.attacks.config import AttackConfig
from doublevit.attacks.make import make_attack
from doublevit.attacks.victim import frozen
from doublevit.data.dataset import Dataset
from doublevit.device import this_process
from doublevit.evaluators.accuracy import CleanEvaluator
from doublevit.evaluators.attacks.gallery import AttackGallery
from doublevit.evaluators.attacks.journal import Journal, identify, open_journal
from doublevit.evaluators.attacks.plan import Chain, plan
from doublevit.evaluators.attacks.rows import METRIC, RowWriter, condition_of, in_float32, tell_findings
from doublevit.evaluators.attacks.runner import AttackRunner, Target
from doublevit.evaluators.attacks.sanity_checks import clean_predictions, findings_before
from doublevit.evaluators.attacks.state import AttackState
from doublevit.evaluators.evaluator import EvalModel
from doublevit.runs.conditions import ModelId
from doublevit.runs.predictions import Predictions
from doublevit.runs.results import EvalResult, Expected, Results
from doublevit.runs.row import ResultKey


@dataclasses.dataclass
class AttackEvaluator:
    """Accuracy under every attack at every epsilon.

    `seed` decides every draw. What is done is journalled in `journal_folder`, and not repeated with `resume`; without
    a folder nothing is, and no images are saved. `strict` makes findings fatal; `findings` are what the checks found.
    """

    config: AttackConfig
    seed: int = 0
    journal_folder: Path | None = None
    resume: bool = True
    strict: bool = False
    findings: list[Finding] = dataclasses.field(default_factory=list)
    name = "attacks"

    def conditions(self, model: ModelId, dataset: Dataset) -> list[Expected]:
        """See `Evaluator`."""
        self.config.require_classes(len(dataset.class_ids))
        expected = []
        for chain in plan(self.config):
            for attack, epsilon in chain.rows():
                condition = condition_of(attack, epsilon, self.config, self.seed)
                key = ResultKey(
                    model=in_float32(model), dataset=dataset.id.key, count=len(dataset), condition=condition
                )
                expected.append(Expected(key, (METRIC,), np.asarray(dataset.labels)))
        return expected

    def run(self, model: EvalModel, dataset: Dataset, results: Results) -> Iterator[EvalResult]:
        """See `Evaluator`; what was attacked before is read from the journal.

        Raises:
            UserError: a check found something, and that is fatal.
        """
        self.config.require_classes(len(dataset.class_ids))
        (ordinary,) = CleanEvaluator().run(model, dataset, results)
        model.network.eval()
        with frozen(model.network):
            target = Target.of(model.network, dataset, self.config, self.seed)
            clean = clean_predictions(target, model.batch_size)
            self.findings = findings_before(target, self.config, ordinary.correct(1), clean)
            tell_findings(self.findings, strict=self.strict)
            writer = RowWriter(results, model.id, dataset.id, self.config, self.seed)
            with self._journal(model.id, dataset) as journal:
                for number, chain in enumerate(plan(self.config)):
                    gallery = self._gallery(target, chain, number, journal)
                    save, size = gallery.put if gallery else None, self.config.batch_size
                    runner = AttackRunner(target, chain, number, self._attacks(chain), journal, size, save)
                    self._run_chain(runner, gallery, clean, writer)
        self.findings = checks.distinct([*self.findings, *writer.wins()])
        marked = writer.mark(self.findings)
        if self.strict:
            tell_findings(self.findings, strict=True)
        yield from marked

    def _run_chain(
        self, runner: AttackRunner, gallery: AttackGallery | None, clean: Predictions, writer: RowWriter
    ) -> None:
        """Add a row for each attack at each epsilon, and what is found on the way to the findings."""
        state, before = AttackState.before(clean), self.findings
        for result in runner.run(state):
            writer.add(result, checks.distinct([*before, *runner.findings]))
        if gallery and this_process().is_main_process:
            gallery.finish(state)
        self.findings = checks.distinct([*before, *runner.findings])

    def _attacks(self, chain: Chain) -> dict:
        names = {stage.attack for stage in chain.stages}
        return {name: make_attack(name, self.config.norm, self.config.parameters) for name in names}

    def _journal(self, model: ModelId, dataset: Dataset) -> contextlib.AbstractContextManager[Journal]:
        identity = {"model": model} | identify(dataset, self.config, self.seed)
        return open_journal(self.journal_folder, identity, np.asarray(dataset.labels), resume=self.resume)

    def _gallery(self, target: Target, chain: Chain, number: int, journal: Journal) -> AttackGallery | None:
        if not self.config.save_images or is_control(chain.names[0]) or self.journal_folder is None:
            return None
        gallery = AttackGallery(self.journal_folder / f"{journal.name}-{number}", target)
        gallery.open(begun=journal.has(number), anew=not self.resume)
        return gallery
