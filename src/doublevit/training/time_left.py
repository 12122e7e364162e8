"""How long a training will still take."""

import dataclasses

FORWARD = 1 / 3  # of the time that a training step takes for an image, until a validation was seen


@dataclasses.dataclass
class TimeLeft:
    """Estimates the time to the end of a training: its steps at their present speed, and its validations.

    `validation` holds the seconds of the last one; before there is one, an image is taken for a third of what it is in
    training, which is a forward pass without the backward pass. The last `finish_steps`, at the network's own size,
    take `slower` times as long as those at a smaller size before, in proportion to pixels.
    """

    epochs: int
    steps_per_epoch: int
    train_images: int
    val_images: int
    validation: float | None = None
    finish_steps: int = 0
    slower: float = 1.0

    @property
    def steps(self) -> int:
        """The number of steps of the whole training."""
        return self.epochs * self.steps_per_epoch

    def val_seconds(self, rate: float | None) -> float | None:
        """Return the seconds that a validation takes, as far as known; `rate` is in training images per second."""
        if self.validation is not None:
            return self.validation
        return FORWARD * self.val_images / rate if rate else None

    def seconds(self, step: int, epoch: int, rate: float | None) -> float | None:
        """Return the seconds that are left after `step` steps and `epoch` validations; None if the speed is unknown."""
        validation = self.val_seconds(rate)
        if not rate or validation is None:
            return None
        left: float = self.steps - step
        if left > self.finish_steps:  # the speed is that of a smaller size
            left += (self.slower - 1) * self.finish_steps
        images = left / self.steps_per_epoch * self.train_images
        return images / rate + (self.epochs - epoch) * validation
