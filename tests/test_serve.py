"""The API of `doublevit serve`: answers as the model gives them, refusals in one line, batches, limits."""

import base64
import io
import json
import socket
import struct
import threading
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import doublevit
from conftest import random_image
from doublevit.corruptions.apply import corrupt
from doublevit.errors import UserError
from doublevit.models.attention_maps import attention_maps

pytest.importorskip("fastapi")
pytest.importorskip("gradio")
from fastapi.testclient import TestClient
from starlette.datastructures import UploadFile

from doublevit.serve import markup, pictures
from doublevit.serve.api import make_api
from doublevit.serve.gate import Gate, _is_in
from doublevit.serve.limits import FORMATS, Refused, decode_upload
from doublevit.serve.metrics import Metrics
from doublevit.serve.options import Limits, ServeOptions, is_loopback
from doublevit.serve.predictor import Predictor
from doublevit.serve.served import different_names, open_models, require_same_classes
from doublevit.serve.server import install_telling, listening, names_of_host

LIMITS = Limits(megabytes=0.3, megapixels=0.5, images=3, requests=2)


@pytest.fixture(scope="module")
def model() -> doublevit.Model:
    torch.manual_seed(0)
    network = timm.create_model("test_vit", num_classes=4)
    torch.nn.init.normal_(network.head.weight, std=1)
    return doublevit.wrap(network, classes=["cat", "dog", "eel", "fox & <b>"])


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def predictor(model, metrics):
    predictor = Predictor("first", model, 8, metrics.counter("first"))
    yield predictor
    predictor.close()


@pytest.fixture
def client(predictor, metrics, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        gate = Gate(make_api([predictor], LIMITS, pool, metrics), names_of_host("127.0.0.1"), LIMITS, metrics, tmp_path)
        yield TestClient(gate, base_url="http://localhost:7860")


def image_file(seed: int = 0, format_name: str = "PNG", size: tuple[int, int] = (70, 50)) -> bytes:
    file = io.BytesIO()
    random_image(np.random.default_rng(seed), size).save(file, format_name)
    return file.getvalue()


FILES = [image_file(0), image_file(1, "JPEG", (40, 90)), image_file(2, "WEBP")]


def as_base64(*files: bytes) -> list[str]:
    return [base64.b64encode(file).decode() for file in files]


def as_form(*files: bytes) -> list:
    return [("images", ("x", file)) for file in files]


def top_of(answer) -> list[list[tuple[str, float]]]:
    return [[(each["label"], each["probability"]) for each in image["top"]] for image in answer["predictions"]]


def test_form_and_json_answer_as_the_model_does(client, model):
    arrays = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in FILES]
    expected = [prediction.top for prediction in model.predict(arrays, top=3)]
    form = client.post("/api/predict", files=as_form(*FILES), data={"top": "3"})
    texts = as_base64(*FILES)
    texts[1] = f"data:image/jpeg;base64,{texts[1]}"
    as_json = client.post("/api/predict", json={"images": texts, "top": 3, "model": "first"})
    assert form.status_code == as_json.status_code == 200
    for answer in (form.json(), as_json.json()):
        assert answer["model"] == "first"
        for ours, theirs in zip(top_of(answer), expected, strict=True):
            assert [name for name, _ in ours] == [name for name, _ in theirs]
            np.testing.assert_allclose([value for _, value in ours], [value for _, value in theirs], atol=1e-5)


