"""Runs under attack: what counts as robust, what is spared, stopping and going on, transfer, images, one command."""

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock

from conftest import copied
from doublevit import strict_json
from doublevit.attacks.config import AttackConfig
from doublevit.attacks.foolbox_hyperparameters import Noise, Pgd
from doublevit.attacks.hyperparameters import Hyperparameters
from doublevit.cli import main
from doublevit.data.dataset import Dataset
from doublevit.data.identity import DatasetId
from doublevit.errors import UserError
from doublevit.evaluators.accuracy import CleanEvaluator
from doublevit.evaluators.attacks.evaluator import AttackEvaluator
from doublevit.evaluators.attacks.journal import JOURNAL_FOLDER, Journal
from doublevit.evaluators.attacks.plan import plan
from doublevit.evaluators.attacks.state import AttackState, Outcome
from doublevit.evaluators.evaluator import is_done
from doublevit.jobs.evaluate import Evaluated, evaluate, transfer
from doublevit.jobs.load import load_run
from doublevit.jobs.options import Evaluate, TransferOptions
from doublevit.jsonl import read_lines
from doublevit.runs.conditions import Attack, Transfer
from doublevit.runs.folder import RunFolder
from doublevit.runs.predictions import Predictions
from doublevit.runs.results import Results
from doublevit.runs.row import Row
from moments import at_batch, ctrl_c
from processes import in_processes

SIZES = ("0", "1/255", "4/255", "16/255")
QUICK = Hyperparameters(pgd=Pgd(steps=4, relative_step=0.5))


