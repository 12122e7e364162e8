r"""Tables in LaTeX with the booktabs package, for \input into a paper."""

import re

from doublevit.report.table import Cell, Table, letter

NEGATIVE = re.compile(r"(?<![\w)])-(?=\d)")
LABEL = re.compile(r"[^A-Za-z0-9-]+")
ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{mark: f"\\{mark}" for mark in "&%$#_"},
}


def latex(table: Table) -> str:
    """Return a table environment; intervals are set small behind their numbers, footnotes below the rules."""
    columns = "".join("r" if column.numeric else "l" for column in table.columns)
    heads = [column.head for column in table.columns]
    body = [f"{' & '.join(map(escape, heads))} \\\\", r"\midrule"]
    for number, (group, rows) in enumerate(table.grouped()):
        if group:
            body += ([r"\addlinespace"] if number else []) + [
                f"\\multicolumn{{{len(heads)}}}{{l}}{{\\textit{{{escape(group)}}}}} \\\\"
            ]
        body += [f"{' & '.join(_cell(table, cell) for cell in row)} \\\\" for row in rows]
    rules = [
        "% \\usepackage{booktabs,graphicx}",
        r"\begin{table}",
        r"\centering\small",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
    ]
    notes = [
        rf"\par{{\footnotesize \textsuperscript{{{letter(number)}}} {escape(note)}}}"
        for number, note in enumerate(table.footnotes)
    ]
    end = [
        r"\bottomrule",
        r"\end{tabular}}",
        *notes,
        _caption(table),
        rf"\label{{tab:{LABEL.sub('-', table.name)}}}",
        r"\end{table}",
    ]
    return "\n".join([*rules, *body, *end]) + "\n"


def escape(text: str) -> str:
    """Escape a text so that LaTeX sets it as it is."""
    return "".join(ESCAPES.get(mark, mark) for mark in text)


def _cell(table: Table, cell: Cell) -> str:
    shown = NEGATIVE.sub("$-$", escape(cell.text))
    shown = rf"\textbf{{{shown}}}" if cell.best else shown
    interval = rf" {{\scriptsize ({NEGATIVE.sub('$-$', escape(cell.interval))})}}" if cell.interval else ""
    marks = rf"\textsuperscript{{{table.marks(cell)}}}" if cell.notes else ""
    content = shown + interval + marks
    return f"{{}}{content}" if content.startswith("[") else content  # "[" would be an argument of the last row's "\\"


def _caption(table: Table) -> str:
    title = table.title.rstrip(".")
    return rf"\caption{{{escape(f'{title}. {table.caption}'.strip())}}}"
