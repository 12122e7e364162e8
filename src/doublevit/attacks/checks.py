"""Signs that an attack is fooled, or not run on the real thing, to be looked for before a robust accuracy is believed.

After Carlini et al. 2019, "On evaluating adversarial robustness", and Croce and Hein 2020, AutoAttack.
"""

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
import torch

from doublevit.attacks.balls import distance
from doublevit.attacks.interface import AttackFunction, Samples
from doublevit.attacks.victim import Victim, cross_entropy

FORWARD_PASSES = 5  # over the same images
SAME = 1e-4  # relative to the logits' spread: what float32 sums in another order may differ by
FEW = 0.03  # of the images: more than this is no accident of rounding
HUGE = {"linf": 0.5, "l2": 0.5, "l1": 0.5}  # of the diameter of the box: any image can become gray


@dataclasses.dataclass(frozen=True)
class Finding:
    """A named sign that a robust accuracy may be wrong, and what was seen, in a sentence.

    It is about one `attack` at one `epsilon`, or about all where these are None.
    """

    name: str
    text: str
    attack: str | None = None
    epsilon: float | None = None

    def speaks_against(self, attacks: Collection[str], epsilon: float) -> bool:
        """Whether it is about one of these attacks at that epsilon; at 0 only what is about all of them is."""
        about_these = self.attack is None or (self.attack in attacks and epsilon > 0)
        return about_these and self.epsilon in (None, epsilon)

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


def short_steps(name: str, steps: tuple[int, float] | None) -> Iterator[Finding]:
    """Gradient steps (how many, how long relative to epsilon) that together are shorter than the radius."""
    if steps is not None and steps[0] * steps[1] < 1:
        yield Finding(
            "short-steps",
            f"{name} takes {steps[0]} steps of epsilon/{1 / steps[1]:.3g}, which end near their start:"
            " the model looks more robust than it is; take more steps, or longer ones",
            name,
        )


def before(victim: Victim, samples: Samples, norm: str, strong: AttackFunction | None) -> list[Finding]:
    """What a few images show before the attacks.

    Args:
        victim: the model, its parameters frozen.
        samples: images.
        norm: of the attacks to come.
        strong: an attack that should fool any model when epsilon is huge; None where the model is wrong on the images.
    """
    found = list(outputs(victim, samples, victim.predict(samples.images)))
    if strong is None:
        return [*found, Finding("nothing-right", "the model is right on no image: there is nothing to attack")]
    if not found:  # an attack on a model that gives no usable logits shows nothing more
        found += [*gradients(victim, samples), *huge_epsilon(victim, samples, norm, strong)]
    return found


def outputs(victim: Victim, samples: Samples, logits: torch.Tensor) -> Iterator[Finding]:
    """Not finite, constant, probabilities, or different in a further pass."""
    if not torch.isfinite(logits).all():
        bad = (~torch.isfinite(logits)).any(dim=1).sum().item()
        yield Finding(
            "non-finite", f"the logits of {bad} of {len(logits)} images are not finite (overflow in 16 bits?)"
        )
        return
    spread = (logits.amax() - logits.amin()).item()
    if len(logits) > 1 and (logits - logits[:1]).abs().max().item() <= SAME * max(spread, 1e-12):
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
    if difference > SAME * max(spread, 1e-12):
        yield Finding(
            "random-output",
            f"the same images got logits up to {difference:.2g} apart in {FORWARD_PASSES} passes (dropout left on?);"
            " use autoattack-rand, which averages over passes",
        )


def gradients(victim: Victim, samples: Samples) -> Iterator[Finding]:
    """Gradients of the cross-entropy in the pixels that are not finite, or zero."""
    _, _, gradient = victim.gradient(samples.images, samples.labels, cross_entropy)
    finite = torch.isfinite(gradient).flatten(1).all(dim=1)
    if not finite.all():
        bad = (~finite).sum().item()
        yield Finding(
            "non-finite", f"the gradients of {bad} of {len(finite)} images are not finite (overflow in 16 bits?)"
        )
    zeros = (gradient.flatten(1).abs().amax(dim=1) == 0).sum().item()
    if zeros > FEW * len(samples):
        yield Finding(
            "zero-gradient",
            f"the gradient of {zeros} of {len(samples)} images is zero: something in the model rounds or saturates,"
            " and white-box attacks are blind to it",
        )


def huge_epsilon(victim: Victim, samples: Samples, norm: str, strong: AttackFunction) -> Iterator[Finding]:
    """Accuracy that is left where the ball is so large that every image could become gray."""
    corners = torch.ones_like(samples.images[:1]), torch.zeros_like(samples.images[:1])
    epsilon = HUGE[norm] * distance(*corners, norm).item()
    (attacked,) = strong(victim, samples, [epsilon])
    robust = (victim.predict(torch.nan_to_num(attacked)).argmax(dim=1) == samples.labels).sum().item()
    if robust:
        yield Finding(
            "huge-epsilon",
            f"{robust} of {len(samples)} images are robust at a {norm} epsilon of {epsilon:g}, where none should:"
            " the attack does not get at the model",
        )


def clean_path(usual: np.ndarray, attacked: np.ndarray) -> Iterator[Finding]:
    """Whether images are right, bool (N,), in the usual evaluation and as the attack sees the model."""
    differing = int((usual != attacked).sum())
    if differing > max(1, FEW * len(usual)):
        yield Finding(
            "clean-path",
            f"clean accuracy is {usual.mean():.1%} as evaluated, {attacked.mean():.1%} on the attack's way:"
            " the attack sees another model (normalization outside of it?)",
        )


def black_box_wins(white: np.ndarray, black: np.ndarray, epsilon: float, where: str) -> Iterator[Finding]:
    """Which images attacks with gradients broke, bool (N,), and which those without, in one ball called `where`."""
    won = int((black & ~white).sum())
    if won > max(1, 0.002 * len(white)):
        yield Finding(
            "black-box-wins",
            f"{won} of {len(white)} images are broken at {where} by attacks without gradients, and by none with:"
            " gradients are masked, or these attacks are weak",
            epsilon=epsilon,
        )


def damage(count: int, where: str, attack: str) -> Iterator[Finding]:
    """Images or logits that were not finite, `count` of them, in an attack at what people call `where`."""
    if count:
        text = f"{count} images or their logits were not finite under {where} (overflow in 16 bits?)"
        yield Finding("non-finite", text, attack)


def restarts(broken: Sequence[int], count: int, where: str, attack: str, epsilon: float) -> Iterator[Finding]:
    """How many of `count` images each repetition of an attack has broken: the last should find no more."""
    if len(broken) > 1 and broken[-1] > max(1, 0.01 * count):
        text = f"repetition {len(broken)} of {where} still broke {broken[-1]} of {count} images: repeat it more often"
        yield Finding("restarts", text, attack, epsilon)


def distinct(findings: Iterable[Finding]) -> list[Finding]:
    """The first finding of each name about each attack and epsilon."""
    first: dict[tuple[str, str | None, float | None], Finding] = {}
    for finding in findings:
        first.setdefault((finding.name, finding.attack, finding.epsilon), finding)
    return list(first.values())


def _are_probabilities(logits: torch.Tensor) -> bool:
    inside = bool((logits >= 0).all() and (logits <= 1).all())
    return inside and bool(((logits.sum(dim=1) - 1).abs() < 1e-3).all())
