"""Moving pixels about: crop and flip, one gather for the batch."""

import torch

PADDING = 8 / 224  # of the side: what the paper's code pads at 224 pixels


def crop_and_flip(images: torch.Tensor, draws: torch.Tensor, *, flip: bool) -> torch.Tensor:
    """Pad with black, crop back at a random place, and mirror half of the photos.

    Args:
        images: (B, 3, H, W) of any type.
        draws: (B, 2 or 3) uniform in 0..1: row and column of the crop, and, used if `flip`, whether to mirror.
        flip: whether photos are mirrored at all.

    Returns:
        (B, 3, H, W) of the same type.
    """
    height, width = images.shape[-2:]
    rows = _window(draws[:, 0], height)
    columns = _window(draws[:, 1], width)
    if flip:
        columns = torch.where(draws[:, 2:3] < 0.5, columns.flip(1), columns)
    inside = _inside(rows, height)[:, None, :, None] & _inside(columns, width)[:, None, None, :]
    sample = torch.arange(len(images), device=images.device)[:, None, None]
    # Indices beside a slice put the sliced dimension last: (B, H, W, 3).
    picked = images[sample, :, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]]
    return picked.permute(0, 3, 1, 2) * inside


def _window(draw: torch.Tensor, size: int) -> torch.Tensor:
    """The source position of every pixel of the crop, int64 (B, size); below 0 or beyond the end in the padding."""
    padding = max(1, round(PADDING * size))
    start = (draw * (2 * padding + 1)).long() - padding
    return start[:, None] + torch.arange(size, device=draw.device)


def _inside(positions: torch.Tensor, size: int) -> torch.Tensor:
    return (positions >= 0) & (positions < size)
