"""Options of `doublevit serve`. Nothing here imports torch, so that help stays quick."""

import dataclasses
import ipaddress
from typing import Annotated, Literal

import tyro

from doublevit.errors import UserError
from doublevit.jobs.options import DeviceOptions

MOST_MODELS = 2
MEGA = 1_000_000


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bound what a request may ask for, so that none takes the machine's memory, or all of its time."""

    megabytes: float = 10.0
    """Size of a request's body."""
    megapixels: float = 25.0
    """Size of an image, as its header says, before memory is taken for it."""
    images: int = 32
    """Images in a request."""
    requests: int = 64
    """Requests to the API under way at a time; more are told to come back (503)."""
    seconds: float = 30.0
    """How long a request's body, or its headers, may take to arrive."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not 0 < getattr(self, field.name) < float("inf"):
                raise UserError(f"`limits.{field.name}`: expected more than 0, found {getattr(self, field.name)}")

    @property
    def body_bytes(self) -> int:
        """The most bytes of a body."""
        return int(self.megabytes * MEGA)

    @property
    def pixels(self) -> int:
        """The most pixels of an image."""
        return int(self.megapixels * MEGA)


@dataclasses.dataclass(frozen=True)
class ServeOptions(DeviceOptions):
    """Show a model as a page in the browser, and answer requests by an API, on this machine alone.

    The page: drop an image, take one with the camera or choose an example; the classes, where the network looks, what
    corruptions and PGD do. The API: POST /api/predict; /openapi.json describes it; /healthz and /metrics.
    """

    models: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="MODEL [MODEL]")]
    """A run's folder, timm:NAME, hf:REPO_OR_FOLDER, an exported folder or .onnx, or a file of weights with --model;
    a second one, of the same classes, is shown beside the first."""
    host: str = "127.0.0.1"
    """The address to listen at; 0.0.0.0 lets everyone in who reaches this machine."""
    port: int = 7860
    """The port to listen at; 0 for one that is free."""
    checkpoint: Literal["last", "best"] = "last"
    """Which weights of a run."""
    weights: str = "hub"
    """For timm:NAME: hub (downloaded), none, a file, or a folder of files that bear timm's names."""
    model: str | None = None
    """The timm network that a file of weights belongs to."""
    batch_size: int = 32
    """The most waiting images that are predicted together."""
    page: bool = True
    """Serve the page; without it only the API."""
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if not 1 <= len(self.models) <= MOST_MODELS:
            raise UserError(f"expected one model, or two to compare, found {len(self.models)}")
        if not 0 <= self.port < 2**16:
            raise UserError(f"`port`: expected 0 to 65535, found {self.port}")
        if self.batch_size < 1:
            raise UserError(f"`batch_size`: expected at least 1, found {self.batch_size}")


def is_loopback(host: str) -> bool:
    """Return whether an address is that of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
