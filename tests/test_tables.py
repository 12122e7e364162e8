"""Tables of runs whose numbers were chosen, against what they must say, in every format."""

import csv
import dataclasses
import io
import json
import re

import msgspec
import numpy as np
import pytest
from rich.console import Console
from scipy import stats
from statsmodels.stats.multitest import multipletests

from doublevit.analysis.compare import compare_rows, compare_runs
from doublevit.analysis.comparison import Comparison, CorruptedComparison
from doublevit.analysis.scores import Score, ScoreColumn, choose_comparable
from doublevit.cli.study import SHORT, write_study_tables
from doublevit.corruptions import PAPER
from doublevit.data.identity import DatasetId
from doublevit.errors import UserError
from doublevit.jobs.report import write_report
from doublevit.report.formats import FORMATS, fitted, terminal
from doublevit.report.page.sentence import result_sentence
from doublevit.report.table import Cell, Column, Table, letter
from doublevit.report.tables.accuracy import accuracy_table, difference_table
from doublevit.report.tables.attacks import attack_tables, transfer_tables
from doublevit.report.tables.cells import score_cells
from doublevit.report.tables.every import every_table, result_tables
from doublevit.report.tables.robustness import robustness_table, severity_table
from doublevit.report.tables.runs import speed_table
from doublevit.runs.conditions import CorruptionMean
from doublevit.runs.study_record import StudyEntry, StudyRecord, write_record
from doublevit.statistics import change_difference
from made_runs import (
    ADAPTATIONS,
    HOME_MADE,
    LAST,
    PETS,
    PUBLISHED,
    SPEED,
    checkpoint,
    corruption,
    entry_of,
    first,
    make_run,
    measure,
    pgd,
    right,
    transfer,
)


def column(table: Table, name: str) -> list[Cell]:
    index = [head.name for head in table.columns].index(name)
    return [row[index] for row in table.rows]


def score(correct, key="images", **more) -> Score:
    correct = np.asarray(correct, bool)
    return Score(float(correct.mean()), 0.0, 1.0, len(correct), key, key, per_image=correct, **more)


def cells(scores, **more) -> list[Cell]:
    return score_cells(ScoreColumn(tuple(map(tuple, scores)), **more))


def of_group(comparison: Comparison, name: str = "paper") -> CorruptedComparison:
    return next(corrupted for corrupted in comparison.corrupted if corrupted.group.name == name)


def robustness(comparison: Comparison, name: str = "paper") -> Table:
    return robustness_table(comparison, of_group(comparison, name))


@pytest.fixture
def pair(tmp_path):
    """Two runs: on the same 200 images, clean and under the paper's five at severities 1 and 3."""
    for name, clean, lost in (("one", 160, 40), ("two", 150, 20)):
        run = make_run(tmp_path, name)
        measure(run, right(clean))
        for number, corrupted_by in enumerate(PAPER):
            for severity in (1, 3):
                measure(run, right(clean - lost - 4 * number - 2 * severity), corruption(corrupted_by, severity))
    return [tmp_path / "one", tmp_path / "two"]


def test_choose_takes_what_most_have_and_else_the_largest():
    options = [{"a": (10, "a1"), "b": (99, "b1")}, {"a": (10, "a2")}, {"b": (99, "b3")}, {}, {"a": (10, "a5")}]
    assert choose_comparable(options) == ["a1", "a2", "b3", None, "a5"]
    assert choose_comparable([{"a": (10, "a"), "b": (99, "b")}]) == ["b"]


def test_the_best_is_marked_only_where_a_paired_test_bears_it_out():
    far = cells([[score(right(150))], [score(right(180))], [score(right(120))]])
    assert [cell.best for cell in far] == [False, True, False]
    near = cells([[score(right(150))], [score(right(152))], [score(right(120))]])
    assert not any(cell.best for cell in near)
    # 5 of 5 discordant images: p = 0.0625 exactly; 6 of 6: 0.03125, which Holm doubles for two such pairs
    assert not any(cell.best for cell in cells([[score(right(105))], [score(right(100))]]))
    assert [cell.best for cell in cells([[score(right(106))], [score(right(100))]])] == [True, False]
    assert not any(cell.best for cell in cells([[score(right(106))], [score(right(100))], [score(right(100))]]))
    falling = cells([[score(right(150))], [score(right(180))]], higher_is_better=False)
    assert [cell.best for cell in falling] == [True, False]


def test_other_images_and_precision_get_footnotes_and_never_win():
    half = {"precision": "bfloat16"}
    column = cells([[score(right(100))], [score(right(100), **half)], [score(right(390, 400), "more images")]])
    assert [cell.notes for cell in column] == [(), ("in bfloat16",), ("measured otherwise: more images",)]
    assert not any(cell.best for cell in column)


