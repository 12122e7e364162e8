"""Doing what is missing of a study, cell by cell."""

import datetime
import time

from doublevit.errors import UserError
from doublevit.files import alone, writable_folder
from doublevit.jobs import train
from doublevit.jobs.evaluate import finish
from doublevit.progress import console
from doublevit.runs.study_record import StudyRecord
from doublevit.studies.plan import Measurement, PlannedCell, StudyRequest
from doublevit.studies.progress import StudyProgress, TimeEstimate
from doublevit.train.interrupt import Stopped


def run_study(request: StudyRequest) -> StudyRecord:
    """Train and measure the cells that are not done; a cell that fails is noted, and the others go on.

    Raises:
        UserError: the run of a cell was made by another recipe, or the base's images cannot be had.
        Stopped: the user asked for an end during training.
    """
    if not request.folder.exists():  # bad input is to leave none
        _open(request)
    writable_folder(request.folder, "the study's folder")
    complaint = f"this study is running already (in {request.folder}); wait until it has ended"
    with alone(request.folder / ".lock", complaint):
        return _run_cells(_open(request))


def _open(request: StudyRequest) -> StudyProgress:
    """How far the study is; before the lock is held, another process may still be changing that."""
    progress = StudyProgress(request)
    progress.require_images()
    return progress


def _run_cells(progress: StudyProgress) -> StudyRecord:
    progress.save()  # so that the folder is a study's, whatever comes
    estimate = TimeEstimate()
    try:
        for number, planned in enumerate(progress.wanted, 1):
            if not progress.done(planned):
                _print(_heading(progress, number, planned, estimate), "bold")
                start = time.perf_counter()
                _run_cell(progress, planned)
                if progress.done(planned):  # what fails at once would make the rest look short
                    estimate.seconds.append(time.perf_counter() - start)
    finally:
        progress.save()
    return progress.record()


def _heading(progress: StudyProgress, number: int, planned: PlannedCell, estimate: TimeEstimate) -> str:
    """The cell, what is to do of it, and about how long all will take that is left."""
    training = [] if planned.trained else ["training"]
    to_do = [*training, *dict.fromkeys(measurement.name for measurement in progress.missing(planned))]
    left = estimate.left(sum(not progress.done(other) for other in progress.wanted[number - 1 :]))
    time_left = "" if left is None else f"; about {datetime.timedelta(seconds=round(left))} left for all cells"
    return f"cell {number}/{len(progress.wanted)} {planned.name}: {', '.join(to_do)}{time_left}"


def _run_cell(progress: StudyProgress, planned: PlannedCell) -> None:
    try:
        if planned.recipe is None:
            raise UserError(planned.problem)
        _train(progress, planned)
        progress.look(planned)
        problem = "; ".join(filter(None, [_measure(measurement) for measurement in progress.missing(planned)]))
        progress.look(planned)
    except Stopped:
        raise
    except Exception as error:  # whatever is wrong with this cell, the others are to go on
        problem = _in_a_line(error)
    progress.problems[planned.cell.name, planned.seed] = problem
    if problem:
        _print(f"cell {planned.name} failed: {problem}")
    progress.save()


def _train(progress: StudyProgress, planned: PlannedCell) -> None:
    """From the start or from the last checkpoint, if it is not trained to its end."""
    if planned.recipe is None or planned.trained:
        return
    name, start = planned.run.path.name, time.perf_counter()
    try:
        if planned.run.path.exists():
            trained = train.resume(planned.run.path)
        else:
            trained = train.start(planned.recipe, progress.request.folder, name)
    finally:
        progress.seconds[name] = progress.seconds.get(name, 0.0) + time.perf_counter() - start
    if trained.validation is not None:
        finish(trained)


def _measure(measurement: Measurement) -> str:
    """Measure; returns what went wrong, so that the next measurements are made all the same."""
    try:
        measurement.measure()
    except Stopped:
        raise
    except Exception as error:
        return f"{measurement.name}: {_in_a_line(error)}"
    return ""


def _in_a_line(error: Exception) -> str:
    """What a user is told of any error; what kind it is, where it was not made for users."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    kind = "" if isinstance(error, UserError) else type(error).__name__
    return ": ".join(filter(None, [kind, text.partition("\n")[0]]))


def _print(line: str, style: str = "") -> None:
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
