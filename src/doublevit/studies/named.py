"""Named studies: groups of cells that vary one factor each around a base; the full product would be too many."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from doublevit.errors import unknown
from doublevit.recipes.named import LAST_90
from doublevit.studies.study import Protocol, Study, StudyCell

FREEZING = (
    StudyCell("freeze-none", "freezing", {"model.freeze": "none"}),
    StudyCell("freeze-all-but-90-tensors", "freezing", {"model.freeze": LAST_90}),
    StudyCell("freeze-all-but-head", "freezing", {"model.freeze": "all-but-head"}),
)


def _cross(*blocks: tuple[int, ...]) -> tuple[StudyCell, ...]:
    """Return cells without cross attention, and with it after each of these rows of blocks, by fusion and routing."""
    none = StudyCell("cross-0", "cross attention", {"model.cross.after": ()})
    layers = (_layers(after, fusion, routing) for after in blocks for fusion, routing in FUSED)
    return (none, *layers)


FUSED = (("replace", "own"), ("replace", "swapped"), ("residual", "own"), ("residual", "swapped"))


def _layers(after: tuple[int, ...], fusion: str, routing: str) -> StudyCell:
    changes = {"model.cross.after": after, "model.cross.fusion": fusion, "model.cross.routing": routing}
    return StudyCell(f"cross-{len(after)}-{fusion}-{routing}", "cross attention", changes)


def _sparse(*top_k: str) -> tuple[StudyCell, ...]:
    """Return a cell for each sparse attention to train with, evaluated with all of them."""
    group = "sparse attention"
    return tuple(StudyCell(f"top-k-{trained}", group, {"model.top_k": trained}, top_k) for trained in top_k)


def _augmentation(*policies: str) -> tuple[StudyCell, ...]:
    return tuple(StudyCell(f"augment-{policy}", "augmentation", {"augment.policy": policy}) for policy in policies)


def _study(name: str, note: str, base: str, *groups: tuple[StudyCell, ...], epochs: int | None = None) -> Study:
    """Make a study of the base alone, with which the others are compared, and of groups around it."""
    cells = (StudyCell("base", "baseline"), *(cell for group in groups for cell in group))
    return Study(name, note, base, "base", cells, {} if epochs is None else {"train.epochs": epochs})


PLAIN = {"augment.policy": "none"}
SPARSE = {"model.top_k": "16"}  # the paper does not say which k its tables are of
PAPER_PROTOCOL = Protocol(
    corruptions=("paper",),
    attacks=("pgd",),
    epsilons=("0", "0.25/255", "0.5/255", "1/255", "2/255"),  # 0 is a control
    speed=True,
)


def _rows(name: str, label: str, recipe: str, *, sparse: bool = False) -> tuple[StudyCell, ...]:
    """Return a network's rows in the paper's tables: without augmentation, with it, and with sparse attention too."""
    cells = (
        StudyCell(name, label, PLAIN, recipe=recipe, label=label),
        StudyCell(f"{name}-aug", label, recipe=recipe, label=f"{label}+Aug"),
        StudyCell(f"{name}-aug-sparse", label, SPARSE, recipe=recipe, label=f"{label}+Aug+Sparse"),
    )
    return cells if sparse else cells[:2]


def _doubles(label: str, *three: tuple[str, Mapping[str, Any]]) -> tuple[StudyCell, ...]:
    """Return the `three` DoubleViTs (recipe, changes) with no, one and two layers of cross attention, all augmented."""
    labels = {"double": label, "double-cross": f"{label}+Cross", "double-2cross": f"{label}+2Cross"}
    return tuple(
        StudyCell(name, label, changes, recipe=recipe, label=cell_label)
        for (name, cell_label), (recipe, changes) in zip(labels.items(), three, strict=True)
    )


def _named(recipe: str) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """Return the recipes of a DoubleViT with no, one and two layers of cross attention, unchanged."""
    return (recipe, {}), (f"{recipe}-cross", {}), (f"{recipe}-2cross", {})


def _small_double(*after: int) -> tuple[str, Mapping[str, Any]]:
    """Return digits-double, initialized as digits-vit is, with cross attention after these blocks."""
    branches = {"model.backbone": "vit-digits-4-xavier", "model.coarse": "vit-digits-8-xavier"}
    return "digits-double", {**branches, "model.cross.after": after}


HELD_OUT = {  # chosen on training images alone: those of TINY/train, a part of which is held out
    "data.source": "folder",
    "data.size": 64,
    "data.crop": 1.0,
    "data.val_fraction": 0.02,
    "augment.policy": "basic",
    "train.epochs": 1,
}
HEAD = {"model.head_init": "pretrained"}
SMALL = {"train.image_size": 160}
ALL_LAYERS = HEAD | {
    "model.freeze": "none",
    "train.optimizer": "adamw",
    "train.backbone_lr": 2e-4,
    "train.layer_decay": 0.75,
    "train.weight_decay": 0.05,
}
# Name, label, changes, and images of a class: fewer where a step costs more, so that times are about alike.
RECIPE_STEPS: tuple[tuple[str, str, Mapping[str, Any], int], ...] = (
    ("plain", "crop and flip, last 90 tensors, Adam, 224 pixels", {}, 40),
    ("head", "+ the checkpoint's own head", HEAD, 40),
    ("probe", "+ a linear probe", {"model.head_init": "probe"}, 30),
    ("small", "head, trained at 160 pixels", HEAD | SMALL, 88),
    ("layers", "head, all layers, AdamW, layer decay", ALL_LAYERS, 28),
    ("layers-small", "layers, trained at 160 pixels", ALL_LAYERS | SMALL, 62),
    ("smoothing", "head + label smoothing", HEAD | {"train.label_smoothing": 0.1}, 40),
    ("ema", "head + EMA", HEAD | {"train.ema": 0.999}, 40),
    ("scale", "head + random resized crop", HEAD | {"augment.scale": 0.35}, 40),
    ("mixup", "head + Mixup", HEAD | {"augment.mixup": 0.2}, 40),
    ("augmix", "head + AugMix", HEAD | {"augment.policy": "augmix"}, 40),
    ("patches", "head, a quarter of the patches left out", HEAD | {"model.patch_drop": 0.25}, 54),
)


def _recipe_cells(*steps: tuple[str, str, Mapping[str, Any], int]) -> tuple[StudyCell, ...]:
    return tuple(
        StudyCell(name, "recipe", {**changes, "data.per_class": images}, label=label)
        for name, label, changes, images in steps
    )


_POLICIES = _augmentation("basic", "augmix", "augmix-strict", "augmix-jsd")
_ALL = (
    Study(
        "paper",
        "the rows of the paper's Tables 1 and 2: accuracy on clean, corrupted and attacked images, and what it costs",
        "paper-vit",
        "vit-aug",
        (
            *_rows("vit", "ViT", "paper-vit", sparse=True),
            *_rows("pit", "PiT", "paper-pit", sparse=True),
            *_rows("inception", "InceptionResnetV2", "paper-inception"),
            *_doubles("DoubleViT", *_named("paper-double")),
        ),
        protocol=dataclasses.replace(PAPER_PROTOCOL, attack_samples=500),
        beside_paper=True,
    ),
    Study(
        "paper-ti",
        "the rows of the paper's tables on Ti/16 networks, at a tenth of the cost, with DeiT in PiT's place",
        "ti-vit",
        "vit-aug",
        (
            *_rows("vit", "ViT-Ti", "ti-vit", sparse=True),
            *_rows("deit", "DeiT-Ti", "ti-deit", sparse=True),
            *_doubles("DoubleViT-Ti", *_named("ti-double")),
        ),
        protocol=PAPER_PROTOCOL,
        beside_paper=True,
    ),
    Study(
        "digits",
        "the rows of the paper's tables on the embedded digits, with small networks from scratch, in minutes",
        "digits-vit",
        "vit-aug",
        (
            *_rows("vit", "ViT", "digits-vit", sparse=True),
            *_rows("pit", "PiT", "digits-pit"),
            *_rows("resnet", "ResNet", "digits-resnet"),
            *_doubles("DoubleViT", _small_double(), _small_double(4), _small_double(4, 6)),
        ),
        {"train.epochs": 5, "train.backbone_lr": 2e-3, "train.head_lr": 2e-3, "data.per_class": 100},
        dataclasses.replace(PAPER_PROTOCOL, severities=(1, 3, 5), epsilons=("0", "2/255", "4/255", "8/255")),
    ),
    Study(
        "recipe-ti",
        "what each part of a recipe buys at about equal time, on held-out training images: --data TINY/train",
        "ti-vit",
        "plain",
        _recipe_cells(*RECIPE_STEPS),
        HELD_OUT,
        Protocol(corruptions=("validation",), severities=(3,)),
    ),
    _study(
        "ablation",
        "the paper's DoubleViT: cross attention, sparse attention, augmentation, freezing",
        "paper-double-cross",
        _cross((9,), (9, 12)),
        _sparse("none", "8", "16", "32"),
        _POLICIES,
        FREEZING,
    ),
    _study(
        "ablation-ti",
        "the same on DoubleViT of Ti/16 and Ti/32, at a tenth of the cost",
        "ti-double-cross",
        _cross((9,), (9, 12)),
        _sparse("none", "8", "16", "32"),
        _POLICIES,
        FREEZING,
    ),
    _study(
        "ablation-digits",
        "the same on the embedded digits, in minutes, so short that it tells what learns sooner, not what ends better;"
        " nothing is frozen, as its networks start from scratch",
        "digits-double",
        _cross((4,), (4, 6)),
        _sparse("none", "4", "8", "16"),
        (
            *_augmentation("none", "crop"),
            StudyCell("augment-mixup", "augmentation", {"augment.mixup": 0.2}),
        ),
        epochs=5,
    ),
)
STUDIES: dict[str, Study] = {study.name: study for study in _ALL}


def get_study(name: str) -> Study:
    """Return the study called `name`.

    Raises:
        UserError: there is no such study; similar names are suggested.
    """
    if name not in STUDIES:
        raise unknown("study", name, STUDIES)
    return STUDIES[name]
