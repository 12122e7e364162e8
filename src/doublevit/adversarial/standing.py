"""Which photos still stand, and how the others fell."""

import dataclasses

import numpy as np

from doublevit.results import Predictions


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What an attack did to some samples.

    `indices` int64 (n,); `fell` float64 (n,), the smallest epsilon at which each fell, infinite where it stands;
    `answers`, what the model said of the images with which they fell (of the others: nothing of use);
    `damaged`, how many came back as something that is no image; `seconds` it took.
    """

    indices: np.ndarray
    fell: np.ndarray
    answers: Predictions
    damaged: int
    seconds: float


@dataclasses.dataclass
class Standing:
    """How every sample of a data set stands in a chain of attacks.

    `fell` float64 (N,): 0 where the model was wrong before any attack, else the smallest epsilon at which it fell so
    far, infinite where it stands; `felled_by` (N,), by which attack. `answers`, of the photo, or of the image with
    which it fell. `clean`, of the photos.
    """

    fell: np.ndarray
    felled_by: np.ndarray
    answers: Predictions
    clean: Predictions

    @classmethod
    def of(cls, clean: Predictions) -> "Standing":
        """Before any attack."""
        fell = np.where(clean.hits(1), np.inf, 0.0)
        return cls(fell, np.full(len(fell), "", dtype="U32"), clean.at(np.arange(len(fell))), clean)

    def left(self, epsilon: float) -> np.ndarray:
        """Samples that stand at an epsilon, in their order."""
        return np.flatnonzero(self.fell > epsilon)

    def take(self, outcome: Outcome, attack: str) -> int:
        """Note what an attack did; how many samples fell at an epsilon at which they had stood."""
        news = outcome.fell < self.fell[outcome.indices]
        indices = outcome.indices[news]
        self.fell[indices], self.felled_by[indices] = outcome.fell[news], attack
        self.answers.put(indices, outcome.answers.at(news))
        return len(indices)

    def predictions(self, epsilon: float) -> Predictions:
        """Of the worst image found in the ball of every sample: the photo itself where it stands."""
        return self.clean.replaced(self.answers, self.fell <= epsilon)
