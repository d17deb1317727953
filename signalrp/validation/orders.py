"""In which order pieces of a signal are removed: ranks computed once, read at every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

ORDERS = ("relevance", "amplitude", "random")
SegmentScore = Literal["sum", "mean"]


@dataclass(frozen=True)
class Pieces:
    """What is removed as a whole.

    ``labels`` (trial or 1, channel, time) holds the piece of every sample, 0 to ``count`` − 1, and −1 for
    samples that always stay.
    """

    labels: Tensor
    count: int

    def of(self, trials: slice, device: torch.device) -> Tensor:
        """Labels of some trials, (trials or 1, channel, time)."""
        labels = self.labels if len(self.labels) == 1 else self.labels[trials]
        return labels.to(device)

    def scores(self, values: Tensor, labels: Tensor, score: SegmentScore) -> Tensor:
        """Sum or mean of values (trial, channel, time) over every piece, (trial, piece).

        A piece that a trial does not have scores −inf, so that it is ranked behind all others.
        """
        index = labels.expand(values.shape).flatten(1)
        # one extra column collects the samples that always stay
        index = torch.where(index < 0, self.count, index)
        sums = values.new_zeros(len(values), self.count + 1).scatter_add_(1, index, values.flatten(1))
        sizes = torch.zeros_like(sums).scatter_add_(1, index, torch.ones_like(values).flatten(1))
        scores = sums / sizes if score == "mean" else sums
        return torch.where(sizes > 0, scores, -torch.inf)[:, : self.count]


def removal_ranks(scores: Tensor, labels: Tensor, lerf: bool = False) -> Tensor:
    """Rank of every sample's piece in the order of removal, (trial, channel, time).

    A sample is removed at a step that takes k pieces when its rank is smaller than k. Equal scores keep the
    order of the pieces (for samples: channel by channel, in time), and LeRF is MoRF read backwards.
    Samples with label −1 get the number of pieces, which no step reaches.

    Parameters
    ----------
    scores
        (trial, piece); −inf marks a piece absent from the trial.
    labels
        (trial or 1, channel, time), see `Pieces`.
    lerf
        Least relevant first instead of most relevant first.
    """
    trials, count = scores.shape
    order = torch.argsort(scores, dim=1, descending=True, stable=True)
    ranks = torch.empty_like(order)
    ranks.scatter_(1, order, torch.arange(count, device=order.device).expand_as(order))
    if lerf:
        present = (scores > -torch.inf).sum(1, keepdim=True)
        ranks = torch.where(ranks < present, present - 1 - ranks, ranks)
    labels = labels.expand(trials, *labels.shape[1:])
    mapped = ranks.gather(1, labels.clamp(min=0).flatten(1)).view(labels.shape)
    return torch.where(labels < 0, count, mapped)


def random_scores(trials: slice, count: int, seed: int, repeat: int) -> Tensor:
    """Uniform scores (trial, piece) that depend on seed, repeat and trial alone, never on the batches."""
    draws = [np.random.default_rng([seed, repeat, trial]).random(count) for trial in range(trials.start, trials.stop)]
    return torch.from_numpy(np.stack(draws))


def order_values(
    orders: str | Sequence[str] | Mapping[str, ArrayLike | str],
    signal: xr.DataArray,
    relevance: xr.DataArray,
) -> dict[str, NDArray[np.floating] | None]:
    """Score of every sample (trial, channel, time) per order; None stands for the random order.

    Raises
    ------
    ValueError
        If an order has no known name, or its values have the wrong shape or are not finite.
    """
    if isinstance(orders, str):
        orders = (orders,)
    named = dict(orders) if isinstance(orders, Mapping) else {name: name for name in orders}
    if not named:
        raise ValueError(f"orders is empty; give at least one of {', '.join(ORDERS)}.")
    values: dict[str, NDArray[np.floating] | None] = {}
    for name, order in named.items():
        if isinstance(order, str):
            if order not in ORDERS:
                raise ValueError(
                    f"Order {order!r} is unknown; choose from {', '.join(ORDERS)}, or give a mapping from a "
                    "name to scores of shape (trial, channel, time)."
                )
            values[name] = {"relevance": relevance.values, "amplitude": abs(signal.values)}.get(order)
            continue
        if isinstance(order, xr.DataArray):
            order = order.transpose(*signal.dims)
        scores = np.asarray(order, dtype=float)
        if scores.shape != signal.shape:
            raise ValueError(
                f"Scores of order {name!r} have shape {scores.shape}; the signal has {signal.shape}. "
                "Give one score per trial, channel and time."
            )
        if not np.isfinite(scores).all():
            raise ValueError(f"Scores of order {name!r} are not all finite; remove or fill NaN and infinities.")
        values[name] = scores
    return values