@pytest.fixture(scope="module", autouse=True)
def _few_images_in_trials() -> Iterator[None]:
    """The checks before attacks look at eight images: half of what the rest here costs was for 32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("doublevit.evaluators.attacks.sanity_checks.CHECKED_IMAGES", 8)
        yield


def options(run: Path, *names: str, **more: object) -> Evaluate:
    fields = {field.name for field in dataclasses.fields(AttackConfig)}
    config = {key: more.pop(key) for key in list(more) if key in fields}
    names = names or ("pgd",)
    knobs = QUICK if "pgd" in names else Hyperparameters()
    if "uniform-noise" in names:
        knobs = dataclasses.replace(knobs, uniform_noise=Noise(2))
    quick = {"parameters": knobs}
    attack = AttackConfig(names, **{"epsilons": SIZES, "batch_size": 16, **quick, **config})
    return Evaluate(run, samples=more.pop("samples", 40), attack=attack, **more)


def values(rows: list[Row]) -> list[tuple[object, ...]]:
    return [(row.condition, row.value, row.low, row.high, row.findings) for row in rows]


def by_epsilon(rows: list[Row], attack: str) -> dict[float, Row]:
    return {row.condition.epsilon: row for row in rows if row.condition.attack == attack}


def attacks(evaluated: Evaluated) -> Evaluated:
    """The rows of attacks alone."""
    return dataclasses.replace(evaluated, rows=evaluated.of_kind(Attack))


@pytest.fixture(scope="module")
def attacked(digits_run, tmp_path_factory):
    """pgd and, as a control, noise; with images."""
    path = copied(digits_run, tmp_path_factory.mktemp("attacked"))
    return path, attacks(evaluate(options(path, "pgd", "uniform-noise", save_images=True)))


@pytest.mark.slow
def test_rows_are_what_was_found_by_fresh_predictions(attacked):
    path, result = attacked
    loaded = load_run(path, options(path))
    model, images = loaded.network.eval(), loaded.dataset
    pixels = torch.from_numpy(np.asarray(images.images)).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        right = (model(pixels).argmax(dim=1).numpy() == images.labels).mean()
    rows = by_epsilon(result.rows, "pgd")
    assert [rows[size].value for size in sorted(rows)] == sorted((row.value for row in rows.values()), reverse=True)
    assert rows[0.0].value == pytest.approx(right)
    assert 0 < rows[4 / 255].value < right
    assert rows[16 / 255].value < 0.1
    for row in result.rows:
        assert row.low <= row.value <= row.high
        assert (row.metric, row.count, row.precision) == ("robust top-1", 40, "float32")
        predictions = Predictions.load(RunFolder(path).predictions_path(row))
        assert predictions.correct(1).mean() == pytest.approx(row.value)
        np.testing.assert_array_equal(predictions.labels, images.labels)
    assert [row for row in RunFolder(path).rows() if isinstance(row.condition, Attack)] == result.rows


@pytest.mark.slow
def test_what_is_to_be_measured_is_what_rows_say(attacked):
    """All conditions that are listed without the network are those of the rows, and so all are done."""
    path, result = attacked
    loaded = load_run(path, options(path))
    config = options(path, "pgd", "uniform-noise", save_images=True).attack
    evaluator = AttackEvaluator(config)
    expected = evaluator.conditions(loaded.model.id, loaded.dataset)
    assert [each.key.condition for each in expected] == [row.condition for row in result.rows]
    assert is_done(evaluator, loaded.model.id, loaded.dataset, Results(RunFolder(path)))
    other = AttackEvaluator(config, seed=1)
    assert not is_done(other, loaded.model.id, loaded.dataset, Results(RunFolder(path)))


@pytest.mark.slow
def test_conditions_and_run_both_refuse_too_few_classes(attacked):
    loaded = load_run(attacked[0], options(attacked[0]))
    two = {"labels": np.zeros(2, np.int64), "class_ids": ("a", "b"), "class_names": ("a", "b")}
    images = dataclasses.replace(loaded.dataset.first(2), **two)
    evaluator = AttackEvaluator(AttackConfig(("apgd-dlr",)))
    with pytest.raises(UserError, match=r"apgd-dlr needs 3 classes, found 2$"):
        evaluator.conditions(loaded.model.id, images)
    with pytest.raises(UserError, match=r"apgd-dlr needs 3 classes, found 2$"):
        next(evaluator.run(loaded.model, images, Results()))


def test_a_journals_folder_is_made_with_all_above_it(tmp_path):
    journal = Journal(tmp_path / "new" / "attacks", {"seed": 0}, np.zeros(1, np.int64))
    journal.add((0, 0, 0), Outcome(np.zeros(1, np.int64), np.full(1, np.inf), nothing_predicted(), 0, 1.0))
    assert [path.suffix for path in (tmp_path / "new" / "attacks").iterdir()] == [".jsonl"]
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"^cannot write to .*file.attacks \(the journal of attacks\)"):
        Journal(tmp_path / "file" / "attacks", {"seed": 0}, np.zeros(1, np.int64))


def nothing_predicted() -> Predictions:
    """For one sample of one class."""
    return Predictions(np.zeros(1, np.int64), np.zeros((1, 1), np.int32), np.ones((1, 1)), np.zeros(1))


@pytest.mark.slow
def test_noise_is_a_control_of_its_own(attacked):
    rows = by_epsilon(attacked[1].rows, "uniform-noise")
    pgd = by_epsilon(attacked[1].rows, "pgd")
    assert rows[16 / 255].value > pgd[16 / 255].value + 0.2
    assert rows[0.0].value == pgd[0.0].value
    assert rows[16 / 255].condition.after == ()
    assert not attacked[1].findings


@pytest.mark.slow
def test_images_are_those_that_fooled(attacked):
    require_images_that_fooled(*attacked)


@pytest.mark.slow
def test_images_of_attacks_in_a_row_are_those_that_fooled_first(digits_run, tmp_path):
    """fgsm, which makes images for all epsilons at once, after pgd: what pgd broke stays as it was."""
    path = copied(digits_run, tmp_path)
    attacked = attacks(evaluate(options(path, "pgd", "fgsm", epsilons=("0", "2/255", "4/255"), save_images=True)))
    last = by_epsilon(attacked.rows, "fgsm")
    require_images_that_fooled(path, dataclasses.replace(attacked, rows=list(last.values())), "fgsm")


def require_images_that_fooled(path: Path, result: Evaluated, attack: str = "pgd") -> None:
    folder = next(folder for folder in sorted((path / "attacks").iterdir()) if folder.name.endswith("-0"))
    images, index = np.load(folder / "images.npy"), json.loads((folder / "index.json").read_text())
    loaded = load_run(path, options(path))
    originals = np.asarray(loaded.dataset.images).transpose(0, 3, 1, 2).astype(np.float32) / 255
    model = loaded.network.eval()
    with torch.no_grad():
        predicted = model(torch.from_numpy(images)).argmax(dim=1).numpy()
    rows, ids = by_epsilon(result.rows, attack), loaded.dataset.class_ids
    triples = zip(images, originals, predicted, strict=True)
    for (image, original, guess), label, entry in zip(triples, loaded.dataset.labels, index, strict=True):
        assert entry["label"] == ids[label]
        if entry["min_epsilon"] is None:
            assert guess == label
        else:
            assert entry["predicted"] == ids[guess] != ids[label]
            assert np.abs(image - original).max() <= entry["min_epsilon"] + 1e-6
    for size, row in rows.items():
        robust = [entry["min_epsilon"] is None or entry["min_epsilon"] > size for entry in index]
        assert np.mean(robust) == pytest.approx(row.value)
    from PIL import Image

    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.width > 500
        assert len(sheet.getcolors(1 << 20)) > 100


@pytest.mark.slow
def test_asking_again_attacks_nothing_and_adds_nothing(attacked):
    path, result = attacked
    rows, journal = RunFolder(path).rows(), outcomes(path)
    again = attacks(evaluate(options(path, "pgd", "uniform-noise", save_images=True)))
    assert values(again.rows) == values(result.rows)
    assert RunFolder(path).rows() == rows
    assert outcomes(path) == journal  # with the seconds that each batch took
    anew = attacks(evaluate(options(path, "pgd", "uniform-noise", save_images=True, resume=False)))
    assert values(anew.rows) == values(result.rows)


@pytest.mark.slow
def test_killed_and_gone_on_with(digits_run, attacked, tmp_path):
    """Stopped in the middle of an epsilon: what was finished is not repeated, and the end is the same."""
    path = copied(digits_run, tmp_path)

    def kill_in_the_fourth(_: object) -> None:
        if len(outcomes(path)) == 3:
            raise KeyboardInterrupt

    with at_batch(None, kill_in_the_fourth, training=False), pytest.raises(KeyboardInterrupt):
        evaluate(options(path, "pgd", "uniform-noise", save_images=True))
    finished = outcomes(path)
    assert len(finished) == 3
    with next((path / "attacks").glob("*.jsonl")).open("a") as file:
        file.write('{"key": [0, 1')  # as a kill in the middle of a line leaves it
    again = attacks(evaluate(options(path, "pgd", "uniform-noise", save_images=True)))
    assert values(again.rows) == values(attacked[1].rows)
    whole = outcomes(path)
    assert whole[:3] == finished
    assert [(entry["key"], entry["indices"]) for entry in whole] == [
        (entry["key"], entry["indices"]) for entry in outcomes(attacked[0])
    ]
    images = [np.load(next((p / "attacks").glob("*-0")) / "images.npy") for p in (path, attacked[0])]
    np.testing.assert_array_equal(*images)


def outcomes(path: Path) -> list[dict[str, Any]]:
    """What the only journal of a run's attacks holds: each batch that was attacked."""
    return [entry for journal in (path / "attacks").glob("*.jsonl") for entry in read_lines(journal)]


