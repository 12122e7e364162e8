"""Checks for signs that an attack is fooled, or not run on the real model, before a robust accuracy is believed.

A function that looks for a single sign is called by the name of the finding that it yields.

After Carlini et al. 2019, "On evaluating adversarial robustness", and Croce and Hein 2020, AutoAttack.
"""

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
import torch

from doublevit.attacks.balls import distance
from doublevit.attacks.gradients import has_gradients
from doublevit.attacks.interface import AttackFunction, Samples
from doublevit.attacks.victim import Victim, cross_entropy

FORWARD_PASSES = 5  # over the same images
LOGIT_TOLERANCE = 1e-4  # relative to the logits' range: what float32 sums in another order may differ by
FEW_IMAGES = 0.03  # as a fraction: more than this is no accident of rounding
HUGE_EPSILON = {"linf": 0.5, "l2": 0.5, "l1": 0.5}  # relative to the box's diameter: any image can become gray


@dataclasses.dataclass(frozen=True)
class Finding:
    """Holds a named sign that a robust accuracy may be wrong, and what was seen, in a sentence.

    A finding is about one `attack` at one `epsilon`, or about all where these are None.
    """

    name: str
    text: str
    attack: str | None = None
    epsilon: float | None = None

    def applies_to(self, attacks: Collection[str], epsilon: float) -> bool:
        """Return whether it is about one of these attacks at that epsilon; at 0, whether it is about all attacks."""
        about_these = self.attack is None or (self.attack in attacks and epsilon > 0)
        return about_these and self.epsilon in (None, epsilon)

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


def short_steps(name: str, steps: tuple[int, float] | None) -> Iterator[Finding]:
    """Yield a finding where gradient steps (how many, how long relative to epsilon) together are below the radius."""
    if steps is None:
        return
    count, relative_step = steps
    if count * relative_step < 1:
        yield Finding(
            "short-steps",
            f"{name} takes {count} steps of epsilon/{1 / relative_step:.3g}, which end near their start:"
            " the model looks more robust than it is; take more steps, or longer ones",
            name,
        )


def check_model(victim: Victim, samples: Samples, norm: str, strong_attack: AttackFunction | None) -> list[Finding]:
    """Return what a few images show of a model before it is attacked.

    Args:
        victim: the model, its parameters frozen.
        samples: a few images, their labels and draws.
        norm: the norm of the attacks to come.
        strong_attack: should fool any model when epsilon is huge; None where the model is wrong on the images.
    """
    findings = list(check_logits(victim, samples, victim.predict(samples.images)))
    if strong_attack is None:
        return [*findings, Finding("nothing-right", "the model is right on no image: there is nothing to attack")]
    if not findings and has_gradients(victim):  # an attack on a model that gives no usable logits shows nothing more
        findings += [*check_gradients(victim, samples), *huge_epsilon(victim, samples, norm, strong_attack)]
    return findings


def check_logits(victim: Victim, samples: Samples, logits: torch.Tensor) -> Iterator[Finding]:
    """Yield a finding where logits are not finite, constant, probabilities, or different in a further pass."""
    if not torch.isfinite(logits).all():
        bad = (~torch.isfinite(logits)).any(dim=1).sum().item()
        yield Finding(
            "non-finite", f"the logits of {bad} of {len(logits)} images are not finite (overflow in 16 bits?)"
        )
        return
    logit_range = (logits.amax() - logits.amin()).item()
    tolerance = LOGIT_TOLERANCE * max(logit_range, 1e-12)
    if len(logits) > 1 and (logits - logits[:1]).abs().max().item() <= tolerance:
        yield Finding(
            "constant-output", f"all {len(logits)} images get the same logits: nothing can be learned from them"
        )
    if _are_probabilities(logits):
        yield Finding(
            "probabilities",
            "the model gives probabilities, not logits: gradients vanish where it is sure; leave its softmax out",
        )
    again = torch.stack([victim.predict(samples.images) for _ in range(FORWARD_PASSES - 1)])
    difference = (again - logits).abs().max().item()
    if difference > tolerance:
        yield Finding(
            "random-output",
            f"the same images got logits up to {difference:.2g} apart in {FORWARD_PASSES} passes (dropout left on?);"
            " use autoattack-rand, which averages over passes",
        )


