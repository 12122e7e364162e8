"""Common corruptions, 15 + 4 of them at five severities, in batches: `apply.corrupt(images, name, severity, seed)`.

What Hendrycks and Dietterich (2019) published for Tiny ImageNet-C and ImageNet-C, to the level, without the libraries
that their generator needs. Names and constants live in `config`, so that reading them costs no import of scipy.
"""

from doublevit.corruptions.config import COMMON, PAPER, SEVERITIES, VALIDATION, require_known, table_for

__all__ = ["COMMON", "PAPER", "SEVERITIES", "VALIDATION", "require_known", "table_for"]
