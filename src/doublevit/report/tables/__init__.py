"""A comparison as tables: each function takes what was compared and returns a `Table`."""

SECTIONS = (
    *(
        "runs",
        "accuracy",
        "classes",
        "robustness",
        "cells",
        "means",
        "attacks",
        "parts",
        "comparison",
        "speed",
        "paper",
    ),
)
"""The sections of a report that hold tables."""
USUAL = tuple(name for name in SECTIONS if name not in ("classes", "cells", "means", "parts"))
"""The sections that are shown if nothing else is asked for."""
