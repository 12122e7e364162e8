"""What could mislead in the numbers of some runs, said where it applies."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from doublevit.augment.config import OVERLAPPING
from doublevit.report.candidates import Contender
from doublevit.report.collection import ON_PHOTOS
from doublevit.results import Row

FEW = 1000  # photos
OVERLAP = ("augmix", "augmix-jsd", "randaugment", "trivial", "classic")


def caveats(contenders: Sequence[Contender]) -> list[str]:
    """Each in one or two sentences."""
    recipes = [member.recipe for one in contenders for member in one.members]
    rows = [row for one in contenders for member in one.members for row in member.rows]
    once = [one.first.recipe["train"]["epochs"] for one in contenders if len(one.members) == 1]
    corruptions = [*_of_corruptions(rows), *_of_overlap(rows, recipes)]
    return [*_of_training(recipes, once=any(once)), *_of_photos(rows), *corruptions, *_of_attacks(contenders)]


def _of_training(recipes: Sequence[Mapping[str, Any]], *, once: bool) -> Iterator[str]:
    tiny = any(recipe["data"]["source"] == "tiny-imagenet" for recipe in recipes)
    if tiny and any(recipe["model"]["weights"] != "none" for recipe in recipes):
        yield (
            "Networks pretrained on ImageNet have seen photos of Tiny ImageNet's classes, perhaps some of these very"
            " photos: accuracies are too good for classes that a network has never seen."
        )
    if once:
        yield (
            "Networks were trained once each, where no seeds are named. Intervals are for the photos drawn: what"
            " another seed of the training would change is not in them, and small differences may be luck."
        )


def _of_photos(rows: Sequence[Row]) -> Iterator[str]:
    counts = [row.count for row in rows if row.condition.get("kind") in ON_PHOTOS]
    if counts and min(counts) < FEW:
        yield f"Some numbers are of few photos (n = {min(counts):,} at the least): look at the intervals."
    if any(row.checkpoint.startswith("best") for row in rows):
        yield "Weights named best were chosen on the photos that they are measured on: a little too good."
    if any(row.adapted for row in rows):
        yield (
            "Adapted rows have taken statistics of the photos that they are measured on (never labels); they belong to"
            " a setting in which many such photos arrive together."
        )


def _of_corruptions(rows: Sequence[Row]) -> Iterator[str]:
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


def _of_overlap(rows: Sequence[Row], recipes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    corrupted = any(row.condition.get("kind") == "corruption" for row in rows)
    used = sorted({recipe["augment"]["policy"] for recipe in recipes if recipe["train"]["epochs"]} & {*OVERLAP})
    if corrupted and used:
        yield (
            f"Augmentation by {', '.join(used)} uses {', '.join(OVERLAPPING)}, which some test corruptions resemble:"
            " robustness to these is partly trained (augmix-strict leaves them out)."
        )


def _of_attacks(contenders: Sequence[Contender]) -> Iterator[str]:
    attacked = [rows for one in contenders for member in one.members if (rows := member.of_kind("attack"))]
    findings = sorted({finding for rows in attacked for row in rows for finding in row.findings})
    if findings:
        yield f"Checks speak against some numbers under attack ({', '.join(findings)}); the tables mark which."
    if any(all(row.condition["attack"] != "autoattack" for row in rows) for rows in attacked):
        yield (
            "Accuracy under one attack bounds robustness from above: a stronger attack, such as AutoAttack, may find"
            " more. None of these networks was trained against attacks."
        )