def test_several_seeds_are_a_mean_with_an_interval_for_the_seed():
    values = [
        [score(right(count)) for count in (150, 156, 162)],
        [score(right(count)) for count in (100, 101, 102)],
    ]
    values = [[dataclasses.replace(each, seed=seed) for seed, each in enumerate(row)] for row in values]
    first, second = cells(values)
    low, high = stats.t.interval(0.95, 2, loc=0.78, scale=0.03 / np.sqrt(3))
    assert (first.value, first.low, first.high) == pytest.approx((0.78, low, high))
    assert first.notes == ("mean of 3 seeds; interval for the seed, not for the images",)
    assert stats.ttest_rel([0.75, 0.78, 0.81], [0.5, 0.505, 0.51]).pvalue < 0.05
    assert first.best
    assert not second.best
    # of seeds 0 1 2 and 2 3 only seed 2 is common: 162 against 161 of the same images
    other = [dataclasses.replace(score(right(161)), seed=seed) for seed in (2, 3)]
    assert not any(cell.best for cell in cells([values[0], other]))


def test_accuracy_of_ways_of_use(tmp_path):
    run = make_run(tmp_path, "one", model__top_k="8")
    measure(run, right(150), top_k=(8,))
    measure(run, right(120), top_k=None)
    measure(run, right(130), top_k=(8,), adapted=ADAPTATIONS["batch"])
    table = accuracy_table(compare_runs([run.path]))
    assert [cell.text for cell in column(table, "model")] == ["one", "one, dense", "one, adapted (batch)"]
    assert [cell.text for cell in column(table, "top_k")] == ["top-k 8", "dense (trained top-k 8)", "top-k 8"]
    assert [cell.value for cell in column(table, "top1")] == [0.75, 0.6, 0.65]


@pytest.mark.parametrize("method", ["batch", "set", "momentum"])
def test_the_method_of_adaptation_is_the_rows_own(tmp_path, method):
    """Momentum moves by batches, and is not by batch."""
    run = make_run(tmp_path, "one")
    measure(run, right(100))
    measure(run, right(130), adapted=ADAPTATIONS[method])
    _, cell = column(accuracy_table(compare_runs([run.path])), "model")
    assert cell.text == f"one, adapted ({method})"
    assert cell.notes == (f"adapted: {ADAPTATIONS[method]}",)


def test_two_adaptations_by_one_method_are_two_rows_that_can_be_told_apart(tmp_path):
    run = make_run(tmp_path, "one")
    measure(run, right(130), adapted=ADAPTATIONS["batch"])
    measure(run, right(140), adapted=msgspec.structs.replace(ADAPTATIONS["batch"], prior=0.0))
    labels = [cell.text for cell in column(accuracy_table(compare_runs([run.path])), "model")]
    assert labels == [f"one, adapted (batch norm: 20 layers, batch of 100, N={prior}, seed 0)" for prior in (16, 0)]


def test_the_newest_row_of_the_last_weights_counts(tmp_path):
    run = make_run(tmp_path, "one")
    measure(run, right(10), checkpoint=checkpoint("last", "epoch-001-step-0000005", "11111111"))
    measure(run, right(100))
    measure(run, right(120), checkpoint=checkpoint("best", "epoch-001-step-0000005", "11111111"))
    measure(run, right(101))
    measure(run, right(102), checkpoint=checkpoint("best", LAST.name, LAST.digest))
    measure(run, right(101))
    assert [cell.value for cell in column(accuracy_table(compare_runs([run.path])), "top1")] == [0.505]


def test_robustness_is_the_papers(pair):
    comparison = compare_runs(pair)
    table = robustness(comparison)
    by_hand = [np.mean([120 - 4 * n - 2 * s for n in range(5) for s in (1, 3)]) / 200]
    by_hand.append(np.mean([130 - 4 * n - 2 * s for n in range(5) for s in (1, 3)]) / 200)
    assert [cell.value for cell in column(table, "average")] == pytest.approx(by_hand)
    assert column(table, "snow")[0].value == pytest.approx(np.mean([114, 110]) / 200)
    changes = [by_hand[0] / 0.8 - 1, by_hand[1] / 0.75 - 1]
    assert [cell.value for cell in column(table, "change")] == pytest.approx(changes)
    assert column(table, "change")[0].text == f"{100 * changes[0]:+.1f}"
    errors = [[2 - (of - 4 * n - 2) / 200 - (of - 4 * n - 6) / 200 for n in range(5)] for of in (120, 130)]
    relative = np.mean(np.array(errors[1]) / np.array(errors[0]))
    assert [cell.value for cell in column(table, "relative_error")] == pytest.approx([1, relative])
    assert "severities 1 3, n = 200" in table.caption
    assert [cell.best for cell in column(table, "average")] == [False, True]
    severities = severity_table(comparison, of_group(comparison))
    assert column(severities, "severity3")[1].value == pytest.approx((130 - 8 - 6) / 200)


def test_clean_accuracy_beside_corruptions_is_of_the_same_images(pair):
    measure(compare_runs(pair).methods[0].first.run, right(390, 400))
    comparison = compare_runs(pair)
    table = robustness(comparison)
    assert [(cell.value, cell.count) for cell in column(table, "clean")] == [(0.8, 200), (0.75, 200)]


