"""What is going to be trained and validated on, in a few lines, said before anything starts."""

from collections.abc import Iterator

import numpy as np

from doublevit.data.names import listed, printable
from doublevit.data.parts import Part, Parts

FEW = 10  # classes that are all named
UNEQUAL = 10  # times as many images in one class as in another, from which on it is said


def summary(parts: Parts, train: Part, val: Part) -> Iterator[str]:
    """Yield lines on where the images of both parts are, how many, and on the counts by class."""
    yield f"{parts.source}: {len(train.class_ids):,} classes"
    yield f"train: {len(train.names):,} images{_in(train)}: {_by_class(train)}"
    if val.place == train.place:
        yield f"val: {len(val.names):,} images drawn from these: {_by_class(val)}"
    else:
        stands_in = ", since there is no val" if "val" not in parts.places else ""
        yield f"val: {len(val.names):,} images{_in(val)}{stands_in}: {_by_class(val)}"
    others = [name for name in parts.places if name not in ("train", "") and parts.places[name] != val.place]
    if others:
        yield f"kept for `split` {listed(others)}, never trained on"
    counts = train.counts
    if counts.max() >= UNEQUAL * counts.min():
        yield (
            f"classes are unequal: {printable(train.class_ids[int(counts.argmax())])} has"
            f" {counts.max() / counts.min():,.0f} times the training images of"
            f" {printable(train.class_ids[int(counts.argmin())])}; see balanced accuracy beside top-1"
        )


def _in(part: Part) -> str:
    return f" in {part.place}" if part.place else ""


def _by_class(part: Part) -> str:
    counts, names = part.counts, [printable(name) for name in part.class_ids]
    if len(names) <= FEW:
        return ", ".join(f"{name} {count:,}" for name, count in zip(names, counts.tolist(), strict=True))
    if counts.min() == counts.max():
        return f"{counts[0]:,} of each class, from {names[0]} to {names[-1]}"
    order = np.argsort(counts, kind="stable")
    least, most = ([f"{names[index]} {counts[index]:,}" for index in some] for some in (order[:3], order[:-4:-1]))
    return f"fewest {', '.join(least)}; most {', '.join(most)}; {np.median(counts):,.0f} in the middle"
