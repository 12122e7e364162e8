"""Studies on a few digits: all cells get done, nothing twice, bad cells are told, and the table is right by hand."""

import contextlib
import csv
import dataclasses
import io
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from filelock import FileLock
from rich.console import Console
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from conftest import study_copied
from doublevit import strict_json
from doublevit.analysis.compare import compare_runs
from doublevit.attacks.config import AttackConfig
from doublevit.cli import main
from doublevit.cli.study import study as command
from doublevit.corrupted_sets.config import RobustnessConfig
from doublevit.errors import UserError
from doublevit.models.config import ModelConfig
from doublevit.models.top_k import show
from doublevit.recipes import Recipe, get_recipe, to_dict
from doublevit.recipes.recipe import differences, with_absolute_paths, with_changes
from doublevit.report.formats.terminal import fitted
from doublevit.report.tables.accuracy import accuracy_table, difference_table
from doublevit.runs.conditions import Clean
from doublevit.runs.folder import RunFolder
from doublevit.runs.predictions import Predictions
from doublevit.runs.row import Row
from doublevit.runs.study_record import StudyEntry, StudyRecord, read_record, write_record
from doublevit.studies.named import STUDIES
from doublevit.studies.plan import StudyRequest, make_plan
from doublevit.studies.run import run_study
from doublevit.studies.study import Protocol, Study, StudyCell
from doublevit.training.interrupt import Stopped
from moments import at_batch, at_file, ctrl_c, raising

IMAGES = 60  # to validate
FEW = {"train.epochs": 1, "data.per_class": 2, "data.val_fraction": IMAGES / 1797}
BACKBONE = {"model.backbone": "vit-digits-8"}
TINY = Study(
    "tiny",
    "three networks on a few digits",
    "digits-double",
    "base",
    (
        StudyCell("base", "base"),
        StudyCell("dense", "top-k", {"model.top_k": "none"}, ("none", "4")),  # the base's own run
        StudyCell("apart", "cross", {"model.cross.after": ()}),
        StudyCell("sparse", "top-k", {"model.top_k": "4"}, ("none", "4")),
    ),
    {**FEW, **BACKBONE},
)
LINES = [("base", "none"), ("dense", "none"), ("dense", "4"), ("apart", "none"), ("sparse", "none"), ("sparse", "4")]


LABELS = ["base", "dense", "dense, top-k 4", "apart", "sparse, dense", "sparse"]
"""How tables name the same."""


def request(folder: Path, study: Study = TINY, **asked: object) -> StudyRequest:
    return StudyRequest(study, study.base_recipe(), folder, **asked)


def state(record: StudyRecord) -> dict[tuple[str, str], bool]:
    return {(entry.cell, show(entry.top_k)): entry.measured for entry in record.entries}


def row_of(folder: Path, entry: StudyEntry) -> Row:
    """The newest top-1 on clean images of an entry."""
    rows = [row for row in RunFolder(folder / entry.run).rows() if isinstance(row.condition, Clean)]
    return [row for row in rows if (row.metric, row.top_k) == ("top-1", entry.top_k)][-1]


def write_rows(run: Path, rows: list[Row]) -> None:
    (run / "results.jsonl").write_bytes(b"".join(strict_json.encode(row) + b"\n" for row in rows))


def sizes(folder: Path) -> dict[str, int]:
    return {path.parent.name: len(path.read_text().splitlines()) for path in folder.glob("*/results.jsonl")}


