"""The server: models opened, page and API put together, answered until it is stopped."""

import contextlib
import os
import socket
import sys
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

from doublevit.errors import UserError, first_line
from doublevit.jobs.model import Model
from doublevit.progress import console
from doublevit.serve.options import ServeOptions, is_loopback

EXTRA = ("gradio", "fastapi", "uvicorn", "prometheus_client", "multipart")
QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_ALLOW_FLAGGING": "never",
    "GRADIO_SHARE": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}
"""What keeps Gradio, and what it brings, from telling anybody anything."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
CONNECTIONS = 512
LONGEST_ERROR = 300  # characters of an error
GRACE = 2  # seconds that requests under way get at the end


def serve(options: ServeOptions, announce: Callable[[str], None], models: Sequence[Model] = ()) -> None:
    """Serve models until Ctrl-C or SIGTERM.

    Args:
        options: which models, where, and within which limits.
        announce: is told where, once requests are answered.
        models: models that are open already, instead of those that `options` name.

    Raises:
        UserError: a package or a model is missing, the port is in use, or two models have other classes.
        KeyboardInterrupt: it was stopped.
    """
    require_extra()
    with listening(options.host, options.port) as own, tempfile.TemporaryDirectory(prefix="doublevit-") as folder:
        uploads = Path(folder).resolve()
        os.environ.update(QUIET | {"GRADIO_TEMP_DIR": str(uploads)})  # before gradio is imported
        with running(models or _open(options), options, uploads) as app:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own bound is checked, and told
            warnings.filterwarnings("ignore", module="PIL")  # of damaged files, which the answer tells of
            _answer(app, own, options, announce)


def require_extra() -> None:
    """Raise `UserError` where a package of the extra is not installed."""
    import importlib.util

    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"doublevit serve wants the extra serve ({missing[0]} is missing): pip install 'doublevit[serve]'"
        )


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Hold the address, before anything slow is done.

    Raises:
        UserError: another program has it, or it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Where the protocol is not named, asyncio leaves Nagle's algorithm on, and answers wait 40 ms for the client's ACK.
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            own.bind((host, port))
            own.listen()  # two that only bind can have the same port, until one of them listens
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(
                f"cannot listen at {host}, port {port} ({reason}); stop what does, or choose another `port` or `host`"
            ) from error
        yield own


def _open(options: ServeOptions) -> list[Model]:
    from doublevit.serve.served import open_models

    return open_models(options)


@contextlib.contextmanager
def running(models: Sequence[Model], options: ServeOptions, uploads: Path) -> Iterator[Any]:
    """Run a predictor for each model, and yield the application that uses them.

    Raises:
        UserError: two models have other classes.
    """
    from doublevit.serve.api import make_api
    from doublevit.serve.gate import Gate
    from doublevit.serve.metrics import Metrics
    from doublevit.serve.predictor import Predictor
    from doublevit.serve.served import different_names, examples_of, require_same_classes

    require_same_classes(models)
    metrics = Metrics()
    predictors = [
        Predictor(name, model, options.batch_size, metrics.counter(name))
        for model, name in zip(models, different_names(models), strict=True)
    ]
    with ThreadPoolExecutor(os.cpu_count() or 1, "decoder") as pool:
        try:
            app = make_api(predictors, options.limits, pool, metrics)
            if options.page:
                _add_page(app, predictors, options, uploads, examples_of(options.models[0], uploads))
            yield Gate(app, names_of_host(options.host), options.limits, metrics, uploads if options.page else None)
        finally:
            for predictor in predictors:
                predictor.close()


def names_of_host(host: str) -> frozenset[str] | None:
    """Return the names that a server at this address may be called by; None where they cannot be known."""
    return frozenset(LOOPBACK) | {host} if is_loopback(host) else None


def _add_page(app: Any, predictors: Any, options: ServeOptions, uploads: Path, examples: dict[str, Path]) -> None:
    import gradio

    from doublevit.serve.page import CSS, make_page, theme

    install_telling()
    page = make_page(predictors, options.limits, examples)
    gradio.mount_gradio_app(
        app,
        page,
        "/",
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        show_error=False,
        max_file_size=options.limits.body_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        css_paths=[CSS],
    )


def install_telling() -> None:
    """Let Gradio's queue, which would print whole tracebacks, tell of errors in a line."""
    import gradio.queueing

    gradio.queueing.traceback = types.SimpleNamespace(print_exc=_tell)  # type: ignore[assignment]


def _tell() -> None:
    """Tell of the error that is handled, in a line: whoever asks for what the page does not offer gets none."""
    error = sys.exception()
    if error is not None:
        line = f"error: the page: {type(error).__name__}: {first_line(error)}"
        console.print(line[:LONGEST_ERROR], markup=False, highlight=False, soft_wrap=True)


def _answer(app: Any, own: socket.socket, options: ServeOptions, announce: Callable[[str], None]) -> None:
    import logging

    import uvicorn

    from doublevit.serve.gate import HEADER_BYTES
    from doublevit.serve.protocol import ImpatientProtocol

    for name in ("uvicorn.error", "python_multipart"):  # what goes wrong, the gate and the answer tell in a line
        logging.getLogger(name).setLevel(logging.CRITICAL)
    protocol = type("Protocol", (ImpatientProtocol,), {"seconds": options.limits.seconds})
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=HEADER_BYTES,
        timeout_graceful_shutdown=GRACE,
    )

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            host, port = own.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            announce(f"http://{shown}:{port}")

    Server(config).run(sockets=[own])
