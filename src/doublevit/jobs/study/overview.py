"""What is done and what is to do, before anything is done."""

from rich.markup import escape
from rich.table import Table

from doublevit.jobs.study.book import Book
from doublevit.jobs.study.plan import Planned


def overview(book: Book) -> Table:
    """A line for each cell that is wanted; below them, what is left and how long it will take, if that can be told."""
    study = book.request.study
    table = Table(title=escape(f"{study.name}: {study.note}"), caption=_left(book), caption_justify="left")
    for head in ("group", "cell", "training", "evaluations"):
        table.add_column(head, overflow="fold")
    for planned in book.wanted:
        done = len(planned.top_ks) - len(book.missing(planned))
        cells = (planned.cell.group, planned.cell.name, _training(book, planned), f"{done} of {len(planned.top_ks)}")
        table.add_row(*map(escape, cells))
    return table


def _training(book: Book, planned: Planned) -> str:
    name, problem = planned.run.path.name, book.problems.get(planned.cell.name)
    if planned.trained:
        state = f"done in {book.seconds[name]:,.0f} s" if name in book.seconds else "done"
    elif planned.recipe is None or planned.epochs is None:
        state = "to do"
    else:
        state = f"{planned.epochs} of {planned.recipe.train.epochs} epochs"
    shared = "" if name == planned.cell.name else f", shared with {name}"
    return f"{state}{shared}" + (f"; failed: {problem}" if problem else "")


def _left(book: Book) -> str:
    trainings, evaluations = book.work()
    if not trainings and not evaluations:
        return "nothing is left to do"
    left = book.time_left()
    estimate = f"about {left}, by the mean of those done" if left else "how long is not known before some are done"
    return f"to do: {trainings} trainings, {evaluations} evaluations; {estimate}"
