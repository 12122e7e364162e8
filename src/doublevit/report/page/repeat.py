"""How to repeat some runs: commands, versions, seeds."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from doublevit.report.candidates import Contender
from doublevit.report.table import Table, text, words
from doublevit.results import read_lines
from doublevit.run_folder import COMMANDS, RunFolder

VERSIONS = ("torch", "torchvision", "timm", "foolbox", "numpy")


def commands(contenders: Sequence[Contender]) -> tuple[str, ...]:
    """Every command that the runs were made and measured by, each once, in order."""
    found: dict[str, None] = {}
    for one in contenders:
        for member in one.members:
            found |= dict.fromkeys(_commands(member.run))
    return tuple(found)


def unnoted(contenders: Sequence[Contender]) -> list[str]:
    """Runs of which not all commands are known."""
    members = [member for one in contenders for member in one.members]
    further = [m for m in members if any(row.condition.get("kind") != "clean" for row in m.rows)]
    return list(dict.fromkeys(m.run.path.name for m in further if not (m.run.path / COMMANDS).exists()))


def version_table(contenders: Sequence[Contender]) -> Table:
    """Versions, machine and seed of each run."""
    heads = ("run", "started", "doublevit", "python", *VERSIONS, "machine", "seed")
    rows = []
    for one in contenders:
        for member in one.members:
            made = _environment(member.run)
            libraries = made.get("libraries")
            libraries = libraries if isinstance(libraries, dict) else {}
            versions = [libraries.get(name, "-") for name in VERSIONS]
            first = [member.run.path.name, *(made.get(key, "-") for key in ("started", "doublevit", "python"))]
            rows.append(tuple(map(text, [*first, *versions, made.get("platform", "-"), member.recipe["seed"]])))
    rows = list(dict.fromkeys(rows))
    return Table("versions", "Versions", tuple(map(words, heads)), tuple(rows))


def _environment(run: RunFolder) -> Mapping[str, Any]:
    try:
        made = json.loads((run.path / "environment.json").read_text())
    except (OSError, ValueError):
        return {}
    return made if isinstance(made, dict) else {}


def _commands(run: RunFolder) -> Iterator[str]:
    for entry in [_environment(run), *read_lines(run.path / COMMANDS)]:
        arguments = entry.get("command")
        if isinstance(arguments, list) and arguments:
            program, *rest = map(str, arguments)
            yield shlex.join(["doublevit" if _is_ours(program) else program, *rest])


def _is_ours(program: str) -> bool:
    return Path(program).name in ("doublevit", "__main__.py")
