"""Batch-norm adaptation: the numbers by hand and by PyTorch's training mode, weights untouched, rows that say it."""

import contextlib
import copy
import dataclasses
import types
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from conftest import copied
from doublevit.cli import main
from doublevit.corrupted_sets.config import RobustnessConfig
from doublevit.data import DataConfig
from doublevit.data.batches import shuffled_batches
from doublevit.data.dataset import Dataset
from doublevit.data.identity import DatasetId
from doublevit.errors import UserError
from doublevit.evaluators import prediction
from doublevit.evaluators.adaptation import adaptation
from doublevit.evaluators.adaptation.adaptation import Adaptation, predict_with
from doublevit.evaluators.adaptation.batch_norm import BatchNormStatistics, running_statistics
from doublevit.evaluators.adaptation.config import AdaptConfig
from doublevit.evaluators.evaluator import EvalModel
from doublevit.evaluators.prediction import predict
from doublevit.jobs.evaluate import evaluate
from doublevit.jobs.options import Evaluate
from doublevit.jobs.train import start
from doublevit.models.config import ModelConfig
from doublevit.recipes import get_recipe
from doublevit.runs.conditions import CheckpointId, Clean, Corruption, CorruptionMean, ModelId
from doublevit.runs.folder import RunFolder
from doublevit.runs.predictions import Predictions
from doublevit.runs.row import Row
from moments import at_batch, ctrl_c

CLASSES = 4
BATCH = AdaptConfig("batch", batch_size=8)
SET = AdaptConfig("set", batch_size=8)
MOMENTUM = AdaptConfig("momentum", batch_size=8)


class Small(nn.Module):
    """Bytes (B, 3, H, W) -> logits (B, 4), by conv, norm, ReLU, conv, norm and dropout, in float64."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 6, 3), nn.Conv2d(6, CLASSES, 3)
        self.norms = nn.ModuleList([nn.BatchNorm2d(6), nn.BatchNorm2d(CLASSES)])
        self.dropout = nn.Dropout(0.5)
        disturb(self)
        self.double().eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.second(self.norms[0](self.first(pixels(images))).relu())
        return self.dropout(self.norms[1](features)).square().mean((2, 3))


def pixels(images: torch.Tensor) -> torch.Tensor:
    """With a spread large enough that images of other brightness get other logits."""
    return images.double() / 20 - 6


def disturb(model: nn.Module) -> None:
    """Statistics and weights of batch norm as if from a training."""
    for layer in running_statistics(model):
        for tensor in (layer.weight.data, layer.running_mean, layer.running_var):
            tensor.copy_(torch.rand_like(tensor) + 0.5)


def random_images(count: int = 20, seed: int = 0, size: int = 9) -> Dataset:
    """Sorted by class; each class has a brightness of its own, so that batches of one class would be unlike."""
    random, labels = np.random.default_rng(seed), np.sort(np.arange(count) % CLASSES)
    images = (random.integers(0, 100, (count, size, size, 3)) + 50 * labels[:, None, None, None]).astype(np.uint8)
    return Dataset(images, labels, tuple("abcd"), tuple("abcd"), DatasetId(f"made {count} {seed}"))


def tensors(dataset: Dataset) -> torch.Tensor:
    return torch.from_numpy(dataset.images).permute(0, 3, 1, 2)


def adapted(model: nn.Module, dataset: Dataset, config: AdaptConfig, seed: int = 0) -> torch.Tensor:
    """The logits of every image, under adaptation."""
    adaptation, images = Adaptation(config, seed), tensors(dataset)
    whole = [np.arange(len(dataset))]
    with torch.inference_mode(), adaptation.applied(model, dataset, torch.float32, ""):
        batches = adaptation.batches(len(dataset)) if adaptation.is_by_batch else whole
        parts = torch.cat([model(images[batch]) for batch in batches])
    return parts[np.argsort(np.concatenate(batches))]


def plain(model: nn.Module, dataset: Dataset) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(tensors(dataset))


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance of each channel, by their definition."""
    mean = values.mean((0, 2, 3))
    return mean, ((values - mean[:, None, None]) ** 2).mean((0, 2, 3))