def test_differences_are_paired_and_corrected(pair):
    comparison = compare_runs(pair)
    table = difference_table(comparison)
    assert table is not None
    (clean,), (corrupted,) = column(table, "clean"), column(table, "corrupted")
    assert (clean.value, corrupted.value) == pytest.approx((-0.05, 0.05))
    assert clean.low < -0.05 < clean.high
    scores, others = (
        np.mean([right(of - 4 * n - 2 * s) for n in range(5) for s in (1, 3)], axis=0) for of in (130, 120)
    )
    ps = [cell.value for name in ("clean_p", "corrupted_p", "change_p") for cell in column(table, name)]
    raw = [stats.binomtest(0, 10).pvalue, stats.ttest_rel(scores, others).pvalue]  # ten images that only one knows
    pairs = [scores[0].clean_and_cells() for scores in of_group(comparison).scores]
    changes = change_difference(pairs[1], pairs[0])[1]
    assert ps == pytest.approx(list(multipletests([*raw, changes], method="holm")[1]))


def test_attacks_by_epsilon_and_transfer(tmp_path):
    for name, robust in (("one", (150, 90, 10)), ("two", (140, 60, 9))):
        run = make_run(tmp_path, name)
        measure(run, right(150))
        for epsilon, count in zip((0.0, 1 / 255, 2 / 255), robust, strict=True):
            measure(run, right(count), pgd(epsilon))
        for made_on, count in (("one", 20), ("two", 110)):
            measure(run, right(count + (name == "two")), transfer(1 / 255, made_on))
    comparison = compare_runs([tmp_path / "one", tmp_path / "two"])
    (table,) = attack_tables(comparison)
    assert [head.head for head in table.columns] == ["model", "0", "1/255", "2/255"]
    assert [[cell.value for cell in row[1:]] for row in table.rows] == [[0.75, 0.45, 0.05], [0.7, 0.3, 0.045]]
    assert [cell.best for cell in table.rows[0]] == [False, True, True, False]
    (matrix,) = transfer_tables(comparison.transfers)
    assert [[cell.value for cell in row[1:]] for row in matrix.rows] == [[0.1, 0.105], [0.55, 0.555]]


def test_attacks_with_other_knobs_are_other_tables_and_findings_footnotes(tmp_path):
    for name, steps in (("one", 10), ("two", 10), ("three", 50)):
        run = make_run(tmp_path, name)
        measure(run, right(150))
        findings = ("gradients vanish",) if name == "two" else ()
        measure(
            run,
            right(100),
            pgd(1 / 255, parameters={"steps": steps, "other": None}),
            findings=findings,
        )
    usual, second = attack_tables(compare_runs([tmp_path / name for name in ("one", "two", "three")]))
    assert [row[0].text for row in usual.rows] == ["one", "two"]
    assert [row[1].notes for row in usual.rows] == [(), ("not to be believed: gradients vanish",)]
    assert [row[0].text for row in second.rows] == ["three"]
    assert ("steps 10," in usual.caption, "steps 50," in second.caption, "other" in usual.caption) == (
        True,
        True,
        False,
    )
    assert usual.name != second.name


def test_speed(tmp_path):
    run = make_run(tmp_path, "one")
    measure(run, right(150))
    assert speed_table(compare_runs([run.path])) is None
    epoch = {"step": 45, "epoch": 1, "images": 1437, "train": {"images_per_second": 100.0}}
    run.log(epoch)
    run.log(epoch | {"step": 90, "epoch": 2, "train": {"images_per_second": 50.0}})
    for metric, value in (("inference images/s", 1234.5), ("MACs", 1.258e9), ("parameters", 5.7e6)):
        row = measure(run, right(1), SPEED, metric=metric, value=value, low=value - 1, high=value + 1)
        assert row.metric == metric
    table = speed_table(compare_runs([run.path]))
    assert table is not None
    (row,) = table.rows
    assert row[1].value == pytest.approx((14.37 + 28.74) / 2)
    assert [cell.text for cell in row[2:]] == ["1,234.5", "-", "-", "-", "5.7", "-", "1.26"]


@pytest.fixture
def awkward() -> Table:
    """Every mark that some format would trip over."""
    note = "a note, with 50 % & more"
    rows = (
        (
            Cell("[1] a|b_c & d\\e", value="=1 a|b_c & d\\e"),
            Cell("73.3", "72.4 to 74.1", 0.733, 0.724, 0.741, 100, True),
        ),
        (Cell("<script> #1 $x$", value="<script> #1 $x$"), Cell("1.0", value=0.01, notes=(note, "other"))),
    )
    columns = (Column("model", "model", numeric=False), Column("top-1", "top1"))
    return Table("awk}ward_100", "A 100 % title", columns, rows, "caption_of", ("first", "second"))


def test_markdown(awkward):
    text = FORMATS["markdown"][1](awkward)
    lines = text.splitlines()
    assert r"| \[1\] a\|b\_c & d\\e | **73.3** (72.4 to 74.1) |" in lines
    assert r"| \<script\> \#1 \$x\$ | 1.0 <sup>a,b</sup> |" in lines
    assert lines[3] == "| --- | ---: |"
    assert "<sup>a</sup> a note, with 50 % & more" in text