def files(folder: Path) -> dict[Path, int]:
    """Every file of its runs, and when it was written."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("*/**/*") if path.is_file()}


def csv_table(folder: Path, name: str) -> dict[str, dict[str, str]]:
    """The rows of a table of study.csv, by model."""
    text = (folder / "study.csv").read_text().partition(f"# {name}\n")[2].partition("\n\n")[0]
    return {row["model"]: row for row in csv.DictReader(io.StringIO(text))}


@dataclasses.dataclass(frozen=True)
class Ended:
    """What a command left and said."""

    folder: Path
    out: str
    err: str


@pytest.fixture(scope="module")
def commanded(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The study when its command has done all of it."""
    runs, out, err = tmp_path_factory.mktemp("runs"), io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setitem(STUDIES, "tiny", TINY)
        command(["tiny", "--runs", str(runs)])
    return Ended(runs / "tiny", out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def finished(commanded: Ended) -> Path:
    """Its folder."""
    return commanded.folder


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return study_copied(finished, tmp_path)


def trainings(folder: Path) -> dict[Path, int]:
    """The files of its runs that training writes, and when it wrote them."""
    written = files(folder)
    return {path: time for path, time in written.items() if "checkpoints" in path.parts or path.name == "log.jsonl"}


@pytest.fixture
def no_training(done: Path) -> Iterator[None]:
    before = trainings(done)
    assert before
    yield
    assert trainings(done) == before


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
        RunFolder.create(to_dict(with_absolute_paths(recipe)), tmp_path / "s", name)
    planned = {each.name: each for each in make_plan(StudyRequest(study, base, tmp_path / "s"))}
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
    cells = (
        StudyCell("base", "base"),
        StudyCell("long", "x", {"train.epochs": 7}),
        StudyCell("vit", "x", recipe="paper-vit"),
    )
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
        row = row_of(finished, entry)
        assert (row.count, row.seed, row.model) == (IMAGES, 0, entry.run)
    trained = {name: json.loads((finished / name / "recipe.json").read_text())["model"] for name in ("apart", "sparse")}
    assert (trained["apart"]["cross"]["after"], trained["apart"]["top_k"]) == ([], "none")
    assert (trained["sparse"]["cross"]["after"], trained["sparse"]["top_k"]) == ([4], "4")
    assert record.seconds.keys() == {"base", "apart", "sparse"}


@pytest.mark.usefixtures("no_training")
def test_a_second_call_does_nothing(done, capsys):
    before, record = files(done), read_record(done)
    assert run_study(request(done)) == record
    assert files(done) == before
    assert "cell" not in capsys.readouterr().err


@pytest.mark.usefixtures("no_training")
def test_other_images_and_another_top_k_are_measured_without_training(done):
    before = sizes(done)
    record = run_study(request(done, samples=30, cells=("apart",)))
    assert state(record) == {line: line == ("apart", "none") for line in LINES}
    assert row_of(done, record.entries[3]).count == 30
    assert {name: size - before[name] for name, size in sizes(done).items()} == {"base": 0, "apart": 5, "sparse": 0}
    measured = sizes(done)
    assert all(state(run_study(request(done))).values())
    assert sizes(done) == measured  # found again
    more = dataclasses.replace(TINY, cells=(StudyCell("base", "base", inference=("8",)),))
    (entry,) = run_study(request(done, more)).entries
    assert entry.top_k == row_of(done, entry).top_k == (8,)


def test_a_bad_cell_is_told_and_the_others_done(tmp_path, capsys):
    cells = (
        StudyCell("wide", "x", {"model.cross.after": (7,)}),
        StudyCell("clash", "x", {"augment.policy": "none", "augment.crop_size": 9}),
        StudyCell("base", "base"),
    )
    record = run_study(request(tmp_path / "s", dataclasses.replace(TINY, cells=cells)))
    problems = {entry.cell: entry.problem for entry in record.entries}
    assert "expected blocks in 1 .. 6" in problems["wide"]
    assert "does not crop" in problems["clash"]
    assert not problems["base"]
    assert [cell for (cell, _), there in state(record).items() if there] == ["base"]
    told = capsys.readouterr().err
    assert "cell wide failed: `model.cross.after` 7" in told
    assert "cell 3/3 base" in told
    assert any(
        remark.startswith("wide failed: `model.cross.after` 7") for remark in compare_runs([tmp_path / "s"]).remarks
    )


def test_a_stopped_cell_is_resumed_where_it_was(finished, tmp_path, dry_run):
    with at_batch(1, ctrl_c, training=True), pytest.raises(Stopped):
        run_study(request(tmp_path / "tiny", cells=("base",)))
    assert read_record(tmp_path / "tiny").seconds["base"] > 0
    assert "0 of 1 epochs" in dry_run(tmp_path / "tiny")
    with at_batch(0, ctrl_c, training=True) as trained:
        record = run_study(request(tmp_path / "tiny", cells=("base",)))
    assert trained == []  # its only step was done
    row, whole = (row_of(folder, record.entries[0]) for folder in (tmp_path / "tiny", finished))
    assert (row.checkpoint, row.value) == (whole.checkpoint, whole.value)
    assert compare_runs([tmp_path / "tiny"]).remarks == tuple(
        f"{cell} is not done yet" for cell in ("dense", "apart", "sparse")
    )


def test_another_recipe_in_a_cells_folder_is_refused(done):
    before = sizes(done)
    other = with_changes(TINY.base_recipe(), {"train.epochs": 2, "model.cross.heads": 2})
    with pytest.raises(
        UserError, match=r"cell base was made with model.cross.heads 4 \(now 2\), train.epochs 1 \(now 2\)"
    ):
        run_study(StudyRequest(TINY, other, done))
    assert sizes(done) == before
    recipe = json.loads((done / "apart" / "recipe.json").read_text())
    (done / "apart" / "recipe.json").write_text(json.dumps(recipe | {"seed": 9}))
    entries = {entry.cell: entry for entry in run_study(request(done, cells=("base",))).entries}
    assert (entries["apart"].measured, entries["apart"].problem) == (False, "cell apart was made with seed 9 (now 0)")


def test_a_damaged_run_is_its_cells_failure(done, capsys):
    (done / "apart" / "recipe.json").write_text("[]")
    entries = {entry.cell: entry for entry in run_study(request(done)).entries}
    assert (entries["base"].measured, entries["apart"].measured) == (True, False)
    assert entries["apart"].problem.startswith(f"{done / 'apart'}: {done / 'apart' / 'recipe.json'} is damaged")
    assert "cell apart failed: " in capsys.readouterr().err


def test_the_tables_numbers_by_hand(finished):
    record, comparison = read_record(finished), compare_runs([finished])
    correct = {}
    for entry in record.entries:
        path = RunFolder(finished / entry.run).predictions_path(row_of(finished, entry))
        correct[entry.cell, show(entry.top_k)] = Predictions.load(path).correct(1)
    base, p_values = correct["base", "none"], {}
    assert [method.label for method in comparison.methods] == LABELS
    assert comparison.methods[1].same_as == "base"
    shown = dict(zip(LINES, comparison.differences.by_measure["clean"], strict=True))
    scores = dict(zip(shown, comparison.clean["top-1"].scores, strict=True))
    assert (shown["base", "none"], shown["dense", "none"]) == (None, None)
    for key in LINES[2:]:
        won, lost = int((correct[key] & ~base).sum()), int((base & ~correct[key]).sum())
        p_values[key] = mcnemar([[0, won], [lost, 0]], exact=won + lost < 25).pvalue
        assert shown[key].p == pytest.approx(p_values[key])
        assert shown[key].estimate.value == pytest.approx((won - lost) / IMAGES)
        assert shown[key].estimate.low < (won - lost) / IMAGES < shown[key].estimate.high
        assert scores[key][0].value == pytest.approx(correct[key].mean())
    corrected = multipletests(list(p_values.values()), method="holm")[1]
    assert [shown[key].corrected_p for key in p_values] == pytest.approx(list(corrected))
    assert max(p_values.values()) < 1 or len({shown[key].estimate.value for key in p_values}) > 1


def test_a_measurement_that_cells_share_counts_once_in_the_correction(done):
    once, record = compare_runs([done]).differences, read_record(done)
    again = msgspec.structs.replace(record.entries[3], cell="again")
    write_record(done, msgspec.structs.replace(record, entries=(*record.entries, again)))
    twice = compare_runs([done]).differences
    assert twice.by_measure["clean"][:-1] == once.by_measure["clean"]
    assert twice.by_measure["clean"][-1] == once.by_measure["clean"][3] is not None
    assert twice.family_size == once.family_size == 4


def test_what_cannot_be_paired_says_so(done):
    record = read_record(done)
    run_study(request(done, samples=30, cells=("apart",)))
    write_rows(done / "apart", [row for row in RunFolder(done / "apart").rows() if row.count == 30])
    (done / "sparse" / "predictions").rename(done / "sparse" / "lost")
    write_record(done, record)
    comparison = compare_runs([done])
    apart = LABELS.index("apart")
    (accuracy, *_) = accuracy_table(comparison).rows[apart][1:]
    assert accuracy.count == 30
    assert [note for note in accuracy.notes if "30" in note]
    found = dict(zip(LABELS, comparison.differences.by_measure["clean"], strict=True))
    assert [label for label, difference in found.items() if difference] == ["dense, top-k 4"]
    assert any(remark.startswith(f"{done / 'sparse'}: the predictions of 2 of 2") for remark in comparison.remarks)
    entries = [msgspec.structs.replace(record.entries[0], measured=False), *record.entries[1:]]
    write_record(done, msgspec.structs.replace(record, entries=tuple(entries)))
    assert "base is not done yet" in compare_runs([done]).remarks


def test_a_study_without_its_baseline_is_compared_with_the_first_cell_that_is_done(tmp_path):
    run_study(request(tmp_path / "s", cells=("apart", "sparse")))
    comparison = compare_runs([tmp_path / "s"])
    assert comparison.remarks == ("base is not done yet", "dense is not done yet")
    assert difference_table(comparison).title == "Compared with apart"


@pytest.mark.parametrize("other", ["dataset", "labels"])
def test_as_many_other_images_are_not_paired(done, other):
    run, record = RunFolder(done / "apart"), read_record(done)
    row = row_of(done, record.entries[3])
    saved = Predictions.load(run.predictions_path(row))
    if other == "dataset":
        dataset = msgspec.structs.replace(row.dataset, split="test")
        write_rows(run.path, [msgspec.structs.replace(each, dataset=dataset) for each in run.rows()])
    else:
        saved = dataclasses.replace(saved, labels=np.roll(saved.labels, 1))
    saved.save(run.predictions_path(row_of(done, record.entries[3])))
    found = dict(zip(LABELS, compare_runs([done]).differences.by_measure["clean"], strict=True))
    assert found["apart"] is None
    assert found["sparse"] is not None


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STUDIES, "tiny", TINY)


