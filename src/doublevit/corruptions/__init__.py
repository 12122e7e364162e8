"""Common corruptions, 15 + 4 of them at five severities, in batches: `apply.corrupt(images, name, severity, seed)`.

They reproduce what Hendrycks and Dietterich (2019) published for Tiny ImageNet-C and ImageNet-C to within one level of
255, without the libraries that their generator needs. Names and constants are in `config`, which does not import scipy.
"""

from doublevit.corruptions.config import COMMON, PAPER, SEVERITIES, VALIDATION, require_known, table_for

__all__ = ["COMMON", "PAPER", "SEVERITIES", "VALIDATION", "require_known", "table_for"]
