import numpy as np
import pytest

from doublevit.data.batches import evaluation_batches, gather, steps_per_epoch, training_batches
from doublevit.data.dataset import Dataset
from doublevit.data.sampling import shuffled


@pytest.mark.parametrize(("count", "batch_size"), [(100, 32), (96, 32), (7, 10), (1, 1)])
def test_epoch_is_a_permutation_by_seed_and_epoch(count, batch_size):
    def epoch(seed: int, number: int) -> list[int]:
        batches = list(training_batches(shuffled(count, seed, number).order, batch_size))
        assert len(batches) == steps_per_epoch(count, batch_size)
        return np.concatenate([part.indices for part in batches]).tolist()

    assert sorted(epoch(0, 0)) == list(range(count))
    assert epoch(0, 0) == epoch(0, 0)
    if count > 7:
        assert len({tuple(epoch(0, 0)), tuple(epoch(0, 1)), tuple(epoch(1, 0))}) == 3


SIZES = ((33, 32, 2, [33]), (65, 32, 2, [32, 33]), (66, 32, 2, [32, 32, 2]), (33, 32, 1, [32, 1]))
SIZES += ((67, 32, 4, [32, 35]), (1, 32, 2, [1]), (0, 32, 2, []), (64, 32, 2, [32, 32]))


@pytest.mark.parametrize(("count", "batch_size", "smallest", "sizes"), SIZES)
def test_a_last_batch_that_is_too_small_is_added_to_the_one_before(count, batch_size, smallest, sizes):
    batches = [part.indices for part in training_batches(np.arange(count), batch_size, smallest)]
    assert [len(batch) for batch in batches] == sizes
    assert steps_per_epoch(count, batch_size, smallest) == len(sizes)
    assert np.concatenate([np.arange(0), *batches]).tolist() == list(range(count))


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("batch_size", [24, 25, 32])
def test_parts_of_a_batch_average_to_its_mean(world, batch_size):
    """Also where they do not divide it, and where the last batch has fewer samples than there are processes."""
    values = np.random.default_rng(0).normal(size=102)
    order = shuffled(102, 5, 2).order
    whole = list(training_batches(order, batch_size))
    shares = [list(training_batches(order, batch_size, rank=rank, world=world)) for rank in range(world)]
    for number, batch in enumerate(whole):
        parts = [share[number] for share in shares]
        counted = [index for part in parts if part.weight for index in part.indices]
        assert sorted(counted) == sorted(batch.indices)
        assert {part.size for part in parts} == {len(batch.indices)}
        mean = sum(part.weight * values[part.indices].mean() for part in parts) / world
        assert mean == pytest.approx(values[batch.indices].mean())


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
