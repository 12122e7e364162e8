"""Statistics of accuracy on corrupted images, of one model or of two.

A cell is a corruption at a severity; `cells` are bool (C, N), whether each of N images was recognized in each of C
cells. Images are resampled, cells are not: intervals are about other images, not about other corruptions.
"""

from collections.abc import Sequence

import numpy as np

from doublevit.statistics.proportions import Estimate, sample_differences
from doublevit.statistics.resampling import bootstrap, bootstrap_test

EQUAL_TOLERANCE = 1e-9  # relative spread below which numbers differ by rounding only
CleanAndCells = tuple[np.ndarray, np.ndarray]
"""Whether a model recognized each clean image, bool (M,), and each image of each cell, bool (C, N)."""
ALEXNET_ERRORS = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
"""AlexNet's top-1 errors on ImageNet-C at 224 pixels, each the mean over severities 1 to 5.

Hendrycks and Dietterich (2019); to these digits in the code of AugMix, google-research/augmix, imagenet.py.
"""


def mean_accuracy(cells: np.ndarray, matched: bool = True) -> Estimate:
    """Estimate the mean accuracy over cells, with its 95 % interval.

    Args:
        cells: whether each image was recognized in each cell, bool (C, N).
        matched: whether images are resampled as `relative_change` does with it; the value is the same.
    """
    groups = [cells] if matched else [cells[:0], cells]  # an empty group in the place of the clean images
    return bootstrap(groups, lambda means: means.mean(axis=1))


def relative_change(clean: np.ndarray, cells: np.ndarray, matched: bool = True) -> Estimate:
    """Estimate (mean accuracy over cells - clean accuracy) / clean accuracy, with its 95 % interval.

    This is the paper's "% change" as a fraction: -0.13 is what it prints as -13.0.

    Args:
        clean: whether each clean image was recognized, bool (M,).
        cells: whether each image was recognized in each cell, bool (C, N).
        matched: whether the clean images are those of the cells, so that they are resampled together.

    Raises:
        ValueError: no clean image was recognized, so that the divisor is zero.
    """
    _require_some_correct(clean)
    return bootstrap(_resampling_groups(clean[None], cells, matched), lambda means: _change(means[:, :1], means[:, 1:]))


def change_difference(first: CleanAndCells, second: CleanAndCells, matched: bool = True) -> tuple[Estimate, float]:
    """Estimate the first model's relative change minus the second's, and test whether it is zero.

    The 95 % percentile interval and Wald's two-sided p value come from the same resamples.

    Args:
        first: what the first model recognized.
        second: what the second model recognized, of the same images and cells.
        matched: whether the clean images are those of the cells, so that they are resampled together.

    Raises:
        ValueError: the shapes differ, or a model recognized no clean image.
    """
    shapes = [[correct.shape for correct in pair] for pair in (first, second)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"expected two models on the same images and cells, found {shapes[0]} and {shapes[1]}")
    for clean, _ in (first, second):
        _require_some_correct(clean)

    def difference(means: np.ndarray) -> np.ndarray:
        cells, others = np.split(means[:, 2:], 2, axis=1)
        return _change(means[:, :1], cells) - _change(means[:, 1:2], others)

    both = np.stack([first[0], second[0]]), np.concatenate([first[1], second[1]])
    return bootstrap_test(_resampling_groups(*both, matched), difference)


