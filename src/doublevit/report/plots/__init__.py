"""Plots for print and screen, as PNG, SVG and parts of a page: no state of pyplot, no display, no torch."""

from doublevit.report.plots.classes import classes
from doublevit.report.plots.confusion import confusion
from doublevit.report.plots.epsilon import epsilon_curves
from doublevit.report.plots.reliability import reliability
from doublevit.report.plots.robust import Point, clean_against_robust, throughput_against_accuracy
from doublevit.report.plots.severity import severity_curves
from doublevit.report.plots.style import save
from doublevit.report.plots.svg import inline_svg
from doublevit.report.plots.training import Course, training_curves

__all__ = [
    "Course",
    "Point",
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
