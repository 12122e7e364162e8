"""Prefetching of an iterable's items in a background thread."""

import collections
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterable[Item], depth: int = 2) -> Iterator[Item]:
    """Yield the same items; a thread makes up to `depth` of them in advance."""
    end, iterator = object(), iter(items)
    pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    try:
        futures = collections.deque(pool.submit(next, iterator, end) for _ in range(depth))
        while (item := futures.popleft().result()) is not end:
            futures.append(pool.submit(next, iterator, end))
            yield item  # type: ignore[misc]  # any other object came from `items`
    finally:
        pool.shutdown(cancel_futures=True)
