"""`doublevit serve`: a model as a page and an API."""

from collections.abc import Sequence

from doublevit.cli.parse import parse
from doublevit.cli.terminal import say, warn
from doublevit.serve.options import ServeOptions, is_loopback


def serve(arguments: Sequence[str]) -> None:
    """A model, or two, as a page in the browser and an API on this machine: `serve MODEL [MODEL] [--port 7860]`."""
    options = parse(ServeOptions, "doublevit serve", arguments)
    from doublevit.serve.server import serve as run

    if not is_loopback(options.host):
        warn(f"everyone who reaches {options.host} can use this server, and it asks for no password")
    run(options, lambda address: say(f"serving {' and '.join(options.models)} at {address} (Ctrl-C ends it)"))
