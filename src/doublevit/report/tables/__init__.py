"""A comparison as tables: each function takes what was compared and returns a `Table`."""

SECTIONS = ("runs", "accuracy", "robustness", "cells", "means", "attacks", "parts", "comparison", "speed", "paper")
"""The parts of a report that tables stand in."""
USUAL = tuple(name for name in SECTIONS if name not in ("cells", "means", "parts"))
"""Those that are shown if nothing else is asked for."""
