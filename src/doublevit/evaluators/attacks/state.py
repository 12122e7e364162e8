"""The state of every sample in a chain of attacks: robust still, or broken, and how."""

import dataclasses

import numpy as np

from doublevit.runs.predictions import Predictions


@dataclasses.dataclass(frozen=True)
class Outcome:
    """An outcome says what an attack did to some samples.

    `indices` int64 (n,); `min_epsilon` float64 (n,), the smallest epsilon at which each sample was broken, infinite
    where it was not; `predictions` for the images that broke them (for other samples without meaning); `non_finite`,
    how many images or their logits were not finite; `seconds` that the attack took.
    """

    indices: np.ndarray
    min_epsilon: np.ndarray
    predictions: Predictions
    non_finite: int
    seconds: float


@dataclasses.dataclass
class AttackState:
    """A state that says how far a chain of attacks has come with every sample of a data set.

    `min_epsilon` float64 (N,): 0 where the model is wrong without an attack, else the smallest epsilon at which the
    sample was broken so far, infinite where it is robust; `broken_by` (N,), the name of the attack that did so. `worst`
    are predictions for the image that broke each sample, or else for its clean image; `clean` for the clean images.
    """

    min_epsilon: np.ndarray
    broken_by: np.ndarray
    worst: Predictions
    clean: Predictions

    @classmethod
    def initial(cls, clean: Predictions) -> "AttackState":
        """Return the state before any attack."""
        min_epsilon = np.where(clean.correct(1), np.inf, 0.0)
        count = len(min_epsilon)
        return cls(min_epsilon, np.full(count, "", dtype="U32"), clean.at(np.arange(count)), clean)

    def robust(self, epsilon: float) -> np.ndarray:
        """Return the indices of the samples that are not broken at `epsilon`, int64 (n,), in rising order."""
        return np.flatnonzero(self.min_epsilon > epsilon)

    def update(self, outcome: Outcome, attack: str) -> int:
        """Record an outcome, and return how many samples it broke at an epsilon at which they had been robust."""
        improved = outcome.min_epsilon < self.min_epsilon[outcome.indices]
        indices = outcome.indices[improved]
        self.min_epsilon[indices], self.broken_by[indices] = outcome.min_epsilon[improved], attack
        self.worst.put(indices, outcome.predictions.at(improved))
        return len(indices)

    def predictions(self, epsilon: float) -> Predictions:
        """Return the predictions for every sample's worst image in the ball: the clean image where it is robust."""
        return self.clean.replaced(self.worst, self.min_epsilon <= epsilon)
