"""The model card: what an exported model is, what was measured of it, and what these numbers do not say."""

import re

from doublevit.analysis.saved_predictions import condition_words
from doublevit.jobs.model import Model
from doublevit.runs.conditions import Clean, CorruptionMean
from doublevit.runs.row import Row

LIBRARIES = {"doublevit": "doublevit", "timm": "timm", "hf": "transformers"}
USE = {
    "doublevit": 'import doublevit\n\nmodel = doublevit.load("FOLDER")\nmodel.predict("cat.jpg")',
    "timm": 'import timm\n\nmodel = timm.create_model("local-dir:FOLDER", pretrained=True)',
    "hf": (
        "from transformers import AutoImageProcessor, AutoModelForImageClassification\n\n"
        'model = AutoModelForImageClassification.from_pretrained("FOLDER")\n'
        'processor = AutoImageProcessor.from_pretrained("FOLDER")'
    ),
}


def model_card(model: Model, format: str, rows: list[Row]) -> str:  # noqa: A002  # as in `export`
    """Return README.md of an exported model: front matter, use, results with intervals, caveats."""
    info = model.info
    kind = "A DoubleViT" if info.model and info.model.coarse else "An image classifier"
    tags = ["image-classification", LIBRARIES[format]] + (["doublevit"] if format != "doublevit" else [])
    backbone = info.model.backbone if info.model else info.name
    front = ["---", f"library_name: {LIBRARIES[format]}", "pipeline_tag: image-classification", "tags:"]
    front += [f"- {tag}" for tag in tags] + ["---"]
    parts = [
        "\n".join(front),
        f"# {_plain(info.name)}",
        f"{kind} of {len(info.class_ids):,} classes, from {_plain(backbone)}, by doublevit {info.doublevit}.",
        f"```python\n{USE[format]}\n```",
        _input(model),
        "## Results\n\n" + (_table(rows) if rows else "Nothing was measured."),
        "## What the numbers do not say\n\n" + "\n".join(f"- {caveat}" for caveat in _caveats(rows)),
    ]
    return "\n\n".join(parts) + "\n"


WAYS = {
    "crop": "shorter side resized, then the center",
    "older": "shorter side resized, then the center",
    "squash": "both sides resized",
    "pad": "longer side resized, then borders",
}


def _input(model: Model) -> str:
    info = model.info
    return (
        f"Images are brought to {info.side} x {info.side} pixels ({WAYS[info.geometry.fit]}), resized to"
        f" {info.image_size} x {info.image_size} ({info.interpolation}) and normalized."
        " model.json has all of it, and the classes."
    )


def _table(rows: list[Row]) -> str:
    newest = {(str(row.condition), row.metric, str(row.dataset)): row for row in rows if row.dataset is not None}
    lines = ["| condition | metric | value (95 % interval) | n | images |", "|---|---|---|---|---|"]
    for row in newest.values():
        condition = (
            " ".join(condition_words(row))
            if not isinstance(row.condition, CorruptionMean)
            else f"mean, {row.condition.group}"
        )
        value = f"{100 * row.value:.1f} % ({100 * row.low:.1f} to {100 * row.high:.1f})"
        lines.append(f"| {_plain(condition)} | {row.metric} | {value} | {row.count:,} | {_plain(str(row.dataset))} |")
    return "\n".join(lines)


def _caveats(rows: list[Row]) -> list[str]:
    caveats = [
        "Intervals are for the images drawn, not for the seed of the training.",
        "A network that was pretrained on ImageNet has seen images of its classes, perhaps some of those measured on.",
    ]
    if not any(not isinstance(row.condition, Clean) for row in rows):
        caveats.append("Nothing was measured under corruptions or attacks.")
    findings = sorted({finding for row in rows for finding in row.findings})
    if findings:
        caveats.append(f"Checks of the attacks found: {', '.join(findings)}.")
    return caveats


def _plain(text: str) -> str:
    """Text that Markdown reads as it is."""
    return re.sub(r"([\\`*_\[\]()!#|])", r"\\\1", text.replace("<", "&lt;").replace("\n", " "))
