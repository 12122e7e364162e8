"""What sparse attention costs against fused dense attention and against topk and masked_fill, in one run.

    python benchmarks/sparse_attention.py [--turns 15] [--device cuda]

Queries, keys and values of ViT-B/16 (12 heads, 197 tokens, 64 wide) in float32. The peers: torch's
`scaled_dot_product_attention`, dense, as timm calls it; and the plain formula as one would write it. All take turns,
so that whatever else the machine does hits all of them; ratios are of times in the same turn. Prints medians, quartiles
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
    """What to measure."""

    batch: int = 32
    """Images at a time."""
    heads: int = 12
    """Heads of the attention."""
    tokens: int = 197
    """Queries and keys."""
    width: int = 64
    """Of a head."""
    keys: tuple[int, ...] = (8, 16, 32)
    """How many keys a query looks at."""
    threads: tuple[int, ...] = (1, 2)
    """Numbers of threads to measure with."""
    turns: int = 15
    """How often each is timed."""
    device: str = "cpu"
    """Where."""


Attention = Callable[..., torch.Tensor]


def plain(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, k: int) -> torch.Tensor:
    """The formula as one writes it."""
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    least = scores.topk(k, dim=-1).values[..., -1:]
    return scores.masked_fill(scores < least, -torch.inf).softmax(dim=-1) @ value


def seconds(work: Callable[[], object], device: str) -> float:
    """Of one call."""
    start = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def take_turns(works: list[Callable[[], object]], options: Options) -> list[list[float]]:
    """Seconds of each call, by turn; the first turn is not counted."""
    turns = [[seconds(work, options.device) for work in works] for _ in range(options.turns + 1)]
    return turns[1:]


def report(title: str, turns: list[list[float]]) -> None:
    """One line: milliseconds and ratios to the first."""
    fused, ours, formula = ([turn[place] for turn in turns] for place in range(3))
    ratios = [mine / dense for mine, dense in zip(ours, fused, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    others = statistics.median(mine / dense for mine, dense in zip(formula, fused, strict=True))
    milliseconds = [1000 * statistics.median(times) for times in (fused, ours, formula)]
    print(
        f"{title:34} fused {milliseconds[0]:6.1f} ms   ours {milliseconds[1]:6.1f} ms ="
        f" {middle:.2f} ({low:.2f} to {high:.2f})   topk + masked_fill {milliseconds[2]:6.1f} ms = {others:.2f}",
        flush=True,
    )


def measure(parts: list[torch.Tensor], k: int, options: Options, name: str) -> None:
    """Forward alone, and with the way back."""
    functions: list[Attention] = [
        F.scaled_dot_product_attention,
        lambda *some: sparse_attention(*some, k),
        lambda *some: plain(*some, k),
    ]
    with torch.inference_mode():
        turns = take_turns([lambda f=f: f(*parts) for f in functions], options)
    report(f"{name}, k = {k}, forward", turns)
    learned = [part.clone().requires_grad_() for part in parts]
    gradient = torch.randn_like(parts[0])
    turns = take_turns([lambda f=f: torch.autograd.grad(f(*learned), learned, gradient) for f in functions], options)
    report(f"{name}, k = {k}, with backward", turns)


def agree(parts: list[torch.Tensor], k: int) -> None:
    """How far ours is from the plain formula, forward and backward."""
    learned = [part.clone().requires_grad_() for part in parts]
    gradient = torch.randn_like(parts[0])
    results = [
        (read, *torch.autograd.grad(read, learned, gradient))
        for read in (sparse_attention(*learned, k), plain(*learned, k))
    ]
    differences = [float((mine - other).detach().abs().max()) for mine, other in zip(*results, strict=True)]
    print(f"k = {k}: largest difference {differences[0]:.1e} forward, {max(differences[1:]):.1e} in gradients")


def main(options: Options) -> None:
    """Measure all and print it."""
    torch.manual_seed(0)
    shape = (options.batch, options.heads, options.tokens, options.width)
    parts = [torch.randn(shape, device=options.device) for _ in range(3)]
    for k in options.keys:
        agree(parts, k)
    for threads in options.threads if options.device == "cpu" else (1,):
        torch.set_num_threads(threads)
        for k in options.keys:
            measure(parts, k, options, f"{threads} threads" if options.device == "cpu" else options.device)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
