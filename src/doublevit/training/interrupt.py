"""Ctrl-C and SIGTERM, handled between two steps, where everything can be saved."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import torch
from accelerate.utils import reduce

from doublevit.device import this_process

AGREE_EVERY = 10  # steps between two rounds of agreement, where several processes must stop at the same one


class Stopped(Exception):  # noqa: N818  # a normal way to end
    """Tells that the user asked for an end; whoever catches it saves."""


class Interrupt:
    """Holds back the first Ctrl-C or SIGTERM in its context, until `check`; a second Ctrl-C ends at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupt":
        in_main = threading.current_thread() is threading.main_thread()  # no other thread may handle signals
        for number in (signal.SIGINT, signal.SIGTERM) if in_main else ():
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self, step: int | None = None) -> None:
        """Raise `Stopped` if an end was asked for; several processes agree on it, every few steps.

        Without `step`, processes may be at different points, so that several of them never stop.
        """
        if this_process().num_processes == 1:
            agreed = self.asked
        elif step is None or step % AGREE_EVERY:
            return
        else:
            flag = torch.tensor(float(self.asked), device=this_process().device)
            agreed = reduce(flag, reduction="sum").item() > 0
        if agreed:
            raise Stopped

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
