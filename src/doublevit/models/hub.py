"""Pretrained weights from the Hugging Face hub, where timm keeps them; what is in its cache needs no network."""

import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import huggingface_hub
from huggingface_hub.constants import ENDPOINT

from doublevit.errors import UserError

FILE_NAME = "model.safetensors"
WAIT = 5.0  # seconds; the hub's own client would try for most of a minute before it gave up


def hub_file(name: str, config: Any) -> Path:
    """The weight file of a timm pretrained configuration, downloaded if it never was.

    Raises:
        UserError: timm has no weights for it, or they are not here and the hub cannot be reached.
    """
    if not config.hf_hub_id:
        raise UserError(f"timm has no weights for {name}; pass --model.weights FILE, or none to train from scratch")
    cached = huggingface_hub.try_to_load_from_cache(config.hf_hub_id, FILE_NAME)
    if isinstance(cached, str):
        return Path(cached)
    try:
        _knock()
        return Path(huggingface_hub.hf_hub_download(config.hf_hub_id, FILE_NAME))
    except Exception as error:  # the client, the server and the sockets below raise a dozen unrelated kinds
        raise UserError(
            f"cannot fetch the weights of {name} ({type(error).__name__}); three ways out: go online once (they"
            " stay in the cache), pass --model.weights FILE (.safetensors or .pth),"
            " or --model.weights none to train from scratch"
        ) from error


def _knock() -> None:
    """Raise OSError at once where there is no way to the hub; behind a proxy only the client can tell."""
    if any(key.lower() in ("https_proxy", "all_proxy") for key in os.environ):
        return
    address = urlsplit(ENDPOINT)
    socket.create_connection((address.hostname or "", address.port or 443), timeout=WAIT).close()
