"""The plots of a report: which there are to be had, made of what the files say."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

from matplotlib.figure import Figure

from doublevit.corrupted.config import GROUPS
from doublevit.report import plots
from doublevit.report.attacked import Attack, attacks, by_sort
from doublevit.report.calibration import calibration
from doublevit.report.candidates import Candidate, Contender
from doublevit.report.classes import labels_and_answers
from doublevit.report.conditions import Kept
from doublevit.report.measured import Corrupted, clean_rows, corrupted, of_all_members
from doublevit.report.readings import Reading, choose
from doublevit.report.tables.robustness import TITLES, measured_groups
from doublevit.report.tables.speed import speeds
from doublevit.results import Predictions, Row, read_lines
from doublevit.statistics import Estimate

FEWEST = 3
"""Epsilons of an attack that are worth a plot."""
MOST_RUNS = 6
"""Runs of which each has plots and galleries of its own, so that a page of many stays small."""


@dataclasses.dataclass(frozen=True)
class Plot:
    """A figure, drawn when it is asked for; `name` is that of its files, `section` where it stands on the page."""

    name: str
    section: str
    caption: str
    draw: Callable[[], Figure]

    @functools.cached_property
    def figure(self) -> Figure:
        """The figure, drawn once."""
        return self.draw()


def all_plots(contenders: Sequence[Contender], class_names: Sequence[str] | None) -> Iterator[Plot]:
    """Every plot that the measurements suffice for; of several seeds the first is drawn."""
    yield from _training(contenders)
    for group in measured_groups(contenders)[:1]:
        yield from _corruptions(contenders, group)
    for attack in attacks(contenders):
        yield from _attack(contenders, attack)
    yield from _speed(contenders)
    for contender in contenders[:MOST_RUNS]:
        yield from _errors(contender, class_names)


def _training(contenders: Sequence[Contender]) -> Iterator[Plot]:
    courses = [course for one in contenders if one.first.as_trained and (course := _course(one))]
    if courses:
        caption = (
            "Training: loss, and accuracy on training photos (as augmented, dashed) and validation photos (solid)."
        )
        yield Plot("training", "training", caption, lambda: plots.training_curves(courses))


def _course(one: Contender) -> plots.Course | None:
    entries = list(read_lines(one.first.run.path / "log.jsonl"))
    epochs = [entry for entry in entries if "epoch" in entry]
    if not epochs:
        return None
    per_epoch = epochs[-1]["step"] / epochs[-1]["epoch"]
    steps = [entry for entry in entries if "epoch" not in entry and entry.get("loss") is not None]
    return plots.Course(
        name=one.label,
        epochs=tuple(entry["epoch"] for entry in epochs),
        train_top1=tuple((entry.get("train") or {}).get("top1") for entry in epochs),
        val=tuple(Estimate(entry["val_top1"], entry["val_low"], entry["val_high"]) for entry in epochs),
        loss_steps=tuple(entry["step"] / per_epoch for entry in steps),
        losses=tuple(entry["loss"] for entry in steps),
    )


def _corruptions(contenders: Sequence[Contender], group: str) -> Iterator[Plot]:
    options = [of_all_members(one, lambda member: corrupted(member, group)) for one in contenders]
    chosen = {one.label: mine[0] for one, mine in zip(contenders, choose(options), strict=True) if mine}
    curves = {name: _by_severity(one, group) for name, one in chosen.items()}
    clean = {name: _estimate(one.clean_reading()) for name, one in chosen.items()}
    caption = f"Accuracy by severity (0: clean) under {TITLES[group]}; {next(iter(chosen.values())).said}."
    yield Plot("severity", "robustness", caption, lambda: plots.severity_curves(curves, clean))
    points = [plots.Point(name, clean[name], _estimate(one.mean())) for name, one in chosen.items()]
    titles = "clean top-1", f"mean top-1 under {TITLES[group]}"
    caption = f"Clean accuracy against the mean under {TITLES[group]}; on the dashed line nothing would be lost."
    yield Plot("clean-robust", "robustness", caption, lambda: plots.clean_against_robust(points, *titles))


def _by_severity(one: Corrupted, group: str) -> dict[str, dict[int, Estimate]]:
    severities = sorted({severity for _, severity in one.cells})
    return {name: {severity: _row(one.cells[name, severity]) for severity in severities} for name in GROUPS[group]}


def _attack(contenders: Sequence[Contender], attack: Attack) -> Iterator[Plot]:
    options = [of_all_members(one, lambda member: by_sort(member, attack)) for one in contenders]
    chosen = {one.label: mine[0] for one, mine in zip(contenders, choose(options), strict=True) if mine}
    curves = {name: {size: _estimate(found) for size, found in mine.items()} for name, mine in chosen.items()}
    name, norm = attack
    if norm and max(map(len, curves.values())) >= FEWEST:
        said = next(reading.said for mine in chosen.values() for reading in mine.values())
        caption = f"Accuracy under {name} by epsilon; {said}."
        draw = functools.partial(plots.epsilon_curves, curves, norm, f"{name}, {norm}")
        yield Plot(f"epsilon-{name}-{norm}", "attacks", caption, draw)


def _speed(contenders: Sequence[Contender]) -> Iterator[Plot]:
    points = []
    for one in contenders:
        speed, clean = speeds(one.first).get("inference images/s"), _clean(one.first)
        if speed and clean:
            points.append(plots.Point(one.label, _row(speed), _row(clean)))
    if len(points) > 1:
        caption = "Inference speed against clean accuracy; up and to the right is better."
        yield Plot("throughput", "speed", caption, lambda: plots.throughput_against_accuracy(points))


def _errors(one: Contender, class_names: Sequence[str] | None) -> Iterator[Plot]:
    row = _clean(one.first)
    predictions = kept_predictions(one.first, row) if row else None
    if row is None or predictions is None or not one.first.as_trained:
        return
    caption = f"{one.label}: how often it is right, by how sure it says it is (n = {row.count:,})."
    yield Plot(
        f"reliability-{one.label}", "errors", caption, lambda: plots.reliability(calibration(predictions), one.label)
    )
    labels, answers = labels_and_answers(predictions)
    names = class_names or [f"class {label}" for label in range(1 + int(max(labels.max(), answers.max())))]
    if len(names) > max(labels.max(), answers.max()):
        caption = f"{one.label}: true classes in rows, answers in columns."
        draw = functools.partial(plots.confusion, labels, answers, names)
        yield Plot(f"confusion-{one.label}", "errors", caption, draw)


def kept_predictions(candidate: Candidate, row: Row) -> Predictions | None:
    """What was said of each photo, if that was kept."""
    path = candidate.run.predictions(row)
    return Kept(row, path).predictions() if path.is_file() else None


def _clean(candidate: Candidate) -> Row | None:
    """Top-1 on the most clean photos."""
    found = clean_rows(candidate).values()
    return max((rows["top-1"] for _, rows in found if "top-1" in rows), key=lambda row: row.count, default=None)


def _row(row: Row) -> Estimate:
    return Estimate(row.value, row.low, row.high)


def _estimate(found: Reading) -> Estimate:
    return Estimate(found.value, found.low, found.high)
