"""A ViT or DeiT of timm as an image classifier of Hugging Face's transformers."""

import math
import re
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from timm.models.vision_transformer import VisionTransformer

from doublevit.errors import UserError
from doublevit.models.backbones import is_distilled
from doublevit.models.preprocess import Resize
from doublevit.models.weights import State
from doublevit.runs.model_info import ModelInfo

PLACES = {
    r"^cls_token$": "vit.embeddings.cls_token",
    r"^pos_embed$": "vit.embeddings.position_embeddings",
    r"^patch_embed\.proj\.": "vit.embeddings.patch_embeddings.projection.",
    r"^norm\.": "vit.layernorm.",
    r"^head\.": "classifier.",
}
BLOCK = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
TOLERANCE = 1e-4  # of logits, relative to the largest
QUERY_KEY_VALUE = ("attention.attention.query", "attention.attention.key", "attention.attention.value")


def to_hugging_face(info: ModelInfo, resize: Resize, network: Any, state: State, folder: Path) -> None:
    """Write a timm ViT, with `state` under timm's names, as ViTForImageClassification and its image processor.

    Raises:
        UserError: transformers is not installed, or the network is no plain ViT.
    """
    try:
        import transformers
    except ImportError as error:
        raise UserError("`format` hf wants the package transformers: pip install transformers") from error
    _require_plain(network)
    names = (
        dict(enumerate(info.class_names))
        if len(set(info.class_names)) == len(info.class_names)
        else dict(enumerate(info.class_ids))
    )
    config = transformers.ViTConfig(
        hidden_size=network.embed_dim,
        num_hidden_layers=len(network.blocks),
        num_attention_heads=network.blocks[0].attn.num_heads,
        intermediate_size=network.blocks[0].mlp.fc1.out_features,
        hidden_act="gelu",
        layer_norm_eps=network.norm.eps,
        image_size=resize.size,
        patch_size=network.patch_embed.patch_size[0],
        qkv_bias=network.blocks[0].attn.qkv.bias is not None,
        id2label=names,
        label2id={name: index for index, name in names.items()},
    )
    config.architectures = ["ViTForImageClassification"]
    config.save_pretrained(folder)
    # Under the names of the weights on the hub, which every version of transformers reads.
    safetensors.torch.save_file(renamed(state), folder / "model.safetensors", metadata={"format": "pt"})
    _processor(transformers, info, resize.size).save_pretrained(folder)
    _require_same(transformers.ViTForImageClassification.from_pretrained(folder), resize, network, state)


def _processor(transformers: Any, info: ModelInfo, side: int) -> Any:
    """Return the image processor that does what the model's geometry says, at the side of the network's input.

    Raises:
        UserError: transformers has none.
    """
    geometry, [normalization] = info.geometry, info.normalization.values()
    bilinear = geometry.interpolation == "bilinear" and geometry.fit != "older"
    common = {
        "resample": 2 if bilinear else 3,
        "image_mean": list(normalization.mean),
        "image_std": list(normalization.std),
    }
    if geometry.fit in ("crop", "older"):
        shorter, cut = {"shortest_edge": math.floor(side / geometry.crop)}, {"height": side, "width": side}
        return transformers.CLIPImageProcessor(size=shorter, crop_size=cut, **common)
    if geometry.fit == "squash" and geometry.crop == 1:
        return transformers.ViTImageProcessor(size={"height": side, "width": side}, **common)
    raise UserError(
        f"`format` hf: images are brought to the network by {geometry.fit}, crop {geometry.crop:g}, which no image"
        " processor of transformers does; `format=timm` or `format=doublevit` exports it"
    )


def renamed(state: State) -> State:
    """Return timm's weights of a ViT under the names of transformers, with queries, keys and values apart."""
    result: State = {}
    for name, tensor in state.items():
        block = re.match(r"^blocks\.(\d+)\.(.+)\.(weight|bias)$", name)
        if block is None:
            place, new = next((pair for pair in PLACES.items() if re.match(pair[0], name)), ("", ""))
            result[re.sub(place, new, name)] = tensor
            continue
        prefix = f"vit.encoder.layer.{block[1]}"
        if block[2] == "attn.qkv":
            parts = zip(QUERY_KEY_VALUE, tensor.chunk(3), strict=True)
            result |= {f"{prefix}.{part}.{block[3]}": values.contiguous() for part, values in parts}
        else:
            result[f"{prefix}.{BLOCK[block[2]]}.{block[3]}"] = tensor
    return result


def _require_plain(network: Any) -> None:
    blocks: Any = getattr(network, "blocks", None)
    plain = (
        type(network) is VisionTransformer
        and not is_distilled(network)
        and network.num_prefix_tokens == 1
        and network.global_pool == "token"
        and isinstance(network.norm_pre, torch.nn.Identity)
        and isinstance(network.fc_norm, torch.nn.Identity)
        and isinstance(blocks[0].ls1, torch.nn.Identity)
        and isinstance(blocks[0].attn.q_norm, torch.nn.Identity)
    )
    if not plain:
        raise UserError(
            f"`format` hf: expected a ViT or DeiT with a class token, found {type(network).__name__};"
            " `format=timm` exports it"
        )


@torch.inference_mode()
def _require_same(twin: Any, resize: Resize, network: Any, state: State) -> None:
    """Raise `UserError` unless the written network computes the features, and from them the logits, of timm's."""
    images = torch.rand(2, 3, resize.size, resize.size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    features = network.eval().cpu().forward_head(network.forward_features(images), pre_logits=True)
    expected = torch.nn.functional.linear(features, state["head.weight"].cpu(), state["head.bias"].cpu())
    difference = (twin.eval()(pixel_values=images).logits - expected).abs().max().item()
    if not difference < TOLERANCE * (1 + expected.abs().max().item()):
        raise UserError(
            f"`format` hf: this transformers computes other logits ({difference:.2g} apart); expected another version"
        )
