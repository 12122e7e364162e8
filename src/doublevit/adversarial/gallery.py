"""The worst image found of every photo, kept in a file beside the run, and a sheet of some of them."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import torch

from doublevit.adversarial.setting import Setting
from doublevit.adversarial.standing import Standing
from doublevit.attacks.balls import distance
from doublevit.attacks.epsilons import show
from doublevit.data.sheet import captioned_sheet
from doublevit.errors import UserError
from doublevit.files import require_space, whole_file, write_text
from doublevit.processes import this_process

SHOWN = 8  # photos on the sheet
PART = 100  # photos at a time


@dataclasses.dataclass(frozen=True)
class Gallery:
    """A folder with images.npy, float32 (N, 3, H, W) in [0, 1]: of each photo the image with which it fell.

    Where it stands, the last that was tried, or the photo. Bytes would not do: rounding can undo a perturbation of half
    a level. Several processes, and evaluations that are resumed, write to the same file. index.json says what each
    image is; sheet.png shows some.
    """

    folder: Path
    setting: Setting

    @property
    def images(self) -> np.memmap:
        """The array on the disk."""
        return np.lib.format.open_memmap(self._path, mode="r+")

    @property
    def _path(self) -> Path:
        return self.folder / "images.npy"

    def open(self, *, begun: bool, anew: bool = False) -> None:
        """Fill it with the photos, unless it was `begun` before, and is not to be made `anew`.

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
        (photo,) = self.setting.samples(np.zeros(1, np.int64)).images
        try:
            whole = np.load(self._path, mmap_mode="r").shape == (len(self.setting.dataset), *photo.shape)
        except (OSError, ValueError, EOFError):
            whole = False
        if not whole:
            raise UserError(f"{self._path} is missing or damaged; add --no-resume to attack anew")

    def put(self, indices: np.ndarray, images: torch.Tensor) -> None:
        """Keep the images of some samples."""
        self.images[indices] = images.cpu().numpy()

    def finish(self, standing: Standing) -> None:
        """Write down what the images are, and draw the sheet."""
        entries = zip(standing.fell, standing.felled_by, standing.answers.labels, standing.answers.classes, strict=True)
        names = self.setting.dataset.class_ids
        index = [
            {
                "label": names[label],
                "predicted": names[classes[0]],
                "fell_at": None if np.isinf(fell) else float(fell),
                "attack": str(attack),
            }
            for fell, attack, label, classes in entries
        ]
        write_text(self.folder / "index.json", json.dumps(index, indent=1))
        with whole_file(self.folder / "sheet.png") as file:
            captioned_sheet(self._rows(standing)).save(file, format="PNG")

    def _fill(self) -> None:
        count, (photo,) = len(self.setting.dataset), self.setting.samples(np.zeros(1, np.int64)).images
        require_space(self.folder, count * photo.numel() * 4, "keeping the images of an attack")
        part = self._path.with_name("images.part")
        images = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=(count, *photo.shape))
        for indices in np.array_split(np.arange(count), -(-count // PART)):
            images[indices] = self.setting.samples(indices).images.cpu().numpy()
        images.flush()
        part.replace(self._path)

    def _rows(self, standing: Standing) -> list[list[tuple[np.ndarray, list[str]]]]:
        """Of some photos that fell: the photo, the difference, the image; of any if none fell."""
        fallen = np.flatnonzero((standing.fell > 0) & np.isfinite(standing.fell))
        shown = fallen if len(fallen) else np.arange(len(standing.fell))
        shown = shown[np.unique(np.linspace(0, len(shown) - 1, min(SHOWN, len(shown))).astype(int))]
        photos, moved = self.setting.samples(shown).images.cpu(), torch.from_numpy(self.images[shown])
        sizes = distance(moved, photos, self.setting.norm)
        return [
            [
                (_bytes(photo), [f"photo: {self._says(standing.clean.classes, standing.clean.probabilities, index)}"]),
                self._difference(photo, image, size.item()),
                (_bytes(image), [self._felled(standing, index)]),
            ]
            for index, photo, image, size in zip(shown, photos, moved, sizes, strict=True)
        ]

    def _difference(self, photo: torch.Tensor, image: torch.Tensor, size: float) -> tuple[np.ndarray, list[str]]:
        largest = (image - photo).abs().max().item()
        amplified = (image - photo) * (0.5 / largest if largest else 1) + 0.5
        times = f"difference x {0.5 / largest:,.0f}" if largest else "no difference"
        norm = self.setting.norm
        return _bytes(amplified), [f"{times} (grey: none)", f"{norm} {show(size, norm)}"]

    def _felled(self, standing: Standing, index: int) -> str:
        answer = self._says(standing.answers.classes, standing.answers.probabilities, index)
        if not standing.fell[index]:
            return f"wrong before any attack: {answer}"
        return f"{standing.felled_by[index]}: {answer}" if np.isfinite(standing.fell[index]) else "it stands"

    def _says(self, classes: np.ndarray, probabilities: np.ndarray, index: int) -> str:
        name = self.setting.dataset.class_names[classes[index, 0]].partition(",")[0]
        return f"{name}, {probabilities[index, 0]:.0%}"


def _bytes(image: torch.Tensor) -> np.ndarray:
    """uint8 (H, W, 3) of a float image (3, H, W) in [0, 1]."""
    return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
