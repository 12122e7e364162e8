"""Models from a hub: a local server that answers as the Hugging Face hub does."""

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import doublevit
from doublevit.cli import main

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    """The address of a server with one repository, someone/tiny; it serves what was exported, and a script."""
    run = doublevit.train("digits-vit", epochs=0, name="tiny", output=tmp_path)
    folder = tmp_path / "repository"
    main(["export", str(run.path), "--output", str(folder)])
    (folder / "code.py").write_text("raise SystemExit('code of the repository ran')")

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            if self.path.startswith("/api/models/someone/tiny"):
                names = sorted(path.name for path in folder.iterdir())
                siblings = [{"rfilename": name} for name in names]
                tree = [{"type": "file", "path": n, "size": (folder / n).stat().st_size, "oid": n} for n in names]
                answer = tree if "/tree/" in self.path else {"id": "someone/tiny", "sha": COMMIT, "siblings": siblings}
                content = json.dumps(answer).encode()
            else:
                file = folder / self.path.split("?")[0].split("/")[-1]
                if not self.path.startswith("/someone/tiny/resolve/") or not file.is_file():
                    self.send_error(404)
                    return
                content = file.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Type", "application/json")
            self.send_header("ETag", f'"{len(content)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.slow
def test_a_model_is_loaded_from_the_hub_and_nothing_but_data_is_fetched(hub, tmp_path):
    code = """
import doublevit
model = doublevit.Model.from_pretrained("someone/tiny")
print(",".join(model.classes))
try:
    doublevit.Model.from_pretrained("someone/other")
except doublevit.UserError as error:
    print(error)
"""
    environment = os.environ | {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    environment.pop("HF_HUB_OFFLINE", None)
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    classes, error = result.stdout.splitlines()
    assert classes == "zero,one,two,three,four,five,six,seven,eight,nine"
    assert error.startswith("someone/other is no folder, and cannot be fetched from the hub")
    fetched = {path.name for path in (tmp_path / "home").rglob("*") if path.is_file() or path.is_symlink()}
    assert "model.safetensors" in fetched
    assert "code.py" not in fetched


def test_saved_and_loaded_again(tmp_path):
    model = doublevit.train("digits-vit", epochs=0, name="tiny", output=tmp_path).model
    model.save_pretrained(tmp_path / "saved")
    again = doublevit.Model.from_pretrained(tmp_path / "saved")
    assert again.info == model.info
    weights, expected = again.network.state_dict(), model.network.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())