@pytest.fixture
def dry_run(known: None, capsys: pytest.CaptureFixture[str]) -> Callable[[Path], str]:
    """What a dry run shows of the study in a folder."""

    def shown(folder: Path) -> str:
        capsys.readouterr()
        command(["tiny", "--runs", str(folder.parent), "--name", folder.name, "--dry-run"])
        return " ".join(capsys.readouterr().out.replace("│", " ").split())

    return shown


def test_a_dry_run_writes_nothing_and_tells_what_is_left(tmp_path, finished, dry_run):
    text = dry_run(tmp_path / "none")
    assert text.endswith("to do: 3 trainings, 5 measurements")
    assert "base to do 0 of 1 clean dense to do, shared with base 0 of 2 clean apart to do" in text
    assert list(tmp_path.iterdir()) == []
    assert "nothing is left to do" in dry_run(finished)


def test_command_shows_and_writes_the_table(commanded):
    done, out, text = commanded.folder, commanded.out, (commanded.folder / "study.md").read_text()
    assert "warning" not in commanded.err
    comparison, entries = compare_runs([done]), read_record(done).entries
    accuracy, gaps = csv_table(done, "accuracy"), csv_table(done, "differences")
    of_a_group = [*LABELS[:3], *LABELS[4:], LABELS[3]]  # are together
    assert (list(accuracy), list(gaps)) == (of_a_group, of_a_group[1:])
    groups = [entry.group for entry in entries]
    assert [row["group"] for row in accuracy.values()] == [*groups[:3], *groups[4:], groups[3]]
    for label, difference in zip(LABELS, comparison.differences.by_measure["clean"], strict=True):
        shown = accuracy[label]
        row = row_of(done, entries[LABELS.index(label)])
        assert [float(shown["top1"]), float(shown["top1_low"]), int(shown["top1_count"])] == [
            row.value,
            row.low,
            IMAGES,
        ]
        assert f"{100 * row.value:.1f}" in out
        assert f"{100 * row.value:.1f} ({100 * row.low:.1f} to" in text
        if difference is not None:
            estimate, shown = difference.estimate, gaps[label]
            assert [float(shown["clean"]), float(shown["clean_p"])] == [estimate.value, difference.corrected_p]
            assert float(shown["clean_high"]) == estimate.high
            assert f"{100 * estimate.value:+.1f} ({100 * estimate.low:+.1f} to" in text
            assert f"{100 * estimate.value:+.1f}" in out
    assert [gaps["dense"][name] for name in ("clean", "clean_p", "notes")] == ["", "", "the same run as base"]


