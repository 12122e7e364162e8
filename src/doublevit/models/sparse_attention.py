"""Explicit sparse attention (Zhao et al. 2019): each query looks at its k keys of highest score only."""

import dataclasses

import torch
import torch.nn.functional as F

from doublevit.models.sparse_kernel import SparseKernel

HEADED = 4  # dimensions of (B, heads, queries, d)
FEW = 16  # queries for which the kernel's calls would cost more than they save


@dataclasses.dataclass(frozen=True)
class Scoring:
    """What else `scaled_dot_product_attention` can be told, under its own names.

    `attn_mask`: which keys may be looked at, bool, or numbers to be added to the scores; `dropout_p`: share of the
    weights that are set to zero; `is_causal`: no query looks at keys behind it; `scale`: of the scores, None is
    1 / sqrt(d).
    """

    attn_mask: torch.Tensor | None = None
    dropout_p: float = 0.0
    is_causal: bool = False
    scale: float | None = None

    def scale_of(self, query: torch.Tensor) -> float:
        """What scores are multiplied by."""
        return float(query.shape[-1] ** -0.5) if self.scale is None else self.scale

    def masked(self, scores: torch.Tensor) -> torch.Tensor:
        """Scores (B, heads, queries, keys), minus infinity where a key may not be looked at."""
        if self.is_causal:
            seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
            scores = scores.masked_fill(~seen, -torch.inf)
        if self.attn_mask is None:
            return scores
        if self.attn_mask.dtype == torch.bool:
            return scores.masked_fill(~self.attn_mask, -torch.inf)
        return scores + self.attn_mask


def sparse_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, top_k: int, scoring: Scoring = Scoring()
) -> torch.Tensor:
    """`scaled_dot_product_attention` to each query's `top_k` keys of highest score, ties at the last place included.

    On the CPU a kernel computes it (benchmarks/sparse_attention.py says how fast); with a mask, dropout, few queries or
    shared heads, on other devices, and while a model is exported, it is the plain formula.

    Args:
        query: (B, heads, queries, d).
        key: (B, heads, keys, d).
        value: (B, heads, keys, d).
        top_k: from 1; as many as there are keys or more is dense attention.
        scoring: what else torch's function can be told.

    Returns: (B, heads, queries, d).
    """
    if not _suits_kernel(query, key, value, scoring):
        weights = F.dropout(attention_weights(query, key, top_k, scoring), scoring.dropout_p)
        return weights.to(value.dtype) @ value
    wide = [part if part.dtype == torch.float64 else part.float() for part in (query, key, value)]
    with torch.autocast("cpu", enabled=False):
        read: torch.Tensor = SparseKernel.apply(*wide, min(top_k, key.shape[-2]), scoring.scale_of(query))
        return read.to(value.dtype)


def attention_weights(query: torch.Tensor, key: torch.Tensor, top_k: int, scoring: Scoring = Scoring()) -> torch.Tensor:
    """The plain formula: weights (B, heads, queries, keys), in each row a softmax over the keys not below its k-th.

    Scores and weights are float32 at least, whatever the queries are, so that ties are ties of the scores.
    """
    with torch.autocast(query.device.type, enabled=False):
        query, key = (part if part.dtype == torch.float64 else part.float() for part in (query, key))
        scores = scoring.masked((query * scoring.scale_of(query)) @ key.transpose(-2, -1))
        least = scores.topk(min(top_k, scores.shape[-1]), dim=-1).values[..., -1:]
        return scores.masked_fill(scores < least, -torch.inf).softmax(dim=-1)


def _suits_kernel(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scoring: Scoring) -> bool:
    if scoring.attn_mask is not None or scoring.is_causal or scoring.dropout_p > 0:
        return False
    if torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export() or query.device.type != "cpu":
        return False
    alike = query.ndim == HEADED and query.shape[:2] == key.shape[:2] == value.shape[:2]
    return alike and query.shape[-2] >= FEW