def test_latex(awkward):
    text = FORMATS["latex"][1](awkward)
    assert r"{}[1] a|b\_c \& d\textbackslash{}e & \textbf{73.3} {\scriptsize (72.4 to 74.1)} \\" in text
    assert r"\textless{}script\textgreater{} \#1 \$x\$ & 1.0\textsuperscript{a,b} \\" in text
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    assert r"\begin{tabular}{lr}" in text
    assert r"A 100 \% title. caption\_of" in text
    assert r"\label{tab:awk-ward-100}" in text
    without = re.sub(r"\\.", "", text)
    assert without.count("{") == without.count("}")


def test_csv_and_json_hold_every_digit(awkward):
    first, second = csv.DictReader(io.StringIO(FORMATS["csv"][1](awkward)))
    assert first["group"] == "first"
    assert [first[key] for key in ("model", "top1", "top1_low", "top1_high", "top1_count")] == [
        *("'=1 a|b_c & d\\e", "0.733", "0.724", "0.741", "100")
    ]
    assert (second["top1_low"], second["notes"]) == ("", "a note, with 50 % & more; other")
    rows = json.loads(FORMATS["json"][1](awkward))["rows"]
    assert rows[0]["top1"] == {"value": 0.733, "low": 0.724, "high": 0.741, "count": 100, "best": True}
    assert rows[1]["group"] == "second"


def test_terminal(awkward):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal(awkward))
    text = console.export_text()
    assert "<script> #1 $x$" in text
    assert "1.0 a,b" in text
    assert "a: a note, with 50 % & more" in text


def test_a_narrow_terminal_gets_whole_numbers_without_intervals(pair):
    comparison = compare_runs(pair)
    table = robustness(comparison)
    shown = {}
    for width in (80, 200):
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(fitted(table, console))
        shown[width] = " ".join(console.export_text().split())
    assert "56.0 to 62.0" not in shown[80]
    assert "Intervals are left out for want of room" in shown[80]
    assert column(table, "change")[0].text in shown[80]
    assert shown[200].count(" to ") >= 16
    assert "want of room" not in shown[200]


def test_footnotes_are_lettered():
    assert [letter(number) for number in (0, 25, 26, 27, 701, 702)] == ["a", "z", "aa", "ab", "zz", "aaa"]


def test_the_papers_rows_stand_below_ours_and_the_sums_are_checked(pair):
    tables = every_table(compare_runs(pair), paper=True)
    table = tables["robustness"][0]
    assert table.groups[0] == "these runs"
    assert [cell.interval != "" for cell in table.rows[-1][1:9]] == [True] * 6 + [False] * 2
    assert table.groups[-1] == "the paper's own numbers"
    paper = {row[0].text: row for row in table.rows}
    assert [cell.text for cell in paper["PiT"][1:9]] == [
        "85.3",
        "67.6",
        "73.0",
        "72.6",
        "70.6",
        "73.1",
        "71.4",
        "-16.3",
    ]
    assert not any(cell.best for row in table.rows[2:] for cell in row)
    (arithmetic,) = tables["paper"]
    stated = {row[0].text: row for row in arithmetic.rows}
    average = stated["Table 1, ViT: average of its five corruptions"]
    assert average[2].text.startswith(f"{np.mean([68.0, 68.0, 70.63, 67.2, 70.5]):.2f}")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "results.jsonl").unlink(), r"one has no results yet; first give: doublevit evaluate"),
        (lambda run: (run / "recipe.json").unlink(), r"one is no run: expected a folder with recipe.json"),
        (
            lambda run: (run / "results.jsonl").write_text('{"version": 99}\n'),
            r"results.jsonl holds rows of version 99, and this doublevit \(.*\) reads version 2: delete that file",
        ),
        (
            lambda run: (run / "results.jsonl").write_text("half\n" + (run / "results.jsonl").read_text()),
            r"results.jsonl, line 1 is damaged: .*; remove the line",
        ),
    ],
)
def test_bad_runs_are_told_in_one_line(pair, damage, message):
    damage(pair[0])
    with pytest.raises(UserError, match=message) as error:
        compare_runs(pair)
    assert "\n" not in str(error.value)


def test_a_half_written_last_line_is_left_out_with_a_warning(pair):
    path = pair[0] / "results.jsonl"
    before = accuracy_table(compare_runs(pair))
    whole = path.read_text()
    path.write_text(whole + whole.splitlines()[-1][:50])
    comparison = compare_runs(pair)
    assert comparison.remarks == (f"{path}: the last line is damaged and was left out",)
    assert accuracy_table(comparison) == before
    path.write_text(whole + "damaged, with an end\n")
    assert len(compare_runs(pair).remarks) == 1
    path.write_text(whole.rstrip("\n"))  # whole but for its end
    assert compare_runs(pair).remarks == ()


def test_no_runs_and_runs_of_other_data_are_refused(pair, tmp_path):
    with pytest.raises(UserError, match="expected folders of runs or of a study, found none"):
        compare_runs([])
    other = make_run(tmp_path, "other")
    measure(other, right(10), dataset=PETS)
    with pytest.raises(UserError, match=r"one was measured on scikit-learn.*, other on image folder pets"):
        compare_runs([*pair, other.path])