LINE = (
    '{"key": [0, 0, 0], "indices": [%s], "min_epsilon": [%s], "classes": [], "probabilities": [],'
    ' "label_log_probability": [], "damaged": 0, "seconds": 1}'
)

ONE_ANSWER_FOR_TWO = (
    '{"key": [0, 0, 0], "indices": [1, 2], "min_epsilon": [0.5, 0.5], "classes": [[3]], "probabilities": [[0.9]],'
    ' "label_log_probability": [-3.0], "damaged": 0, "seconds": 1}'
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        '{"key": [0, 0, 0], "indices": [1]}',
        LINE % ("1, 2", "null"),
        LINE % ("1", "NaN"),
        LINE % ("99", "null"),
        LINE % ("1", "0.5"),
        LINE % ("1", "Infinity"),
        ONE_ANSWER_FOR_TWO,
    ],
)
def test_a_damaged_journal_is_said(attacked, tmp_path, line):
    path = copied(attacked[0], tmp_path)
    journal = next((path / "attacks").glob("*.jsonl"))
    journal.write_text(f"{line}\n{journal.read_text()}")
    with pytest.raises(UserError, match=r"no outcome of an attack .*`resume=False`"):
        evaluate(options(path, "pgd", "uniform-noise", save_images=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda file: os.truncate(file, 1000), lambda file: file.write_text("x")]
)
def test_images_that_are_gone_are_said(attacked, tmp_path, damage):
    path = copied(attacked[0], tmp_path)
    damage(next((path / "attacks").glob("*-0")) / "images.npy")
    with pytest.raises(UserError, match=r"images.npy is missing or damaged; add `resume=False`"):
        evaluate(options(path, "pgd", "uniform-noise", save_images=True))
    again = attacks(evaluate(options(path, "pgd", "uniform-noise", save_images=True, resume=False)))
    assert values(again.rows) == values(attacked[1].rows)
    assert RunFolder(path).rows() == RunFolder(attacked[0]).rows()  # the same but for seconds: not added again


