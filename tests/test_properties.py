"""What holds for all inputs, tried on many that Hypothesis makes: crops, resizes, rows, epsilons, top-k, intervals."""

import contextlib
import itertools
import math
from fractions import Fraction

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageOps

from doublevit import strict_json
from doublevit.attacks import epsilons
from doublevit.augment.config import crop_padding
from doublevit.augment.crops import Crop
from doublevit.data.identity import DatasetId, Subset
from doublevit.errors import UserError
from doublevit.models.preprocess import Resize, resize_weights
from doublevit.models.top_k import TopK, keys_kept, recorded, show
from doublevit.runs.conditions import (
    AdaptationId,
    Attack,
    CheckpointId,
    Clean,
    Corruption,
    CorruptionMean,
    CorruptionSource,
    ModelId,
    Speed,
    Transfer,
)
from doublevit.runs.folder import RunFolder
from doublevit.runs.row import Row, row_from
from doublevit.statistics import holm, mcnemar, over_seeds, paired_difference, wilson_interval

sides = st.integers(1, 40)
uniform = st.floats(0, 1, exclude_max=True, width=32)
modes = st.sampled_from([("bicubic", Image.Resampling.BICUBIC), ("bilinear", Image.Resampling.BILINEAR)])


def images_of(count: int, height: int, width: int, seed: int) -> np.ndarray:
    """Noise with much black and white, where resizing overshoots most."""
    levels = np.random.default_rng(seed).integers(-100, 356, (count, height, width, 3))
    return levels.clip(0, 255).astype(np.uint8)


def tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@given(st.data(), sides, sides, st.integers(1, 4), st.booleans(), st.booleans())
def test_every_crop_is_pillows(data, height, width, count, flip, of_bytes):
    most = min(side + 2 * crop_padding(side) for side in (height, width))
    size = data.draw(st.none() | st.integers(1, most), "size of the crop")
    operation = Crop(flip=flip, size=size)
    draws = data.draw(arrays.arrays(np.float32, (count, operation.columns), elements=uniform), "draws")
    images = images_of(count, height, width, 0)
    batch = tensor(images) if of_bytes else tensor(images) / 255
    cropped = operation(batch, draws)
    assert cropped.dtype == batch.dtype
    top, left, (rows, columns) = operation.window(draws, (height, width))
    assert (rows, columns) == (size or height, size or width)
    for starts, side, length in ((top, height, rows), (left, width, columns)):
        assert (starts >= -crop_padding(side)).all()
        assert (starts + length <= side + crop_padding(side)).all()
    for number, image in enumerate(images):
        x, y = int(left[number]), int(top[number])
        expected = Image.fromarray(image).crop((x, y, x + columns, y + rows))  # black outside
        if flip and draws[number, 2] < 0.5:
            expected = ImageOps.mirror(expected)
        levels = cropped[number] if of_bytes else (cropped[number] * 255).round().byte()
        assert torch.equal(levels.permute(1, 2, 0), torch.from_numpy(np.array(expected)))


@given(sides, sides, st.integers(1, 48), modes, st.integers(0, 9))
def test_every_resize_is_pillows_to_two_levels(height, width, size, mode, seed):
    name, resampling = mode
    (image,) = images = images_of(1, height, width, seed)
    wide = Image.fromarray(image).resize(
        (size, height), resampling
    )  # Pillow 13 may begin with the columns, others never
    expected = np.asarray(wide.resize((size, size), resampling)).astype(float)
    for batch in (tensor(images), tensor(images) / 255):
        resized = Resize(size, name)(batch)[0].permute(1, 2, 0).numpy()
        assert resized.shape == (size, size, 3)
        levels = resized.astype(float) if batch.dtype == torch.uint8 else resized * 255.0
        assert abs(levels - expected).max() <= 2


@given(sides, sides, st.integers(1, 48), modes, st.integers(0, 255))
def test_resizing_keeps_flat_images_and_commutes_with_mirroring(height, width, size, mode, level):
    resize = Resize(size, mode[0])
    flat = torch.full((1, 3, height, width), level, dtype=torch.uint8)
    assert torch.equal(resize(flat), torch.full((1, 3, size, size), level, dtype=torch.uint8))
    assert torch.allclose(resize(flat / 255), torch.tensor(level / 255), atol=1e-6)
    images = tensor(images_of(2, height, width, level)) / 255
    resized = resize(images)
    assert torch.allclose(resize(images.flip(3)), resized.flip(3), atol=1e-5)
    assert 0 <= resized.min() <= resized.max() <= 1
    assert torch.allclose(resize_weights(height, size, mode[0], images.device).sum(1), torch.ones(size), atol=1e-5)


