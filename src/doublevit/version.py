"""The version of doublevit."""

__version__ = "0.1.0"
