"""The ball around an image that an attack may move it in, and the box [0, 1] of all images."""

import torch

NORMS = ("linf", "l2", "l1")
SLACK = 1e-5  # relative, and absolute for Linf: what float32 makes of a point on the border


class OutsideError(RuntimeError):
    """An attack returned what it must not: a bug in the attack, never a result."""


def distance(images: torch.Tensor, others: torch.Tensor, norm: str) -> torch.Tensor:
    """The norm of the difference of each pair of images (B, ...), (B,)."""
    return size(images - others, norm)


def size(differences: torch.Tensor, norm: str) -> torch.Tensor:
    """The norm of each difference (B, ...), (B,)."""
    order = {"linf": torch.inf, "l2": 2, "l1": 1}[norm]
    return torch.linalg.vector_norm(differences.flatten(1), ord=order, dim=1)


def spread(values: torch.Tensor | float, like: torch.Tensor) -> torch.Tensor:
    """One number, or one for each sample (B,), in a shape that multiplies images (B, ...)."""
    values = torch.as_tensor(values, dtype=like.dtype, device=like.device)
    return values.view(-1, *[1] * (like.ndim - 1))


def project(images: torch.Tensor, centers: torch.Tensor, norm: str, epsilon: torch.Tensor | float) -> torch.Tensor:
    """Images (B, ...) moved into the ball around `centers` and into the box; `epsilon` is one number or (B,).

    Inside the ball stays what is cut to the box, since the center is in the box. For L2 and L1 the difference is
    scaled down, which for L1 is not the nearest point of the ball.
    """
    epsilon = spread(epsilon, images)
    if norm == "linf":
        moved = torch.maximum(torch.minimum(images, centers + epsilon), centers - epsilon)
    else:
        sizes = spread(distance(images, centers, norm), images)
        moved = centers + (images - centers) * (epsilon / sizes.clamp_min(1e-12)).clamp_max(1)
    return moved.clamp(0, 1)


def require_inside(images: torch.Tensor, centers: torch.Tensor, norm: str | None, epsilon: float) -> None:
    """Raise `OutsideError` where an image is outside the box, or outside the ball around its center.

    Without a norm (shifts, turns) only the box is looked at.
    """
    if images.shape != centers.shape or not torch.isfinite(images).all():
        raise OutsideError(f"the attack gave {tuple(images.shape)}, not all finite, for {tuple(centers.shape)}")
    if images.numel() and not 0 <= images.min() <= images.max() <= 1:
        raise OutsideError(f"the attack left [0, 1]: {images.min():.6f} to {images.max():.6f}")
    if norm is None or not len(images):
        return
    farthest = distance(images, centers, norm).max().item()
    if farthest > epsilon * (1 + SLACK) + (1e-6 if norm == "linf" else SLACK):
        raise OutsideError(f"the attack left the {norm} ball of {epsilon:.6f}: {farthest:.6f}")
