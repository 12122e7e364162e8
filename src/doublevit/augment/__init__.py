"""Augmentation: batched, on the device, and a function of (seed, epoch, sample) alone.

`draws.draw_table` draws uniform numbers on the CPU, a row for each sample. `policies.make_augmentation` makes the
function that uses them, `(images (B, 3, H, W), draws (B, columns)) -> views`, so batch size, number of processes and
device change nothing. The operations agree with Pillow's and timm's to within one level of 255.
"""

from doublevit.augment.config import OPERATION_SETS, OPERATIONS, POLICIES, AugmentConfig, AugMixConfig, describe

__all__ = ["OPERATIONS", "OPERATION_SETS", "POLICIES", "AugMixConfig", "AugmentConfig", "describe"]
