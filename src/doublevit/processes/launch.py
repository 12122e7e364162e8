"""What the launcher, torchrun or `accelerate launch`, told this process; and who of several says how it ended.

Nothing here imports torch: bad arguments are refused before that.
"""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Protocol

from doublevit.errors import UserError

ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
"""The environment variable with the file whose message torchrun repeats in its own report."""


MOST_DIGITS = 9  # of a number of processes


class ProcessGroup(Protocol):
    """The processes of a command, once they have joined."""

    def leave(self, failure: str = "") -> bool:
        """Leave the others: when all are done, or at once with a `failure`, which ends them too.

        Returns whether everything is closed, so that Python may end as it always does.
        """

    def lost(self, seconds: float) -> str:
        """Return which process was lost and how, as soon as that is known; "" if none is after some `seconds`."""


_joined: list[ProcessGroup] = []


def count() -> int:
    """Return the number of processes that were started together, on all machines."""
    return _whole("WORLD_SIZE", 1)


def rank() -> int:
    """Return the index of this process among all."""
    return _whole("RANK", 0)


def require_numbers() -> None:
    """Raise `UserError` unless what the launcher says of its processes are numbers that fit."""
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        value = os.environ.get(name, "0")
        if not (value.isascii() and value.isdecimal() and len(value) <= MOST_DIGITS):
            raise UserError(f"the environment variable {name} is {value!r}: expected a number, as torchrun sets it")
    if rank() >= max(1, count()):
        raise UserError(f"the environment variable RANK is {rank()}: expected less than WORLD_SIZE, {count()}")


def _whole(name: str, missing: int) -> int:
    """Return a number of the environment; what is none is refused by `require_numbers`, in the beginning."""
    value = os.environ.get(name, "")
    return int(value) if value.isascii() and value.isdecimal() and len(value) <= MOST_DIGITS else missing


def is_first_to_end() -> bool:
    """Return whether no process on this machine said why it ended before this one, which now has the word.

    So an error that all have, or that one has and the others suffer from, is one line on each machine.
    """
    if count() == 1 or ERROR_FILE not in os.environ:
        return True
    attempt = Path(os.environ[ERROR_FILE]).parent.parent  # of all processes of one start on this machine
    try:
        os.close(os.open(attempt / "doublevit-ended", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    except OSError:  # said twice is better than not at all
        return True
    return True


def leave_word(line: str) -> None:
    """Leave a line to torchrun, which ends its own report with it."""
    if path := os.environ.get(ERROR_FILE):
        extra = {"py_callstack": line, "timestamp": str(int(time.time()))}
        with contextlib.suppress(OSError):
            Path(path).write_text(json.dumps({"message": {"message": line, "extraInfo": extra}}))


def set_group(group: ProcessGroup) -> None:
    """Remember the group that this process has joined."""
    _joined[:] = [group]


def leave(failure: str = "") -> bool:
    """Leave the group, if this process has joined one; return whether all is closed (see `ProcessGroup.leave`)."""
    return _joined.pop().leave(failure) if _joined else True


def lost(seconds: float) -> str:
    """Return which process of the group was lost and how; "" if none is after some `seconds`."""
    return _joined[0].lost(seconds) if _joined else ""
