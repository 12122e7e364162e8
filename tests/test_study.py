"""Studies on a few digits: all cells get done, nothing twice, bad cells are told, and the table is right by hand."""

import csv
import dataclasses
import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from rich.console import Console
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from doublevit.attacks.config import AttackConfig
from doublevit.cli.study import study as command
from doublevit.corrupted.config import RobustnessConfig
from doublevit.data import EMBEDDED
from doublevit.errors import UserError
from doublevit.jobs import report, train
from doublevit.jobs.report import Written, write_report
from doublevit.jobs.study import Book, Outlook, Request, clean, overview, run_study
from doublevit.jobs.study.cost import Cost
from doublevit.jobs.study.plan import make_plan
from doublevit.models.config import ModelConfig
from doublevit.progress import console
from doublevit.recipes import Recipe, get_recipe, to_dict
from doublevit.recipes.recipe import differences, with_changes
from doublevit.recipes.studies import STUDIES
from doublevit.recipes.study import Cell, Protocol, Study
from doublevit.report.formats import terminal
from doublevit.report.study import Entry, Line, Record, compare, read_record, study_table, write_record
from doublevit.results import Predictions, Row
from doublevit.run_folder import RunFolder
from doublevit.statistics import Estimate
from doublevit.train.interrupt import Interrupt, Stopped

PHOTOS = 60  # to validate
FEW = {"train.epochs": 1, "data.per_class": 2, "data.val_fraction": PHOTOS / 1797}
TINY = Study(
    "tiny",
    "three networks on a few digits",
    "digits-double",
    "base",
    (
        Cell("base", "base"),
        Cell("dense", "top-k", {"model.top_k": "none"}, ("none", "4")),  # the base's own run
        Cell("apart", "cross", {"model.cross.after": ()}),
        Cell("sparse", "top-k", {"model.top_k": "4"}, ("none", "4")),
    ),
    {**FEW, "model.backbone": "vit-digits-8"},
)
LINES = [("base", "none"), ("dense", "none"), ("dense", "4"), ("apart", "none"), ("sparse", "none"), ("sparse", "4")]


def request(folder: Path, study: Study = TINY, **asked: object) -> Request:
    return Request(study, study.base_recipe(), folder, **asked)


def state(record: Record) -> dict[tuple[str, str], bool]:
    return {(entry.cell, entry.top_k): entry.row is not None for entry in record.entries}


def sizes(folder: Path) -> dict[str, int]:
    return {path.parent.name: len(path.read_text().splitlines()) for path in folder.glob("*/results.jsonl")}


def said(renderable: object) -> str:
    with console.capture() as capture:
        console.print(renderable)
    return " ".join(capture.get().split())


def dry_run(asked: Request) -> str:
    book = Book(asked)
    return said(overview(book, Outlook(book)))


@pytest.fixture(autouse=True)
def _no_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    cost = Cost(1.0, 1.0, 1.0, dict.fromkeys(("as-trained", "none", "4", "8"), 1.0), {})
    monkeypatch.setattr("doublevit.jobs.study.outlook.time_network", lambda *_: cost)


