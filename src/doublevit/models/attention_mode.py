"""The attention of a whole model: dense or sparse, and observable.

All attention of timm's networks, and ours between the branches of a DoubleViT, calls torch's
`scaled_dot_product_attention`; inside an `AttentionMode` that function is replaced. So no network needs other modules
or weights: the same checkpoint runs dense and sparse, and fused attention can be observed.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from doublevit.errors import UserError
from doublevit.models.sparse_attention import Scoring, attention_weights, sparse_attention
from doublevit.models.top_k import TopK, keys_kept

Observer = Callable[[torch.Tensor], None]
"""A function that is called with the weights (B, heads, queries, keys) of every attention, in order of computation."""

OVER_CHANNELS = ("XCA",)  # modules of attention between channels


class AttentionMode(TorchFunctionMode):
    """A context in which each query attends to its `top_k` keys of highest score, or to all if that is None.

    `stages` are the different numbers of keys in a network, in the order of their first use: PiT has three, a DoubleViT
    two, of its fine and its coarse branch (cross attention counts as the branch whose patches are its keys).
    """

    def __init__(self, top_k: TopK | None, stages: tuple[int, ...] = (), observer: Observer | None = None) -> None:
        super().__init__()
        self.top_k = top_k
        self.stages = stages
        self.observer = observer
        self.narrowed = 1.0
        """How far training has narrowed attention: from 0, all keys, to 1, `top_k`."""
        self.calls: list[int] = []
        """The number of keys of every attention since the context was entered."""

    def __enter__(self) -> "AttentionMode":
        self.calls.clear()
        super().__enter__()
        return self

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            return self._attend(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def keys_kept(self, keys: int) -> int:
        """Return how many of `keys` keys a query attends to now."""
        if self.top_k is None:
            return keys
        stage = self.stages.index(keys) if keys in self.stages else len(self.stages)
        kept = keys_kept(self.top_k.at(stage), keys)
        return round(keys ** (1 - self.narrowed) * kept**self.narrowed)

    def describe(self) -> str:
        """Describe the attention since the context was entered: "16 of 197 keys (12 layers)"."""
        return ", ".join(
            f"{self.keys_kept(keys)} of {keys} keys ({self.calls.count(keys)} layers)"
            for keys in dict.fromkeys(self.calls)
        )

    def _attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        keys, scoring = key.shape[-2], Scoring(*args, **kwargs)
        self.calls.append(keys)
        kept = self.keys_kept(keys)
        if self.observer is not None:
            self.observer(attention_weights(query, key, kept, scoring).detach())
        if kept == keys:
            return F.scaled_dot_product_attention(query, key, value, *args, **kwargs)
        return sparse_attention(query, key, value, kept, scoring)


def route_through_torch(model: nn.Module) -> None:
    """Make all attention of a network call torch's function, which an `AttentionMode` replaces.

    timm's attention modules are recognized by `attn_drop`; `fused_attn` makes them call torch's function.

    Raises:
        UserError: a module has no such switch, or its attention is not of tokens to tokens.
    """
    modules: list[Any] = [module for module in model.modules() if hasattr(module, "attn_drop")]
    unsuited = {type(module).__name__ for module in modules if not hasattr(module, "fused_attn")}
    unsuited |= {type(module).__name__ for module in modules if type(module).__name__ in OVER_CHANNELS}
    if unsuited:
        raise UserError(
            f"attention of {', '.join(sorted(unsuited))} in this network is not attention of tokens to tokens by"
            " torch's scaled_dot_product_attention, as that of ViT, DeiT and PiT is; choose another network"
        )
    for module in modules:
        module.fused_attn = True
