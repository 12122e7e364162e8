"""What is done and what is to do, before anything is done."""

import datetime

from rich.markup import escape
from rich.table import Table

from doublevit.jobs.study.book import Book
from doublevit.jobs.study.outlook import Outlook
from doublevit.jobs.study.plan import Planned


def overview(book: Book, outlook: Outlook) -> Table:
    """A line for each cell that is wanted, with the time that is left of it; below them, what is left of all."""
    study = book.request.study
    table = Table(title=escape(f"{study.name}: {study.note}"), caption=_left(book, outlook), caption_justify="left")
    for head in ("cell", "training", "measured", "to measure"):
        table.add_column(head, overflow="fold")
    table.add_column("time", justify="right", no_wrap=True)
    for planned in book.wanted:
        tasks, missing = book.tasks(planned), book.missing(planned)
        measured = f"{len(tasks) - len(missing)} of {len(tasks)}"
        to_do = ", ".join(dict.fromkeys(task.name for task in missing))
        texts = (planned.name, _training(book, planned), measured, to_do, duration(outlook.left([planned])))
        table.add_row(*map(escape, texts))
    return table


def duration(seconds: float) -> str:
    """Hours, minutes and seconds as people read them."""
    return str(datetime.timedelta(seconds=round(seconds)))


def _training(book: Book, planned: Planned) -> str:
    name = planned.run.path.name
    problem = "" if book.done(planned) else book.problems.get((planned.cell.name, planned.seed))
    if planned.trained:
        state = f"done in {book.seconds[name]:,.0f} s" if name in book.seconds else "done"
    elif planned.recipe is None or planned.epochs is None:
        state = "to do"
    else:
        state = f"{planned.epochs} of {planned.recipe.train.epochs} epochs"
    shared = "" if name == planned.name else f", shared with {name}"
    return f"{state}{shared}" + (f"; failed: {problem}" if problem else "")


def _left(book: Book, outlook: Outlook) -> str:
    trainings = {planned.run.path for planned in book.wanted if planned.recipe and not planned.trained}
    measurements = {task for planned in book.wanted for task in book.missing(planned)}
    if not trainings and not measurements:
        return "nothing is left to do"
    time = duration(outlook.left(book.wanted))
    return f"to do: {len(trainings)} trainings, {len(measurements)} measurements; about {time}"