def png_claiming(width: int, height: int) -> bytes:
    """A small PNG whose header says that it is large."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = lambda name, data: struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))  # noqa: E731
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def jpeg_claiming(width: int, height: int) -> bytes:
    """A small JPEG whose frame header says that it is large."""
    data = bytearray(image_file(0, "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n"
REFUSALS = {
    "no image": ({"files": as_form(b"nothing")}, 422, "no_image", "expected an image"),
    "truncated": ({"files": as_form(FILES[0][:200])}, 422, "no_image", "cannot be read"),
    "postscript": ({"files": as_form(POSTSCRIPT)}, 422, "no_image", "cannot be read"),
    "empty file": ({"files": as_form(b"")}, 422, "no_image", "cannot be read"),
    "the second of two": ({"files": as_form(FILES[0], b"nothing")}, 422, "no_image", "image 1: "),
    "a PNG bomb": ({"files": as_form(png_claiming(50_000, 50_000))}, 413, "too_many_pixels", "50,000 x 50,000"),
    "a JPEG bomb": ({"files": as_form(jpeg_claiming(60_000, 60_000))}, 413, "too_many_pixels", "60,000 x 60,000"),
    "a little too many pixels": ({"files": as_form(image_file(0, "PNG", (1000, 501)))}, 413, "too_many_pixels", "501"),
    "too many images": ({"files": as_form(*FILES, FILES[0])}, 413, "too_many_images", "at most 3 images, found 4"),
    "too many files": ({"files": as_form(*FILES, *FILES)}, 400, "no_form", "Too many files"),
    "too many bytes": ({"files": as_form(bytes(400_000))}, 413, "body_too_large", "300,000 bytes"),
    "too many bytes in pieces": ({"content": iter([bytes(1000)] * 400)}, 413, "body_too_large", "300,000 bytes"),
    "another type": ({"content": b"x", "headers": {"content-type": "text/plain"}}, 415, "content_type", "text/plain"),
    "no type": ({"content": b"x"}, 415, "content_type", "found none"),
    "no JSON": ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "no_json", "no JSON"),
    "deep JSON": (
        {"content": b"[" * 100_000, "headers": {"content-type": "application/json"}}, 400, "no_json", "no JSON"
    ),
    "no boundary": ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "no_form", "boundary"),
    "no base64": ({"json": {"images": ["%%%"]}}, 422, "no_base64", "base64"),
    "no images": ({"json": {"images": []}}, 422, "fields", "images: "),
    "no field": ({"json": {"images": as_base64(FILES[0]), "size": 3}}, 422, "fields", "size"),
    "top": ({"json": {"images": as_base64(FILES[0]), "top": 0}}, 422, "fields", "top: "),
    "a form without files": ({"data": {"images": "text"}, "files": [("images", FILES[0])]}, 422, "fields", "files"),
    "another field": ({"files": [("picture", FILES[0])]}, 422, "fields", "'picture'"),
    "no such model": ({"json": {"images": as_base64(FILES[0]), "model": "second"}}, 422, "no_model", "one of first"),
    "another host": ({"files": as_form(FILES[0]), "headers": {"host": "evil.example"}}, 400, "host", "evil.example"),
    "no host's name": ({"files": as_form(FILES[0]), "headers": {"host": "[::1"}}, 400, "host", "not '[::1'"),
    "no page's name": ({"files": as_form(FILES[0]), "headers": {"origin": "http://["}}, 403, "origin", "other hosts"),
    "two framings": (
        {"content": b"x", "headers": {"content-length": "1", "transfer-encoding": "chunked"}}, 400, "framing", "both"
    ),
    "another page": (
        {"files": as_form(FILES[0]), "headers": {"origin": "http://evil.example"}}, 403, "origin", "other hosts"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_bad_input_is_refused_in_one_line(client, name):
    request, status, code, detail = REFUSALS[name]
    if name == "too many bytes in pieces":
        request = {"content": iter([bytes(1000)] * 400), "headers": {"content-type": "multipart/form-data; boundary=x"}}
    response = client.post("/api/predict", **request)
    assert (response.status_code, response.json()["error"]) == (status, code), response.text
    assert detail in response.json()["detail"]
    assert "\n" not in response.json()["detail"]
    assert client.post("/api/predict", files=as_form(FILES[0])).status_code == 200


@pytest.mark.parametrize("bomb", [png_claiming(60_000, 60_000), jpeg_claiming(60_000, 60_000)])
def test_bombs_are_refused_before_memory_is_taken(bomb):
    tracemalloc.start()
    with pytest.raises(Refused, match="expected at most 25,000,000 pixels"):
        decode_upload(bomb, Limits())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2e6


def test_formats_that_start_programs_are_not_tried():
    assert not {"EPS", "PDF", "WMF", "FITS"} & set(FORMATS)
    for name in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"):
        assert decode_upload(image_file(0, name), Limits()).shape == (50, 70, 3)


@pytest.mark.parametrize(
    "path",
    [
        *("/gradio_api/file=/etc/passwd", "/gradio_api/file=%2Fetc%2Fpasswd", "/gradio_api/file=http://localhost:1/x"),
        *("/gradio_api/proxy=http://x.hf.space/", "/gradio_api/vibe-code", "/gradio_api/runs"),
        *("/docs", "/monitoring", "/login"),
    ],
)
def test_what_is_not_offered_is_not_there(client, path):
    assert client.get(path).json() == {"error": "no_page", "detail": "there is nothing here"}


@pytest.mark.parametrize(
    "path", ["http://localhost:1/a.png", "/etc/passwd", "../../etc/passwd", "{folder}/../x", "\ud800"]
)
def test_the_page_takes_uploaded_files_only(client, tmp_path, path):
    body = {"data": [{"meta": {"_type": "gradio.FileData"}, "path": path.format(folder=tmp_path)}], "fn_index": 0}
    response = client.post("/gradio_api/queue/join", content=json.dumps(body))
    assert (response.status_code, response.json()["error"]) == (403, "path")
    body["data"][0]["path"] = str(tmp_path / "x.png")
    assert client.post("/gradio_api/queue/join", json=body).json()["error"] == "http"  # nobody but the page behind it


def test_waiting_images_are_predicted_together(predictor, model, metrics):
    batches, release = [], threading.Event()
    predictor._on_batch = batches.append
    started = threading.Event()
    blocker = threading.Thread(target=predictor.run, args=(lambda _: (started.set(), release.wait()),))
    blocker.start()
    started.wait()
    images = np.random.default_rng(0).integers(0, 256, (11, 160, 160, 3), dtype=np.uint8)
    futures = [predictor.submit(image, top) for image, top in zip(images, [1, 4] * 6, strict=False)]
    release.set()
    answers = [future.result(20) for future in futures]
    blocker.join()
    assert batches == [8, 3]
    expected = model(torch.from_numpy(images).permute(0, 3, 1, 2)).softmax(1)
    for number, (answer, row) in enumerate(zip(answers, expected, strict=True)):
        assert len(answer.classes) == (1, 4)[number % 2]
        np.testing.assert_allclose(
            answer.probabilities, row.sort(descending=True)[0][: len(answer.classes)].detach(), atol=1e-5
        )
        assert answer.classes[0] == row.argmax()


def test_tasks_wait_for_the_images_before_them(predictor):
    image, order, release = np.zeros((160, 160, 3), np.uint8), [], threading.Event()
    predictor._on_batch = order.append
    threads = [threading.Thread(target=predictor.run, args=(lambda _: release.wait(),))]
    threads[0].start()
    futures = [predictor.submit(image, 1)]
    threads.append(threading.Thread(target=predictor.run, args=(lambda _: order.append("task"),)))
    threads[1].start()
    while predictor._queue.qsize() < 2:
        pass
    futures.append(predictor.submit(image, 1))
    release.set()
    for waiting in (*futures, *threads):
        waiting.result(20) if hasattr(waiting, "result") else waiting.join(20)
    assert order == [1, "task", 1]


def test_an_error_is_told_to_who_asked_and_the_next_is_answered(predictor, model):
    image = np.zeros((160, 160, 3), np.uint8)
    with pytest.raises(RuntimeError):
        predictor.submit(np.zeros((160, 160, 5), np.uint8), 1).result(20)
    with pytest.raises(UserError, match="mine"):
        predictor.run(_raise)
    assert predictor.alive
    assert predictor.submit(image, 1).result(20).classes


def _raise(model: object) -> None:
    raise UserError("mine")


def test_what_comes_after_the_end_is_refused(model):
    predictor = Predictor("closed", model)
    predictor.close()
    with pytest.raises(Refused, match="being stopped"):
        predictor.submit(PIXELS, 1)
    with pytest.raises(Refused, match="being stopped"):
        predictor.run(lambda model: None)


def test_a_path_lies_in_a_folder_as_it_stands_and_unquoted(tmp_path):
    quoted = str(tmp_path).replace("/", "%2F")
    assert _is_in(f"{tmp_path}/a b.png", tmp_path)
    assert _is_in(f"{tmp_path}/a%20b.png", tmp_path)
    assert not _is_in(f"{tmp_path}/%2e%2e/a.png", tmp_path)
    assert not _is_in(f"{quoted}/a.png", tmp_path)  # a folder of that name, elsewhere


def test_files_of_a_form_are_closed(client, monkeypatch):
    closed = []
    close = UploadFile.close
    monkeypatch.setattr(UploadFile, "close", lambda file: closed.append(file) or close(file))
    assert client.post("/api/predict", files=[("images", b"no image")] * 2).status_code == 422
    assert len(closed) == 2


def test_more_requests_than_the_bound_are_told_to_come_back(client, predictor):
    release, started = threading.Event(), threading.Event()
    task = threading.Thread(target=predictor.run, args=(lambda _: (started.set(), release.wait()),))
    task.start()
    started.wait()
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(client.post, "/api/predict", files=as_form(FILES[0])) for _ in range(2)]
        while "doublevit_requests_under_way 2.0" not in client.get("/metrics").text:
            pass
        refused = client.post("/api/predict", files=as_form(FILES[0]))
        assert client.get("/healthz").json() == {"status": "ok", "models": ["first"]}
        release.set()
        assert [each.result().status_code for each in waiting] == [200, 200]
    task.join()
    assert (refused.status_code, refused.json()["error"], refused.headers["retry-after"]) == (503, "busy", "1")


def test_metrics_count_requests_images_and_batches(client):
    client.post("/api/predict", files=as_form(*FILES))
    client.post("/api/predict", files=as_form(b""))
    text = client.get("/metrics").text
    assert 'doublevit_requests_total{status="200"} 1.0' in text
    assert 'doublevit_requests_total{status="422"} 1.0' in text
    assert 'doublevit_images_total{model="first"} 3.0' in text
    assert "doublevit_request_seconds_count 2.0" in text


def test_health_tells_when_a_model_has_stopped(client, predictor):
    predictor.close()
    response = client.get("/healthz")
    assert (response.status_code, response.json()["status"]) == (503, "a model has stopped")


def test_openapi_describes_what_is_taken_and_given(client):
    described = client.get("/openapi.json").json()
    predict = described["paths"]["/api/predict"]["post"]
    assert set(predict["requestBody"]["content"]) == {"application/json", "multipart/form-data"}
    assert set(predict["responses"]) == {"200", "400", "408", "413", "415", "422", "431", "503"}
    answer = client.post("/api/predict", files=as_form(FILES[0])).json()
    schemas = described["components"]["schemas"]
    assert set(answer) == set(schemas["PredictResponse"]["properties"])
    assert set(answer["predictions"][0]["top"][0]) == set(schemas["PredictedClass"]["properties"])
    assert set(client.post("/api/predict").json()) == set(schemas["ErrorResponse"]["properties"])


def test_every_answer_keeps_the_browser_at_home(client):
    for response in (client.get("/healthz"), client.get("/nothing")):
        assert "default-src 'self'" in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in response.headers


PIXELS = np.asarray(random_image(np.random.default_rng(5), (160, 160)))


def test_overlays_are_the_attention_maps(model):
    shown = dict(pictures.attention_overlays(model, PIXELS))
    assert list(shown) == ["rollout", "last layer"]
    x = torch.from_numpy(PIXELS.copy()).permute(2, 0, 1)[None].float() / 255
    network = model.network.network
    explicit = []
    for block in network.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda _, inputs, output: explicit.append(output[0].mean(0)))
    model(x)
    rollout = torch.eye(len(explicit[0]))
    for layer in explicit:
        rollout = (layer + torch.eye(len(layer))) / 2 @ rollout
    row = rollout[0, network.num_prefix_tokens :]
    found = {each.title: each.weights for each in attention_maps(model.network, x)}["rollout"]
    torch.testing.assert_close(found.flatten(), row.detach(), atol=1e-5, rtol=1e-4)


def test_a_network_without_tokens_says_so():
    model = doublevit.wrap(timm.create_model("test_resnet"))
    with pytest.raises(UserError, match="no attention that can be laid over an image"):
        pictures.attention_overlays(model, PIXELS)


def test_attack_stays_in_its_ball_and_the_weakest_is_the_least(model):
    found = pictures.weakest_attack(model.eval(), PIXELS, 3)
    assert found.fooled
    levels = round(found.levels * 10)
    assert levels == 1 or not pictures.attacked(model, PIXELS, (levels - 1) / 10, 3).fooled
    largest = np.abs(found.image.astype(int) - PIXELS).max()
    assert largest <= np.ceil(found.levels)
    assert found.before.classes[0] == int(model(torch.from_numpy(PIXELS.copy()).permute(2, 0, 1)[None]).argmax())


def test_attack_wants_gradients(model, monkeypatch):
    monkeypatch.setattr(type(model.network), "has_gradients", False, raising=False)
    with pytest.raises(UserError, match="no gradients"):
        pictures.attacked(model, PIXELS, 1, 3)


def test_corruption_is_the_first_image_of_evaluate():
    np.testing.assert_array_equal(pictures.corrupted(PIXELS, "snow", 4), corrupt(PIXELS[None], "snow", 4, 0)[0])


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"models": ()}, "one model, or two"),
        ({"models": ("a", "b", "c")}, "found 3"),
        ({"models": ("a",), "port": 70_000}, "port"),
        ({"models": ("a",), "batch_size": 0}, "batch_size"),
    ],
)
def test_options_are_checked(values, match):
    with pytest.raises(UserError, match=match):
        ServeOptions(**values)


@pytest.mark.parametrize("name", ["megabytes", "megapixels", "images", "requests", "seconds"])
def test_limits_are_checked(name):
    with pytest.raises(UserError, match=f"limits.{name}"):
        Limits(**{name: 0})


def test_a_port_in_use_is_told_before_anything_slow():
    with (
        listening("127.0.0.1", 0) as own,
        pytest.raises(UserError, match=f"port {own.getsockname()[1]}"),
        listening(*own.getsockname()),
    ):
        pass


def test_answers_are_sent_at_once():
    """asyncio turns Nagle's algorithm off for sockets whose protocol says TCP, and for no other."""
    with listening("127.0.0.1", 0) as own:
        assert own.proto == socket.IPPROTO_TCP


