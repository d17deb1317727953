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

from signalrp.places import same_places

ORDERS = ("relevance", "amplitude", "random")
SegmentScore = Literal["sum", "mean"]


@dataclass(frozen=True)
class Pieces:
    """What is removed as a whole.

    ``labels`` (trial or 1, …) holds the piece of every sample, 0 to ``count`` − 1, and −1 for samples that
    always stay; its further dimensions are the signal's, of length 1 where all places have the same label.
    ``alone`` says that every sample is a piece of its own, numbered as they lie.
    """

    labels: Tensor
    count: int
    alone: bool = False

    def of(self, trials: slice, device: torch.device) -> Tensor:
        """Labels of some trials, (trials or 1, …)."""
        labels = self.labels if len(self.labels) == 1 else self.labels[trials]
        return labels.to(device)

    def scores(self, values: Tensor, labels: Tensor, score: SegmentScore) -> Tensor:
        """Sum or mean of values (trial, …) over every piece, (trial, piece).

        A piece that a trial does not have scores −inf, so that it is ranked behind all others.
        """
        if self.alone:
            return values.flatten(1)
        index = labels.expand(values.shape).flatten(1)
        # one extra column collects the samples that always stay
        index = torch.where(index < 0, self.count, index)
        sums = values.new_zeros(len(values), self.count + 1).scatter_add_(1, index, values.flatten(1))
        sizes = torch.zeros_like(sums).scatter_add_(1, index, torch.ones_like(values).flatten(1))
        scores = sums / sizes if score == "mean" else sums
        return torch.where(sizes > 0, scores, -torch.inf)[:, : self.count]


def removal_order(scores: Tensor) -> Tensor:
    """Pieces from the highest score to the lowest, (trial, piece).

    Equal scores keep the order of the pieces: for samples that of the signal's dimensions, channel by channel,
    in time.
    """
    if scores.device.type != "cpu":
        return torch.argsort(scores, dim=1, descending=True, stable=True)
    # a sort that may swap equals is several times faster; where there are none it makes no difference
    negative = -scores.numpy()
    order = np.argsort(negative, 1)
    ordered = np.take_along_axis(negative, order, 1)
    tied = (ordered[:, 1:] == ordered[:, :-1]).any(1)
    order[tied] = np.argsort(negative[tied], 1, kind="stable")
    return torch.from_numpy(order)


def backwards(order: Tensor, scores: Tensor) -> Tensor:
    """An order (trial, piece) read from its end; pieces absent from a trial stay last."""
    present = (scores > -torch.inf).sum(1, keepdim=True)
    place = torch.arange(scores.shape[1], device=order.device)
    return order.gather(1, torch.where(place < present, present - 1 - place, place))


def random_scores(trials: slice, count: int, seed: int, repeat: int) -> Tensor:
    """Uniform scores (trial, piece) that depend on seed, repeat and trial alone, never on the batches."""
    draws = [np.random.default_rng([seed, repeat, trial]).random(count) for trial in range(trials.start, trials.stop)]
    return torch.from_numpy(np.stack(draws))


def order_values(
    orders: str | Sequence[str] | Mapping[str, ArrayLike | str],
    signal: xr.DataArray,
    relevance: xr.DataArray,
) -> dict[str, NDArray[np.floating] | None]:
    """Score of every sample, in the signal's dimensions, per order; None stands for the random order.

    Raises
    ------
    ValueError
        If an order has no known name, or its values do not fit the signal or are not finite.
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
                    "name to scores of the signal's shape."
                )
            values[name] = {"relevance": relevance.values, "amplitude": abs(signal.values)}.get(order)
            continue
        if isinstance(order, xr.DataArray):
            same_places(order, signal, f"Scores of order {name!r}")
            if order.ndim == signal.ndim:
                order = order.transpose(*signal.dims)
        scores = np.asarray(order, dtype=float)
        if scores.shape != signal.shape:
            raise ValueError(
                f"Scores of order {name!r} have shape {scores.shape}; the signal has {signal.shape}. "
                "Give one score per sample of every trial."
            )
        if not np.isfinite(scores).all():
            raise ValueError(f"Scores of order {name!r} are not all finite; remove or fill NaN and infinities.")
        values[name] = scores
    return values
