"""Sparse attention against its plain formula, and the networks that have it."""

import dataclasses
import fractions

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F

from doublevit.errors import UserError
from doublevit.models import CrossConfig, ModelConfig
from doublevit.models.attention_mode import AttentionMode
from doublevit.models.classifier import build, set_top_k
from doublevit.models.sparse_attention import Scoring, attention_weights, kth_largest, sparse_attention
from doublevit.models.top_k import TopK, keys_kept, recorded, show
from doublevit.recipes import get_recipe
from doublevit.training.config import TrainConfig

CLASSES = list("abcd")


@pytest.fixture(params=[1, 3], ids=["one thread", "three threads"])
def threads(request):
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(1)


def by_hand(query, key, value, k, scale=None, mask=None):
    """Zhao et al. 2019, a sample, head and query at a time, in float64 NumPy."""
    query, key, value = (part.detach().double().numpy() for part in (query, key, value))
    out = np.zeros((*query.shape[:3], value.shape[-1]))
    for place in np.ndindex(*query.shape[:3]):
        sample, head, row = place
        scores = key[sample, head] @ query[place] * (query.shape[-1] ** -0.5 if scale is None else scale)
        scores = scores if mask is None else scores + mask[sample, head, row].numpy()
        least = np.sort(scores)[::-1][min(k, len(scores)) - 1]
        weights = np.where(scores >= least, np.exp(scores - scores.max()), 0)
        out[place] = weights @ value[sample, head] / weights.sum()
    return torch.from_numpy(out)


