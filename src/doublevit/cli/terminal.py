"""How the command line talks: results to standard output, everything else to standard error."""

from typing import NoReturn

from doublevit.progress import console, is_main_process, make_console

out = make_console(stderr=False)
STOPPED = 130  # the exit code of what was interrupted
INTERRUPTED = "stopped; what was finished is kept: give the same command again to go on"


def say(line: str) -> None:
    """A plain line, never colored, broken or read as markup."""
    out.print(line, markup=False, highlight=False, soft_wrap=True)


def warn(line: str) -> None:
    """A line on standard error, beside a result that is there all the same."""
    console.print(f"warning: {line}", markup=False, highlight=False, soft_wrap=True)


def fail(line: str, code: int) -> NoReturn:
    """One line on standard error, and out; of several processes that stop together only the first says so."""
    if code != STOPPED or is_main_process():
        console.print(f"doublevit: {line}", markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(code)
