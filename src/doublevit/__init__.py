"""doublevit: fine-tune pretrained vision transformers and see how good, and how robust, they are."""

__version__ = "0.1.0"
