"""The hyperparameters of Foolbox's attacks. Nothing here imports torch or Foolbox, so that help stays quick.

Defaults are those of Foolbox 3.3.4, except where a docstring says what Foolbox's own is.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Pgd:
    """Projected gradient descent takes many small steps from a random point of the ball."""

    steps: int | None = None
    """Gradient steps; if not given, 40 for pgd in linf and 50 for all others."""
    relative_step: float | None = None
    """Length of a step, relative to epsilon; if not given, 1/30 for pgd in linf and 1/40 for all others."""
    random_start: bool = True
    """Start at a random point of the ball, instead of the image."""


@dataclasses.dataclass(frozen=True)
class BasicIterative:
    """The basic iterative method takes steps from the image itself."""

    steps: int = 10
    """Gradient steps."""
    relative_step: float = 0.2
    """Length of a step, relative to epsilon."""


@dataclasses.dataclass(frozen=True)
class MomentumIterative(BasicIterative):
    """MI-FGSM takes steps that go on in the direction of those before."""

    momentum: float = 1.0
    """Weight of earlier gradients in each step."""


@dataclasses.dataclass(frozen=True)
class SparseL1Descent(BasicIterative):
    """Sparse L1 descent takes steps that change few pixels."""

    quantile: float = 0.99
    """Fraction of the pixels, those with the smallest gradient, that a step leaves alone."""


@dataclasses.dataclass(frozen=True)
class VirtualAdversarial:
    """The attack of virtual adversarial training looks for the direction that changes the prediction most."""

    steps: int = 10
    """Power iterations; Foolbox names no default."""
    step: float = 1.0
    """L2 length of the trial step; Foolbox: 1e-6, which float32 loses in images."""


@dataclasses.dataclass(frozen=True)
class CarliniWagner:
    """Carlini and Wagner's attack runs Adam on the distance plus a constant times the margin."""

    binary_search_steps: int = 9
    """Constants that are tried."""
    steps: int = 500
    """Gradient steps for each constant; Foolbox: 10,000. It stops earlier where nothing improves."""
    step: float = 0.01
    """Adam's learning rate."""
    confidence: float = 0.0
    """Margin in logits by which the wrong class must win."""
    initial_constant: float = 0.001
    """Weight of the margin, against the distance, that is tried first."""


@dataclasses.dataclass(frozen=True)
class ElasticNet(CarliniWagner):
    """EAD, the elastic net attack, adds an L1 term to Carlini and Wagner's attack."""

    steps: int = 200
    """Gradient steps for each constant; Foolbox: 10,000. It stops earlier where nothing improves."""
    step: float = 0.01
    """Length of the first gradient step."""
    regularization: float = 0.01
    """Weight of the L1 distance, against the squared L2 distance."""


@dataclasses.dataclass(frozen=True)
class DeepFool:
    """DeepFool steps to the nearest boundary of the linearized model, again and again."""

    steps: int = 50
    """Gradient steps at most."""
    candidates: int = 10
    """Most likely classes whose boundaries are considered; one gradient each in every step."""
    overshoot: float = 0.02
    """How far to go beyond the boundary, relative to the distance."""


@dataclasses.dataclass(frozen=True)
class FastMinimumNorm:
    """FMN takes gradient steps in a ball that shrinks where they fool and grows where they do not."""

    steps: int = 100
    """Gradient steps."""
    largest_step: float = 1.0
    """L2 length of the first step; the last one's is a hundredth of it."""
    gamma: float = 0.05
    """Fraction by which the ball grows or shrinks in the first step."""


@dataclasses.dataclass(frozen=True)
class DecoupledDirectionNorm:
    """DDN finds the direction by gradient steps, and the L2 norm apart from it."""

    steps: int = 100
    """Gradient steps."""
    initial_epsilon: float = 1.0
    """L2 norm that is tried first."""
    gamma: float = 0.05
    """Fraction by which the norm grows or shrinks in each step."""


@dataclasses.dataclass(frozen=True)
class HopSkipJump:
    """HopSkipJump goes along the boundary, whose direction it estimates from decisions alone."""

    steps: int = 32
    """Steps along the boundary; Foolbox: 64. 32 cost some 13,000 queries per image, 64 some 36,000."""
    initial_queries: int = 100
    """Queries in the first step; they grow with the square root of the steps."""


@dataclasses.dataclass(frozen=True)
class Boundary:
    """The boundary attack walks along the boundary at random."""

    steps: int = 5000
    """Steps of the walk, each about one query per image; Foolbox: 25,000."""
    spherical_step: float = 0.01
    """First step sideways, relative to the distance."""
    source_step: float = 0.01
    """First step towards the image, relative to the distance."""


@dataclasses.dataclass(frozen=True)
class Noise:
    """Repeated noise of norm epsilon is drawn until it fools."""

    repeats: int = 100
    """Draws at most."""


@dataclasses.dataclass(frozen=True)
class SaltAndPepper:
    """Salt and pepper noise adds more and more black and white pixels."""

    steps: int = 1000
    """Amounts of noise that are tried, each one query per image."""


@dataclasses.dataclass(frozen=True)
class BlendedNoise:
    """Blended noise mixes the image with a noise image, more and more."""

    directions: int = 1000
    """Noise images that are tried at most, until one is taken for another class."""
    steps: int = 1000
    """Points on the way to the noise image that are tried, each one query per image."""


@dataclasses.dataclass(frozen=True)
class GaussianBlur:
    """Gaussian blur gets stronger until it fools."""

    steps: int = 100
    """Strengths that are tried, each one query per image; Foolbox: 1000."""
    largest_sigma: float | None = None
    """Standard deviation of the strongest blur, in pixels; if not given, the image's longer side."""


@dataclasses.dataclass(frozen=True)
class ContrastReduction:
    """Contrast reduction blends the image with gray, as little as fools."""

    binary_search_steps: int = 15
    """Steps of the search for the least change that fools."""
    target: float = 0.5
    """Gray without any contrast: 0 is black, 1 white."""


@dataclasses.dataclass(frozen=True)
class Spatial:
    """The spatial attack shifts and turns the whole image."""

    max_translation: float = 3.0
    """Largest shift, in pixels."""
    max_rotation: float = 30.0
    """Largest turn, in degrees."""
    num_translations: int = 5
    """Shifts that are tried along each side."""
    num_rotations: int = 5
    """Turns that are tried."""
    grid_search: bool = True
    """Try all shifts with all turns; otherwise random ones."""
    random_steps: int = 100
    """Random shifts and turns that are tried without grid search."""
