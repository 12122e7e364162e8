"""The exponential moving average of the weights, which is what is validated, saved and evaluated; it is timm's."""

from timm.utils import ModelEmaV3

from doublevit.models.classifier import Classifier
from doublevit.training.config import TrainConfig


def make_ema(model: Classifier, config: TrainConfig) -> ModelEmaV3 | None:
    """Return the average of a model's weights and batch norm statistics, on its device; None if there is to be none.

    Its decay after n steps is 1 - n^(-2/3), until that exceeds `config.ema`: timm's warm-up, by which an average is no
    longer than a fraction of a short training, and forgets the weights that training began with.
    """
    return None if config.ema is None else ModelEmaV3(model, decay=config.ema, use_warmup=True)
