"""Doing what is missing of a study, cell by cell."""

import time

from filelock import FileLock, Timeout

from doublevit.errors import UserError
from doublevit.files import writable_folder
from doublevit.jobs import train
from doublevit.jobs.evaluate import finish
from doublevit.jobs.study.book import Book
from doublevit.jobs.study.forecast import TRAINING
from doublevit.jobs.study.outlook import Outlook
from doublevit.jobs.study.overview import duration
from doublevit.jobs.study.plan import Planned, Request
from doublevit.jobs.study.task import Task
from doublevit.progress import console
from doublevit.report.study import Record
from doublevit.train.interrupt import Stopped


def run_study(request: Request) -> Record:
    """Train and measure the cells that are not done; a cell that fails is noted, and the others go on.

    Raises:
        UserError: the run of a cell was made by another recipe, or the base's photos cannot be had.
        Stopped: the user asked for an end during training.
    """
    if not request.folder.exists():  # bad input is to leave none
        _open(request)
    writable_folder(request.folder, "the study's folder")
    try:
        with FileLock(request.folder / ".lock", timeout=0):
            return _go_through(_open(request))
    except Timeout:
        raise UserError(f"this study is running already (in {request.folder}); wait until it has ended") from None


def _open(request: Request) -> Book:
    """How far the study is; before the lock is held, another process may still be changing that."""
    book = Book(request)
    book.require_photos()
    return book


def _go_through(book: Book) -> Record:
    book.save()  # so that the folder is a study's, whatever comes
    try:
        outlook, todo = Outlook(book), book.wanted
        for number, planned in enumerate(todo, 1):
            if not book.done(planned):
                left = duration(outlook.left(todo[number - 1 :]))
                _say(f"cell {number}/{len(todo)} {planned.name}, about {left} left for all", "bold")
                _do(book, outlook, planned)
    finally:
        book.save()
    return book.record()


def _do(book: Book, outlook: Outlook, planned: Planned) -> None:
    try:
        if planned.recipe is None:
            raise UserError(planned.problem)
        _train(book, outlook, planned)
        book.look(planned)
        problem = "; ".join(filter(None, [_measure(outlook, planned, task) for task in book.missing(planned)]))
        book.look(planned)
    except Stopped:
        raise
    except Exception as error:  # whatever is wrong with this cell, the others are to go on
        problem = _in_a_line(error)
    book.problems[planned.cell.name, planned.seed] = problem
    if problem:
        _say(f"cell {planned.name} failed: {problem}")
    book.save()


def _train(book: Book, outlook: Outlook, planned: Planned) -> None:
    """From the start or from the last checkpoint, if it is not trained to its end."""
    if planned.recipe is None or planned.trained:
        return
    name, expected, start = planned.run.path.name, outlook.training(planned), time.perf_counter()
    try:
        if planned.run.path.exists():
            trained = train.resume(planned.run.path)
        else:
            trained = train.start(planned.recipe, book.request.folder, name)
    finally:
        taken = time.perf_counter() - start
        book.seconds[name] = book.seconds.get(name, 0.0) + taken
    outlook.experience.learn(TRAINING, expected, taken)
    if trained.measured is not None:
        finish(trained)


def _measure(outlook: Outlook, planned: Planned, task: Task) -> str:
    """Do a task; what went wrong with it, so that the next ones are done all the same."""
    start = time.perf_counter()
    try:
        task.do()
    except Stopped:
        raise
    except Exception as error:
        return f"{task.name}: {_in_a_line(error)}"
    outlook.experience.learn(task.name, outlook.measuring(planned, task), time.perf_counter() - start)
    return ""


def _in_a_line(error: Exception) -> str:
    """What a user is told of any error; what kind it is, where it was not made for users."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    kind = "" if isinstance(error, UserError) else type(error).__name__
    return ": ".join(filter(None, [kind, said.partition("\n")[0]]))


def _say(line: str, style: str = "") -> None:
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
