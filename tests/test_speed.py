"""Costs: against closed forms, published numbers, a clock that is set by hand, and a run's own files."""

import dataclasses
import itertools
import json
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import safetensors.torch
import scipy.stats
import timm
import torch
from torch import nn

from doublevit.analysis.compare import compare_rows
from doublevit.analysis.saved_predictions import saved_predictions
from doublevit.attacks.config import AttackConfig
from doublevit.cli import main
from doublevit.cli.parse import parse
from doublevit.data import DataConfig, load
from doublevit.errors import UserError
from doublevit.evaluators.evaluator import EvalModel
from doublevit.evaluators.prediction import predict
from doublevit.evaluators.speed import cost, timing
from doublevit.evaluators.speed.cost import count_macs, count_macs_per_image, peak_additional_bytes, storage_bytes
from doublevit.evaluators.speed.evaluator import SpeedEvaluator, TrainingWork, random_images
from doublevit.evaluators.speed.timing import Timing, time_batches
from doublevit.jobs import speed as job
from doublevit.jobs.evaluate import evaluate, finish, transfer
from doublevit.jobs.load import Trained, load_data_and_model
from doublevit.jobs.options import Evaluate, SpeedOptions, TransferOptions
from doublevit.jobs.speed import measure_speed
from doublevit.jobs.train import describe_run
from doublevit.jsonl import read_lines
from doublevit.models.classifier import build, set_top_k
from doublevit.models.config import CrossConfig, ModelConfig
from doublevit.models.top_k import recorded
from doublevit.recipes import Recipe, from_dict, to_dict
from doublevit.report.tables.runs import speed_table
from doublevit.runs import checkpoint
from doublevit.runs.conditions import CheckpointId, ModelId
from doublevit.runs.folder import RunFolder
from doublevit.runs.row import Row
from doublevit.training.config import TrainConfig

CPU = torch.device("cpu")
INFERENCE, TRAINING = (["inference images/s", "inference memory"], ["training images/s", "training memory"])
SIZE = ["parameters", "trained parameters", "MACs"]
DIGITS = tuple("0123456789")


@pytest.mark.parametrize(
    ("name", "published"),  # in timm's results/model_benchmark, GMACs at 224 pixels
    [("vit_tiny_patch16_224", 1.26), ("resnet18", 1.82), ("resnet50", 4.11), ("pit_ti_distilled_224", 0.71)],
)
def test_macs_are_the_published(name: str, published: float):
    assert count_macs(timm.create_model(name), torch.zeros(1, 3, 224, 224)) / 1e9 == pytest.approx(published, rel=0.01)


def test_macs_of_a_vit_follow_from_its_widths():
    width, depth, patches, classes = 64, 6, 64, 10  # of vit-digits-4: 32 pixels, patches of 4
    tokens = patches + 1
    block = tokens * 12 * width**2 + 2 * tokens**2 * width  # qkv, projection, MLP; the two products of attention
    expected = patches * 3 * 4**2 * width + depth * block + width * classes
    model = build(ModelConfig("vit-digits-4", weights="none"), DIGITS)
    assert count_macs_per_image(model, (32, 32)) == expected
    set_top_k(model, "8")
    attention = model.attention
    assert count_macs_per_image(model, (32, 32)) == expected
    assert model.attention is attention is not None


