"""Plots: what is drawn is what was measured, names find room, and a figure in a page keeps to itself."""

import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.collections import FillBetweenPolyCollection, LineCollection, QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy.optimize import minimize
from sklearn.metrics import confusion_matrix

from doublevit.analysis.costs import TrainingHistory
from doublevit.attacks import epsilons
from doublevit.report import plots
from doublevit.report.plots import curves as curves_module
from doublevit.report.plots.mistakes import most_confused
from doublevit.report.plots.names import shortened, spread
from doublevit.report.plots.style import COLORS, columns, fraction_limits, look, percent_axis
from doublevit.statistics import Estimate

NAMES = (
    "digits-double",
    "$a_b$ run_1 [x]",
    "_hidden",
    "a-run-with-quite-a-long-name-20250101-101010-seed-1",
    "a-run-with-quite-a-long-name-20250101-101010-seed-2",
    *(f"run-{number}" for number in range(7)),
)
EPSILONS = tuple(epsilons.parse_epsilon(text, "linf") for text in epsilons.DEFAULTS["linf"])


def about(value: float, half: float = 0.02) -> Estimate:
    return Estimate(value, value - half, value + 1.5 * half)


def course(name: str, epochs: int = 6, better: float = 0.0) -> TrainingHistory:
    val = tuple(about(0.8 + better - 0.5 / epoch) for epoch in range(1, epochs + 1))
    steps = tuple(np.linspace(0.05, epochs, 20 * epochs))
    losses = tuple(2 / (1 + step) + better for step in steps)
    return TrainingHistory(name, tuple(range(1, epochs + 1)), tuple(one.value + 0.1 for one in val), val, steps, losses)


def severities(start: float) -> dict[int, Estimate]:
    return {severity: about(start - 0.1 * severity) for severity in range(1, 6)}


def training(count: int) -> Figure:
    return plots.training_curves([course(name, better=0.01 * at) for at, name in enumerate(NAMES[:count])])


def severity(count: int) -> Figure:
    accuracies = {name: {"fog": severities(0.9 - 0.01 * at)} for at, name in enumerate(NAMES[:count])}
    return plots.severity_curves(accuracies, {name: about(0.9) for name in NAMES[:count]})


def robust(count: int) -> Figure:
    points = [
        plots.LabeledPoint(name, about(0.8 + 0.01 * at), about(0.08 * at)) for at, name in enumerate(NAMES[:count])
    ]
    return plots.clean_against_robust(points)


def throughput(count: int) -> Figure:
    points = [
        plots.LabeledPoint(name, about(9 * 2.0**at), about(0.8 - 0.03 * at)) for at, name in enumerate(NAMES[:count])
    ]
    return plots.throughput_against_accuracy(points)


def epsilon(count: int) -> Figure:
    curve = {one: about(max(0.02, 0.9 - 0.2 * place)) for place, one in enumerate(EPSILONS)}
    return plots.epsilon_curves(dict.fromkeys(NAMES[:count], curve), "linf", "pgd of $many_words$ " * 6)


