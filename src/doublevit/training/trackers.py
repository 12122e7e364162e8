"""Trackers (TensorBoard, Weights & Biases, MLflow, or the user's own) that a run is logged to, through accelerate.

Files of a tracker lie in the run's folder, and nothing is sent anywhere, unless the user's environment says otherwise
(WANDB_MODE, MLFLOW_TRACKING_URI). A tracker that fails is left out from then on; what it was to watch goes on.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, MLflowTracker, TensorBoardTracker, WandBTracker

from doublevit.device import this_process
from doublevit.errors import first_line
from doublevit.progress import console
from doublevit.runs.trackers import START, Position, TrackerRecord

PROJECT = "doublevit"
Hyperparameters = Mapping[str, Any]


class SafeTracker(GeneralTracker):
    """Passes on to a tracker what it does not have yet, until it fails: then it warns once, and passes on no more.

    Args:
        tracker: a tracker of accelerate's, or one of the user's.
        record: what it has from earlier commands. As a resumed training makes the same steps again, numbers of steps
            that the tracker has already are passed over; so they do not stand there twice.
        environment: environment variables for what the tracker does, without those that the user has set.
    """

    requires_logging_directory = False

    def __init__(
        self, tracker: GeneralTracker, record: TrackerRecord | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = tracker.name
        self.works, self._started, self._tracker = True, False, tracker
        self._is_new, self.logged = record is None, record.logged if record else START
        self._environment = {key: value for key, value in (environment or {}).items() if key not in os.environ}
        super().__init__()

    @property
    def tracker(self) -> Any:
        """What the tracker works with, such as a run of wandb."""
        return self._tracker.tracker

    @property
    def id(self) -> str:
        """The tracker's own name of the run, by which a later command finds it; "" if it needs none."""
        known: dict[str, Callable[[], str]] = {
            "wandb": lambda: str(self.tracker.id),
            "mlflow": lambda: str(self.tracker.info.run_id),
        }
        return known.get(self.name, str)() if self.works else ""

    def start(self) -> None:
        self._try(self._tracker.start)
        self._started = self.works

    def store_init_configuration(self, values: Hyperparameters) -> None:
        if self._is_new:
            self._try(self._tracker.store_init_configuration, values)

    def log(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        place: Position = (step or 0, "epoch" in values)
        if place > self.logged:
            self.logged = place
            self._try(self._tracker.log, values, step=step, **kwargs)

    def log_image(self, name: str, file: Path, pixels: np.ndarray) -> None:
        """Log a picture, as an image, or as a file where the tracker has no images.

        Args:
            name: its name.
            file: the picture as PNG.
            pixels: the same, uint8 (H, W, 3).
        """
        if not self._is_new:
            return
        if self.name == "tensorboard":
            self._try(self._tracker.log_images, {name: pixels[None]}, step=0, dataformats="NHWC")
        elif hasattr(self._tracker, "log_images"):
            self._try(self._tracker.log_images, {name: [pixels]}, step=0)
        elif hasattr(self._tracker, "log_artifact"):
            self._try(self._tracker.log_artifact, str(file))

    def log_page(self, name: str, file: Path, text: str) -> None:
        """Log a page as an artefact, or its text where the tracker has no artefacts."""
        if self.name == "wandb":
            self._try(_wandb_artifact, self._tracker, name, file)
        elif hasattr(self._tracker, "log_artifact"):
            self._try(self._tracker.log_artifact, str(file))
        else:
            self._try(self._tracker.log, {name: text}, step=max(0, self.logged[0]))

    def finish(self) -> None:
        if self._started:  # Ctrl-C may come before
            self._try(self._tracker.finish)

    def _try(self, action: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        if not self.works:
            return
        try:
            with _variables(self._environment):
                action(*arguments, **named)
        except Exception as error:  # of any library, on any disk or network
            self.works = False
            reason = f"{type(error).__name__}: {first_line(error)}"
            line = f"warning: the tracker {self.name} failed and is left out from here on ({reason})"
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def make_tracker(name: str, run: Path, record: TrackerRecord | None = None) -> SafeTracker:
    """Make a tracker by its name, whose files lie in the run's folder; it is not started."""
    run = run.resolve()
    make = {"mlflow": _mlflow, "tensorboard": _tensorboard, "wandb": _wandb}[name]
    tracker, environment = make(run, record.id if record else "")
    return SafeTracker(tracker, record, environment)


def start_trackers(accelerator: Accelerator, trackers: Iterable[SafeTracker], hyperparameters: Hyperparameters) -> None:
    """Start trackers and give `Accelerator.log` to them; those that are new get the hyperparameters."""
    accelerator.log_with = list(trackers)  # not at its making: how far the run is decides what they get
    values = {name: value if isinstance(value, int | float) else str(value) for name, value in hyperparameters.items()}
    accelerator.init_trackers(PROJECT, values)


def _tensorboard(run: Path, _: str) -> tuple[GeneralTracker, dict[str, str]]:
    return TensorBoardTracker("tensorboard", run), {}


def _wandb(run: Path, own_id: str) -> tuple[GeneralTracker, dict[str, str]]:
    folder = str(run / "wandb")
    environment = {
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_CONSOLE": "off",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_DISABLE_GIT": "true",
        "WANDB_DISABLE_CODE": "true",
        "WANDB_CACHE_DIR": folder,
        "WANDB_DATA_DIR": folder,
    }
    names = {"name": run.name, "dir": str(run)} | ({"id": own_id, "resume": "allow"} if own_id else {})
    return WandBTracker(PROJECT, **names), environment


def _wandb_artifact(tracker: WandBTracker, name: str, file: Path) -> None:
    import wandb

    artifact = wandb.Artifact(f"{name}-{tracker.tracker.id}", type=name)
    artifact.add_file(str(file))
    tracker.tracker.log_artifact(artifact)


def _mlflow(run: Path, own_id: str) -> tuple[GeneralTracker, dict[str, str]]:
    folder = run / "mlflow"
    environment = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
    }
    own_store = "MLFLOW_TRACKING_URI" not in os.environ
    if own_store:
        folder.mkdir(exist_ok=True)
    place = (folder / "artifacts").as_uri() if own_store else None
    return MLflowTracker(PROJECT, logging_dir=place, run_id=own_id or None, run_name=run.name), environment


@contextlib.contextmanager
def _variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def log_report(run: Path, records: Mapping[str, TrackerRecord], page: Path, text: str) -> None:
    """Give a run's page to its trackers: as an artefact, or its text to those that have no artefacts."""
    this_process()  # accelerate's trackers ask it whether this is the first process
    for name, record in records.items():
        tracker = make_tracker(name, run, record)
        tracker.start()
        tracker.log_page("report", page, text)
        tracker.finish()