def test_the_command_ends_with_the_studys_page(commanded):
    (entry, *_) = read_record(commanded.folder).entries
    assert f"{100 * row_of(commanded.folder, entry).value:.1f}" in (commanded.folder / "report.html").read_text()
    assert f"  {commanded.folder / 'report.html'}  all tables" in commanded.out


@pytest.mark.usefixtures("no_training")
def test_a_remark_stands_on_the_page_and_is_told_once(done, monkeypatch, capsys):
    late = StudyCell("late", "x", {"model.top_k": "16"})
    monkeypatch.setitem(STUDIES, "tiny", dataclasses.replace(TINY, cells=(*TINY.cells[:1], late)))
    command(["tiny", "--runs", str(done.parent), "--cells", "base"])
    assert capsys.readouterr().err.count("warning: late is not done yet\n") == 1
    assert "late is not done yet" in (done / "report.html").read_text()


def test_what_the_page_alone_has_to_say_is_a_warning(image_folder, tmp_path, monkeypatch, capsys):
    """The images go while the only cell is measured."""
    images = image_folder.rename(tmp_path / "pets [old]")
    alone = dataclasses.replace(TINY, cells=TINY.cells[:1], changes={"train.epochs": 1, **BACKBONE})
    monkeypatch.setitem(STUDIES, "tiny", alone)
    source = ["--data.source", "folder", "--data.path", str(images), "--data.cache", str(tmp_path / "cache")]
    with at_batch(1, lambda _: shutil.rmtree(images), training=False):
        command(["tiny", "--runs", str(tmp_path), *source])
    told = capsys.readouterr().err
    assert "warning: the images cannot be had, so none are shown" in told
    assert "pets [old]" in told
    assert (tmp_path / "tiny" / "report.html").is_file()


