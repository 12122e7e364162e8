"""The page: made without torch, of one file, and looked at in a real browser."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.text
import numpy as np
import pytest

from conftest import copied
from doublevit.analysis.compare import compare_runs
from doublevit.cli import main
from doublevit.corruptions import PAPER, SEVERITIES
from doublevit.data.identity import DatasetId
from doublevit.jobs.report import write_report
from doublevit.report.figures import all_plots
from doublevit.runs.study_record import StudyEntry, StudyRecord, write_record
from made_runs import SPEED, corruption, entry_of, make_run, measure, pgd, right

HOSTILE = "a-run+with.marks_and-a-very-long-name-that-has-no-place-to-break-at-all-in-it"
OVERFLOWING = """() => [...document.querySelectorAll('body *')]
    .filter(e => !e.closest('.scroll, pre, .skip, .same') && e.getBoundingClientRect().right > innerWidth + 1)
    .map(e => e.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three made runs with everything that a page can show but images of their own."""
    folder = tmp_path_factory.mktemp("runs")
    for number, name in enumerate(("first", "second", HOSTILE)):
        run = make_run(folder, name)
        measure(run, right(300 + 10 * number, 360))
        for index, corrupted in enumerate(PAPER):
            for severity in SEVERITIES:
                measure(
                    run, right(280 - 9 * index - (20 - 3 * number) * severity, 360), corruption(corrupted, severity)
                )
        for level in (0, 1, 4, 8):
            measure(run, right(300 - 30 * level, 360), pgd(level / 255))
        run.log({"step": 40, "loss": 1.5 - 0.1 * number, "learning_rates": [1e-3]})
        measure(run, right(1), SPEED, metric="inference images/s", value=100.0 + number, low=99.0, high=104.0)
        train = {"loss": 1.0, "top1": 0.5, "images_per_second": 100.0}
        entry = {"epoch": 1, "images": 1437, "train": train, "val_top1": 0.8, "val_low": 0.75, "val_high": 0.85}
        run.log({"step": 45, **entry})
    return [folder / "first", folder / "second", folder / HOSTILE]


@pytest.fixture(scope="module")
def page(runs: list[Path]) -> Path:
    return write_report(runs, runs[0].parent / "report.html", paper=True).page


@pytest.fixture
def tab(browser, page):
    """The page in a window, and what its console and network have said."""
    tab = browser.new_page(viewport={"width": 1440, "height": 900})
    tab.said = []
    tab.on("console", lambda message: tab.said.append(message.text))
    tab.on("pageerror", lambda error: tab.said.append(str(error)))
    tab.on("request", lambda request: tab.said.append(request.url) if request.url.startswith("http") else None)
    tab.goto(page.as_uri())
    yield tab
    tab.close()


def texts(tab, table: str, place: int) -> list[str]:
    cells = tab.locator(f"#{table} tbody tr:not(.group)").locator(f":nth-match(th, 1), td:nth-child({place})")
    return [text.strip() for text in cells.all_inner_texts()]


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows_and_the_console_is_silent(tab, width, scheme):
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": width, "height": 900})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate(OVERFLOWING) == []
    assert tab.evaluate("Math.min(...[...document.querySelectorAll('td, th')].map(e => e.offsetWidth))") > 25
    assert tab.said == []
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(21, 23, 26)")


def test_tables_sort_by_mouse_and_keyboard_and_keep_groups(tab):
    column = "#table-robustness-paper tbody:first-of-type tr:not(.group) td:nth-child(8)"  # the average
    values = lambda: [float(cell.get_attribute("data-value")) for cell in tab.locator(column).all()]  # noqa: E731
    before = values()
    head = tab.locator("#table-robustness-paper thead th:nth-child(8)")
    head.locator("button").click()
    assert values() == sorted(before)
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").press("Enter")
    assert values() == sorted(before, reverse=True) != sorted(before)
    assert head.get_attribute("aria-sort") == "descending"
    groups = tab.locator("#table-robustness-paper .group").all_inner_texts()
    assert groups == ["these runs", "the paper's own numbers"]
    tab.locator("#table-robustness-paper thead th:nth-child(1) button").click()
    assert head.get_attribute("aria-sort") == "none"
    names = tab.locator("#table-robustness-paper tbody:first-of-type tr:not(.group) th").all_inner_texts()
    assert names == sorted(["first", "second", HOSTILE])
    assert tab.said == []


def test_it_can_be_read_out(tab):
    assert tab.locator("h1").count() == 1
    assert tab.evaluate("document.documentElement.lang") == "en"
    for image in tab.locator("img").all():
        assert len(image.get_attribute("alt")) > 10
    assert tab.locator("figure.plot svg").count() >= 6
    for plot in tab.locator("figure.plot svg").all():
        assert plot.get_attribute("role") == "img"
        assert len(plot.get_attribute("aria-label")) > 10
    identities = tab.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(identities) == len(set(identities))
    for link in tab.locator("nav a").all():
        assert tab.locator(link.get_attribute("href")).count() == 1


def test_every_picture_is_whole(tab):
    sizes = tab.evaluate("[...document.images].map(image => [image.complete, image.naturalWidth])")
    assert len(sizes) == 2  # images, corruptions
    assert all(complete and width > 100 for complete, width in sizes)


def test_one_file_that_asks_for_nothing(page):
    text = page.read_text()
    assert page.stat().st_size < 5e6
    assert not re.findall(r"""(?:src|href|action)\s*=\s*["'](?!data:|#)[^"']*|url\((?!["']?#)[^)]*\)|@import""", text)
    assert "default-src 'none'" in text


@pytest.mark.slow
def test_words_are_escaped(tmp_path):
    bad = "<img src=x onerror=alert(1)>"
    run = make_run(tmp_path, "one")
    row = measure(run, right(300, 360))
    for number in range(3):
        condition = pgd(number / 255, attack=f"a{bad}")
        measure(run, right(200, 360), condition, findings=(f"b{bad}",))
    (run.path / "commands.jsonl").write_text(json.dumps({"command": ["doublevit", f"</code>{bad}"]}) + "\n")
    environment = {"command": "no list", "libraries": [1], "platform": f"c{bad}"}
    (run.path / "environment.json").write_text(json.dumps(environment))
    failed = StudyEntry(group="", cell="f", run="f", problem=f"g{bad}")
    entries = (entry_of(row, "one", f"d{bad}", label=f"e{bad}"), failed)
    write_record(tmp_path, StudyRecord(name=f"h{bad}", note=f"i{bad}", baseline="one", entries=entries))
    text = write_report([tmp_path], files=tmp_path / "files").page.read_text()
    assert "<img src=x" not in text
    escaped = "&lt;img src=x onerror=alert(1)&gt;"
    assert [letter for letter in "abcdeghi" if letter + escaped not in text] == []
    assert all(
        set(path.name) <= {*"abcdefghijklmnopqrstuvwxyz0123456789._+-"} for path in (tmp_path / "files").iterdir()
    )


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["environment.json", "log.jsonl", "commands.jsonl", "attention.png"])
def test_files_that_are_not_what_they_should_be_are_passed_over(tmp_path, damage):
    run = make_run(tmp_path, "one")
    measure(run, right(300, 360))
    (run.path / damage).write_text('{"epoch": 1}\n' if damage == "log.jsonl" else '[["a"]]')
    assert "recognizes 83.3 %" in write_report([run.path]).page.read_text()


