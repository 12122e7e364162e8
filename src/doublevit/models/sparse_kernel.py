"""Sparse attention on the CPU: a few heads at a time, so that their scores stay in the processor's cache.

What costs in the plain formula is finding each query's k-th largest score, and writing scores to memory over and over.
Here NumPy finds it, in vector instructions, and everything between the two matrix products happens in place.
"""

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

PIECE = 64  # numbers that NumPy sorts wholly in registers
AT_ONCE = 480_000  # scores, twelve heads of 197 tokens: two megabytes, and few calls
LOWEST = -16.0  # of the k-th scores; rare in trained networks
INTEGERS = {torch.float32: np.int32, torch.float64: np.int64}
Heads = tuple[int, slice]
"""Some heads of one sample."""


class SparseKernel(torch.autograd.Function):
    """Query, key and value (B, heads, N, d), float32 or float64, `top_k` and the scores' scale -> (B, heads, N, d).

    For the way back it keeps the weights, (B, heads, N, N), as attention that is not fused does. Scores that differ by
    less than the smallest normal number count as ties.
    """

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, top_k: int, scale: float
    ) -> torch.Tensor:
        read = query.new_empty((*query.shape[:3], value.shape[-1]))
        kept = query.new_empty((*query.shape[:3], key.shape[2])) if any(ctx.needs_input_grad) else None

        def attend(heads: Heads) -> None:
            scores, spare = _buffers(query, key, heads)
            torch.baddbmm(scores, query[heads], key[heads].mT, beta=0, alpha=scale, out=scores)
            _drop_below(scores, kth_largest(scores, top_k, spare))
            weights = torch.softmax(scores, dim=-1, out=spare if kept is None else kept[heads])
            torch.bmm(weights, value[heads], out=read[heads])

        _for_all_heads(attend, query, key)
        if kept is not None:
            ctx.save_for_backward(query, key, value, kept)
            ctx.scale = scale
        return read

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, kept = ctx.saved_tensors
        of_query, of_key, of_value = (torch.empty_like(part, memory_format=_PLAIN) for part in (query, key, value))

        def attend(heads: Heads) -> None:
            scores, _ = _buffers(query, key, heads)
            torch.bmm(kept[heads].mT, gradient[heads], out=of_value[heads])
            torch.bmm(gradient[heads], value[heads].mT, out=scores)
            torch._softmax_backward_data(scores, kept[heads], -1, scores.dtype, grad_input=scores)
            for out, left, right in ((of_query, scores, key), (of_key, scores.mT, query)):
                torch.baddbmm(out[heads], left, right[heads], beta=0, alpha=ctx.scale, out=out[heads])

        _for_all_heads(attend, query, key)
        return of_query, of_key, of_value, None, None


def kth_largest(scores: torch.Tensor, k: int, spare: torch.Tensor) -> torch.Tensor:
    """Of each row of scores (..., N) the k-th largest, (..., 1); `spare` is of the same shape and is overwritten.

    Where it pays, the k largest of each piece of a row are found first, and then the k-th among these.
    """
    kind = INTEGERS[scores.dtype]
    rows = _in_order(scores.numpy().view(kind), out=spare.numpy().view(kind)).reshape(-1, scores.shape[-1], copy=False)
    pieces, rest = divmod(rows.shape[1], PIECE)
    if k < PIECE and pieces * k + rest < rows.shape[1]:
        whole = rows[:, : pieces * PIECE].reshape(len(rows), pieces, PIECE, copy=False)
        whole.partition(PIECE - k, axis=-1)
        best = _memory("best", (len(rows), pieces * k + rest), scores.dtype).numpy().view(kind)
        best[:, rest:].reshape(len(rows), pieces, k, copy=False)[:] = whole[:, :, PIECE - k :]
        best[:, :rest] = rows[:, pieces * PIECE :]
        rows = best
    place = rows.shape[1] - k
    rows.partition(place, axis=-1)
    least = rows[:, place].copy()
    return torch.from_numpy(_in_order(least, out=np.empty_like(least))).view(scores.dtype).view(*scores.shape[:-1], 1)


def _in_order(bits: np.ndarray, out: np.ndarray) -> np.ndarray:
    """The bits of floats as integers of the same order, or back again: those of negative numbers are turned round.

    NumPy finds the k-th of integers in two thirds of the time, since it need not look for NaN among them.
    """
    np.right_shift(bits, bits.itemsize * 8 - 1, out=out)
    np.bitwise_and(out, np.iinfo(bits.dtype).max, out=out)
    return np.bitwise_xor(out, bits, out=out)


def _drop_below(scores: torch.Tensor, least: torch.Tensor) -> None:
    """Set what is below each row's least score to minus infinity; a shift that changes no softmax makes it faster."""
    if least.min() < LOWEST:  # the shift would cost the highest scores their last digits, or make infinities NaN
        scores.masked_fill_(scores < least, -torch.inf)
        return
    torch.threshold_(scores.sub_(least), -torch.finfo(scores.dtype).tiny, -torch.inf)


def _for_all_heads(work: Callable[[Heads], None], query: torch.Tensor, key: torch.Tensor) -> None:
    """Do the work for all heads of all samples, on as many threads as torch may use."""
    samples, heads = query.shape[:2]
    step = max(1, AT_ONCE // (query.shape[2] * key.shape[2]))
    jobs = [(sample, slice(head, head + step)) for sample in range(samples) for head in range(0, heads, step)]
    threads = torch.get_num_threads()
    if threads == 1 or len(jobs) == 1:
        for job in jobs:
            work(job)
        return
    inference = torch.is_inference_mode_enabled()

    def share(number: int) -> None:
        with torch.inference_mode(inference), torch.no_grad():  # both belong to the thread
            for job in jobs[number::threads]:
                work(job)

    list(_pool(threads).map(share, range(threads)))


@functools.lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that run torch on one core each; the calling thread keeps its own number."""
    together = threading.Barrier(threads)

    def alone(_: int) -> None:
        torch.set_num_threads(1)
        together.wait()

    pool = ThreadPoolExecutor(threads, thread_name_prefix="attention")
    list(pool.map(alone, range(threads)))
    torch.set_num_threads(threads)
    return pool


_local = threading.local()
_PLAIN = torch.contiguous_format


def _buffers(query: torch.Tensor, key: torch.Tensor, heads: Heads) -> tuple[torch.Tensor, torch.Tensor]:
    """Two pieces of memory for the scores of some heads."""
    shape = (len(range(*heads[1].indices(query.shape[1]))), query.shape[2], key.shape[2])
    return _memory("scores", shape, query.dtype), _memory("spare", shape, query.dtype)


def _memory(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Memory that the thread uses again and again: fresh memory is slow to touch for the first time."""
    made: torch.Tensor | None = getattr(_local, name, None)
    if made is None or made.shape != shape or made.dtype != dtype:
        with torch.inference_mode(False):  # so that it can be used with and without
            made = torch.empty(shape, dtype=dtype)
        setattr(_local, name, made)
    return made
