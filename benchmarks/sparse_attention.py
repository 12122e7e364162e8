"""Measure the cost of sparse attention against fused dense attention and against topk and masked_fill, in one run.

    python benchmarks/sparse_attention.py [--turns 15] [--device cuda]

Queries, keys and values of ViT-B/16 (12 heads, 197 tokens, 64 wide) in float32. The peers: torch's
`scaled_dot_product_attention`, dense, as timm calls it; and the plain formula, written by hand. All take turns,
so that other load of the machine affects all; ratios are of times in the same turn. Prints medians, quartiles
of the ratios, and the largest difference from the plain formula.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
import tyro

from doublevit.models.sparse_attention import sparse_attention


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the benchmark."""

    batch: int = 32
    """Images in a batch."""
    heads: int = 12
    """Heads of the attention."""
    tokens: int = 197
    """Number of queries, and of keys."""
    width: int = 64
    """Width of a head."""
    keys: tuple[int, ...] = (8, 16, 32)
    """Numbers of keys that a query attends to."""
    threads: tuple[int, ...] = (1, 2)
    """Numbers of threads to measure with."""
    turns: int = 15
    """How often each is timed."""
    device: str = "cpu"
    """Device to measure on: cpu or cuda."""


Attention = Callable[..., torch.Tensor]


def plain(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, k: int) -> torch.Tensor:
    """Return sparse attention by the plain formula: topk, masked_fill, softmax."""
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    least = scores.topk(k, dim=-1).values[..., -1:]
    return scores.masked_fill(scores < least, -torch.inf).softmax(dim=-1) @ value


def seconds(work: Callable[[], object], device: str) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def take_turns(works: list[Callable[[], object]], options: Options) -> list[list[float]]:
    """Return the seconds of each call, by turn; the first turn is not counted."""
    turns = [[seconds(work, options.device) for work in works] for _ in range(options.turns + 1)]
    return turns[1:]


def report(title: str, turns: list[list[float]]) -> None:
    """Print a line with milliseconds, and ratios to fused attention."""
    fused, ours, formula = ([turn[index] for turn in turns] for index in range(3))
    ratios = [sparse / dense for sparse, dense in zip(ours, fused, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    formula_ratio = statistics.median(plain / dense for plain, dense in zip(formula, fused, strict=True))
    milliseconds = [1000 * statistics.median(times) for times in (fused, ours, formula)]
    print(
        f"{title:34} fused {milliseconds[0]:6.1f} ms   ours {milliseconds[1]:6.1f} ms ="
        f" {middle:.2f} ({low:.2f} to {high:.2f})   topk + masked_fill {milliseconds[2]:6.1f} ms = {formula_ratio:.2f}",
        flush=True,
    )


def measure(qkv: list[torch.Tensor], k: int, options: Options, name: str) -> None:
    """Time the forward pass alone, and with the backward pass."""
    functions: list[Attention] = [
        F.scaled_dot_product_attention,
        lambda *inputs: sparse_attention(*inputs, k),
        lambda *inputs: plain(*inputs, k),
    ]
    with torch.inference_mode():
        turns = take_turns([lambda f=f: f(*qkv) for f in functions], options)
    report(f"{name}, k = {k}, forward", turns)
    learned = [tensor.clone().requires_grad_() for tensor in qkv]
    gradient = torch.randn_like(qkv[0])
    turns = take_turns([lambda f=f: torch.autograd.grad(f(*learned), learned, gradient) for f in functions], options)
    report(f"{name}, k = {k}, with backward", turns)


def agree(qkv: list[torch.Tensor], k: int) -> None:
    """Print how far ours is from the plain formula, forward and backward."""
    learned = [tensor.clone().requires_grad_() for tensor in qkv]
    gradient = torch.randn_like(qkv[0])
    results = [
        (output, *torch.autograd.grad(output, learned, gradient))
        for output in (sparse_attention(*learned, k), plain(*learned, k))
    ]
    differences = [float((ours - formula).detach().abs().max()) for ours, formula in zip(*results, strict=True)]
    print(f"k = {k}: largest difference {differences[0]:.1e} forward, {max(differences[1:]):.1e} in gradients")


def main(options: Options) -> None:
    """Run all comparisons and print the results."""
    torch.manual_seed(0)
    shape = (options.batch, options.heads, options.tokens, options.width)
    qkv = [torch.randn(shape, device=options.device) for _ in range(3)]
    for k in options.keys:
        agree(qkv, k)
    for threads in options.threads if options.device == "cpu" else (1,):
        torch.set_num_threads(threads)
        for k in options.keys:
            measure(qkv, k, options, f"{threads} threads" if options.device == "cpu" else options.device)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
