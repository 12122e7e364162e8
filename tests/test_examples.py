"""The notebooks of examples/ run from top to bottom, without a network."""

from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_notebook_runs(path, tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat", reason="running a notebook needs nbformat, nbclient and ipykernel")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook = nbformat.reads(path.read_text(), as_version=4)
    nbclient.NotebookClient(notebook, timeout=170, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    text = str(outputs)
    assert "normalization:" in text  # the mistake is caught
    assert "| plain |" in text
    assert (tmp_path / "report.html").stat().st_size > 100_000
    assert (tmp_path / "runs" / "plain" / "results.jsonl").is_file()
