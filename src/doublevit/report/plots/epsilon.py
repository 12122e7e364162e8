"""Accuracy under attack, by how much an attack may change."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from doublevit.attacks.epsilons import show
from doublevit.report.plots.labels import Named, name_lines, shortened
from doublevit.report.plots.style import SMALL, broken, draw_line, look, percent_axis, plain, share_limits
from doublevit.statistics import Estimate

LEVEL, MOST = 8, 20  # epsilons whose names find room side by side, and upright


def epsilon_curves(curves: Mapping[str, Mapping[float, Estimate]], norm: str, title: str) -> Figure:
    """Accuracy against epsilon, a line for each run; epsilons stand side by side, however far apart.

    Args:
        curves: by run and epsilon, a share of the pixel range; what was not measured is not there.
            A run's place decides its look.
        norm: "linf", "l2" or "l1".
        title: what was attacked, and how.
    """
    epsilons = sorted({epsilon for curve in curves.values() for epsilon in curve})
    rank = {epsilon: place for place, epsilon in enumerate(epsilons)}
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    figure.suptitle(broken(title, 90), fontsize=10, parse_math=False)
    lines = []
    for number, (name, curve) in enumerate(zip(shortened(list(curves)), curves.values(), strict=True)):
        if curve:
            places, estimates = [rank[epsilon] for epsilon in sorted(curve)], [curve[one] for one in sorted(curve)]
            draw_line(axes, places, estimates, look(number))
            lines.append(Named(name, look(number), (places[-1], estimates[-1].value)))
    bounds = [bound for curve in curves.values() for one in curve.values() for bound in (one.low, one.high)]
    axes.set(xlabel=f"epsilon ({norm}), not to scale", ylabel="top-1, 95 % interval", ylim=share_limits(bounds))
    every = -(-len(epsilons) // MOST)
    texts = [show(epsilon, norm) for epsilon in epsilons[::every]]
    axes.set_xticks(range(0, len(epsilons), every), texts, fontsize=SMALL, rotation=0 if len(texts) <= LEVEL else 90)
    percent_axis(axes.yaxis)
    plain(axes)
    name_lines(figure, axes, lines)
    return figure
