"""The page: Gradio's inputs, our results. Everything that it loads comes from this server."""

import html
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from doublevit.corruptions import COMMON, SEVERITIES, VALIDATION
from doublevit.errors import UserError
from doublevit.jobs.prediction import TOP
from doublevit.serve import markup, pictures
from doublevit.serve.limits import Refused, decode_upload
from doublevit.serve.options import Limits
from doublevit.serve.predictor import Predictor

CSS = Path(__file__).with_name("page.css")
EMPTY = markup.text("Choose an image first.")
ATTENTION_TEXT = "Where the network looks: attention rollout through all layers, and single layers. Brighter is more."
ATTACK_TEXT = (
    f"PGD ({pictures.STEPS} steps, Linf) changes every color of every pixel by at most epsilon, to make another class"
    " the first."
)
MINUTES = 10
"""How long an uploaded image is kept."""


class Panels:
    """What each part of the page answers, as HTML: one section for each model.

    Args:
        predictors: of the models that are shown.
        limits: of images.
    """

    def __init__(self, predictors: Sequence[Predictor], limits: Limits) -> None:
        self.predictors, self.limits = predictors, limits

    def predict(self, path: str | None) -> str:
        """Return the best classes."""
        return self._each(path, self._predict)

    def attention(self, path: str | None) -> str:
        """Return the attention maps."""
        return self._each(path, self._attention)

    def corrupt(self, path: str | None, name: str, severity: float) -> str:
        """Return the image, and its answer, before and after a corruption."""
        return self._each(path, lambda predictor, pixels: self._corrupt(predictor, pixels, name, int(severity)))

    def attack(self, path: str | None, levels: float) -> str:
        """Return the image, and its answer, before and after PGD with an epsilon of so many 255ths."""
        return self._each(path, lambda predictor, pixels: self._attack(predictor, pixels, levels))

    def weakest(self, path: str | None) -> str:
        """Return the same with the smallest epsilon that fools."""
        return self._each(path, lambda predictor, pixels: self._attack(predictor, pixels, None))

    def _each(self, path: str | None, show: Callable[[Predictor, np.ndarray], str]) -> str:
        if path is None:
            return EMPTY
        try:
            data = Path(path).read_bytes()
            images = [decode_upload(data, self.limits, each.model.info.bits) for each in self.predictors]
        except (Refused, OSError) as error:
            return markup.message(str(error))
        pairs = zip(self.predictors, images, strict=True)
        return markup.result((each.name, _shown(show, each, each.model.prepare(image))) for each, image in pairs)

    def _predict(self, predictor: Predictor, pixels: np.ndarray) -> str:
        return markup.bars(predictor.model, predictor.submit(pixels, TOP).result())

    def _attention(self, predictor: Predictor, pixels: np.ndarray) -> str:
        overlays = predictor.run(lambda model: pictures.attention_overlays(model, pixels))
        shown = [_input_figure(pixels)]
        shown += [markup.figure(image, f"Attention over the image: {title}", title) for title, image in overlays]
        return markup.figures(shown)

    def _corrupt(self, predictor: Predictor, pixels: np.ndarray, name: str, severity: int) -> str:
        image, plain = pictures.corrupted(pixels, name, severity), name.replace("_", " ")
        answers = [predictor.submit(each, TOP) for each in (pixels, image)]
        before, after = (markup.bars(predictor.model, answer.result()) for answer in answers)
        return markup.figures(
            [
                _input_figure(pixels, before),
                markup.figure(image, f"The image under {plain}", f"{plain}, severity {severity}", after),
            ]
        )

    def _attack(self, predictor: Predictor, pixels: np.ndarray, levels: float | None) -> str:
        found = predictor.run(
            lambda model: (
                pictures.weakest_attack(model, pixels, TOP)
                if levels is None
                else pictures.attacked(model, pixels, levels, TOP)
            )
        )
        model = predictor.model
        shown = [
            _input_figure(pixels, markup.bars(model, found.before)),
            markup.figure(found.image, "The image after the attack", "attacked", markup.bars(model, found.after)),
            markup.figure(found.difference, "What the attack added, amplified", f"{found.caption} (gray: none)"),
        ]
        return markup.text(_outcome(predictor, found, searched=levels is None)) + markup.figures(shown)


def _outcome(predictor: Predictor, found: pictures.Attacked, *, searched: bool) -> str:
    """Say in a sentence whether the attack fooled the model."""
    size = f"{found.levels:g}/255"
    after, side = markup.name_of(predictor.model, found.after), predictor.model.info.side
    where = f"at {side} x {side} pixels"
    if not found.fooled:
        return f"Not fooled: no pixel changes by more than {size} {where}, and the answer stays {after}."
    found_by = "Smallest epsilon found that fools it" if searched else "Fooled"
    return f"{found_by}: no pixel changes by more than {size} {where}, and the answer is {after}."