def matrix(classes: int, images: int = 3000) -> tuple[np.ndarray, np.ndarray, list[str]]:
    random = np.random.default_rng(classes)
    labels = random.integers(classes, size=images)
    wrong = np.where(random.random(images) < 0.5, (labels + 1) % classes, random.integers(classes, size=images))
    names = [
        f"the $class$ no_{number} of words, Latin name" if number % 2 else f"c{number}" for number in range(classes)
    ]
    return labels, np.where(random.random(images) < 0.7, labels, wrong), names


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts that lie upon one another, of a figure that was drawn."""
    texts = figure.findobj(lambda one: isinstance(one, Text) and one.get_text().strip() and one.get_visible())
    unseen = {id(label) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for label in beyond(axis)}
    boxes = [(text.get_text(), text.get_window_extent().padded(-1)) for text in texts if id(text) not in unseen]
    return [(one, other) for at, (one, box) in enumerate(boxes) for other, its in boxes[:at] if box.overlaps(its)]


def beyond(axis) -> list:
    """Labels of ticks that are not drawn, since they lie beyond the limits or another panel has them."""
    low, high = axis.get_view_interval()
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    hidden = [tick.label1 for tick in ticks if not low <= tick.get_loc() <= high]
    return hidden + [tick.label2 for tick in ticks]


def cut_off(figure: Figure) -> bool:
    """Draws the figure; whether some of it lies beyond the paper."""
    figure.draw_without_rendering()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return bool(box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height)


def words(figure: Figure) -> list:
    return figure.findobj(lambda one: isinstance(one, Text) and one.get_text() in shortened(NAMES))


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 5, 12])
@pytest.mark.parametrize("draw", [training, severity, robust, throughput, epsilon])
def test_all_runs_are_named_and_nothing_is_cut_off_or_covered(draw, count):
    figure = draw(count)
    assert not cut_off(figure)
    assert overlapping(figure) == []
    found = words(figure)
    assert sorted(text.get_text() for text in found) == sorted(shortened(NAMES[:count]))
    assert not any(text.get_parse_math() for text in found)
    if draw not in (robust, throughput):
        assert bool(figure.legends) == (count > 8)


def test_names_are_beside_the_ends_of_their_lines():
    figure = training(5)
    figure.draw_without_rendering()
    axes = figure.axes[1]
    ends = {}
    for name, better in zip(shortened(NAMES), range(5), strict=False):
        ends[name] = axes.transData.transform((6, 0.8 + 0.01 * better - 0.5 / 6))[1]
    boxes = {text.get_text(): text.get_window_extent() for text in words(figure)}
    assert sorted(boxes, key=lambda name: boxes[name].y0) == sorted(ends, key=ends.get)
    assert all(abs((box.y0 + box.y1) / 2 - ends[name]) < 30 for name, box in boxes.items())
    assert all(box.x0 > axes.get_window_extent().x1 for box in boxes.values())


def test_spread_by_hand():
    assert spread([0.2, 0.5], 0.1, 0, 1).tolist() == [0.2, 0.5]
    assert spread([0.5, 0.5], 0.1, 0, 1) == pytest.approx([0.45, 0.55])
    assert spread([0.9, 0.02, 0.98], 0.1, 0, 1) == pytest.approx([0.89, 0.02, 0.99])
    assert spread([0.99, 1.0], 0.1, 0, 1) == pytest.approx([0.9, 1.0])
    assert spread([0.5, 0.5, 0.5], 0.8, 0, 1) == pytest.approx([0, 0.5, 1])


def test_spread_moves_least():
    wanted = np.array([0.1, 0.12, 0.13, 0.5, 0.97])
    gaps = {"type": "ineq", "fun": lambda placed: np.diff(placed) - 0.08}
    best = minimize(
        lambda placed: np.sum((placed - wanted) ** 2), wanted, bounds=[(0, 1)] * 5, constraints=gaps, tol=1e-12
    )
    mixed = np.array([3, 0, 4, 2, 1])
    assert spread(wanted[mixed], 0.08, 0, 1) == pytest.approx(best.x[mixed], abs=1e-4)


def test_shortened_names_stay_different():
    assert shortened(["short", "x" * 28]) == ["short", "x" * 28]
    assert shortened(["a" * 20 + "b" * 20]) == ["a" * 14 + "…" + "b" * 13]
    found = shortened(["a" * 20 + "1" + "b" * 60, "a" * 20 + "2" + "b" * 60])
    assert found == ["a" * 20 + number + "…" + "b" * 20 for number in "12"]


def luminance(color: str) -> float:
    """WCAG 2's relative luminance."""
    channels = np.array(to_rgb(color))
    return float(
        np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
    )


def test_looks_are_told_apart_without_color_and_stand_on_light_and_dark():
    assert len({(look(number)["marker"], look(number)["linestyle"]) for number in range(48)}) == 48
    for color in COLORS:
        assert 1.05 / (luminance(color) + 0.05) >= 3
        assert (luminance(color) + 0.05) / (luminance("#1a1a1a") + 0.05) >= 3


