"""The shortest way from an image to a hyperplane that stays in the box [0, 1], for Linf and L2.

Croce and Hein (2019), "Minimally distorted adversarial examples with a fast adaptive boundary attack", section 2.
"""

import torch

from doublevit.attacks.balls import size, spread

ROUNDS = 50  # of Newton's method; a handful does
EXACT = 1e-6  # relative: about what float32 can tell
TINY = 1e-30


def to_hyperplane(images: torch.Tensor, normals: torch.Tensor, gaps: torch.Tensor, norm: str) -> torch.Tensor:
    """The smallest moves (B, ...) with <normal, move> = gap that keep images in the box.

    Every pixel moves by its rate (1 for Linf, |normal| for L2) times a length that all share, until it meets the
    border. Where the box ends before the hyperplane, the move goes as far as the box does.

    Args:
        images: (B, ...) in [0, 1].
        normals: (B, ...); where one is all 0, nothing moves.
        gaps: (B,), of either sign.
        norm: "linf" or "l2".
    """
    largest = size(normals, "linf").clamp_min(TINY)  # squares of small gradients are 0 in float32
    signs = (normals * spread(gaps.sign(), images)).sign()
    weights = (normals / spread(largest, images)).abs()
    rates = torch.ones_like(weights) if norm == "linf" else weights
    room = torch.where(signs > 0, 1 - images, images)
    lengths = _lengths(weights.flatten(1), rates.flatten(1), room.flatten(1), gaps.abs() / largest)
    return signs * torch.minimum(spread(lengths, images) * rates, room)


def _lengths(weights: torch.Tensor, rates: torch.Tensor, room: torch.Tensor, gaps: torch.Tensor) -> torch.Tensor:
    """The length at which the sum of weight * min(length * rate, room) is the gap, (B,).

    The sum is concave in the length and made of straight pieces: Newton's method from 0 climbs and never overshoots.
    """
    lengths = torch.zeros_like(gaps)
    for _ in range(ROUNDS):
        reach = lengths.unsqueeze(1) * rates
        slopes = (weights * rates * (reach < room)).sum(dim=1)
        missing = gaps - (weights * torch.minimum(reach, room)).sum(dim=1)
        go_on = (slopes > 0) & (missing > EXACT * gaps)
        if not go_on.any():
            break
        lengths = torch.where(go_on, lengths + missing / slopes, lengths)
    return lengths
