"""How the command line talks: results to standard output, everything else to standard error."""

import re
from typing import NoReturn

from doublevit.progress import console, is_main_process, make_console

out = make_console(stderr=False)
_ARGUMENT = re.compile(r"`([a-z]\w*(?:\.\w+)*)(?:=([^`]*))?`")
STOPPED = 130  # the exit code of what was interrupted
INTERRUPTED = "stopped; what was finished is kept: give the same command again to go on"


def say(line: str) -> None:
    """A plain line, never colored, broken or read as markup."""
    out.print(line, markup=False, highlight=False, soft_wrap=True)


def as_options(text: str) -> str:
    """An error's text with every argument, written `a.b_c` or `a.b_c=value`, as what is typed: --a.b-c value."""

    def option(found: re.Match[str]) -> str:
        name, value = found[1].replace("_", "-"), found[2]
        if value == "False":
            group, dot, last = name.rpartition(".")
            return f"--{group}{dot}no-{last}"
        return f"--{name}" if value in (None, "True") else f"--{name} {value}"

    return _ARGUMENT.sub(option, text)


def warn(line: str) -> None:
    """A line on standard error, beside a result that is there all the same."""
    console.print(f"warning: {as_options(line)}", markup=False, highlight=False, soft_wrap=True)


def fail(line: str, code: int) -> NoReturn:
    """One line on standard error, and out; of several processes that stop together only the first says so."""
    if code != STOPPED or is_main_process():
        console.print(f"doublevit: {as_options(line)}", markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(code)
