"""Named recipes.

The paper is *Cross Vision Transformers and Sparse Attention for the Tiny ImageNet Challenge*; where its text and its
released code differ, the text is followed.
"""

import dataclasses
import re
from collections.abc import Sequence

from doublevit.augment import AugmentConfig
from doublevit.data.config import DataConfig
from doublevit.errors import unknown
from doublevit.models.config import BACKBONES, CrossConfig, ModelConfig
from doublevit.recipes.recipe import Recipe
from doublevit.training.config import TrainConfig

DIGITS = DataConfig(source="digits")
TINY = DataConfig(source="tiny-imagenet")
PAPER_AUGMENT = AugmentConfig("augmix", place="input")
TI_AUGMENT = AugmentConfig("augmix")  # at 64 pixels, where it costs a tenth
PAPER_TRAIN = TrainConfig(schedule="cosine-per-epoch")
TI_TRAIN = TrainConfig(epochs=3)
DIGITS_TRAIN = TrainConfig(
    epochs=25,
    optimizer="adamw",
    backbone_lr=1e-3,
    weight_decay=0.05,
    warmup_epochs=1,
    precision="float32",  # layers this small are slower in bfloat16
)
LAST_90 = "all-but-90-tensors"


def _digits(name: str, note: str, model: ModelConfig) -> Recipe:
    model = dataclasses.replace(model, weights="none")
    return Recipe(name, note, data=DIGITS, augment=AugmentConfig("crop"), model=model, train=DIGITS_TRAIN)


def _paper(name: str, note: str, model: ModelConfig) -> Recipe:
    return _tuned(name, note, model, PAPER_AUGMENT, PAPER_TRAIN)


def _ti(name: str, note: str, model: ModelConfig) -> Recipe:
    return _tuned(name, note, model, TI_AUGMENT, TI_TRAIN)


def _tuned(name: str, note: str, model: ModelConfig, augment: AugmentConfig, train: TrainConfig) -> Recipe:
    model = dataclasses.replace(model, freeze=LAST_90)
    return Recipe(name, note, data=TINY, augment=augment, model=model, train=train)


def _as_built(name: str, note: str, backbone: str) -> Recipe:
    model = ModelConfig(backbone, head_init="pretrained", freeze="all-but-head")
    return Recipe(name, note, data=TINY, model=model, train=TrainConfig(epochs=0))


def _double(*after: int) -> ModelConfig:
    return ModelConfig("vit-b16", coarse="vit-b32", head="paper-double", cross=CrossConfig(after))


def _double_of(backbone: str, coarse: str, *after: int) -> ModelConfig:
    # Residual fusion and a linear head: a short fine-tuning starts from what the checkpoints know.
    return ModelConfig(backbone, coarse=coarse, head="linear", cross=CrossConfig(after, fusion="residual"))