def draw(queries, keys, heads=3, width=16, samples=2, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    shapes = ((samples, heads, n, width) for n in (queries, keys, keys))
    return [torch.randn(shape, generator=generator, **options) for shape in shapes]


@pytest.mark.parametrize(
    ("queries", "keys", "k"),
    [
        (197, 197, 16),
        (197, 197, 1),
        (50, 50, 8),
        (65, 65, 63),
        (65, 65, 64),
        (130, 257, 32),
        (20, 731, 700),
        (1, 50, 8),
    ],
)
def test_equals_the_formula(queries, keys, k, threads):
    query, key, value = draw(queries, keys)
    read = sparse_attention(query, key, value, k)
    torch.testing.assert_close(read.double(), by_hand(query, key, value, k), atol=2e-6, rtol=0)


def test_float64_is_computed_in_float64():
    query, key, value = draw(40, 40, dtype=torch.float64)
    expected = by_hand(query, key, value, 5, scale=0.3)
    torch.testing.assert_close(sparse_attention(query, key, value, 5, Scoring(scale=0.3)), expected, atol=1e-13, rtol=0)


@pytest.mark.parametrize("k", [1, 3, 8, 100])
def test_ties_at_the_last_place_all_stay(k):
    query, key, value = (part.round() for part in draw(64, 100, width=4))  # a handful of scores, exact in any order
    scores = query @ key.mT
    assert ((scores >= scores.topk(k).values[..., -1:]).sum(-1) > k).any() or k == 100
    torch.testing.assert_close(
        sparse_attention(query, key, value, k).double(), by_hand(query, key, value, k), atol=2e-6, rtol=0
    )


def test_equal_scores_give_the_mean_of_all_values():
    _, key, value = draw(30, 70)
    read = sparse_attention(torch.zeros(2, 3, 30, 16), key, value, 4)
    torch.testing.assert_close(read, value.mean(2, keepdim=True).expand_as(read))


def test_one_key_is_the_value_of_the_best_match():
    query, key, value = draw(40, 90)
    best = (query @ key.mT).argmax(-1, keepdim=True)
    assert torch.equal(sparse_attention(query, key, value, 1), value.take_along_dim(best, dim=2))


def test_keys_at_minus_infinity_are_never_read(threads):
    """Fewer keys are left than k in one sample: then all of these are read, and nothing else."""
    query, key, value = draw(20, 80)
    query = query.abs()
    key[0, :, 5:] = -torch.inf
    key[1, :, 40:] = -torch.inf
    read = sparse_attention(query, key, value, 8)
    for sample, left in enumerate((5, 40)):
        expected = by_hand(query[[sample]], key[[sample], :, :left], value[[sample], :, :left], 8)[0]
        torch.testing.assert_close(read[sample].double(), expected, atol=2e-6, rtol=0)


def test_a_row_with_few_keys_leaves_the_others_sparse():
    query, key, value = draw(20, 20)
    key[0, 0, 5:] = -torch.inf
    read = sparse_attention(query.abs(), key, value, 8)
    torch.testing.assert_close(read[0, 1].double(), by_hand(query.abs(), key, value, 8)[0, 1], atol=2e-6, rtol=0)


@pytest.mark.parametrize("far", [10, 1e3, 1e6])
def test_keys_far_below_cost_the_others_no_digits(far):
    query, key, value = draw(20, 20)
    query[..., 0] = 1
    key[..., 10:, 0] = -far
    expected = by_hand(query, key, value, 12)
    torch.testing.assert_close(sparse_attention(query, key, value, 12).double(), expected, atol=5e-6, rtol=0)


@pytest.mark.parametrize("shape", [(2, 1), (1, 3)])
def test_shared_heads_are_broadcast_as_torch_does(shape):
    query, key, value = draw(20, 30)
    key, value = key[: shape[0], : shape[1]], value[: shape[0], : shape[1]]
    expected = by_hand(query, key.expand(2, 3, 30, 16), value.expand(2, 3, 30, 16), 5)
    torch.testing.assert_close(sparse_attention(query, key, value, 5).double(), expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("boolean", [True, False])
def test_masks_come_before_the_choice(boolean):
    query, key, value = draw(20, 30)
    seen = torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(1)) < 0.6
    numbers = torch.where(seen, 0.0, -torch.inf)
    read = sparse_attention(query, key, value, 5, Scoring(seen if boolean else numbers))
    torch.testing.assert_close(read.double(), by_hand(query, key, value, 5, mask=numbers), atol=2e-6, rtol=0)
    causal = sparse_attention(query, key, value, 30, Scoring(is_causal=True))
    torch.testing.assert_close(causal, F.scaled_dot_product_attention(query, key, value, is_causal=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_scores_in_float32(dtype):
    query, key, value = draw(100, 100, dtype=dtype)
    read = sparse_attention(query, key, value, 8)
    assert read.dtype == dtype
    torch.testing.assert_close(read.double(), by_hand(query, key, value, 8), atol=2e-2, rtol=0)
    kept = attention_weights(query, key, 8) > 0
    exact = (query.double() @ key.double().mT).argsort(-1, descending=True)[..., :8]
    assert kept.take_along_dim(exact, dim=-1).float().mean() > 0.999


def test_gradient_is_the_plain_formulas(threads):
    parts = [part.requires_grad_() for part in draw(197, 197, samples=3)]
    gradient = torch.randn(3, 3, 197, 16, generator=torch.Generator().manual_seed(2))
    ours = torch.autograd.grad(sparse_attention(*parts, 16), parts, gradient)
    plain = torch.autograd.grad(attention_weights(*parts[:2], 16) @ parts[2], parts, gradient)
    for mine, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=0)


def test_gradient_is_the_adjoint_of_small_changes():
    """In float64, against finite differences: no score is near enough to its k-th for the choice to change."""
    parts = [part.requires_grad_() for part in draw(16, 20, heads=1, width=4, samples=1, dtype=torch.float64)]
    assert torch.autograd.gradcheck(lambda *some: sparse_attention(*some, 6), parts)


def test_frozen_queries_get_no_gradient_and_values_do():
    query, key, value = draw(30, 30)
    value.requires_grad_()
    read = sparse_attention(query, key, value, 3)
    read.sum().backward()
    torch.testing.assert_close(value.grad.sum(2), torch.full((2, 3, 16), 30.0))


@pytest.mark.parametrize(("length", "k"), [(197, 16), (197, 63), (64, 64), (63, 5), (962, 8), (257, 64), (128, 1)])
def test_kth_largest(length, k):
    scores = torch.randn(2, 7, length, generator=torch.Generator().manual_seed(k))
    scores[0, 0] = scores[0, 0].round()
    before = scores.clone()
    assert torch.equal(kth_largest(scores, k, torch.empty_like(scores))[..., 0], scores.sort(-1).values[..., -k])
    assert torch.equal(scores, before)


# Networks


def logits(name, images, top_k="none", **options):
    torch.manual_seed(0)
    model = build(ModelConfig(name, weights="none", head="paper-single", top_k=top_k, **options), CLASSES).eval()
    with torch.inference_mode():
        return model, model(images)


IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["vit-digits-4", "deit-ti16", "pit-ti"])
def test_as_many_keys_as_there_are_is_dense_exactly(name):
    assert torch.equal(logits(name, IMAGES)[1], logits(name, IMAGES, "100%")[1])
    assert torch.equal(logits(name, IMAGES)[1], logits(name, IMAGES, "2000")[1])
    assert not torch.allclose(logits(name, IMAGES)[1], logits(name, IMAGES, "4")[1], atol=1e-6)


@pytest.mark.parametrize(("name", "top_k", "kept"), [("vit-digits-4", "6", {65: 6}), ("pit-ti", "30,20,10", None)])
def test_networks_equal_timms_own_unfused_attention_made_sparse(name, top_k, kept):
    """timm's formula, with the softmax replaced by one that drops what is below the k-th score."""
    model, ours = logits(name, IMAGES, top_k)
    kept = kept or dict(zip(model.attention.stages, (30, 20, 10), strict=True))

    model.attention = None
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    original = torch.Tensor.softmax

    def sparse(scores, dim=-1, **_):
        least = scores.sort(dim=dim, descending=True).values[..., kept[scores.shape[-1]] - 1, None]
        return original(torch.where(scores < least, -torch.inf, scores), dim=dim)

    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(torch.Tensor, "softmax", sparse)
        torch.testing.assert_close(model(IMAGES), ours, atol=2e-5, rtol=0)


def test_pit_has_three_stages():
    model, _ = logits("pit-ti", IMAGES, "50%,20,8")
    keys = model.attention.stages
    assert len(keys) == 3
    assert [model.attention.keys_kept(n) for n in keys] == [-(-keys[0] // 2), 20, 8]


def test_both_branches_and_cross_attention_are_sparse():
    cross = CrossConfig((4,))
    model, _ = logits("vit-digits-4", IMAGES, "5", coarse="vit-digits-8", cross=cross)
    assert model.attention.calls.count(65) == 6 + 1
    assert model.attention.calls.count(17) == 6 + 1  # its patches are what the other's class token looks at
    seen = []
    model.attention.observer = seen.append
    with torch.inference_mode():
        model(IMAGES)
    assert {int((weights > 0).sum(-1).max()) for weights in seen} == {5}
    assert sorted(weights.shape[2] for weights in seen) == [1, 1] + [17] * 6 + [65] * 6


def test_weights_load_dense_and_sparse(tmp_path):
    from safetensors.torch import save_file

    network = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    save_file(network.state_dict(), tmp_path / "dense.safetensors")
    config = ModelConfig("vit-ti16", weights=str(tmp_path / "dense.safetensors"), top_k="16")
    sparse = build(config, CLASSES)
    dense = build(ModelConfig("vit-ti16", weights="none"), CLASSES)
    dense.load_state_dict(sparse.state_dict())
    assert torch.equal(dense.backbone.network.blocks[3].attn.qkv.weight, network.blocks[3].attn.qkv.weight)
    set_top_k(sparse, "none")
    with torch.inference_mode():
        assert torch.equal(dense.eval()(IMAGES), sparse.eval()(IMAGES))


def test_training_narrows_and_evaluation_is_narrow():
    model, _ = logits("vit-digits-4", IMAGES, "8")
    model.train()
    kept = []
    for narrowed in (0.0, 0.5, 1.0):
        model.attention.narrowed = narrowed
        model(IMAGES)
        kept.append(model.attention.keys_kept(65))
    assert kept == [65, round((65 * 8) ** 0.5), 8]
    model.attention.narrowed = 0.25
    assert model.eval().attention.keys_kept(65) == 8


def test_a_run_narrows_step_by_step(tmp_path):
    from doublevit.jobs import train

    recipe = get_recipe("digits-double")
    config = dataclasses.replace(recipe.train, epochs=1, narrow_epochs=0.5, batch_size=10)
    recipe = dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, per_class=4),
        model=dataclasses.replace(recipe.model, top_k="4"),
        train=config,
    )
    kept = []
    original = AttentionMode.__enter__

    def entered(self):
        kept.append(round(65 ** (1 - self.narrowed) * 4**self.narrowed))
        return original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AttentionMode, "__enter__", entered)
        trained = train.start(recipe, tmp_path, "narrow")
    assert kept[0] == 4  # the look at what there is
    assert kept[1:5] == [65, 16, 4, 4]  # four steps, two of them narrowing
    assert set(kept[5:]) == {4}
    assert trained.model.attention.describe().startswith("4 of 65 keys")