finite = st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(0, 2**53)
names = st.text(max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | whole | finite | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)
attack_facts = {
    "norm": st.none() | st.sampled_from(["linf", "l2", "l1"]),
    "epsilon": st.none() | finite,
    "parameters": st.dictionaries(names, json_values, max_size=3),
    "batch_size": st.none() | whole,
}
some_top_k = st.none() | st.lists(
    st.integers(1, 999) | st.just(1.0) | st.floats(0, 1, exclude_min=True), min_size=1, max_size=3
).map(tuple)
adaptations = st.none() | st.builds(
    AdaptationId, prior=st.none() | finite, batches=st.none() | whole, momentum=st.none() | finite
)
models = st.builds(
    ModelId, checkpoint=st.builds(CheckpointId), top_k=some_top_k, adapted=adaptations, model=names, seed=whole
)
sources = st.builds(CorruptionSource, constants=st.none() | names, seed=st.none() | whole, version=st.none() | whole)
conditions = st.one_of(
    st.builds(Clean),
    st.builds(Corruption, source=sources, frost=st.none() | names),
    st.builds(CorruptionMean, source=sources, relative_to=st.none() | models),
    st.builds(Attack, chain=names, after=st.lists(names, max_size=2).map(tuple), **attack_facts),
    st.builds(Transfer, made_on=models, **attack_facts),
    st.builds(Speed),
)
datasets = st.none() | st.builds(
    DatasetId, checksum=names, subset=st.none() | st.builds(Subset, seed=st.none() | whole), skipped=whole
)
all_rows = st.builds(
    Row,
    dataset=datasets,
    condition=conditions,
    value=finite,
    low=finite,
    high=finite,
    count=st.integers(1, 2**53),
    seconds=finite,
    top_k=some_top_k,
    adapted=adaptations,
    findings=st.lists(names, max_size=2).map(tuple),
)


@given(all_rows)
def test_every_row_comes_back_from_json_as_it_was(row):
    line = strict_json.encode(row)
    assert b"\n" not in line
    back = row_from(msgspec.json.decode(line))
    assert back == row
    assert repr(back) == repr(row)  # down to 1 and 1.0, which are equal
    assert (back.key, back.model_id) == (row.key, row.model_id)


@given(st.lists(all_rows, max_size=3))
def test_every_row_comes_back_from_a_runs_folder(tmp_path_factory, rows):
    run = RunFolder(tmp_path_factory.mktemp("run"))
    run.add_rows(rows[:1])
    run.add_rows(rows[1:])
    assert run.rows() == rows


norms = st.sampled_from(["linf", "l2", "l1"])


@given(st.floats(0, 1), norms)
def test_an_epsilon_is_shown_to_four_digits_and_read_back(epsilon, norm):
    text = epsilons.format_epsilon(epsilon, norm)
    read = epsilons.parse_epsilon(text, norm)
    assert math.isclose(read, epsilon, rel_tol=5.01e-4)
    assert epsilons.format_epsilon(read, norm) == text


@given(st.integers(0, 400))
def test_quarters_of_a_level_are_read_exactly_and_shown_as_they_were_written(quarters):
    written = f"{quarters / 4:g}/255" if quarters else "0"
    epsilon = epsilons.parse_epsilon(written, "linf")
    assert epsilon == quarters / 4 / 255
    assert epsilons.format_epsilon(epsilon, "linf") == written


@given(
    st.text(max_size=12) | st.floats().map(str) | st.tuples(st.floats(), st.floats()).map("{0[0]}/{0[1]}".format), norms
)
@example("1e308/1e-308", "l2")
@example("nan", "linf")
@example("1/0", "linf")
def test_whatever_is_written_is_an_epsilon_within_its_limits_or_refused(text, norm):
    try:
        epsilon = epsilons.parse_epsilon(text, norm)
    except UserError:
        return
    assert 0 <= epsilon < math.inf
    assert norm != "linf" or epsilon <= 1