_ALL = (
    _digits(
        "digits-double",
        "a small DoubleViT with cross attention, from scratch on the embedded digits: the demo",
        ModelConfig("vit-digits-4", coarse="vit-digits-8", cross=CrossConfig((4,))),
    ),
    _digits("digits-vit", "a small ViT on the digits", ModelConfig("vit-digits-4-xavier")),
    _digits("digits-pit", "a small PiT on the digits", ModelConfig("pit-digits")),
    _digits("digits-resnet", "a small ResNet on the digits", ModelConfig("resnet-digits", image_size=32)),
    _paper("paper-vit", "ViT-B/16 (paper, Table 2: 79.1 %)", ModelConfig("vit-b16", head="paper-single")),
    _paper("paper-pit", "PiT-B distilled (paper: 85.3 %)", ModelConfig("pit-b", head="paper-single")),
    _paper(
        "paper-inception",
        "InceptionResNetV2 at 224 pixels (paper: 67.9 %)",
        ModelConfig("inception-resnet-v2", head="paper-single", image_size=224),
    ),
    _paper(
        "paper-resnet",
        "ResNet-50, which the paper speaks of without a figure",
        ModelConfig("resnet50", head="paper-single"),
    ),
    _paper("paper-vit-large", "ViT-L/16 (paper, section 4.1: 79.9 %)", ModelConfig("vit-l16", head="paper-single")),
    _paper("paper-double", "DoubleViT, no cross attention (paper: 81.1 %)", _double()),
    _paper("paper-double-cross", "DoubleViT, cross attention after block 9 (paper: 81.2 %)", _double(9)),
    _paper("paper-double-2cross", "DoubleViT, cross attention after blocks 9 and 12 (paper: 80.7 %)", _double(9, 12)),
    _ti("ti-vit", "ViT-Ti/16: paper-vit at a tenth of the cost", ModelConfig("vit-ti16")),
    _ti("ti-deit", "DeiT-Ti/16", ModelConfig("deit-ti16")),
    _ti("ti-pit", "PiT-Ti distilled: paper-pit at a tenth of the cost", ModelConfig("pit-ti")),
    _ti("ti-double", "DoubleViT of Ti/16 and Ti/32 from one checkpoint", _double_of("vit-ti16", "vit-ti16@32")),
    _ti(
        "ti-double-cross",
        "the same with residual cross attention after block 9",
        _double_of("vit-ti16", "vit-ti16@32", 9),
    ),
    _ti(
        "ti-double-2cross",
        "the same with residual cross attention after blocks 9 and 12",
        _double_of("vit-ti16", "vit-ti16@32", 9, 12),
    ),
    _ti(
        "ti-double-deit",
        "DoubleViT of two pretrainings, ViT-Ti/16 and DeiT-Ti/16",
        _double_of("vit-ti16", "deit-ti16"),
    ),
    _ti(
        "ti-double-deit-cross",
        "the same with residual cross attention after block 9",
        _double_of("vit-ti16", "deit-ti16", 9),
    ),
    _ti("double-deit", "DoubleViT of two pretrainings, ViT-B/16 and DeiT-B/16", _double_of("vit-b16", "deit-b16")),
    _ti(
        "double-deit-cross",
        "the same with residual cross attention after block 9",
        _double_of("vit-b16", "deit-b16", 9),
    ),
    _as_built("pretrained-vit-b", "ViT-B/16 with ImageNet's own head, no training", "vit-b16"),
    _as_built("pretrained-vit-ti", "ViT-Ti/16 with ImageNet's own head, no training", "vit-ti16"),
    _as_built("pretrained-deit-ti", "DeiT-Ti/16 with ImageNet's own head, no training", "deit-ti16"),
)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}


def get_recipe(name: str) -> Recipe:
    """Return the recipe called `name`, or for the name of a network the recipe that fine-tunes it.

    Raises:
        UserError: there is no such recipe or network; similar names are suggested.
    """
    return RECIPES[name] if name in RECIPES else fine_tuning(name, [*RECIPES])


def fine_tuning(backbone: str, others: Sequence[str] = ()) -> Recipe:
    """Return a recipe for any network of timm on a folder of images: all layers, with crop and flip, for three epochs.

    Raises:
        UserError: there is no such network; similar names, also among the `others`, are suggested.
    """
    base = backbone.partition("@")[0]
    if base not in BACKBONES:
        import timm  # slow, and rarely needed: most names are in BACKBONES

        if not timm.is_model(base):
            kind = "recipe or network" if others else "network"
            raise unknown(kind, backbone, [*others, *BACKBONES, *timm.list_models(), *timm.list_pretrained()])
    return Recipe(
        re.sub(r"[^\w.+-]", "-", backbone),
        f"{backbone}, all layers fine-tuned with crop and flip",
        data=DataConfig(source="folder"),
        augment=AugmentConfig("basic"),
        model=ModelConfig(backbone),
        train=TrainConfig(epochs=3, optimizer="adamw", weight_decay=0.05),
    )