def test_percent_axis_and_limits():
    axes = Figure().subplots()
    percent_axis(axes.yaxis)
    axes.set_yticks([0.3, 0.915, 1])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["30 %", "91.5 %", "100 %"]
    assert fraction_limits([0.2, float("nan"), 0.7]) == pytest.approx((0.17, 0.73))
    assert fraction_limits([0.0, 1.0]) == (-0.02, 1.02)
    assert fraction_limits([]) == (-0.02, 1.02)


def test_intervals_reach_from_low_to_high():
    value, reach = columns([Estimate(0.5, 0.4, 0.7), None, Estimate(0.5, 0.6, 0.7)])
    assert value == pytest.approx([0.5, np.nan, 0.5], nan_ok=True)
    assert reach == pytest.approx(np.array([[0.1, np.nan, 0], [0.2, np.nan, 0.2]]), nan_ok=True)


def bars(axes) -> list[list[tuple[float, float]]]:
    """The ends of all error bars."""
    found = axes.findobj(LineCollection)
    return [[tuple(end) for end in segment] for lines in found for segment in lines.get_segments()]


def lines_of(axes, color: str) -> list:
    return [line for line in axes.lines if line.get_color() == color and line.get_transform() == axes.transData]


def test_training_curves_show_what_was_measured():
    one = course("one", 4)
    val = (one.val[0], one.val[1], None, one.val[3])
    two = TrainingHistory("two", (1, 2, 3, 4), None, val, tuple(np.arange(1, 481) / 120), tuple(np.arange(480.0)))
    left, right = plots.training_curves([one, two]).axes
    solid, dashed = lines_of(right, COLORS[0])
    assert solid.get_ydata() == pytest.approx([estimate.value for estimate in one.val])
    assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    assert dashed.get_ydata() == pytest.approx(one.train_top1)
    band = right.findobj(FillBetweenPolyCollection)[0].get_paths()[0].vertices
    assert {(epoch, round(bound, 9)) for epoch, bound in band} == {
        (epoch, round(bound, 9)) for epoch, estimate in enumerate(one.val, 1) for bound in (estimate.low, estimate.high)
    }
    (solid, *more) = lines_of(right, COLORS[1])
    assert np.isnan(solid.get_ydata()[2])
    assert not [line for line in more if line.get_linestyle() == "--"]
    assert bars(right) == [[(4, pytest.approx(val[3].low)), (4, pytest.approx(val[3].high))]]  # alone after the gap
    (loss,) = lines_of(left, COLORS[1])
    assert loss.get_ydata() == pytest.approx(np.arange(480).reshape(120, 4).mean(axis=1))
    assert loss.get_xdata() == pytest.approx(np.arange(1, 481).reshape(120, 4).mean(axis=1) / 120)


def test_a_single_epoch_has_intervals_side_by_side():
    figure = plots.training_curves([course("one", 1), course("two", 1), TrainingHistory("bare", (), (), (), (), ())])
    right = figure.axes[1]
    (one, two) = bars(right)
    assert [bound for _, bound in one] == pytest.approx([0.28, 0.33])
    assert one[0][0] < two[0][0] < one[0][0] + 0.2
    assert figure.legends  # a run of which nothing is there has no end to be named at
    assert not cut_off(figure)