def mixed(layer: nn.BatchNorm2d, values: np.ndarray, prior: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Schneider et al.'s formula as it is written."""
    source = layer.running_mean.numpy(), layer.running_var.numpy()
    pairs = zip(source, moments(values), strict=True)
    mean, variance = (prior / (prior + count) * old + count / (prior + count) * new for old, new in pairs)
    return mean, variance


def normalized(layer: nn.BatchNorm2d, values: np.ndarray, statistics: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    mean, variance = (statistic[:, None, None] for statistic in statistics)
    weight, bias = (parameter.detach().numpy()[:, None, None] for parameter in (layer.weight, layer.bias))
    return (values - mean) / np.sqrt(variance + layer.eps) * weight + bias


def convolved(layer: nn.Conv2d, values: np.ndarray) -> np.ndarray:
    return F.conv2d(torch.from_numpy(values), layer.weight, layer.bias).detach().numpy()


@pytest.mark.parametrize("prior", [0.0, 5.0, 16.0])
def test_each_batch_by_hand(prior):
    model, dataset = Small(), random_images()
    found = adapted(model, dataset, dataclasses.replace(BATCH, prior=prior))
    for batch in shuffled_batches(20, 8, 0):
        first = convolved(model.first, pixels(tensors(dataset))[batch].numpy())
        hidden = normalized(model.norms[0], first, mixed(model.norms[0], first, prior, len(batch)))
        second = convolved(model.second, np.maximum(hidden, 0))
        last = normalized(model.norms[1], second, mixed(model.norms[1], second, prior, len(batch)))
        assert np.allclose(found[batch], (last**2).mean((2, 3)), atol=1e-12)


@pytest.mark.parametrize("prior", [0.0, 5.0])
def test_the_whole_set_by_hand(prior):
    """Batches of unequal size: what is pooled is what all activations together have, layer after layer."""
    model, dataset = Small(), random_images()
    batches = shuffled_batches(20, 8, 0)
    assert [len(batch) for batch in batches] == [7, 7, 6]
    images = pixels(tensors(dataset)).numpy()
    first = [convolved(model.first, images[batch]) for batch in batches]
    hidden = [normalized(model.norms[0], part, mixed(model.norms[0], part, prior, 20)) for part in first]
    second = [convolved(model.second, np.maximum(part, 0)) for part in hidden]
    with Adaptation(dataclasses.replace(SET, prior=prior), 0).applied(model, dataset, torch.float32, ""):
        held = [(layer.running_mean.numpy(), layer.running_var.numpy()) for layer in model.norms]
    for layer, parts, statistics in zip(model.norms, (first, second), held, strict=True):
        expected = mixed(layer, np.concatenate(parts), prior, 20)
        for mine, by_hand in zip(statistics, expected, strict=True):
            assert np.allclose(mine, by_hand, rtol=1e-12)
    last = normalized(model.norms[0], convolved(model.first, images), held[0])
    last = normalized(model.norms[1], convolved(model.second, np.maximum(last, 0)), held[1])
    found = adapted(model, dataset, dataclasses.replace(SET, prior=prior))
    assert np.allclose(found, (last**2).mean((2, 3)), atol=1e-12)


@pytest.mark.parametrize("method", ["batch", "set"])
def test_full_adaptation_is_pytorchs_training_mode(method):
    model, dataset = Small(), random_images()
    trained = copy.deepcopy(model).train()
    trained.dropout.eval()
    expected = trained(tensors(dataset)).detach()
    assert torch.allclose(adapted(model, dataset, AdaptConfig(method, prior=0)), expected, atol=1e-12)
    assert not torch.allclose(plain(model, dataset), expected, atol=0.1)


@pytest.mark.parametrize("method", ["batch", "set"])
def test_an_endless_prior_is_no_adaptation(method):
    model, dataset = Small(), random_images()
    found = adapted(model, dataset, AdaptConfig(method, prior=1e12, batch_size=8))
    assert torch.allclose(found, plain(model, dataset), atol=1e-8)


@pytest.mark.parametrize("prior", [0.0, 16.0])
def test_a_set_in_one_batch_is_that_batch(prior):
    model, dataset = Small(), random_images()
    found = [adapted(model, dataset, AdaptConfig(method, prior=prior)) for method in ("batch", "set")]
    assert torch.allclose(*found, atol=1e-12)


@pytest.mark.parametrize(("batches", "momentum"), [(None, 0.1), (2, 0.1), (1, 1.0)])
def test_momentum_is_a_loop_in_training_mode(batches, momentum):
    model, dataset = Small(), random_images()
    trained = copy.deepcopy(model).train()
    trained.dropout.eval()
    for norm in trained.norms:
        norm.momentum = momentum
    for batch in shuffled_batches(20, 8, 3)[:batches]:
        trained(tensors(dataset)[batch])
    config = dataclasses.replace(MOMENTUM, batches=batches, momentum=momentum)
    with Adaptation(config, 3).applied(model, dataset, torch.float32, ""):
        for mine, its in zip(model.norms, trained.norms, strict=True):
            assert torch.allclose(mine.running_mean, its.running_mean, rtol=1e-12)
            assert torch.allclose(mine.running_var, its.running_var, rtol=1e-12)
    assert torch.allclose(adapted(model, dataset, config, 3), plain(trained, dataset), atol=1e-12)


def test_images_sorted_by_class_are_shuffled():
    dataset = random_images(40)
    batches = shuffled_batches(40, 10, 0)
    assert all(len(set(dataset.labels[batch])) > 2 for batch in batches)
    assert sorted(np.concatenate(batches)) == list(range(40))
    assert all(map(np.array_equal, batches, shuffled_batches(40, 10, 0)))
    assert not np.array_equal(np.concatenate(batches), np.concatenate(shuffled_batches(40, 10, 1)))
    assert [len(batch) for batch in shuffled_batches(101, 100, 0)] == [51, 50]  # none of a single image


def test_the_order_of_images_is_no_matter_where_statistics_are_of_all():
    """Sorted by class or not, an image's logits are the same; in sorted batches they would be others."""
    model, dataset = Small(), random_images(40)
    order = np.random.default_rng(1).permutation(40)
    for config in (AdaptConfig("set", prior=0), AdaptConfig("batch", prior=0)):
        found = adapted(model, dataset.subset(order), config)
        assert torch.allclose(found, adapted(model, dataset, config)[order], atol=1e-12)
    shuffled = adapted(model, dataset, dataclasses.replace(BATCH, prior=0, batch_size=10))
    sorted_batches = torch.cat([adapted(model, dataset.subset(part), BATCH) for part in np.split(np.arange(40), 4)])
    whole = adapted(model, dataset, AdaptConfig("batch", prior=0))
    assert (shuffled - whole).abs().mean() < (sorted_batches - whole).abs().mean() / 2


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("config", [BATCH, SET, MOMENTUM])
def test_the_model_is_left_as_it_was(config, error):
    model, dataset = Small(), random_images()
    before, held = copy.deepcopy(model.state_dict()), [*model.buffers()]
    adaptation = Adaptation(config, 0)
    around = pytest.raises(error) if error else contextlib.nullcontext()
    with around, torch.inference_mode(), adaptation.applied(model, dataset, torch.float32, ""):
        model(tensors(dataset))
        changed = [mine is not old for mine, old in zip(model.buffers(), held, strict=True)]
        assert sum(changed) == 4  # means and variances, but no count of batches
        if error:
            raise error
    assert all(mine is old for mine, old in zip(model.buffers(), held, strict=True))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert not model.training


@pytest.mark.parametrize("config", [SET, MOMENTUM])
def test_the_model_is_left_as_it_was_by_an_end_amid_the_pass(config):
    model, calls = Small(), []

    def stop(*_: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    hook, held = model.second.register_forward_hook(stop), [*model.buffers()]
    with pytest.raises(KeyboardInterrupt):
        adapted(model, random_images(), config)
    hook.remove()
    assert all(mine is old for mine, old in zip(model.buffers(), held, strict=True))
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("config", [BATCH, SET, MOMENTUM])
def test_data_sets_one_after_the_other_adapt_alone(config):
    model, one, two = Small(), random_images(seed=1), random_images(seed=2)
    alone = [adapted(Small(), dataset, config) for dataset in (one, two)]
    assert torch.equal(adapted(model, one, config), alone[0])
    assert torch.equal(adapted(model, two, config), alone[1])
    assert not torch.allclose(*alone)


def test_every_kind_of_batch_norm():
    """Also where a layer's rows are not images, where activations are computed twice, and where all is frozen."""

    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embed, self.norm = nn.Conv2d(3, CLASSES, 3, stride=3), nn.BatchNorm1d(CLASSES)
            self.sync, self.own = nn.SyncBatchNorm(CLASSES), nn.BatchNorm1d(CLASSES, track_running_stats=False)
            disturb(self)
            self.requires_grad_(False).double().eval()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            tokens = self.embed(images.double()).flatten(2).transpose(1, 2)
            rows = checkpoint(self.norm, tokens.flatten(0, 1), use_reentrant=False)
            return self.sync(rows.unflatten(0, tokens.shape[:2]).transpose(1, 2)).mean(2)

    model, dataset = Patches(), random_images()
    assert len(running_statistics(model)) == 2  # the one without running statistics always goes by the batch's
    rows = model.embed(tensors(dataset).double()).numpy()
    expected = mixed(model.norm, rows, 16, 20)
    with Adaptation(AdaptConfig("batch"), 0).applied(model, dataset, torch.float32, ""):
        model(tensors(dataset))
        assert np.allclose(model.norm.running_mean, expected[0], rtol=1e-12)
        assert np.allclose(model.norm.running_var, expected[1], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layers"), [("resnet18", 20), ("inception_resnet_v2", 204)])
def test_networks_of_timm(name, layers):
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=CLASSES)

    class Pixels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network.double().eval()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.network(images.double() / 255)

    model, dataset = Pixels(), random_images(4, size=75)
    identity = Adaptation(AdaptConfig("batch", prior=0), 2).identify(model)
    assert str(identity) == f"batch norm: {layers} layers, batch of 100, N=0, seed 2"
    found = adapted(model, dataset, AdaptConfig("batch", prior=0))
    model.train()
    with torch.no_grad():
        assert torch.allclose(found, model(tensors(dataset)), rtol=1e-6, atol=1e-9)


def test_statistics_of_half_precision_are_in_full():
    values = (torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 0.1 + 20).bfloat16()
    found = BatchNormStatistics.of(values)
    assert found.mean.dtype == found.variance.dtype == torch.float32
    variance, mean = torch.var_mean(values.double(), (0, 2, 3), correction=0)
    assert torch.allclose(found.mean.double(), mean, rtol=1e-6)
    assert torch.allclose(found.variance.double(), variance, rtol=1e-4)
    assert BatchNormStatistics.of(values.double()).mean.dtype == torch.float64


def test_pooling_is_exact_far_from_zero():
    """Means a thousand times the spread, many parts of unlike sizes, as NumPy has it for all values together."""
    random = np.random.default_rng(0)
    parts = [torch.from_numpy(random.normal(1000 + n, 1, (n, 2)).astype(np.float32)) for n in range(2, 40)]
    pool = BatchNormStatistics.of(parts[0])
    for part in parts[1:]:
        pool = pool.pooled(BatchNormStatistics.of(part))
    whole = np.concatenate(parts).astype(np.float64)
    assert pool.count == len(whole)
    assert np.allclose(pool.mean, whole.mean(0), rtol=1e-7)
    assert np.allclose(pool.variance, whole.var(0), rtol=1e-4)


@pytest.mark.parametrize("config", [BATCH, SET, MOMENTUM])
def test_any_evaluation_batch_size_gives_the_same_in_the_images_order(config):
    model, dataset = Small().train(), random_images()  # what it is left in by a training makes no difference
    found = [predict_with(Adaptation(config, 0), evaluated(model, size), dataset, "").predictions for size in (3, 64)]
    expected = adapted(model, dataset, config).log_softmax(1).gather(1, torch.from_numpy(dataset.labels)[:, None])[:, 0]
    for predictions in found:
        assert np.array_equal(predictions.labels, dataset.labels)
        assert np.allclose(predictions.label_log_probability, expected, atol=1e-6)
    assert not np.allclose(predict(model, dataset, torch.float32).predictions.label_log_probability, expected, atol=0.1)


def test_a_single_image_has_no_variance():
    class Point(Small):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.norms[1](self.second(images[..., :3, :3].double().repeat(1, 2, 1, 1)))

    model, dataset = Point(), random_images(1)
    for config in (AdaptConfig("batch", prior=0), AdaptConfig("set", prior=0), AdaptConfig("momentum")):
        with pytest.raises(UserError, match="expected batches of 2 images or more"):
            adapted(model, dataset, config)
    assert torch.isfinite(adapted(model, dataset, AdaptConfig("batch", prior=16))).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "batch", "prior": -1.0}, "`adapt.prior`: expected a number of images, 0 or more, found -1"),
        ({"method": "batch", "prior": float("nan")}, "`adapt.prior`: .* found nan"),
        ({"method": "set", "prior": float("inf")}, "`adapt.prior`: .* found inf"),
        ({"method": "set", "batch_size": 0}, "`adapt.batch_size`: expected at least 1, found 0"),
        ({"method": "momentum", "batches": 0}, "`adapt.batches`: expected at least 1, found 0"),
        ({"method": "momentum", "momentum": 0.0}, "`adapt.momentum`: expected above 0 and up to 1, found 0"),
        ({"method": "momentum", "momentum": 1.5}, "`adapt.momentum`: .* found 1.5"),
        ({"method": "momentum", "prior": 3.0}, "`adapt.prior`: expected `adapt.method` to be one of batch, set"),
        ({"method": "batch", "batches": 3}, "`adapt.batches`: expected `adapt.method` to be one of momentum, found"),
        ({"prior": 3.0}, "`adapt.prior`: expected `adapt.method` to be one of batch, set, found none"),
        ({"method": "tent"}, "unknown `adapt.method` 'tent'"),
    ],
)
def test_what_cannot_be_asked_for(options, message):
    with pytest.raises(UserError, match=message):
        AdaptConfig(**options)


