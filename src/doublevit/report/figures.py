"""The plots of a report: those for which there are measurements."""

import functools
from collections.abc import Iterator, Sequence

from doublevit.analysis.attacked import AttackSetting
from doublevit.analysis.calibration import calibration
from doublevit.analysis.classes import labels_and_predictions
from doublevit.analysis.comparison import MAX_DETAILED_RUNS, Comparison, CorruptedComparison
from doublevit.analysis.corrupted import CorruptedScores
from doublevit.analysis.costs import training_history
from doublevit.analysis.descriptions import describe_speed
from doublevit.analysis.evaluated import Method
from doublevit.report import plots
from doublevit.report.plots.style import Plot
from doublevit.runs.row import Row
from doublevit.statistics import Estimate

FEWEST_EPSILONS = 3
"""An attack is plotted if at least one network was measured at so many epsilons."""


def all_plots(comparison: Comparison, class_names: Sequence[str] | None) -> Iterator[Plot]:
    """Yield every plot for which there are measurements, of networks as trained; of several seeds, the first."""
    yield from _training(comparison)
    for corrupted in comparison.corrupted[:1]:
        yield from _corruptions(comparison, corrupted)
    for attack, settings in comparison.attacks.items():
        if not attack.part_of:
            yield from _attack(comparison, settings[0])
    yield from _speed(comparison)
    for method in comparison.distinct_methods[:MAX_DETAILED_RUNS]:
        yield from _errors(method, class_names)


def _training(comparison: Comparison) -> Iterator[Plot]:
    courses = [course for method in comparison.distinct_methods if (course := training_history(method))]
    if courses:
        caption = (
            "Training: loss, and accuracy on training images (as augmented, dashed) and validation images (solid)."
        )
        yield Plot("training", "training", caption, lambda: plots.training_curves(courses))


def _corruptions(comparison: Comparison, corrupted: CorruptedComparison) -> Iterator[Plot]:
    group = corrupted.group
    measured = [index for index in comparison.distinct if corrupted.scores[index]]
    usual = [index for index in measured if corrupted.clean.is_usual(index)]
    if not usual:
        return
    left_out = _left_out(comparison, [index for index in measured if index not in usual])
    chosen = {comparison.methods[index].label: corrupted.scores[index][0] for index in usual}
    curves = {label: _by_severity(scores, group.corruptions) for label, scores in chosen.items()}
    clean = {label: _estimate(scores.clean) for label, scores in chosen.items()}
    caption = f"Accuracy by severity (0: clean) under {group.title}; {corrupted.usual_scores.description}{left_out}."
    yield Plot("severity", "robustness", caption, lambda: plots.severity_curves(curves, clean))
    if len(chosen) < 2:
        return
    points = [
        plots.LabeledPoint(label, clean[label], corrupted.average.scores[index][0].estimate)
        for index, label in zip(usual, chosen, strict=True)
    ]
    titles = "clean top-1", f"mean top-1 under {group.title}"
    caption = (
        f"Clean accuracy against the mean under {group.title}; on the dashed line nothing would be lost{left_out}."
    )
    yield Plot("clean-robust", "robustness", caption, lambda: plots.clean_against_robust(points, *titles))


def _left_out(comparison: Comparison, indices: Sequence[int]) -> str:
    """Return the end of a caption: which seed is shown, and which networks are left out."""
    several = any(len(method.members) > 1 for method in comparison.distinct_methods)
    labels = ", ".join(comparison.methods[index].label for index in indices)
    seeds = ", of the first seed of each" if several else ""
    return seeds + (f", without what was measured otherwise: {labels}" if labels else "")


def _by_severity(scores: CorruptedScores, corruptions: Sequence[str]) -> dict[str, dict[int, Estimate]]:
    return {
        name: {severity: _estimate(scores.cells[name, severity]) for severity in scores.severities}
        for name in corruptions
    }


def _attack(comparison: Comparison, setting: AttackSetting) -> Iterator[Plot]:
    attack, norm = setting.attack, setting.attack.norm
    shown = [index for index in comparison.distinct if setting.scores[index]]
    curves = {
        comparison.methods[index].label: {
            epsilon: score.estimate for epsilon, score in setting.scores[index][0].by_epsilon.items()
        }
        for index in shown
    }
    if norm and max(map(len, curves.values()), default=0) >= FEWEST_EPSILONS:
        others = comparison.attacks[attack][1:]
        missing = [
            index
            for index in comparison.distinct
            if index not in shown and any(other.scores[index] for other in others)
        ]
        left_out = _left_out(comparison, missing)
        caption = f"Accuracy under {attack.name} by epsilon; {setting.description}{left_out}."
        draw = functools.partial(plots.epsilon_curves, curves, norm, f"{attack.name}, {norm}")
        yield Plot(f"epsilon-{attack.name}-{norm}", "attacks", caption, draw)


def _speed(comparison: Comparison) -> Iterator[Plot]:
    top1 = comparison.clean["top-1"]
    speeds = {
        index: speed
        for index in comparison.distinct
        if top1.scores[index] and (speed := comparison.costs[index].rows.get("inference images/s"))
    }
    devices = [describe_speed(speed) for speed in speeds.values()]
    usual_device = max(dict.fromkeys(devices), key=devices.count, default="")
    alike = [index for index, speed in speeds.items() if top1.is_usual(index) and describe_speed(speed) == usual_device]
    if len(alike) > 1:
        points = [
            plots.LabeledPoint(
                comparison.methods[index].label, _estimate(speeds[index]), top1.scores[index][0].estimate
            )
            for index in alike
        ]
        left_out = _left_out(comparison, [index for index in speeds if index not in alike])
        caption = (
            f"Inference speed against clean accuracy; up and to the right is better; {usual_device};"
            f" {top1.scores[alike[0]][0].description}{left_out}."
        )
        yield Plot("throughput", "speed", caption, lambda: plots.throughput_against_accuracy(points))


def _errors(method: Method, class_names: Sequence[str] | None) -> Iterator[Plot]:
    if (measurement := method.first.clean_predictions()) is None:
        return
    (row, predictions), label = measurement, method.label
    caption = f"{label}: how often it is right, by how sure it says it is (n = {row.count:,})."
    yield Plot(f"reliability-{label}", "errors", caption, lambda: plots.reliability(calibration(predictions), label))
    labels, answers = labels_and_predictions(predictions)
    names = class_names or [f"class {number}" for number in range(1 + int(max(labels.max(), answers.max())))]
    if len(names) > max(labels.max(), answers.max()):
        caption = f"{label}: true classes in rows, answers in columns."
        draw = functools.partial(plots.confusion, labels, answers, names)
        yield Plot(f"confusion-{label}", "errors", caption, draw)


def _estimate(row: Row) -> Estimate:
    return Estimate(row.value, row.low, row.high)
