"""Requests per second and latency of `doublevit serve` against a plain FastAPI + timm endpoint, in one run.

    python benchmarks/serve.py --weights FILE --images FOLDER [--seconds 15] [--clients 1 8 32] [--turns 2]

Each server runs alone in a process of its own, with torch's default threads, and gets the same JPEG files from clients
that send the next one when the last is answered; the clients run on the same cores. The plain endpoints are what one
writes first: Pillow, timm's own transform, one forward pass for each request, the five best classes as JSON; "def" lets
FastAPI run it in threads, "async def" one request after the other. Prints requests/s, p50, p95 and p99, turn by turn,
and in how many images all name the same class.
"""

import contextlib
import dataclasses
import http.client
import io
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

NETWORK = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
WARM_UP = 3.0


@dataclasses.dataclass
class Options:
    """What is compared."""

    weights: Path
    """The file of ViT-Ti/16's weights."""
    images: Path
    """A folder with JPEG files."""
    seconds: float = 15.0
    clients: tuple[int, ...] = (1, 8, 32)
    turns: int = 2
    port: int = 7871
    plain: Literal["", "def", "async def"] = ""
    """Be the plain endpoint, instead of comparing."""


def run_plain(options: Options) -> None:
    """Serve the plain endpoint."""
    import timm
    import torch
    import uvicorn
    from fastapi import FastAPI, UploadFile
    from PIL import Image

    network = timm.create_model(NETWORK, checkpoint_path=str(options.weights)).eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config(model=network))
    names = timm.data.ImageNetInfo()
    app = FastAPI()

    def answer(data: bytes) -> list[dict[str, object]]:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        with torch.inference_mode():
            values, classes = network(transform(image)[None]).softmax(-1)[0].topk(5)
        pairs = zip(classes.tolist(), values.tolist(), strict=True)
        return [{"id": names.index_to_label_name(index), "probability": value} for index, value in pairs]

    if options.plain == "def":

        @app.post("/api/predict")
        def predict(images: UploadFile) -> list[dict[str, object]]:
            return answer(images.file.read())
    else:

        @app.post("/api/predict")
        async def predict(images: UploadFile) -> list[dict[str, object]]:
            return answer(await images.read())

    uvicorn.run(app, port=options.port, log_level="warning", http="h11")


@contextlib.contextmanager
def server(name: str, options: Options) -> Iterator[None]:
    """Run a server in a process of its own, until the block ends."""
    if name == "doublevit":
        command = ["-m", "doublevit", "serve", f"timm:{NETWORK}", "--weights", options.weights, "--port", options.port]
    else:
        given = {"--weights": options.weights, "--images": options.images, "--port": options.port, "--plain": name}
        command = [__file__, *itertools.chain.from_iterable(given.items())]
    process = subprocess.Popen([sys.executable, *map(str, command)], stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", options.port), 1):
                break
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait()


def form(data: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a form with one image."""
    boundary = uuid.uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="images"; filename="1.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    body = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def ask(connection: http.client.HTTPConnection, data: bytes) -> str:
    """Send an image and return the id of its first class."""
    body, headers = form(data)
    connection.request("POST", "/api/predict", body, headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    if response.status != 200:
        raise RuntimeError(f"{response.status}: {answer}")
    top = answer if isinstance(answer, list) else answer["predictions"][0]["top"]
    return top[0]["id"]


def load(files: list[bytes], clients: int, seconds: float, port: int) -> np.ndarray:
    """Ask by so many clients for some time; returns the seconds of each request."""
    times: list[list[float]] = [[] for _ in range(clients)]
    end = time.perf_counter() + seconds

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        index = number
        while (start := time.perf_counter()) < end:
            ask(connection, files[index % len(files)])
            times[number].append(time.perf_counter() - start)
            index += clients

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return np.concatenate(times)


def main(options: Options) -> None:
    """Compare the servers in turns."""
    if options.plain:
        run_plain(options)
        return
    files = [path.read_bytes() for path in sorted(options.images.rglob("*.jp*g"))]
    size = np.mean([len(file) for file in files]) / 1000
    print(f"{len(files)} files, {size:,.0f} kB on the mean, {os.cpu_count()} cores")
    answers: dict[str, list[str]] = {}
    for turn in range(options.turns):
        for name in ("doublevit", "def", "async def"):
            with server(name, options):
                load(files, 4, WARM_UP, options.port)
                for clients in options.clients:
                    start = time.perf_counter()
                    times = load(files, clients, options.seconds, options.port)
                    rate = len(times) / (time.perf_counter() - start)
                    p50, p95, p99 = 1000 * np.percentile(times, [50, 95, 99])
                    print(
                        f"turn {turn + 1}, {name}, {clients} clients: {rate:.1f} requests/s;"
                        f" p50 {p50:.0f}, p95 {p95:.0f}, p99 {p99:.0f} ms; n = {len(times):,}",
                        flush=True,
                    )
                if name not in answers:
                    connection = http.client.HTTPConnection("127.0.0.1", options.port)
                    answers[name] = [ask(connection, file) for file in files]
    same = np.mean([len(set(each)) == 1 for each in zip(*answers.values(), strict=True)])
    print(f"the same first class by all: {same:.1%} of {len(files)} images")


if __name__ == "__main__":
    main(tyro.cli(Options))