def test_more_batches_than_there_are():
    with pytest.raises(UserError, match=r"`adapt.batches` 4: expected 1 to 3, as many as 20 images make"):
        adapted(Small(), random_images(), dataclasses.replace(MOMENTUM, batches=4))


def test_descriptions_tell_all_that_decides_a_value():
    """No two ways of adapting that can give different figures are described alike."""
    configs = [
        *(AdaptConfig("batch", prior, size) for prior in (0, 0.1, 16, 1234567, 1234568) for size in (10, 100)),
        *(AdaptConfig("set", prior, size) for prior in (0, 16) for size in (10, 100)),
        *(AdaptConfig("momentum", 16, 10, batches, momentum) for batches in (None, 1) for momentum in (0.1, 0.1000001)),
    ]
    network = nn.Sequential(*[nn.BatchNorm2d(1) for _ in range(20)])
    identities = [Adaptation(config, seed).identify(network) for config in configs for seed in (0, 1)]
    texts = set(map(str, identities))
    assert len(set(identities)) == 2 * len(configs)
    assert len(texts) == 2 * len(configs)
    assert "batch norm: 20 layers, batch of 100, N=16, seed 0" in texts
    assert "batch norm: 20 layers, whole set in batches of 100, N=16, seed 0" in texts
    assert "batch norm: 20 layers, all batches of 10, momentum 0.1, seed 1" in texts


