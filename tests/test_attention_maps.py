"""Maps of attention against matrices worked out by hand, and the pictures of them."""

import numpy as np
import pytest
import torch
from PIL import Image

import doublevit
from doublevit.cli import main
from doublevit.cli.inspect import show
from doublevit.errors import UserError
from doublevit.jobs import attention
from doublevit.models import CrossConfig, ModelConfig
from doublevit.models.attention_maps import attention_maps, attention_rollout, recorded_attention
from doublevit.models.classifier import build
from doublevit.report.sheets import SIDE, overlay

IMAGE = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def make(name, top_k="none", **options):
    torch.manual_seed(0)
    model = build(ModelConfig(name, weights="none", top_k=top_k, **options), list("abc")).eval()
    for parameter in model.backbone.parameters():  # so that attention is not even
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.15)
    return model


def unfused(model):
    """The weights of every attention as timm's own formula computes them, caught at its dropout: (tokens, tokens)."""
    caught, handles = [], []
    for module in model.modules():
        if hasattr(module, "attn_drop"):
            module.fused_attn = False
            handles.append(module.attn_drop.register_forward_hook(lambda _, inputs, __: caught.append(inputs[0])))
    with torch.no_grad():
        model(IMAGE)
    for handle in handles:
        handle.remove()
    return [weights[0].mean(0) for weights in caught]


def shares(model):
    return {each.title: each.weights for each in attention_maps(model, IMAGE)}


def through(layers):
    product = np.eye(len(layers[0]))
    for layer in layers:
        product = (0.5 * layer.double().numpy() + 0.5 * np.eye(len(layer))) @ product
    return product


@pytest.mark.parametrize("name", ["vit-digits-4", "deit_tiny_distilled_patch16_224"])
def test_maps_of_a_vit_are_those_of_its_unfused_attention(name):
    model = make(name)
    maps, layers = shares(model), unfused(model)
    prefix = model.backbone.network.num_prefix_tokens
    last = layers[-1][:prefix].mean(0)[prefix:]
    torch.testing.assert_close(maps["last layer"].flatten(), last, atol=1e-6, rtol=1e-4)
    expected = through(layers)[:prefix].mean(0)[prefix:]
    np.testing.assert_allclose(maps["rollout"].flatten(), expected, atol=1e-6)
    assert maps["rollout"].flatten().std() > 1e-4


def test_a_map_lies_where_the_patch_is():
    """The last layer's keys are made to fit one patch alone, in row 2, column 5 of 8."""
    model = make("vit-digits-4")
    attention = model.backbone.network.blocks[-1].attn
    with torch.no_grad():
        attention.qkv.weight.zero_()
        attention.qkv.bias[:128] = 1  # queries and keys alike, but for one
    hook = attention.qkv.register_forward_hook(lambda *args: args[2].index_add(1, torch.tensor([22]), BOOST))
    maps = shares(model)
    hook.remove()
    assert (maps["last layer"] == maps["last layer"].max()).nonzero().tolist() == [[2, 5]]


@pytest.mark.slow
def test_without_a_class_token_all_patches_are_averaged():
    model = make("vit_wee_patch16_reg1_gap_256")  # one register before the patches
    maps, layers = shares(model), unfused(model)
    torch.testing.assert_close(maps["last layer"].flatten(), layers[-1][1:].mean(0)[1:], atol=1e-6, rtol=1e-4)
    np.testing.assert_allclose(maps["rollout"].flatten(), through(layers)[1:].mean(0)[1:], atol=1e-6)
    double = make("vit_wee_patch16_reg1_gap_256", coarse="vit_wee_patch16_reg1_gap_256")
    for vit in (double.backbone.fine.vit, double.backbone.coarse.vit):
        vit.load_state_dict(model.backbone.network.state_dict())
    torch.testing.assert_close(shares(double)["fine branch, last layer"], maps["last layer"])
    torch.testing.assert_close(shares(double)["rollout, coarse patches"], maps["rollout"] / 2)


@pytest.mark.slow
def test_parallel_attention_is_refused():
    with pytest.raises(UserError, match="one row of layers only"):
        attention_maps(make("vit_small_patch16_18x2_224"), IMAGE)


def test_maps_come_from_timms_own_formula_too():
    model = make("vit-digits-4")
    expected = shares(model)
    for block in model.backbone.network.blocks:
        block.attn.fused_attn = False
    torch.testing.assert_close(shares(model), expected)


BOOST = torch.cat([torch.zeros(64), torch.ones(64), torch.zeros(64)]).expand(1, 1, 192)


def test_rollout_keeps_all_of_the_attention():
    layers = torch.rand(4, 9, 9).softmax(-1)
    torch.testing.assert_close(attention_rollout(list(layers)).sum(1), torch.ones(9))


def test_each_stage_of_a_pit():
    model = make("pit-ti")
    maps, layers = shares(model), unfused(model)
    assert [tuple(grid.shape) for grid in maps.values()] == [(27, 27), (14, 14), (7, 7)]
    for (title, grid), last in zip(maps.items(), (1, 7, 11), strict=True):
        expected = layers[last][:2].mean(0)[2:]
        torch.testing.assert_close(grid.flatten(), expected, atol=1e-6, rtol=1e-4, msg=title)


