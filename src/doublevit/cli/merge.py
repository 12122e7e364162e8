"""`doublevit merge`: runs of the same network as one, by the mean of their weights."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from doublevit.cli.parse import parse
from doublevit.cli.terminal import out, say
from doublevit.jobs.options import DeviceOptions


@dataclasses.dataclass(frozen=True)
class Merge(DeviceOptions):
    """Make a run whose weights are the mean of other runs' last weights: of the same network, classes and data.

    Of two runs, a start and what was fine-tuned from it, the weights are 1 - alpha and alpha (WiSE-FT). Without alpha,
    the best of 0, 0.1 ... 1 is chosen on training images, clean and under the four corruptions to tune on; those that
    the runs were not trained on, where `--data.per-class` left some. Of more runs, the plain mean is taken (a soup).
    """

    sources: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN RUN ...")]
    """The runs' folders; of two, the start first."""
    alpha: tuple[float, ...] = ()
    """Weight of the second of two runs, 0 to 1; of several values the best is chosen."""
    samples: int = 500
    """The most training images that alpha is chosen on."""
    name: str | None = None
    """Name of the run's folder; if not given, recipe and time."""
    runs: Annotated[Path, tyro.conf.arg(aliases=("--output",))] = Path("runs")
    """Folder that holds all runs."""


def merge(arguments: Sequence[str]) -> None:
    """Make one run of several by the mean of their weights: `merge RUN RUN ... [--alpha 0.5] [--name N]`."""
    options = parse(Merge, "doublevit merge", arguments)
    from doublevit.jobs.merge.merge import merge as job
    from doublevit.report.formats.terminal import print_tables
    from doublevit.report.tables.merge import alpha_table

    merged = job(options.sources, options.alpha, options.runs, options.name, options.samples)
    if merged.record.selection:
        print_tables([alpha_table(merged.record.selection)], out)
    for source in merged.record.sources:
        say(f"  {source.weight:.4g} of {source.run} ({source.checkpoint})")
    say(f"merged; everything is in {merged.run.path}\nnow: doublevit evaluate {merged.run.path}")
