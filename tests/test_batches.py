import numpy as np
import pytest
import torch

from doublevit.augment import POLICIES
from doublevit.augment.draws import draw_table
from doublevit.augment.geometry import crop_and_flip
from doublevit.data.batches import evaluation_batches, gather, steps_per_epoch, training_batches
from doublevit.data.dataset import Dataset


@pytest.mark.parametrize(("count", "batch_size"), [(100, 32), (96, 32), (7, 10), (1, 1)])
def test_epoch_is_a_permutation_by_seed_and_epoch(count, batch_size):
    def epoch(seed: int, number: int) -> list[int]:
        batches = list(training_batches(count, batch_size, seed, number))
        assert len(batches) == steps_per_epoch(count, batch_size)
        return np.concatenate(batches).tolist()

    assert sorted(epoch(0, 0)) == list(range(count))
    assert epoch(0, 0) == epoch(0, 0)
    if count > 7:
        assert len({tuple(epoch(0, 0)), tuple(epoch(0, 1)), tuple(epoch(1, 0))}) == 3


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_processes_share_every_training_batch_evenly(world):
    whole = list(training_batches(101, 24, 5, 2))
    shares = [list(training_batches(101, 24, 5, 2, rank, world)) for rank in range(world)]
    for number, batch in enumerate(whole):
        parts = [share[number] for share in shares]
        assert len({len(part) for part in parts}) == 1
        assert set(np.concatenate(parts)) == set(batch)
        assert sum(map(len, parts)) - len(batch) < world


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 10, 101])
def test_evaluation_takes_every_sample_exactly_once(count, world):
    batches = [batch for rank in range(world) for batch in evaluation_batches(count, 4, rank, world)]
    assert sorted(np.concatenate(batches)) == list(range(count))


def test_gather_keeps_pixels_and_order():
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
    dataset = Dataset(images, np.arange(5), tuple("abcde"), tuple("abcde"), "test")
    batch = gather(dataset, np.array([3, 1]))
    assert np.array_equal(batch.images.permute(0, 2, 3, 1).numpy(), images[[3, 1]])
    assert batch.labels.tolist() == batch.indices.tolist() == [3, 1]


@pytest.mark.parametrize("shape", [(64, 64), (32, 48)])
def test_crop_and_flip_equals_pad_cut_and_mirror(shape):
    images = torch.randint(0, 256, (40, 3, *shape), dtype=torch.uint8)
    draws = torch.rand(40, 3)
    result = crop_and_flip(images, draws, flip=True)
    pad_rows, pad_columns = max(1, round(8 / 224 * shape[0])), max(1, round(8 / 224 * shape[1]))
    for image, draw, made in zip(images.numpy(), draws.numpy(), result.numpy(), strict=True):
        padded = np.pad(image, ((0, 0), (pad_rows, pad_rows), (pad_columns, pad_columns)))
        top, left = int(draw[0] * (2 * pad_rows + 1)), int(draw[1] * (2 * pad_columns + 1))
        cut = padded[:, top : top + shape[0], left : left + shape[1]]
        assert np.array_equal(made, cut[:, :, ::-1] if draw[2] < 0.5 else cut)


def test_crop_reaches_every_offset_equally_often_and_flips_half():
    draws = draw_table(0, 0, 50_000, 3)
    marked = torch.zeros(50_000, 1, 64, 1, dtype=torch.uint8)
    marked[:, :, 32] = 1
    centred = torch.stack([draws[:, 0], torch.full((50_000,), 0.5)], dim=1)
    places = crop_and_flip(marked.expand(-1, 3, -1, -1), centred, flip=False)
    offsets = places[:, 0, :, 0].argmax(dim=1).bincount(minlength=64)
    assert offsets.nonzero().flatten().tolist() == [30, 31, 32, 33, 34]
    assert offsets[30:35].min() > 9_600
    assert (draws[:, 2] < 0.5).float().mean().item() == pytest.approx(0.5, abs=0.01)


def test_draws_belong_to_the_sample_not_to_the_batch():
    images = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8)
    draws = draw_table(3, 1, 20, POLICIES["basic"].columns)
    whole = POLICIES["basic"].apply(images, draws)
    for size in (1, 7):
        parts = [POLICIES["basic"].apply(images[i : i + size], draws[i : i + size]) for i in range(0, 20, size)]
        assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(draw_table(3, 2, 20, 3), draws)
