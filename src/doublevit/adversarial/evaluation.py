"""All attacks on one set of weights: a trial, chains of attacks, rows as they come, and what they say together."""

import contextlib
import dataclasses

import numpy as np

from doublevit import __version__
from doublevit.adversarial.campaign import Campaign
from doublevit.adversarial.gallery import Gallery
from doublevit.adversarial.journal import FOLDER, Journal, open_journal
from doublevit.adversarial.ledger import Ledger, tell_findings
from doublevit.adversarial.plan import Chain, plan
from doublevit.adversarial.rows import float32
from doublevit.adversarial.setting import Setting, make_setting
from doublevit.adversarial.standing import Standing
from doublevit.adversarial.trial import clean_predictions, findings_before
from doublevit.attacks import checks
from doublevit.attacks.checks import Finding
from doublevit.attacks.config import AttackConfig, is_control
from doublevit.attacks.interface import Attack
from doublevit.attacks.make import make
from doublevit.attacks.victim import frozen
from doublevit.data.dataset import Dataset
from doublevit.evaluate import Subject
from doublevit.models.classifier import Classifier
from doublevit.processes import this_process
from doublevit.results import Predictions, Row
from doublevit.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Attacked:
    """Rows of every attack at every epsilon, and the checks that speak against believing them."""

    rows: list[Row] = dataclasses.field(default_factory=list)
    findings: list[Finding] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The weights `subject` of a run under attack, on the photos of `dataset`.

    `seed` decides every draw; `batch_size` is that of predictions; with `resume` what was done before is not repeated;
    `strict` makes findings fatal.
    """

    run: RunFolder
    model: Classifier
    subject: Subject
    dataset: Dataset
    config: AttackConfig
    seed: int
    batch_size: int
    resume: bool
    strict: bool

    def attack(self, usual: np.ndarray) -> Attacked:
        """Run everything; `usual` bool (N,) says which photos are right when evaluated as always.

        Raises:
            UserError: a check found something, and that is fatal.
        """
        self.config.require_classes(len(self.dataset.class_ids))
        self.model.eval()
        with frozen(self.model):
            setting = make_setting(self.model, self.dataset, self.config, self.seed)
            clean = clean_predictions(setting, self.batch_size)
            findings = findings_before(setting, self.config, usual, clean)
            tell_findings(findings, strict=self.strict)
            return self._attack(setting, clean, findings)

    def _attack(self, setting: Setting, clean: Predictions, before: list[Finding]) -> Attacked:
        ledger = Ledger(self.run, float32(self.subject), self.dataset.source, self.config, self.seed)
        findings = before
        with self._journal() as journal:
            for number, chain in enumerate(plan(self.config)):
                campaign = Campaign(setting, chain, number, self._attacks(chain), journal)
                findings = self._chain(campaign, clean, ledger, findings)
        findings = checks.distinct([*findings, *ledger.wins()])
        ledger.mark(findings)
        if self.strict:
            tell_findings(findings, strict=True)
        return Attacked(ledger.rows, findings)

    def _chain(self, campaign: Campaign, clean: Predictions, ledger: Ledger, before: list[Finding]) -> list[Finding]:
        """Run a chain; the findings with those of before."""
        gallery, standing = self._gallery(campaign), Standing.of(clean)
        campaign.batch_size, campaign.keep = self.config.batch_size, gallery.put if gallery else None
        for told in campaign.run(standing):
            ledger.add(told, checks.distinct([*before, *campaign.findings]))
        if gallery and this_process().is_main_process:
            gallery.finish(standing)
        return checks.distinct([*before, *campaign.findings])

    def _attacks(self, chain: Chain) -> dict[str, Attack]:
        names = {stage.attack for stage in chain.stages}
        return {name: make(name, self.config.norm, self.config.parameters) for name in names}

    def _journal(self) -> contextlib.AbstractContextManager[Journal]:
        identity = {
            "version": __version__,
            "subject": dataclasses.asdict(self.subject),
            "dataset": [self.dataset.source, len(self.dataset)],
            "attack": dataclasses.asdict(self.config),
            "seed": self.seed,
        }
        return open_journal(self.run.path, identity, np.asarray(self.dataset.labels), resume=self.resume)

    def _gallery(self, campaign: Campaign) -> Gallery | None:
        if not self.config.save_images or is_control(campaign.chain.names[0]):
            return None
        gallery = Gallery(self.run.path / FOLDER / f"{campaign.journal.name}-{campaign.number}", campaign.setting)
        gallery.open(begun=campaign.journal.has(campaign.number), anew=not self.resume)
        return gallery
