"""The check of a data set before training: looked at, judged, written as a page. Needs torch for a model alone."""

import os
from collections.abc import Callable
from pathlib import Path

from doublevit.data.check.duplicates import exact_groups, near_groups
from doublevit.data.check.findings import Findings, find
from doublevit.data.check.scan import scan
from doublevit.data.check.source import open_source
from doublevit.data.config import DataConfig
from doublevit.data.decode import Decoding
from doublevit.errors import UserError
from doublevit.files import writable_folder, write_text
from doublevit.geometry import SIDE
from doublevit.report.data_check import check_page, write_findings
from doublevit.runs.model_info import FILE, read_info

PAGE, FILES = "index.html", "findings.csv"


def check(config: DataConfig, model: str | Path | None = None, weights: str = "hub") -> Findings:
    """Look at every image of a source, and judge labels by a trained model, if one is given.

    `model` and `weights` are as `open_model` takes them.

    Raises:
        UserError: the source or the model cannot be opened, or the model does not know the source's classes.
    """
    if model is not None and not str(model).startswith(("timm:", "hf:")) and not Path(model).exists():
        raise UserError(f"`model` {model}: expected the folder of a run, or another model; found nothing there")
    source, options = open_source(config), _decoding(config)
    workers = config.workers or os.cpu_count() or 1
    seen = scan(source, options, workers)
    exact, near = exact_groups(seen), near_groups(seen, options, workers)
    more = []
    if model is not None:
        from doublevit.jobs.contradictions import contradicted_labels

        more = [finding for finding in [contradicted_labels(seen, model, weights, workers)] if finding]
    return find(seen, exact, near, _input_side(config, model, source.side), more)


def write_check(
    findings: Findings, config: DataConfig, output: Path, words: Callable[[str], str] = str
) -> tuple[Path, Path]:
    """Write the page and the list of files into the folder `output`, and return their paths.

    `words` turns arguments in texts, such as `data.fit=pad` in backticks, into what the user types.

    Raises:
        UserError: the folder cannot be written to.
    """
    folder = writable_folder(output, "the page of the check")
    write_text(folder / PAGE, check_page(findings, _decoding(config), words))
    write_findings(folder / FILES, findings)
    return folder / PAGE, folder / FILES


def _decoding(config: DataConfig) -> Decoding:
    return Decoding(config.bits, config.max_pixels)


def _input_side(config: DataConfig, model: str | Path | None, side: int | None) -> int:
    """Return the side in pixels that images are resized to: what is asked for, the model's, the source's, or 224."""
    if config.size is None and model is not None and (Path(model) / FILE).is_file():
        return read_info(Path(model)).side
    return config.size or side or SIDE