def evaluated(network: nn.Module, batch_size: int) -> EvalModel:
    weights = CheckpointId(which="last", name="epoch-001", digest="0" * 8)
    return EvalModel(
        network, ModelId(model="m", seed=0, checkpoint=weights, precision="float32"), torch.float32, batch_size
    )


@pytest.fixture(scope="module")
def norm_run(tmp_path_factory):
    """A tiny ResNet of timm after a short epoch on the digits."""
    recipe = get_recipe("digits-double")
    recipe = dataclasses.replace(
        recipe,
        data=DataConfig("digits", val_fraction=0.5),
        model=ModelConfig("test_resnet", weights="none", image_size=32),
        train=dataclasses.replace(recipe.train, epochs=1, warmup_epochs=0, batch_size=64),
    )
    return start(recipe, tmp_path_factory.mktemp("runs"), "norm").run.path


def options(run: Path, adapt: AdaptConfig, **more: object) -> Evaluate:
    robustness = RobustnessConfig(("contrast", "snow"), (2,), relative_to=more.pop("relative_to", None))
    return Evaluate(run, first=61, robustness=robustness, adapt=adapt, **more)


def values(rows: list[Row]) -> list[tuple[object, ...]]:
    return [(row.adapted, row.condition, row.metric, row.value) for row in rows]