def test_a_study_is_told_by_labels_with_seeds_together_and_its_baseline(tmp_path):
    entries = []
    for cell, label, counts in (("plain", "", (150, 154)), ("base", "Base+Aug", (100, 104)), ("lost", "", ())):
        for seed, count in enumerate(counts):
            name = f"{cell}-seed-{seed}" if seed else cell
            run = make_run(tmp_path, name, seed=seed)
            entries.append(entry_of(measure(run, right(count)), cell, "rows", seed=seed, label=label))
        if not counts:
            entries.append(StudyEntry(group="rows", cell=cell, run=cell, problem="out of memory"))
    write_record(tmp_path, StudyRecord(name="made", note="a note", baseline="base", entries=tuple(entries)))
    comparison = compare_runs([tmp_path])
    assert [(method.label, len(method.members)) for method in comparison.methods] == [("plain", 2), ("Base+Aug", 2)]
    assert (comparison.title, comparison.note, comparison.methods[comparison.baseline].label) == (
        "made",
        "a note",
        "Base+Aug",
    )
    assert comparison.remarks == ("lost failed: out of memory",)
    (compared,) = every_table(comparison)["comparison"]
    assert compared.title == "Compared with Base+Aug"
    assert [cell.text for cell in column(compared, "model")] == ["plain"]
    assert column(compared, "clean")[0].value == pytest.approx(0.25)
    write_record(tmp_path, StudyRecord(name="made", note="", baseline="base", entries=tuple(entries[-1:])))
    with pytest.raises(UserError, match="no cell of the study is done"):
        compare_runs([tmp_path])


def test_cells_in_any_order_are_compared_corruption_by_corruption(pair):
    lines = (pair[1] / "results.jsonl").read_text().splitlines(keepends=True)
    before = robustness(compare_runs(pair))
    (pair[1] / "results.jsonl").write_text("".join([lines[0], *reversed(lines[1:])]))
    assert robustness(compare_runs(pair)) == before


def test_less_relative_error_is_better_over_seeds(tmp_path):
    entries = []
    for cell, count in (("base", 150), ("good", 170), ("bad", 100)):
        for seed in range(3):
            name = f"{cell}-{seed}"
            run = make_run(tmp_path, name, seed=seed)
            row = measure(run, right(count + seed))
            for corrupted_by in PAPER:
                measure(run, right(count - 20 + seed * seed), corruption(corrupted_by, 3))
            entries.append(entry_of(row, cell, seed=seed))
    write_record(tmp_path, StudyRecord(name="made", note="", baseline="base", entries=tuple(entries)))
    made = compare_runs([tmp_path])
    table = robustness(made)
    errors = column(table, "relative_error")
    assert [cell.best for cell in errors] == [False, True, False]
    by_hand = np.mean([(50 - seed * seed) / (70 - seed * seed) for seed in range(3)])
    assert errors[1].value == pytest.approx(by_hand)
    compared = difference_table(made)
    assert column(compared, "clean")[0].value == pytest.approx(0.1)
    assert column(compared, "clean")[0].notes == ("mean over 3 seeds, paired by seed; t test",)


def test_seeds_that_differ_are_paired_by_seed_not_by_index(tmp_path):
    entries = []
    for cell, seeds in (("base", (0, 2)), ("other", (0, 1))):
        for seed in seeds:
            run = make_run(tmp_path, f"{cell}-{seed}", seed=seed)
            entries.append(entry_of(measure(run, right(100 + 10 * seed)), cell, seed=seed))
    write_record(tmp_path, StudyRecord(name="made", note="", baseline="base", entries=tuple(entries)))
    comparison = compare_runs([tmp_path])
    table = difference_table(comparison)
    assert [cell.value for cell in column(table, "clean")] == [0.0]  # of seed 0 alone


def test_precisions_are_never_mixed_in_a_change(tmp_path):
    run = make_run(tmp_path, "one")
    measure(run, right(180), precision="bfloat16")
    for name in PAPER:
        measure(run, right(120), corruption(name, 3), precision="bfloat16")
    measure(run, right(190))  # in float32, and newer
    table = robustness(compare_runs([run.path]))
    assert (column(table, "clean")[0].value, column(table, "change")[0].value) == pytest.approx((0.9, 120 / 180 - 1))


def test_published_sets_are_told_apart_with_their_own_counts(tmp_path):
    for name, archive in (("one", "aaaaaaaa"), ("two", "bbbbbbbb"), ("three", "aaaaaaaa")):
        run = make_run(tmp_path, name)
        measure(run, right(800, 1000))
        for number, corrupted_by in enumerate(PAPER):
            dataset = first(100, DatasetId("Tiny-ImageNet-C", archive))
            correct = right(90 - 3 * len(name) - number, 100)
            measure(run, correct, corruption(corrupted_by, 3, PUBLISHED), dataset=dataset)
    comparison = compare_runs([tmp_path / name for name in ("one", "two", "three")])
    table = robustness(comparison, "paper-published")
    average = column(table, "average")
    assert [cell.count for cell in average] == [100, 100, 100]
    assert [cell.count for cell in column(table, "clean")] == [1000, 1000, 1000]
    assert "n = 100;" in table.caption
    assert "OTHER images" in table.caption
    assert [bool(cell.notes) for cell in average] == [False, True, False]
    compared = difference_table(comparison)
    assert [cell.value is None for cell in column(compared, "change")] == [True, False]