def test_the_tables_of_the_ablation_fit_on_80_columns(finished, tmp_path):
    cells, row = STUDIES["ablation-digits"].cells, row_of(finished, read_record(finished).entries[3])
    entries = [StudyEntry(group=cell.group, cell=cell.name, run=cell.name, measured=True) for cell in cells]
    names = [entry.cell for entry in entries]
    for name in names:
        shutil.copytree(finished / "apart", tmp_path / name, symlinks=True)
        write_rows(
            tmp_path / name, [msgspec.structs.replace(each, model=name) for each in RunFolder(tmp_path / name).rows()]
        )
    write_record(tmp_path, StudyRecord(name="ablation-digits", note="", baseline="base", entries=tuple(entries)))
    comparison, window = compare_runs([tmp_path]), Console(width=80)
    with window.capture() as capture:
        for table in (accuracy_table(comparison), difference_table(comparison)):
            window.print(fitted(table, window))
    lines = capture.get().splitlines()
    assert max(map(len, names)) == 24
    assert max(map(len, lines)) <= 80
    accuracy = f"{100 * row.value:.1f}"
    assert [line.split()[:2] for line in lines if f" {accuracy} " in line] == [[name, accuracy] for name in names]
    gaps = [line.split() for line in lines if "+0.0" in line]
    assert gaps == [[name, "+0.0", "1.000"] for name in names[1:]]


