"""What a check of a data set found, as tables: findings, images by class, kinds and sizes of files."""

import numpy as np

from doublevit.data.check.findings import Findings, class_counts, sizes_of
from doublevit.data.check.scan import Scan
from doublevit.data.names import printable
from doublevit.report.table import Cell, Column, Table, number_cell, text_cell, text_column

MOST_CLASSES = 20
"""Classes that are all listed in the terminal."""
FINDING_COLUMNS = (text_column("found"), Column("images", "images"), Column("groups", "groups"))
LEVELS = {
    "error": "Errors: mend them before training",
    "warning": "Warnings: look at them",
    "note": "Notes: good to know",
}


def finding_table(findings: Findings) -> Table:
    """Return a row for each finding; groups are told where several images belong together."""
    rows = tuple(
        (
            text_cell(each.title),
            number_cell(each.images) if each.groups else Cell(),
            number_cell(len(each.groups)) if each.images > len(each.groups) else Cell(),
        )
        for each in findings.found
    )
    headings = tuple(LEVELS[each.level] for each in findings.found)
    return Table("findings", "Findings", FINDING_COLUMNS, rows, "" if rows else "Nothing was found.", headings)


def class_table(scan: Scan, most: int | None = None) -> Table:
    """Return the readable images of each class in each split; of more than `most` classes, the fewest and the most."""
    source, counts = scan.source, class_counts(scan)
    order, title = list(range(len(source.class_ids))), "Images by class"
    if most is not None and len(order) > most:
        ranks = np.argsort(counts.sum(axis=0), kind="stable")
        order = [*ranks[: most // 4].tolist(), *ranks[-(most // 4) :].tolist()]
        title = f"{title}: the fewest and the most of {len(source.class_ids):,}"
    columns = (text_column("class"), *(Column(split, split) for split in source.split_names))
    rows = [(text_cell(source.class_names[i]), *map(number_cell, counts[:, i].tolist())) for i in order]
    total = (text_cell("all"), *map(number_cell, counts.sum(axis=1).tolist()))
    return Table("classes", title, columns, (*rows, total))


def kind_table(scan: Scan) -> Table:
    """Return how many files there are of each format and mode, the most frequent first."""
    counts = np.bincount(scan.facts["kind"][scan.good], minlength=len(scan.kinds))
    rows = tuple(
        (text_cell(scan.kinds[i][0]), text_cell(scan.kinds[i][1]), number_cell(int(counts[i])))
        for i in np.argsort(-counts, kind="stable").tolist()
    )
    columns = (text_column("format"), text_column("mode (Pillow's)", "mode"), Column("images", "images"))
    return Table("kinds", "Kinds of files", columns, rows)


def size_table(scan: Scan) -> Table:
    """Return the smallest, middle and largest sizes, by number of pixels, and how many images are not square."""
    sizes = sizes_of(scan)
    if not len(sizes):
        return Table("sizes", "Sizes", (text_column("size"), text_column("is", "value")), ())
    order = np.argsort(sizes.prod(axis=1), kind="stable")
    named = {"smallest": order[0], "median": order[len(order) // 2], "largest": order[-1]}
    facts = {name: "{:,} x {:,}".format(*sizes[index].tolist()) for name, index in named.items()}
    facts["not square"] = f"{(sizes[:, 0] != sizes[:, 1]).mean():.1%}"
    rows = tuple((text_cell(name), text_cell(value)) for name, value in facts.items())
    return Table("sizes", "Sizes", (text_column("image"), text_column("width x height", "value")), rows)


def where(scan: Scan, index: int) -> tuple[str, str]:
    """Return in which split and class a file is, and its name, printable."""
    source = scan.source
    return f"{source.split_of(index)}: {source.class_of(index)}", printable(source.names[index])
