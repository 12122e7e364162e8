"""Batch-norm adaptation: statistics of the photos that are evaluated in place of those of training."""