def test_severity_curves_show_what_was_measured():
    accuracies = {
        "one": {"fog": severities(0.9), "snow": {5: about(0.3), 3: about(0.5)}},
        "none": {},
        "two": {"fog": severities(0.8)},
    }
    figure = plots.severity_curves(accuracies, {"one": about(0.95), "none": about(0.1)})
    fog, snow = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["fog", "snow"]
    assert fog.get_ylim() == snow.get_ylim()
    thin, clean, line = [
        line for line in lines_of(fog, COLORS[0]) if len(line.get_xdata()) and line.get_marker() not in ("_", "|")
    ]
    assert (clean.get_markerfacecolor(), clean.get_ydata().tolist()) == ("white", [0.95])
    assert line.get_xdata() == pytest.approx([1, 2, 3, 4, 5], abs=0.15)
    assert line.get_ydata() == pytest.approx([0.8, 0.7, 0.6, 0.5, 0.4])
    assert thin.get_ydata() == pytest.approx([0.95, 0.8])
    assert bars(fog)[1][0][1] == pytest.approx(0.78)
    assert bars(fog)[1][1][1] == pytest.approx(0.83)
    assert [0.5, 0.3] in [list(line.get_ydata()) for line in lines_of(snow, COLORS[0])]  # 3 before 5
    assert fog.get_ylim()[0] > 0.2  # a clean accuracy with nothing to compare is not shown
    assert not lines_of(fog, COLORS[1])
    assert lines_of(fog, COLORS[2])


def test_many_corruptions_are_panels_with_shared_axes():
    figure = plots.severity_curves({"run-1": {f"a_corruption_{at}": severities(0.9) for at in range(7)}}, {})
    assert not cut_off(figure)
    assert overlapping(figure) == []
    assert len({round(axes.get_position().x0, 3) for axes in figure.axes}) == 4
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes}) == 1
    assert [axes.xaxis.get_label_text() != "" for axes in figure.axes] == [False] * 3 + [True] * 4
    assert len(words(figure)) == 1
    assert {count: curves_module._columns(count) for count in (1, 5, 6, 15, 19)} == {1: 1, 5: 5, 6: 3, 15: 5, 19: 5}


def test_robust_points_show_what_was_measured():
    nowhere = Estimate(np.nan, np.nan, np.nan)
    points = [plots.LabeledPoint("one", about(0.8), about(0.3)), plots.LabeledPoint("two", about(0.8), nowhere)]
    points.append(plots.LabeledPoint("three", about(0.6), about(0.5)))
    axes = plots.clean_against_robust(points, "x", "y").axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x", "y")
    expected = [((0.78, 0.3), (0.83, 0.3)), ((0.8, 0.28), (0.8, 0.33))]
    expected += [((0.58, 0.5), (0.63, 0.5)), ((0.6, 0.48), (0.6, 0.53))]
    assert np.array(bars(axes)) == pytest.approx(np.array(expected))
    (diagonal,) = lines_of(axes, "#222222")
    assert diagonal.get_xdata().tolist() == diagonal.get_ydata().tolist() == list(axes.get_xlim())
    assert axes.get_ylim()[1] >= axes.get_xlim()[1]  # so that the diagonal is seen
    assert axes.get_ylim()[0] <= min(axes.get_xlim()[0], 0.28)
    assert not lines_of(axes, COLORS[1])
    assert lines_of(axes, COLORS[2])[0].get_marker() == look(2)["marker"]


def test_names_cover_neither_points_nor_error_bars():
    places = [(0.6, 0.2), (0.62, 0.3), (0.85, 0.35), (0.88, 0.55), (0.7, 0.6)]
    points = [plots.LabeledPoint(name, about(x), about(y)) for name, (x, y) in zip(NAMES, places, strict=False)]
    figure = plots.clean_against_robust(points)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert len(words(figure)) == 5
    assert not figure.legends
    for text in words(figure):
        low, high = axes.transData.inverted().transform(text.get_window_extent())
        for (x0, y0), (x1, y1) in bars(axes):
            assert x1 < low[0] or x0 > high[0] or y1 < low[1] or y0 > high[1], text.get_text()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [1, 9])
def test_names_in_letters_that_the_font_lacks_give_no_warnings(count):
    names = [f"猫 {number}" for number in range(count)]
    figure = plots.epsilon_curves({name: {0.0: about(0.5), 0.1: about(0.4)} for name in names}, "l2", "title")
    assert names[0] in plots.inline_svg(figure, names[0])
    plots.clean_against_robust([plots.LabeledPoint(name, about(0.8), about(0.5)) for name in names])