@given(st.lists(st.floats(0, 1).map(repr), min_size=1, max_size=6), norms, st.randoms())
def test_epsilons_rise_whatever_their_order_and_none_is_there_twice(texts, norm, random):
    parsed = epsilons.parse_epsilons(texts, norm)
    assert all(smaller < larger for smaller, larger in itertools.pairwise(parsed))
    assert set(parsed) == {float(text) for text in texts}
    shuffled = [*texts, *texts]
    random.shuffle(shuffled)
    assert epsilons.parse_epsilons(shuffled, norm) == parsed


shares = st.integers(1, 100_000).map(lambda thousandths: f"{thousandths / 1000:g}%")  # six digits, as they are shown
parts_of_top_k = st.integers(1, 9999).map(str) | shares


@given(st.lists(parts_of_top_k, min_size=1, max_size=4))
def test_a_top_k_is_written_as_it_was_read(parts):
    text = ",".join(parts)
    top_k = TopK.parse(text)
    assert TopK.parse(str(top_k)) == top_k
    assert str(top_k) == show(recorded(text)) == text
    assert [top_k.at(stage) for stage in range(len(parts))] == list(top_k.parts)
    assert top_k.at(len(parts)) == top_k.parts[-1]


@given(st.text(max_size=8) | st.lists(st.integers().map(str) | st.floats().map("{}%".format)).map(",".join))
def test_whatever_is_written_is_a_top_k_within_its_limits_or_refused(text):
    top_k = None
    with contextlib.suppress(UserError):
        top_k = TopK.parse(text)
    for part in top_k.parts if top_k else ():
        assert part >= 1 if isinstance(part, int) else 0 < part <= 1


@given(st.integers(1, 500) | st.fractions(Fraction(1, 1000), 1), st.integers(1, 500))
def test_at_least_one_key_is_kept_and_at_most_all(part, keys):
    kept = keys_kept(part, keys)
    assert 1 <= kept <= keys
    assert keys_kept(part, keys + 1) >= kept
    if isinstance(part, Fraction):
        assert kept - 1 < part * keys <= kept


counts = st.integers(1, 100_000).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count)))


@given(counts, st.floats(0.5, 0.999))
def test_wilsons_interval_holds_the_estimate_within_0_and_1(counted, confidence):
    correct, count = counted
    low, high = wilson_interval(correct, count, confidence)
    assert 0 <= low <= high <= 1
    assert low - 1e-12 <= correct / count <= high + 1e-12
    mirrored = wilson_interval(count - correct, count, confidence)
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-9)
    wider = wilson_interval(correct, count, (1 + confidence) / 2)
    assert wider[0] <= low + 1e-12
    assert wider[1] >= high - 1e-12


pairs = st.integers(1, 60).flatmap(lambda count: st.tuples(arrays.arrays(bool, count), arrays.arrays(bool, count)))


@given(pairs)
def test_a_difference_lies_within_its_interval_and_changes_sign_with_the_order(pair):
    correct, other = pair
    estimate, reverse = paired_difference(correct, other), paired_difference(other, correct)
    assert -1 <= estimate.low <= estimate.high <= 1
    assert estimate.low - 1e-12 <= estimate.value <= estimate.high + 1e-12
    assert (reverse.value, reverse.low, reverse.high) == pytest.approx((-estimate.value, -estimate.high, -estimate.low))
    p = mcnemar(correct, other)
    assert 0 < p <= 1
    assert mcnemar(other, correct) == p


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.randoms())
def test_corrected_p_values_keep_their_order_and_only_rise(p_values, random):
    corrected = holm(p_values)
    assert all(p <= raised <= 1 for p, raised in zip(p_values, corrected, strict=True))
    ranked = [raised for _, raised in sorted(zip(p_values, corrected, strict=True))]
    assert ranked == sorted(ranked)
    assert max(p_values) == 1 or corrected[int(np.argmin(p_values))] == min(1, min(p_values) * len(p_values))
    order = list(range(len(p_values)))
    random.shuffle(order)
    assert holm([p_values[number] for number in order]) == [corrected[number] for number in order]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_the_mean_of_seeds_lies_in_its_interval(values):
    spread = over_seeds(values)
    assert min(values) - 1e-12 <= spread.mean <= max(values) + 1e-12
    assert spread.low <= spread.mean <= spread.high
    assert spread.count == len(values)
    moved = over_seeds([value + 1 for value in values])
    assert (moved.mean, moved.low, moved.high) == pytest.approx((spread.mean + 1, spread.low + 1, spread.high + 1))
