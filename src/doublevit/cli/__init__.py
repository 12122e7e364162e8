"""The command line: `doublevit COMMAND ...`. Options are the fields of typed dataclasses."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence

from doublevit.cli.data import data
from doublevit.cli.export import export
from doublevit.cli.inspect import errors, show
from doublevit.cli.merge import merge
from doublevit.cli.names import print_names, recipes
from doublevit.cli.parse import asks_help
from doublevit.cli.predict import predict, serve, upgrade
from doublevit.cli.report import report, status, tables
from doublevit.cli.runs import evaluate, run, speed, train, transfer
from doublevit.cli.study import study
from doublevit.cli.terminal import STOPPED, fail, fail_if_lost, say
from doublevit.errors import UserError, unknown
from doublevit.image_files import require_bound
from doublevit.processes import launch
from doublevit.version import __version__

COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "run": run,
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "merge": merge,
    "transfer": transfer,
    "speed": speed,
    "errors": errors,
    "status": status,
    "report": report,
    "tables": tables,
    "show": show,
    "serve": serve,
    "study": study,
    "export": export,
    "upgrade": upgrade,
    "recipes": recipes,
    "data": data,
}
ALIASES = {"val": "evaluate"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; bad input ends with a one-line message and exit code 2, an interruption with 130."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it cleans up as Ctrl-C does
    try:
        launch.require_numbers()
        require_bound()
        _dispatch(sys.argv[1:] if arguments is None else arguments)
        launch.leave()
    except UserError as error:
        fail(str(error), 2)
    except BrokenPipeError:  # the reader of standard output, such as head, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except OSError as error:
        fail(f"{error.strerror or error}: {error.filename or 'while writing'}", 2)
    except KeyboardInterrupt:
        fail("stopped; nothing half-written is left", STOPPED)
    except Exception as error:
        fail_if_lost(error)
        launch.leave(f"{type(error).__name__}: {error}")  # ours, so that the traceback is wanted
        raise


def _dispatch(arguments: Sequence[str]) -> None:
    if asks_help(arguments):
        _print_help()
    elif arguments[0] == "--version":
        say(f"doublevit {__version__}")
    else:
        name = ALIASES.get(arguments[0], arguments[0])
        if name not in COMMANDS:
            raise unknown("command", name, [*COMMANDS, *ALIASES])
        COMMANDS[name](arguments[1:])


def _print_help() -> None:
    say("Fine-tune pretrained vision transformers and see how good they are.\n\nusage: doublevit COMMAND ...\n")
    print_names("Commands", {name: (command.__doc__ or "").strip() for name, command in COMMANDS.items()})
    say("\nFirst: doublevit run digits-double\nval is another name of evaluate")
