"""`--help` of the commands that attack; the hyperparameters of each attack are shown by `--help-attacks` only."""

import dataclasses
import inspect
from collections.abc import Sequence
from typing import TypeVar

import tyro

from doublevit.attacks.config import AttackConfig
from doublevit.attacks.hyperparameters import Hyperparameters
from doublevit.cli.parse import parse
from doublevit.jobs.options import EvalOptions

Options = TypeVar("Options", bound=EvalOptions)
HINT = "The hyperparameters of each attack, such as --attack.pgd.steps: {prog} --help-attacks."


def parse_evaluation(kind: type[Options], prog: str, arguments: Sequence[str]) -> Options:
    """Fill an instance of `kind` from `arguments`, as `parse` does, with a shorter `--help`."""
    if "--help-attacks" in arguments:
        return parse(kind, prog, ["--help"])
    if {"--help", "-h"} & {*arguments}:
        return parse(
            _without_hyperparameters(kind),
            prog,
            ["--help"],
            description=f"{inspect.cleandoc(kind.__doc__ or '')}\n\n{HINT.format(prog=prog)}",
        )
    return parse(kind, prog, arguments)


@dataclasses.dataclass(frozen=True)
class _AttackConfig(AttackConfig):
    parameters: tyro.conf.Suppress[Hyperparameters] = Hyperparameters()


_AttackConfig.__doc__ = AttackConfig.__doc__


def _without_hyperparameters(kind: type[Options]) -> type[Options]:
    attack = ("attack", _AttackConfig, dataclasses.field(default=_AttackConfig()))
    return dataclasses.make_dataclass(kind.__name__, [attack], bases=(kind,), frozen=True, kw_only=True)
