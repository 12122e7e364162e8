"""Progress bars, with a rate and the time left, for everything that takes more than two seconds."""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.segment import Segment
from rich.text import Text


def is_main_process() -> bool:
    """Return whether this process prints: the first one, when torchrun has started several."""
    return os.environ.get("RANK", "0") == "0"


UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Characters that command a terminal, and halves of characters, which no terminal can be given."""


class PlainConsole(Console):
    """Prints names out of files as text: what would command the terminal becomes a replacement character."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text), style)


def make_console(*, stderr: bool) -> Console:
    """Make a console at least 80 columns wide: on a narrower terminal lines wrap, but no number is truncated.

    Of several processes only the first prints.
    """
    console = PlainConsole(stderr=stderr, quiet=not is_main_process())
    console.width = max(console.width, NARROWEST)
    return console


NARROWEST = 80
console = make_console(stderr=True)
"""The console for progress and remarks; results go to standard output."""


class Bar:
    """A running progress bar with a note behind it."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self, count: int) -> None:
        """Add `count` finished units, as many as there are at most: processes may have unequal shares."""
        task = self._progress.tasks[self._task]
        left = count if task.total is None else task.total - task.completed
        self._progress.update(self._task, advance=min(count, left))

    def say(self, note: str) -> None:
        """Replace the note behind the bar (loss, accuracy)."""
        self._progress.update(self._task, note=note)

    def set_total(self, total: int) -> None:
        """Set the total, where it is known only later."""
        self._progress.update(self._task, total=total)

    def reset(self) -> None:
        """Start over from zero finished units."""
        self._progress.update(self._task, completed=0)


@contextlib.contextmanager
def bar(title: str, total: int, unit: str = "images", done: int = 0) -> Iterator[Bar]:
    """Show a progress bar of `total` units, `done` of them already finished, until the block ends."""
    counts = (DownloadColumn(), TransferSpeedColumn()) if unit == "bytes" else (MofNCompleteColumn(), _Rate(unit))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        *counts,
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not is_main_process()) as progress:
        yield Bar(progress, progress.add_task(title, total=total, completed=done, note=""))


class _Rate(ProgressColumn):
    """A column of units per second over the last half minute, as rich measures them."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed or _mean_rate(task)
        return Text(f"{rate:,.0f} {self.unit}/s" if rate >= 10 or not rate else f"{rate:.1f} {self.unit}/s")


def _mean_rate(task: Task) -> float:
    """Return units per second since the start: rich knows no rate of a bar that advanced only once."""
    return task.completed / task.elapsed if task.elapsed else 0.0
