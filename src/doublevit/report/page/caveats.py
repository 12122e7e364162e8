"""Caveats: what could mislead in the numbers of some runs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from doublevit.analysis.comparison import Comparison
from doublevit.analysis.descriptions import is_published
from doublevit.augment.config import OVERLAPPING
from doublevit.corruptions.textures import GENERATED
from doublevit.runs.conditions import Attack, Corruption
from doublevit.runs.row import Row

FEW_IMAGES = 1000
OVERLAPPING_POLICIES = ("augmix", "augmix-jsd", "randaugment", "trivial", "classic")


def caveats(comparison: Comparison) -> list[str]:
    """Return the caveats that apply, each in one or two sentences."""
    members = comparison.members
    recipes = [member.recipe for member in members]
    rows = [row for member in members for row in member.rows]
    single = [method.first.recipe["train"]["epochs"] for method in comparison.methods if len(method.members) == 1]
    return [
        *_of_training(recipes, once=any(single)),
        *_of_images(rows),
        *_of_corruptions(rows),
        *_of_overlap(rows, recipes),
        *_of_attacks([attacks for member in members if (attacks := member.rows_of(Attack))]),
    ]


def _of_training(recipes: Sequence[Mapping[str, Any]], *, once: bool) -> Iterator[str]:
    tiny = any(recipe["data"]["source"] == "tiny-imagenet" for recipe in recipes)
    if tiny and any(recipe["model"]["weights"] != "none" for recipe in recipes):
        yield (
            "Networks pretrained on ImageNet have seen images of Tiny ImageNet's classes, perhaps some of these very"
            " images: accuracies are too good for classes that a network has never seen."
        )
    if once:
        yield (
            "Networks were trained once each, where no seeds are named. Intervals are for the images drawn: what"
            " another seed of the training would change is not in them, and small differences may be luck."
        )


def _of_images(rows: Sequence[Row]) -> Iterator[str]:
    counts = [row.count for row in rows if row.dataset is not None]
    if counts and min(counts) < FEW_IMAGES:
        yield f"Some numbers are of few images (n = {min(counts):,} at the least): look at the intervals."
    if any(row.checkpoint.which == "best" for row in rows):
        yield "Weights named best were chosen on the images that they are measured on: a little too good."
    if any(row.adapted for row in rows):
        yield (
            "Adapted rows have taken statistics of the images that they are measured on (never labels); they belong to"
            " a setting in which many such images arrive together."
        )


def _of_corruptions(rows: Sequence[Row]) -> Iterator[str]:
    corrupted = [row for row in rows if isinstance(row.condition, Corruption)]
    published = {row.condition.source.constants for row in corrupted if is_published(row)}  # type: ignore[union-attr]
    if "imagenet" in published:
        yield (
            "ImageNet-C's images were cut to 224 pixels and saved as JPEG by its authors, so % change against the clean"
            " images, which are cut as the network wants them, holds that too."
        )
    if None in published:
        yield (
            "The published Tiny-ImageNet-C shows other crops than Tiny ImageNet's validation images, so % change"
            " against these mixes two effects."
        )
    if not all(is_published(row) for row in corrupted):
        yield (
            "Home-made corruptions follow the published generator, of the clean validation images themselves; their"
            " numbers are not those of the published Tiny-ImageNet-C, whose images are other crops, saved as JPEG."
        )
    if any(row.condition.frost == GENERATED for row in corrupted if isinstance(row.condition, Corruption)):
        yield "Frost was made of generated textures, not of the published ones: its numbers are of another corruption."


def _of_overlap(rows: Sequence[Row], recipes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    corrupted = any(isinstance(row.condition, Corruption) for row in rows)
    policies = sorted(
        {recipe["augment"]["policy"] for recipe in recipes if recipe["train"]["epochs"]} & {*OVERLAPPING_POLICIES}
    )
    if corrupted and policies:
        yield (
            f"Augmentation by {', '.join(policies)} uses {', '.join(OVERLAPPING)}, which some test corruptions"
            " resemble: robustness to these is partly trained (augmix-strict leaves them out)."
        )


def _of_attacks(attacked: Sequence[Sequence[tuple[Row, Attack]]]) -> Iterator[str]:
    findings = sorted({finding for rows in attacked for row, _ in rows for finding in row.findings})
    if findings:
        yield f"Checks speak against some numbers under attack ({', '.join(findings)}); the tables mark which."
    if any(all(attack.attack != "autoattack" for _, attack in rows) for rows in attacked):
        yield (
            "Accuracy under one attack bounds robustness from above: a stronger attack, such as AutoAttack, may find"
            " more. None of these networks was trained against attacks."
        )
