"""Black box by transfer: images that were made to fool one model, shown to all."""

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence

import numpy as np
from accelerate.utils import gather_object

from doublevit import __version__, progress
from doublevit.adversarial.campaign import Said, Told, tell
from doublevit.adversarial.journal import Journal, Key, open_journal
from doublevit.adversarial.ledger import add_once, tell_findings
from doublevit.adversarial.rows import condition_of, float32, row_of
from doublevit.adversarial.setting import Setting, make_setting, require_valid
from doublevit.adversarial.standing import Outcome, Standing
from doublevit.adversarial.trial import clean_predictions, findings_before
from doublevit.attacks import checks
from doublevit.attacks.checks import Finding
from doublevit.attacks.config import AttackConfig
from doublevit.attacks.interface import Attack
from doublevit.attacks.make import make
from doublevit.attacks.victim import frozen
from doublevit.data.dataset import Dataset
from doublevit.evaluate import Subject
from doublevit.models.classifier import Classifier
from doublevit.models.top_k import mention
from doublevit.processes import this_process
from doublevit.results import Predictions, Row
from doublevit.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Party:
    """A run that takes part, with its weights `subject`."""

    run: RunFolder
    model: Classifier
    subject: Subject

    @property
    def name(self) -> str:
        """The run, its weights, and its sparse attention if it has one."""
        return f"{self.subject.model} ({self.subject.checkpoint}{mention(self.subject.top_k, ', ')})"


@dataclasses.dataclass(frozen=True)
class Tournament:
    """Every run against every other, and itself, on the photos of `dataset`.

    All photos are attacked, those too that the attacked model takes for something else: another may not. A photo counts
    as robust on a model if that was right before and is right on the image.
    """

    parties: Sequence[Party]
    dataset: Dataset
    config: AttackConfig
    seed: int
    batch_size: int
    resume: bool
    strict: bool

    def rows(self, usual: Sequence[np.ndarray]) -> list[Row]:
        """For every pair, attack and epsilon a row, added to the results of the run that was shown the images.

        `usual` says of each run which photos are right when evaluated as always, bool (N,). What the checks find of a
        run stands in the rows of images made on it.

        Raises:
            UserError: a check found something, and that is fatal.
        """
        with contextlib.ExitStack() as stack:
            for party in self.parties:
                party.model.eval()
                stack.enter_context(frozen(party.model))
            settings = [make_setting(party.model, self.dataset, self.config, self.seed) for party in self.parties]
            clean = [clean_predictions(setting, self.batch_size) for setting in settings]
            journal = stack.enter_context(self._journal())
            rows = []
            for made_on, setting in enumerate(settings):
                findings = findings_before(setting, self.config, usual[made_on], clean[made_on])
                tell_findings(findings, strict=self.strict)
                rows += list(self._made_on(made_on, settings, clean, journal, findings))
        return rows

    def _made_on(
        self,
        made_on: int,
        settings: Sequence[Setting],
        clean: Sequence[Predictions],
        journal: Journal,
        findings: Sequence[Finding],
    ) -> Iterator[Row]:
        for number, name in enumerate(self.config.names):
            place = made_on * len(self.config.names) + number
            outcomes = self._attack(place, settings[made_on], settings, journal)
            for (size, epsilon), shown in itertools.product(enumerate(self.config.sizes), range(len(settings))):
                standing, mine = Standing.of(clean[shown]), outcomes.get((place, size, shown), [])
                for outcome in mine:
                    standing.take(outcome, name)
                damaged = checks.damage(sum(outcome.damaged for outcome in mine), name, name)
                told = tell(standing, Said(name, "", ()), epsilon, sum(outcome.seconds for outcome in mine))
                yield self._row(told, made_on, shown, checks.distinct([*findings, *damaged]))

    def _attack(
        self, place: int, made_on: Setting, settings: Sequence[Setting], journal: Journal
    ) -> dict[Key, list[Outcome]]:
        """Outcomes of all samples on every model at every epsilon."""
        state, name = this_process(), self.config.names[place % len(self.config.names)]
        attack = make(name, self.config.norm, self.config.parameters)
        batches = np.array_split(np.arange(len(self.dataset)), -(-len(self.dataset) // self.config.batch_size))
        shows = _Shows(place, self.config.sizes, made_on, settings, attack, journal)
        title = f"{name} on {self.parties[place // len(self.config.names)].subject.model}"
        with progress.bar(title, len(self.dataset)) as bar:
            mine = []
            for indices in batches[state.process_index :: state.num_processes]:
                mine += shows.known(indices) or shows.make(indices)
                bar.advance(len(indices) * state.num_processes)
        outcomes: dict[Key, list[Outcome]] = {}
        for key, outcome in gather_object(mine):
            outcomes.setdefault(key, []).append(outcome)
        return outcomes

    def _row(self, told: Told, made_on: int, shown: int, findings: Sequence[Finding]) -> Row:
        party, source = self.parties[shown], self.parties[made_on].name
        alone = dataclasses.replace(self.config, independent=True)
        condition = condition_of(told, alone, self.seed) | {"kind": "transfer", "made_on": source}
        row = row_of(told, condition, float32(party.subject), self.dataset.source, findings)
        add_once(party.run, row, told.predictions, party.run.rows())
        return row

    def _journal(self) -> contextlib.AbstractContextManager[Journal]:
        """Beside the first run."""
        identity = {
            "version": __version__,
            "transfer": [dataclasses.asdict(party.subject) for party in self.parties],
            "dataset": [self.dataset.source, len(self.dataset)],
            "attack": dataclasses.asdict(self.config),
            "seed": self.seed,
        }
        return open_journal(self.parties[0].run.path, identity, np.asarray(self.dataset.labels), resume=self.resume)


@dataclasses.dataclass(frozen=True)
class _Shows:
    """Makes a batch's images on one model, and shows them to all."""

    place: int
    sizes: Sequence[float]
    made_on: Setting
    settings: Sequence[Setting]
    attack: Attack
    journal: Journal

    def known(self, indices: np.ndarray) -> list[tuple[Key, Outcome]]:
        """What was written down of these samples, if it was all."""
        keys = [
            (self.place, size, shown)
            for size, epsilon in enumerate(self.sizes)
            for shown in range(len(self.settings))
            if epsilon
        ]
        found = [(key, outcome) for key in keys if (outcome := self.journal.find(key, indices)) is not None]
        return found if len(found) == len(keys) else []

    def make(self, indices: np.ndarray) -> list[tuple[Key, Outcome]]:
        """Attack these samples, and write down what every model says."""
        start, samples, made = time.perf_counter(), self.made_on.samples(indices), []
        sizes = [(size, epsilon) for size, epsilon in enumerate(self.sizes) if epsilon]
        attacked = self.attack(self.made_on.victim, samples, [epsilon for _, epsilon in sizes]) if sizes else []
        seconds = (time.perf_counter() - start) / max(len(sizes) * len(self.settings), 1)
        for (size, epsilon), moved in zip(sizes, attacked, strict=True):
            images, damaged = require_valid(moved, samples.images, self.made_on.norm, epsilon)
            for shown, setting in enumerate(self.settings):
                answers, silent = setting.answers(dataclasses.replace(samples, images=images))
                fell = np.where(answers.hits(1), np.inf, epsilon)
                outcome = Outcome(indices, fell, answers, damaged + silent, round(seconds, 3))
                self.journal.add((self.place, size, shown), outcome)
                made.append(((self.place, size, shown), outcome))
        return made
