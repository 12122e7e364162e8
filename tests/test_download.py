import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from doublevit.download import Download, fetch
from doublevit.errors import UserError

CONTENT = bytes(range(256)) * 5000


class Server(http.server.BaseHTTPRequestHandler):
    requests: ClassVar[list[str]] = []

    def do_GET(self):
        self.requests.append(self.path)
        if self.path == "/gone.zip":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        half = self.path == "/half.zip" and self.requests.count("/half.zip") == 1
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if half else CONTENT)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Server.requests = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def download(server: str, name: str = "whole.zip", content: bytes = CONTENT) -> Download:
    return Download(f"{server}/{name}", hashlib.md5(content).hexdigest(), "set.zip")


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.endswith(".lock")]


def test_whole_file_is_checked_and_kept(server, tmp_path):
    assert fetch(download(server), tmp_path).read_bytes() == CONTENT
    fetch(download(server), tmp_path)
    assert Server.requests == ["/whole.zip"]
    assert files(tmp_path) == ["set.zip"]


def test_wrong_md5_leaves_nothing(server, tmp_path):
    with pytest.raises(UserError, match="not the expected file"):
        fetch(download(server, content=b"another"), tmp_path)
    assert files(tmp_path) == []


def test_broken_off_download_leaves_nothing_and_begins_anew(server, tmp_path):
    with pytest.raises(UserError):
        fetch(download(server, "half.zip"), tmp_path)
    assert files(tmp_path) == []
    assert fetch(download(server, "half.zip"), tmp_path).read_bytes() == CONTENT


def test_what_a_killed_download_left_is_removed(server, tmp_path):
    (tmp_path / "tmpabc").write_text("half")
    fetch(download(server), tmp_path)
    assert files(tmp_path) == ["set.zip"]


def test_damaged_download_is_fetched_again(server, tmp_path):
    (tmp_path / "set.zip").write_text("damaged")
    assert fetch(download(server), tmp_path).read_bytes() == CONTENT


def test_missing_file_and_missing_server(server, tmp_path):
    with pytest.raises(UserError, match=r"HTTPError.*`data.path`"):
        fetch(download(server, "gone.zip"), tmp_path)
    with pytest.raises(UserError, match="ConnectionError"):
        fetch(download("http://127.0.0.1:1"), tmp_path)


def test_downloaded_zip_is_the_data_set(server, tmp_path, tiny_zip, monkeypatch):
    from doublevit import data
    from doublevit.data import DataConfig, tiny_imagenet

    monkeypatch.setattr("test_download.CONTENT", tiny_zip.read_bytes())
    official = Download(f"{server}/tiny.zip", hashlib.md5(tiny_zip.read_bytes()).hexdigest(), "tiny-imagenet-200.zip")
    monkeypatch.setattr(tiny_imagenet, "OFFICIAL", official)
    config = DataConfig("tiny-imagenet", download=True, cache=tmp_path / "cache")
    assert len(data.load(config)["train"]) == 36
    assert len(data.load(DataConfig("tiny-imagenet", cache=tmp_path / "cache"))["train"]) == 36  # found without asking
    assert Server.requests == ["/tiny.zip"]