def check_gradients(victim: Victim, samples: Samples) -> Iterator[Finding]:
    """Yield a finding where gradients of the cross-entropy in the pixels are not finite, or zero."""
    _, _, gradient = victim.gradient(samples.images, samples.labels, cross_entropy)
    finite = torch.isfinite(gradient).flatten(1).all(dim=1)
    if not finite.all():
        bad = (~finite).sum().item()
        yield Finding(
            "non-finite", f"the gradients of {bad} of {len(finite)} images are not finite (overflow in 16 bits?)"
        )
    zeros = (gradient.flatten(1).abs().amax(dim=1) == 0).sum().item()
    if zeros > FEW_IMAGES * len(samples):
        yield Finding(
            "zero-gradient",
            f"the gradient of {zeros} of {len(samples)} images is zero: something in the model rounds or saturates,"
            " and white-box attacks are blind to it",
        )


def huge_epsilon(victim: Victim, samples: Samples, norm: str, strong_attack: AttackFunction) -> Iterator[Finding]:
    """Yield a finding where images are robust in a ball so large that every image could become gray."""
    corners = torch.ones_like(samples.images[:1]), torch.zeros_like(samples.images[:1])
    epsilon = HUGE_EPSILON[norm] * distance(*corners, norm).item()
    (attacked,) = strong_attack(victim, samples, [epsilon])
    robust = (victim.predict(torch.nan_to_num(attacked)).argmax(dim=1) == samples.labels).sum().item()
    if robust:
        yield Finding(
            "huge-epsilon",
            f"{robust} of {len(samples)} images are robust at a {norm} epsilon of {epsilon:g}, where none should:"
            " the attack does not get at the model",
        )


def clean_path(usual: np.ndarray, attacked: np.ndarray) -> Iterator[Finding]:
    """Yield a finding where many images are right, bool (N,), in only one of the usual and the attacked evaluation."""
    differing = int((usual != attacked).sum())
    if differing > max(1, FEW_IMAGES * len(usual)):
        yield Finding(
            "clean-path",
            f"clean accuracy is {usual.mean():.1%} as evaluated, {attacked.mean():.1%} on the attack's way:"
            " the attack sees another model (normalization outside of it?)",
        )


def black_box_wins(white_box: np.ndarray, black_box: np.ndarray, epsilon: float, where: str) -> Iterator[Finding]:
    """Yield a finding where black-box attacks broke images, bool (N,), that no white-box attack broke."""
    won = int((black_box & ~white_box).sum())
    if won > max(1, 0.002 * len(white_box)):
        yield Finding(
            "black-box-wins",
            f"{won} of {len(white_box)} images are broken at {where} by attacks without gradients, and by none with:"
            " gradients are masked, or these attacks are weak",
            epsilon=epsilon,
        )


def non_finite(count: int, where: str, attack: str) -> Iterator[Finding]:
    """Yield a finding where `count` images or logits were not finite in an attack; `where` is "pgd 1/255", say."""
    if count:
        text = f"{count} images or their logits were not finite under {where} (overflow in 16 bits?)"
        yield Finding("non-finite", text, attack)


def restarts(broken: Sequence[int], count: int, where: str, attack: str, epsilon: float) -> Iterator[Finding]:
    """Yield a finding where an attack's last repetition still broke many of `count` images; `broken` is by repeat."""
    if len(broken) > 1 and broken[-1] > max(1, 0.01 * count):
        text = f"repetition {len(broken)} of {where} still broke {broken[-1]} of {count} images: repeat it more often"
        yield Finding("restarts", text, attack, epsilon)


def distinct(findings: Iterable[Finding]) -> list[Finding]:
    """Return the first finding of each name about each attack and epsilon."""
    first: dict[tuple[str, str | None, float | None], Finding] = {}
    for finding in findings:
        first.setdefault((finding.name, finding.attack, finding.epsilon), finding)
    return list(first.values())


def _are_probabilities(logits: torch.Tensor) -> bool:
    inside = bool((logits >= 0).all() and (logits <= 1).all())
    return inside and bool(((logits.sum(dim=1) - 1).abs() < 1e-3).all())