@pytest.mark.slow
def test_one_evaluation_at_a_time(attacked):
    path, _ = attacked
    name = next((path / "attacks").glob("*.lock"))
    with FileLock(name), pytest.raises(UserError, match="running already"):
        evaluate(options(path, "pgd", "uniform-noise", save_images=True))


def shown(path: Path, *names: str, **more: object) -> list[tuple[str, float, int]]:
    """Which attack was shown how many images at which epsilon, as the journal has it."""
    chosen = options(path, *names, batch_size=40, **more)
    evaluate(chosen)
    keys = [(entry["key"], len(entry["indices"])) for entry in outcomes(path)]
    stages = [(plan(chosen.attack)[chain].stages[number], count) for (chain, number, _), count in keys]
    return [(stage.attack, stage.epsilons, count) for stage, count in stages]


@pytest.mark.slow
def test_only_what_stands_is_attacked(digits_run, tmp_path):
    path = copied(digits_run, tmp_path)
    calls = shown(path, "pgd", "bim", "fgsm")
    again = attacks(evaluate(options(path, "pgd", "bim", "fgsm", batch_size=40)))  # nothing is run again
    rows = by_epsilon(again.rows, "pgd")
    robust = [round(rows[size].value * 40) for size in sorted(rows)]
    assert [count for name, _, count in calls if name == "pgd"] == robust[:3]
    assert all(count <= robust[1] for name, _, count in calls if name == "bim")
    assert [(name, len(together)) for name, together, _ in calls if name == "fgsm"] == [("fgsm", 3)]  # one gradient


@pytest.mark.slow
def test_independent_attacks_see_every_image_that_is_right(digits_run, attacked, tmp_path):
    right = round(by_epsilon(attacked[1].rows, "pgd")[0.0].value * 40)
    path = copied(digits_run, tmp_path)
    calls = shown(path, "pgd", "fgsm", independent=True)
    assert [count for _, _, count in calls] == [right] * 6
    rows = [row for row in RunFolder(path).rows() if isinstance(row.condition, Attack)]
    assert {row.condition.budgets for row in rows} == {"independent"}
    assert not any(row.condition.after for row in rows)


def test_chains_by_hand():
    config = AttackConfig(
        ("pgd", "autoattack", "uniform-noise", "spatial"), epsilons=("0", "1/255", "2/255"), restarts=2
    )
    chain, control, weak, noise, spatial = plan(config)
    assert [(s.attack, s.requested, len(s.epsilons), s.repetitions) for s in chain.stages] == [
        ("pgd", "pgd", 1, 2),
        ("pgd", "pgd", 1, 2),
        *[("apgd-ce", "autoattack", 1, 2)] * 2,
        *[("apgd-dlr-t", "autoattack", 1, 2)] * 2,
        ("fab-t", "autoattack", 2, 1),
        *[("square", "autoattack", 1, 2)] * 2,
    ]
    assert control.stages == ()
    assert [stage.epsilons for chain in (weak, noise) for stage in chain.stages] == [(1 / 255,), (2 / 255,)]
    assert [(stage.attack, stage.repetitions) for stage in spatial.stages] == [("spatial", 1)]
    assert len(plan(dataclasses.replace(config, names=("pgd", "fgsm"), independent=True))) == 6
    assert plan(AttackConfig(("fgsm",), epsilons=("0",)))[0].stages == ()


def predictions(*first: int) -> Predictions:
    classes = np.array(first)[:, None]
    return Predictions(np.zeros(len(first), np.int64), classes, np.ones((len(first), 1)), np.zeros(len(first)))


def test_state_by_hand():
    state = AttackState.initial(predictions(0, 0, 1, 0))
    assert state.min_epsilon.tolist() == [np.inf, np.inf, 0, np.inf]
    outcome = Outcome(np.array([0, 3]), np.array([0.2, np.inf]), predictions(5, 0), 0, 1.0)
    assert state.update(outcome, "pgd") == 1
    assert state.robust(0.1).tolist() == [0, 1, 3]
    assert state.robust(0.2).tolist() == [1, 3]
    assert state.predictions(0.1).classes[:, 0].tolist() == [0, 0, 1, 0]
    assert state.predictions(0.2).classes[:, 0].tolist() == [5, 0, 1, 0]
    assert (
        state.update(Outcome(np.array([0]), np.array([0.3]), predictions(6), 0, 1.0), "fgsm") == 0
    )  # it was broken before
    assert state.update(Outcome(np.array([0]), np.array([0.1]), predictions(7), 0, 1.0), "fgsm") == 1
    assert state.broken_by.tolist() == ["fgsm", "", "", ""]
    assert state.predictions(0.1).classes[0, 0] == 7
    assert state.clean.classes[0, 0] == 0


