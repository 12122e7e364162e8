"""Checkpoints: weights as safetensors with the training state beside them, each a folder that is whole or not there.

`index.json` names the "last" and the "best" one; links called so point at them, for people and their scripts. The index
is replaced in one go after the folder is complete, so a run killed at any moment finds a whole checkpoint.
"""

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import safetensors
import safetensors.torch
import torch
from torch import nn

from doublevit.errors import UserError
from doublevit.files import require_space, whole_folder, write_text
from doublevit.models.weights import fit_state, read_state
from doublevit.runs.conditions import CheckpointId

WEIGHTS, STATE, INDEX = "model.safetensors", "state.pt", "index.json"


@dataclasses.dataclass
class Progress:
    """How far a training is: optimizer steps made, epochs trained *and* validated, best top-1 so far (0..1)."""

    step: int = 0
    epoch: int = 0
    best: float = -1.0


def save(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, *, best: bool) -> None:
    """Write a checkpoint, make it the last (and the best), and remove those that are neither.

    Raises:
        UserError: there is no space; older checkpoints stay as they are.
    """
    folder.mkdir(exist_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    state = {"optimizer": optimizer.state_dict(), "progress": dataclasses.asdict(progress)}
    require_space(folder, _size(weights) + _size(state["optimizer"]["state"]), "a checkpoint")
    name = f"epoch-{progress.epoch:03d}-step-{progress.step:07d}"
    index = _read_index(folder)
    if name not in index.values():  # left by a kill before the index named it: it may be in pieces
        shutil.rmtree(folder / name, ignore_errors=True)
    with _disk_errors(folder), whole_folder(folder / name) as part:
        safetensors.torch.save_file(weights, part / WEIGHTS)
        torch.save(state, part / STATE)
    index |= {"last": name} | ({"best": name} if best else {})
    write_text(folder / INDEX, json.dumps(index, indent=2))
    for which, target in index.items():
        _point(folder / which, target)
    for old in folder.iterdir():
        if old.is_dir() and not old.is_symlink() and old.name not in index.values():
            shutil.rmtree(old)


def _point(link: Path, target: str) -> None:
    """Make `link`, for people and their scripts, point at the folder `target` beside it, where links can be made."""
    new = link.with_name(f".{link.name}.new")
    with contextlib.suppress(OSError):
        new.unlink(missing_ok=True)
        new.symlink_to(target, target_is_directory=True)
        new.replace(link)


def load_weights(folder: Path, which: str, model: nn.Module) -> None:
    """Load the "last" or "best" weights into `model`.

    Raises:
        UserError: there is none, or it does not fit.
    """
    path = _find(folder, which) / WEIGHTS
    fit_state(model, read_state(path), path)


def load_state(folder: Path, optimizer: torch.optim.Optimizer) -> Progress:
    """Load the optimizer of the last checkpoint; returns how far the training was.

    Raises:
        UserError: there is no checkpoint.
    """
    path = _find(folder, "last") / STATE
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        optimizer.load_state_dict(state.get("optimizer") or state["optimiser"])  # the key of older runs
        return Progress(**state["progress"])
    except Exception as error:  # damaged files make torch raise nearly anything
        raise UserError(f"{path} is damaged ({type(error).__name__}): the run cannot be resumed") from error


def identify(folder: Path, which: Literal["last", "best"]) -> CheckpointId:
    """Which checkpoint is the "last" or "best" one, and eight digits that tell its weights from others of that name.

    Raises:
        UserError: there is none.
    """
    found = _find(folder, which)
    with (found / WEIGHTS).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:8]
    return CheckpointId(which=which, name=found.name, digest=digest)


def epochs_of(folder: Path) -> int:
    """How many epochs the last checkpoint has behind it.

    Raises:
        UserError: there is none.
    """
    return int(_find(folder, "last").name.split("-")[1])


def exists(folder: Path) -> bool:
    """Whether there is anything to resume."""
    return "last" in _read_index(folder)


def _find(folder: Path, which: str) -> Path:
    index = _read_index(folder)
    if which not in index:
        known = ", ".join(index) or "none at all: start the run again"
        raise UserError(f"{folder} has no {which} checkpoint; it has {known}")
    return folder / index[which]


def _read_index(folder: Path) -> dict[str, str]:
    path = folder / INDEX
    try:
        return dict(json.loads(path.read_text())) if path.exists() else {}
    except ValueError as error:
        raise UserError(
            f"{path} is damaged ({error}); it should name a folder beside it as last and as best"
        ) from error


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """A disk that fills up while torch or safetensors write makes them raise errors of their own kinds."""
    try:
        yield
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise UserError(f"cannot write a checkpoint to {folder} ({error}); the older one is kept") from error


def _size(tree: Any) -> int:
    """Bytes of all tensors in a nest of dicts."""
    if isinstance(tree, torch.Tensor):
        return tree.nbytes
    return sum(_size(value) for value in tree.values()) if isinstance(tree, dict) else 0
