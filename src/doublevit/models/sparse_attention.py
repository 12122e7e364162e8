"""Explicit sparse attention (Zhao et al. 2019): each query attends only to its k keys of highest score.

The plain formula spends its time on each query's k-th largest score, and on writing scores to memory repeatedly. So on
the CPU a kernel takes a few heads at a time, whose scores stay in the processor's cache: NumPy finds the k-th score by
vector instructions, and everything between the two matrix products happens in place.
"""

import dataclasses
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

PIECE = 64  # numbers that NumPy sorts entirely in registers
MAX_SCORES = 480_000  # at a time: twelve heads of 197 tokens, two megabytes, few calls
LOWEST = -16.0  # k-th score down to which scores are shifted; lower ones are rare in trained networks
INTEGERS = {torch.float32: np.int32, torch.float64: np.int64}
Heads = tuple[int, slice]
"""Indices of a sample and of some of its heads."""
MULTI_HEAD_NDIM = 4  # dimensions of (B, heads, queries, d)
MIN_QUERIES = 16  # with fewer, the kernel's calls cost more than they save


class SparseKernel(torch.autograd.Function):
    """Query, key and value (B, heads, N, d), float32 or float64, `top_k` and the scores' scale -> (B, heads, N, d).

    For `backward` it saves the weights, (B, heads, N, N), as attention that is not fused does. Scores that differ by
    less than the smallest normal number count as ties.
    """

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, top_k: int, scale: float
    ) -> torch.Tensor:
        output = query.new_empty((*query.shape[:3], value.shape[-1]))
        saved = query.new_empty((*query.shape[:3], key.shape[2])) if any(ctx.needs_input_grad) else None

        def attend(heads: Heads) -> None:
            scores, spare = _buffers(query, key, heads)
            torch.baddbmm(scores, query[heads], key[heads].mT, beta=0, alpha=scale, out=scores)
            _drop_below(scores, kth_largest(scores, top_k, spare))
            weights = torch.softmax(scores, dim=-1, out=spare if saved is None else saved[heads])
            torch.bmm(weights, value[heads], out=output[heads])

        _for_all_heads(attend, query, key)
        if saved is not None:
            ctx.save_for_backward(query, key, value, saved)
            ctx.scale = scale
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, weights = ctx.saved_tensors
        grad_query, grad_key, grad_value = (
            torch.empty_like(part, memory_format=_PLAIN) for part in (query, key, value)
        )

        def attend(heads: Heads) -> None:
            scores, _ = _buffers(query, key, heads)
            torch.bmm(weights[heads].mT, gradient[heads], out=grad_value[heads])
            torch.bmm(gradient[heads], value[heads].mT, out=scores)
            torch._softmax_backward_data(scores, weights[heads], -1, scores.dtype, grad_input=scores)
            for out, left, right in ((grad_query, scores, key), (grad_key, scores.mT, query)):
                torch.baddbmm(out[heads], left, right[heads], beta=0, alpha=ctx.scale, out=out[heads])

        _for_all_heads(attend, query, key)
        return grad_query, grad_key, grad_value, None, None


def kth_largest(scores: torch.Tensor, k: int, spare: torch.Tensor) -> torch.Tensor:
    """Return the k-th largest of each row of scores (..., N) as (..., 1); `spare`, of the same shape, is overwritten.

    If it pays, the k largest of each piece of a row are found first, and then the k-th largest among these.
    """
    kind = INTEGERS[scores.dtype]
    rows = _flip_negative(scores.numpy().view(kind), out=spare.numpy().view(kind)).reshape(
        -1, scores.shape[-1], copy=False
    )
    pieces, rest = divmod(rows.shape[1], PIECE)
    if k < PIECE and pieces * k + rest < rows.shape[1]:
        split = rows[:, : pieces * PIECE].reshape(len(rows), pieces, PIECE, copy=False)
        split.partition(PIECE - k, axis=-1)
        best = _memory("best", (len(rows), pieces * k + rest), scores.dtype).numpy().view(kind)
        best[:, rest:].reshape(len(rows), pieces, k, copy=False)[:] = split[:, :, PIECE - k :]
        best[:, :rest] = rows[:, pieces * PIECE :]
        rows = best
    position = rows.shape[1] - k
    rows.partition(position, axis=-1)
    least = rows[:, position].copy()
    return (
        torch.from_numpy(_flip_negative(least, out=np.empty_like(least))).view(scores.dtype).view(*scores.shape[:-1], 1)
    )