def test_names_go_below_where_points_crowd():
    figure = plots.clean_against_robust([plots.LabeledPoint(name, about(0.8), about(0.5)) for name in NAMES[:4]])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == shortened(NAMES[:4])
    assert len(words(figure)) == 4
    assert not cut_off(figure)
    assert figure.axes[0].get_window_extent().height > 400  # the legend takes nothing from the axes


@pytest.mark.parametrize(("fastest", "scale"), [(99, "linear"), (101, "log")])
def test_speeds_over_more_than_a_decade_are_logarithmic(fastest, scale):
    speeds = (Estimate(10.0, 10.0, 10.0), Estimate(fastest, fastest, fastest))
    points = [plots.LabeledPoint(name, speed, about(0.5)) for name, speed in zip("ab", speeds, strict=True)]
    axes = plots.throughput_against_accuracy(points).axes[0]
    assert axes.get_xscale() == scale
    assert axes.xaxis.get_major_formatter()(12000.0, 0) == "12,000"
    assert axes.get_xlim()[0] < 10
    assert axes.get_xlim()[1] > fastest


def test_epsilons_stand_side_by_side():
    curves = {"one": {8 / 255: about(0.1), 0: about(0.9), 0.25 / 255: about(0.5)}, "two": {1 / 255: about(0.4)}}
    figure = plots.epsilon_curves(curves, "linf", "title")
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "0.25/255", "1/255", "8/255"]
    assert axes.get_xticks().tolist() == [0, 1, 2, 3]
    line = lines_of(axes, COLORS[0])[0]
    assert line.get_xdata().tolist() == [0, 1, 3]
    assert line.get_ydata().tolist() == [0.9, 0.5, 0.1]
    assert bars(axes)[2] == [pytest.approx((3, 0.08)), pytest.approx((3, 0.13))]
    assert lines_of(axes, COLORS[1])[0].get_xdata().tolist() == [2]
    many = plots.epsilon_curves({"one": {one / 255: about(0.5) for one in range(41)}}, "linf", "title")
    assert len(many.axes[0].get_xticks()) <= 20
    assert not cut_off(many)
    assert overlapping(many) == []
    l2 = plots.epsilon_curves({"one": {0.25: about(0.5)}}, "l2", "title").axes[0]
    assert [text.get_text() for text in l2.get_xticklabels()] == ["0.25"]


@pytest.mark.parametrize("classes", [2, 12, 13, 25])
def test_confusion_is_that_of_scikit_learn(classes):
    labels, answers, names = matrix(classes)
    figure = plots.confusion(labels, answers, names)
    axes = figure.axes[0]
    expected = confusion_matrix(labels, answers, labels=range(classes), normalize="true")
    assert np.asarray(axes.findobj(QuadMesh)[0].get_array()) == pytest.approx(expected)
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    counts = confusion_matrix(labels, answers, labels=range(classes))
    for (true, said), count in np.ndenumerate(counts):
        percent = f"{100 * expected[true, said]:.0f}" if expected[true, said] >= 0.005 else "<1"
        shown = f"{percent}\n({count:,})" if classes <= 12 else percent
        assert texts.get((said, true)) == (shown if count else None)
    assert not cut_off(figure)
    assert overlapping(figure) == []
    assert not any(text.get_parse_math() for text in [*axes.get_xticklabels(), *axes.get_yticklabels()])


def test_confusion_of_many_classes_shows_the_most_confused_and_the_rest():
    labels, answers, names = matrix(60)
    figure = plots.confusion(labels, answers, names)
    counts = confusion_matrix(labels, answers, labels=range(60))
    times = [sum((labels == one) ^ (answers == one)) for one in range(60)]
    shown = most_confused(counts)
    assert shown.tolist() == sorted(sorted(range(60), key=lambda one: -times[one])[:20])
    shares = np.asarray(figure.axes[0].findobj(QuadMesh)[0].get_array())
    assert shares.shape == (20, 21)
    assert shares[:, :20] == pytest.approx((counts / counts.sum(axis=1, keepdims=True))[np.ix_(shown, shown)])
    assert shares.sum(axis=1) == pytest.approx(1)
    assert figure.get_suptitle().startswith("the 20 most confused of 60 classes")
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()][-1] == "other"
    assert not cut_off(figure)