@pytest.mark.slow
def test_autoattack_is_never_above_its_parts(digits_run, tmp_path):
    path = copied(digits_run, tmp_path)
    knobs = dataclasses.replace(QUICK, square=dataclasses.replace(QUICK.square, queries=30))
    knobs = dataclasses.replace(knobs, apgd=dataclasses.replace(QUICK.apgd, steps=6, targets=2))
    knobs = dataclasses.replace(knobs, fab=dataclasses.replace(QUICK.fab, steps=6, targets=2))
    names = ("autoattack", "apgd-ce", "apgd-dlr-t", "fab-t", "square")
    config = {"independent": True, "parameters": dataclasses.replace(knobs, pgd=Pgd())}
    rows = attacks(evaluate(options(path, *names, epsilons=("2/255", "4/255"), samples=16, **config))).rows
    for size in (2 / 255, 4 / 255):
        at_size = [row for row in rows if row.condition.epsilon == size]
        whole = next(row for row in at_size if row.condition.attack == "autoattack")
        parts = [row for row in at_size if row.condition.part_of == "autoattack"]
        alone = [row for row in at_size if row.condition.attack in names[1:] and not row.condition.part_of]
        assert [row.condition.attack for row in parts] == list(names[1:])
        assert [row.condition.after for row in parts] == [names[1 : 1 + n] for n in range(4)]
        assert [row.value for row in parts] == sorted((row.value for row in parts), reverse=True)
        assert whole.value == parts[-1].value
        assert len(alone) == 4
        assert all(whole.value <= row.value for row in alone)
        assert whole.seconds == pytest.approx(sum(row.seconds for row in parts), abs=0.01)
        assert whole.condition.parameters["square"] == {"queries": 30}


class Quantized(torch.nn.Module):
    """A model that gradients do not get through."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model, self.resize = model, model.resize

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images if images.dtype == torch.uint8 else (images * 16).round() / 16)


class WrongGradients(torch.nn.Module):
    """A model whose gradients lead nowhere, though it is right."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model, self.resize = model, model.resize

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.dtype == torch.uint8:
            return self.model(images)
        random = torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
        return self.model(images.detach()) + 1e-9 * (random * images).sum()


HUNDRED = dataclasses.replace(QUICK, square=dataclasses.replace(QUICK.square, queries=100))


@pytest.mark.slow
@pytest.mark.parametrize("names", [("pgd", "square"), ("square", "pgd")])
def test_masked_gradients_are_found_in_any_order(digits_run, tmp_path, names):
    path = copied(digits_run, tmp_path)
    attacked = under_attack(path, WrongGradients, *names, parameters=HUNDRED, epsilons=("4/255", "16/255"))
    assert "black-box-wins" in {finding.name for finding in attacked.findings}
    assert [row.condition.attack for row in attacked_rows(path)] == ["pgd", "pgd", "square", "square"]


@pytest.mark.slow
def test_sound_gradients_are_not_called_masked(digits_run, tmp_path):
    path = copied(digits_run, tmp_path)
    attacked = under_attack(
        path, lambda model: model, "pgd", "square", parameters=HUNDRED, epsilons=("4/255", "16/255")
    )
    assert not attacked.findings


def under_attack(path: Path, wrap: type, *names: str, **more: object) -> AttackEvaluator:
    chosen = options(path, *names, **more)
    loaded = load_run(path, chosen)
    model = dataclasses.replace(loaded.model, network=wrap(loaded.network))
    evaluator = AttackEvaluator(chosen.attack, 0, path / JOURNAL_FOLDER, strict=chosen.strict)
    for _ in evaluator.run(model, loaded.dataset, loaded.results):
        pass
    return evaluator


def attacked_rows(path: Path) -> list[Row]:
    """The newest row of each attack at each epsilon."""
    newest = {strict_json.canonical(row.condition): row for row in RunFolder(path).rows()}
    return [row for row in newest.values() if isinstance(row.condition, Attack)]


