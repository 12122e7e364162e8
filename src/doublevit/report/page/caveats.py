"""What could mislead in the numbers of some runs, said where it applies."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from doublevit.augment.config import OVERLAPPING
from doublevit.report.candidates import Contender
from doublevit.results import Row

FEW = 1000  # photos
OVERLAP = ("augmix", "augmix-jsd", "randaugment", "trivial", "classic")


def caveats(contenders: Sequence[Contender]) -> list[str]:
    """Each in one or two sentences."""
    recipes = [member.recipe for one in contenders for member in one.members]
    rows = [row for one in contenders for member in one.members for row in member.rows]
    seeds = max(len(one.members) for one in contenders)
    return [*_of_training(recipes, seeds), *_of_photos(rows), *_of_corruptions(rows, recipes), *_of_attacks(rows)]


def _of_training(recipes: Sequence[Mapping[str, Any]], seeds: int) -> Iterator[str]:
    tiny = any(recipe["data"]["source"] == "tiny-imagenet" for recipe in recipes)
    if tiny and any(recipe["model"]["weights"] != "none" for recipe in recipes):
        yield (
            "Networks pretrained on ImageNet have seen photos of Tiny ImageNet's classes, perhaps some of these very"
            " photos: accuracies are too good for classes that a network has never seen."
        )
    if seeds == 1 and any(recipe["train"]["epochs"] for recipe in recipes):
        yield (
            "Each network was trained once. Intervals are for the photos drawn: what another seed of the training would"
            " change is not in them, and small differences may be luck."
        )


def _of_photos(rows: Sequence[Row]) -> Iterator[str]:
    clean = [row for row in rows if row.condition.get("kind") == "clean"]
    if clean and min(row.count for row in clean) < FEW:
        yield f"Some numbers are of few photos (n = {min(row.count for row in clean):,}): look at the intervals."
    if any(row.checkpoint.startswith("best") for row in rows):
        yield "Weights named best were chosen on the photos that they are measured on: a little too good."
    if any(row.adapted for row in rows):
        yield (
            "Adapted rows have taken statistics of the photos that they are measured on (never labels); they belong to"
            " a setting in which many such photos arrive together."
        )


def _of_corruptions(rows: Sequence[Row], recipes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    corrupted = [row for row in rows if row.condition.get("kind") == "corruption"]
    sets = {row.condition["set"] for row in corrupted}
    if "published" in sets:
        yield (
            "The published Tiny-ImageNet-C shows other crops than Tiny ImageNet's validation photos, so % change"
            " against these mixes two effects."
        )
    if sets - {"published"}:
        yield (
            "Home-made corruptions follow the published generator, of the clean validation photos themselves; their"
            " numbers are not those of the published Tiny-ImageNet-C, whose images are other crops, saved as JPEG."
        )
    if any(
        row.condition["corruption"] == "frost" and "generated" in row.condition.get("frost", "") for row in corrupted
    ):
        yield "Frost was made of generated textures, not of the published ones: its numbers are of another corruption."
    used = sorted({recipe["augment"]["policy"] for recipe in recipes if recipe["train"]["epochs"]} & {*OVERLAP})
    if corrupted and used:
        yield (
            f"Augmentation by {', '.join(used)} uses {', '.join(OVERLAPPING)}, which some test corruptions resemble:"
            " robustness to these is partly trained (augmix-strict leaves them out)."
        )


def _of_attacks(rows: Sequence[Row]) -> Iterator[str]:
    attacked = [row for row in rows if row.condition.get("kind") == "attack"]
    findings = sorted({finding for row in attacked for finding in row.findings})
    if findings:
        yield f"Checks speak against some numbers under attack ({', '.join(findings)}); the tables mark which."
    if attacked and not any(row.condition["attack"] == "autoattack" for row in attacked):
        yield (
            "Accuracy under one attack bounds robustness from above: a stronger attack, such as AutoAttack, may find"
            " more. None of these networks was trained against attacks unless its augmentation says so."
        )
