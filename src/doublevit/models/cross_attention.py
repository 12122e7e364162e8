"""Cross attention between two ViTs of different patch sizes (Chen et al. 2021, CrossViT, and the paper's variant)."""

import torch
import torch.nn.functional as F
from torch import nn

from doublevit.errors import UserError
from doublevit.models.config import CrossConfig


class CrossAttention(nn.Module):
    """One branch's class token attends to the other branch's patches: the new class token, (B, 1, width).

    c = in(class token), now as wide as the other branch; z = [c; patches]; y = c + attention of LN(z)[0] over LN(z);
    out(y) replaces the class token, or, with `residual` fusion, is added to it. The last projection then starts at
    zero, so a new layer changes nothing; with `replace` a new layer throws the pretrained class token away.
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
        """Class token (B, 1, width) and the other branch's patches (B, N, other_width) -> (B, 1, width)."""
        carried = self.project_in(class_token)
        seen = self.norm(torch.cat([carried, other_patches], dim=1))
        query = self._split(self.query(seen[:, :1]))
        key, value = (self._split(part) for part in self.key_value(seen).chunk(2, dim=-1))
        read = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        update = self.project_out(carried + self.project(read))
        return class_token + update if self.residual else update

    def _split(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, N, heads * head_dim) -> (B, heads, N, head_dim)."""
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class CrossLayer(nn.Module):
    """Both branches attend to each other: tokens of both -> tokens of both.

    Each gets a new class token. Its patches stay its own, or are exchanged (`swapped` routing, as in the paper's
    released code; the widths must then be equal).
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
        """Tokens with the class token first, (B, 1 + N, D) and (B, 1 + M, E), to tokens of the same kind."""
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
            f"--model.cross.heads {heads} does not divide the width {width}; choose another, or pass head-dim"
        )
    return width // heads
