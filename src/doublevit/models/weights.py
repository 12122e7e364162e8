"""Pretrained weights: found or downloaded, read without running code from them, and checked against the network.

Those of timm's networks come from the Hugging Face hub; files in its cache need no connection.
"""

import argparse
import os
import pickle
import socket
import sys
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import huggingface_hub
import safetensors.torch
import torch
from huggingface_hub.constants import ENDPOINT
from torch import nn

from doublevit.errors import UserError, first_line
from doublevit.models.unwrap import unwrap, without_prefixes

State = dict[str, torch.Tensor]
SUFFIXES = (".safetensors", ".pth")
FILE_NAME = "model.safetensors"
CONNECT_TIMEOUT = 5.0  # seconds; the hub's client would try for most of a minute before giving up


def read_state(path: Path) -> State:
    """Read the tensors of a .safetensors file or of a PyTorch file that holds nothing else.

    Prefixes of wrappers (`module.`, `_orig_mod.`) are removed. Where a file holds averaged weights too, these are taken
    and a line says so.

    Raises:
        UserError: the file is missing, damaged, or would run code when loaded.
    """
    if not path.is_file():
        raise UserError(f"no weights at {path}: expected a .safetensors or .pth file, or hub, or none")
    try:
        if path.suffix.lower() == ".safetensors":
            return without_prefixes(safetensors.torch.load_file(path))
        # timm keeps its command line beside the weights, as an argparse.Namespace: data, not code. Warnings are
        # about old pickles, which are checked below.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is refused: it holds more than tensors, and loading it could run code;"
            " save the state_dict alone, best as .safetensors"
        ) from error
    except Exception as error:  # on damaged files the readers raise nearly anything
        raise UserError(
            f"{path} is no readable weight file ({type(error).__name__}: {first_line(error)});"
            " expected a .safetensors or .pth file; fetch or save it again"
        ) from error
    return unwrap(content, path)


def weight_file(path: Path, timm_name: str) -> Path:
    """Return `path` itself, or, if it is a folder, the file in it that has the network's timm name.

    Raises:
        UserError: the folder has no such file.
    """
    if not path.is_dir():
        return path
    files = [path / f"{timm_name}{suffix}" for suffix in SUFFIXES]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise UserError(f"no weights at {path / timm_name}.safetensors (nor .pth): expected such a file in that folder")
    return file


def fit_state(network: nn.Module, state: State, path: Path, spare: Collection[str] = ()) -> None:
    """Load `state` into a timm `network`, with timm's own renaming and resampling of patch and position embeddings.

    Tensors named in `spare` are ignored: those of a classifier that was removed.

    Raises:
        UserError: tensors are missing, unexpected, or of another shape.
    """
    adapt = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    try:
        state = adapt(state, network) if adapt else state
    except Exception as error:  # timm's renaming assumes the expected shapes
        raise UserError(f"{path} does not fit the network ({first_line(error)})") from error
    wanted = network.state_dict()
    problems = [*_missing(wanted, state), *_left_over(wanted, state, spare), *_misshapen(wanted, state)]
    if problems:
        raise UserError(f"{path} does not fit the network: {'; '.join(problems)}; is it another model's file?")
    network.load_state_dict({name: state[name] for name in wanted})


def mean_state(states: Sequence[State], weights: Sequence[float]) -> State:
    """Return the weighted mean of each tensor, computed in float64; what is no float is the last state's.

    A state of weight 1 comes back bit for bit. `weights` sum to 1.
    """

    def mean(name: str) -> torch.Tensor:
        tensors = [state[name] for state in states]
        if not tensors[0].is_floating_point():
            return tensors[-1]
        products = [weight * tensor.double() for weight, tensor in zip(weights, tensors, strict=True) if weight]
        return torch.stack(products).sum(dim=0).to(tensors[0].dtype)

    return {name: mean(name) for name in states[-1]}


def _missing(wanted: State, state: State) -> list[str]:
    missing = sorted(wanted.keys() - state.keys())
    return [f"{len(missing)} of {len(wanted)} tensors are missing, {missing[0]} first"] if missing else []


def _left_over(wanted: State, state: State, spare: Collection[str]) -> list[str]:
    extra = sorted(state.keys() - wanted.keys() - set(spare))
    return [f"it has {len(extra)} more, {extra[0]} first"] if extra else []


def _misshapen(wanted: State, state: State) -> list[str]:
    for name in wanted.keys() & state.keys():
        if state[name].shape != wanted[name].shape:
            return [f"{name} is {tuple(state[name].shape)}, expected {tuple(wanted[name].shape)}"]
    return []


def hub_file(name: str, config: Any) -> Path:
    """Return the weight file of a timm pretrained configuration, downloaded unless it is in the cache.

    Raises:
        UserError: timm has no weights for it, or they are not cached and the hub cannot be reached.
    """
    if not config.hf_hub_id:
        raise UserError(
            f"timm has no weights for {name}; pass a file as `model.weights`, or `model.weights=none` to train from"
            " scratch"
        )
    cached = huggingface_hub.try_to_load_from_cache(config.hf_hub_id, FILE_NAME)
    if isinstance(cached, str):
        return Path(cached)
    try:
        _require_connection()
        return Path(huggingface_hub.hf_hub_download(config.hf_hub_id, FILE_NAME))
    except Exception as error:  # client, server and sockets raise a dozen unrelated types
        raise UserError(
            f"cannot fetch the weights of {name} ({type(error).__name__}); three ways out: go online once (they"
            " stay in the cache), pass a file (.safetensors or .pth) as `weights`,"
            " or, to train from scratch, `weights=none`"
        ) from error


def _require_connection() -> None:
    """Raise OSError at once if the hub cannot be reached; behind a proxy only its client can tell."""
    if any(key.lower() in ("https_proxy", "all_proxy") for key in os.environ):
        return
    address = urlsplit(ENDPOINT)
    socket.create_connection((address.hostname or "", address.port or 443), timeout=CONNECT_TIMEOUT).close()
