"""All attacks on one set of weights: a trial, chains of attacks, rows as they come, and what they say together."""

import dataclasses
from collections.abc import Iterable

import numpy as np
import torch

from doublevit import __version__
from doublevit.adversarial.campaign import Campaign
from doublevit.adversarial.gallery import Gallery
from doublevit.adversarial.journal import FOLDER, Journal, open_journal
from doublevit.adversarial.ledger import Ledger
from doublevit.adversarial.plan import Chain, plan
from doublevit.adversarial.rows import float32
from doublevit.adversarial.setting import Setting, make_setting
from doublevit.adversarial.standing import Standing
from doublevit.adversarial.trial import clean_predictions, findings_before, half_precision_is_as_good
from doublevit.attacks import checks
from doublevit.attacks.checks import Finding
from doublevit.attacks.config import AttackConfig, is_control
from doublevit.attacks.make import make
from doublevit.attacks.victim import Victim, frozen
from doublevit.data.dataset import Dataset
from doublevit.errors import UserError
from doublevit.evaluate import Subject
from doublevit.models.classifier import Classifier
from doublevit.processes import this_process
from doublevit.progress import console
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
        self.model.eval()
        with frozen(self.model):
            setting = make_setting(self.model, self.dataset, self.config, self.seed)
            clean = clean_predictions(setting, self.batch_size)
            findings = findings_before(setting, self.config, usual, clean)
            self._tell(findings)
            return self._attack(self._in_half_precision(setting, clean), clean, findings)

    def _attack(self, setting: Setting, clean: Predictions, before: list[Finding]) -> Attacked:
        gradients = str(setting.victim.dtype).removeprefix("torch.")
        ledger = Ledger(
            self.run,
            float32(self.subject),
            self.dataset.source,
            self.config,
            {"gradients": gradients, "attack_seed": self.seed},
        )
        journal, findings = self._journal(), before
        attacks = {
            stage.attack: make(stage.attack, self.config.norm, self.config.parameters)
            for chain in plan(self.config)
            for stage in chain.stages
        }
        for number, chain in enumerate(plan(self.config)):
            gallery, standing = self._gallery(setting, chain, f"{journal.name}-{number}"), Standing.of(clean)
            campaign = Campaign(setting, chain, number, attacks, journal, self.config.batch_size)
            campaign.keep = gallery.put if gallery else None
            for told in campaign.run(standing):
                ledger.add(told, checks.distinct([*findings, *campaign.findings]))
            findings = checks.distinct([*findings, *campaign.findings])
            if gallery and this_process().is_main_process:
                gallery.finish(standing)
        findings = checks.distinct([*findings, *ledger.wins()])
        ledger.mark(findings)
        self._tell([finding for finding in findings if finding not in before])
        return Attacked(ledger.rows, findings)

    def _journal(self) -> Journal:
        identity = {
            "version": __version__,
            "subject": dataclasses.asdict(self.subject),
            "dataset": [self.dataset.source, len(self.dataset)],
            "attack": dataclasses.asdict(self.config),
            "seed": self.seed,
        }
        return open_journal(self.run.path, identity, np.asarray(self.dataset.labels), resume=self.resume)

    def _gallery(self, setting: Setting, chain: Chain, name: str) -> Gallery | None:
        if not self.config.save_images or is_control(chain.names[0]):
            return None
        gallery = Gallery(self.run.path / FOLDER / name, setting)
        gallery.open(anew=not self.resume)
        return gallery

    def _in_half_precision(self, setting: Setting, clean: Predictions) -> Setting:
        if self.config.precision == "float32":
            return setting
        half = Victim(self.model, torch.bfloat16)
        if half_precision_is_as_good(setting, half, clean, self.config.sizes):
            return dataclasses.replace(setting, victim=half)
        console.print("bfloat16 felled fewer photos in a trial than float32: gradients are float32", highlight=False)
        return setting

    def _tell(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            if self.strict:
                raise UserError(f"--strict: {finding}")
            if this_process().is_main_process:
                console.print(f"finding: {finding}", markup=False, highlight=False, soft_wrap=True)
