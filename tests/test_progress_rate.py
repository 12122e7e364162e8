"""The rate behind a progress bar: never zero for what was done, and with a decimal where it is small."""

import re

import pytest
from rich.progress import Task, TaskID

from doublevit.progress import _Rate


@pytest.mark.parametrize(("seconds", "shown"), [(24, "0.5"), (4, "3.0"), (0.1, "120")])
def test_a_bar_that_advanced_once_has_its_mean_rate(seconds, shown):
    clock = iter([0.0, seconds])
    task = Task(TaskID(0), "predicting", 12, 0, _get_time=lambda: next(clock, seconds))
    task.start_time, task.completed = next(clock), 12
    assert re.fullmatch(rf"{re.escape(shown)} images/s", _Rate("images").render(task).plain)


def test_a_bar_that_has_not_begun_has_none():
    assert _Rate("images").render(Task(TaskID(0), "predicting", 12, 0, _get_time=float)).plain == "0 images/s"
