"""The task of a protocol with attacks."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from doublevit.adversarial.campaign import Said, Told
from doublevit.adversarial.plan import plan
from doublevit.adversarial.rows import METRIC, condition_of, float32
from doublevit.attacks.config import AttackConfig
from doublevit.jobs.evaluate import evaluate
from doublevit.jobs.options import Evaluate
from doublevit.jobs.study.cost import Cost
from doublevit.jobs.study.task import Known
from doublevit.results import Predictions
from doublevit.robustness.bench import subject_of

STANDING = 0.5  # of all photos, taken for standing when an attack comes to them: what has fallen is spared the rest
TRIAL = 32 * 20  # gradients that the checks before an attack take, about


@dataclasses.dataclass(frozen=True)
class Attacked:
    """Accuracy on `count` photos under every attack at every epsilon."""

    options: Evaluate
    count: int
    name = "attacks"

    def done(self, known: Known) -> bool:
        """See `Task`."""
        subject, photos = float32(known.subject), known.photos(self.options)
        there = [
            dict(row.condition)
            for row in known.rows
            if row.metric == METRIC
            and (row.dataset, row.count) == (photos.source, len(photos))
            and subject_of(row) == subject
        ]
        return all(condition in there for condition in conditions(self.options.attack, self.options.seed))

    def do(self) -> None:
        """See `Task`."""
        evaluate(self.options)

    def seconds(self, cost: Cost) -> float:
        """See `Task`."""
        config = self.options.attack
        each = sum(
            stage.times * len(stage.epsilons) * _steps(stage.attack, config)
            for chain in plan(config)
            for stage in chain.stages
        )
        seen = 3 * self.count * cost.recognise[self.options.top_k]  # as always, by the attacks' way, and at the end
        return cost.opening + seen + (TRIAL + STANDING * self.count * each) * cost.gradient


def conditions(config: AttackConfig, seed: int) -> Iterator[dict[str, Any]]:
    """What the rows of an evaluation say, of every attack that is asked for at every epsilon, as JSON gives it back."""
    nothing = np.empty(0)
    for chain in plan(config):
        for place, name in enumerate(chain.names):
            for epsilon in chain.epsilons:
                said = Said(name, "", chain.names[:place])
                told = Told(said, epsilon, nothing, nothing, Predictions(*[nothing] * 4), 0.0)
                yield json.loads(json.dumps(condition_of(told, config, seed)))


def _steps(attack: str, config: AttackConfig) -> int:
    """Gradients that an attack takes of a photo, or other looks at it; one where it does not say."""
    steps = config.parameters.steps_of(attack, config.norm)
    knobs = config.parameters.of(attack)
    return int(steps[0] if steps else knobs.get("steps") or knobs.get("queries") or 1)
