"""The index of a run's checkpoints, which names the last and the best; it is read without torch."""

import json
from pathlib import Path

from doublevit.errors import UserError

INDEX = "index.json"


def read_index(folder: Path) -> dict[str, str]:
    """Read the names of the "last" and "best" checkpoints in a run's folder of checkpoints; none if there is no index.

    Raises:
        UserError: the index is damaged.
    """
    path = folder / INDEX
    try:
        if path.exists() and not path.is_file():
            raise ValueError("expected a file")
        index = dict(json.loads(path.read_text())) if path.exists() else {}
        if any(not isinstance(name, str) or Path(name).name != name for name in index.values()):
            raise ValueError("expected plain names of folders")
        return index
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged ({error}); it should name a folder beside it as last and as best"
        ) from error