def test_what_goes_wrong_on_the_page_is_told_in_a_line(capfd):
    import gradio.queueing

    install_telling()
    try:
        raise KeyError("examples\x1b[2J")
    except KeyError:
        gradio.queueing.traceback.print_exc()
    printed = capfd.readouterr().err
    assert printed.startswith("error: the page: KeyError")
    assert "\x1b" not in printed
    assert printed.count("\n") == 1


def test_loopback():
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "192.168.0.1", "x")] == [
        *[True] * 3, *[False] * 3
    ]  # fmt: skip
    assert names_of_host("0.0.0.0") is None


def test_page_and_predict_round_alike():
    for value in (0.0258, 0.01949, 0.99996, 0.0):
        assert markup.percent(value).replace(" ", "") == f"{value:.1%}"


def test_two_models_want_the_same_classes(model):
    other = doublevit.wrap(timm.create_model("test_vit", num_classes=3), classes=["cat", "dog", "fly"])
    with pytest.raises(UserError, match="only one of them has the class"):
        require_same_classes([model, other])
    require_same_classes([model, model])
    assert different_names([model, model]) == [f"{model.info.name} (1)", f"{model.info.name} (2)"]


def test_no_such_model_is_told_before_anything_is_opened():
    with pytest.raises(UserError, match="nowhere is no model"):
        open_models(ServeOptions(models=("timm:test_vit", "nowhere"), weights="none"))
