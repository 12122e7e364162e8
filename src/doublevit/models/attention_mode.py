"""How all attention of a model is computed: to all keys, or sparse; and where it is looked at.

All attention of timm's networks, and ours between the branches of a DoubleViT, goes through one function of torch,
`scaled_dot_product_attention`; while an `AttentionMode` is entered, that function is ours. So no network needs other
modules or weights: the same checkpoint runs dense and sparse, and fused attention can be looked at.
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

Look = Callable[[torch.Tensor], None]
"""What is shown the weights (B, heads, queries, keys) of every attention, in the order in which they are computed."""


class AttentionMode(TorchFunctionMode):
    """Attention as it is computed while this is entered: to the keys that `top_k` says, or to all if that is None.

    `stages` are the different numbers of keys in a network, in the order of their first use: PiT has three, a DoubleViT
    its fine and its coarse branch (cross attention counts as the branch whose patches it looks at).
    """

    def __init__(self, top_k: TopK | None, stages: tuple[int, ...] = (), look: Look | None = None) -> None:
        super().__init__()
        self.top_k = top_k
        self.stages = stages
        self.look = look
        self.narrowed = 1.0
        """How far training has narrowed attention: from 0, all keys, to 1, as `top_k` says."""
        self.calls: list[int] = []
        """How many keys there were in every attention since this was entered."""

    def __enter__(self) -> "AttentionMode":
        self.calls.clear()
        super().__enter__()
        return self

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            return self._attend(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def keys_kept(self, keys: int) -> int:
        """How many of `keys` keys a query looks at now."""
        if self.top_k is None:
            return keys
        stage = self.stages.index(keys) if keys in self.stages else len(self.stages)
        kept = keys_kept(self.top_k.at(stage), keys)
        return round(keys ** (1 - self.narrowed) * kept**self.narrowed)

    def describe(self) -> str:
        """What was sparse since this was entered: "16 of 197 keys (12 layers)"."""
        return ", ".join(
            f"{self.keys_kept(keys)} of {keys} keys ({self.calls.count(keys)} layers)"
            for keys in dict.fromkeys(self.calls)
        )

    def _attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *rest: Any, **more: Any) -> Any:
        keys, scoring = key.shape[-2], Scoring(*rest, **more)
        self.calls.append(keys)
        kept = self.keys_kept(keys)
        if self.look is not None:
            self.look(attention_weights(query, key, kept, scoring).detach())
        if kept == keys:
            return F.scaled_dot_product_attention(query, key, value, *rest, **more)
        return sparse_attention(query, key, value, kept, scoring)


def route_through_torch(model: nn.Module) -> None:
    """Make all attention of a network go through torch's function, where an `AttentionMode` reaches it.

    timm's attention has a dropout of its weights, and a switch where it can use torch's function.

    Raises:
        UserError: some cannot, or is not of tokens to tokens.
    """
    modules: list[Any] = [module for module in model.modules() if hasattr(module, "attn_drop")]
    strangers = {type(each).__name__ for each in modules if not hasattr(each, "fused_attn")}
    strangers |= {type(each).__name__ for each in modules if type(each).__name__ in OVER_CHANNELS}
    if strangers:
        raise UserError(
            f"attention of {', '.join(sorted(strangers))} in this network is not attention of tokens to tokens by"
            " torch's scaled_dot_product_attention, as that of ViT, DeiT and PiT is; choose another network"
        )
    for each in modules:
        each.fused_attn = True


OVER_CHANNELS = ("XCA",)