def test_what_was_attacked_before_is_part_of_the_attack(tmp_path):
    for name, chain in (("one", "aaaaaaaa"), ("two", "bbbbbbbb"), ("three", "aaaaaaaa")):
        run = make_run(tmp_path, name)
        measure(run, right(150))
        measure(run, right(100 + len(name)), pgd(1 / 255, chain=chain))
    (table,) = attack_tables(compare_runs([tmp_path / name for name in ("one", "two", "three")]))
    assert [bool(row[1].notes) for row in table.rows] == [False, True, False]


def test_an_attack_of_some_seeds_only_is_left_out(tmp_path):
    entries = []
    for seed in (0, 1):
        run = make_run(tmp_path, f"cell-{seed}", seed=seed)
        entries.append(entry_of(measure(run, right(100)), "cell", seed=seed))
        if seed == 0:
            measure(run, right(50), pgd(1 / 255))
    write_record(tmp_path, StudyRecord(name="made", note="", baseline="cell", entries=tuple(entries)))
    assert every_table(compare_runs([tmp_path]))["attacks"] == []


def test_transfers_of_other_images_are_other_tables(tmp_path):
    for name in ("one", "two"):
        run = make_run(tmp_path, name)
        measure(run, right(150))
        for images, steps in ((200, 10), (100, 50)):
            for made_on in ("one", "two"):
                measure(run, right(50, images), transfer(1 / 255, made_on, parameters={"steps": steps}))
    comparison = compare_runs([tmp_path / "one", tmp_path / "two"])
    more, fewer = transfer_tables(comparison.transfers)
    assert ("n = 200" in more.caption, "steps 50" in fewer.caption) == (True, True)
    assert {cell.count for row in more.rows for cell in row[1:]} == {200}


def test_equal_names_get_their_folders_before_them_and_a_run_twice_is_refused(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder / "runs").mkdir(parents=True)
        measure(make_run(tmp_path / folder / "runs", "same"), right(100))
    paths = [tmp_path / folder / "runs" / "same" for folder in ("x", "y")]
    assert [method.label for method in compare_runs(paths).methods] == ["x/runs/same", "y/runs/same"]
    with pytest.raises(UserError, match="is named twice; name each run once"):
        compare_runs([paths[0], paths[0]])


def test_a_damaged_run_of_a_study_is_left_out_with_a_remark(tmp_path):
    entries = []
    for cell in ("kept", "lost"):
        run = make_run(tmp_path, cell)
        entries.append(entry_of(measure(run, right(100)), cell))
    entries.append(msgspec.structs.replace(entries[0], cell="outside", run="../../kept"))
    write_record(tmp_path, StudyRecord(name="made", note="", baseline="kept", entries=tuple(entries)))
    (tmp_path / "lost" / "recipe.json").unlink()
    comparison = compare_runs([tmp_path])
    assert [method.label for method in comparison.methods] == ["kept", "outside"]
    assert {method.first.run.path for method in comparison.methods} == {tmp_path / "kept"}
    assert len(comparison.remarks) == 1
    assert "lost is left out: " in comparison.remarks[0]


def test_home_made_and_published_corruptions_are_other_tables(pair):
    for number, corrupted_by in enumerate(PAPER):
        run = compare_runs(pair).methods[0].first.run
        dataset = DatasetId("Tiny-ImageNet-C", "aaaaaaaa")
        measure(run, right(90 - number, 100), corruption(corrupted_by, 3, PUBLISHED), dataset=dataset)
    names = [table.name for table in every_table(compare_runs(pair))["robustness"]]
    assert names == ["robustness-paper", "severity-paper", "robustness-paper-published", "severity-paper-published"]


def test_corruptions_that_make_no_whole_group_are_told_too(tmp_path):
    for name in ("one", "two"):
        run = make_run(tmp_path, name)
        measure(run, right(150))
        for corrupted_by in ("fog", "gaussian_noise"):
            measure(run, right(100), corruption(corrupted_by, 3))
    comparison = compare_runs([tmp_path / "one", tmp_path / "two"])
    (corrupted,) = comparison.corrupted
    assert (corrupted.group.title, corrupted.group.name) == ("fog and gaussian noise", "fog-gaussian_noise")
    assert [cell.value for cell in column(robustness(comparison, corrupted.group.name), "average")] == [0.5, 0.5]


