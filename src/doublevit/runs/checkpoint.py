"""Checkpoints: weights as safetensors with the training state beside them, each a folder that is whole or not there.

`index.json` names the "last" and the "best" checkpoint; symbolic links of these names point at them, for people and
their scripts. The index is replaced atomically after the folder is complete, so a run that was killed at any moment
finds a whole checkpoint.
"""

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import safetensors
import safetensors.torch
import torch
from torch import nn

from doublevit.errors import UserError
from doublevit.files import require_space, whole_folder, write_text
from doublevit.models.weights import fit_state, read_state
from doublevit.runs.checkpoint_index import INDEX, read_index
from doublevit.runs.conditions import CheckpointId

WEIGHTS, STATE = "model.safetensors", "state.pt"


@dataclasses.dataclass
class Progress:
    """Holds the progress of a training: optimizer steps, epochs trained *and* validated, best top-1 (-1 at first)."""

    step: int = 0
    epoch: int = 0
    best: float = -1.0


@dataclasses.dataclass(frozen=True)
class TrainingState:
    """What training goes on from: the optimizer, and `raw` weights where those to evaluate are their moving average."""

    optimizer: torch.optim.Optimizer
    raw: nn.Module | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return what is saved of it."""
        raw = {} if self.raw is None else {"model": self.raw.state_dict()}
        return {"optimizer": self.optimizer.state_dict()} | raw

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self.optimizer.load_state_dict(state.get("optimizer") or state["optimiser"])  # the key of older runs
        if self.raw is not None:
            self.raw.load_state_dict(state["model"])


def save(
    folder: Path,
    model: nn.Module,
    training: TrainingState,
    progress: Progress,
    *,
    best: bool,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a checkpoint, make it the last (and, if `best`, the best), and remove those that are neither.

    `metadata` goes into the file of weights, which are those of `model`.

    Raises:
        UserError: there is no space; older checkpoints stay as they are.
    """
    folder.mkdir(exist_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    state = training.state_dict() | {"progress": dataclasses.asdict(progress)}
    require_space(folder, _size(weights) + _size(state), "a checkpoint")
    name = f"epoch-{progress.epoch:03d}-step-{progress.step:07d}"
    index = read_index(folder)
    if name not in index.values():  # left by a kill before the index named it: it may be in pieces
        shutil.rmtree(folder / name, ignore_errors=True)
    with _disk_errors(folder), whole_folder(folder / name) as part:
        safetensors.torch.save_file(weights, part / WEIGHTS, dict(metadata) if metadata else None)
        torch.save(state, part / STATE)
    index |= {"last": name} | ({"best": name} if best else {})
    write_text(folder / INDEX, json.dumps(index, indent=2))
    for which, target in index.items():
        _link(folder / which, target)
    for old in folder.iterdir():
        if old.is_dir() and not old.is_symlink() and old.name not in index.values():
            shutil.rmtree(old)


def _link(link: Path, target: str) -> None:
    """Make `link` point at the folder `target` beside it, on file systems that have links."""
    new = link.with_name(f".{link.name}.new")
    with contextlib.suppress(OSError):
        new.unlink(missing_ok=True)
        new.symlink_to(target, target_is_directory=True)
        new.replace(link)


def weights_file(folder: Path, which: str) -> Path:
    """Return the file of the "last" or "best" weights.

    Raises:
        UserError: there is no such checkpoint.
    """
    return _find(folder, which) / WEIGHTS


def load_weights(folder: Path, which: str, model: nn.Module) -> None:
    """Load the "last" or "best" weights into `model`.

    Raises:
        UserError: there is no such checkpoint, or it does not fit the model.
    """
    path = weights_file(folder, which)
    fit_state(model, read_state(path), path)


def load_state(folder: Path, training: TrainingState) -> Progress:
    """Load the state of the last checkpoint into `training`, and return how far it was.

    Raises:
        UserError: there is no checkpoint, it is damaged, or only one of it and `training` has a moving average.
    """
    path = _find(folder, "last") / STATE
    with _damage(path):
        state = torch.load(path, map_location="cpu", weights_only=True)
    if ("model" in state) != (training.raw is not None):
        was, now = ("with", "without") if training.raw is None else ("without", "with")
        raise UserError(
            f"`train.ema`: {path} was saved {was} a moving average of the weights, and the run cannot go on {now} it;"
            " expected the recipe that it was started with"
        )
    with _damage(path):
        training.load_state_dict(state)
        return Progress(**state["progress"])


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn errors of reading a checkpoint's state, of which torch has many kinds, into a `UserError`."""
    try:
        yield
    except Exception as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}): the run cannot be resumed") from error


def identify(folder: Path, which: Literal["last", "best"]) -> CheckpointId:
    """Return the identity of the "last" or "best" checkpoint, with the first eight hex digits of its weights' SHA-256.

    Raises:
        UserError: there is no such checkpoint.
    """
    checkpoint = _find(folder, which)
    return CheckpointId(which=which, name=checkpoint.name, digest=_digest(checkpoint / WEIGHTS))


def _digest(path: Path) -> str:
    """Return the first eight hex digits of the SHA-256 of a file of weights, whatever its metadata say of the run."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(min(size, path.stat().st_size)))
            metadata = header.pop("__metadata__", {})
        except (ValueError, AttributeError):  # damaged: loading it will say so
            metadata = {}
        if not metadata:
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()[:8]
        digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:8]


def epochs_of(folder: Path) -> int:
    """Return how many epochs the last checkpoint was trained for.

    Raises:
        UserError: there is no checkpoint.
    """
    return int(_find(folder, "last").name.split("-")[1])


def exists(folder: Path) -> bool:
    """Return whether there is a checkpoint to resume from."""
    return "last" in read_index(folder)


def _find(folder: Path, which: str) -> Path:
    index = read_index(folder)
    if which not in index:
        known = ", ".join(index) or "none at all: start the run again"
        raise UserError(f"{folder} has no {which} checkpoint; it has {known}")
    return folder / index[which]


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Turn the errors that torch and safetensors raise on a full disk into a `UserError`."""
    try:
        yield
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise UserError(f"cannot write a checkpoint to {folder} ({error}); the older one is kept") from error


def _size(tree: Any) -> int:
    """Return the bytes of all tensors in nested dicts."""
    if isinstance(tree, torch.Tensor):
        return tree.nbytes
    return sum(_size(value) for value in tree.values()) if isinstance(tree, dict) else 0