@pytest.mark.slow
def test_plain_and_adapted_live_side_by_side(norm_run, tmp_path):
    path = copied(norm_run, tmp_path)
    weights = {file: file.read_bytes() for file in (path / "checkpoints").rglob("*") if file.is_file()}
    configs = [AdaptConfig(), *(dataclasses.replace(config, batch_size=20) for config in (BATCH, SET, MOMENTUM))]
    results = [evaluate(options(path, config)) for config in configs]
    rows = RunFolder(path).rows()
    assert [rows.index(row) for result in results for row in result.rows] == list(range(len(rows)))
    assert results[0].rows[0].adapted is None
    assert [str(result.rows[0].adapted) for result in results[1:]] == [
        "batch norm: 15 layers, batch of 20, N=16, seed 0",
        "batch norm: 15 layers, whole set in batches of 20, N=16, seed 0",
        "batch norm: 15 layers, all batches of 20, momentum 0.1, seed 0",
    ]
    files = {RunFolder(path).predictions_path(row) for row in rows if row.is_accuracy}
    assert len(files) == len(configs) * 3
    for result in results:
        adapted_as = {row.adapted for row in result.rows}
        assert len(adapted_as) == 1
        for row in result.of_kind(Clean) + result.of_kind(Corruption):
            predictions = Predictions.load(RunFolder(path).predictions_path(row))
            assert not row.is_accuracy or predictions.correct(row.top).mean() == row.value
    means = [
        next(row.value for row in result.of_kind(CorruptionMean) if row.metric == "mean top-1") for result in results
    ]
    assert min(means[1:]) > means[0]  # a short training's running statistics are far behind its weights

    with at_batch(0, ctrl_c, training=False) as shown_again:
        again = [evaluate(options(path, config)) for config in configs]
    assert set(shown_again) == {1}  # the one image that the layers are counted with
    assert [result.of_kind(Corruption) for result in again] == [result.of_kind(Corruption) for result in results]
    assert RunFolder(path).rows() == rows
    assert weights == {file: file.read_bytes() for file in (path / "checkpoints").rglob("*") if file.is_file()}