@pytest.mark.slow
def test_exports_to_onnx(tmp_path):
    import onnxruntime

    model, expected = logits("vit-digits-4", IMAGES, "6")
    program = torch.onnx.export(model, (IMAGES,), dynamo=True, verbose=False)
    program.save(tmp_path / "sparse.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "sparse.onnx")
    (said,) = session.run(None, {session.get_inputs()[0].name: IMAGES.numpy()})
    np.testing.assert_allclose(said, expected.numpy(), atol=1e-4)


def test_networks_told_to_use_timms_own_formula_are_sparse_all_the_same():
    model, _ = logits("vit-digits-4", IMAGES)
    for block in model.backbone.network.blocks:
        block.attn.fused_attn = False
    set_top_k(model, "8")
    assert len(model.attention.calls) == 6


# How it is asked for


@pytest.mark.parametrize(
    ("text", "kept"), [("16", 16), ("10%", 20), ("0.1%", 1), ("100%", 197), ("500", 197), ("12.5%", 25)]
)
def test_numbers_and_shares(text, kept):
    assert keys_kept(TopK.parse(text).at(0), 197) == kept


@pytest.mark.parametrize(("text", "shown"), [("016", "16"), ("10.0%", "10%"), ("8, 4", "8,4"), ("None", "none")])
def test_rows_say_it_always_in_the_same_way(text, shown):
    assert show(recorded(text)) == shown


def test_shares_are_exact():
    assert TopK.parse("10%").parts == (fractions.Fraction(1, 10),)  # 0.1 * 30 is 3.0000000000000004: 4 keys
    assert keys_kept(TopK.parse("10%").at(0), 30) == 3


@pytest.mark.parametrize(
    "text", ["0", "-3", "1.5", "0%", "101%", "", "8,", "all", "8,0", "%", "nan%", "1e999999999%", "٣"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(UserError, match=r"`model.top_k` .*: expected none, a number of keys from 1"):
        ModelConfig(top_k=text)


def test_networks_without_attention_are_refused():
    with pytest.raises(UserError, match="found no attention in this network"):
        build(ModelConfig("resnet18", weights="none", top_k="8"), CLASSES)


@pytest.mark.parametrize(("name", "kind"), [("cait_xxs24_224", "TalkingHeadAttn"), ("xcit_nano_12_p16_224", "XCA")])
def test_networks_that_would_stay_dense_in_part_are_refused(name, kind):
    with pytest.raises(UserError, match=f"attention of .*{kind}.* is not attention of tokens to tokens"):
        build(ModelConfig(name, weights="none", top_k="8"), CLASSES)


def test_two_threads_use_one_model():
    from concurrent.futures import ThreadPoolExecutor

    model, expected = logits("vit-digits-4", IMAGES, "8,2", coarse="vit-digits-8")

    def say(_):
        with torch.inference_mode():
            return model(IMAGES)

    with ThreadPoolExecutor(3) as pool:
        assert all(torch.equal(said, expected) for said in pool.map(say, range(60)))


def test_wrong_number_of_stages_is_refused():
    with pytest.raises(UserError, match="expected one number, or 3, as its attentions are to 731, 198, 51 keys"):
        build(ModelConfig("pit-ti", weights="none", top_k="8,4"), CLASSES)


def test_narrowing_needs_a_length():
    with pytest.raises(UserError, match="narrow_epochs`: expected at least 0"):
        TrainConfig(narrow_epochs=-1)


def test_narrowing_needs_sparse_attention_and_fits_the_training():
    recipe = get_recipe("digits-double")
    with pytest.raises(UserError, match=r"expected `model.top_k` too"):
        dataclasses.replace(recipe, train=TrainConfig(narrow_epochs=1))
    sparse = dataclasses.replace(recipe.model, top_k="8")
    with pytest.raises(UserError, match="at most all epochs, 2"):
        dataclasses.replace(recipe, model=sparse, train=TrainConfig(epochs=2, narrow_epochs=3))
