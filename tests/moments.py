"""Things that happen at a moment of a test's choice: when a network is shown a batch, when a file is opened or renamed.

Nothing of doublevit is replaced: the moments are those that PyTorch and Python tell of by themselves.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from doublevit.models.classifier import Classifier

Act = Callable[[Classifier], None]


@contextlib.contextmanager
def at_batch(number: int | None, act: Act, *, training: bool) -> Iterator[list[int]]:
    """Act when a network, in training or not, is shown its batch of that number, from 1 (None: every batch).

    Gives the sizes of all batches that were shown.
    """
    sizes: list[int] = []

    def before(module: Any, arguments: tuple[Any, ...]) -> None:
        if isinstance(module, Classifier) and module.training == training:
            sizes.append(len(arguments[0]))
            if number in (None, len(sizes)):
                act(module)

    hook = register_module_forward_pre_hook(before)
    try:
        yield sizes
    finally:
        hook.remove()


def raising(error: BaseException) -> Act:
    """What goes wrong then."""

    def fail(_: Classifier) -> None:
        raise error

    return fail


@contextlib.contextmanager
def after_step(number: int, act: Callable[[Optimizer], None]) -> Iterator[None]:
    """Act when an optimizer has made its step of that number, from 1."""
    steps: list[Optimizer] = []

    def after(optimizer: Optimizer, *_: Any) -> None:
        steps.append(optimizer)
        if len(steps) == number:
            act(optimizer)

    hook = register_optimizer_step_post_hook(after)
    try:
        yield
    finally:
        hook.remove()


def ctrl_c(_: Any = None) -> None:
    """What Ctrl-C sends."""
    signal.raise_signal(signal.SIGINT)


_listeners: list[Callable[[str, tuple[Any, ...]], None]] = []


def _tell(event: str, arguments: tuple[Any, ...]) -> None:
    for listener in tuple(_listeners):
        listener(event, arguments)


@contextlib.contextmanager
def at_file(event: str, name: str, act: Callable[[Path], None]) -> Iterator[None]:
    """Act on a file just before it is opened under a name ("open"), or just before it gets that name ("os.rename")."""

    def listen(told: str, arguments: tuple[Any, ...]) -> None:
        if told == event:
            path, named = arguments[0], arguments[1 if event == "os.rename" else 0]
            if isinstance(named, str | os.PathLike) and Path(named).name == name:
                act(Path(path))

    if not _listeners:
        _hear()
    _listeners.append(listen)
    try:
        yield
    finally:
        _listeners.remove(listen)


_heard: list[bool] = []


def _hear() -> None:
    """Audit hooks cannot be taken away, so there is one for all tests."""
    if not _heard:
        _heard.append(True)
        sys.addaudithook(_tell)
