"""The ball around an image that an attack may move it in, and the box [0, 1] of all images."""

import torch

NORMS = ("linf", "l2", "l1")
RELATIVE_TOLERANCE = 1e-5  # of float32 at the border of a ball
ABSOLUTE_TOLERANCE = {"linf": 1e-6, "l2": 1e-5, "l1": 1e-5}  # a single pixel for Linf, sums over pixels for the others


class OutsideError(RuntimeError):
    """Says that an attack returned what it must not: a bug in the attack, never a result."""


def distance(images: torch.Tensor, others: torch.Tensor, norm: str) -> torch.Tensor:
    """Return the norm (B,) of the difference of each pair of images (B, ...)."""
    return norm_of(images - others, norm)


def norm_of(differences: torch.Tensor, norm: str) -> torch.Tensor:
    """Return the norm (B,) of each difference (B, ...)."""
    order = {"linf": torch.inf, "l2": 2, "l1": 1}[norm]
    return torch.linalg.vector_norm(differences.flatten(1), ord=order, dim=1)


def per_sample(values: torch.Tensor | float, like: torch.Tensor) -> torch.Tensor:
    """Return one number, or one for each sample (B,), in a shape that multiplies images (B, ...)."""
    values = torch.as_tensor(values, dtype=like.dtype, device=like.device)
    return values.view(-1, *[1] * (like.ndim - 1))


def project(images: torch.Tensor, centers: torch.Tensor, norm: str, epsilon: torch.Tensor | float) -> torch.Tensor:
    """Project images (B, ...) into the ball around `centers` and into the box; `epsilon` is one number or (B,).

    Cutting to the box does not leave the ball, since the center is in the box. For L2 and L1 the difference is scaled
    down, which for L1 is not the nearest point of the ball.
    """
    epsilon = per_sample(epsilon, images)
    if norm == "linf":
        moved = torch.maximum(torch.minimum(images, centers + epsilon), centers - epsilon)
    else:
        distances = per_sample(distance(images, centers, norm), images)
        moved = centers + (images - centers) * (epsilon / distances.clamp_min(1e-12)).clamp_max(1)
    return moved.clamp(0, 1)


def require_inside(images: torch.Tensor, centers: torch.Tensor, norm: str | None, epsilon: float) -> None:
    """Raise `OutsideError` where an image is outside the box, or outside the ball around its center.

    Without a norm (shifts, turns) only the box is checked.
    """
    if images.shape != centers.shape or not torch.isfinite(images).all():
        raise OutsideError(f"the attack gave {tuple(images.shape)}, not all finite, for {tuple(centers.shape)}")
    if images.numel() and not 0 <= images.min() <= images.max() <= 1:
        raise OutsideError(f"the attack left [0, 1]: {images.min():.6f} to {images.max():.6f}")
    if norm is None or not len(images):
        return
    farthest = distance(images, centers, norm).max().item()
    if farthest > epsilon * (1 + RELATIVE_TOLERANCE) + ABSOLUTE_TOLERANCE[norm]:
        raise OutsideError(f"the attack left the {norm} ball of {epsilon:.6f}: {farthest:.6f}")
