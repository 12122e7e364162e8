"""Options of the jobs, which need no torch to be read."""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Literal

import tyro

from doublevit.attacks.catalogue import TRANSFERABLE
from doublevit.attacks.config import AttackConfig
from doublevit.corrupted_sets.config import RobustnessConfig
from doublevit.data.dataset import Dataset
from doublevit.errors import UserError
from doublevit.evaluators.adaptation.config import AdaptConfig
from doublevit.models.top_k import AS_TRAINED, TopK


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceOptions:
    """Options that say where to compute."""

    device: str = "auto"
    """auto (a GPU where there is one), cpu, cuda, cuda:1, mps ..."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalOptions(DeviceOptions):
    """Options of an evaluation: which weights, on which images, and how."""

    checkpoint: Literal["last", "best"] = "last"
    """last or best weights; best were chosen on the same images, so their accuracy is a little too good."""
    batch_size: int = 100
    """Images in a batch; changes nothing but speed and memory."""
    precision: Literal["auto", "float32", "bfloat16"] | None = None
    """Precision of matrix products; if not given, as in training."""
    top_k: str = AS_TRAINED
    """Sparse attention: none, K, a fraction (10%), or one per stage of a PiT or branch of a DoubleViT (32,16,8)."""
    first: int | None = None
    """Only the first so many validation images."""
    samples: int | None = None
    """Only so many, drawn by `seed` in proportion to the classes; intervals are those of so few images."""
    seed: int = 0
    """Seed of which images `samples` draws, of the batches of an adaptation, and of every draw of an attack."""
    resume: bool = True
    """Go on with attacks that were stopped or killed: finished images are not attacked again."""
    strict: bool = False
    """End with an error if a check of the attacks finds something."""
    attack: AttackConfig = AttackConfig()
    moved_data: tyro.conf.Suppress[Path | None] = None
    """Where a run's own images lie now, if elsewhere."""

    def __post_init__(self) -> None:
        if self.top_k != AS_TRAINED:
            TopK.parse(self.top_k, "top_k")
        if self.batch_size < 1:
            raise UserError(f"`batch_size`: expected at least 1, found {self.batch_size}")
        if self.first is not None and self.samples is not None:
            raise UserError("`first` and `samples`: expected one of them")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"`seed`: expected 0 or more, and below 2**32, found {self.seed}")

    def subset(self, dataset: Dataset) -> Dataset:
        """Return the images that are asked for."""
        if self.samples is not None:
            return dataset.stratified(self.samples, self.seed)
        return dataset if self.first is None else dataset.first(self.first)


@dataclasses.dataclass(frozen=True)
class Evaluate(EvalOptions):
    """Measure a run's accuracy on its validation images, clean, corrupted or attacked, and add it to its results."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    robustness: Annotated[RobustnessConfig, tyro.conf.arg(name="")] = RobustnessConfig()
    adapt: AdaptConfig = AdaptConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strict and not self.attack.names:
            raise UserError("`strict` is about the checks of attacks: expected `attack.names`, to say which attacks")
        if self.adapt.method != "none" and self.attack.names:
            raise UserError(
                "`adapt.method` and `attack.names`: expected one of them, as attacks need a network that stays the same"
            )
        stored = self.robustness.corrupted_set or self.robustness.download_corrupted_set
        if self.samples is not None and stored:
            raise UserError("`samples` draws images of the clean set; a corrupted set has its own: use `first` with it")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateModel(Evaluate):
    """Measure accuracy of a model: clean, corrupted or attacked, with 95 % intervals.

    MODEL is a run (rows are added to its results), timm:NAME, hf:REPO_OR_FOLDER, an exported folder or .onnx, a file of
    weights with `model`, or several joined by + (the mean of their probabilities). Other models than runs, and runs on
    other images than their own, get a run folder of their own, which `doublevit report` compares with others.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """The model."""
    data: tuple[str, ...] = ()
    """Sets of images to measure on: class folders, labels.csv, hf:USER/SET, parquet, shards (wds:), Tiny ImageNet,
    digits; if not given, the run's own."""
    clean: str | None = None
    """Clean images: those of each set's classes are measured too."""
    split: str = ""
    """The part of `data`, or of the run's own data set, such as test; if not given, its val, else its test, or all."""
    label_column: str = ""
    """Column of `data` that holds the labels; if not given, as the run's own or a usual one."""
    model: str | None = None
    """The timm network that a file of weights belongs to."""
    weights: str = "hub"
    """For timm:NAME: hub (downloaded by timm), none, a file, or a folder of files that bear timm's names."""
    name: str | None = None
    """Name of the run's folder for a model that is no run; if not given, the model's and the images'."""
    runs: Annotated[Path, tyro.conf.arg(aliases=("--output",))] = Path("runs")
    """Folder that holds it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clean and not self.data:
            raise UserError("`clean` stands beside other images: expected `data`, such as imagenet-a")
        if self.name and len(self.data) > 1:
            raise UserError(f"`name` is that of one folder, and {len(self.data)} sets have one each: leave it out")


@dataclasses.dataclass(frozen=True)
class TransferOptions(EvalOptions):
    """Measure each run's accuracy on images that were made to fool each other run: black-box attacks, as a matrix."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of two or more runs on the same images."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len({path.resolve().name for path in self.runs}) != len(self.runs) or len(self.runs) < 2:
            paths = " ".join(map(str, self.runs)) or "none"
            raise UserError(f"expected two or more runs with different names of their folders, found {paths}")
        if not self.attack.names:
            raise UserError("expected `attack.names`, to say which attack; for example `attack.names=pgd`")
        for name in self.attack.names:
            if name not in TRANSFERABLE:
                raise UserError(
                    f"`attack.names` {name}: to transfer, an attack must see gradients and go as far as the ball"
                    f" allows, as these do: {', '.join(TRANSFERABLE)}"
                )
        for name in ("space", "independent", "restarts", "save_images"):
            if getattr(self.attack, name) != getattr(AttackConfig, name):
                raise UserError(f"`attack.{name}` is for evaluation: in a transfer every image is attacked once")


