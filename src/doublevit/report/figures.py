"""The plots of a report: which there are to be had, made of what the files say."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from matplotlib.figure import Figure

from doublevit.report import plots
from doublevit.report.attacked import Attack, attacks, by_sort
from doublevit.report.calibration import calibration
from doublevit.report.candidates import Candidate, Contender, predictions_of
from doublevit.report.classes import labels_and_answers
from doublevit.report.corrupted import Corrupted, corrupted, measured_groups
from doublevit.report.groups import Group
from doublevit.report.measured import clean_rows, of_all_members, said_of_photos
from doublevit.report.readings import Reading, choose
from doublevit.report.tables.speed import device_of, speeds
from doublevit.results import Row, read_lines
from doublevit.statistics import Estimate

LOGGED = ("step", "epoch", "val_top1", "val_low", "val_high")
FEWEST = 3
"""Epsilons of an attack that are worth a plot."""
MOST_RUNS = 6
"""Runs of which each has plots and galleries of its own, so that a page of many stays small."""
One = TypeVar("One")


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
    epochs = [entry for entry in entries if all(isinstance(entry.get(name), int | float) for name in LOGGED)]
    if not epochs:
        return None
    per_epoch = epochs[-1]["step"] / epochs[-1]["epoch"]
    steps = [entry for entry in entries if all(isinstance(entry.get(name), int | float) for name in ("step", "loss"))]
    return plots.Course(
        name=one.label,
        epochs=tuple(entry["epoch"] for entry in epochs),
        train_top1=tuple(_train_top1(entry) for entry in epochs),
        val=tuple(Estimate(entry["val_top1"], entry["val_low"], entry["val_high"]) for entry in epochs),
        loss_steps=tuple(entry["step"] / per_epoch for entry in steps),
        losses=tuple(entry["loss"] for entry in steps),
    )


def _train_top1(entry: Mapping[str, Any]) -> float | None:
    train = entry.get("train")
    value = train.get("top1") if isinstance(train, dict) else None
    return value if isinstance(value, int | float) else None


def _corruptions(contenders: Sequence[Contender], group: Group) -> Iterator[Plot]:
    options = [of_all_members(one, lambda member: corrupted(member, group)) for one in contenders]
    chosen, left_out = _alike(contenders, choose(options), lambda one: one.said)
    curves = {name: _by_severity(one, group) for name, one in chosen.items()}
    clean = {name: _estimate(one.clean_reading()) for name, one in chosen.items()}
    said = next(iter(chosen.values())).said
    caption = f"Accuracy by severity (0: clean) under {group.title}; {said}{left_out}."
    yield Plot("severity", "robustness", caption, lambda: plots.severity_curves(curves, clean))
    if len(chosen) < 2:
        return
    points = [plots.Point(name, clean[name], _estimate(one.mean())) for name, one in chosen.items()]
    titles = "clean top-1", f"mean top-1 under {group.title}"
    caption = (
        f"Clean accuracy against the mean under {group.title}; on the dashed line nothing would be lost{left_out}."
    )
    yield Plot("clean-robust", "robustness", caption, lambda: plots.clean_against_robust(points, *titles))


def _alike(
    contenders: Sequence[Contender], chosen: Sequence[Sequence[One] | None], sort: Callable[[One], str]
) -> tuple[dict[str, One], str]:
    """What most have in common, of the first seed, by label; and words on what was therefore left out, and on seeds."""
    first = [(one, mine[0]) for one, mine in zip(contenders, chosen, strict=True) if mine]
    usual = next((word for word, _ in Counter(sort(mine) for _, mine in first).most_common(1)), "")
    alike = {one.label: mine for one, mine in first if sort(mine) == usual}
    missing = [one.label for one, mine in first if sort(mine) != usual]
    seeds = ", of the first seed of each" if any(len(one.members) > 1 for one in contenders) else ""
    return alike, seeds + (f", without what was measured otherwise: {', '.join(missing)}" if missing else "")


def _by_severity(one: Corrupted, group: Group) -> dict[str, dict[int, Estimate]]:
    severities = sorted({severity for _, severity in one.cells})
    return {name: {severity: _row(one.cells[name, severity]) for severity in severities} for name in group.corruptions}


def _attack(contenders: Sequence[Contender], attack: Attack) -> Iterator[Plot]:
    options = [of_all_members(one, lambda member: by_sort(member, attack)) for one in contenders]
    chosen, left_out = _alike(contenders, choose(options), lambda one: one.said)
    curves = {name: {size: _estimate(found) for size, found in one.readings.items()} for name, one in chosen.items()}
    name, norm = attack
    if norm and max(map(len, curves.values()), default=0) >= FEWEST:
        caption = f"Accuracy under {name} by epsilon; {next(iter(chosen.values())).said}{left_out}."
        draw = functools.partial(plots.epsilon_curves, curves, norm, f"{name}, {norm}")
        yield Plot(f"epsilon-{name}-{norm}", "attacks", caption, draw)


def _speed(contenders: Sequence[Contender]) -> Iterator[Plot]:
    rows = choose([of_all_members(one, clean_rows) for one in contenders])
    found = [
        [(speed, mine[0]["top-1"])] if mine and "top-1" in mine[0] and speed else None
        for one, mine in zip(contenders, rows, strict=True)
        for speed in [speeds(one.first).get("inference images/s")]
    ]
    chosen, left_out = _alike(contenders, found, lambda pair: f"{device_of(pair[0])}; {said_of_photos(pair[1])}")
    if len(chosen) > 1:
        points = [plots.Point(name, _row(speed), _row(clean)) for name, (speed, clean) in chosen.items()]
        speed, clean = next(iter(chosen.values()))
        caption = (
            f"Inference speed against clean accuracy; up and to the right is better; {device_of(speed)};"
            f" {said_of_photos(clean)}{left_out}."
        )
        yield Plot("throughput", "speed", caption, lambda: plots.throughput_against_accuracy(points))


def _errors(one: Contender, class_names: Sequence[str] | None) -> Iterator[Plot]:
    row = most_clean(one.first)
    predictions = predictions_of(one.first.run, row) if row else None
    if row is None or predictions is None:
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


def most_clean(candidate: Candidate) -> Row | None:
    """Top-1 on the most clean photos."""
    found = clean_rows(candidate).values()
    return max((rows["top-1"] for _, rows in found if "top-1" in rows), key=lambda row: row.count, default=None)


def _row(row: Row) -> Estimate:
    return Estimate(row.value, row.low, row.high)


def _estimate(found: Reading) -> Estimate:
    return Estimate(found.value, found.low, found.high)