def test_macs_of_convolutions_count_groups_and_strides():
    layer = nn.Conv2d(8, 12, 3, stride=2, padding=1, groups=4)
    assert count_macs(layer, torch.zeros(2, 8, 10, 10)) == 2 * 5 * 5 * 12 * (8 // 4) * 9


WIDTH, LAYERS = 192, 4  # 192: an image of 8 x 8
WEIGHT = WIDTH**2 * 4  # bytes of a layer


class Chain(nn.Module):
    """Layers without bias on images (B, 3, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(LAYERS)])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images.flatten(1).float())


@pytest.mark.parametrize("batch", [1, 16, 1000])
def test_memory_of_a_chain_is_two_activations_without_and_all_with_gradients(batch: int):
    chain, images, activation = Chain(), torch.zeros(batch, WIDTH), batch * WIDTH * 4
    with torch.no_grad():
        assert peak_additional_bytes(lambda: chain(images), CPU) == 2 * activation
    assert peak_additional_bytes(lambda: chain(images), CPU) == LAYERS * activation


def test_memory_of_a_small_batchs_gradients_is_that_of_the_weights():
    chain, images = Chain(), torch.zeros(16, WIDTH)

    def step() -> None:
        chain(images).sum().backward()
        chain.zero_grad(set_to_none=True)

    scalars = 2 * 4  # the loss and its gradient
    assert peak_additional_bytes(step, CPU) == LAYERS * WEIGHT + 16 * WIDTH * 4 + scalars
    assert peak_additional_bytes(lambda: None, CPU) == 0


def test_memory_that_is_shared_is_held_once():
    whole = torch.zeros(10, 3)
    assert storage_bytes([whole, whole[2:], whole.view(30), torch.zeros(2, dtype=torch.uint8)]) == 10 * 3 * 4 + 2
    assert storage_bytes([]) == 0


def test_memory_on_a_gpu_is_the_allocators_peak_above_what_was_there(monkeypatch):
    calls = []
    monkeypatch.setattr(cost, "synchronize", lambda device: calls.append("wait"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: calls.append("reset"))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 100)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 350)
    assert peak_additional_bytes(lambda: calls.append("work"), torch.device("cuda")) == 250
    assert calls == ["wait", "reset", "work", "wait"]


MODEL = ModelId(
    model="run", seed=5, checkpoint=CheckpointId(which="last", name="epoch-001", digest="0" * 8), precision="float32"
)


def evaluator_of(batch: int = 16, prepare_training=None) -> SpeedEvaluator:
    return SpeedEvaluator(CPU, (8, 8), batch, 0.01, prepare_training)


def test_memory_rows_add_up_what_is_there_and_what_comes_on_top():
    chain, batch = Chain(), 16
    model, images = EvalModel(chain, MODEL), random_images(batch, (8, 8), CPU)
    there, activation = LAYERS * WEIGHT + batch * WIDTH, batch * WIDTH * 4  # weights and bytes of the images
    found = list(evaluator_of(batch).inference(model, images))[1]
    assert found.metric == "inference memory"
    assert found.value == found.low == found.high == there + 3 * activation  # one is the images as floats
    optimizer = torch.optim.Adam(chain.parameters(), fused=True)

    def step() -> None:
        chain(images).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    found = list(evaluator_of(batch).training(model, images, TrainingWork(step, optimizer)))[1]
    state, gradients = 2 * LAYERS * WEIGHT + LAYERS * 4, LAYERS * WEIGHT
    # on top: the images as floats, which the first layer keeps for its gradient, that of its output, loss and seed
    assert found.value == there + state + gradients + 2 * activation + 8


class Clock:
    """Time that passes only when work is done."""

    def __init__(self, monkeypatch, durations) -> None:
        self.now, self.durations = 0.0, iter(durations)
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def work(self) -> None:
        self.now += next(self.durations)


def test_timing_leaves_out_warming_up_and_goes_on_as_long_as_asked(monkeypatch):
    clock = Clock(monkeypatch, [100.0, 0.5, *[0.25, 1.0, 0.5] * 100])
    monkeypatch.setattr(timing, "WARMUP_FRACTION", 0.0)
    found = time_batches(clock.work, 8, 1000.0, CPU)
    assert len(found.seconds) == 20  # a thousand seconds by the median of 100 and 0.5
    assert found.count == 20 * 8
    assert found.images_per_second().value == 8 / 0.5
    assert found.seconds.max() == 1.0


def test_timing_warms_up_for_a_fifth_of_the_time(monkeypatch):
    clock = Clock(monkeypatch, [0.5] * 4 + [2.0] * 40)
    found = time_batches(clock.work, 8, 10.0, CPU)
    assert found.seconds.tolist() == [2.0] * 20


def test_timing_of_slow_work_is_of_five_batches(monkeypatch):
    assert len(time_batches(Clock(monkeypatch, [60.0] * 9).work, 8, 1.0, CPU).seconds) == 5


def test_the_interval_is_that_of_the_bootstraps_median():
    count = 41
    taken = np.random.default_rng(0).gamma(9, 0.1, count)
    rates = np.sort(10 / taken)
    # A drawn median is at most the k-th value if more than half of the draws are among the first k.
    below = scipy.stats.binom.sf(count // 2, count, np.arange(1, count + 1) / count)
    low, high = (int(np.searchsorted(below, share)) for share in (0.025, 0.975))
    found = Timing(taken, 10).images_per_second()
    assert found.value == np.median(rates)
    assert rates[low - 1] <= found.low <= rates[low + 1] < found.value < rates[high - 1] <= found.high
    assert found.high <= rates[high + 1]


def run_of(folder: Path, model: ModelConfig, train: TrainConfig, data: DataConfig | None = None) -> Path:
    """A run that was never trained; without `data` its images are gone."""
    recipe = Recipe(
        "odd", "for tests", data=data or DataConfig("folder", path=folder / "gone"), model=model, train=train
    )
    run, network = RunFolder.create(to_dict(recipe), folder), build(model, DIGITS)
    state = checkpoint.TrainingState(torch.optim.SGD(network.parameters()))
    checkpoint.save(run.checkpoints, network, state, checkpoint.Progress(), best=True)
    if data is not None:
        describe_run(run, recipe, load(data), network)
    return run.path


SMALL = ModelConfig("vit-digits-8", weights="none")


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """A run on the digits."""
    return run_of(tmp_path, SMALL, TrainConfig(precision="float32"), DataConfig("digits"))


def quick(path: Path, **changes) -> list[Row]:
    return measure_speed(SpeedOptions(path, batch_size=4, seconds=0.01, **changes))


def test_rows_say_all_that_it_takes_to_know_what_they_are(digits: Path, monkeypatch):
    usual, run = evaluate(Evaluate(digits, first=8)).rows[0], RunFolder.open(digits)
    ticks = itertools.count(0, 0.25)  # a clock by which each batch takes a quarter of a second
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(ticks))
    before = run.rows()
    rows = quick(digits) + quick(digits)
    assert run.rows() == before + rows
    assert [measurement.row for measurement in saved_predictions(run)] == [usual]
    assert [row.metric for row in rows] == 2 * [*INFERENCE, *TRAINING, *SIZE]
    for row in rows:
        assert (row.dataset, row.seed, row.model, row.top_k) == (None, usual.seed, usual.model, usual.top_k)
        assert (row.checkpoint, row.precision) == (usual.checkpoint, usual.precision)
        assert (row.condition.batch_size, row.condition.image_size) == (4, (32, 32))
        assert row.condition.device.endswith(", 1 thread")
        assert row.low <= row.value <= row.high
    assert all(row.count % 4 == 0 and row.count >= 20 and row.seconds > 0 for row in (rows[0], rows[2]))
    assert rows[0].value == rows[0].count / rows[0].seconds == 4 / 0.25


def test_size_is_that_of_the_weights_on_disk(digits: Path):
    run = RunFolder.open(digits)
    folder = run.checkpoints / checkpoint.identify(run.checkpoints, "last").name
    weights = safetensors.torch.load_file(folder / checkpoint.WEIGHTS)
    by_metric = {row.metric: row for row in quick(run.path)}
    parameters = sum(tensor.numel() for tensor in weights.values())
    assert by_metric["parameters"].value == by_metric["trained parameters"].value == parameters
    images = 4 * 3 * 32 * 32
    assert by_metric["training memory"].value > parameters * 4 * 4 + images  # weights, gradients, two of Adam's
    assert parameters * 4 + images < by_metric["inference memory"].value < parameters * 4 * 2


CROSS = CrossConfig(after=(3, 6))
NETWORKS = {
    "convolutions": ModelConfig("resnet10t.c3_in1k", weights="none", image_size=64),
    "pit": ModelConfig("pit_ti_224.in1k", weights="none", image_size=64, top_k="10,5,3"),
    "double": ModelConfig("vit-digits-4", coarse="vit-digits-8", weights="none", top_k="16,4", cross=CROSS),
    "frozen": ModelConfig("vit-digits-8", weights="none", freeze="all-but-head", head="paper-single"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_of_network_is_measured_without_its_images(name: str, tmp_path: Path, monkeypatch, capfd):
    monkeypatch.setattr(timing, "MIN_TIMED", 2)
    monkeypatch.setattr(timing, "MIN_WARMUP", 1)
    model = NETWORKS[name]
    rows = quick(run_of(tmp_path, model, TrainConfig(accumulate=3)))
    network = build(model, DIGITS)
    side, by_metric = network.resize.size, {row.metric: row for row in rows}
    assert list(by_metric) == [*INFERENCE, *TRAINING, *SIZE]
    assert all(row.condition.image_size == (side, side) and row.top_k == recorded(model.top_k) for row in rows)
    assert f"measuring on images of {side} x {side}" in capfd.readouterr().err
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    assert by_metric["trained parameters"].value == trained
    assert by_metric["MACs"].value == count_macs_per_image(network, (side, side))
    assert (by_metric["trained parameters"].value < by_metric["parameters"].value) == (name == "frozen")
    assert by_metric["training memory"].value > by_metric["inference memory"].value


def test_what_trains_nothing_is_not_timed_in_training(tmp_path: Path):
    rows = quick(run_of(tmp_path, NETWORKS["frozen"], TrainConfig(epochs=0)))
    assert [row.metric for row in rows] == [*INFERENCE, *SIZE]
    assert rows[-2].value == 0


def test_trained_parameters_are_those_with_gradients():
    model = build(NETWORKS["frozen"], DIGITS)
    head = sum(parameter.numel() for parameter in model.heads.parameters())
    rows = list(evaluator_of(prepare_training=lambda images: None).sizes(EvalModel(model, MODEL)))
    assert [row.value for row in rows][1] == head


def test_training_is_timed_with_attention_as_narrow_as_at_its_end(tmp_path: Path, monkeypatch):
    seen, step = [], job.train_step

    def spy(training, batch, number, meter) -> None:
        step(training, batch, number, meter)
        seen.append((training.model.attention.narrowed, training.dtype, training.model.training, len(batch)))

    monkeypatch.setattr(job, "train_step", spy)
    model = dataclasses.replace(SMALL, top_k="4")
    path = run_of(tmp_path, model, TrainConfig(epochs=2, narrow_epochs=2))
    rows = quick(path, precision="bfloat16")
    assert set(seen) == {(1.0, torch.bfloat16, True, 4)}
    assert {row.precision for row in rows} == {"bfloat16"}


def test_an_interruption_leaves_nothing(digits: Path, monkeypatch):
    before = sorted(digits.rglob("*"))

    def stop(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "train_step", stop)
    with pytest.raises(SystemExit, match="130"):
        main(["speed", str(digits), "--seconds", "0.01"])
    assert sorted(digits.rglob("*")) == before


def commands(run: Path) -> list[list[str]]:
    return [entry["command"] for entry in read_lines(run / "commands.jsonl")]


def test_commands_that_add_results_are_noted_and_not_the_one_that_made_the_run(digits: Path, monkeypatch):
    monkeypatch.setattr(timing, "MIN_TIMED", 2)
    evaluate(Evaluate(digits, first=8))
    assert commands(digits) == []
    run, (splits, model) = RunFolder.open(digits), load_data_and_model(from_dict(RunFolder.open(digits).recipe()))
    measured = predict(model, splits["val"].subset(np.arange(8)), torch.float32, 8)
    doings = {
        "speed": lambda: quick(digits),
        "evaluate": lambda: evaluate(Evaluate(digits, first=8)),
        "again": lambda: finish(Trained(run, model, measured)),
        "resume": lambda: finish(Trained(run, model, None)),
    }
    for number, (name, do) in enumerate(doings.items(), 1):
        monkeypatch.setattr(sys, "argv", ["doublevit", name])
        before = len(run.rows())
        do()
        assert len(run.rows()) > before
        assert commands(digits) == [["doublevit", each] for each in [*doings][:number]]


def test_a_transfer_is_noted_in_every_run(tmp_path: Path, monkeypatch):
    paths = [run_of(tmp_path / name, SMALL, TrainConfig(), DataConfig("digits")) for name in "ab"]
    paths = [path.rename(tmp_path / name / name) for path, name in zip(paths, "ab", strict=True)]
    monkeypatch.setattr(sys, "argv", ["doublevit", "transfer"])
    transfer(TransferOptions(tuple(paths), first=4, attack=AttackConfig(("fgsm",), epsilons=("8/255",))))
    assert [commands(path) for path in paths] == 2 * [[["doublevit", "transfer"]]]


def test_looking_leaves_a_run_as_it_is(digits: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["doublevit", "show"])
    before = {path: path.stat().st_mtime_ns for path in (digits, *digits.rglob("*"))}
    main(["show", "attention", str(digits), "--output", str(tmp_path / "seen.png")])
    assert (tmp_path / "seen.png").is_file()
    assert {path: path.stat().st_mtime_ns for path in (digits, *digits.rglob("*"))} == before


def test_bad_input_gets_one_line(digits: Path, tmp_path: Path, monkeypatch):
    for flag, value in (("--batch-size", "0"), ("--seconds", "0"), ("--seconds", "nan"), ("--precision", "half")):
        with pytest.raises(UserError, match=flag.removeprefix("--").replace("-", "_")):
            parse(SpeedOptions, "doublevit speed", ["run", flag, value])
    with pytest.raises(UserError, match="is no run"):
        quick(tmp_path)
    with pytest.raises(UserError, match=r"^`batch_size` 1000000000: expected a batch that fits into memory"):
        measure_speed(SpeedOptions(digits, batch_size=10**9))
    folder = digits / "checkpoints"
    (folder / checkpoint.identify(folder, "last").name / checkpoint.WEIGHTS).write_bytes(b"nonsense")
    with pytest.raises(UserError, match="is damaged"):
        quick(digits)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="expected one process, found 2"):
        quick(digits)


def test_the_table_is_in_units_that_people_use(digits: Path):
    def row(metric: str, value: float) -> Row:
        exact = evaluator_of()._exact(EvalModel(Chain(), MODEL), metric, 0, 3200)
        return msgspec.structs.replace(exact, value=value, low=value * 0.9, high=value * 1.1, top_k=(16,))

    rows = [row("training images/s", 1234.4), row("inference memory", 56.7e6), row("MACs", 17.56e9)]
    comparison = compare_rows(RunFolder.open(digits), [*rows, row("parameters", 5.7e6)])
    table = speed_table(comparison)
    cells = dict(zip([column.head for column in table.columns], table.rows[0], strict=True))
    heads = ("training images/s", "inference MB", "GMACs", "parameters, M")
    assert [cells[head].text for head in heads] == ["1,234.4", "56.7", "17.6", "5.7"]
    assert [cells[head].interval for head in heads] == ["1,111.0 to 1,357.8", "", "", ""]
    assert [cells[head].count for head in heads] == [3200, None, None, None]
    assert "batches of 16 random images of 8 x 8 pixels, float32; " in table.caption
    assert "sparse attention, top-k 16" in table.footnotes


def test_the_command_shows_what_it_adds(digits: Path, capfd):
    main(["speed", str(digits), "--batch-size", "8", "--seconds", "0.01"])
    shown, last = capfd.readouterr().out, json.loads((digits / "results.jsonl").read_text().splitlines()[-1])
    assert last["metric"] == "MACs"
    assert f" {last['value'] / 1e9:.3g}" in shown
    assert "GMACs" in shown
    assert f"{digits / 'results.jsonl'}  the same numbers" in shown
