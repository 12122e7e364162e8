"""Configuration of training. Defaults are the paper's, except that the schedule moves at every step."""

import dataclasses
from typing import Annotated, Literal

import tyro

from doublevit.attacks.epsilons import parse_epsilon
from doublevit.errors import UserError

LOG_EVERY = 10
"""Steps between two entries of the log; a GPU waits for each."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Configures the training."""

    epochs: Annotated[int, tyro.conf.arg(aliases=("--epochs",))] = 10
    """Passes over the training images; 0 evaluates the model as it is built."""
    batch_size: Annotated[int, tyro.conf.arg(aliases=("--batch-size",))] = 32
    """Images per step, over all processes together."""
    accumulate: int = 1
    """Parts that a step's batch is computed in, to save memory; the step stays the same (batch norm sees the parts)."""
    optimizer: Annotated[Literal["adam", "adamw"], tyro.conf.arg(aliases=("--optimizer",))] = "adam"
    """adam (decay added to the gradient, as in the paper's code) or adamw (not on norms and biases)."""
    backbone_lr: Annotated[float, tyro.conf.arg(aliases=("--lr",))] = 1e-4
    """Learning rate of pretrained layers."""
    head_lr: float = 1e-3
    """Learning rate of new layers: head and cross attention."""
    layer_decay: float = 1.0
    """Factor of the learning rate from each pretrained layer to the one before it (BEiT's and timm's); 1: none."""
    weight_decay: float = 1e-5
    """Weight decay of the optimizer."""
    schedule: Literal["cosine", "cosine-per-epoch", "constant"] = "cosine"
    """How the rates fall to zero: at every step, or, as in the paper's code, once an epoch."""
    warmup_epochs: float = 0.0
    """Epochs over which the rates first rise from zero."""
    label_smoothing: float = 0.0
    """Fraction of the target spread over all classes."""
    class_weights: Literal["none", "balanced", "effective"] = "none"
    """Weights of classes in the loss: balanced (inverse to their images), or effective (by Cui et al. 2019)."""
    class_weights_beta: float = 0.999
    """How far the weights called effective go: from 0, all equal, to balanced as it nears 1."""
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    """What an epoch holds: every image once, or as many images in which every class comes equally often."""
    consistency: float = 12.0
    """Weight of the Jensen-Shannon divergence between the views of an image, where the policy makes several."""
    clip_norm: float | None = None
    """Largest norm of a step's gradient, which is scaled down to it; None: no limit."""
    narrow_epochs: float = 0.0
    """Epochs over which sparse attention narrows, from all keys to `model.top_k`; 0 has it from the start."""
    ema: float | None = None
    """Decay of the moving average of the weights, which is validated and evaluated in their stead; None: none."""
    image_size: int | None = None
    """Side in pixels of the network's input in training, where it shall differ from that in evaluation (FixRes)."""
    finish_epochs: float = 0.0
    """Last epochs, trained at the network's own size again."""
    adversarial: Literal["none", "pgd"] = "none"
    """pgd: train on images that PGD attacks, in place of clean ones (Madry et al. 2018)."""
    epsilon: str = "1/255"
    """How far the attack moves a pixel, in units of the pixel range."""
    epsilon_epochs: float | None = None
    """Epochs over which epsilon rises from 0, for checkpoints that are not robust; if not given, half of them."""
    attack_steps: int = 2
    """Gradient steps of the attack, each of 2.5 epsilon / steps, 1.25 epsilon at most."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of matrix products; auto: bfloat16 where the hardware has it."""

    def __post_init__(self) -> None:
        _at_least("epochs", self.epochs, 0)
        _at_least("batch_size", self.batch_size, 1)
        _at_least("accumulate", self.accumulate, 1)
        if self.accumulate > self.batch_size:
            raise UserError(f"`train.accumulate` {self.accumulate}: expected at most the batch size, {self.batch_size}")
        for name in ("backbone_lr", "head_lr", "weight_decay", "warmup_epochs", "narrow_epochs", "consistency"):
            _at_least(name, getattr(self, name), 0)
        if not 0 < self.layer_decay <= 1:
            raise UserError(f"`train.layer_decay`: expected more than 0 and at most 1, found {self.layer_decay}")
        if self.ema is not None and not 0 <= self.ema < 1:
            raise UserError(f"`train.ema`: expected 0 or more and less than 1, found {self.ema}")
        if not 0 <= self.label_smoothing < 1:
            raise UserError(
                f"`train.label_smoothing`: expected 0 or more and less than 1, found {self.label_smoothing}"
            )
        self._check_balance()
        self._check_size()
        self._check_adversarial()
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise UserError(f"`train.clip_norm`: expected more than 0, found {self.clip_norm}")

    def finish_steps(self, per_epoch: int) -> int:
        """Return how many of the last steps are made at the network's own size, of `per_epoch` in an epoch."""
        return max(1, round(self.finish_epochs * per_epoch)) if self.finish_epochs else 0

    def _check_size(self) -> None:
        _at_least("finish_epochs", self.finish_epochs, 0)
        if self.image_size is not None:
            _at_least("image_size", self.image_size, 1)
        elif self.finish_epochs:
            raise UserError(f"`train.finish_epochs` {self.finish_epochs:g}: expected `train.image_size` too")
        if 0 < self.epochs < self.finish_epochs:  # without training there is nothing to finish
            raise UserError(f"`train.finish_epochs` {self.finish_epochs:g}: expected at most all epochs, {self.epochs}")

    def _check_balance(self) -> None:
        if not 0 <= self.class_weights_beta < 1:
            raise UserError(
                f"`train.class_weights_beta`: expected 0 or more and less than 1, found {self.class_weights_beta}"
            )
        if self.class_weights != "none" and self.sampling == "balanced":
            raise UserError(
                f"`train.class_weights={self.class_weights}` and `train.sampling=balanced`: expected one of them; both"
                " would count rare classes twice over"
            )

    def _check_adversarial(self) -> None:
        for name in ("epsilon", "epsilon_epochs", "attack_steps"):
            if self.adversarial == "none" and getattr(self, name) != getattr(TrainConfig, name):
                raise UserError(f"`train.{name}` is for training on attacked images: expected `train.adversarial=pgd`")
        if not self.largest_epsilon:
            raise UserError(f"`train.epsilon` {self.epsilon}: expected more than 0, such as 1/255")
        _at_least("attack_steps", self.attack_steps, 1)
        if self.epsilon_epochs is not None and not 0 <= self.epsilon_epochs <= self.epochs:
            raise UserError(f"`train.epsilon_epochs` {self.epsilon_epochs:g}: expected 0 to all epochs, {self.epochs}")

    @property
    def largest_epsilon(self) -> float:
        """The epsilon of adversarial training once it has risen, in units of the pixel range."""
        return parse_epsilon(self.epsilon, "linf", "`train.epsilon`")

    @property
    def rising_epochs(self) -> float:
        """Epochs over which the epsilon of adversarial training rises from 0."""
        return self.epochs / 2 if self.epsilon_epochs is None else self.epsilon_epochs


def _at_least(name: str, value: float, least: float) -> None:
    if not least <= value < float("inf"):  # so that nan is refused too
        raise UserError(f"`train.{name}`: expected at least {least}, found {value}")