@pytest.mark.slow
def test_a_cell_alone_is_what_it_is_among_others(norm_run, tmp_path):
    both = evaluate(options(copied(norm_run, tmp_path / "both"), SET))
    alone = options(copied(norm_run, tmp_path / "alone"), SET)
    alone = evaluate(dataclasses.replace(alone, batch_size=7, robustness=RobustnessConfig(("snow",), (2,))))
    snow = [row for row in both.of_kind(Corruption) if row.condition.corruption == "snow"]
    assert values(alone.of_kind(Corruption)) == values(snow)


@pytest.mark.slow
def test_relative_to_plain_rows_only(norm_run, tmp_path):
    path = copied(norm_run, tmp_path)
    evaluate(options(path, BATCH))
    with pytest.raises(UserError, match="was not measured on all of these corruptions"):
        evaluate(options(path, BATCH, relative_to=path))
    evaluate(options(path, AdaptConfig()))
    evaluate(options(path, SET))
    result = evaluate(options(path, BATCH, relative_to=path))
    relative = next(row for row in result.of_kind(CorruptionMean) if row.metric == "error relative to another model")
    assert relative.adapted == result.rows[0].adapted
    plain_rows = [row for row in RunFolder(path).rows() if not row.adapted]
    errors = [
        1 - np.array([row.value for row in rows if row.metric == "top-1" and isinstance(row.condition, Corruption)])
        for rows in (result.of_kind(Corruption), plain_rows)
    ]
    assert relative.value == pytest.approx((errors[0] / errors[1]).mean())


