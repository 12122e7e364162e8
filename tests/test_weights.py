import os
import pickle
import time

import pytest
import safetensors.torch
import timm
import torch

from doublevit.errors import UserError
from doublevit.models import ModelConfig
from doublevit.models.backbones import create
from doublevit.models.classifier import build
from doublevit.models.weights import read_state


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def save_small(path, patch_size: int = 4, **wrapped):
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=patch_size, embed_dim=64, depth=6, num_heads=4
    )
    state = model.state_dict()
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3} if wrapped else state, path)
    return state


@pytest.mark.parametrize(("name", "wrapped"), [("w.safetensors", {}), ("w.pth", {}), ("w.pt", {"wrapped": True})])
def test_files_of_both_kinds_load(tmp_path, name, wrapped):
    state = save_small(tmp_path / name, **wrapped)
    module = create("vit-digits-4", str(tmp_path / name)).module
    assert all(torch.equal(tensor, state[key]) for key, tensor in module.state_dict().items())


def test_pickle_with_code_is_refused_and_not_run(tmp_path):
    marker = tmp_path / "was-here"
    for name, save in (("a.pth", torch.save), ("b.pth", lambda value, path: path.write_bytes(pickle.dumps(value)))):
        save({"weight": Payload(marker)}, tmp_path / name)
        with pytest.raises(UserError, match=r"refused|is no readable"):
            read_state(tmp_path / name)
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"a", b"garbage", b"\x80\x02}q\x00.", b"\x80\x02u.", b"\x80\x02h\x05."])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_damaged_files_get_one_line(tmp_path, content, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_state(path)
    assert "\n" not in str(caught.value)


def test_weights_of_another_shape_are_named(tmp_path):
    save_small(tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"does not fit the network: \d+ of 150 tensors are missing"):
        create("vit-ti16", str(tmp_path / "w.pth"))
    other = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=4, embed_dim=32, depth=6, num_heads=4)
    torch.save(other.state_dict(), tmp_path / "narrow.pth")
    with pytest.raises(UserError, match=r"is \(.*\), expected \("):
        create("vit-digits-4", str(tmp_path / "narrow.pth"))


def test_deeper_networks_file_is_refused_and_other_classifiers_are_left_out(tmp_path):
    options = {"img_size": 32, "patch_size": 4, "embed_dim": 64, "num_heads": 4}
    deeper = timm.create_model("vit_tiny_patch16_224", depth=7, **options)
    torch.save(deeper.state_dict(), tmp_path / "deeper.pth")
    with pytest.raises(UserError, match=r"it has 12 more, blocks\.6\."):
        create("vit-digits-4", str(tmp_path / "deeper.pth"))
    tuned = timm.create_model("vit_tiny_patch16_224", depth=6, num_classes=7, **options)
    torch.save(tuned.state_dict(), tmp_path / "tuned.pth")
    create("vit-digits-4", str(tmp_path / "tuned.pth"))
    with pytest.raises(UserError, match=r"head\.\w+ is \(7"):
        create("vit-digits-4", str(tmp_path / "tuned.pth"), with_classifier=True)


def test_missing_file():
    with pytest.raises(UserError, match="no weights at"):
        create("vit-digits-4", "nowhere.pth")


def test_another_patch_size_is_resampled_as_timm_does(vit_weights):
    ours = create("vit-ti16@32", vit_weights).module.state_dict()
    theirs = timm.create_model(
        "vit_tiny_patch16_224", patch_size=32, pretrained=True, pretrained_cfg_overlay={"file": vit_weights}
    ).state_dict()
    assert ours["patch_embed.proj.weight"].shape == (192, 3, 32, 32)
    assert ours["pos_embed"].shape == (1, 50, 192)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_no_way_to_the_hub_names_three_ways_out(monkeypatch, tmp_path):
    import huggingface_hub

    from doublevit.models import weights

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(weights, "ENDPOINT", "http://127.0.0.1:1")
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    start = time.monotonic()
    with pytest.raises(UserError, match=r"go online once.*as `weights`.*`weights=none`"):
        build(ModelConfig("vit-ti16"), ["a", "b"])
    assert time.monotonic() - start < 10


def test_cached_weights_need_no_network(monkeypatch, vit_weights):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: vit_weights)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_: pytest.fail("asked the network"))
    state = safetensors.torch.load_file(vit_weights)
    assert torch.equal(create("vit-ti16", "hub").module.state_dict()["cls_token"], state["cls_token"])


def test_a_folder_of_weights_gives_each_network_its_own(tmp_path):
    named = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    folder = tmp_path / "weights"
    folder.mkdir()
    safetensors.torch.save_file(named.state_dict(), folder / "vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors")
    made = create("vit-ti16", str(folder)).module
    assert torch.equal(made.blocks[3].mlp.fc1.weight, named.blocks[3].mlp.fc1.weight)
    with pytest.raises(UserError, match=r"no weights at .*deit_tiny_patch16_224.fb_in1k.safetensors .* folder"):
        create("deit-ti16", str(folder))


PREFIXES = ("", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "model._orig_mod.")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_of_wrappers_are_removed_in_any_order_and_format(tmp_path, prefix, suffix):
    path = tmp_path / f"w{suffix}"
    state = {"a.weight": torch.rand(2, 3), "a.bias": torch.rand(2)}
    named = {prefix + name: tensor for name, tensor in state.items()}
    safetensors.torch.save_file(named, path) if suffix == ".safetensors" else torch.save(named, path)
    read = read_state(path)
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], state[name]) for name in state)


def test_torchs_compiled_averaged_model_gives_the_networks_names(tmp_path):
    network = torch.nn.Linear(2, 3)
    averaged = torch.optim.swa_utils.AveragedModel(torch.compile(network))
    torch.save(averaged.state_dict(), tmp_path / "w.pth")
    assert read_state(tmp_path / "w.pth").keys() == network.state_dict().keys()


KEYS = (
    (("state_dict", "state_dict_ema"), "state_dict_ema, not state_dict"),
    (("model", "model_ema"), "model_ema, not model"),
    (("state_dict_ema",), "state_dict_ema, the only ones in it"),
    (("state_dict",), ""),
)


@pytest.mark.parametrize(("keys", "said"), KEYS)
def test_averaged_weights_are_taken_as_timm_does_and_said(tmp_path, capsys, keys, said):
    states = {key: {"module.a": torch.full((2,), float(number))} for number, key in enumerate(keys)}
    torch.save({"epoch": 3, "arch": "vit", **states}, tmp_path / "w.pth")
    theirs, ours = timm.models.load_state_dict(str(tmp_path / "w.pth")), read_state(tmp_path / "w.pth")
    assert theirs.keys() == ours.keys()
    assert torch.equal(theirs["a"], ours["a"])
    printed = " ".join(capsys.readouterr().err.split())
    assert (said in printed) if said else not printed


def test_a_file_without_weights_is_said_to_hold_what_it_holds(tmp_path):
    torch.save({"epoch": 3, "optimizer": {"lr": 1.0}}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="holds no weights: expected tensors by name, found a dict of epoch, optimizer"):
        read_state(tmp_path / "w.pth")
