"""TransNet V2: between which frames does a video cut from one shot to the next.

A net that others trained on real video, here written from its paper, with its published weights (MIT licence; manifest
"transnetv2"): (clip, rgb, frame, 27, 48) in, a logit for every frame out, so that the frame explained is the class of
``signalrp.explain(net, frames(clips), target=frame)``.

Three branches meet in its dense layer, and relevance fares differently in them:

- dilated convolutions: weighted sums, as in any net;
- similarity of learnt features: a scalar product of every frame with every other, shared equally by the two; the
  length by which features are divided is a constant, as in any norm;
- similarity of colour histograms: counting is not differentiable, so that nothing goes back to the pixels. What this
  branch gave is no part of the relevance; it is booked as absorbed (``audit=True``), and :func:`branches` measures it.
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn import functional as F

from signalrp import manifests
from signalrp.attribute import attribute

__all__ = ["SIZE", "TransNetV2", "branches", "frames", "from_state", "probability", "published"]

SIZE = (27, 48)
"""Rows and columns of the frames it takes."""

_REACH = 50
_BINS = 8
_DILATIONS = (1, 2, 4, 8)


class _Dilated(nn.Module):
    """Four convolutions side by side, factored into space and time, that look 1, 2, 4 and 8 frames far."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.sides = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(before, 2 * after, (1, 3, 3), padding=(0, 1, 1), bias=False),
                nn.Conv3d(2 * after, after, (3, 1, 1), padding=(far, 0, 0), dilation=(far, 1, 1), bias=False),
            )
            for far in _DILATIONS
        )
        self.norm = nn.BatchNorm3d(4 * after, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(torch.cat([side(x) for side in self.sides], 1)))


class _Stage(nn.Module):
    """Two such blocks with a shortcut around the second, and half the rows and columns."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([_Dilated(before, after), _Dilated(4 * after, after)])

    def forward(self, x: Tensor) -> Tensor:
        first = self.blocks[0](x)
        return F.avg_pool3d(self.blocks[1](first) + first, (1, 2, 2))


class _Similarity(nn.Module):
    """What is made of the likeness of every frame's unit vector to those of the 50 frames before and behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2 * _REACH + 1, 128)

    def forward(self, vectors: Tensor) -> Tensor:
        vectors = F.normalize(vectors, dim=2)
        alike = F.pad(vectors @ vectors.transpose(1, 2), (_REACH, _REACH))
        steps = torch.arange(vectors.shape[1], device=vectors.device)
        near = steps[:, None] + torch.arange(2 * _REACH + 1, device=vectors.device)
        return F.relu(self.fc(alike.gather(2, near.expand(len(alike), -1, -1))))


def histograms(x: Tensor) -> Tensor:
    """Count the colours of every frame, in 8 x 8 x 8 bins of 32 values: (clip, frame, 512), without a way back.

    Parameters
    ----------
    x : torch.Tensor
        (clip, rgb, frame, row, column), 0 to 1.
    """
    with torch.no_grad():
        level = (x * 255).round().long() // (256 // _BINS)
        bins = ((level[:, 0] * _BINS + level[:, 1]) * _BINS + level[:, 2]).flatten(2)
        counts = x.new_zeros(*bins.shape[:2], _BINS**3)
        return counts.scatter_add_(2, bins, torch.ones_like(bins, dtype=x.dtype))