@pytest.mark.parametrize("config", [BATCH, SET, MOMENTUM])
def test_processes_adapt_as_one(config, monkeypatch):
    """One after the other, as torchrun would at once: five of them, of which two have no batch of their own."""
    model, dataset, collected = Small(), random_images(), []
    alone = predict_with(Adaptation(config, 0), evaluated(model, 4), dataset, "").predictions

    def gather_object(parts: list[object]) -> list[object]:
        collected.extend(parts)
        if rank < world - 1:
            raise InterruptedError  # the last process alone can know what all have found
        return collected

    world = 5
    monkeypatch.setattr(prediction, "gather_object", gather_object)
    for rank in range(world):
        state = types.SimpleNamespace(process_index=rank, num_processes=world)
        for module in (prediction, adaptation):
            monkeypatch.setattr(module, "this_process", lambda state=state: state)
        with contextlib.suppress(InterruptedError):
            together = predict_with(Adaptation(config, 0), evaluated(model, 4), dataset, "").predictions
    assert np.array_equal(together.classes, alone.classes)
    assert np.allclose(together.label_log_probability, alone.label_log_probability, atol=1e-6)


@pytest.mark.slow
def test_at_the_command_line(norm_run, tmp_path, capsys):
    path = copied(norm_run, tmp_path)
    arguments = ["--first", "30", "--adapt.method", "set", "--adapt.prior", "4", "--corruptions", "fog"]
    main(["evaluate", str(path), *arguments, "--severities", "1", "--seed", "5"])
    captured = capsys.readouterr()
    said = "batch norm: 15 layers, whole set in batches of 100, N=4, seed 5"
    assert " ".join(captured.out.split()).count(f"adapted: {said}") == 6  # below each table
    assert f"adapted to each set of images: {said}" in " ".join(captured.err.split())
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", str(path), "--adapt.method", "set", "--attack.names", "pgd"])
    assert stopped.value.code == 2
    assert "--adapt.method and --attack.names: expected one of them" in capsys.readouterr().err


def test_networks_without_batch_norm_are_refused(tmp_path):
    recipe = get_recipe("digits-double")
    untrained = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, epochs=0))
    path = start(untrained, tmp_path, "vits").run.path
    before = sorted(path.rglob("*"))
    with pytest.raises(UserError, match=r"`adapt.method` batch: found no batch norm in this network"):
        evaluate(Evaluate(path, adapt=AdaptConfig("batch")))
    assert not RunFolder(path).rows()
    assert sorted(path.rglob("*")) == before
