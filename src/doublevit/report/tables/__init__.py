"""What the files of runs say, as tables: each function takes what was read and returns a `Table`."""

SECTIONS = ("runs", "accuracy", "robustness", "cells", "attacks", "comparison", "speed", "paper")
"""The parts of a report that tables stand in."""