def test_the_best_weights_are_a_row_of_their_own_where_they_are_others(tmp_path):
    run = make_run(tmp_path, "one")
    measure(run, right(100))
    measure(run, right(120), checkpoint=checkpoint("best", "epoch-001-step-0000005", "11111111"))
    table = accuracy_table(compare_runs([run.path]))
    assert [cell.text for cell in column(table, "model")] == ["one", "one, best checkpoint"]
    measure(run, right(100), checkpoint=checkpoint("best", LAST.name, LAST.digest))  # now the last are the best
    table = accuracy_table(compare_runs([run.path]))
    assert [cell.value for cell in column(table, "top1")] == [0.5]


def test_attacks_alone_tell_other_data_too(pair, tmp_path):
    run = make_run(tmp_path, "other")
    measure(run, right(10), pgd(1 / 255), dataset=PETS)
    with pytest.raises(UserError, match="report these runs apart"):
        compare_runs([*pair, run.path])


def test_lost_and_damaged_predictions_are_remarked_on(pair):
    found = sorted((pair[0] / "predictions").iterdir())
    found[0].unlink()
    found[1].write_text("not an archive")
    remarks = compare_runs(pair).remarks
    assert remarks == (
        f"{pair[0]}: the predictions of 2 of 11 measurements are missing or damaged: what takes them (tests, means,"
        " changes, plots) is left out; evaluate again to have it",
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("value", "abc", "Expected 'float', got 'str' - at '$.value'"),
        ("value", float("nan"), "value nan"),
        ("dataset", 5, "Expected 'object | null', got 'int' - at '$.dataset'"),
        ("condition", {}, "Object missing required field 'kind' - at '$.condition'"),
        (
            "condition",
            {"kind": "corruption", "corruption": "fog", "severity": "high"},
            "Expected 'int', got 'str' - at '$.condition.severity'",
        ),
        ("count", 0, "count is 0"),
        ("more", 1, "Object contains unknown field 'more'"),
    ],
)
def test_a_line_that_is_no_row_is_named_by_its_number(pair, name, value, message):
    path = pair[0] / "results.jsonl"
    first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([first, json.dumps(json.loads(rest[0]) | {name: value}) + "\n", *rest]))
    with pytest.raises(
        UserError, match=re.escape(f"{path}, entry 2 is no row (") + f".*{re.escape(message)}.*; remove that line"
    ):
        compare_runs(pair)


@pytest.mark.parametrize("content", ["{}", "[]", "5", "null", "{"])
def test_a_damaged_recipe_is_told_in_one_line(pair, content):
    (pair[0] / "recipe.json").write_text(content)
    with pytest.raises(UserError, match=r"recipe.json is damaged.*; the run cannot be repeated"):
        compare_runs(pair)


@pytest.fixture
def study(tmp_path):
    """Three cells on clean and corrupted images, one more of the same run as the second, and one that is not done."""
    entries = []
    for cell, clean, lost in (("base", 100, 20), ("near", 107, 21), ("far", 150, 40)):
        run = make_run(tmp_path, cell)
        entries.append(entry_of(measure(run, right(clean)), cell))
        for corrupted_by in PAPER:
            measure(run, right(clean - lost), corruption(corrupted_by, 3))
    entries.append(msgspec.structs.replace(entries[1], cell="twin"))
    entries.append(StudyEntry(group="", cell="late", run="late"))
    write_record(tmp_path, StudyRecord(name="made", note="a note", baseline="base", entries=tuple(entries)))
    return tmp_path


def test_cells_of_one_run_are_all_shown_and_those_not_done_remarked_on(study):
    comparison = compare_runs([study])
    assert [method.label for method in comparison.methods] == ["base", "near", "far", "twin"]
    assert comparison.remarks == ("late is not done yet",)
    near, _, twin = difference_table(comparison).rows
    assert twin[0].notes == ("the same run as near",)
    assert twin[1:] == near[1:]
    assert [method.label for method in comparison.distinct_methods] == ["base", "near", "far"]


def test_clean_and_corrupted_differences_are_one_family_and_shared_runs_count_once(study):
    comparison = compare_runs([study])
    table = difference_table(comparison)
    assert "all 6 comparisons with base" in table.caption
    family = [each.p for measure in comparison.differences.by_measure.values() for each in measure[1:3]]
    assert family[0] == pytest.approx(stats.binomtest(0, 7).pvalue)
    corrected = list(multipletests(family, method="holm")[1])
    shown = [column(table, name)[number].value for name in ("clean_p", "corrupted_p", "change_p") for number in (0, 1)]
    assert shown == pytest.approx(corrected)
    assert corrected[0] > 0.03 > family[0]


@pytest.mark.slow
def test_the_page_and_the_studys_table_have_the_same_p_values(study):
    comparison = compare_runs([study])
    expected = [cell.value for cell in column(difference_table(comparison), "clean_p")]
    paths = write_study_tables(study, comparison, result_tables(comparison, SHORT))
    assert [path.name for path in paths] == ["study.csv", "study.md"]
    differences = paths[0].read_text().partition("# differences\n")[2]
    assert [float(row["clean_p"]) for row in csv.DictReader(io.StringIO(differences))] == expected
    assert "late is not done yet" in paths[1].read_text()
    page = write_report([study]).page.read_text()
    assert all(f'data-value="{p}"' in page for p in expected)


