"""`doublevit data check`, which says everything worth knowing of images before they are trained on."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from doublevit.cli.parse import parse, with_source
from doublevit.cli.terminal import as_options, out, say
from doublevit.data import DataConfig
from doublevit.data.names import printable
from doublevit.errors import UserError

if TYPE_CHECKING:
    from doublevit.data.check.findings import Findings

FOUND = 1  # the exit code where something must be mended
NAMED = 3  # groups of files that the terminal names of a finding


@dataclasses.dataclass(frozen=True)
class CheckOptions:
    """Look at every image before an evening is spent on training: print what is wrong, and write a page with pictures.

    Files that cannot be read, the same or nearly the same image twice (in train and val, under two classes), classes
    that are missing or unequal, constant images, odd sizes; with --model, labels that it surely contradicts. Ends with
    1 where something must be mended before training, with 0 otherwise.
    """

    path: tyro.conf.Positional[Path | None] = None
    """The images, as for --data."""
    data: DataConfig = DataConfig()
    model: str | None = None
    """A model that knows the classes: a run's folder, an exported folder or .onnx, timm:NAME or hf:NAME."""
    weights: str = "hub"
    """Of timm:NAME: hub, a file, or a folder of files that bear timm's names."""
    output: Path | None = None
    """Folder for the page (index.html) and the list of files (findings.csv); if not given, data-check-NAME here."""


def check(arguments: Sequence[str]) -> None:
    """Print findings, write the page, and end with `FOUND` if there is an error among them."""
    options = parse(CheckOptions, "doublevit data check", arguments)
    config = with_source(_config(options), arguments)
    from doublevit.jobs.check import check as look
    from doublevit.jobs.check import write_check
    from doublevit.report.data_check import result_sentence
    from doublevit.report.formats import print_tables
    from doublevit.report.tables.data_check import MOST_CLASSES, class_table, finding_table, kind_table, size_table

    findings = look(config, options.model, options.weights)
    scan = findings.scan
    for note in scan.source.notes:
        say(as_options(note))
    print_tables([class_table(scan, MOST_CLASSES), size_table(scan), kind_table(scan), finding_table(findings)], out)
    _say_findings(findings)
    page, files = write_check(findings, config, options.output or _folder(config), as_options)
    say(result_sentence(findings))
    say(f"  {page}  every finding with pictures")
    say(f"  {files}  every file of every finding")
    if findings.has_errors:
        raise SystemExit(FOUND)


def _config(options: CheckOptions) -> DataConfig:
    if options.path is not None and options.data.path is not None:
        raise UserError(f"{options.path} and --data {options.data.path}: expected one of them")
    path = options.path or options.data.path
    if path is None:
        raise UserError("doublevit data check PATH: expected a folder, a list, a data set of Hugging Face or shards")
    return dataclasses.replace(options.data, path=path)


def _folder(config: DataConfig) -> Path:
    """Return the folder that is written where none is asked for: data-check- and the plain name of the images."""
    name = re.sub(r"[^\w.-]+", "-", Path(str(config.path).removeprefix("hf:").removeprefix("wds:")).absolute().name)
    return Path(f"data-check-{name.strip('-.') or 'images'}")


def _say_findings(findings: "Findings") -> None:
    """Name the first files of each error and warning, and what to do."""
    from doublevit.report.tables.data_check import where

    for finding in findings.found:
        if finding.level == "note":
            continue
        say(f"{finding.level}: {finding.title}. {as_options(finding.advice)}")
        for group in finding.groups[:NAMED]:
            files = "  =  ".join(where(findings.scan, index)[1] for index in group.indices[:NAMED])
            say(f"  {files}{f'  ({printable(group.detail)})' if group.detail else ''}")
        if len(finding.groups) > NAMED:
            say(f"  and {len(finding.groups) - NAMED:,} more")
