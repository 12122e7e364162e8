"""Running a study: what is missing is trained and measured, cell by cell."""

import datetime
import time

from doublevit.errors import UserError
from doublevit.files import exclusive_lock, writable_folder
from doublevit.jobs import train
from doublevit.jobs.evaluate import finish
from doublevit.progress import console
from doublevit.runs.study_record import StudyRecord
from doublevit.studies.plan import Measurement, PlannedCell, StudyRequest
from doublevit.studies.progress import StudyProgress, TimeEstimate
from doublevit.training.interrupt import Stopped


def run_study(request: StudyRequest) -> StudyRecord:
    """Train and measure the cells that are not done; if a cell fails, its problem is noted and the others go on.

    Raises:
        UserError: the run of a cell was made by another recipe, or images of the base recipe cannot be loaded.
        Stopped: the user asked for an end during training.
    """
    if not request.folder.exists():  # so that bad input leaves no folder behind
        _open(request)
    writable_folder(request.folder, "the study's folder")
    complaint = f"this study is running already (in {request.folder}); wait until it has ended"
    with exclusive_lock(request.folder / ".lock", complaint):
        return _run_cells(_open(request))


def _open(request: StudyRequest) -> StudyProgress:
    """Read the progress of the study, which another process may change unless the lock is held."""
    progress = StudyProgress(request)
    progress.require_images()
    return progress


def _run_cells(progress: StudyProgress) -> StudyRecord:
    progress.save()  # so that the folder is known as a study's, whatever happens
    estimate = TimeEstimate()
    try:
        for number, planned in enumerate(progress.wanted, 1):
            if not progress.done(planned):
                _print(_heading(progress, number, planned, estimate), "bold")
                start = time.perf_counter()
                _run_cell(progress, planned)
                if progress.done(planned):  # a cell that fails at once tells nothing of the others
                    estimate.seconds.append(time.perf_counter() - start)
    finally:
        progress.save()
    return progress.record()


def _heading(progress: StudyProgress, number: int, planned: PlannedCell, estimate: TimeEstimate) -> str:
    """Return the cell's name, what is to do for it, and about how long all cells that are left will take."""
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
        progress.refresh(planned)
        problem = "; ".join(filter(None, [_measure(measurement) for measurement in progress.missing(planned)]))
        progress.refresh(planned)
    except Stopped:
        raise
    except Exception as error:  # whatever is wrong with this cell, the others are to go on
        problem = _in_a_line(error)
    progress.problems[planned.cell.name, planned.seed] = problem
    if problem:
        _print(f"cell {planned.name} failed: {problem}")
    progress.save()


def _train(progress: StudyProgress, planned: PlannedCell) -> None:
    """Train the cell from the start or from its last checkpoint, unless it is trained to its end."""
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
    """Measure, and return what went wrong ("": nothing), so that the next measurements are made all the same."""
    try:
        measurement.measure()
    except Stopped:
        raise
    except Exception as error:
        return f"{measurement.name}: {_in_a_line(error)}"
    return ""


def _in_a_line(error: Exception) -> str:
    """Return the first line of an error's message, after its type if it is no `UserError`."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    kind = "" if isinstance(error, UserError) else type(error).__name__
    return ": ".join(filter(None, [kind, text.partition("\n")[0]]))


def _print(line: str, style: str = "") -> None:
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
