"""How long what is left of a study will take: every network is timed on a little of its work."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from doublevit.data.config import DataConfig
from doublevit.jobs.study.book import Book
from doublevit.jobs.study.cost import Cost, time_corruptions, time_network
from doublevit.jobs.study.forecast import TRAINING, Experience, comes_with_training, training_seconds
from doublevit.jobs.study.plan import Planned
from doublevit.jobs.study.task import Task
from doublevit.progress import bar
from doublevit.recipes import Recipe


class Outlook:
    """Seconds of a study's work. A network that cannot be made or measured takes none: its cells fail at once.

    `experience` is to be told what work really took.
    """

    def __init__(self, book: Book) -> None:
        self.experience = Experience()
        self._book = book
        self._costs: dict[Recipe, Cost | None] = {}
        self._corrupt: dict[DataConfig, Mapping[str, float]] = {}
        todo: dict[Recipe, dict[str, None]] = {}  # cells of one network may be evaluated with different attentions
        for planned in book.wanted:
            if planned.recipe and not book.done(planned):
                todo.setdefault(_network(planned.recipe), {}).update(dict.fromkeys(planned.top_ks))
        with bar("timing networks", len(todo), "networks") as progress:
            for network, top_ks in todo.items():
                self._costs[network] = self._time(network, top_ks)
                progress.advance(1)

    def training(self, planned: Planned) -> float:
        """Of what is left of a cell's training, as timed."""
        cost = self._cost(planned)
        if planned.recipe is None or planned.trained or cost is None:
            return 0.0
        return training_seconds(cost, planned.recipe, self._book.splits(planned.recipe.data), planned.epochs or 0)

    def measuring(self, planned: Planned, task: Task) -> float:
        """Of one of a cell's tasks, as timed."""
        cost = self._cost(planned)
        if planned.recipe is None or cost is None:
            return 0.0
        spared = not planned.trained and comes_with_training(task, planned.recipe)
        return 0.0 if spared else task.seconds(cost)

    def left(self, cells: Iterable[Planned]) -> float:
        """Of all that is left of some cells, corrected by experience; work that they share counts once."""
        trainings: dict[Path, float] = {}
        tasks: dict[Task, float] = {}
        for planned in cells:
            trainings.setdefault(planned.run.path, self.training(planned))
            for task in self._book.missing(planned):
                tasks.setdefault(task, self.measuring(planned, task))
        kinds = [(TRAINING, each) for each in trainings.values()] + [(task.name, each) for task, each in tasks.items()]
        return sum(self.experience.corrected(*each) for each in kinds)

    def _cost(self, planned: Planned) -> Cost | None:
        return self._costs.get(_network(planned.recipe)) if planned.recipe else None

    def _time(self, network: Recipe, top_ks: Iterable[str]) -> Cost | None:
        try:
            return time_network(network, self._book.splits(network.data), top_ks, self._corruptions(network))
        except Exception:  # it is told when the cell's turn comes
            return None

    def _corruptions(self, network: Recipe) -> Mapping[str, float]:
        """Of one photo of each corruption of the protocol."""
        data, names = network.data, self._book.request.corrupting.names
        if data not in self._corrupt:
            self._corrupt[data] = time_corruptions(self._book.splits(data)["val"], names, data.cache)
        return self._corrupt[data]


def _network(recipe: Recipe) -> Recipe:
    """What cells have in common that take the same time."""
    return dataclasses.replace(recipe, name="", note="", seed=0)
