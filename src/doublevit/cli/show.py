"""`doublevit show attention`: pictures of what a network does."""

from collections.abc import Sequence

from doublevit.cli.parse import parse
from doublevit.cli.terminal import say
from doublevit.errors import unknown
from doublevit.files import whole_file
from doublevit.jobs.options import Attention

USAGE = "usage: doublevit show attention RUN [PHOTO ...] [options]\n\nall options: doublevit show attention --help"


def show(arguments: Sequence[str]) -> None:
    """What a network looks at, as a picture: `show attention RUN [PHOTO ...] [options]`."""
    if not arguments or arguments[0] in ("-h", "--help"):
        say(USAGE)
    elif arguments[0] != "attention":
        raise unknown("command", f"show {arguments[0]}", ["show attention"])
    else:
        _attention(arguments[1:])


def _attention(arguments: Sequence[str]) -> None:
    options = parse(Attention, "doublevit show attention", arguments)
    from doublevit.jobs.attention import attention_sheet

    sheet = attention_sheet(options)
    with whole_file(options.picture) as file:
        sheet.save(file, format="PNG")
    say(f"written: {options.picture}")
