"""The files of a check for other programs: every file of every finding, a row for each."""

from collections.abc import Iterator
from pathlib import Path

from doublevit.data.check.findings import Findings
from doublevit.report.error_files import write_csv
from doublevit.report.formats.plain import FORMULA

COLUMNS = ("finding", "level", "group", "file", "split", "class", "detail")


def write_findings(path: Path, findings: Findings) -> None:
    """Write findings.csv; files of one group have the same number."""
    write_csv(path, COLUMNS, _rows(findings))


def _rows(findings: Findings) -> Iterator[list[object]]:
    source = findings.scan.source
    for finding in findings.found:
        for number, group in enumerate(finding.groups, 1):
            for index in group.indices:
                place = (
                    _harmless(_text(source.names[index])),
                    source.split_of(index),
                    _harmless(source.class_of(index)),
                )
                yield [finding.name, finding.level, number, *place, group.detail]


def _text(name: str) -> str:
    """Return a file's name as UTF-8 holds it, a byte that is none as an escape; otherwise unchanged."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _harmless(text: str) -> str:
    """Quote a text that a spreadsheet would take for a formula."""
    return f"'{text}" if text[:1] in FORMULA else text
