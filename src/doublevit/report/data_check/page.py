"""The page of a check: result, tables, and a gallery for each finding."""

import datetime
from collections.abc import Callable

from doublevit.data.check.findings import DataFinding, Findings
from doublevit.data.decode import Decoding
from doublevit.data.names import printable
from doublevit.report.data_check.pictures import galleries
from doublevit.report.page.content import Page, Section, TileGroup, render
from doublevit.report.tables.data_check import class_table, finding_table, kind_table, size_table
from doublevit.version import __version__

SHOWN = 24
"""Groups of images that a gallery shows of a finding."""
LEVELS = {"error": "Error", "warning": "Warning", "note": "Note"}


def check_page(findings: Findings, options: Decoding, words: Callable[[str], str] = str) -> str:
    """Return the page as HTML that fetches nothing; `words` turns arguments in texts into what the user types."""
    scan = findings.scan
    numbers = Section(
        "images",
        "Images",
        tables=(size_table(scan), kind_table(scan)),
        folded=(class_table(scan),),
        points=tuple(map(printable, scan.source.notes)),
    )
    shown = {finding.name: finding.groups[:SHOWN] for finding in findings.found}
    tiles = galleries(scan, shown, options)
    sections = [_section(finding, tiles[finding.name], words) for finding in findings.found]
    page = Page(
        title=printable(scan.source.name),
        result=result_sentence(findings),
        made=f"Made by doublevit {__version__} on {datetime.date.today():%Y-%m-%d}.",
        sections=(Section("findings", "Findings", tables=(finding_table(findings),)), numbers, *sections),
        brand="doublevit data check",
    )
    return render(page)


def result_sentence(findings: Findings) -> str:
    """Return what was looked at and found in one sentence."""
    scan = findings.scan
    splits = " and ".join(
        f"{split} {(scan.source.splits == i).sum():,}" for i, split in enumerate(scan.source.split_names)
    )
    counts = {level: sum(each.level == level for each in findings.found) for level in LEVELS}
    told = ", ".join(f"{count} {level}{'s' * (count != 1)}" for level, count in counts.items())
    return f"{len(scan.source):,} files ({splits}) of {len(scan.source.class_ids):,} classes: {told}."


def _section(finding: DataFinding, groups: tuple[TileGroup, ...], words: Callable[[str], str]) -> Section:
    number = f" ({finding.images:,})" if finding.groups else ""
    more = len(finding.groups) - len(groups)
    paragraphs = [words(finding.advice)]
    if groups and more > 0:
        paragraphs.append(f"Shown are the first {len(groups):,} of {len(finding.groups):,}; findings.csv names all.")
    title = f"{LEVELS[finding.level]}: {finding.title}{number}"
    points = () if groups else (words(finding.advice),)
    return Section(finding.name, title, tuple(paragraphs) if groups else (), points=points, groups=groups)
