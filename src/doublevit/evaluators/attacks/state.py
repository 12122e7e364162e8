"""Which images are still robust, and how the others were broken."""

import dataclasses

import numpy as np

from doublevit.runs.predictions import Predictions


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What an attack did to some samples.

    `indices` int64 (n,); `min_epsilon` float64 (n,), the smallest epsilon at which each was broken, infinite where none
    did; `answers`, predictions for the images that broke them (for the others: nothing of use); `damaged`, how many
    came back as something that is no image; `seconds` it took.
    """

    indices: np.ndarray
    min_epsilon: np.ndarray
    answers: Predictions
    damaged: int
    seconds: float


@dataclasses.dataclass
class AttackState:
    """How far every sample of a data set has come in a chain of attacks.

    `min_epsilon` float64 (N,): 0 where the model was wrong before any attack, else the smallest epsilon at which the
    sample was broken so far, infinite where it is robust; `broken_by` (N,), by which attack. `answers`, predictions for
    the image, or for the one that broke it. `clean`, for the images themselves.
    """

    min_epsilon: np.ndarray
    broken_by: np.ndarray
    answers: Predictions
    clean: Predictions

    @classmethod
    def before(cls, clean: Predictions) -> "AttackState":
        """The state before any attack."""
        min_epsilon = np.where(clean.correct(1), np.inf, 0.0)
        count = len(min_epsilon)
        return cls(min_epsilon, np.full(count, "", dtype="U32"), clean.at(np.arange(count)), clean)

    def robust(self, epsilon: float) -> np.ndarray:
        """Samples that are not broken at an epsilon, in their order."""
        return np.flatnonzero(self.min_epsilon > epsilon)

    def update(self, outcome: Outcome, attack: str) -> int:
        """Take in what an attack did; how many samples it broke at an epsilon at which they had been robust."""
        newly = outcome.min_epsilon < self.min_epsilon[outcome.indices]
        indices = outcome.indices[newly]
        self.min_epsilon[indices], self.broken_by[indices] = outcome.min_epsilon[newly], attack
        self.answers.put(indices, outcome.answers.at(newly))
        return len(indices)

    def predictions(self, epsilon: float) -> Predictions:
        """Predictions for the worst image found in the ball of every sample: the image itself where it is robust."""
        return self.clean.replaced(self.answers, self.min_epsilon <= epsilon)
