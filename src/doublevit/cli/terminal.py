"""Output of the command line: results to standard output, everything else to standard error."""

import re
from typing import NoReturn

from doublevit.progress import console, is_main_process, make_console

out = make_console(stderr=False)
_ARGUMENT = re.compile(r"`([a-z]\w*(?:\.\w+)*)(?:=([^`]*))?`")
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


def warn(line: str) -> None:
    """Print a warning on standard error; the command goes on."""
    console.print(f"warning: {as_options(line)}", markup=False, highlight=False, soft_wrap=True)


def fail(line: str, code: int) -> NoReturn:
    """Print a line on standard error and exit; of several processes that are stopped together only the first prints."""
    if code != STOPPED or is_main_process():
        console.print(f"doublevit: {as_options(line)}", markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(code)
