"""Which scores may be compared with AlexNet's on ImageNet-C, and the mean corruption error relative to these."""

import functools
from pathlib import Path

from doublevit.analysis.corrupted import CorruptedScores
from doublevit.analysis.scores import Score
from doublevit.corruptions import SEVERITIES
from doublevit.corruptions.config import IMAGENET
from doublevit.data.imagenet_sets import CLASSES, WNID
from doublevit.runs.model_info import AMONG, FILE, read_info
from doublevit.statistics.imagenet_c import ALEXNET_ERRORS, alexnet_relative_error

SIDE = 224


def alexnet_score(scores: CorruptedScores) -> Score | None:
    """Return the mCE relative to AlexNet; None where AlexNet was measured on something else, or predictions miss.

    It was measured on the fifteen common corruptions at five severities, on images of 224 pixels of ImageNet's thousand
    classes, all of which it was asked for. Images that were corrupted here, by the same constants, are close to
    ImageNet-C's but not the same.
    """
    if {name for name, _ in scores.cells} != {*ALEXNET_ERRORS} or scores.severities != SEVERITIES:
        return None
    if scores.source.constants != IMAGENET.name or not _is_imagenet(scores.model.run.path):
        return None
    if AMONG in scores.first.model:
        return None
    correct = scores.correct()
    if correct is None:
        return None
    return scores.score(alexnet_relative_error(correct, [name for name, _ in scores.cells]))


@functools.cache
def _is_imagenet(run: Path) -> bool:
    """Return whether a run's model tells ImageNet's thousand classes apart, on images of 224 pixels."""
    if not (run / FILE).is_file():
        return False
    info = read_info(run)
    return info.side == SIDE and len(info.class_ids) == CLASSES and all(map(WNID.fullmatch, info.class_ids))
