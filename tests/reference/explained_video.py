"""Small clips, a net and explanations for the tests of what is seen of them."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from torch import nn

import signalrp

CLASSES = ["left", "right", "still"]


def clips(count: int = 6, frames: int = 8, rows: int = 10, columns: int = 14, rate: float = 20.0) -> xr.DataArray:
    """Noise in colours, (trial, rgb, frame, row, column)."""
    values = np.random.default_rng(0).uniform(size=(count, 3, frames, rows, columns)).astype(np.float32)
    coords = {
        "rgb": ["red", "green", "blue"],
        "frame": ("frame", np.arange(frames) / rate, {"units": "s"}),
        "label": ("trial", np.arange(count) % 2),
        "subject": ("trial", [f"scene {number // 2}" for number in range(count)]),
        "file": ("trial", [f"some/folder/clip_{number}.mp4" for number in range(count)]),
    }
    dims = ("trial", "rgb", "frame", "row", "column")
    return xr.DataArray(values, coords, dims, "video", {"units": "1", "fps": rate, "classes": " | ".join(CLASSES)})


def net() -> nn.Module:
    """A random convolutional net that sees clips."""
    torch.manual_seed(0)
    layers = [nn.Conv3d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3)]
    return nn.Sequential(*layers).eval()


def explained(count: int = 6) -> xr.Dataset:
    """Relevance of both signs in every frame."""
    return signalrp.explain(net(), clips(count), classes=CLASSES, composite="epsilon")


def with_relevance(relevance: np.ndarray) -> xr.Dataset:
    """An explanation of noise with this relevance (trial, frame, row, column)."""
    count, frames, rows, columns = relevance.shape
    signal = clips(count, frames, rows, columns)
    return xr.Dataset({"signal": signal, "relevance": (("trial", "frame", "row", "column"), relevance)})