def mean_corruption_error(cells: np.ndarray, reference: np.ndarray, names: Sequence[str]) -> Estimate:
    """Estimate the mean corruption error (mCE) of Hendrycks and Dietterich (2019), with its 95 % interval.

    It is the mean over corruptions of the error summed over severities, divided by that of a reference model (AlexNet
    there).

    Args:
        cells: whether the model recognized each image in each cell, bool (C, N).
        reference: whether the reference model did, bool (C, N).
        names: the corruption of each cell.

    Raises:
        ValueError: the reference makes no error on some corruption, so that a divisor is zero.
    """
    indices = np.unique(names, return_inverse=True)[1]
    corruptions = indices == np.arange(indices.max() + 1)[:, None]  # (corruptions, C)
    if not (corruptions @ (1 - reference.mean(axis=1)) > 0).all():
        raise ValueError("expected a reference that makes errors on every corruption, found one without any")
    least = 0.5 / cells.shape[1]  # half an error, for resamples in which the reference makes none

    def ratio(means: np.ndarray) -> np.ndarray:
        errors, reference_errors = ((1 - half) @ corruptions.T for half in np.split(means, 2, axis=1))
        return (errors / np.maximum(reference_errors, least)).mean(axis=1)

    return bootstrap([np.concatenate([cells, reference])], ratio)


def paired_mean_test(scores: np.ndarray, others: np.ndarray) -> float:
    """Return the two-sided p value of Student's paired t test that two models' mean scores are equal.

    Where every score differs by the same amount, which leaves the t test no spread, it is that of the sign test.

    Args:
        scores: the first model's score of each image, float (N,), such as the fraction of its corruptions.
        others: the other model's scores, (N,).

    Raises:
        ValueError: the shapes differ or hold fewer than two images.
    """
    gaps = sample_differences(scores, others)
    if not gaps.any():
        return 1.0  # where the test would divide zero by zero
    if len(scores) < 2:
        raise ValueError("expected the scores of at least two images, found 1")
    if np.ptp(gaps) < EQUAL_TOLERANCE * np.abs(gaps).max():
        return float(0.5 ** (len(gaps) - 1))  # the sign test
    from scipy.stats import ttest_rel

    return float(ttest_rel(scores, others).pvalue)


def _resampling_groups(clean: np.ndarray, cells: np.ndarray, matched: bool) -> list[np.ndarray]:
    """Group what is resampled together: everything, if the clean images are those of the cells."""
    return [np.concatenate([clean, cells])] if matched else [clean, cells]


def _change(clean: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return relative changes (resamples,) of accuracies (resamples, 1) and (resamples, C); NaN where clean is 0."""
    divisor = np.where(clean[:, 0] > 0, clean[:, 0], np.nan)
    return cells.mean(axis=1) / divisor - 1


def _require_some_correct(clean: np.ndarray) -> None:
    if not clean.any():
        raise ValueError("expected a model that recognizes some clean image, found none that it does")


def corruption_errors(errors: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return errors in AlexNet's, each corruption's summed over severities first: (..., C) -> (..., corruptions).

    Args:
        errors: fractions of images in each cell, at the same severities 1 to 5 of every corruption.
        names: the corruption of each cell.
    """
    of_corruption = np.array(list(ALEXNET_ERRORS))[:, None] == np.asarray(names)
    present = of_corruption.any(axis=1)
    means = errors @ (of_corruption / np.maximum(of_corruption.sum(axis=1, keepdims=True), 1)).T
    ratios: np.ndarray = (means / np.array(list(ALEXNET_ERRORS.values())))[..., present]
    return ratios


def alexnet_relative_error(cells: np.ndarray, names: Sequence[str]) -> Estimate:
    """Estimate the mCE of Hendrycks and Dietterich (2019) as a fraction (0.767 for 76.7), with its 95 % interval.

    The interval is for the images of the model; AlexNet's errors, on 50,000 images, stand as they were published.

    Args:
        cells: whether the model recognized each image in each cell, bool (C, N), of the fifteen common corruptions.
        names: the corruption of each cell.

    Raises:
        ValueError: the cells are not five of each of the fifteen corruptions.
    """
    if sorted(names) != sorted(5 * [*ALEXNET_ERRORS]):
        raise ValueError("expected the fifteen common corruptions at five severities, found others")
    return bootstrap([cells], lambda means: corruption_errors(1 - means, names).mean(axis=1))