def test_a_class_without_images_says_so():
    figure = plots.confusion(np.array([0, 0, 1]), np.array([0, 2, 1]), ["a", "b", "c"])
    assert np.ma.getmaskarray(figure.axes[0].findobj(QuadMesh)[0].get_array()).tolist() == [[0] * 3, [0] * 3, [1] * 3]
    assert [text.get_position()[1] for text in figure.axes[0].texts if text.get_text() == "no images"] == [2]


LABEL = 'accuracy of <a> & "b"'


@pytest.fixture(scope="module")
def svgs() -> dict[str, str]:
    """Of each kind that draws something of its own."""
    random = np.random.default_rng(0)
    figure = Figure(layout="constrained")
    bar = figure.subplots().bar([0, 1], random.random(2), hatch="//", color="#0072B2", edgecolor="white")
    bar[0].set_edgecolor("#222222")
    figures = {"lines": epsilon(1), "points": robust(1), "cells": plots.confusion(*matrix(5)), "bars": figure}
    return {name: plots.inline_svg(figure, LABEL) for name, figure in figures.items()}


def elements(text: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(text).iter())


def references(text: str) -> set[str]:
    values = [value for one in elements(text) for value in one.attrib.values()]
    links = {value[1:] for value in values if value.startswith("#") and not value.startswith("#" + "0")}
    return links | {value.split("url(#")[1].split(")")[0] for value in values if "url(#" in value}


def test_an_inline_figure_is_one_element_without_size_background_or_style(svgs):
    for text in svgs.values():
        root, *inside = elements(text)
        assert text.startswith("<svg ")
        assert (root.get("role"), root.get("aria-label")) == ("img", LABEL)
        assert len(root.get("viewBox").split()) == 4
        assert not {"width", "height"} & set(root.attrib)
        tags = {one.tag.removeprefix("{http://www.w3.org/2000/svg}") for one in inside}
        assert not {"metadata", "style", "script"} & tags
        assert not any("}" in tag or ":" in tag for tag in tags)
        assert not any("}" in name for one in inside for name in one.attrib)
        (paper,) = [one for one in inside if one.get("id", "").endswith("-patch_1")]
        assert paper[0].get("style") == "fill: none"


def test_ids_are_of_one_figure_alone_and_references_lead_to_them(svgs):
    ids = {name: [one.get("id") for one in elements(text) if one.get("id")] for name, text in svgs.items()}
    every = [one for some in ids.values() for one in some]
    assert len(every) == len(set(every))
    for name, text in svgs.items():
        assert references(text)
        assert references(text) <= set(ids[name])


def test_ink_takes_the_color_of_the_page_and_data_keeps_theirs(svgs):
    for text in svgs.values():
        assert not any(color in text.lower() for color in ("#000000", "#222222", "#ffffff", "black", "white"))
        assert "fill: currentColor" in elements(text)[0].get("style")  # what has no color of its own: letters
    assert "stroke: currentColor" in svgs["bars"]
    assert "stroke: currentColor" in svgs["lines"]
    assert "#0072b2" in svgs["lines"]
    assert "stroke: #0072b2" in svgs["points"]
    assert "fill: #111111" in svgs["cells"]  # upon cells that keep their color


def test_equal_figures_give_equal_text(svgs):
    assert plots.inline_svg(robust(1), LABEL) == svgs["points"]


def test_saved_files_are_the_same_for_the_same_figure(tmp_path):
    names = [plots.save(robust(1), tmp_path / name) for name in ("one", "two.5")]
    assert [path.name for path in names[1]] == ["two.5.png", "two.5.svg"]
    assert [path.read_bytes() for path in names[0]] == [path.read_bytes() for path in names[1]]
    assert b"<dc:date>" not in names[0][1].read_bytes()


def test_plots_need_neither_torch_nor_pyplot():
    code = "import doublevit.report.plots, sys; sys.exit(bool({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