class TransNetV2(nn.Module):
    """TransNet V2.

    References
    ----------
    Souček & Lokoč 2020, arXiv 2008.04838
    """

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([_Stage(3, 16), _Stage(64, 32), _Stage(128, 64)])
        self.projection = nn.Linear(64 + 128 + 256, 128)
        self.learnt = _Similarity()
        self.colours = _Similarity()
        self.dense = nn.Linear(128 + 128 + 256 * 3 * 6, 1024)
        self.dropout = nn.Dropout(0.5)
        self.single = nn.Linear(1024, 1)
        self.many = nn.Linear(1024, 1)

    def described(self, x: Tensor) -> Tensor:
        """Return what the dense layer takes, (clip, frame, 4864): colours (128), learnt similarity (128), maps."""
        if x.dim() != 5 or x.shape[1] != 3 or tuple(x.shape[3:]) != SIZE:
            raise ValueError(
                f"TransNet V2 takes (clip, rgb, frame, 27, 48), found {tuple(x.shape)}; use transnet.frames(clips)."
            )
        maps, means = x, []
        for stage in self.stages:
            maps = stage(maps)
            means.append(maps.mean((3, 4)))
        learnt = self.learnt(self.projection(torch.cat(means, 1).transpose(1, 2)))
        return torch.cat([self.colours(histograms(x)), learnt, maps.permute(0, 2, 3, 4, 1).flatten(2)], 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logit of every frame of being the middle of a transition, (clip, frame).

        Parameters
        ----------
        x : torch.Tensor
            (clip, rgb, frame, 27, 48), 0 to 1 in steps of 1/255. The paper takes 100 frames; others work.

        Raises
        ------
        ValueError
            When it has another shape.
        """
        return self.single(self.dropout(F.relu(self.dense(self.described(x))))).squeeze(2)

    def whole(self, x: Tensor) -> Tensor:
        """Return the logit of every frame of being anywhere in a transition, from the other head, (clip, frame)."""
        return self.many(self.dropout(F.relu(self.dense(self.described(x))))).squeeze(2)


def published(root: str | os.PathLike[str] | None = None) -> TransNetV2:
    """Return TransNet V2 with its published weights, in evaluation mode (manifest "transnetv2", fetched once).

    Parameters
    ----------
    root : path, optional
        Folder that holds the data sets; default `signalrp.manifests.data_root`.

    Raises
    ------
    signalrp.manifests.DataError
        If the weights cannot be fetched, or are not what the manifest says.
    """
    path = manifests.fetch("transnetv2", root) / "transnetv2.pth"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise manifests.DataError(f"{path} holds no weights ({error}); delete it to fetch it again.") from error
    return from_state(state)


_RENAMED = (
    (r"^SDDCNN\.(\d)\.DDCNN\.(\d)\.bn\.", r"stages.\1.blocks.\2.norm."),
    (r"^frame_sim_layer\.projection\.", "projection."),
    (r"^frame_sim_layer\.fc\.", "learnt.fc."),
    (r"^color_hist_layer\.fc\.", "colours.fc."),
    (r"^fc1\.", "dense."),
    (r"^cls_layer1\.", "single."),
    (r"^cls_layer2\.", "many."),
)


def from_state(state: Mapping[str, Tensor]) -> TransNetV2:
    """Return the net with weights as published for PyTorch, in evaluation mode.

    Parameters
    ----------
    state : mapping of str to torch.Tensor
        ``SDDCNN.0.DDCNN.0.Conv3D_1.layers.0.weight`` and so on.

    Raises
    ------
    ValueError
        When they are those of another net.
    """
    renamed = {}
    for name, value in state.items():
        side = re.match(r"SDDCNN\.(\d)\.DDCNN\.(\d)\.Conv3D_(\d)\.layers\.", name)
        if side is not None and int(side[3]) in _DILATIONS:
            place = f"stages.{side[1]}.blocks.{side[2]}.sides.{_DILATIONS.index(int(side[3]))}."
            name = place + name[side.end() :]
        for pattern, new in _RENAMED:
            name = re.sub(pattern, new, name)
        renamed[name] = value
    net = TransNetV2()
    own = net.state_dict()
    odd = sorted(renamed.keys() ^ own.keys()) or [key for key in own if own[key].shape != renamed[key].shape]
    if odd:
        raise ValueError(f"these are not the weights of TransNet V2 ({odd[0]} and {len(odd) - 1} more do not fit).")
    net.load_state_dict(renamed)
    return net.eval()


def frames(signal: xr.DataArray) -> xr.DataArray:
    """Return clips in the size and the steps of brightness that TransNet V2 was trained on.

    Parameters
    ----------
    signal : xarray.DataArray
        Clips (trial, rgb, frame, row, column) of any size, 0 to 1.

    Returns
    -------
    xarray.DataArray
        float32, 27 rows and 48 columns, in steps of 1/255, averaged over the pixels of the original; row and column
        are the pixels of the original in the middle of the new ones. Other coordinates are those of the clips.

    Raises
    ------
    ValueError
        When the signal has other dimensions, or values beyond 0 to 1.
    """
    dims = ("trial", "rgb", "frame", "row", "column")
    if set(signal.dims) != set(dims) or signal.sizes["rgb"] != 3:
        raise ValueError(f"clips are (trial, rgb, frame, row, column), found {dict(signal.sizes)}; transpose them.")
    signal = signal.transpose(*dims)
    low, high = float(signal.min()), float(signal.max())
    if low < 0 or high > 1:
        raise ValueError(f"TransNet V2 takes brightness from 0 to 1, found {low:g} to {high:g}; divide by 255.")
    x = torch.as_tensor(np.ascontiguousarray(signal.values, dtype=np.float32))
    small = F.interpolate(x.flatten(0, 1).transpose(0, 1).flatten(0, 1)[:, None], SIZE, mode="bilinear", antialias=True)
    small = small.reshape(x.shape[2], -1, 3, *SIZE).permute(1, 2, 0, 3, 4)
    values = ((small * 255).round().clamp(0, 255) / 255).numpy()
    kept = {name: value for name, value in signal.coords.items() if not {"row", "column"} & set(value.dims)}
    for dim, size in zip(("row", "column"), SIZE, strict=True):
        step = signal.sizes[dim] / size
        kept[dim] = (dim, (np.arange(size) + 0.5) * step - 0.5, signal[dim].attrs)
    return xr.DataArray(values, kept, dims, signal.name, signal.attrs)


def probability(net: TransNetV2, signal: xr.DataArray) -> xr.DataArray:
    """Return for every frame the probability of being the middle of a transition, (trial, frame).

    Parameters
    ----------
    net : TransNetV2
        From :func:`published`.
    signal : xarray.DataArray
        From :func:`frames`.
    """
    with torch.no_grad():
        found = [torch.sigmoid(net(_tensor(signal[number : number + 1], net))) for number in range(len(signal))]
    kept = {name: value for name, value in signal.coords.items() if set(value.dims) <= {"trial", "frame"}}
    return xr.DataArray(torch.cat(found).numpy(), kept, ("trial", "frame"), "probability", {"units": "1"})


def branches(net: TransNetV2, signal: xr.DataArray, frame: int | npt.ArrayLike) -> pd.DataFrame:
    """Say what each branch gave to the logit of one frame, by the epsilon rule in the dense layers.

    Parameters
    ----------
    net : TransNetV2
        From :func:`published`.
    signal : xarray.DataArray
        From :func:`frames`.
    frame : int or array_like of int
        Number of the frame that is explained, one for all clips or one for each.

    Returns
    -------
    pandas.DataFrame
        One row per clip: ``maps`` and ``learnt``, which go back to the pixels; ``colours``, which cannot; ``bias`` of
        the dense layers; and the ``logit``, their sum.
    """
    rows = []
    for number, explained in enumerate(np.broadcast_to(frame, len(signal))):
        with torch.no_grad():
            described = net.described(_tensor(signal[number : number + 1], net))[:, explained]
        given = attribute(lambda x: net.single(F.relu(net.dense(x))), described, composite="epsilon")
        colours, learnt, maps = (float(part.sum()) for part in given.relevance.split([128, 128, 4608], 1))
        logit = float(given.explained)
        rows.append({"maps": maps, "learnt": learnt, "colours": colours, "bias": logit - maps - learnt - colours})
        rows[-1]["logit"] = logit
    return pd.DataFrame(rows)


def _tensor(signal: xr.DataArray, net: nn.Module) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(signal.values)).to(next(net.parameters()))