@pytest.mark.slow
def test_a_run_without_predictions_has_its_numbers_but_no_tests(tmp_path):
    for name in ("one", "two"):
        run = make_run(tmp_path, name)
        measure(run, right(300 if name == "one" else 100, 360))
        for corrupted in PAPER:
            measure(run, right(180, 360), corruption(corrupted, 3))
        shutil.rmtree(run.path / "predictions")
    text = write_report([tmp_path / "one", tmp_path / "two"], tmp_path / "page.html").page.read_text()
    assert "recognizes 83.3 % (95 % interval 79.1 to 86.8) of the 360 clean images; the next is two; under" in text
    assert "50.0 % (n = 360; home-made, severity 3)" in text
    assert "nan" not in text.split("<script>")[0].split("</style>")[1]


def test_plots_leave_out_what_was_measured_otherwise(tmp_path):
    for name, of in (("one", 360), ("two", 360), ("other", 200)):
        run = make_run(tmp_path, name)
        measure(run, right(150, of))
        for corrupted in PAPER:
            measure(run, right(100, of), corruption(corrupted, 3))
    comparison = compare_runs([tmp_path / name for name in ("one", "two", "other")])
    severity, *_ = [plot for plot in all_plots(comparison, None) if plot.name == "severity"]
    assert severity.caption.endswith("severity 3, without what was measured otherwise: other.")
    drawn = {text.get_text() for text in severity.figure.findobj(matplotlib.text.Text)}
    assert {"one", "two"} <= drawn
    assert "other" not in drawn


