"""Runs merged into one by the mean of their weights."""
