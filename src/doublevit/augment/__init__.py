"""Augmentation: batched, on the device, and a function of (seed, epoch, sample) alone.

`draws.draw_table` draws uniform numbers, a row for each sample, on the CPU. `policies.make_augmentation` makes what
spends them: `(images (B, 3, H, W), draws (B, columns)) -> images`, so that batch size, number of processes and device
change nothing. The operations give what Pillow and timm give, to a level.
"""

from doublevit.augment.config import OPERATION_SETS, OPERATIONS, POLICIES, AugmentConfig, AugMixConfig, describe

__all__ = ["OPERATIONS", "OPERATION_SETS", "POLICIES", "AugMixConfig", "AugmentConfig", "describe"]