def _input_figure(pixels: np.ndarray, below: str = "") -> str:
    """Show the network's input: resized, and cropped where it was not square."""
    side = f"{pixels.shape[1]} x {pixels.shape[0]}"
    return markup.figure(pixels, "The image as the network gets it", f"input, {side}", below)


def _shown(show: Callable[[Predictor, np.ndarray], str], predictor: Predictor, pixels: np.ndarray) -> str:
    try:
        return show(predictor, pixels)
    except (UserError, Refused) as error:
        return markup.message(str(error))


def make_page(predictors: Sequence[Predictor], limits: Limits, examples: Mapping[str, Path]) -> gr.Blocks:
    """Build the page.

    Args:
        predictors: of one model, or of two to compare.
        limits: of images.
        examples: images to choose from, by their names.
    """
    panels, names = Panels(predictors, limits), " and ".join(each.name for each in predictors)
    with gr.Blocks(title=f"{names} - doublevit", analytics_enabled=False, delete_cache=(60, 60 * MINUTES)) as page:
        gr.HTML(_heading(predictors, names))
        with gr.Row():
            with gr.Column(min_width=300):
                image = _image_input(limits)
                if examples:
                    _examples(image, examples)
            with gr.Column(min_width=300):
                gr.HTML("<h2>Classes</h2>")
                classes = gr.HTML(EMPTY, elem_id="classes")
        outputs = _tabs(image, panels)
        image.change(
            lambda path: [panels.predict(path), *["" for _ in outputs]],
            image,
            [classes, *outputs],
            show_progress="minimal",
            trigger_mode="always_last",
        )
    page.queue(max_size=32, api_open=False)
    return page


def theme() -> gr.themes.Base:
    """Return a theme of the system's own fonts."""
    return gr.themes.Base(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace"))


def _heading(predictors: Sequence[Predictor], names: str) -> str:
    model = predictors[0].model
    return (
        f"<h1>{html.escape(names)}</h1><p>{len(model.classes):,} classes. Images stay on this machine, and are deleted"
        f" after {MINUTES} minutes.</p>"
    )


def _image_input(limits: Limits) -> gr.Image:
    """Make the input, which hands over the file as it was sent: it is decoded within the limits, by us."""
    image = gr.Image(
        label="Image",
        sources=["upload", "clipboard", "webcam"],
        type="filepath",
        height=320,
        elem_id="image",
        buttons=[],
        placeholder=f"Drop an image here, or choose one (up to {limits.megabytes:g} MB)",
    )
    vars(image)["preprocess"] = _path_of
    return image


def _examples(image: gr.Image, examples: Mapping[str, Path]) -> None:
    """Let one of some images be chosen by its name."""
    names = gr.Radio([*examples], label="Examples: validation images of the run")
    names.input(lambda name: str(examples[name]), names, image, show_progress="hidden")
    image.input(lambda: None, None, names, show_progress="hidden")


def _path_of(payload: Any) -> str | None:
    """Return where an uploaded file lies; Gradio itself would decode it."""
    return payload.path if payload else None


def _tabs(image: gr.Image, panels: Panels) -> list[gr.HTML]:
    """Make a tab for each question, and return where their answers go."""
    with gr.Tabs():
        with gr.Tab("Attention"):
            gr.HTML(markup.text(ATTENTION_TEXT))
            attend, attention = gr.Button("Show attention", variant="primary"), _output("attention")
        with gr.Tab("Corruption"):
            with gr.Row():
                choices = [(name.replace("_", " "), name) for name in (*COMMON, *VALIDATION)]
                name = gr.Dropdown(choices, value="fog", label="Corruption")
                severity = gr.Slider(SEVERITIES[0], SEVERITIES[-1], 3, step=1, label="Severity", buttons=[])
            spoil, corruption = gr.Button("Corrupt image", variant="primary"), _output("corruption")
        with gr.Tab("Attack"):
            gr.HTML(markup.text(ATTACK_TEXT))
            levels = gr.Slider(0.1, 8, 1, step=0.1, label="Epsilon, in units of 1/255", buttons=[])
            with gr.Row():
                strike = gr.Button("Attack image", variant="primary")
                search = gr.Button("Find the smallest epsilon")
            attack = _output("attack")
    attend.click(panels.attention, image, attention)
    spoiled: dict[str, Any] = {"fn": panels.corrupt, "inputs": [image, name, severity], "outputs": corruption}
    for event in (spoil.click, name.input, severity.release):
        event(**spoiled, trigger_mode="always_last")
    strike.click(panels.attack, [image, levels], attack)
    search.click(panels.weakest, image, attack)
    return [attention, corruption, attack]


def _output(name: str) -> gr.HTML:
    return gr.HTML("", elem_id=f"{name}-result", min_height=40)
