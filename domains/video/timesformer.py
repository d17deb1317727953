"""Divided attention in time and space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["TimeSformer", "checked"]


class _Attention(nn.Module):
    """Attention of several heads among the tokens of the last but one dimension, behind a layer norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, self.heads, -1)).transpose(-4, -2).unbind(-3)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(-3, -2).flatten(-2))


class _Divided(nn.Module):
    """Attention of a patch to itself over time, then of a frame's patches to each other, then a dense layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.time = _Attention(width, heads)
        # As the authors have it: one more dense layer behind attention over time.
        self.after_time = nn.Linear(width, width)
        self.space = _Attention(width, heads)
        self.dense = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, summary: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Take the summary (clip, 1, width) and patches (clip, frame, patch, width)."""
        attended = self.time(patches.transpose(1, 2)).transpose(1, 2)
        patches = patches + self.after_time(attended)
        every = torch.cat([summary[:, None].expand(-1, patches.shape[1], -1, -1), patches], 2)
        attended = self.space(every)
        # The summary takes part in every frame, and what it finds there is averaged.
        summary, patches = summary + attended[:, :, :1].mean(1), patches + attended[:, :, 1:]
        return summary + self.dense(summary), patches + self.dense(patches)


class TimeSformer(nn.Module):
    """Transformer with divided attention in time and space.

    Parameters
    ----------
    shape : sequence of int
        (3, frames, rows, columns); the paper takes 8 frames of 224 x 224.
    n_classes : int
        Number of classes.
    patch : int
        Rows and columns of a patch, of which clips hold a whole number; 16 in the paper.
    tubelet : int
        Frames of a patch, likewise. The paper takes patches of single frames, 1; those of 2 (Arnab et al. 2021,
        arXiv 2103.15691) see motion by themselves, which small sets want.
    width, depth, heads : int
        Numbers that describe a patch, blocks, and heads of attention; 768, 12 and 12 in the paper.

    Raises
    ------
    ValueError
        When the shape is not (3, 2, patch, patch) or larger, or is no whole number of patches in space and time.

    References
    ----------
    Bertasius et al. 2021, arXiv 2102.05095
    """

    def __init__(
        self,
        shape: Sequence[int],
        n_classes: int,
        *,
        patch: int = 8,
        tubelet: int = 2,
        width: int = 48,
        depth: int = 2,
        heads: int = 4,
    ) -> None:
        super().__init__()
        frames, rows, columns = checked("timesformer", shape, (2, patch, patch))
        if rows % patch or columns % patch or frames % tubelet:
            raise ValueError(
                f"timesformer takes whole patches of {tubelet} x {patch} x {patch} (frames, rows, columns), found "
                f"clips of {frames} x {rows} x {columns}; read them in another size, or give another patch or tubelet."
            )
        self.scale = nn.BatchNorm3d(3)
        self.embed = nn.Conv3d(3, width, (tubelet, patch, patch), (tubelet, patch, patch))
        places = (rows // patch) * (columns // patch)
        # As large as what patches differ by at first, so that small sets suffice to learn that order matters.
        self.place = nn.Parameter(0.2 * torch.randn(places, width))
        self.moment = nn.Parameter(0.2 * torch.randn(frames // tubelet, 1, width))
        self.summary = nn.Parameter(0.2 * torch.randn(1, 1, width))
        self.blocks = nn.ModuleList(_Divided(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify clips (clip, rgb, frame, row, column)."""
        patches = self.embed(self.scale(x)).flatten(3).permute(0, 2, 3, 1) + self.place + self.moment
        summary = self.summary.expand(len(x), -1, -1)
        for block in self.blocks:
            summary, patches = block(summary, patches)
        return self.classifier(self.norm(summary[:, 0]))


def checked(name: str, shape: Sequence[int], least: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the frames, rows and columns of a clip."""
    if len(shape) != 4 or shape[0] != 3 or any(size < low for size, low in zip(shape[1:], least, strict=True)):
        raise ValueError(
            f"{name} takes clips of shape (rgb, frame, row, column), at least {(3, *least)}, found {tuple(shape)}; "
            "give signal.shape[1:] of clips in that order."
        )
    _, frames, rows, columns = shape
    return frames, rows, columns
