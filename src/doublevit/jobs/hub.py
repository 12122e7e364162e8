"""Models on the Hugging Face hub, by the conventions of its PyTorchModelHubMixin: weights, configuration, card."""

import tempfile
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from doublevit.errors import UserError, first_line
from doublevit.jobs.export import export
from doublevit.jobs.model import Model

FILES = ("*.json", "*.safetensors", "*.md")
"""What is downloaded: never code, never pickles."""


def download(name: str, **options: Any) -> Path:
    """Download an exported model, and return the folder in the hub's cache.

    Raises:
        UserError: there is no such repository, or the hub cannot be reached.
    """
    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=list(FILES), **options))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(f"{name} is no folder, and cannot be fetched from the hub ({first_line(error)})") from error


def upload(model: Model, name: str, **options: Any) -> str:
    """Upload a model to a repository, and return its address."""
    with tempfile.TemporaryDirectory() as place:
        export(model, Path(place) / "model", "doublevit")
        address = huggingface_hub.create_repo(name, exist_ok=True, **options)
        token = {"token": options["token"]} if "token" in options else {}
        huggingface_hub.upload_folder(repo_id=address.repo_id, folder_path=Path(place) / "model", **token)
    return str(address)
