"""DoubleViT: two pretrained ViTs of different patch sizes side by side, joined by cross attention near the end."""

import itertools

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from doublevit.errors import UserError
from doublevit.models.backbones import Network, is_plain_vit
from doublevit.models.config import CrossConfig
from doublevit.models.cross_attention import CrossLayer
from doublevit.models.preprocess import Normalise


class Branch(nn.Module):
    """A timm ViT that can be stopped between its blocks."""

    def __init__(self, vit: VisionTransformer, normalise: Normalise) -> None:
        super().__init__()
        self.normalise = normalise
        self.vit = vit

    @property
    def depth(self) -> int:
        """How many blocks it has."""
        return len(self.vit.blocks)

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, S, S), float in [0, 1] or uint8 -> tokens (B, N, D), class token first."""
        vit = self.vit
        return vit.norm_pre(vit.patch_drop(vit._pos_embed(vit.patch_embed(self.normalise(images)))))

    def run(self, tokens: torch.Tensor, start: int, stop: int | None) -> torch.Tensor:
        """Tokens through the blocks start .. stop - 1; None is the end."""
        return self.vit.blocks[start:stop](tokens)

    def pool(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens after the last block -> the feature (B, D) that the ViT's own classifier would get."""
        return self.vit.forward_head(self.vit.norm(tokens), pre_logits=True)


class DoubleViT(nn.Module):
    """Images (B, 3, S, S), float in [0, 1] or uint8 -> one feature (B, D_fine + D_coarse).

    Raises:
        UserError: a branch is no plain ViT, the inputs differ in size, or a cross-attention layer has no place.
    """

    def __init__(self, fine: Network, coarse: Network, config: CrossConfig) -> None:
        super().__init__()
        _check(fine, coarse, config)
        self.after = config.after
        self.fine = Branch(fine.module, fine.normalise)
        self.coarse = Branch(coarse.module, coarse.normalise)
        widths = fine.module.embed_dim, coarse.module.embed_dim
        self.cross = nn.ModuleList(CrossLayer(*widths, config) for _ in config.after)

    @property
    def widths(self) -> tuple[int, ...]:
        """The width of its one feature."""
        return (self.fine.vit.head_hidden_size + self.coarse.vit.head_hidden_size,)

    def branches(self) -> dict[str, nn.Module]:
        """The pretrained networks in it, by name."""
        return {"fine": self.fine.vit, "coarse": self.coarse.vit}

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        fine, coarse = self.fine.embed(images), self.coarse.embed(images)
        for (start, stop), cross in zip(itertools.pairwise((0, *self.after)), self.cross, strict=True):
            fine, coarse = self.fine.run(fine, start, stop), self.coarse.run(coarse, start, stop)
            fine, coarse = cross(fine, coarse)
        last = self.after[-1] if self.after else 0
        fine, coarse = self.fine.run(fine, last, None), self.coarse.run(coarse, last, None)
        return (torch.cat([self.fine.pool(fine), self.coarse.pool(coarse)], dim=-1),)


def _check(fine: Network, coarse: Network, config: CrossConfig) -> None:
    for name, network in (("backbone", fine), ("coarse", coarse)):
        if not is_plain_vit(network.module):
            raise UserError(f"--model.{name}: a DoubleViT is made of two ViTs, found {type(network.module).__name__}")
        if config.after and (network.module.num_prefix_tokens != 1 or network.module.global_pool != "token"):
            raise UserError(
                f"--model.{name}: cross attention wants a ViT that classifies from its class token,"
                f" found one that pools by {network.module.global_pool!r}"
                f" with {network.module.num_prefix_tokens} tokens before the patches"
            )
    if fine.image_size != coarse.image_size:
        raise UserError(
            f"both branches see the same picture, but want {fine.image_size} and {coarse.image_size} pixels;"
            " pass --model.image-size"
        )
    depth = min(len(fine.module.blocks), len(coarse.module.blocks))
    if len(config.after) > depth or (config.after and config.after[-1] > depth):
        raise UserError(
            f"--model.cross.after {' '.join(map(str, config.after))}: expected blocks in 1 .. {depth},"
            f" as the branches have {depth}"
        )
