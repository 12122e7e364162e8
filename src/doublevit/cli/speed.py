"""`doublevit speed`: what a run's network costs."""

from collections.abc import Sequence

from doublevit.cli.parse import parse
from doublevit.cli.terminal import out, say
from doublevit.jobs.speed_options import Speed


def speed(arguments: Sequence[str]) -> None:
    """What a run's network costs here: photos a second, memory, parameters, MACs: `speed RUN [--batch-size 32]`."""
    options = parse(Speed, "doublevit speed", arguments)
    from doublevit.jobs.speed import measure_speed
    from doublevit.speed.table import speed_table

    rows = measure_speed(options)
    out.print(speed_table(rows))
    say(f"  {options.run / 'results.jsonl'}  the same numbers, added")
