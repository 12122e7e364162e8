"""Doing what is missing of a study, cell by cell."""

import time

from filelock import FileLock, Timeout

from doublevit.errors import UserError
from doublevit.files import writable_folder
from doublevit.jobs import train
from doublevit.jobs.evaluate import evaluate, finish
from doublevit.jobs.study.book import Book
from doublevit.jobs.study.plan import Planned, Request
from doublevit.progress import console
from doublevit.report.study import Record


def run_study(request: Request) -> Record:
    """Train and evaluate the cells that are not done; a cell that fails is noted, and the others go on.

    Raises:
        UserError: the run of a cell was made by another recipe, or the base's photos cannot be had.
        Stopped: the user asked for an end during training.
    """
    book = Book(request)
    book.photos(train.with_absolute_paths(request.recipe).data)  # what all cells would complain of is said once
    writable_folder(request.folder, "the study's folder")
    try:
        with FileLock(request.folder / ".lock", timeout=0):
            return _go_through(book)
    except Timeout:
        raise UserError(f"this study is running already (in {request.folder}); wait until it has ended") from None


def _go_through(book: Book) -> Record:
    try:
        for number, planned in enumerate(book.wanted, 1):
            if not book.done(planned):
                _announce(book, number, planned)
                _do(book, planned)
    finally:
        book.save()
    return book.record()


def _announce(book: Book, number: int, planned: Planned) -> None:
    left = book.time_left()
    estimate = f", about {left} left for all" if left else ""
    line = f"cell {number}/{len(book.wanted)} {planned.cell.name}{estimate}"
    console.print(line, style="bold", markup=False, highlight=False, soft_wrap=True)


def _do(book: Book, planned: Planned) -> None:
    name = planned.cell.name
    try:
        if planned.recipe is None:
            raise UserError(planned.problem)
        _train(book, planned)
        _evaluate(book, planned)
        book.problems.pop(name, None)
    except (UserError, RuntimeError) as error:  # torch's for memory, and more; the others are to go on
        book.problems[name] = str(error).partition("\n")[0]
        console.print(f"cell {name} failed: {book.problems[name]}", markup=False, highlight=False, soft_wrap=True)
    finally:
        book.save()


def _train(book: Book, planned: Planned) -> None:
    """From the start or from the last checkpoint, if it is not trained to its end."""
    if planned.recipe is None or planned.trained:
        return
    name, start = planned.run.path.name, time.perf_counter()
    try:
        if planned.run.path.exists():
            trained = train.resume(planned.run.path)
        else:
            trained = train.start(planned.recipe, book.request.folder, name)
    finally:
        book.seconds[name] = book.seconds.get(name, 0.0) + time.perf_counter() - start
    if trained.measured is not None:
        finish(trained)


def _evaluate(book: Book, planned: Planned) -> None:
    """With every sparse attention that it was not measured with before."""
    book.look(planned)
    for top_k in book.missing(planned):
        evaluated = evaluate(book.request.evaluation(planned.run.path, top_k))
        book.rows[planned.run.path, top_k] = evaluated.clean[0]
