"""The evaluator of accuracy under attack: checks first, then chains of attacks, then findings from all of them."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from doublevit.attacks import checks
from doublevit.attacks.catalogue import is_control
from doublevit.attacks.checks import Finding
from doublevit.attacks.config import AttackConfig
from doublevit.attacks.gradients import require_gradients
from doublevit.attacks.make import make_attack
from doublevit.attacks.victim import frozen
from doublevit.data.dataset import Dataset
from doublevit.device import this_process
from doublevit.evaluators.accuracy import CleanEvaluator
from doublevit.evaluators.attacks.gallery import AttackGallery
from doublevit.evaluators.attacks.journal import Journal, identity_without_models, open_journal
from doublevit.evaluators.attacks.plan import Chain, plan
from doublevit.evaluators.attacks.rows import METRIC, RowWriter, attack_condition, in_float32, report_findings
from doublevit.evaluators.attacks.runner import AttackRunner, Target
from doublevit.evaluators.attacks.sanity_checks import check_model, clean_predictions
from doublevit.evaluators.attacks.state import AttackState
from doublevit.evaluators.evaluator import EvalModel
from doublevit.runs.conditions import ModelId
from doublevit.runs.predictions import Predictions
from doublevit.runs.results import EvalResult, Expected, Results
from doublevit.runs.row import ResultKey


@dataclasses.dataclass
class AttackEvaluator:
    """An evaluator that measures accuracy under every attack at every epsilon.

    `seed` decides every random draw. Finished batches are stored in `journal_folder`, and not attacked again if
    `resume`; without a folder neither batches nor images are stored. `strict` makes findings fatal; `findings` are
    those of the last `run`.
    """

    config: AttackConfig
    seed: int = 0
    journal_folder: Path | None = None
    resume: bool = True
    strict: bool = False
    findings: list[Finding] = dataclasses.field(default_factory=list)
    name = "attacks"

    def conditions(self, model: ModelId, dataset: Dataset) -> list[Expected]:
        """List the robust accuracy under every attack at every epsilon."""
        self.config.require_classes(len(dataset.class_ids))
        expected = []
        for chain in plan(self.config):
            for attack, epsilon in chain.rows():
                condition = attack_condition(attack, epsilon, self.config, self.seed)
                key = ResultKey(
                    model=in_float32(model), dataset=dataset.id.key, count=len(dataset), condition=condition
                )
                expected.append(Expected(key, (METRIC,), np.asarray(dataset.labels)))
        return expected

    def run(self, model: EvalModel, dataset: Dataset, results: Results) -> Iterator[EvalResult]:
        """Yield the robust accuracy under every attack at every epsilon, once all attacks are done.

        Rows are added to `results` as they come, and once more where later findings speak against them.

        Raises:
            UserError: an attack wants gradients, and the model has none; or a check found something, and `strict`
                makes that fatal.
        """
        self.config.require_classes(len(dataset.class_ids))
        require_gradients(model.network, self.config.names)
        (clean_result,) = CleanEvaluator().run(model, dataset, results)
        model.network.eval()
        with frozen(model.network):
            target = Target.of(model.network, dataset, self.config, self.seed)
            clean = clean_predictions(target, model.batch_size)
            self.findings = check_model(target, self.config, clean_result.correct(1), clean)
            report_findings(self.findings, strict=self.strict)
            writer = RowWriter(results, model.id, dataset.id, self.config, self.seed)
            with self._journal(model.id, dataset) as journal:
                for index, chain in enumerate(plan(self.config)):
                    gallery = self._gallery(target, chain, index, journal)
                    save, size = gallery.save if gallery else None, self.config.batch_size
                    runner = AttackRunner(target, chain, index, self._attacks(chain), journal, size, save)
                    self._run_chain(runner, gallery, clean, writer)
        self.findings = checks.distinct([*self.findings, *writer.black_box_findings()])
        updated = writer.add_findings(self.findings)
        if self.strict:
            report_findings(self.findings, strict=True)
        yield from updated

    def _run_chain(
        self, runner: AttackRunner, gallery: AttackGallery | None, clean: Predictions, writer: RowWriter
    ) -> None:
        """Run a chain; add a row for each attack at each epsilon, and the runner's findings to those of before."""
        state, before = AttackState.initial(clean), self.findings
        for result in runner.run(state):
            writer.add(result, checks.distinct([*before, *runner.findings]))
        if gallery and this_process().is_main_process:
            gallery.finish(state)
        self.findings = checks.distinct([*before, *runner.findings])

    def _attacks(self, chain: Chain) -> dict:
        names = {stage.attack for stage in chain.stages}
        return {name: make_attack(name, self.config.norm, self.config.parameters) for name in names}

    def _journal(self, model: ModelId, dataset: Dataset) -> contextlib.AbstractContextManager[Journal]:
        identity = {"model": model} | identity_without_models(dataset, self.config, self.seed)
        return open_journal(self.journal_folder, identity, np.asarray(dataset.labels), resume=self.resume)

    def _gallery(self, target: Target, chain: Chain, index: int, journal: Journal) -> AttackGallery | None:
        """Open the gallery of a chain, if images are to be saved; those of noise, a control, never are."""
        if not self.config.save_images or is_control(chain.names[0]) or self.journal_folder is None:
            return None
        gallery = AttackGallery(self.journal_folder / f"{journal.name}-{index}", target)
        gallery.open(resumed=journal.has_chain(index))
        return gallery
