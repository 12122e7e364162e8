"""What Foolbox runs in: no noise on the terminal, and draws that repeat and leave the caller's own alone."""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


def import_foolbox() -> Any:
    """Foolbox, quietly."""
    # Its model zoo imports GitPython, which fails where there is no program git unless told not to look for it.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it takes a filter from a module of SciPy that is about to go
        import foolbox
    return foolbox


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No warnings, and no logging: Foolbox logs on the root logger, which sets the whole program's logging up."""
    nobody = logging.NullHandler()
    logging.root.addHandler(nobody)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.removeHandler(nobody)


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seeded draws of torch on the CPU and that device and of NumPy; afterwards each goes on as it was."""
    cards = [device] if device.type == "cuda" else []
    before = np.random.get_state()
    with torch.random.fork_rng(cards):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed seeds every GPU, and not all are put back
        for card in cards:
            with torch.cuda.device(card):
                torch.cuda.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)
