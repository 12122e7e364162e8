"""Plots for print and screen, as PNG, SVG and parts of a page, without state of pyplot, display or torch."""

from doublevit.report.plots.curves import epsilon_curves, severity_curves
from doublevit.report.plots.mistakes import classes, confusion, reliability
from doublevit.report.plots.points import LabeledPoint, clean_against_robust, throughput_against_accuracy
from doublevit.report.plots.style import save
from doublevit.report.plots.svg import inline_svg
from doublevit.report.plots.training import training_curves

__all__ = [
    "LabeledPoint",
    "classes",
    "clean_against_robust",
    "confusion",
    "epsilon_curves",
    "inline_svg",
    "reliability",
    "save",
    "severity_curves",
    "throughput_against_accuracy",
    "training_curves",
]
