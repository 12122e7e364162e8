"""What `--data` may name, and which source reads it: folders, lists, tars, and `hf:` and `wds:` before a name."""

from pathlib import Path

from doublevit.data.names import is_hidden, printable
from doublevit.errors import UserError

HUB, SHARDS = "hf:", "wds:"
EMBEDDED = "digits"
"""The source that needs no path."""
LISTS = (".csv", ".tsv")
SAVED = ("dataset_dict.json", "state.json")
"""Files that Hugging Face's `save_to_disk` leaves."""


def source_at(path: Path) -> str:
    """Return the name of the source that reads `path`; "folder" where nothing speaks for another.

    Raises:
        UserError: the path cannot be looked at, such as one that is too long.
    """
    try:
        return _source_at(path)
    except OSError as error:
        raise UserError(f"{printable(str(path)[:80])} cannot be read ({error.strerror}); expected images") from error


def _source_at(path: Path) -> str:
    if str(path).startswith((HUB, SHARDS)):
        return "hf" if str(path).startswith(HUB) else "wds"
    suffix = path.suffix.lower()
    if any((root / "wnids.txt").exists() for root in (path, path / "tiny-imagenet-200")) or suffix == ".zip":
        return "tiny-imagenet"
    if path.is_dir():
        return _source_of_folder(path)
    if suffix == ".tgz" or path.suffixes[-2:-1] == [".tar"]:
        return "wds"  # which says that it is compressed
    return "list" if suffix in LISTS else {".parquet": "hf", ".tar": "wds"}.get(suffix, "folder")


def _source_of_folder(path: Path) -> str:
    if any((path / name).is_file() for name in SAVED) or _holds(path, "*.parquet") or _holds(path, "data/*.parquet"):
        return "hf"
    if any(entry.is_dir() and not is_hidden(entry.name) for entry in path.iterdir()):
        return "folder"
    if any(_holds(path, f"*{suffix}") for suffix in LISTS):
        return "list"
    return "wds" if _holds(path, "*.tar") else "folder"


def _holds(path: Path, pattern: str) -> bool:
    return any(not is_hidden(found.name) for found in path.glob(pattern))


def absolute(path: Path) -> Path:
    """Return `path` so that it names the same from any folder; a name on the hub stays as it is."""
    text = str(path)
    if text.startswith(SHARDS):
        return Path(SHARDS + str(Path(text.removeprefix(SHARDS)).absolute()))
    if text.startswith(HUB):
        local = Path(text.removeprefix(HUB))
        return Path(HUB + str(local.absolute())) if local.exists() else path
    return path.absolute()


def absolute_name(text: str) -> str:
    """Return what names a data set so that it does from any folder; "digits" stays, unless there is such a folder."""
    return text if text == EMBEDDED and not Path(text).exists() else str(absolute(Path(text)))
