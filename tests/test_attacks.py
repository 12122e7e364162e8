"""What a user can ask of attacks, balls and boxes, the victim, and models that fool attacks: each is caught by name."""

import copy
import dataclasses
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from doublevit.attacks import checks
from doublevit.attacks.balls import NORMS, OutsideError, distance, project, require_inside
from doublevit.attacks.catalogue import ATTACKS, ENSEMBLES, TRANSFERABLE, parts_of
from doublevit.attacks.checks import Finding
from doublevit.attacks.config import AttackConfig
from doublevit.attacks.draws import AttackDraws
from doublevit.attacks.epsilons import DEFAULTS, format_epsilon, parse_epsilon, parse_epsilons
from doublevit.attacks.foolbox_hyperparameters import Pgd
from doublevit.attacks.hyperparameters import AutoPgd, Hyperparameters
from doublevit.attacks.interface import Samples
from doublevit.attacks.make import make_attack
from doublevit.attacks.victim import Victim, cross_entropy, frozen, require_pixels
from doublevit.errors import UserError

STRONG = Hyperparameters(pgd=Pgd(steps=10, relative_step=0.25))


@pytest.fixture(scope="module")
def net() -> nn.Module:
    """A small network that knows its digits."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))
    samples, optimizer = digits(1400), torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(6):
        for batch in torch.randperm(1400).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(samples.images[batch]), samples.labels[batch]).backward()
            optimizer.step()
    return network.eval().requires_grad_(False)


def digits(count: int, start: int = 0) -> Samples:
    found = load_digits()
    images = torch.from_numpy(found.images[start : start + count] / 16).float()[:, None].repeat(1, 3, 1, 1)
    labels = torch.from_numpy(found.target[start : start + count]).long()
    return Samples(images, labels, AttackDraws(0, np.arange(count)))


def known(net: nn.Module) -> Samples:
    """Some that the network is right about."""
    samples = digits(60, 1400)
    return samples.at((net(samples.images).argmax(dim=1) == samples.labels).nonzero()[:32, 0])


def names_of(model: nn.Module, samples: Samples) -> set[str]:
    """The findings about a model that is otherwise in order."""
    strong = make_attack("pgd", "linf", STRONG)
    return {found.name for found in checks.check_model(Victim(model), samples, "linf", strong)}


class Through(nn.Module):
    """A network with something done to what comes in and what goes out."""

    def __init__(self, network: nn.Module, before: Callable = lambda x: x, after: Callable = lambda x: x) -> None:
        super().__init__()
        self.network, self.before, self.after = network, before, after
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.after(self.network(self.before(images)))


def quantized(images: torch.Tensor) -> torch.Tensor:
    return (images * 8).round() / 8


def overflowing(logits: torch.Tensor) -> torch.Tensor:
    return (logits.half() * 30_000).float()


def wrong_gradients(logits: torch.Tensor) -> torch.Tensor:
    return torch.where(
        torch.rand_like(logits) < 2, logits, (logits * 0).sqrt()
    )  # right, but 0 times infinity behind it


def test_a_sound_model_is_not_complained_of(net):
    assert names_of(net, known(net)) == set()
    assert {found.name for found in checks.check_model(Victim(net), known(net), "linf", None)} == {"nothing-right"}


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        (lambda net: Through(net, after=lambda logits: logits.softmax(dim=1)), "probabilities"),
        (lambda net: Through(net, before=quantized), "zero-gradient"),
        (lambda net: Through(net, before=quantized), "huge-epsilon"),
        (lambda net: Through(net, before=lambda images: nn.functional.dropout(images, 0.2)), "random-output"),
        (lambda net: Through(net, after=torch.zeros_like), "constant-output"),
        (lambda net: Through(net, after=overflowing), "non-finite"),
        (lambda net: Through(net, after=wrong_gradients), "non-finite"),
        (lambda net: Through(net, after=lambda logits: logits * 1e3), "zero-gradient"),  # softmax saturates
    ],
)
def test_broken_models_are_caught_by_name(net, broken, name):
    assert name in names_of(broken(net), known(net))


def test_normalization_outside_the_model_is_caught(net):
    samples = digits(100, 1400)
    usual = (net(samples.images).argmax(dim=1) == samples.labels).numpy()
    wants_normalized = Through(net, before=lambda images: images * 0.5 + 0.5)  # undoes (x - 0.5) / 0.5
    attacked = (Victim(wants_normalized).predict(samples.images).argmax(dim=1) == samples.labels).numpy()
    assert [found.name for found in checks.clean_path(usual, attacked)] == ["clean-path"]
    assert "normalization outside" in next(checks.clean_path(usual, attacked)).text
    assert not list(checks.clean_path(usual, usual))
    with pytest.raises(UserError, match=r"expected images in \[0, 1\], found -1 to 1"):
        require_pixels((samples.images - 0.5) / 0.5)


class Stubborn(nn.Module):
    """A network that is not moved about the first image that it sees in each batch."""

    def __init__(self, network: nn.Module, samples: Samples) -> None:
        super().__init__()
        self.network, self.answer = network, nn.functional.one_hot(samples.labels[:1], 10) * 50.0
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.answer + 0 * images[:1].sum(), self.network(images[1:])])


def test_one_image_that_stands_at_a_huge_epsilon_is_enough(net):
    samples = known(net)
    victim, strong = Victim(Stubborn(net, samples)), make_attack("pgd", "linf", STRONG)
    found = list(checks.huge_epsilon(victim, samples, "linf", strong))
    assert [finding.name for finding in found] == ["huge-epsilon"]
    assert found[0].text.startswith("1 of 32 images are robust")


def test_clean_accuracy_may_differ_by_rounding_only():
    usual = np.ones(1000, bool)
    for differing, names in ((30, []), (31, ["clean-path"])):
        attacked = np.arange(1000) >= differing
        assert [found.name for found in checks.clean_path(usual, attacked)] == names


def test_findings_from_what_fell():
    white, black = np.zeros(1000, bool), np.zeros(1000, bool)
    black[:3] = True
    assert [found.name for found in checks.black_box_wins(white, black, 0.1, "1/255")] == ["black-box-wins"]
    white[:1] = True
    assert not list(checks.black_box_wins(white, black, 0.1, "1/255"))  # two images are chance
    assert [found.name for found in checks.restarts([50, 20], 1000, "pgd", "pgd", 0.1)] == ["restarts"]
    assert not list(checks.restarts([50, 10], 1000, "pgd", "pgd", 0.1))
    assert not list(checks.restarts([50], 1000, "pgd", "pgd", 0.1))
    assert not list(checks.non_finite(0, "pgd", "pgd"))
    counts = ((2, "pgd 1/255", "pgd"), (3, "pgd", "pgd"), (3, "fgsm", "fgsm"))
    found = [finding for count in counts for finding in checks.non_finite(*count)]
    assert [finding.attack for finding in checks.distinct(found)] == ["pgd", "fgsm"]
    assert "2 images or their logits were not finite under pgd 1/255" in checks.distinct(found)[0].text


def test_steps_too_short_to_matter():
    def names(name: str, norm: str = "linf", parameters: Hyperparameters = STRONG) -> list[str]:
        return [found.name for found in checks.short_steps(name, parameters.gradient_steps(name, norm))]

    assert names("paper") == ["short-steps"]
    assert names("pgd") == []
    for norm in ("linf", "l2"):
        assert names("pgd", norm, Hyperparameters()) == []
        assert names("pgd", norm, Hyperparameters(pgd=Pgd(relative_step=0.001))) == ["short-steps"]
        assert names("pgd", norm, Hyperparameters(pgd=Pgd(steps=10))) == ["short-steps"]
    assert names("adam-pgd", "linf", Hyperparameters(adam_pgd=Pgd(steps=35))) == ["short-steps"]  # of 1/40
    assert names("pgd", "linf", Hyperparameters(pgd=Pgd(steps=35))) == []  # of 1/30
    assert names("bim", "l2", Hyperparameters()) == names("cw", "l2", Hyperparameters()) == names("autoattack") == []
    assert "10 steps of epsilon/30" in next(checks.short_steps("paper", (10, 1 / 30))).text


def test_whom_a_finding_speaks_against():
    about_all, about_one = Finding("a", "text"), Finding("b", "text", "pgd", 0.1)
    assert about_all.applies_to({"fgsm"}, 0.0)
    assert about_one.applies_to({"autoattack", "pgd"}, 0.1)
    assert not about_one.applies_to({"pgd"}, 0.2)
    assert not about_one.applies_to({"fgsm"}, 0.1)
    assert not Finding("c", "text", "pgd").applies_to({"pgd"}, 0.0)


@pytest.mark.parametrize("norm", NORMS)
def test_projection_is_into_ball_and_box_and_leaves_what_is_inside(norm):
    random = torch.Generator().manual_seed(0)
    centers = torch.rand(20, 3, 5, 5, generator=random)
    moved = centers + torch.randn(centers.shape, generator=random)
    sizes = torch.rand(20, generator=random) + 0.01
    inside = project(moved, centers, norm, sizes)
    assert (distance(inside, centers, norm) <= sizes * (1 + 1e-5)).all()
    assert inside.min() >= 0
    assert inside.max() <= 1
    torch.testing.assert_close(project(inside, centers, norm, sizes), inside)
    require_inside(inside, centers, norm, sizes.max().item())
    far = project(moved, centers, norm, 1e9)
    torch.testing.assert_close(far, moved.clamp(0, 1))
    with pytest.raises(OutsideError, match=f"left the {norm} ball"):
        require_inside(far, centers, norm, 0.01)
    with pytest.raises(OutsideError, match="left \\[0, 1\\]"):
        require_inside(moved, centers, None, 0.01)
    require_inside(far, centers, None, 0.01)
    with pytest.raises(OutsideError, match="not all finite"):
        require_inside(centers / 0, centers, None, 0.01)


def test_a_little_outside_is_outside():
    sample = torch.full((1, 3, 4, 4), 0.5)
    require_inside(sample + 0.1, sample, "linf", 0.1)
    for norm, epsilon in (("linf", 0.1 - 1e-4), ("l2", 0.1 * 48**0.5 - 1e-3), ("l1", 4.8 - 1e-2)):
        with pytest.raises(OutsideError, match="left the"):
            require_inside(sample + 0.1, sample, norm, epsilon)


def test_projection_onto_l2_by_hand():
    center, image = torch.full((1, 1, 1, 2), 0.5), torch.tensor([[[[0.8, 0.9]]]])
    torch.testing.assert_close(project(image, center, "l2", 0.25), torch.tensor([[[[0.65, 0.7]]]]))
    torch.testing.assert_close(project(image, center, "linf", 0.35), torch.tensor([[[[0.8, 0.85]]]]))
    torch.testing.assert_close(project(image, center, "l1", 0.35), torch.tensor([[[[0.65, 0.7]]]]))


def test_epsilons_as_people_write_them():
    assert parse_epsilon("0.5/255", "linf") == 0.5 / 255
    assert parse_epsilon("0.002", "linf") == 0.002
    assert parse_epsilons(("1/255", "0", "0.25/255", "1/255"), "linf") == (0, 0.25 / 255, 1 / 255)
    assert format_epsilon(0.25 / 255, "linf") == "0.25/255"
    assert format_epsilon(0.5, "l2") == "0.5"
    assert format_epsilon(0.0, "linf") == "0"
    assert format_epsilon(1e-9, "linf") == "2.55e-07/255"
    for norm, texts in DEFAULTS.items():
        assert parse_epsilons((), norm) == tuple(parse_epsilon(text, norm) for text in texts)
        assert 0 in parse_epsilons((), norm)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"names": ("pdg",)}, "unknown attack 'pdg'; did you mean pgd"),
        ({"names": ("PointwiseAttack",)}, "left out (PointwiseAttack): broken"),
        ({"names": ("newton-fool",)}, "left out (NewtonFoolAttack): broken"),
        ({"names": ("PGD",)}, "unknown attack 'PGD'; here it is called pgd"),
        ({"names": ("L2CarliniWagnerAttack",)}, "here it is called cw"),
        ({"names": ("pgd",), "epsilons": ("300",)}, r"300: expected at most 1, since pixels run from 0 to 1$"),
        ({"names": ("pgd",), "epsilons": ("256/255",)}, r"256/255: expected at most 1, since pixels run from 0 to 1$"),
        ({"names": ("pgd",), "epsilons": ("inf",)}, "and not infinite, found inf"),
        ({"names": ("pgd",), "epsilons": ("8",)}, "did you mean 8/255?"),
        ({"names": ("pgd",), "epsilons": ("-0.1",)}, "expected 0 or more, and not infinite, found -0.1"),
        ({"names": ("pgd",), "epsilons": ("nan",)}, "expected 0 or more"),
        ({"names": ("pgd",), "epsilons": ("1/0",)}, "expected numbers such as 0.5/255"),
        ({"names": ("pgd",), "epsilons": ("small",)}, "expected numbers such as 0.5/255"),
        ({"names": ("cw",)}, "cw: it has no norm linf, only l2; add `attack.norm=l2`"),
        ({"names": ("autoattack",), "norm": "l1"}, "autoattack: it has no norm l1, only linf, l2"),
        ({"names": ("pgd", "pgd")}, "expected each once"),
        ({"names": ("pgd",), "restarts": 0}, "`attack.restarts`: expected at least 1"),
        ({"names": ("pgd",), "batch_size": 0}, "`attack.batch_size`: expected at least 1"),
        ({"epsilons": ("1/255",)}, "expected `attack.names`"),
        ({"names": ("fgsm",), "parameters": STRONG}, "`attack.pgd`: no attack of `attack.names` has these"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(options, words):
    with pytest.raises(UserError, match=re.sub(r"([?()])", r"\\\1", words)):
        AttackConfig(**options)


def test_attacks_that_need_more_classes_than_there_are():
    config = AttackConfig(("apgd-ce", "autoattack"))
    config.require_classes(4)
    with pytest.raises(UserError, match=r"t needs 4 classes, found 3; give `attack.names=apgd-ce fab-t square`"):
        config.require_classes(3)
    with pytest.raises(UserError, match=r"apgd-dlr needs 3 classes, found 2$"):
        AttackConfig(("apgd-dlr",)).require_classes(2)


def test_every_attack_can_be_made_in_every_norm_of_its():
    for name, entry in ATTACKS.items():
        for norm in entry.norms or ("linf",):
            assert callable(make_attack(name, norm, Hyperparameters()))
    with pytest.raises(UserError, match="unknown attack"):
        make_attack("autoattack", "linf", Hyperparameters())  # an ensemble is its parts


def test_ensembles_and_their_knobs():
    assert parts_of("autoattack") == ("apgd-ce", "apgd-dlr-t", "fab-t", "square")
    assert parts_of("pgd") == ("pgd",)
    for parts in ENSEMBLES.values():
        assert set(parts) <= set(ATTACKS)
        assert len({ATTACKS[part].norms for part in parts}) == 1
    config = AttackConfig(("autoattack", "autoattack-rand"), parameters=Hyperparameters(apgd=AutoPgd(steps=7)))
    assert config.parameters_of("autoattack")["apgd-dlr-t"]["steps"] == 7
    assert config.parameters_of("autoattack")["square"] == {"queries": 5000}
    assert make_attack("apgd-ce", "l2", config.parameters).steps == 7
    assert make_attack("apgd-ce-eot", "l2", config.parameters).eot == 20
    assert make_attack("apgd-ce", "linf", config.parameters).eot == 1
    assert AttackConfig(("paper",)).parameters_of("paper")["steps"] == 10
    assert AttackConfig(("pgd",), restarts=3).repetitions("pgd") == 3
    assert AttackConfig(("bim",), restarts=3).repetitions("bim") == 1
    assert "cw" not in TRANSFERABLE
    assert {"pgd", "fgsm", "paper"} <= set(TRANSFERABLE)


def test_a_model_in_training_mode_is_refused(net):
    model = nn.Sequential(net).train()
    with pytest.raises(UserError, match="in training mode"):
        Victim(model)
    net.eval()


def test_gradients_are_of_pixels_alone_and_parameters_come_back(net):
    network = copy.deepcopy(net)
    network[0].weight.requires_grad_(True)
    samples = digits(5)
    with frozen(network):
        assert not any(parameter.requires_grad for parameter in network.parameters())
        logits, losses, gradient = Victim(network.eval()).gradient(samples.images, samples.labels, cross_entropy)
    assert network[0].weight.grad is None
    assert [parameter.requires_grad for parameter in network.parameters()] == [True, False, False, False]
    network[0].weight.requires_grad_(False)
    images = samples.images.clone().requires_grad_()
    nn.functional.cross_entropy(network(images), samples.labels, reduction="sum").backward()
    torch.testing.assert_close(gradient, images.grad)
    torch.testing.assert_close(losses.sum(), nn.functional.cross_entropy(logits, samples.labels, reduction="sum"))
    assert network[0].weight.grad is None


def test_draws_depend_on_sample_seed_repetition_and_name_alone():
    draws = AttackDraws(0, np.arange(5))
    first = draws.uniform("a", 3)
    np.testing.assert_array_equal(draws.at(np.array([3, 1])).uniform("a", 3), first[[3, 1]])
    for others in (AttackDraws(1, np.arange(5)), dataclasses.replace(draws, repeat=1)):
        assert not np.isclose(others.uniform("a", 3), first).any()
        assert others.batch_seed("a") != draws.batch_seed("a")
    assert not np.isclose(draws.uniform("b", 3), first).any()
    assert abs(AttackDraws(0, np.arange(4000)).normal("a", 3).mean()) < 0.03