def joint(model, swapped):
    """Rollout as one product of matrices over the tokens of both branches, written by hand."""
    with recorded_attention(model) as seen, torch.no_grad():
        model(IMAGE)
    own = [weights[0].mean(0).double().numpy() for weights in seen]
    fine, total = 65, 65 + 17
    names = ["f"] * 4 + ["c"] * 4 + ["xf", "xc"] + ["f"] * 2 + ["c"] * 2  # cross attention after block 4 of 6
    product = np.eye(total)
    places = {"f": np.arange(fine), "c": np.arange(fine, total)}
    crossed = None
    for name, weights in zip(names, own, strict=True):
        step = np.eye(total)
        if name in places:
            where = np.ix_(places[name], places[name])
            step[where] = 0.5 * weights + 0.5 * np.eye(len(weights))
            product = step @ product
        elif name == "xf":
            crossed = weights
        else:
            step[0] = 0
            step[0, [0, *range(fine + 1, total)]] = 0.5 * crossed[0]
            step[0, 0] += 0.5
            step[fine] = 0
            step[fine, [fine, *range(1, fine)]] = 0.5 * weights[0]
            step[fine, fine] += 0.5
            product = step @ product
            if swapped:  # from here a branch's rows are its class token and the other's patches
                places = {"f": np.array([0, *range(fine + 1, total)]), "c": np.array([fine, *range(1, fine)])}
    both = (product[0] + product[fine]) / 2
    return both[1:fine], both[fine + 1 :]


@pytest.mark.parametrize("routing", ["own", "swapped"])
@pytest.mark.parametrize("top_k", ["none", "6"])
def test_rollout_goes_through_cross_attention(routing, top_k):
    model = make("vit-digits-4", top_k, coarse="vit-digits-8", cross=CrossConfig((4,), routing=routing))
    maps = shares(model)
    expected = joint(model, routing == "swapped")
    for name, patches in zip(("fine", "coarse"), expected, strict=True):
        np.testing.assert_allclose(maps[f"rollout, {name} patches"].flatten(), patches, atol=1e-6)
    assert maps["cross after 4: fine to coarse"].shape == (4, 4)
    assert maps["cross after 4: coarse to fine"].shape == (8, 8)


def test_sparse_maps_have_as_many_patches_as_keys():
    maps = shares(make("vit-digits-4", "6"))
    assert 0 < (maps["last layer"] > 0).sum() <= 6 * 4  # four heads
    with_all = shares(make("vit-digits-4"))
    assert (with_all["last layer"] > 0).all()


def test_looking_changes_nothing():
    model = make("vit-digits-4", "5")
    with torch.inference_mode():
        before = model(IMAGE)
    mode = model.attention
    with pytest.raises(RuntimeError), recorded_attention(model):
        raise RuntimeError
    attention_maps(model, IMAGE)
    assert model.attention is mode
    with torch.inference_mode():
        assert torch.equal(model(IMAGE), before)


def test_networks_that_are_no_transformers_are_refused():
    with pytest.raises(UserError, match="for ViT, DeiT, PiT and DoubleViT only; found ResNet"):
        attention_maps(make("resnet10t"), IMAGE)


# Pictures


def test_overlay_is_bright_where_the_map_is_high():
    grid = np.zeros((8, 8))
    grid[1, 6] = 1
    grid[1, 5] = grid[0, 6] = 0.9  # more than three in a hundred
    picture = overlay(np.full((40, 40, 3), 128, np.uint8), grid).astype(int)
    assert picture.shape == (SIDE, SIDE, 3)
    tile = SIDE // 8
    middle = picture[tile + tile // 2, 6 * tile + tile // 2]
    corner = picture[-5, 5]
    assert middle.sum() > 2 * corner.sum()
    assert corner[0] == corner[1] == corner[2] == round(0.6 * 128)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(path)
    return path


@pytest.mark.slow
def test_show_writes_a_picture(digits_run, image, tmp_path, capsys):
    show(["attention", str(digits_run), str(image), "--output", str(tmp_path / "maps.png"), "--top-k", "4"])
    with Image.open(tmp_path / "maps.png") as picture:
        assert picture.width == 7 * 194  # the image, cross attention twice, both branches, rollout twice
        first = np.asarray(picture.convert("RGB"))[:100, :100].astype(int)
    assert first.std() > 20
    assert "written" in capsys.readouterr().out


@pytest.mark.slow
def test_images_are_shown_as_the_network_gets_them(digits_run, image, tmp_path, monkeypatch):
    seen = []
    original = attention._row
    monkeypatch.setattr(attention, "_row", lambda loaded, shown: seen.append(shown[0]) or original(loaded, shown))
    show(["attention", str(digits_run), str(image), "--output", str(tmp_path / "maps.png")])
    assert np.array_equal(seen[0], doublevit.load(digits_run).prepare(np.asarray(Image.open(image))))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["maps"], "unknown command 'show maps'"),
        (["attention", "RUN", "--output", "maps.jpg"], "expected a name that ends in .png"),
        (["attention", "RUN", "--top-k", "0"], "`top_k` '0': expected none, a number of keys"),
        (["attention", "RUN", "NOTES", "--output", "NOTES"], "is one of the images; choose another name"),
        (["attention", "RUN", "--output", "no/maps.png"], "in a folder that is there"),
        (["attention", "RUN", "no-such.png"], "no-such.png: No such file or directory; expected an image file"),
        (["attention", "RUN", "NOTES"], "is no image that can be read"),
        (["attention", "no-run"], "no-run is no run"),
    ],
)
def test_bad_input_is_one_line(arguments, line, digits_run, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    names = {"RUN": str(digits_run), "NOTES": str(tmp_path / "notes.txt")}
    with pytest.raises(UserError, match=line) as caught:
        show([names.get(argument, argument) for argument in arguments])
    assert "\n" not in str(caught.value)


def test_help_is_told(capsys):
    main(["show"])
    assert "usage: doublevit show attention RUN" in capsys.readouterr().out