@pytest.mark.usefixtures("known")
def test_what_must_be_said_of_cells_stands_in_the_file_and_in_warnings(done, capsys):
    record = read_record(done)
    changes = {
        "base": {"label": "My [net]"},
        "apart": {"problem": "speed: too | [slow]"},
        "sparse": {"measured": False},
    }
    entries = tuple(msgspec.structs.replace(each, **changes.get(each.cell, {})) for each in record.entries)
    write_record(done, msgspec.structs.replace(record, entries=entries))
    command(["tiny", "--table", "--runs", str(done.parent)])
    shown = capsys.readouterr()
    assert "My [net]" in shown.out
    assert "Compared with My [net]" in shown.out
    assert "warning: apart failed: speed: too | [slow]\nwarning: sparse is not done yet\n" in shown.err
    assert "- apart failed: speed: too \\| \\[slow\\]\n- sparse is not done yet\n" in (done / "study.md").read_text()
    assert list(csv_table(done, "accuracy")) == ["My [net]", "dense", "dense, top-k 4", "apart"]


@pytest.mark.slow
@pytest.mark.usefixtures("known")
def test_table_again_from_files_alone_without_torch(done):
    first = (done / "study.csv").read_text()
    for path in done.glob("*/checkpoints"):
        shutil.rmtree(path)
    (done / "study.csv").unlink()
    with pytest.raises(UserError, match="was begun as tiny, not as ablation-digits"):
        command(["ablation-digits", "--table", "--runs", str(done.parent), "--name", "tiny"])
    record = (done / "study.json").read_text()
    (done / "study.json").write_text(record.replace('"name": "tiny"', '"name": "ablation-digits"'))
    code = "import sys; from doublevit.cli.study import study; study(sys.argv[1:]); assert 'torch' not in sys.modules"
    arguments = ["ablation-digits", "--table", "--runs", str(done.parent), "--name", "tiny"]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
    assert (done / "study.csv").read_text() == first


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '{"name": "tiny", "entries": [{"row": {}}]}',
            "is of version 1, and this doublevit .* reads version 2: delete it",
        ),
        ('{"name": "tiny", "version": 2}', "is damaged .*missing required field 'note'.*; delete it"),
        ("[" * 100_000, "is damaged .*; delete it"),
        ("[]", "is damaged .*; delete it"),
    ],
    ids=["version", "field", "deep", "list"],
)
def test_a_record_that_cannot_be_read_is_told_in_one_line(tmp_path, text, words):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "study.json").write_text(text)
    for more in (["--table"], ["--dry-run"], []):
        with pytest.raises(UserError, match=words):
            command(["tiny", "--runs", str(tmp_path), *more])


