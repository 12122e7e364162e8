"""Named studies: unions of groups that vary one factor each around a base, since the full product would be too many."""

from doublevit.errors import unknown
from doublevit.recipes.named import LAST_90
from doublevit.recipes.study import Cell, Study

FREEZING = (
    Cell("freeze-none", "freezing", {"model.freeze": "none"}),
    Cell("freeze-all-but-90-tensors", "freezing", {"model.freeze": LAST_90}),
    Cell("freeze-all-but-head", "freezing", {"model.freeze": "all-but-head"}),
)


def _cross(*places: tuple[int, ...]) -> tuple[Cell, ...]:
    """No cross attention; and layers after each of these rows of blocks, by fusion and routing."""
    none = Cell("cross-0", "cross attention", {"model.cross.after": ()})
    layers = (_layers(after, fusion, routing) for after in places for fusion, routing in FUSED)
    return (none, *layers)


FUSED = (("replace", "own"), ("replace", "swapped"), ("residual", "own"), ("residual", "swapped"))


def _layers(after: tuple[int, ...], fusion: str, routing: str) -> Cell:
    changes = {"model.cross.after": after, "model.cross.fusion": fusion, "model.cross.routing": routing}
    return Cell(f"cross-{len(after)}-{fusion}-{routing}", "cross attention", changes)


def _sparse(*top_k: str) -> tuple[Cell, ...]:
    """Trained with each, evaluated with all."""
    return tuple(Cell(f"top-k-{trained}", "sparse attention", {"model.top_k": trained}, top_k) for trained in top_k)


def _augmentation(*policies: str) -> tuple[Cell, ...]:
    return tuple(Cell(f"augment-{policy}", "augmentation", {"augment.policy": policy}) for policy in policies)


def _study(name: str, note: str, base: str, *groups: tuple[Cell, ...], epochs: int | None = None) -> Study:
    """Of the base alone, which the others are compared with, and groups around it."""
    cells = (Cell("base", "baseline"), *(cell for group in groups for cell in group))
    return Study(name, note, base, "base", cells, {} if epochs is None else {"train.epochs": epochs})


_POLICIES = _augmentation("basic", "augmix", "augmix-strict", "augmix-jsd")
_ALL = (
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
            Cell("augment-mixup", "augmentation", {"augment.mixup": 0.2}),
        ),
        epochs=5,
    ),
)
STUDIES: dict[str, Study] = {study.name: study for study in _ALL}


def get_study(name: str) -> Study:
    """The study of that name.

    Raises:
        UserError: there is none; near names are suggested.
    """
    if name not in STUDIES:
        raise unknown("study", name, STUDIES)
    return STUDIES[name]
