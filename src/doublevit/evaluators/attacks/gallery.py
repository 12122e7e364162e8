"""The gallery of attacked images: the worst image of every sample in a file, and a contact sheet of some."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import torch

from doublevit.attacks.balls import distance
from doublevit.attacks.epsilons import format_epsilon
from doublevit.data.sheet import captioned_sheet, first_name
from doublevit.device import this_process
from doublevit.errors import UserError
from doublevit.evaluators.attacks.runner import Target
from doublevit.evaluators.attacks.state import AttackState
from doublevit.files import require_space, whole_file, write_text
from doublevit.runs.predictions import Predictions

SHEET_SAMPLES = 8
BATCH_SIZE = 100  # clean images that are prepared at a time


@dataclasses.dataclass(frozen=True)
class AttackGallery:
    """A gallery is a folder with images.npy, float32 (N, 3, H, W) in [0, 1]: the image that broke each sample.

    For a robust sample it is the last that was tried, or the clean image. uint8 would not do: rounding can undo a
    perturbation of half a level. Several processes, and resumed evaluations, write to the same file. index.json
    describes each image; sheet.png shows some.
    """

    folder: Path
    target: Target

    @property
    def images(self) -> np.memmap:
        """The array of images, mapped from the disk for reading."""
        return np.lib.format.open_memmap(self._path, mode="r")

    @property
    def _path(self) -> Path:
        return self.folder / "images.npy"

    def open(self, *, resumed: bool) -> None:
        """Write the clean images, unless the attacks are `resumed`: then the images of the batches before are there.

        Raises:
            UserError: the attacks are resumed, but the images are missing or damaged.
        """
        state = this_process()
        if resumed:
            self._require_images()
        elif state.is_main_process:
            self.folder.mkdir(exist_ok=True)
            self._write_clean_images()
        state.wait_for_everyone()

    def _require_images(self) -> None:
        (image,) = self.target.samples(np.zeros(1, np.int64)).images
        try:
            valid = np.load(self._path, mmap_mode="r").shape == (len(self.target.dataset), *image.shape)
        except (OSError, ValueError, EOFError):
            valid = False
        if not valid:
            raise UserError(f"{self._path} is missing or damaged; add `resume=False` to attack anew")

    def save(self, indices: np.ndarray, images: torch.Tensor) -> None:
        """Save the images (n, 3, H, W) of the samples at `indices` (n,)."""
        start, size = self.images.offset, images[0].numel() * 4 if len(images) else 0
        # Not through the mapped pages: machines that share the file would write whole ones, with what is another's.
        with self._path.open("r+b") as file:
            for index, image in zip(indices, images.float().cpu().numpy(), strict=True):
                file.seek(start + int(index) * size)
                file.write(image.tobytes())
            file.flush()
            os.fsync(file.fileno())

    def finish(self, state: AttackState) -> None:
        """Write index.json and sheet.png."""
        entries = zip(state.min_epsilon, state.broken_by, state.worst.labels, state.worst.classes, strict=True)
        names = self.target.dataset.class_ids
        index = [
            {
                "label": names[label],
                "predicted": names[classes[0]],
                "min_epsilon": None if np.isinf(min_epsilon) else float(min_epsilon),
                "attack": str(attack),
            }
            for min_epsilon, attack, label, classes in entries
        ]
        write_text(self.folder / "index.json", json.dumps(index, indent=1))
        with whole_file(self.folder / "sheet.png") as file:
            captioned_sheet(self._sheet_rows(state)).save(file, format="PNG")

    def _write_clean_images(self) -> None:
        count, (image,) = len(self.target.dataset), self.target.samples(np.zeros(1, np.int64)).images
        require_space(self.folder, count * image.numel() * 4, "saving the images of an attack")
        part = self._path.with_name("images.part")  # renamed when it is complete: a kill leaves no half of a file
        images = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=(count, *image.shape))
        for indices in np.array_split(np.arange(count), -(-count // BATCH_SIZE)):
            images[indices] = self.target.samples(indices).images.cpu().numpy()
        images.flush()
        part.replace(self._path)

    def _sheet_rows(self, state: AttackState) -> list[list[tuple[np.ndarray, list[str]]]]:
        """Return a row for each of some broken samples, or of any if none was: clean image, difference, worst image."""
        broken = np.flatnonzero((state.min_epsilon > 0) & np.isfinite(state.min_epsilon))
        indices = broken if len(broken) else np.arange(len(state.min_epsilon))
        spread = np.linspace(0, len(indices) - 1, min(SHEET_SAMPLES, len(indices)))
        indices = indices[np.unique(spread.astype(int))]
        clean, attacked = self.target.samples(indices).images.cpu(), torch.from_numpy(self.images[indices])
        distances = distance(attacked, clean, self.target.norm)
        return [
            [
                (to_uint8(image), [f"image: {self._describe(state.clean, index)}"]),
                self._difference(image, worst, size.item()),
                (to_uint8(worst), [self._describe_outcome(state, index)]),
            ]
            for index, image, worst, size in zip(indices, clean, attacked, distances, strict=True)
        ]

    def _difference(self, image: torch.Tensor, attacked: torch.Tensor, size: float) -> tuple[np.ndarray, list[str]]:
        norm, (pixels, caption) = self.target.norm, amplified_difference(image, attacked)
        return pixels, [f"{caption} (gray: none)", f"{norm} {format_epsilon(size, norm)}"]

    def _describe_outcome(self, state: AttackState, index: int) -> str:
        prediction = self._describe(state.worst, index)
        if not state.min_epsilon[index]:
            return f"wrong before any attack: {prediction}"
        return f"{state.broken_by[index]}: {prediction}" if np.isfinite(state.min_epsilon[index]) else "robust"

    def _describe(self, predictions: Predictions, index: int) -> str:
        name = self.target.dataset.class_names[predictions.classes[index, 0]]
        return f"{first_name(name)}, {predictions.probabilities[index, 0]:.0%}"


def amplified_difference(image: torch.Tensor, attacked: torch.Tensor) -> tuple[np.ndarray, str]:
    """Return the difference of two float images (3, H, W) amplified as far as it goes, uint8 (H, W, 3), and a caption.

    Gray is no difference.
    """
    largest = (attacked - image).abs().max().item()
    amplified = (attacked - image) * (0.5 / largest if largest else 1) + 0.5
    return to_uint8(amplified), f"difference x {0.5 / largest:,.0f}" if largest else "no difference"


def to_uint8(image: torch.Tensor) -> np.ndarray:
    """Convert a float image (3, H, W) in [0, 1] to uint8 (H, W, 3)."""
    return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
