"""The ensemble of models: the mean of their probabilities, for a path RUN+RUN and in Python."""

from pathlib import Path

import pytest
import torch
from torch import nn

import doublevit
from doublevit.errors import UserError
from doublevit.jobs import train as jobs
from doublevit.jobs.ensemble import ensemble
from doublevit.jobs.judge import evaluate_model
from doublevit.jobs.load import load_run
from doublevit.jobs.model import Model
from doublevit.jobs.open_model import open_model
from doublevit.jobs.options import EvalOptions, EvaluateModel
from doublevit.recipes import get_recipe
from doublevit.recipes.recipe import with_changes


def linear_model(seed: int, *classes: str, size: int = 8) -> Model:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, len(classes)))
    return doublevit.wrap(network, mean=(0.5,) * 3, std=(0.5,) * 3, size=size, classes=classes, name=f"m{seed}")


def test_probabilities_are_the_mean_of_the_members_matched_by_class():
    first, second = linear_model(0, "cat", "dog", "eel"), linear_model(1, "eel", "cat", "dog")
    model, images = ensemble([first, second]), torch.rand(4, 3, 8, 8)
    assert model.classes == ("cat", "dog", "eel")
    assert model.info.name == "m0+m1"
    expected = (first(images).softmax(1) + second(images).softmax(1)[:, [1, 2, 0]]) / 2
    assert torch.allclose(model(images).exp(), expected, atol=1e-6)
    assert model.checkpoint.digest not in (first.checkpoint.digest, second.checkpoint.digest)


@pytest.mark.parametrize(
    ("others", "words"),
    [
        (lambda: [], "at least two models"),
        (lambda: [linear_model(1, "cat", "cow")], "same classes; m0 and m1 differ"),
        (lambda: [linear_model(1, "cat", "dog", size=16)], "in different ways"),
    ],
)
def test_models_that_make_no_ensemble_are_refused(others, words):
    with pytest.raises(UserError, match=words):
        ensemble([linear_model(0, "cat", "dog"), *others()])


def test_runs_joined_by_plus_are_measured_on_their_own_images(tmp_path):
    changes = {"data.per_class": 4, "data.val_fraction": 0.02, "train.epochs": 0, "model.head_init": "probe"}
    paths = []
    for seed in (0, 1):
        recipe = with_changes(get_recipe("digits-vit"), changes | {"seed": seed})
        paths.append(jobs.start(recipe, tmp_path, f"seed{seed}").run.path)
    joined = Path("+".join(map(str, paths)))
    together = evaluate_model(EvaluateModel(run=joined, runs=tmp_path))
    assert together.run.path == tmp_path / "seed0+seed1"
    assert together.rows[0].dataset.key == load_run(paths[1], EvalOptions()).dataset.id.key
    images = torch.rand(2, 3, 32, 32)
    members = [doublevit.load(path)(images).softmax(1) for path in paths]
    assert torch.allclose(open_model(joined)(images).softmax(1), sum(members) / 2, atol=1e-6)
    with pytest.raises(UserError, match="is no model"):
        evaluate_model(EvaluateModel(run=Path(f"{paths[0]}+nowhere"), runs=tmp_path))