@pytest.mark.slow
def test_findings_are_in_the_rows_and_fatal_if_strict(digits_run, tmp_path):
    path = copied(digits_run, tmp_path)
    square = dataclasses.replace(QUICK, square=dataclasses.replace(QUICK.square, queries=100))
    attacked = under_attack(path, Quantized, "pgd", "square", parameters=square)
    names = {finding.name for finding in attacked.findings}
    assert {"zero-gradient", "huge-epsilon", "black-box-wins"} <= names
    assert {"zero-gradient", "huge-epsilon"} <= {name for row in attacked_rows(path) for name in row.findings}
    beaten = [finding.epsilon for finding in attacked.findings if finding.name == "black-box-wins"]
    for row in attacked_rows(path):
        assert ("black-box-wins" in row.findings) == (row.condition.epsilon in beaten)
    with pytest.raises(UserError, match="`strict`: zero-gradient: the gradient of"):
        under_attack(path, Quantized, "pgd", strict=True)


class Normalized(torch.nn.Module):
    """A model that wants its images normalized by somebody else."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model, self.resize = model, model.resize

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model((images * 0.2 + 0.4).clamp(0, 1))


def test_normalization_outside_is_found_on_the_attacks_way(digits_run, tmp_path):
    attacked = under_attack(copied(digits_run, tmp_path), Normalized, "fgsm")
    assert "clean-path" in {finding.name for finding in attacked.findings}


def test_parameters_are_frozen_during_an_attack_and_come_back(digits_run, tmp_path):
    path = copied(digits_run, tmp_path)
    chosen = options(path, "fgsm")
    loaded = load_run(path, chosen)
    network = loaded.network
    before = [parameter.requires_grad for parameter in network.parameters()]
    assert any(before)
    seen = []
    forward = network.forward
    network.forward = lambda images, **more: (
        seen.append(any(p.requires_grad for p in network.parameters())),
        forward(images, **more),
    )[1]
    next(CleanEvaluator().run(loaded.model, loaded.dataset, loaded.results))
    seen.clear()
    list(AttackEvaluator(chosen.attack).run(loaded.model, loaded.dataset, loaded.results))
    assert seen
    assert not any(seen)
    assert [parameter.requires_grad for parameter in network.parameters()] == before


@pytest.mark.slow
def test_at_the_networks_input(digits_run, tmp_path):
    """Digits of 8 pixels, a network of 32: the ball has sixteen times as many dimensions."""
    path = copied(digits_run, tmp_path)
    image = by_epsilon(attacks(evaluate(options(path))).rows, "pgd")
    chosen = options(path, space="input", save_images=True)
    inside = by_epsilon(attacks(evaluate(chosen)).rows, "pgd")
    assert inside[0.0].value == image[0.0].value
    assert inside[4 / 255].value <= image[4 / 255].value
    assert {row.condition.space for row in inside.values()} == {"input"}
    images = np.load(next((path / "attacks").glob("*-0")) / "images.npy", mmap_mode="r")
    side = load_run(path, chosen).network.resize.size
    assert images.shape == (40, 3, side, side)


@pytest.mark.slow
def test_what_decides_a_row_is_in_its_condition(digits_run, tmp_path):
    """Two measurements never share a condition, and so neither their predictions."""
    path = copied(digits_run, tmp_path)
    few = ("0", "4/255")
    one_step = dataclasses.replace(QUICK, pgd=Pgd(1, 1.0))
    for more in (
        {"epsilons": few},
        {"epsilons": ("0", "2/255", "4/255")},
        {"epsilons": few, "seed": 1},
        {"epsilons": few, "batch_size": 8},
        {"epsilons": few, "parameters": one_step},
        {"epsilons": few, "restarts": 2},
    ):
        evaluate(options(path, "pgd", "bim", samples=10, **more))
    rows = [
        row for row in RunFolder(path).rows() if isinstance(row.condition, Attack) and row.condition.epsilon == 4 / 255
    ]
    assert len(rows) == 12
    assert len({strict_json.canonical([row.dataset, row.condition]) for row in rows}) == 12
    assert len({RunFolder(path).predictions_path(row) for row in rows}) == 12
    for row in rows:
        assert Predictions.load(RunFolder(path).predictions_path(row)).correct(1).mean() == pytest.approx(row.value)
    assert {row.condition.restarts for row in rows if row.condition.attack == "bim"} == {1}
    assert {row.condition.restarts for row in rows if row.condition.attack == "pgd"} == {1, 2}


@pytest.mark.slow
def test_repetitions_attack_what_is_left_with_other_draws(digits_run, tmp_path):
    path, other = copied(digits_run, tmp_path), copied(digits_run, tmp_path / "other")
    one_step = dataclasses.replace(QUICK, pgd=Pgd(1, 0.5))
    config = {"epsilons": ("2/255",), "batch_size": 40, "parameters": one_step}
    once = evaluate(options(other, **config)).of_kind(Attack)
    thrice = evaluate(options(path, **config, restarts=3)).of_kind(Attack)
    repeats, counts = zip(*((entry["key"][2], len(entry["indices"])) for entry in outcomes(path)), strict=True)
    assert repeats == (0, 1, 2)
    assert counts[0] > counts[1] >= counts[2] >= round(thrice[0].value * 40)
    assert thrice[0].value <= once[0].value


@pytest.fixture(scope="module")
def pair(digits_run, other_digits_run, tmp_path_factory) -> list[Path]:
    """Two runs on the same images: one trained by another seed."""
    folder = tmp_path_factory.mktemp("pair")
    return [copied(run, folder) for run in (digits_run, other_digits_run)]


def transfer_options(runs: list[Path], *names: str, **more: object) -> TransferOptions:
    attack = AttackConfig(names or ("pgd",), epsilons=("0", "4/255"), parameters=Hyperparameters() if names else QUICK)
    return TransferOptions(tuple(runs), **{"samples": 40, "attack": attack, **more})


def with_option(runs: list[Path], **option: object) -> TransferOptions:
    chosen = transfer_options(runs)
    return dataclasses.replace(chosen, attack=dataclasses.replace(chosen.attack, **option))


@pytest.mark.slow
def test_transfer_has_its_findings(pair, tmp_path):
    runs = [copied(path, tmp_path) for path in pair]
    rows = transfer(transfer_options(runs, "paper", samples=8))
    assert {(row.condition.epsilon > 0, *row.findings) for row in rows} == {(True, "short-steps"), (False,)}
    with pytest.raises(UserError, match="`strict`: short-steps"):
        transfer(transfer_options(runs, "paper", samples=8, strict=True))


@pytest.mark.slow
def test_images_of_a_sparse_network_are_told_apart(pair, tmp_path):
    runs = [copied(path, tmp_path) for path in pair]
    dense, sparse = (transfer(transfer_options(runs, "fgsm", samples=10, top_k=top_k)) for top_k in ("none", "8"))
    assert {row.condition.made_on.top_k for row in dense} == {None}
    assert {row.condition.made_on.top_k for row in sparse} == {(8,)}
    assert {row.condition.made_on.checkpoint.which for row in sparse} == {"last"}


@pytest.mark.slow
def test_transfer_is_a_matrix(pair):
    with at_batch(0, ctrl_c, training=False) as shown_first:
        rows = transfer(transfer_options(pair))
    found = {(row.condition.made_on.model, row.model, row.condition.epsilon): row.value for row in rows}
    assert len(rows) == len(found) == 8
    for name in ("fresh", "second"):
        other = "second" if name == "fresh" else "fresh"
        assert found[name, name, 0.0] == found[other, name, 0.0]  # no attack yet
        assert found[name, name, 4 / 255] < found[other, name, 4 / 255] <= found[name, name, 0.0]
    for path in pair:
        mine = [row for row in RunFolder(path).rows() if isinstance(row.condition, Transfer)]
        assert {row.model for row in mine} == {path.name}
        assert len(mine) == 4
        for row in mine:
            assert Predictions.load(RunFolder(path).predictions_path(row)).correct(1).mean() == pytest.approx(row.value)
    with at_batch(0, ctrl_c, training=False) as shown_again:
        assert values(transfer(transfer_options(pair))) == values(rows)
    attacked = 2 * 3 * QUICK.pgd.steps  # both networks, 40 images in batches of 16, at the only epsilon above 0
    assert len(shown_first) - len(shown_again) >= attacked  # the checks before an attack are made again, no attack is
    assert len([row for row in RunFolder(pair[0]).rows() if isinstance(row.condition, Transfer)]) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda runs: transfer_options(runs[:1]), "expected two or more runs"),
        (lambda runs: transfer_options([runs[0], runs[0]]), "expected two or more runs with different names"),
        (lambda runs: transfer_options(runs, "square"), "go as far as the ball allows"),
        (lambda runs: transfer_options(runs, "deepfool"), "go as far as the ball allows"),
        (lambda runs: with_option(runs, restarts=2), "`attack.restarts` is for evaluation"),
        (lambda runs: with_option(runs, space="input"), "`attack.space` is for evaluation"),
    ],
)
def test_what_cannot_transfer(digits_run, tmp_path, change, words):
    twins = [copied(digits_run, tmp_path), copied(digits_run, tmp_path / "other").rename(tmp_path / "second")]
    with pytest.raises(UserError, match=words):
        change(twins)


@pytest.mark.slow
def test_runs_on_other_images_cannot_be_compared(pair, tmp_path):
    third = tmp_path / "third"
    arguments = ["--train.epochs", "0", "--data.split-seed", "3", "--runs", str(tmp_path), "--name", "third"]
    main(["train", "digits-double", *arguments])
    with pytest.raises(UserError, match="not on the same images"):
        transfer(transfer_options([pair[0], third]))


@pytest.mark.slow
def test_two_processes_attack_as_one(digits_run, tmp_path):
    one, two = copied(digits_run, tmp_path / "one"), copied(digits_run, tmp_path / "two")
    arguments = ["--samples", "41", "--attack.names", "pgd", "--attack.pgd.steps", "3", "--attack.batch-size", "10"]
    arguments += ["--attack.epsilons", "0", "1/255", "4/255", "--attack.save-images"]
    in_processes(2, ["evaluate", str(two), *arguments])
    main(["evaluate", str(one), *arguments])
    rows = [[row for row in RunFolder(path).rows() if isinstance(row.condition, Attack)] for path in (one, two)]
    assert len(rows[0]) == 3
    assert values(rows[0]) == values(rows[1])
    images = [np.load(next((path / "attacks").glob("*-0")) / "images.npy") for path in (one, two)]
    np.testing.assert_array_equal(*images)


def dataset(counts: list[int]) -> Dataset:
    labels = np.repeat(np.arange(len(counts)), counts)
    names = tuple(map(str, range(len(counts))))
    return Dataset(np.zeros((len(labels), 1, 1, 3), np.uint8), labels, names, names, DatasetId("some"))


def test_samples_are_of_each_class_its_share():
    images = dataset([50] * 20)
    for count in (500, 30, 7):
        sizes = np.bincount(images.stratified(count).labels, minlength=20)
        assert sizes.sum() == count
        assert sizes.max() - sizes.min() <= 1
    uneven = dataset([900, 90, 10])
    sizes = np.bincount(uneven.stratified(100).labels, minlength=3)
    assert np.abs(sizes - [90, 9, 1]).max() <= 1
    assert uneven.stratified(1000) is uneven
    few, more = (set(np.flatnonzero(np.isin(*chosen))) for chosen in nested())
    assert few < more
    assert str(images.stratified(40, seed=3).id) == "some, 40 stratified by class, seed 3"
    with pytest.raises(UserError, match="`samples` 1001: expected 1 to 1,000"):
        images.stratified(1001)


def nested() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    numbers = np.arange(60)
    images = np.broadcast_to(numbers[:, None, None, None], (60, 1, 1, 3)).astype(np.uint8)
    clean = dataclasses.replace(dataset([20] * 3), images=images)
    for count in (10, 25):
        yield numbers, clean.stratified(count).images[:, 0, 0, 0]


@pytest.mark.slow
def test_commands_at_the_terminal(pair, capsys):
    arguments = ["--samples", "30", "--attack.names", "fgsm", "spatial", "--attack.epsilons", "0", "16/255"]
    main(["evaluate", str(pair[0]), *arguments])
    out = " ".join(capsys.readouterr().out.split())
    assert "Under attack: fgsm (linf), by epsilon" in out
    assert "16/255" in out
    assert "spatial" in out
    assert "recognized and stay so" in out
    main(["transfer", *map(str, pair), "--samples", "30", "--attack.names", "fgsm", "--attack.epsilons", "16/255"])
    out = " ".join(capsys.readouterr().out.split())
    assert "made on" in out
    assert "fgsm, linf 16/255" in out
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "--help-attacks"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    for flag in ("--attack.pgd.steps", "--attack.cw.binary-search-steps", "--attack.square.queries", "--strict"):
        assert flag in shown

    with at_batch(3, ctrl_c, training=False), pytest.raises(SystemExit) as end:
        main(["evaluate", str(pair[0]), "--samples", "20", "--attack.names", "pgd"])
    assert end.value.code == 130
    assert "give the same command again to go on" in " ".join(capsys.readouterr().err.split())