def _flip_negative(bits: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Map the bits of floats to integers of the same order, or back, by flipping all but the sign of negative numbers.

    NumPy finds the k-th integer in two thirds of the time, since it need not look for NaN.
    """
    np.right_shift(bits, bits.itemsize * 8 - 1, out=out)
    np.bitwise_and(out, np.iinfo(bits.dtype).max, out=out)
    return np.bitwise_xor(out, bits, out=out)


def _drop_below(scores: torch.Tensor, least: torch.Tensor) -> None:
    """Set scores below each row's `least` to minus infinity; a shift, which changes no softmax, makes it faster."""
    if least.min() < LOWEST:  # the shift would round the highest scores, or make infinities NaN
        scores.masked_fill_(scores < least, -torch.inf)
        return
    torch.threshold_(scores.sub_(least), -torch.finfo(scores.dtype).tiny, -torch.inf)


def _for_all_heads(work: Callable[[Heads], None], query: torch.Tensor, key: torch.Tensor) -> None:
    """Call `work` for all heads of all samples, on as many threads as torch may use."""
    samples, heads = query.shape[:2]
    step = max(1, MAX_SCORES // (query.shape[2] * key.shape[2]))
    jobs = [(sample, slice(head, head + step)) for sample in range(samples) for head in range(0, heads, step)]
    threads = torch.get_num_threads()
    if threads == 1 or len(jobs) == 1:
        for job in jobs:
            work(job)
        return
    inference = torch.is_inference_mode_enabled()

    def do_part(number: int) -> None:
        with torch.inference_mode(inference), torch.no_grad():  # both belong to the thread
            for job in jobs[number::threads]:
                work(job)

    list(_pool(threads).map(do_part, range(threads)))


@functools.lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    """Make threads that run torch on one core each; the calling thread keeps its number of threads."""
    barrier = threading.Barrier(threads)

    def use_one_core(_: int) -> None:
        torch.set_num_threads(1)
        barrier.wait()

    pool = ThreadPoolExecutor(threads, thread_name_prefix="attention")
    list(pool.map(use_one_core, range(threads)))
    torch.set_num_threads(threads)
    return pool


_local = threading.local()
_PLAIN = torch.contiguous_format


def _buffers(query: torch.Tensor, key: torch.Tensor, heads: Heads) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two buffers for the scores of some heads."""
    shape = (len(range(*heads[1].indices(query.shape[1]))), query.shape[2], key.shape[2])
    return _memory("scores", shape, query.dtype), _memory("spare", shape, query.dtype)


def _memory(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Return a buffer that this thread reuses, since touching fresh memory is slow."""
    buffer: torch.Tensor | None = getattr(_local, name, None)
    if buffer is None or buffer.shape != shape or buffer.dtype != dtype:
        with torch.inference_mode(False):  # so that it can be used in and outside of inference mode
            buffer = torch.empty(shape, dtype=dtype)
        setattr(_local, name, buffer)
    return buffer


@dataclasses.dataclass(frozen=True)
class Scoring:
    """The other arguments of `scaled_dot_product_attention`, under the same names.

    `attn_mask`: True for keys to attend to, or numbers to be added to the scores; `dropout_p`: fraction of weights set
    to zero; `is_causal`: no query attends to later keys; `scale`: factor of the scores, None for 1 / sqrt(d).
    """

    attn_mask: torch.Tensor | None = None
    dropout_p: float = 0.0
    is_causal: bool = False
    scale: float | None = None

    def scale_of(self, query: torch.Tensor) -> float:
        """Return the factor of the scores."""
        return float(query.shape[-1] ** -0.5) if self.scale is None else self.scale

    def masked(self, scores: torch.Tensor) -> torch.Tensor:
        """Mask scores (B, heads, queries, keys) with minus infinity."""
        if self.is_causal:
            visible = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
            scores = scores.masked_fill(~visible, -torch.inf)
        if self.attn_mask is None:
            return scores
        if self.attn_mask.dtype == torch.bool:
            return scores.masked_fill(~self.attn_mask, -torch.inf)
        return scores + self.attn_mask


def sparse_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, top_k: int, scoring: Scoring = Scoring()
) -> torch.Tensor:
    """Compute `scaled_dot_product_attention` to each query's `top_k` keys of highest score, and ties with the last.

    On the CPU a kernel computes it (benchmarks/sparse_attention.py measures its speed); with a mask, dropout, few
    queries or shared heads, on other devices, and while a model is exported, the plain formula is used.

    Args:
        query: (B, heads, queries, d).
        key: (B, heads, keys, d).
        value: (B, heads, keys, d).
        top_k: at least 1; attention is dense if it is not below the number of keys.
        scoring: the other arguments of torch's function.

    Returns: (B, heads, queries, d).
    """
    if not _suits_kernel(query, key, value, scoring):
        weights = F.dropout(attention_weights(query, key, top_k, scoring), scoring.dropout_p)
        return weights.to(value.dtype) @ value
    wide = [part if part.dtype == torch.float64 else part.float() for part in (query, key, value)]
    with torch.autocast("cpu", enabled=False):
        output: torch.Tensor = SparseKernel.apply(*wide, min(top_k, key.shape[-2]), scoring.scale_of(query))
        return output.to(value.dtype)


def attention_weights(query: torch.Tensor, key: torch.Tensor, top_k: int, scoring: Scoring = Scoring()) -> torch.Tensor:
    """Compute weights (B, heads, queries, keys) by the plain formula: softmax over the scores not below the k-th.

    Scores and weights are at least float32 for any dtype of queries, so that rounding makes no ties.
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
    alike = query.ndim == MULTI_HEAD_NDIM and query.shape[:2] == key.shape[:2] == value.shape[:2]
    return alike and query.shape[-2] >= MIN_QUERIES