@pytest.fixture(autouse=True, scope="module")
def _photos_once() -> Iterator[None]:
    """The digits are enlarged once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EMBEDDED, "digits", functools.cache(EMBEDDED["digits"]))
        yield


@pytest.fixture(autouse=True)
def pages(monkeypatch: pytest.MonkeyPatch) -> list[list[Path]]:
    """What pages were asked for; none is drawn, which takes seconds."""
    asked: list[list[Path]] = []

    def stub(paths: list[Path], *, paper: bool) -> Written:
        asked.append(paths)
        return Written(paths[0] / "report.html", ("the photos [here] are gone",))

    monkeypatch.setattr(report, "write_report", stub)
    return asked


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study's folder when all of it is done."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    run_study(request(folder))
    return folder


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "tiny"))


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("start", "resume"):
        monkeypatch.setattr(train, name, lambda *_: pytest.fail("trained"))


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_every_cell_of_every_study_can_be_built(study):
    names = [cell.name for cell in study.cells]
    assert len(set(names)) == len(names)
    assert study.baseline in names
    base = study.base_recipe()
    for cell in study.cells:
        own = with_changes(get_recipe(cell.recipe or study.base), study.changes)
        values = {path: value for path, (value, _) in differences(study.recipe_of(cell, base), own).items()}
        assert values.items() <= dict(cell.changes).items()
    protocol = study.protocol
    AttackConfig(protocol.attacks, epsilons=protocol.epsilons)
    RobustnessConfig(protocol.corruptions, protocol.severities)


def test_the_papers_study_varies_one_factor_at_a_time():
    study = STUDIES["ablation"]
    cells = {cell.name: study.recipe_of(cell, study.base_recipe()) for cell in study.cells}
    base = get_recipe("paper-double-cross")
    assert not differences(cells["base"], base)
    assert not differences(cells["cross-0"], get_recipe("paper-double"))
    assert not differences(cells["cross-2-replace-own"], get_recipe("paper-double-2cross"))
    shared = [name for name, recipe in cells.items() if not differences(recipe, base)]
    assert shared == ["base", "cross-1-replace-own", "top-k-none", "augment-augmix", "freeze-all-but-90-tensors"]
    assert differences(cells["cross-2-residual-swapped"], base) == {
        "model.cross.after": ((9, 12), (9,)),
        "model.cross.fusion": ("residual", "replace"),
        "model.cross.routing": ("swapped", "own"),
    }
    assert differences(cells["top-k-8"], base) == {"model.top_k": ("8", "none")}
    top_k = {cell.name: cell.inference for cell in study.cells if cell.group == "sparse attention"}
    assert top_k == {f"top-k-{trained}": ("none", "8", "16", "32") for trained in ("none", "8", "16", "32")}


ROWS = {
    "vit": "ViT",
    "vit-aug": "ViT+Aug",
    "vit-aug-sparse": "ViT+Aug+Sparse",
    "pit": "PiT",
    "pit-aug": "PiT+Aug",
    "pit-aug-sparse": "PiT+Aug+Sparse",
    "inception": "InceptionResnetV2",
    "inception-aug": "InceptionResnetV2+Aug",
    "double": "DoubleViT",
    "double-cross": "DoubleViT+Cross",
    "double-2cross": "DoubleViT+2Cross",
}


def test_the_papers_tables_have_their_rows():
    study = STUDIES["paper"]
    recipes = {cell.name: study.recipe_of(cell, study.base_recipe()) for cell in study.cells}
    assert {cell.name: cell.label for cell in study.cells} == ROWS
    assert study.baseline == "vit-aug"
    assert [name for name, recipe in recipes.items() if recipe.augment.policy == "none"] == ["vit", "pit", "inception"]
    assert {recipe.augment.policy for recipe in recipes.values()} == {"none", "augmix"}
    assert [name for name, recipe in recipes.items() if recipe.model.top_k == "16"] == [
        "vit-aug-sparse",
        "pit-aug-sparse",
    ]
    assert [recipes[name].model.cross.after for name in ("double", "double-cross", "double-2cross")] == [
        (),
        (9,),
        (9, 12),
    ]
    assert differences(recipes["inception-aug"], get_recipe("paper-inception")) == {}
    epsilons = ("0", "0.25/255", "0.5/255", "1/255", "2/255")
    assert study.protocol == Protocol(("paper",), (1, 2, 3, 4, 5), ("pgd",), epsilons, 500, speed=True)


def test_runs_of_the_small_paper_are_found_whatever_command_made_them(tmp_path):
    study, asked = STUDIES["paper-ti"], {"data.per_class": 20, "train.epochs": 1, "model.weights": "weights"}
    base = with_changes(study.base_recipe(), asked)
    for name, own, changes in (
        ("vit", "ti-vit", {"augment.policy": "none"}),
        ("deit-aug-sparse", "ti-deit", {"model.top_k": "16"}),
        ("double-2cross", "ti-double-2cross", {}),
    ):
        recipe = with_changes(get_recipe(own), {**asked, **changes})
        RunFolder.create(to_dict(train.with_absolute_paths(recipe)), tmp_path / "s", name)
    planned = {each.name: each for each in make_plan(Request(study, base, tmp_path / "s"))}
    assert list(planned) == [cell.name for cell in study.cells]
    assert not any(each.problem for each in planned.values())
    assert len({each.run.path for each in planned.values()}) == len(planned) == 9


def test_changes_are_made_together_and_unknown_fields_refused():
    recipe = Recipe("x", "", model=ModelConfig("vit-b16"))
    changed = with_changes(recipe, {"model.coarse": "vit-b32", "model.cross.after": (9,), "seed": 3})
    assert (changed.seed, changed.model.coarse, changed.model.cross.after) == (3, "vit-b32", (9,))
    with pytest.raises(UserError, match="needs two branches"):
        with_changes(recipe, {"model.cross.after": (9,)})
    with pytest.raises(TypeError, match="afer"):
        with_changes(recipe, {"model.cross.afer": (9,)})


def test_users_options_come_between_the_studys_and_the_cells():
    cells = (Cell("base", "base"), Cell("long", "x", {"train.epochs": 7}), Cell("vit", "x", recipe="paper-vit"))
    study = dataclasses.replace(TINY, cells=cells, changes=FEW)
    base = with_changes(study.base_recipe(), {"train.epochs": 2, "seed": 5})
    recipes = [study.recipe_of(cell, base) for cell in cells]
    assert [recipe.train.epochs for recipe in recipes] == [2, 7, 2]
    assert [recipe.seed for recipe in recipes] == [5, 5, 5]
    assert [recipe.data.per_class for recipe in recipes] == [2, 2, 2]
    assert recipes[2].model == get_recipe("paper-vit").model


def test_all_cells_get_done_and_equal_ones_share_a_run(finished):
    record = read_record(finished)
    assert list(state(record)) == LINES
    assert all(state(record).values())
    assert sorted(path.parent.name for path in finished.glob("*/recipe.json")) == ["apart", "base", "sparse"]
    assert {entry.cell: entry.run for entry in record.entries}["dense"] == "base"
    for entry in record.entries:
        assert entry.row.top_k == entry.top_k
        assert entry.row in RunFolder(finished / entry.run).rows()
    trained = {name: json.loads((finished / name / "recipe.json").read_text())["model"] for name in ("apart", "sparse")}
    assert (trained["apart"]["cross"]["after"], trained["apart"]["top_k"]) == ([], "none")
    assert (trained["sparse"]["cross"]["after"], trained["sparse"]["top_k"]) == ([4], "4")
    assert record.seconds.keys() == {"base", "apart", "sparse"}


@pytest.mark.usefixtures("no_training")
def test_a_second_call_does_nothing(done, monkeypatch, capsys):
    monkeypatch.setattr(clean, "evaluate", lambda _: pytest.fail("evaluated"))
    before, record = sizes(done), read_record(done)
    assert run_study(request(done)) == record
    assert sizes(done) == before
    assert "cell" not in capsys.readouterr().err


@pytest.mark.usefixtures("no_training")
def test_other_photos_and_another_top_k_are_measured_without_training(done):
    before = sizes(done)
    record = run_study(request(done, samples=30, cells=("apart",)))
    assert state(record) == {line: line == ("apart", "none") for line in LINES}
    assert {entry.row.count for entry in record.entries if entry.row} == {30}
    assert {name: size - before[name] for name, size in sizes(done).items()} == {"base": 0, "apart": 2, "sparse": 0}
    assert all(entry.row.count == PHOTOS for entry in run_study(request(done)).entries)  # found again
    more = dataclasses.replace(TINY, cells=(Cell("base", "base", inference=("8",)),))
    (entry,) = run_study(request(done, more)).entries
    assert entry.row.top_k == "8"


def test_a_bad_cell_is_told_and_the_others_done(tmp_path, capsys):
    cells = (
        Cell("wide", "x", {"model.cross.after": (7,)}),
        Cell("clash", "x", {"augment.policy": "none", "augment.crop_size": 9}),
        Cell("base", "base"),
    )
    record = run_study(request(tmp_path / "s", dataclasses.replace(TINY, cells=cells)))
    problems = {entry.cell: entry.problem for entry in record.entries}
    assert "expected blocks in 1 .. 6" in problems["wide"]
    assert "does not crop" in problems["clash"]
    assert not problems["base"]
    assert [cell for (cell, _), there in state(record).items() if there] == ["base"]
    told = capsys.readouterr().err
    assert "cell wide failed: --model.cross.after 7" in told
    assert "cell 3/3 base" in told
    remarks = {line.entry.cell: line.remark for line in compare(tmp_path / "s", record)}
    assert remarks["wide"].startswith("failed: --model.cross.after 7")


def test_a_stopped_cell_is_resumed_where_it_was(finished, tmp_path, monkeypatch):
    check = Interrupt.check
    monkeypatch.setattr(Interrupt, "check", lambda self, step=None: (setattr(self, "asked", True), check(self, step)))
    with pytest.raises(Stopped):
        run_study(request(tmp_path / "tiny", cells=("base",)))
    assert read_record(tmp_path / "tiny").seconds["base"] > 0
    monkeypatch.setattr(Interrupt, "check", check)
    assert "0 of 1 epochs" in dry_run(request(tmp_path / "tiny"))
    monkeypatch.setattr(train, "start", lambda *_: pytest.fail("began anew"))
    record = run_study(request(tmp_path / "tiny", cells=("base",)))
    whole = read_record(finished).entries[0].row
    assert (record.entries[0].row.checkpoint, record.entries[0].row.value) == (whole.checkpoint, whole.value)
    assert [line.remark for line in compare(tmp_path / "tiny", record)][2:] == ["not done yet"] * 4


def test_another_recipe_in_a_cells_folder_is_refused(done):
    before = sizes(done)
    other = with_changes(TINY.base_recipe(), {"train.epochs": 2, "model.cross.heads": 2})
    with pytest.raises(
        UserError, match=r"cell base was made with model.cross.heads 4 \(now 2\), train.epochs 1 \(now 2\)"
    ):
        run_study(Request(TINY, other, done))
    assert sizes(done) == before
    recipe = json.loads((done / "apart" / "recipe.json").read_text())
    (done / "apart" / "recipe.json").write_text(json.dumps(recipe | {"seed": 9}))
    entries = {entry.cell: entry for entry in run_study(request(done, cells=("base",))).entries}
    assert (entries["apart"].row, entries["apart"].problem) == (None, "cell apart was made with seed 9 (now 0)")


def test_a_damaged_run_is_its_cells_failure(done, capsys):
    (done / "apart" / "recipe.json").write_text("[]")
    entries = {entry.cell: entry for entry in run_study(request(done)).entries}
    assert (entries["base"].row is None, entries["apart"].row) == (False, None)
    assert entries["apart"].problem.startswith(f"{done / 'apart'}: {done / 'apart' / 'recipe.json'} is damaged")
    assert "cell apart failed: " in capsys.readouterr().err


def test_the_tables_numbers_by_hand(finished):
    record = read_record(finished)
    hits = {
        (entry.cell, entry.top_k): Predictions.load(RunFolder(finished / entry.run).predictions(entry.row)).hits(1)
        for entry in record.entries
    }
    base, p_values = hits["base", "none"], {}
    lines = {(line.entry.cell, line.entry.top_k): line for line in compare(finished, record)}
    assert lines["base", "none"].remark == "the baseline"
    assert lines["dense", "none"].remark == "the baseline's own run"
    for key in LINES[2:]:
        won, lost = int((hits[key] & ~base).sum()), int((base & ~hits[key]).sum())
        p_values[key] = mcnemar([[0, won], [lost, 0]], exact=won + lost < 25).pvalue
        assert lines[key].p == pytest.approx(p_values[key])
        assert lines[key].difference.value == pytest.approx((won - lost) / PHOTOS)
        assert lines[key].difference.low < (won - lost) / PHOTOS < lines[key].difference.high
        assert lines[key].entry.row.value == pytest.approx(hits[key].mean())
    corrected = multipletests(list(p_values.values()), method="holm")[1]
    assert [lines[key].corrected for key in p_values] == pytest.approx(list(corrected))
    assert max(p_values.values()) < 1 or len({lines[key].difference.value for key in p_values}) > 1


def test_a_measurement_that_cells_share_counts_once_in_the_correction(finished):
    record = read_record(finished)
    twice = dataclasses.replace(record, entries=[*record.entries, dataclasses.replace(record.entries[3], cell="again")])
    once, again = compare(finished, record), compare(finished, twice)
    assert [line.corrected for line in again[:-1]] == [line.corrected for line in once]
    assert again[-1].corrected == once[3].corrected is not None


def test_what_cannot_be_paired_says_so(done):
    record = read_record(done)
    small = run_study(request(done, samples=30, cells=("apart",))).entries[3]
    entries = [*record.entries[:3], small, *record.entries[4:]]
    (done / "sparse" / "predictions").rename(done / "sparse" / "lost")
    lines = compare(done, dataclasses.replace(record, entries=entries))
    assert lines[3].remark.startswith("other photos than the baseline's: 30 of ")
    assert lines[4].remark.startswith("the predictions of sparse are gone")
    assert [line.difference for line in lines[3:]] == [None] * 3
    without = dataclasses.replace(record, entries=[dataclasses.replace(entries[0], row=None), *entries[1:]])
    assert [line.remark for line in compare(done, without)][:2] == ["not done yet", "the baseline is not done yet"]


@pytest.mark.parametrize("other", ["dataset", "labels"])
def test_as_many_other_photos_are_not_paired(done, other):
    record, run_folder = read_record(done), RunFolder(done / "apart")
    row = record.entries[3].row
    saved = Predictions.load(run_folder.predictions(row))
    if other == "dataset":
        row = dataclasses.replace(row, dataset="elsewhere")
    else:
        saved = dataclasses.replace(saved, labels=np.roll(saved.labels, 1))
    saved.save(run_folder.predictions(row))
    record.entries[3] = dataclasses.replace(record.entries[3], row=row)
    lines = compare(done, record)
    assert lines[3].remark == f"other photos than the baseline's: {PHOTOS} of {row.dataset}"
    assert lines[4].difference is not None


def test_a_dry_run_writes_nothing_and_tells_what_is_left(tmp_path, finished):
    text = dry_run(request(tmp_path / "none"))
    assert "to do: 3 trainings, 5 measurements; about 0:05:08" in text  # 3 x (1 + 1 + 60) s, and twice 1 + 60 s
    assert list(tmp_path.iterdir()) == []
    assert "nothing is left to do" in dry_run(request(finished))


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STUDIES, "tiny", TINY)


@pytest.mark.usefixtures("known", "no_training")
def test_command_shows_and_writes_the_table(done, pages, capsys):
    command(["tiny", "--runs", str(done.parent)])
    told = capsys.readouterr()
    out = told.out
    assert pages == [[done]]
    assert f"  {done / 'report.html'}  all tables" in out
    assert "warning: the photos [here] are gone\n" in told.err
    lines = compare(done, read_record(done))
    rows = list(csv.DictReader((done / "study.csv").open()))
    of_a_group = [*LINES[:3], *LINES[4:], LINES[3]]  # are together
    assert [(row["cell"], row["top_k"]) for row in rows] == of_a_group
    for row in rows:
        (line,) = (each for each in lines if (each.entry.cell, each.entry.top_k) == (row["cell"], row["top_k"]))
        assert (row["group"], int(row["top1_count"])) == (line.entry.group, PHOTOS)
        assert [float(row["top1"]), float(row["top1_low"])] == [line.entry.row.value, line.entry.row.low]
        assert row["difference"] == ("" if line.difference is None else str(line.difference.value))
        assert f"{100 * line.entry.row.value:.1f}" in out
        if line.difference is not None:
            assert [float(row["mcnemar_p"]), float(row["holm_p"])] == [line.p, line.corrected]
            assert float(row["difference_high"]) == line.difference.high
            points = f"{100 * line.difference.value:+.1f} ({100 * line.difference.low:+.1f} to"
            assert points in (done / "study.md").read_text()
    assert [row["notes"] for row in rows] == ["the baseline", "the baseline's own run", "", "", "", ""]


@pytest.mark.usefixtures("known", "no_training")
def test_the_command_ends_with_the_studys_page(done, monkeypatch, capsys):
    monkeypatch.setattr(report, "write_report", write_report)
    monkeypatch.setitem(STUDIES, "tiny", dataclasses.replace(TINY, cells=TINY.cells[:1]))
    command(["tiny", "--runs", str(done.parent)])
    (entry,) = read_record(done).entries
    assert f"{100 * entry.row.value:.1f}" in (done / "report.html").read_text()
    assert f"  {done / 'report.html'}  all tables" in capsys.readouterr().out


def entry_of(cell: str, count: int = 360, **more: object) -> Entry:
    row = Row("base", "digits", {"kind": "clean"}, "top-1", 0.144, 0.112, 0.185, count, 0, "last", "float32", 1.0)
    return Entry("cross attention", cell, cell, "none", row, **more)


def shown_on(width: int, lines: list[Line]) -> list[str]:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(terminal(study_table(Record("ablation-digits", "a note", "base"), lines)))
    return capture.get().splitlines()


def test_the_table_of_the_ablation_fits_on_80_columns():
    gap = Estimate(-0.531, -0.583, -0.472)
    names = [cell.name for cell in STUDIES["ablation-digits"].cells]
    shown = shown_on(80, [Line(entry_of(name), gap, 1e-4, 0.003) for name in names])
    assert max(map(len, names)) == 24
    first = {line.split()[0]: line.split() for line in shown if "14.4" in line}
    assert first == {name: [name, "none", "14.4", "-53.1", "<0.001", "0.003"] for name in names}
    second = [" ".join(line.split()) for line in shown if "11.2 to 18.5" in line]
    assert second == len(names) * ["11.2 to 18.5 -58.3 to -47.2"]


def test_remarks_are_footnotes_and_so_is_another_number_of_photos():
    lines = [
        Line(entry_of("base", label="My [net]"), remark="the baseline"),
        Line(entry_of("most"), Estimate(0.5, 0.4, 0.6), 1.0, 1.0, remark="failed: speed: too | slow"),
        Line(entry_of("few", count=30), remark="the baseline"),
        Line(dataclasses.replace(entry_of("none"), row=None), remark="not done yet"),
    ]
    table = study_table(Record("tiny", "", "base"), lines)
    assert "Accuracies in percent of 360 photos" in table.caption
    assert table.footnotes == ("the baseline", "failed: speed: too | slow", "of 30 photos", "not done yet")
    shown = [" ".join(line.split()) for line in shown_on(100, lines)]
    expected = ["My [net] none 14.4 - a", "most none 14.4 +50.0 b 1.000 1.000", "few none 14.4 c - a", "none none - d"]
    assert [line for line in shown if line in expected] == expected
    assert [cell.value for cell in table.rows[3]] == ["none", "none", None, None, None, None]
    assert table.rows[0][0].value == "base"
    assert "percent, with" in study_table(Record("tiny", "", "base"), lines[3:]).caption


@pytest.mark.usefixtures("known")
def test_table_again_from_files_alone_without_torch(done):
    command(["tiny", "--runs", str(done.parent)])
    first = (done / "study.csv").read_text()
    for name in ("checkpoints", "results.jsonl"):
        for path in done.glob(f"*/{name}"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (done / "study.csv").unlink()
    with pytest.raises(UserError, match="was begun as tiny, not as ablation-digits"):
        command(["ablation-digits", "--table", "--runs", str(done.parent), "--name", "tiny"])
    record = (done / "study.json").read_text()
    (done / "study.json").write_text(record.replace('"name": "tiny"', '"name": "ablation-digits"'))
    code = "import sys; from doublevit.cli.study import study; study(sys.argv[1:]); assert 'torch' not in sys.modules"
    arguments = ["ablation-digits", "--table", "--runs", str(done.parent), "--name", "tiny"]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
    assert (done / "study.csv").read_text() == first


@pytest.mark.usefixtures("no_training")
def test_what_another_process_noted_before_the_lock_was_free_is_kept(done, monkeypatch):
    before = read_record(done)

    def late(path: Path, timeout: float) -> FileLock:
        failed = dataclasses.replace(before.entries[3], row=None, problem="of another process")
        entries = [*before.entries[:3], failed, *before.entries[4:]]
        write_record(done, dataclasses.replace(before, entries=entries, seconds={"base": 77.0}))
        shutil.rmtree(done / "apart")
        return FileLock(path, timeout=timeout)

    monkeypatch.setattr("doublevit.jobs.study.run.FileLock", late)
    after = run_study(request(done, cells=("base",)))
    assert (after.seconds, after.entries[3].problem) == ({"base": 77.0}, "of another process")
    assert read_record(done) == after


def broken(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "No space left on device"), "OSError: No space left on device"),
        (OSError("cut short"), "OSError: cut short"),
        (ValueError("first\nsecond"), "ValueError: first"),
        (AssertionError(), "AssertionError"),
        (MemoryError("too large"), "MemoryError: too large"),
        (UserError("choose less"), "choose less"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_goes_wrong_with_a_cell_the_others_go_on(finished, done, error, told, monkeypatch, capsys):
    for name in ("apart", "sparse"):
        shutil.rmtree(done / name)

    def start(_: Recipe, runs: Path, name: str) -> train.Trained:
        if name == "apart":
            raise error
        return train.Trained(RunFolder(shutil.copytree(finished / name, runs / name)), None, None)

    monkeypatch.setattr(train, "start", start)
    monkeypatch.setattr("doublevit.jobs.study.outlook.time_network", broken(error))
    record = run_study(request(done))
    assert state(record) == {line: line != ("apart", "none") for line in LINES}
    assert [entry.problem for entry in record.entries] == ["", "", "", told, "", ""]
    assert f"cell apart failed: {told}\n" in capsys.readouterr().err


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("end", [Stopped, KeyboardInterrupt])
def test_an_end_that_is_asked_for_while_measuring_is_none_of_a_cells_failures(done, end, monkeypatch):
    monkeypatch.setattr(clean, "evaluate", broken(end()))
    with pytest.raises(end):
        run_study(request(done, samples=30, cells=("apart", "sparse")))
    assert not any(entry.problem for entry in read_record(done).entries)


def test_two_at_once_are_refused(done):
    with FileLock(done / ".lock"), pytest.raises(UserError, match="this study is running already"):
        run_study(request(done))


@pytest.mark.usefixtures("known")
def test_no_cells_are_not_all_cells(tmp_path):
    with pytest.raises(UserError, match="--cells: expected names of cells"):
        command(["tiny", "--runs", str(tmp_path), "--cells"])


@pytest.mark.usefixtures("known")
def test_command_ends_with_1_if_a_cell_failed(tmp_path, capsys, monkeypatch):
    bad = dataclasses.replace(TINY, cells=(Cell("base", "base", {"model.cross.heads": 7}),))
    monkeypatch.setitem(STUDIES, "tiny", bad)
    with pytest.raises(SystemExit) as end:
        command(["tiny", "--runs", str(tmp_path)])
    assert end.value.code == 1
    assert "1 of 1 cells failed: base" in capsys.readouterr().err
    assert "7 does not divide the width 64" in (tmp_path / "tiny" / "study.csv").read_text()


@pytest.mark.usefixtures("known", "no_training")
@pytest.mark.parametrize("error", [UserError("runs do not fit"), OSError(28, "No space left on device")])
def test_a_page_that_cannot_be_made_hides_no_failure(done, error, monkeypatch, capsys):
    monkeypatch.setattr(report, "write_report", broken(error))
    command(["tiny", "--runs", str(done.parent)])  # nothing failed but the page
    assert f"warning: the page could not be made: {error}\n" in capsys.readouterr().err
    shutil.rmtree(done / "apart")
    monkeypatch.setattr(train, "start", broken(UserError("no such thing")))
    with pytest.raises(SystemExit) as end:
        command(["tiny", "--runs", str(done.parent)])
    assert end.value.code == 1
    told = capsys.readouterr().err
    assert f"warning: the page could not be made: {error}\n" in told
    assert told.endswith("1 of 4 cells failed: apart; the table says why\n")


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("error", [KeyboardInterrupt, Stopped])
def test_ctrl_c_says_that_the_same_command_goes_on(tmp_path, capsys, monkeypatch, error):
    monkeypatch.setattr(train, "start", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(SystemExit) as end:
        command(["tiny", "--runs", str(tmp_path)])
    assert end.value.code == 130
    assert "give the same command again to go on" in capsys.readouterr().err
    assert len(read_record(tmp_path / "tiny").entries) == len(LINES)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tinny"], "did you mean tiny"),
        (["tiny", "--cells", "bse"], "did you mean base"),
        (["tiny", "--samples", "5", "--photos", "5"], "expected one of them"),
        (["tiny", "--photos", "999"], "expected 1 to 60"),
        (["tiny", "--name", "a/b"], "expected the plain name"),
        (["tiny", "--table"], "is no study"),
        (["tiny", "--table", "--dry-run"], "expected one of them"),
        (["tiny", "--train.epochs", "-1"], "expected at least 0"),
        (["tiny", "--data.per-class", "999"], "has only"),
    ],
)
def test_bad_input_is_told_before_any_work(arguments, words, tmp_path):
    with pytest.raises(UserError, match=words):
        command([*arguments, "--runs", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("known")
def test_several_processes_and_folders_of_runs_are_refused(tmp_path, monkeypatch, finished):
    with pytest.raises(UserError, match="is a run"):
        command(["tiny", "--runs", str(finished), "--name", "base"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="without torchrun"):
        command(["tiny", "--runs", str(tmp_path)])


def test_help_names_the_studies_and_their_options(capsys):
    command([])
    listed = capsys.readouterr().out
    assert all(name in listed for name in STUDIES)
    with pytest.raises(SystemExit) as end:
        command(["ablation-ti", "--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert "--train.epochs" in out
    assert "--dry-run" in out
    assert "\n" not in (command.__doc__ or "").strip()