def test_what_another_process_noted_before_the_lock_was_free_is_kept(done):
    before = read_record(done)

    def end_of_the_other(_: Path) -> None:
        if not (done / "apart").exists():
            return  # the lock's file is opened more than once
        failed = msgspec.structs.replace(before.entries[3], measured=False, problem="of another process")
        entries = (*before.entries[:3], failed, *before.entries[4:])
        write_record(done, msgspec.structs.replace(before, entries=entries, seconds={"base": 77.0}))
        shutil.rmtree(done / "apart")

    with at_file("open", ".lock", end_of_the_other):
        after = run_study(request(done, cells=("base",)))
    assert (after.seconds, after.entries[3].problem) == ({"base": 77.0}, "of another process")
    assert read_record(done) == after
    assert not (done / "apart").exists()


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
def test_whatever_goes_wrong_with_a_cell_the_others_go_on(done, error, told, capsys):
    shutil.rmtree(done / "apart")
    (done / "sparse" / "results.jsonl").unlink()
    with at_batch(1, raising(error), training=True):
        record = run_study(request(done))
    assert state(record) == {line: line != ("apart", "none") for line in LINES}
    assert [entry.problem for entry in record.entries] == ["", "", "", told, "", ""]
    assert f"cell apart failed: {told}\n" in capsys.readouterr().err
    assert sizes(done)["sparse"] > 0


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("training", [True, False], ids=["training", "measuring"])
def test_ctrl_c_says_that_the_same_command_goes_on_and_is_none_of_a_cells_failures(done, capsys, end, training):
    if training:
        shutil.rmtree(done / "apart")
    with at_batch(1, lambda _: signal.raise_signal(end), training=training), pytest.raises(SystemExit) as stopped:
        main(["study", "tiny", "--runs", str(done.parent), "--samples", "30", "--cells", "apart", "sparse"])
    assert stopped.value.code == 130
    assert "give the same command again to go on" in capsys.readouterr().err
    entries = read_record(done).entries
    assert len(entries) == len(LINES)
    assert not any(entry.problem for entry in entries)


def test_two_at_once_are_refused(done):
    with FileLock(done / ".lock"), pytest.raises(UserError, match="this study is running already"):
        run_study(request(done))


@pytest.mark.usefixtures("known")
def test_no_cells_are_not_all_cells(tmp_path):
    with pytest.raises(UserError, match="`cells`: expected names of cells"):
        command(["tiny", "--runs", str(tmp_path), "--cells"])


@pytest.mark.usefixtures("known")
def test_command_ends_with_1_if_a_cell_failed(tmp_path, capsys, monkeypatch):
    bad = dataclasses.replace(TINY, cells=(StudyCell("base", "base", {"model.cross.heads": 7}),))
    monkeypatch.setitem(STUDIES, "tiny", bad)
    with pytest.raises(SystemExit) as end:
        command(["tiny", "--runs", str(tmp_path)])
    assert end.value.code == 1
    error = capsys.readouterr().err
    assert "1 of 1 cells failed: base" in error
    assert "7 does not divide the width 64" in error.partition("warning: base failed: ")[2]


def damage(log: Path) -> None:
    log.write_text(f"cut\n{log.read_text()}")


def block(log: Path) -> None:
    log.unlink()
    log.mkdir()


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(("spoil", "words"), [(damage, "line 1 is damaged"), (block, "expected a file")])
def test_a_page_that_cannot_be_made_hides_no_failure(done, spoil, words, capsys):
    (done / "report.html").unlink()
    spoil(done / "base" / "log.jsonl")  # which the page alone is made of
    command(["tiny", "--runs", str(done.parent)])  # nothing failed but the page
    told = capsys.readouterr().err
    assert "warning: the page could not be made: " in told
    assert words in told.partition("warning: the page could not be made: ")[2]
    assert not (done / "report.html").exists()
    (done / "apart" / "recipe.json").write_text("[]")
    with pytest.raises(SystemExit) as end:
        command(["tiny", "--runs", str(done.parent)])
    assert end.value.code == 1
    told = capsys.readouterr().err
    assert words in told.partition("warning: the page could not be made: ")[2]
    assert told.endswith("1 of 4 cells failed: apart; the warnings above say why\n")


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tinny"], "did you mean tiny"),
        (["tiny", "--cells", "bse"], "did you mean base"),
        (["tiny", "--samples", "5", "--first", "5"], "expected one of them"),
        (["tiny", "--first", "999"], "expected 1 to 60"),
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
