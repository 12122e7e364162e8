"""Work that is done ahead of its use, in a thread of its own."""

import collections
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterable[Item], depth: int = 2) -> Iterator[Item]:
    """The same items, up to `depth` of them made while the one before is still in use."""
    end, iterator = object(), iter(items)
    pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    try:
        made = collections.deque(pool.submit(next, iterator, end) for _ in range(depth))
        while (item := made.popleft().result()) is not end:
            made.append(pool.submit(next, iterator, end))
            yield item  # type: ignore[misc]  # anything but the end came from `items`
    finally:
        pool.shutdown(cancel_futures=True)
