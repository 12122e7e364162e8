"""What every request passes: whose it is, how large, how long it takes; and what every answer says to the browser."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from doublevit.files import folder_size
from doublevit.progress import console
from doublevit.serve.limits import Refused, too_large
from doublevit.serve.metrics import Metrics
from doublevit.serve.options import Limits

PREDICT = "/api/predict"
UPLOAD, JOIN, FILE = "/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/file="
OWN = ("/healthz", "/metrics", "/openapi.json", PREDICT)
OF_PAGE = (
    *("/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt", UPLOAD, JOIN),
    *("/gradio_api/info", "/gradio_api/queue/data", "/gradio_api/upload_progress", "/gradio_api/startup-events"),
    *("/gradio_api/cancel", "/gradio_api/reset"),
)
BELOW = ("/assets/", "/static/", "/svelte/", "/gradio_api/heartbeat/")
"""What the page needs of Gradio's addresses; others fetch from elsewhere, or write, and nobody here wants them."""
JOIN_BYTES = 100_000
HEADER_BYTES = 16_384
DRAINED, DRAIN_SECONDS = 8, 5  # bodies above the limit are read to their end, up to so many times the limit
BLOCK = 4096  # bytes that a file takes at least
UPLOADED_BYTES = 500_000_000
"""The most that uploads may take on the disk; they are deleted after some minutes."""
SECURITY = {
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval';"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:;"
    " connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self';"
    " frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}


class Gate:
    """ASGI middleware around API and page.

    Args:
        app: what answers.
        hosts: names that requests may call this server by; None for any. Bound to this machine alone, it would
            otherwise answer pages of others that let their name point here.
        limits: of requests.
        metrics: counts requests to the API.
        uploads: the folder that the page uploads into; None without a page.
    """

    def __init__(
        self, app: ASGIApp, hosts: frozenset[str] | None, limits: Limits, metrics: Metrics, uploads: Path | None
    ) -> None:
        self.app, self.hosts, self.limits, self.metrics, self.uploads = app, hosts, limits, metrics, uploads
        self.under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(receive, send, self._body_limit(scope["path"]), self.limits)
        try:
            self._check(scope)
            exchange.check_headers(scope)
            if scope["path"] == JOIN:
                await exchange.check_json(self.uploads)
            await self._pass(scope, exchange)
        except Refused as error:
            await exchange.refuse(error)
        except Exception as error:
            if not exchange.answered:  # what was refused while the application read it, it may complain of
                console.print(f"error: {type(error).__name__}: {error}", markup=False, highlight=False)
            await exchange.refuse(
                Refused(500, "internal", "something went wrong here; the server's terminal says what")
            )

    async def _pass(self, scope: Scope, exchange: "_Exchange") -> None:
        if scope["path"] != PREDICT:
            await self.app(scope, exchange.receive, exchange.send)
            return
        start = time.perf_counter()
        self.under_way += 1
        self.metrics.under_way.set(self.under_way)
        try:
            if self.under_way > self.limits.requests:
                raise Refused(503, "busy", f"{self.limits.requests} requests are under way already; come back later")
            await self.app(scope, exchange.receive, exchange.send)
        except Refused as error:
            await exchange.refuse(error)
        finally:
            self.under_way -= 1
            self.metrics.under_way.set(self.under_way)
            self.metrics.requests.labels(str(exchange.status)).inc()
            self.metrics.seconds.observe(time.perf_counter() - start)

    def _check(self, scope: Scope) -> None:
        """Refuse what is not meant for this server, or asks for what is not there."""
        host = _header(scope, b"host")
        if self.hosts is not None and (_split(f"//{host}")[0] or "") not in self.hosts:
            raise Refused(400, "host", f"this server is called {' or '.join(sorted(self.hosts))}, not {host!r:.100}")
        origin = _header(scope, b"origin")
        if origin and _split(origin)[1] != host:
            raise Refused(403, "origin", "pages of other hosts may not use this server")
        path = scope["path"]
        if path in OWN or (self.uploads and (path in OF_PAGE or path.startswith(BELOW))):
            if path == UPLOAD and self.uploads and folder_size(self.uploads, BLOCK) > UPLOADED_BYTES:
                raise Refused(503, "uploads", "the uploads of the last minutes fill their space; come back later")
            return
        if self.uploads and path.startswith(FILE) and _is_in(path.removeprefix(FILE), self.uploads):
            return
        raise Refused(404, "no_page", "there is nothing here")

    def _body_limit(self, path: str) -> int:
        return self.limits.body_bytes if path in (PREDICT, UPLOAD) else JOIN_BYTES


class _Exchange:
    """A request and its answer: bytes of the body are counted while they come, and have to come in time."""

    def __init__(self, receive: Receive, send: Send, most: int, limits: Limits) -> None:
        self._receive, self._send, self._most, self._limits = receive, send, most, limits
        self._deadline = time.monotonic() + limits.seconds
        self._read, self._complete, self._replay = 0, False, list[Message]()
        self.answered, self._refused, self._asks_first, self.status = False, False, False, 500

    def check_headers(self, scope: Scope) -> None:
        """Refuse headers that are too long, and a body that is too large by its own account, before any is kept."""
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADER_BYTES:
            raise Refused(431, "headers", f"expected headers of at most {HEADER_BYTES:,} bytes")
        if _header(scope, b"content-length") and _header(scope, b"transfer-encoding"):
            raise Refused(400, "framing", "expected Content-Length or Transfer-Encoding, found both")
        self._asks_first = _header(scope, b"expect").lower() == "100-continue"
        text = _header(scope, b"content-length")
        if text.isdecimal() and int(text) > self._most:
            raise too_large(self._limits)

    async def receive(self) -> Message:
        """Return the next part of the body.

        Raises:
            Refused: it is too large or too late; the answer has been sent then.
        """
        if self._replay:
            return self._replay.pop(0)
        if self._complete:
            return await self._receive()  # which waits for the client to leave
        try:
            message = await asyncio.wait_for(self._receive(), self._deadline - time.monotonic())
        except TimeoutError:
            late = Refused(408, "slow", f"the body took more than {self._limits.seconds:g} s to arrive")
            await self.refuse(late)
            raise late from None
        self._read += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._read > self._most:
            await self.refuse(too_large(self._limits))
            raise too_large(self._limits)
        return message

    async def check_json(self, uploads: Path | None) -> None:
        """Read a JSON body ahead, and refuse files that were not uploaded here: Gradio would fetch addresses."""
        messages = [await self.receive()]
        while not self._complete:
            messages.append(await self.receive())
        try:
            paths = list(_paths(json.loads(b"".join(message.get("body", b"") for message in messages))))
        except (ValueError, RecursionError):
            raise Refused(400, "no_json", "the body is no JSON") from None
        if not all(uploads and _is_in(path, uploads) for path in paths):
            raise Refused(403, "path", "only files that were uploaded here can be used")
        self._replay = messages

    async def send(self, message: Message) -> None:
        """Send a part of the answer, unless the request was refused meanwhile."""
        if self._refused:
            return
        if message["type"] == "http.response.start":
            self.answered, self.status = True, message["status"]
            extra = [(name.encode(), value.encode()) for name, value in SECURITY.items()]
            message = {**message, "headers": [*message["headers"], *extra]}
        await self._send(message)

    async def refuse(self, error: Refused) -> None:
        """Answer with an error, if there is no answer yet."""
        if self.answered:
            return
        if error.status == 413 and not self._asks_first:
            await self._drain()
        body = json.dumps(error.body()).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **error.headers()}
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": error.status, "headers": pairs})
        await self.send({"type": "http.response.body", "body": body})
        self._refused = True

    async def _drain(self) -> None:
        """Read the rest of a body and forget it: to close while a client still writes can cost it the answer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while not self._complete and self._read <= DRAINED * self._most:
                    message = await self._receive()
                    self._read += len(message.get("body", b""))
                    self._complete = not message.get("more_body", False)


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _split(address: str) -> tuple[str, str]:
    """Return host name, and name with port, of an address; both are empty where it is none."""
    try:
        parts = urlsplit(address)
        return parts.hostname or "", parts.netloc
    except ValueError:  # such as brackets that are not closed
        return "", ""


def _paths(value: Any) -> Iterable[str]:
    """Yield every `path` in a JSON value, which Gradio takes for a file, or for the address of one."""
    if isinstance(value, dict):
        if value.get("path") is not None:
            yield str(value["path"])
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _paths(each)


def _is_in(path: str, folder: Path) -> bool:
    """Return whether a path lies in a folder, as it stands and unquoted: who opens it may do either."""
    try:
        return all(Path(os.path.realpath(way)).is_relative_to(folder) for way in (path, unquote(path)))
    except (ValueError, OSError):  # half a character, or a zero, which no file has in its name
        return False
