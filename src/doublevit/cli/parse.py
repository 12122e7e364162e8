"""Parsing of arguments into dataclasses by tyro, whose boxed errors are folded into one line."""

import contextlib
import dataclasses
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import tyro

from doublevit.cli.terminal import warn
from doublevit.data import DataConfig, source_at
from doublevit.errors import UserError

Options = TypeVar("Options")

RENAMED = {"--train.optimiser": "--train.optimizer", "--photos": "--first", "--photo": "--index"}
"""Options by the names that they had until version 0.1, which still work in this one."""
RENAMED_VALUES = {("--augment.place", "photo"): "image", ("--attack.space", "photo"): "image"}
"""Values of options by the names that they had."""


def parse(
    kind: type[Options], prog: str, arguments: Sequence[str], renamed: Mapping[str, str] = RENAMED, **tyro_options: Any
) -> Options:
    """Fill an instance of the dataclass `kind` from `arguments`; `--help` is printed and ends the program.

    Raises:
        UserError: an argument is unknown, missing, of another type or out of range.
    """
    error_box = io.StringIO()
    current = list(_current(arguments, renamed))
    try:
        with contextlib.redirect_stderr(error_box):
            options = tyro.cli(kind, prog=prog, args=current, **tyro_options)
    except SystemExit as end:
        if not end.code:
            raise
        raise UserError(f"{_fold(error_box.getvalue())}; see {prog} --help") from None
    if getattr(options, "device", "auto") != "auto":
        os.environ["ACCELERATE_TORCH_DEVICE"] = options.device  # before torch is imported
    return options


def asks_help(arguments: Sequence[str]) -> bool:
    """Return whether a command that needs an argument was given none, or was asked for help."""
    return not arguments or arguments[0] in ("-h", "--help")


def value_of(arguments: Sequence[str], *names: str) -> str | None:
    """Return the value of an option in `arguments`, `--name value` or `--name=value`; None if it is not given."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, value = argument.partition("=")
        if name.replace("_", "-") in names:
            return value if equals else following
    return None


def with_source(config: DataConfig, arguments: Sequence[str]) -> DataConfig:
    """Return the data's config with the source that its path implies, unless `arguments` name one."""
    if config.path is None or value_of(arguments, "--data.source") is not None:
        return config
    return dataclasses.replace(config, source=source_at(config.path))


def _current(arguments: Sequence[str], renamed: Mapping[str, str]) -> Iterator[str]:
    """Yield the arguments under the names of this version, and warn the user of older ones."""
    option = ""
    for argument in arguments:
        is_option = argument.startswith("--")
        name, equals, value = argument.partition("=") if is_option else (option, " ", argument)
        option = renamed.get(name.replace("_", "-"), name)
        value = RENAMED_VALUES.get((option.replace("_", "-"), value), value)
        current = f"{option}{equals}{value}" if is_option else value
        if current != argument:
            warn(f"{argument} is now {current}; the old name works in this version only")
        yield current


def _fold(box: str) -> str:
    """Return the first part of a box as one line, with its suggestions: "Unrecognized ...; did you mean --x?"."""
    below_title = box.splitlines()[1:]
    text = " ".join(line.strip("│╰╯ ") for line in below_title)  # without borders where the terminal has no UTF-8
    parts = [part.strip() for part in re.split(r"[─-]{4,}", text) if part.strip()]
    line = re.sub(r"^Error parsing \w[\w.]*: ", "", parts[0]).rstrip(".")
    near = [re.findall(r"--[\w.-]+", part) for part in parts[1:] if part.startswith("Perhaps you meant")]
    return line + (f"; did you mean {' or '.join(dict.fromkeys(near[0]))}?" if near else "")
