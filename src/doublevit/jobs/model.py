"""A model as people use it: pixels to logits, with its classes; predictions for files, arrays and tensors."""

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from doublevit.device import device_of
from doublevit.errors import UserError, first_line
from doublevit.evaluators.evaluator import EvalModel
from doublevit.jobs.prediction import BATCH_SIZE, TOP, Prediction, decoded, prepared
from doublevit.jobs.read import each_image, read_batches
from doublevit.models.top_k import recorded
from doublevit.runs.conditions import CheckpointId, ModelId
from doublevit.runs.model_info import ModelInfo

HUB_FILES = ("*.json", "*.safetensors", "*.md")
"""What is downloaded of a model on the hub: never code, never pickles."""
Source = str | Path | np.ndarray | torch.Tensor | Any
"""An image: a path, an array uint8 (H, W, 3), a tensor (3, H, W) uint8 or float in [0, 1], or a PIL image."""


class Model(nn.Module):
    """Images (B, 3, H, W), uint8 or float in [0, 1], of any size -> logits (B, classes).

    `info` names the classes and says how an image is brought to the model; `checkpoint` which weights these are; `runs`
    the folders of the runs that it comes of.
    Resizing and normalization are inside, so that everything outside speaks pixels.
    """

    def __init__(
        self, network: nn.Module, info: ModelInfo, checkpoint: CheckpointId | None = None, runs: Sequence[Path] = ()
    ) -> None:
        super().__init__()
        self.network = network.eval()
        self.info = info
        self.checkpoint = checkpoint or CheckpointId(which="last", name="weights", digest=digest_of(network))
        self.runs = tuple(runs)
        self.top_k = recorded(info.model.top_k) if info.model else None

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names, in the order of the logits."""
        return self.info.class_names

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return device_of(self.network)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images)

    def train(self, mode: bool = True) -> "Model":
        """Stay in evaluation mode whatever is asked: this is a model to be used, not one to be trained."""
        return super().train(False)

    def predict(
        self, images: "Source | Iterable[Source]", top: int = TOP, batch_size: int = BATCH_SIZE
    ) -> list[Prediction]:
        """Predict the classes of one image or of many.

        Args:
            images: a path; a folder, for all images in it, however deep; an array uint8 (H, W, 3) or (N, H, W, 3); a
                PIL image; several of these; or a tensor (3, H, W) or (N, 3, H, W), uint8 or float in [0, 1], which
                goes to the model as it is, while all others are first resized and cut as `info` says.
            top: how many classes each prediction holds.
            batch_size: images at a time.

        Raises:
            UserError: an image cannot be read, or is none.

        Example:
            >>> import doublevit, numpy, torch
            >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
            >>> model = doublevit.wrap(network, mean=(0.5,) * 3, std=(0.5,) * 3, size=8, classes=["cat", "dog"])
            >>> [prediction] = model.predict(numpy.zeros((30, 20, 3), numpy.uint8))
            >>> prediction.label in model.classes
            True
        """
        for name, value in (("top", top), ("batch_size", batch_size)):
            if value < 1:
                raise UserError(f"`{name}`: expected at least 1, found {value}")
        if isinstance(images, torch.Tensor):
            _require_pixels(images)
            batches = (images if images.ndim == 4 else images[None]).split(batch_size)
            return [each for batch in batches for each in self.predict_batch(batch, [None] * len(batch), top)]
        sources = list(each_image(images))
        predictions: list[Prediction] = []
        for batch, indices in read_batches(self, sources, batch_size):
            paths = [source if isinstance(source, Path) else None for source in map(sources.__getitem__, indices)]
            predictions += self.predict_arrays(batch, paths, top)
        return predictions

    def predict_arrays(self, images: np.ndarray, paths: Sequence[Path | None], top: int = TOP) -> list[Prediction]:
        """Predict for a batch uint8 (B, side, side, 3) of images that `prepare` made."""
        return self.predict_batch(torch.from_numpy(images).permute(0, 3, 1, 2), paths, top)

    @torch.inference_mode()
    def predict_batch(self, images: torch.Tensor, paths: Sequence[Path | None], top: int = TOP) -> list[Prediction]:
        """Predict for a batch (B, 3, side, side) of images that are prepared as `info` says."""
        probabilities = self(images.to(self.device)).float().softmax(dim=1)
        best, classes = probabilities.topk(min(top, probabilities.shape[1]), dim=1)
        return [
            Prediction(
                self.classes[labels[0]],
                values[0],
                tuple(zip(map(self.classes.__getitem__, labels), values, strict=True)),
                path,
            )
            for labels, values, path in zip(classes.tolist(), best.tolist(), paths, strict=True)
        ]

    @classmethod
    def from_pretrained(cls, name: str | Path, **options: Any) -> "Model":
        """Load what `doublevit export` wrote, from a folder or a repository of the Hugging Face hub.

        `options` are those of `huggingface_hub.snapshot_download`, such as revision and token.
        """
        from doublevit.jobs.open_model import load

        return load(name if Path(name).is_dir() else _download(str(name), **options))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model and its card into a new folder, for `from_pretrained`."""
        from doublevit.jobs.export import export

        export(self, Path(folder), "doublevit")

    def push_to_hub(self, name: str, **options: Any) -> str:
        """Upload the model and its card to a repository of the Hugging Face hub, made if there is none.

        `options` are those of `huggingface_hub.create_repo`, such as private and token; returns the address.
        """
        with tempfile.TemporaryDirectory() as place:
            self.save_pretrained(Path(place) / "model")
            return _upload(Path(place) / "model", name, **options)

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Bring an image uint8 (H, W, 3) of any size to uint8 (side, side, 3)."""
        return prepared(self.info, image)

    def decode(self, data: bytes) -> np.ndarray:
        """Decode the bytes of an image file to uint8 (H, W, 3).

        Raises:
            BadImage: they are no image, or a damaged one.
        """
        return decoded(self.info, data)

    def model_id(self, precision: str = "float32") -> ModelId:
        """Return how rows of results name this model."""
        return ModelId(
            model=self.info.name,
            seed=self.info.seed,
            checkpoint=self.checkpoint,
            precision=precision,
            top_k=self.top_k,
        )

    def to_evaluate(self, dtype: torch.dtype = torch.float32, batch_size: int = 100) -> EvalModel:
        """Return the model as evaluators take it."""
        precision = str(dtype).removeprefix("torch.")
        return EvalModel(self, self.model_id(precision), dtype, batch_size)


def _require_pixels(images: torch.Tensor) -> None:
    """Raise `UserError` unless a tensor is one image or more, uint8 or float in [0, 1]."""
    if images.ndim not in (3, 4) or images.shape[-3] != 3 or not images.numel():
        raise UserError(f"expected tensors (3, H, W) or (N, 3, H, W), found {tuple(images.shape)}")
    floats = images.is_floating_point() and 0 <= images.min() <= images.max() <= 1
    if images.dtype != torch.uint8 and not floats:
        raise UserError(
            f"expected pixels uint8, or float in [0, 1], found {images.dtype} {images.min()} to {images.max()}"
        )


def digest_of(network: nn.Module) -> str:
    """Return eight hexadecimal digits that tell a network's weights from others."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:8]


def _download(name: str, **options: Any) -> Path:
    """Download an exported model, and return the folder in the hub's cache.

    Raises:
        UserError: there is no such repository, or the hub cannot be reached.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=list(HUB_FILES), **options))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(f"{name} is no folder, and cannot be fetched from the hub ({first_line(error)})") from error


def _upload(folder: Path, name: str, **options: Any) -> str:
    """Upload an exported model to a repository, made if there is none, and return its address."""
    import huggingface_hub

    address = huggingface_hub.create_repo(name, exist_ok=True, **options)
    token = {"token": options["token"]} if "token" in options else {}
    huggingface_hub.upload_folder(repo_id=address.repo_id, folder_path=folder, **token)
    return str(address)