def test_the_result_in_a_sentence(page):
    found = re.search(r'<p class="result">(.*?)</p>', page.read_text(), re.DOTALL)
    assert found
    sentence = found[1].replace("&#39;", "'")
    assert sentence.startswith(f"Of 3 networks, {HOSTILE} recognizes 88.9 % (95 % interval 85.2 to 91.7) of the 360")
    assert "the next, second, 2.8 points (" in sentence  # 10 of 360 images
    assert "home-made, severities 1 2 3 4 5" in sentence
    mean = np.mean([280 - 9 * n - 14 * s for n in range(5) for s in SEVERITIES]) / 360
    assert f"under the paper's five corruptions, {100 * mean:.1f} % (" in sentence


def test_caveats_that_apply_and_no_others(page, tmp_path):
    text = page.read_text()
    assert "Home-made corruptions" in text
    assert "Networks were trained once each" in text
    assert "bounds robustness from above" in text
    assert "n = 360" in text
    assert "pretrained on ImageNet" not in text  # the digits are from scratch
    run = make_run(tmp_path, "tiny", "ti-vit")
    measure(run, right(1500, 2000), dataset=DatasetId("Tiny ImageNet from x", "ac44c1fd", "val"))
    text = write_report([run.path]).page.read_text()
    assert "have seen images of Tiny ImageNet&#39;s classes" in text
    assert "Home-made corruptions" not in text
    assert "of few images" not in text
    assert "the images cannot be had" in text


@pytest.mark.slow
def test_without_torch(runs, tmp_path):
    code = (
        "import sys, importlib.abc\n"
        "class Block(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'torchvision', 'timm', 'accelerate'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "from doublevit.cli import main\n"
        f"runs = [{str(runs[0])!r}, {str(runs[1])!r}]\n"
        "main(['report', *runs, '--output', 'page.html', '--files', 'files', '--paper'])\n"
        "main(['tables', *runs, '--format', 'latex'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"the page: {tmp_path / 'page.html'}" in done.stdout
    assert r"\toprule" in done.stdout
    assert "warning" not in done.stderr
    names = set(os.listdir(tmp_path / "files"))
    assert {"accuracy.md", "robustness-paper.tex", "attack-pgd-linf.csv", "speed.json", "severity.svg"} <= names
    assert {"epsilon-pgd-linf.png", "training.svg", "reliability-first.png", "confusion-second.svg"} <= names


@pytest.mark.slow
def test_a_run_that_was_really_trained(digits_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/anywhere/doublevit", "evaluate", "runs/a run"])
    run = copied(digits_run, tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["report", str(run)])
    assert end.value.code == 2
    assert "has no results yet; first give: doublevit evaluate" in capsys.readouterr().err
    main(["evaluate", str(run)])
    main(["report", str(run)])
    said = capsys.readouterr()
    assert f"the page: {run / 'report.html'}" in said.out
    text = (run / "report.html").read_text()
    assert "the 12 surest of" in text
    assert "<code>doublevit evaluate &#39;runs/a run&#39;</code>" in text
    assert "<td>0</td>" in re.sub(r' data-value="[^"]*"', "", text)  # the seed
