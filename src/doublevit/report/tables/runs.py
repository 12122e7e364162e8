"""What was run."""

from collections.abc import Mapping, Sequence
from typing import Any

from doublevit.report.candidates import Contender
from doublevit.report.table import Table, text, words

HEADS = ("model", "network", "weights", "trained", "augmentation", "attention", "seed")


def run_table(contenders: Sequence[Contender]) -> Table:
    """A line for each network: what it is, what it started from, how it was trained."""
    rows = tuple(tuple(map(text, (one.label, *_words(one)))) for one in contenders)
    return Table("runs", "What was run", tuple(map(words, HEADS)), rows, groups=tuple(one.group for one in contenders))


def network_words(model: Mapping[str, Any]) -> str:
    """Such as "vit-ti16 + vit-ti16@32, cross attention after 9, linear head"."""
    branches = " + ".join(filter(None, [model["backbone"], model.get("coarse")]))
    after = (model.get("cross") or {}).get("after") or []
    cross = f", cross attention after {' and '.join(map(str, after))} ({model['cross']['fusion']})" if after else ""
    return f"{branches}{cross}, {model['head']} head"


def _words(one: Contender) -> tuple[str, ...]:
    recipe = one.first.recipe
    model, train, data = recipe["model"], recipe["train"], recipe["data"]
    weights = {"hub": "pretrained (hub)", "none": "from scratch"}.get(model["weights"], "pretrained (file)")
    photos = f"{data['per_class']} photos a class" if data.get("per_class") else "all photos"
    epochs = f"{train['epochs']} epoch{'s' if train['epochs'] != 1 else ''}"
    frozen = "" if model["freeze"] == "none" else f", {model['freeze']}"
    trained = f"{epochs}, {photos}, {train['optimiser']}{frozen}" if train["epochs"] else "not trained"
    augment = recipe["augment"]["policy"] if train["epochs"] else "-"
    kept = one.first.top_k
    seeds = " ".join(dict.fromkeys(str(member.recipe["seed"]) for member in one.members))
    return network_words(model), weights, trained, augment, "dense" if kept == "none" else f"top-k {kept}", seeds
