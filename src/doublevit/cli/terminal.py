"""Output of the command line: results to standard output, everything else to standard error."""

import os
import re
import signal
from typing import NoReturn

from doublevit.processes import launch
from doublevit.progress import console, make_console

out = make_console(stderr=False)
_ARGUMENT = re.compile(r"`([a-z]\w*(?:\.\w+)*)(?:=([^`]*))?`")
_CONNECTION = re.compile(r"gloo|nccl|connection|socket|broken pipe|timed? ?out|peer", re.IGNORECASE)
LOST_SECONDS = 25.0  # after which a process that does not answer is known to
STOPPED = 130  # the exit code of what was interrupted
INTERRUPTED = "stopped; what was finished is kept: give the same command again to go on"


def say(line: str) -> None:
    """Print a plain line, never colored, broken or read as markup."""
    out.print(line, markup=False, highlight=False, soft_wrap=True)


def as_options(text: str) -> str:
    """Return an error's text with every argument, `a.b_c` or `a.b_c=value`, as the user types it: --a.b-c value."""

    def option(match: re.Match[str]) -> str:
        name, value = match[1].replace("_", "-"), match[2]
        if value == "False":
            group, dot, last = name.rpartition(".")
            return f"--{group}{dot}no-{last}"
        return f"--{name}" if value in (None, "True") else f"--{name} {value}"

    return _ARGUMENT.sub(option, text)


def remark(line: str) -> None:
    """Print a line on standard error, such as what takes a while."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def warn(line: str) -> None:
    """Print a warning on standard error; the command goes on."""
    remark(f"warning: {as_options(line)}")


def fail(line: str, code: int) -> NoReturn:
    """Print a line on standard error and exit; of several processes the first on each machine to end prints."""
    if launch.count() > 1:
        _ignore_stops()
        lost = launch.lost(0) if code == STOPPED else ""
        if lost and "ended: stopped" not in lost:  # then it is no stop that all were asked for
            line, code = lost, 1
    text = as_options(line)
    if launch.is_first_to_end():
        console.quiet = False
        console.print(f"doublevit: {text}", markup=False, highlight=False, soft_wrap=True)
    launch.leave_word(text)
    if not launch.leave(text):
        os._exit(code)
    raise SystemExit(code)


def fail_if_lost(error: Exception) -> None:
    """Exit with a line on the process that was lost, if an error says that one no longer answers."""
    if launch.count() > 1 and isinstance(error, RuntimeError) and _CONNECTION.search(str(error)):
        _ignore_stops()
        if lost := launch.lost(LOST_SECONDS):
            fail(lost, 1)


def _ignore_stops() -> None:
    """End by ourselves from here on: what started the processes stops them when one has ended."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