def test_the_sentence_has_the_p_value_of_the_table(tmp_path):
    for name, count in (("base", 100), ("best", 107), ("other", 90)):
        measure(make_run(tmp_path, name), right(count))
    comparison = compare_runs([tmp_path / name for name in ("base", "best", "other")])
    p = column(difference_table(comparison), "clean_p")[0].value
    assert f"p = {p:.3f}, by Holm's method for 2 comparisons" in result_sentence(comparison)
    assert comparison.clean_difference(0, 1).estimate.value == pytest.approx(
        -comparison.clean_difference(1, 0).estimate.value
    )


def test_variants_that_no_entry_asks_for_belong_to_the_first_cell_of_their_run(tmp_path):
    run = make_run(tmp_path, "a")
    row = measure(run, right(100))
    measure(run, right(120), adapted=ADAPTATIONS["momentum"])
    measure(run, right(90), top_k=(4,))
    entries = [entry_of(row, "first"), entry_of(row, "second")]
    entries.append(msgspec.structs.replace(entries[1], cell="sparse", top_k=(4,)))
    write_record(tmp_path, StudyRecord(name="made", note="", baseline="first", entries=tuple(entries)))
    methods = compare_runs([tmp_path]).methods
    assert [(method.label, method.same_as) for method in methods] == [
        ("first", ""),
        ("first, adapted (momentum)", ""),
        ("second", "first"),
        ("sparse, top-k 4", ""),
    ]


def test_rows_that_were_just_measured_are_shown_by_the_same_tables(tmp_path):
    run = make_run(tmp_path, "one", model__top_k="8")
    more = {"top_k": (8,), "adapted": ADAPTATIONS["momentum"]}
    rows = [measure(run, right(150), **more)]
    rows += [measure(run, right(100 - 10 * severity), corruption("fog", severity), **more) for severity in (1, 3)]
    mean = CorruptionMean(group="", corruptions=("fog",), severities=(1, 3), source=HOME_MADE, clean="matched")
    change = {"metric": "relative change of top-1", "value": -0.5, "low": -0.6, "high": -0.4}
    rows += [measure(run, right(1), mean, **change, **more), measure(run, right(90), pgd(1 / 255), **more)]
    rows += [measure(run, right(95), pgd(1 / 255, attack="apgd-ce", part_of="autoattack"), **more)]
    tables = result_tables(compare_rows(run, rows), ("accuracy", "cells", "means", "attacks", "parts"))
    names = [
        "accuracy",
        "cells-fog-one, adapted (momentum)",
        "means",
        "attack-pgd-linf",
        "attack-autoattack-apgd-ce-linf",
    ]
    assert [table.name for table in tables] == names
    accuracy, cells_, means, attack, part = tables
    assert [cell.value for cell in accuracy.rows[0][1:3]] == [0.75, 200]
    assert "adapted: batch norm: 20 layers, 3 batches of 100, momentum 0.1, seed 0" in accuracy.footnotes
    assert accuracy.rows[0][-1].text == "top-k 8"
    assert [cell.text for cell in cells_.rows[0]] == ["fog", "45.0", "35.0", "40.0"]
    assert "home-made corruptions, constants tiny, seed 0" in cells_.caption
    assert [cell.text for cell in means.rows[0][2:]] == [
        "relative change of top-1",
        "-50.0",
        "clean accuracy on the same images",
    ]
    for words in ("n = 200", "epsilon in the image's own pixels", "spared larger epsilons and later attacks", "seed 0"):
        assert words in attack.caption
    assert "a part of autoattack" in part.title


def test_frost_is_told_apart_only_where_there_is_frost(tmp_path):
    for name, frost in (("one", "generated textures"), ("two", "published textures")):
        run = make_run(tmp_path, name)
        measure(run, right(150))
        for corrupted_by in ("fog", "frost"):
            more = {"frost": frost} if corrupted_by == "frost" else {}
            measure(run, right(100), corruption(corrupted_by, 3, **more))
    comparison = compare_runs([tmp_path / "one", tmp_path / "two"])
    (corrupted,) = comparison.corrupted
    average = column(robustness(comparison, corrupted.group.name), "average")
    assert [cell.notes != () for cell in average] == [False, True]
    assert "frost: published textures" in average[1].notes[0]
    assert column(difference_table(comparison), "corrupted")[0].value is None


def test_fetched_frost_textures_change_nothing_for_other_corruptions(tmp_path):
    for name, frost in (("one", "generated textures"), ("two", "published textures")):
        run = make_run(tmp_path, name)
        measure(run, right(150))
        measure(run, right(100), corruption("frost", 1, frost=frost))
        for corrupted_by in PAPER:
            measure(run, right(100), corruption(corrupted_by, 3))
    comparison = compare_runs([tmp_path / "one", tmp_path / "two"])
    assert [cell.notes for cell in column(robustness(comparison), "average")] == [(), ()]
    assert "frost" not in robustness(comparison).caption
    assert column(difference_table(comparison), "corrupted")[0].value == 0
