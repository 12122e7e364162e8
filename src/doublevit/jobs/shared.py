"""Folders that one of several processes makes, and all use."""

from collections.abc import Callable
from pathlib import Path

from accelerate.utils import broadcast_object_list

from doublevit.device import this_process
from doublevit.runs.folder import RunFolder


def made_by_first(make: Callable[[], RunFolder]) -> RunFolder:
    """Make a run's folder in the first process, and return it in all.

    Raises:
        UserError: the folder cannot be made; only the first process raises that, which ends the others.
    """
    path = [str(make().path) if this_process().is_main_process else ""]
    return RunFolder(Path(broadcast_object_list(path)[0]))
