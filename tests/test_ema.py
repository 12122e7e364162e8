"""The moving average of the weights: timm's formula, what is evaluated, what is saved, and going on."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from doublevit.augment import AugmentConfig
from doublevit.data import DataConfig
from doublevit.errors import UserError
from doublevit.evaluators.prediction import predict
from doublevit.jobs import train as jobs
from doublevit.jobs.load import load_data_and_model, load_run
from doublevit.jobs.options import EvalOptions
from doublevit.models.config import CrossConfig, ModelConfig
from doublevit.recipes import Recipe, get_recipe
from doublevit.recipes.recipe import with_changes
from doublevit.runs.folder import RunFolder
from doublevit.training import loop
from doublevit.training.interrupt import Stopped
from doublevit.training.step import Meter, train_step
from doublevit.training.training import epoch_batches, prepare, require_trainable
from moments import at_batch, ctrl_c

FEW = DataConfig("digits", per_class=2, val_fraction=0.02)
EVERYTHING = {
    "data": FEW,
    "augment": AugmentConfig("crop", mixup=0.8, cutmix=1.0),
    "model": ModelConfig(
        "vit-digits-8",
        coarse="vit-digits-8@16",
        weights="none",
        freeze="all-but-3-blocks",
        drop_path=0.3,
        patch_drop=0.25,
        cross=CrossConfig((5,)),
    ),
}


def everything() -> Recipe:
    """Two epochs of four steps, with all that training has, the last two of them at the full size."""
    recipe = with_changes(get_recipe("digits-double"), EVERYTHING)
    changes = {"epochs": 2, "batch_size": 5, "ema": 0.6, "layer_decay": 0.7, "image_size": 16, "finish_epochs": 0.5}
    return with_changes(recipe, {f"train.{name}": value for name, value in changes.items()})


def last(run: RunFolder) -> Path:
    return run.checkpoints / json.loads((run.checkpoints / "index.json").read_text())["last"]


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return load_file(last(run) / "model.safetensors")


def raw(run: RunFolder) -> dict[str, torch.Tensor]:
    """The weights that the optimizer goes on with."""
    return torch.load(last(run) / "state.pt", weights_only=True)["model"]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    return jobs.start(everything(), tmp_path_factory.mktemp("runs"), "averaged")


def test_weights_and_batch_norm_statistics_are_averaged_by_timms_formula():
    base = get_recipe("digits-resnet")
    splits, model = load_data_and_model(dataclasses.replace(base, data=FEW))
    config = dataclasses.replace(base.train, batch_size=4, ema=0.6, backbone_lr=0.01)
    training = prepare(
        require_trainable(model, splits["train"], config),
        splits,
        config,
        AugmentConfig("none"),
        RunFolder(Path()),
        seed=0,
    )
    training.wrapped.train()
    expected = {name: np.zeros(tensor.shape) for name, tensor in model.state_dict().items()}
    for number, batch in enumerate(epoch_batches(training, 0, 0)):
        train_step(training, batch, number, Meter(torch.device("cpu")))
        decay = min(0.6, 1 - (number + 1) ** (-2 / 3))  # of timm's documentation, with its gamma 1 and power 2/3
        for name, tensor in model.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * tensor.double().numpy()
    assert number == 4
    for name, tensor in training.evaluated.state_dict().items():
        if tensor.is_floating_point():
            assert np.allclose(tensor.numpy(), expected[name], rtol=1e-4, atol=1e-6), name
            apart = (tensor - model.state_dict()[name]).abs().max()
            assert apart > 0, name
        else:
            assert torch.equal(tensor, model.state_dict()[name])


class Hashed(torch.nn.BatchNorm1d):
    """A layer with a hash of its choice, as objects have another in each process."""

    def __init__(self, value: int) -> None:
        super().__init__(1)
        self.value = value

    def __hash__(self) -> int:
        return self.value


@pytest.mark.parametrize("hashes", [(1, 2), (2, 1)])
def test_every_process_sends_batch_norm_statistics_in_the_same_order(monkeypatch, hashes):
    sent: list[torch.Tensor] = []
    monkeypatch.setattr(loop, "broadcast", lambda tensor: sent.append(tensor) or tensor)
    model, average = map(Hashed, hashes)
    processes = SimpleNamespace(num_processes=2)
    loop._agree_on_buffers(SimpleNamespace(model=model, evaluated=average, ema=average, accelerator=processes))
    assert [*map(id, sent)] == [id(buffer) for layer in (model, average) for buffer in layer.buffers()]


@pytest.mark.slow
def test_the_average_is_what_is_validated_saved_and_evaluated(averaged):
    loaded = load_run(averaged.run.path, EvalOptions())
    again = predict(loaded.network, loaded.dataset, torch.float32).predictions
    assert np.array_equal(again.label_log_probability, averaged.validation.predictions.label_log_probability)
    assert same(averaged.model.state_dict(), weights(averaged.run))
    moved = [name for name, tensor in raw(averaged.run).items() if not torch.equal(tensor, weights(averaged.run)[name])]
    trained = [name for name, parameter in averaged.model.named_parameters() if parameter.requires_grad]
    assert moved == trained


@pytest.mark.slow
@pytest.mark.parametrize("stop", [3, 7])
def test_with_everything_on_stopped_and_resumed_equals_unbroken(averaged, tmp_path, stop):
    """Stopped at the smaller size, and at the full one."""
    with at_batch(stop, ctrl_c, training=True), pytest.raises(Stopped):
        jobs.start(everything(), tmp_path, "stopped")
    stopped = RunFolder(tmp_path / "stopped")
    assert not same(raw(stopped), raw(averaged.run))
    jobs.resume(stopped.path)
    assert same(weights(stopped), weights(averaged.run))
    assert same(raw(stopped), raw(averaged.run))


@pytest.mark.parametrize(
    ("begun", "resumed", "complaint"),
    [(0.6, None, "with a moving average.*go on without it"), (None, 0.6, "without a moving average.*go on with it")],
)
def test_an_average_is_not_begun_or_ended_on_the_way(tmp_path, begun, resumed, complaint):
    recipe = with_changes(get_recipe("digits-vit"), {"data": FEW, "train.epochs": 0, "train.ema": begun})
    path = jobs.start(recipe, tmp_path, "changed").run.path
    entries = json.loads((path / "recipe.json").read_text())
    entries["train"]["ema"] = resumed
    (path / "recipe.json").write_text(json.dumps(entries))
    with pytest.raises(UserError, match=f"^`train.ema`.*{complaint}"):
        jobs.resume(path)
