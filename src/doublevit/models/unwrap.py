"""What training scripts save around weights: keys of a larger file, and prefixes of tensors' names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from doublevit.errors import UserError
from doublevit.progress import console, is_main_process

AVERAGED = ("state_dict_ema", "model_ema")
"""Keys of an exponential moving average of the weights, which is taken where there is one, as timm does."""
WRAPPERS = (*AVERAGED, "state_dict", "model")
"""Keys under which training scripts save weights, in the order of choice."""
PREFIXES = ("module.", "_orig_mod.")  # of DistributedDataParallel (or AveragedModel) and torch.compile
LIGHTNING = "model."  # before every name, where a LightningModule calls its network so
COUNTERS = ("n_averaged",)  # beside the weights, in torch's AveragedModel


def unwrap(content: object, path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors by name that `content` of a file holds; which were chosen among several is printed.

    Raises:
        UserError: there are none.
    """
    while isinstance(content, dict) and (held := [key for key in WRAPPERS if _is_state(content.get(key))]):
        _tell_choice(path, held)
        content = content[held[0]]
    if not isinstance(content, dict) or not _is_state(content) or not all(map(torch.is_tensor, content.values())):
        raise UserError(f"{path} holds no weights: expected tensors by name, found {_describe(content)}")
    return without_prefixes(content)


def without_prefixes(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors without what wrappers of the network have put before their names, in whatever order."""
    stripped = {_strip(name): tensor for name, tensor in state.items() if name not in COUNTERS}
    while stripped and all(name.startswith(LIGHTNING) for name in stripped):
        stripped = {_strip(name.removeprefix(LIGHTNING)): tensor for name, tensor in stripped.items()}
    return stripped


def _strip(name: str) -> str:
    while name.startswith(PREFIXES):
        for prefix in PREFIXES:
            name = name.removeprefix(prefix)
    return name


def _is_state(entry: Any) -> bool:
    return isinstance(entry, dict) and all(isinstance(name, str) for name in entry)


def _tell_choice(path: Path, held: list[str]) -> None:
    """Print which weights are taken, where a file has averaged ones or several."""
    taken, *others = held
    if is_main_process() and (taken in AVERAGED or others):
        kind = "the averaged weights (EMA)" if taken in AVERAGED else "the weights"
        beside = f", not {' or '.join(others)}" if others else ", the only ones in it"
        console.print(f"{path.name}: {kind} are taken, {taken}{beside}", highlight=False)


def _describe(content: object) -> str:
    if not isinstance(content, dict):
        return type(content).__name__
    names = ", ".join(str(name) for name in list(content)[:5])
    return f"a dict of {names}" if names else "an empty dict"
