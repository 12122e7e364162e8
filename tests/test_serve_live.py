"""`doublevit serve` as a process: in a real browser, under hostile uploads, with slow clients, until it is stopped."""

import contextlib
import http.client
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from conftest import random_image
from doublevit.cli import main
from test_serve import POSTSCRIPT, image_file, jpeg_claiming, png_claiming

pytestmark = pytest.mark.slow
SECONDS = 3  # that a body, or headers, may take
OVERFLOWING = """() => [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"""


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen, int]]:
    """A server in a process of its own, at a free port."""
    command = [sys.executable, "-m", "doublevit", "serve", *arguments, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert "serving" in line, process.stderr.read()
        yield process, int(re.search(r":(\d+) ", line)[1])
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.fixture(scope="module")
def port(digits_run: Path) -> Iterator[int]:
    with serving(str(digits_run), "--limits.seconds", str(SECONDS), "--limits.megabytes", "2") as (_, port):
        yield port


def post(port: int, file: bytes, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    boundary = "b0undary"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="images"; filename="x"\r\n\r\n'
    body = head.encode() + file + f"\r\n--{boundary}--\r\n".encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it answers before it has read all
            connection.request(
                "POST",
                "/api/predict",
                body,
                {"Content-Type": f"multipart/form-data; boundary={boundary}", **(headers or {})},
            )
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def hostile(number: int) -> tuple[bytes, dict[str, str], set[int]]:
    """A file, headers, and the statuses with which it may be refused."""
    good, generator = image_file(number, "JPEG"), np.random.default_rng(number)
    kinds = [
        (png_claiming(30_000 + number, 30_000), {}, {413}),
        (jpeg_claiming(60_000, 60_000 - number), {}, {413}),
        (image_file(number)[: 40 + number % 100], {}, {422}),
        (POSTSCRIPT + bytes(number), {}, {422}),
        (generator.bytes(1 + number * 10), {}, {422}),
        (b"PK\x03\x04" + generator.bytes(500), {}, {422}),
        (bytes(2_100_000), {}, {413}),
        (good, {"X-Long": "x" * 40_000}, {400, 431}),
        (good, {"Content-Type": "multipart/form-data; boundary=" + "y" * (1 + number % 500)}, {400, 422}),
        (good, {"Content-Type": "application/json"}, {400}),
        (b"", {}, {422}),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", {}, {422}),
        (good, {"Host": "evil.example"}, {400}),
    ]
    return kinds[number % len(kinds)]


def test_a_thousand_hostile_uploads_leave_it_answering(port):
    wrong: list[tuple[int, int]] = []

    def send(numbers: range) -> None:
        for number in numbers:
            file, headers, statuses = hostile(number)
            status, body = post(port, file, headers)
            if status not in statuses or b"\n" in body.strip() or b"Traceback" in body:
                wrong.append((number, status))

    threads = [threading.Thread(target=send, args=(range(start, 1000, 4),)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    status, body = post(port, image_file(0))
    assert status == 200
    assert b"probability" in body


def left_by_the_server(port: int, sent: list[bytes]) -> tuple[float, bytes]:
    """How long the server waits for a client that sends these and then nothing, and what it says."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        start = time.monotonic()
        for part in sent:
            client.sendall(part)
        answer = b""
        while part := client.recv(4096):
            answer += part
    return time.monotonic() - start, answer


def test_a_client_that_stops_in_its_headers_is_left(port):
    seconds, answer = left_by_the_server(port, [b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nX: "])
    assert SECONDS - 0.5 <= seconds < SECONDS + 4
    assert not answer


def test_a_client_that_stops_in_its_body_is_told(port):
    head = (
        b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: 1000\r\n\r\n--x"
    )
    seconds, answer = left_by_the_server(port, [head])
    assert SECONDS - 0.5 <= seconds < SECONDS + 4
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"slow"' in answer


def test_it_ends_with_one_line_when_stopped():
    with serving("timm:test_vit", "--weights", "none", "--no-page") as (process, port):
        assert post(port, image_file(0))[0] == 200
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors.splitlines() == ["loading timm:test_vit", "doublevit: stopped"]


def test_bad_input_of_the_command_is_told_in_one_line(capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        for arguments, message in (
            (["timm:test_vit", "--port", port], f"cannot listen at 127.0.0.1, port {port}"),
            (["nowhere", "--port", "0"], "nowhere is no model"),
            (["timm:test_vit", "--port", "70000"], "--port: expected 0 to 65535"),
            (["a", "b", "c"], "expected one model, or two to compare, found 3"),
        ):
            with pytest.raises(SystemExit) as end:
                main(["serve", *arguments])
            said = capsys.readouterr().err.strip()
            assert end.value.code == 2
            assert message in said
            assert "\n" not in said.removeprefix(f"loading {arguments[0]}\n").removeprefix("loading a and b and c\n")


def test_a_missing_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(SystemExit) as end:
        main(["serve", "timm:test_vit"])
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert "pip install 'doublevit[serve]'" in said
    assert len(said.removeprefix("loading timm:test_vit\n").strip().splitlines()) == 1


@pytest.fixture
def tab(browser, port):
    """The page in a window; afterwards nothing was wrong in its console, and nothing came from elsewhere."""
    tab = browser.new_page(viewport={"width": 1440, "height": 900})
    errors, elsewhere = [], []
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    own = (f"http://127.0.0.1:{port}/", "data:", "blob:")
    tab.on("request", lambda request: None if request.url.startswith(own) else elsewhere.append(request.url))
    tab.goto(own[0])
    tab.wait_for_selector("#image input[type=file]", state="attached")
    yield tab
    tab.close()
    assert not errors
    assert not elsewhere


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    random_image(np.random.default_rng(3), (80, 60)).save(path)
    return path


def names(tab, place: str) -> list[str]:
    return tab.locator(f"{place} .bars li span").all_inner_texts()


def test_upload_answer_attention_corruption_attack(tab, picture, digits_run):
    import doublevit

    expected = doublevit.load(digits_run).predict(picture)[0].top
    tab.set_input_files("#image input[type=file]", picture)
    tab.wait_for_selector("#classes .bars")
    assert names(tab, "#classes") == [name for name, _ in expected]
    tab.get_by_role("button", name="Show attention").click()
    tab.wait_for_selector("#attention-result figure")
    titles = tab.locator("#attention-result figcaption").all_inner_texts()
    assert titles[:3] == ["input, 32 x 32", "rollout, fine patches", "rollout, coarse patches"]
    tab.get_by_role("tab", name="Corruption").click()
    tab.get_by_role("button", name="Corrupt image").click()
    tab.wait_for_selector("#corruption-result figure")
    assert tab.locator("#corruption-result figcaption").all_inner_texts() == ["input, 32 x 32", "fog, severity 3"]
    assert len(names(tab, "#corruption-result")) == 10
    tab.get_by_role("tab", name="Attack").click()
    tab.get_by_role("button", name="Attack image").click()
    tab.wait_for_selector("#attack-result figure")
    assert "no pixel changes by more than 1/255 at 32 x 32 pixels" in tab.inner_text("#attack-result")
    tab.get_by_role("button", name="Find the smallest epsilon").click()
    tab.wait_for_function("!document.querySelector('#attack-result').innerText.includes(' 1/255 ')")
    assert all(image.get_attribute("alt") for image in tab.locator("figure img").all())


def test_an_example_takes_old_results_away(tab, picture):
    tab.set_input_files("#image input[type=file]", picture)
    tab.wait_for_selector("#classes .bars")
    tab.get_by_role("button", name="Show attention").click()
    tab.wait_for_selector("#attention-result figure")
    before = tab.inner_text("#classes")
    tab.get_by_role("radio", name="zero").check()
    tab.wait_for_selector("#attention-result figure", state="detached")
    tab.wait_for_function("before => !['', before].includes(document.querySelector('#classes').innerText)", arg=before)


def test_bad_images_are_told_on_the_page(tab, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(png_claiming(9000, 9000))
    tab.set_input_files("#image input[type=file]", bad)
    tab.wait_for_selector("#classes [role=alert]")
    assert "expected at most 25,000,000 pixels, found 9,000 x 9,000 pixels" in tab.inner_text("#classes")


def test_narrow_and_by_keyboard(tab, picture):
    tab.set_viewport_size({"width": 390, "height": 800})
    tab.set_input_files("#image input[type=file]", picture)
    tab.wait_for_selector("#classes .bars")
    tab.get_by_role("tab", name="Attention").focus()
    tab.keyboard.press("Tab")
    for _ in range(6):  # other tabs may come first
        if "Show attention" in tab.evaluate("document.activeElement.innerText || ''"):
            break
        tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#attention-result figure")
    assert not tab.evaluate(OVERFLOWING)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    nameless = """() => [...document.querySelectorAll('button, input:not([type=file])')].filter(e => e.offsetParent &&
        !(e.innerText || e.ariaLabel || e.title || e.labels?.length)).map(e => e.outerHTML.slice(0, 100))"""
    assert not tab.evaluate(nameless)


def test_uploads_stay_within_their_limits(port):
    """Gradio's own way in refuses what the API refuses, and gives no file but its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request(
            "POST",
            "/gradio_api/upload",
            bytes(3_000_000),
            {"Content-Type": "multipart/form-data; boundary=x"},
        )
    assert connection.getresponse().status == 413


def test_two_models_side_by_side(browser, picture):
    with serving("timm:test_vit", "timm:test_resnet", "--weights", "none") as (_, port):
        tab = browser.new_page()
        tab.goto(f"http://127.0.0.1:{port}")
        tab.wait_for_selector("#image input[type=file]", state="attached")
        tab.set_input_files("#image input[type=file]", picture)
        tab.wait_for_selector("#classes .bars")
        assert tab.locator("#classes h3").all_inner_texts() == ["test_vit", "test_resnet"]
        tab.get_by_role("button", name="Show attention").click()
        tab.wait_for_selector("#attention-result figure")
        assert "test_resnet has no attention" in tab.inner_text("#attention-result")
        tab.close()
