"""The worst image found for every sample, saved in a file beside the run, and a sheet of some of them."""

import dataclasses
import json
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

SHOWN = 8  # samples on the sheet
PART = 100  # samples at a time


@dataclasses.dataclass(frozen=True)
class AttackGallery:
    """A folder with images.npy, float32 (N, 3, H, W) in [0, 1]: for each sample the image that broke it.

    Where it is robust, the last that was tried, or the clean image. Bytes would not do: rounding can undo a
    perturbation of half a level. Several processes, and evaluations that are resumed, write to the same file.
    index.json says what each image is; sheet.png shows some.
    """

    folder: Path
    target: Target

    @property
    def images(self) -> np.memmap:
        """The array on the disk."""
        return np.lib.format.open_memmap(self._path, mode="r+")

    @property
    def _path(self) -> Path:
        return self.folder / "images.npy"

    def open(self, *, begun: bool, anew: bool = False) -> None:
        """Fill it with the clean images, unless it was `begun` before, and is not to be made `anew`.

        Raises:
            UserError: it was begun, and is not there or damaged.
        """
        state = this_process()
        if begun and not anew:
            self._require_whole()
        elif state.is_main_process:
            self.folder.mkdir(exist_ok=True)
            self._fill()
        state.wait_for_everyone()

    def _require_whole(self) -> None:
        (image,) = self.target.samples(np.zeros(1, np.int64)).images
        try:
            whole = np.load(self._path, mmap_mode="r").shape == (len(self.target.dataset), *image.shape)
        except (OSError, ValueError, EOFError):
            whole = False
        if not whole:
            raise UserError(f"{self._path} is missing or damaged; add `resume=False` to attack anew")

    def put(self, indices: np.ndarray, images: torch.Tensor) -> None:
        """Save the images of some samples."""
        self.images[indices] = images.cpu().numpy()

    def finish(self, state: AttackState) -> None:
        """Write down what the images are, and draw the sheet."""
        entries = zip(state.min_epsilon, state.broken_by, state.answers.labels, state.answers.classes, strict=True)
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
            captioned_sheet(self._rows(state)).save(file, format="PNG")

    def _fill(self) -> None:
        count, (image,) = len(self.target.dataset), self.target.samples(np.zeros(1, np.int64)).images
        require_space(self.folder, count * image.numel() * 4, "saving the images of an attack")
        part = self._path.with_name("images.part")
        images = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=(count, *image.shape))
        for indices in np.array_split(np.arange(count), -(-count // PART)):
            images[indices] = self.target.samples(indices).images.cpu().numpy()
        images.flush()
        part.replace(self._path)

    def _rows(self, state: AttackState) -> list[list[tuple[np.ndarray, list[str]]]]:
        """Some samples that were broken, or any if none was: clean image, difference, image."""
        broken = np.flatnonzero((state.min_epsilon > 0) & np.isfinite(state.min_epsilon))
        shown = broken if len(broken) else np.arange(len(state.min_epsilon))
        shown = shown[np.unique(np.linspace(0, len(shown) - 1, min(SHOWN, len(shown))).astype(int))]
        clean, moved = self.target.samples(shown).images.cpu(), torch.from_numpy(self.images[shown])
        sizes = distance(moved, clean, self.target.norm)
        return [
            [
                (_bytes(image), [f"image: {self._says(state.clean.classes, state.clean.probabilities, index)}"]),
                self._difference(image, attacked, size.item()),
                (_bytes(attacked), [self._outcome(state, index)]),
            ]
            for index, image, attacked, size in zip(shown, clean, moved, sizes, strict=True)
        ]

    def _difference(self, image: torch.Tensor, attacked: torch.Tensor, size: float) -> tuple[np.ndarray, list[str]]:
        largest = (attacked - image).abs().max().item()
        amplified = (attacked - image) * (0.5 / largest if largest else 1) + 0.5
        times = f"difference x {0.5 / largest:,.0f}" if largest else "no difference"
        norm = self.target.norm
        return _bytes(amplified), [f"{times} (gray: none)", f"{norm} {format_epsilon(size, norm)}"]

    def _outcome(self, state: AttackState, index: int) -> str:
        answer = self._says(state.answers.classes, state.answers.probabilities, index)
        if not state.min_epsilon[index]:
            return f"wrong before any attack: {answer}"
        return f"{state.broken_by[index]}: {answer}" if np.isfinite(state.min_epsilon[index]) else "robust"

    def _says(self, classes: np.ndarray, probabilities: np.ndarray, index: int) -> str:
        name = self.target.dataset.class_names[classes[index, 0]]
        return f"{first_name(name)}, {probabilities[index, 0]:.0%}"


def _bytes(image: torch.Tensor) -> np.ndarray:
    """uint8 (H, W, 3) of a float image (3, H, W) in [0, 1]."""
    return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
