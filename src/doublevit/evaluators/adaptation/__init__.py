"""Batch-norm adaptation: statistics of the images that are evaluated in place of those of training."""
