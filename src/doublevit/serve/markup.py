"""The page's results as HTML: bars, figures, messages. All text is escaped, and pictures are inside."""

import base64
import html
import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from doublevit.data.sheet import first_name
from doublevit.jobs.model import Model
from doublevit.serve.predictor import Answer

SHOWN = 192  # pixels below which an image is enlarged, pixel by pixel


def bars(model: Model, answer: Answer) -> str:
    """Return the best classes with a bar for each probability."""
    items = zip(answer.classes, answer.probabilities, strict=True)
    return f'<ol class="bars">{"".join(_bar(model.classes[index], value) for index, value in items)}</ol>'


def percent(value: float) -> str:
    """Write a probability as `doublevit predict` rounds it."""
    return f"{100 * value:.1f} %"


def name_of(model: Model, answer: Answer) -> str:
    """Return the first class's name with its probability."""
    return f"{first_name(model.classes[answer.classes[0]])}, {percent(answer.probabilities[0])}"


def figure(image: np.ndarray, alt: str, caption: str, below: str = "") -> str:
    """Return an image uint8 (H, W, 3) with a caption, and what stands below it."""
    return (
        f'<figure><img src="{_data_uri(image)}" alt="{html.escape(alt)}">'
        f"<figcaption>{html.escape(caption)}</figcaption>{below}</figure>"
    )


def figures(each: Iterable[str]) -> str:
    """Return figures side by side, or below one another where there is no room."""
    return f'<div class="figures">{"".join(each)}</div>'


def text(line: str) -> str:
    """Return a sentence."""
    return f"<p>{html.escape(line)}</p>"


def message(line: str) -> str:
    """Return what could not be done, and why."""
    return f'<p class="message" role="alert">{html.escape(line)}</p>'


def result(parts: Iterable[tuple[str, str]]) -> str:
    """Return what each model gives, side by side under its name; a single one without."""
    pairs = list(parts)
    if len(pairs) == 1:
        return f'<div class="result">{pairs[0][1]}</div>'
    sections = (f"<section><h3>{html.escape(name)}</h3>{part}</section>" for name, part in pairs)
    return f'<div class="result models">{"".join(sections)}</div>'


def _bar(name: str, value: float) -> str:
    return (
        f"<li><span>{html.escape(name)}</span><b>{percent(value)}</b>"
        f'<i aria-hidden="true" style="width:{100 * value:.1f}%"></i></li>'
    )


def _data_uri(image: np.ndarray) -> str:
    picture, file = Image.fromarray(image), io.BytesIO()
    if picture.width < SHOWN:
        picture = picture.resize((SHOWN, SHOWN * picture.height // picture.width), Image.Resampling.NEAREST)
    picture.save(file, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
