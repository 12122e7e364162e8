"""Images of which some classes have few: weights in the loss, balanced epochs."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from doublevit.augment import AugmentConfig
from doublevit.data.dataset import Dataset
from doublevit.data.sampling import balanced, require_every_class, shuffled
from doublevit.errors import UserError
from doublevit.training import TrainConfig, class_weights
from doublevit.training.step import _loss, classification_loss, jensen_shannon
from doublevit.training.training import epoch_batches
from test_train import at_batch, ctrl_c, jobs, recipe, same, training_of, weights

COUNTS = np.array([90, 9, 1])


def dataset(counts: np.ndarray) -> Dataset:
    labels, names = np.repeat(np.arange(len(counts)), counts), tuple("abcdefgh"[: len(counts)])
    return Dataset(np.zeros((len(labels), 2, 2, 3), np.uint8), labels, names, names, "test")


def test_balanced_weights_are_scikit_learns():
    labels = np.repeat(np.arange(3), COUNTS)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    ours = class_weights.class_weights(TrainConfig(class_weights="balanced"), dataset(COUNTS))
    assert ours.tolist() == pytest.approx(expected)
    assert ours[labels].mean().item() == pytest.approx(1)


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999])
def test_effective_weights_are_cuis_up_to_their_scale(beta):
    ours = class_weights.effective(COUNTS, beta)
    theirs = (1 - beta) / (1 - np.power(beta, COUNTS))  # equation 13 of Cui et al. 2019
    assert ours / ours.sum() == pytest.approx(theirs / theirs.sum())
    assert (COUNTS * ours).sum() == pytest.approx(COUNTS.sum())


def test_effective_weights_near_balanced_ones_and_stay_exact_at_large_counts():
    counts = np.array([1_000_000, 10_000, 3])
    assert class_weights.effective(counts, 1 - 1e-12) == pytest.approx(class_weights.balanced(counts), rel=1e-5)


def test_a_class_without_images_is_named():
    empty = dataset(np.array([3, 0, 2, 0]))
    with pytest.raises(
        UserError, match=r"effective`: expected training images of every class, found none of 'b' and 1"
    ):
        class_weights.class_weights(TrainConfig(class_weights="effective"), empty)
    with pytest.raises(UserError, match="found none of 'b'"):
        require_every_class(empty, "`train.sampling=balanced`")


def random_batch(heads: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(heads, 40, 3, generator=generator)
    labels = torch.randint(0, 3, (40,), generator=generator)
    return logits, labels, torch.tensor([0.4, 1.5, 7.0])


def test_unsmoothed_losses_are_torchs_summed_and_divided_by_the_images():
    logits, labels, weight = random_batch()
    soft = torch.rand(40, 3, generator=torch.Generator().manual_seed(1)).softmax(1)
    for targets in (labels, soft):
        expected = F.cross_entropy(logits[0], targets, weight, reduction="sum") / 40
        assert classification_loss(logits, targets, 0.0, weight).item() == pytest.approx(expected.item(), rel=1e-5)
    mean = F.cross_entropy(logits[0], labels, weight)  # torch's own mean divides by the weights of the batch
    ours = classification_loss(logits, labels, 0.0, weight) * 40 / weight[labels].sum()
    assert ours.item() == pytest.approx(mean.item(), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_image_is_weighed_smoothed_or_not_by_label_or_fractions_with_one_head_or_two(smoothing):
    logits, labels, weight = random_batch(heads=2)
    each = [F.cross_entropy(head, labels, reduction="none", label_smoothing=smoothing) for head in logits]
    expected = (weight[labels] * torch.stack(each)).mean()
    one_hot = F.one_hot(labels, 3).float()
    for targets in (labels, one_hot):
        assert classification_loss(logits, targets, smoothing, weight).item() == pytest.approx(
            expected.item(), rel=1e-5
        )
    partners, part = labels.flip(0), 0.3
    blended = classification_loss(logits, part * one_hot + (1 - part) * one_hot.flip(0), smoothing, weight)
    losses = [classification_loss(logits, chosen, smoothing, weight) for chosen in (labels, partners)]
    assert blended.item() == pytest.approx((part * losses[0] + (1 - part) * losses[1]).item(), rel=1e-5)


def test_smoothing_does_not_drive_frequent_classes_to_rare_ones():
    """With 99 images of one class and 1 of another, the best prediction for the frequent one stays itself."""
    weight = torch.from_numpy(class_weights.balanced(np.array([99, 1]))).float()
    candidates = torch.linspace(-8, 8, 161)
    logits = torch.stack([candidates, torch.zeros(161)], dim=1)
    losses = torch.stack([classification_loss(pair[None, None], torch.tensor([0]), 0.1, weight) for pair in logits])
    assert logits[losses.argmin()].softmax(0)[0].item() == pytest.approx(0.95, abs=0.01)
    torchs = F.cross_entropy(logits, torch.zeros(161, dtype=torch.int64), weight, label_smoothing=0.1, reduction="none")
    assert logits[torchs.argmin()].softmax(0)[0] < 0.2


def test_parts_of_a_batch_add_up_to_the_whole():
    logits, labels, weight = random_batch()
    parts = [classification_loss(logits[:, half], labels[half], 0.1, weight) for half in (slice(25), slice(25, 40))]
    whole = classification_loss(logits, labels, 0.1, weight)
    assert (25 * parts[0] + 15 * parts[1]).item() / 40 == pytest.approx(whole.item(), rel=1e-5)


def test_consistency_counts_images_as_often_as_their_classes():
    logits = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))  # heads, images, views, classes
    weight = torch.tensor([0.5, 2.0, 1.0, 0.0, 3.0])
    each = torch.stack([jensen_shannon(logits[:, [image]]) for image in range(5)])
    assert jensen_shannon(logits, weight).item() == pytest.approx((weight * each).mean().item(), rel=1e-5)
    assert jensen_shannon(logits, torch.ones(5)).item() == pytest.approx(jensen_shannon(logits).item(), rel=1e-5)


@pytest.mark.parametrize("config", [AugmentConfig("augmix-jsd"), AugmentConfig(mixup=0.8)])
def test_the_loss_of_a_step_has_the_weights(config):
    training = training_of(config, label_smoothing=0.1, sampling="shuffled")
    weight = torch.linspace(0.2, 3, 10)
    training.wrapped.eval()  # no dropout
    batch, views = next(epoch_batches(training, 0, 0)), 3 if config.policy == "augmix-jsd" else 1
    with torch.inference_mode():
        loss, _ = _loss(dataclasses.replace(training, class_weights=weight), batch)
        logits = training.model(batch.images.flatten(0, 1)).unflatten(0, (-1, views))
    expected = classification_loss(logits[None, :, 0], batch.targets, 0.1, weight)
    expected += 12 * jensen_shannon(logits, weight[batch.labels]) if views > 1 else 0
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(0, 3))
def test_every_class_comes_equally_often_and_no_image_again_before_all_of_its_class(counts, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    epochs = [balanced(labels, seed, epoch) for epoch in range(4)]
    seen = np.concatenate([epoch.images[epoch.order] for epoch in epochs])
    for epoch in epochs:
        assert len(epoch.images) == len(labels)
        assert np.ptp(np.bincount(labels[epoch.images], minlength=len(counts))) <= 1
    assert np.ptp(np.bincount(labels[seen], minlength=len(counts))) <= 1
    for label, count in enumerate(counts):
        of_class = seen[labels[seen] == label]
        for start in range(0, len(of_class) - count + 1, count):
            assert len(set(of_class[start : start + count])) == count


def test_balanced_epochs_are_drawn_by_seed_and_epoch_and_are_not_sorted_by_class():
    labels = np.repeat(np.arange(3), COUNTS)
    first, again, later, other = (balanced(labels, *key).images for key in ((0, 0), (0, 0), (0, 1), (1, 0)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, later)
    assert not np.array_equal(first, other)
    assert (np.diff(labels[first]) != 0).sum() > 40


def test_an_image_that_comes_twice_is_augmented_in_two_ways_and_shuffled_epochs_hold_each_once():
    training = training_of(AugmentConfig("crop"), sampling="balanced")
    train = training.splits["train"]
    few = train.subset(np.concatenate([np.flatnonzero(train.labels == label)[: 1 + label % 5] for label in range(10)]))
    training = dataclasses.replace(training, splits={"train": few})
    made = list(epoch_batches(training, 0, 0))
    indices, images = (torch.cat([getattr(batch, field) for batch in made]) for field in ("indices", "images"))
    assert np.ptp(np.bincount(few.labels[indices])) <= 1
    twice = [index for index in set(indices.tolist()) if (indices == index).sum() > 1]
    assert twice
    assert not all(torch.equal(*images[indices == index][:2]) for index in twice)
    assert sorted(shuffled(9, 0, 0).images[shuffled(9, 0, 0).order]) == list(range(9))


@pytest.mark.slow
def test_a_balanced_run_resumes_in_mid_epoch_to_the_same_weights(tmp_path):
    plain = recipe(sampling="balanced")
    unbroken = jobs.start(plain, tmp_path, "unbroken").run
    with at_batch(2, ctrl_c, training=True), pytest.raises(jobs.loop.Stopped):
        jobs.start(plain, tmp_path, "stopped")
    assert same(weights(unbroken), weights(jobs.resume(tmp_path / "stopped").run))


@pytest.mark.slow
def test_weights_of_equal_classes_change_nothing_and_are_said(tmp_path, capsys):
    plain, weighed = (jobs.start(recipe(class_weights=kind), tmp_path, kind).run for kind in ("none", "balanced"))
    first, second = weights(plain), weights(weighed)
    assert max((first[name] - second[name]).abs().max().item() for name in first) < 1e-3
    assert "class weights, balanced: 1 to 1, mean 1 over the training images" in capsys.readouterr().err


def test_a_class_without_images_is_refused_before_there_is_a_folder(tmp_path, monkeypatch):
    load = jobs.load_data_and_model

    def without_nines(*arguments, **options):
        splits, model = load(*arguments, **options)
        train = splits["train"]
        return splits | {"train": train.subset(np.flatnonzero(train.labels < 9))}, model

    monkeypatch.setattr(jobs, "load_data_and_model", without_nines)
    for options in ({"sampling": "balanced"}, {"class_weights": "effective"}):
        with pytest.raises(UserError, match="found none of 'nine'"):
            jobs.start(recipe(**options), tmp_path, "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"class_weights_beta": 1.0}, "class_weights_beta`: expected 0 or more and less than 1, found 1.0"),
        ({"class_weights": "balanced", "sampling": "balanced"}, "expected one of them"),
    ],
)
def test_impossible_balances(options, complaint):
    with pytest.raises(UserError, match=complaint):
        TrainConfig(**options)