@dataclasses.dataclass(frozen=True)
class AttentionOptions(DeviceOptions):
    """Draw what a run's network attends to: a row for each image, with maps of attention and rollout laid over it.

    Of a ViT or DeiT: the class token's attention in the last layer, and rollout through all layers; of a PiT: the last
    layer of each stage; of a DoubleViT: both branches, cross attention, and rollout through it.
    """

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    images: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Image files, of which the center square is looked at; if none is given, four of the run's validation images."""
    output: Path | None = None
    """The PNG to write; if not given, attention.png in the run's folder, where `doublevit report` finds it."""
    checkpoint: Literal["last", "best"] = "last"
    """Which weights: last or best."""
    top_k: str = AS_TRAINED
    """Sparse attention: none, K, a fraction (10%), or one per stage of a PiT or branch of a DoubleViT (32,16,8)."""

    def __post_init__(self) -> None:
        if self.top_k != AS_TRAINED:
            TopK.parse(self.top_k, "top_k")
        if self.output_path.resolve() in {path.resolve() for path in self.images}:
            raise UserError(f"`output` {self.output} is one of the images; choose another name")
        if self.output_path.suffix.lower() != ".png" or (
            self.output and not self.output_path.absolute().parent.is_dir()
        ):
            raise UserError(f"`output` {self.output}: expected a name that ends in .png, in a folder that is there")

    @property
    def output_path(self) -> Path:
        """The path of the PNG."""
        return self.output or self.run / "attention.png"


@dataclasses.dataclass(frozen=True)
class SpeedOptions(DeviceOptions):
    """Measure what a run's network costs on this machine: images a second, memory, parameters, multiplications.

    Images a second and memory are those of inference and of whole training steps (forward, backward, optimizer; no
    augmentation), the latter only if the recipe trains something. Images are random, of the size of the run's own, or,
    where those are not on this machine, of what the network sees. Memory is the most that tensors hold at a time; MACs
    are the multiplications for one image with dense attention. The numbers are added to the run's results. Let nothing
    else run meanwhile, and compare numbers of one machine only.
    """

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    batch_size: int = 32
    """Images in a batch."""
    seconds: float = 3.0
    """About how long to time inference, and as long again training; at least five batches of each are timed."""
    precision: Literal["auto", "float32", "bfloat16"] | None = None
    """Precision of matrix products; if not given, as in training."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UserError(f"`batch_size`: expected at least 1, found {self.batch_size}")
        if not 0 < self.seconds < math.inf:
            raise UserError(f"`seconds`: expected more than 0, found {self.seconds:g}")
