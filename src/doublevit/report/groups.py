"""Groups of corruptions that are told together, home-made and published ones apart."""

import dataclasses

from doublevit.corrupted.config import GROUPS

TITLES = {
    "paper": "the paper's five corruptions",
    "common": "the fifteen common corruptions",
    "validation": "the four validation corruptions",
}
"""Of the groups that have names."""


@dataclasses.dataclass(frozen=True)
class Group:
    """Some corruptions, of home-made or of published photos; `name` is for files, `title` for people."""

    name: str
    title: str
    corruptions: tuple[str, ...]
    published: bool = False


def named(name: str, *, published: bool = False) -> Group:
    """One of those that have names."""
    suffix, words = ("-published", " (published set)") if published else ("", "")
    return Group(name + suffix, TITLES[name] + words, GROUPS[name], published)


def other(corruptions: tuple[str, ...], *, published: bool = False) -> Group:
    """Any others."""
    words = " and ".join(filter(None, [", ".join(corruptions[:-1]), corruptions[-1]])).replace("_", " ")
    suffix, more = ("-published", " (published set)") if published else ("", "")
    return Group("-".join(corruptions) + suffix, words + more, corruptions, published)
