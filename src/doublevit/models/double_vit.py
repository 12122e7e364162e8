"""DoubleViT: two pretrained ViTs, of any patch sizes and checkpoints, joined by cross attention near the end.

The cross attention is that of CrossViT (Chen et al. 2021), or the paper's variant of it.
"""

import itertools

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from doublevit.errors import UserError
from doublevit.models.backbones import Network, is_plain_vit
from doublevit.models.config import CrossConfig
from doublevit.models.preprocess import Normalize


class CrossAttention(nn.Module):
    """One branch's class token attends to the other branch's patches: the new class token, (B, 1, width).

    c = in(class token), now as wide as the other branch; z = [c; patches]; y = c + attention of LN(z)[0] over LN(z);
    out(y) replaces the class token, or, with `residual` fusion, is added to it. The last projection then starts at
    zero, so a new layer changes nothing; with `replace` a new layer discards the pretrained class token.
    """

    def __init__(self, width: int, other_width: int, config: CrossConfig) -> None:
        super().__init__()
        head_dim = config.head_dim or _head_dim(other_width, config.heads)
        self.heads = config.heads
        self.residual = config.fusion == "residual"
        self.project_in = _projection(width, other_width, config.projection)
        self.norm = nn.LayerNorm(other_width, eps=1e-6)
        self.query = nn.Linear(other_width, self.heads * head_dim)
        self.key_value = nn.Linear(other_width, 2 * self.heads * head_dim)
        self.project = nn.Linear(self.heads * head_dim, other_width)
        self.project_out = _projection(other_width, width, config.projection)
        if self.residual:
            for parameter in self.project_out[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self, class_token: torch.Tensor, other_patches: torch.Tensor) -> torch.Tensor:
        """Map class token (B, 1, width) and the other branch's patches (B, N, other_width) to (B, 1, width)."""
        projected = self.project_in(class_token)
        tokens = self.norm(torch.cat([projected, other_patches], dim=1))
        query = self._split(self.query(tokens[:, :1]))
        key, value = (self._split(part) for part in self.key_value(tokens).chunk(2, dim=-1))
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        update = self.project_out(projected + self.project(attended))
        return class_token + update if self.residual else update

    def _split(self, tokens: torch.Tensor) -> torch.Tensor:
        """Split heads: (B, N, heads * head_dim) -> (B, heads, N, head_dim)."""
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class CrossLayer(nn.Module):
    """Cross attention in both directions: tokens of both branches -> tokens of both branches.

    Each branch gets a new class token. It keeps its patches, or they are exchanged (`swapped` routing, as in the
    paper's released code; widths must then be equal).
    """

    def __init__(self, fine_width: int, coarse_width: int, config: CrossConfig) -> None:
        super().__init__()
        if config.routing == "swapped" and fine_width != coarse_width:
            raise UserError(
                "swapped routing exchanges patch tokens: expected branches of one width,"
                f" found {fine_width} and {coarse_width}"
            )
        self.swapped = config.routing == "swapped"
        self.fine = CrossAttention(fine_width, coarse_width, config)
        self.coarse = CrossAttention(coarse_width, fine_width, config)

    def forward(self, fine: torch.Tensor, coarse: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map tokens, class token first, (B, 1 + N, D) and (B, 1 + M, E), to new ones of both branches."""
        fine_class, fine_patches = fine[:, :1], fine[:, 1:]
        coarse_class, coarse_patches = coarse[:, :1], coarse[:, 1:]
        new_fine = self.fine(fine_class, coarse_patches)
        new_coarse = self.coarse(coarse_class, fine_patches)
        if self.swapped:
            fine_patches, coarse_patches = coarse_patches, fine_patches
        return torch.cat([new_fine, fine_patches], dim=1), torch.cat([new_coarse, coarse_patches], dim=1)


def _projection(width: int, new_width: int, kind: str) -> nn.Sequential:
    before = [nn.LayerNorm(width, eps=1e-6), nn.GELU()] if kind == "crossvit" else []
    return nn.Sequential(*before, nn.Linear(width, new_width))


def _head_dim(width: int, heads: int) -> int:
    if width % heads:
        raise UserError(
            f"`model.cross.heads` {heads} does not divide the width {width}; choose another, or pass"
            " `model.cross.head_dim`"
        )
    return width // heads


class Branch(nn.Module):
    """A timm ViT whose blocks can be run in parts."""

    def __init__(self, vit: VisionTransformer, normalize: Normalize) -> None:
        super().__init__()
        self.normalize = normalize
        self.vit = vit

    @property
    def depth(self) -> int:
        """The number of blocks."""
        return len(self.vit.blocks)

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Embed images (B, 3, S, S), float in [0, 1] or uint8: tokens (B, N, D), class token first."""
        vit = self.vit
        return vit.norm_pre(vit.patch_drop(vit._pos_embed(vit.patch_embed(self.normalize(images)))))

    def run(self, tokens: torch.Tensor, start: int, stop: int | None) -> torch.Tensor:
        """Run tokens through the blocks start .. stop - 1, or to the last one if `stop` is None."""
        return self.vit.blocks[start:stop](tokens)

    def pool(self, tokens: torch.Tensor) -> torch.Tensor:
        """Turn the tokens after the last block into the feature (B, D) for the ViT's classifier."""
        return self.vit.forward_head(self.vit.norm(tokens), pre_logits=True)


class DoubleViT(nn.Module):
    """Images (B, 3, S, S), float in [0, 1] or uint8 -> one feature (B, D_fine + D_coarse).

    Raises:
        UserError: a branch is no plain ViT, the input sizes differ, or cross attention is placed after a missing block.
    """

    def __init__(self, fine: Network, coarse: Network, config: CrossConfig) -> None:
        super().__init__()
        _check(fine, coarse, config)
        self.after = config.after
        self.fine = Branch(fine.module, fine.normalize)
        self.coarse = Branch(coarse.module, coarse.normalize)
        widths = fine.module.embed_dim, coarse.module.embed_dim
        self.cross = nn.ModuleList(CrossLayer(*widths, config) for _ in config.after)

    @property
    def widths(self) -> tuple[int, ...]:
        """The width of the feature, as a tuple of one."""
        return (self.fine.vit.head_hidden_size + self.coarse.vit.head_hidden_size,)

    def branches(self) -> dict[str, nn.Module]:
        """Return the pretrained networks by name."""
        return {"fine": self.fine.vit, "coarse": self.coarse.vit}

    def normalizations(self) -> dict[str, Normalize]:
        """Return the normalization of each branch, by name."""
        return {"backbone": self.fine.normalize, "coarse": self.coarse.normalize}

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
            raise UserError(f"`model.{name}`: a DoubleViT is made of two ViTs, found {type(network.module).__name__}")
        if config.after and (network.module.num_prefix_tokens != 1 or network.module.global_pool != "token"):
            raise UserError(
                f"`model.{name}`: cross attention wants a ViT that classifies from its class token,"
                f" found one that pools by {network.module.global_pool!r}"
                f" with {network.module.num_prefix_tokens} tokens before the patches"
            )
    if fine.image_size != coarse.image_size:
        raise UserError(
            f"both branches see the same picture, but want {fine.image_size} and {coarse.image_size} pixels;"
            " pass `model.image_size`"
        )
    depth = min(len(fine.module.blocks), len(coarse.module.blocks))
    if len(config.after) > depth or (config.after and config.after[-1] > depth):
        raise UserError(
            f"`model.cross.after` {' '.join(map(str, config.after))}: expected blocks in 1 .. {depth},"
            f" as the branches have {depth}"
        )
