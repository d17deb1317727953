"""Long signals in pieces: which stretches of a signal to explain, and for which part of the output each answers.

Two questions are kept apart. A model whose output is resolved in time can be explained in pieces *exactly*: the
pieces divide the output's instants among themselves, and each is widened to all the input that its instants depend
on (:func:`exact`). A model that pools over time answers for each window anew (:func:`sliding`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from signalrp._reach import Reach
from signalrp.attribute import Attribution


@dataclass(frozen=True)
class Piece:
    """A stretch of the input, and the instants of the output that are explained on it.

    Attributes
    ----------
    start, stop : int
        Samples of the signal; None for its end.
    begin, end : int, optional
        Instants of the whole signal's output; None for all that the model returns for the piece.
    first : int
        Where they begin among the instants that the model returns for the piece.
    """

    start: int = 0
    stop: int | None = None
    begin: int | None = None
    end: int | None = None
    first: int = 0

    @property
    def kept(self) -> slice:
        """The instants explained, among those that the model returns for the piece."""
        if self.begin is None or self.end is None:
            return slice(None)
        return slice(self.first, self.first + self.end - self.begin)


Batch = list[tuple[int, Piece]]


@dataclass(frozen=True)
class Plan:
    """The pieces of a signal.

    Attributes
    ----------
    pieces : list of Piece
        In the order of time.
    axis : int, optional
        The axis of the model's output that is time, where the pieces divide it among themselves.
    by_itself : bool
        Whether each piece is explained by itself.
    """

    pieces: list[Piece]
    axis: int | None = None
    by_itself: bool = False

    def batches(self, trials: int, size: int) -> list[Batch]:
        """Return all trials and pieces in batches; those of one batch are of equal shape."""
        alike: dict[tuple[object, ...], Batch] = {}
        for trial in range(trials):
            for piece in self.pieces:
                shape = (piece.stop and piece.stop - piece.start, piece.kept.start, piece.kept.stop)
                alike.setdefault(shape, []).append((trial, piece))
        return [group[i : i + size] for group in alike.values() for i in range(0, len(group), size)]

    def at(self, instants: slice) -> tuple[slice, ...]:
        """Return the index of some instants in the model's output."""
        return (slice(None),) * (self.axis or 0) + (instants,)

    def target(self, target: Any, piece: Piece) -> Any:
        """Return the target function that sees nothing but the instants that a piece answers for."""
        if self.axis is None:
            return target
        index = self.at(piece.kept)
        return lambda out: target(out[index])


WHOLE = Plan([Piece()])


def sliding(length: int, window: int, overlap: int) -> Plan:
    """Return windows of equal length; the last one ends with the signal, whatever it then shares with its neighbour.

    Raises
    ------
    ValueError
        When the overlap leaves no hop, or the window does not fit into the signal.
    """
    if not 0 <= overlap < window:
        raise ValueError(f"the overlap must be at least 0 and less than the window of {window}, found {overlap}.")
    if window > length:
        raise ValueError(f"a window of {window} samples does not fit into a signal of {length}; give a shorter one.")
    starts = list(range(0, length - window + 1, window - overlap))
    if starts[-1] + window < length:
        starts.append(length - window)
    return Plan([Piece(start, start + window) for start in starts], by_itself=True)


def exact(reach: Reach, length: int, window: int) -> Plan:
    """Return pieces whose relevance adds up to that of the whole signal.

    Each piece owns the output of `window` samples, rounded down to a multiple of the model's period, and reads as
    much more on both sides as that output depends on. Where this reaches an end of the signal, the piece ends there,
    so that the model pads it as it pads the whole signal.
    """
    periods = max(1, window // reach.period)
    pieces: list[Piece] = []
    for number in range(0, length // reach.period + 1, periods):
        left = max(0, number - reach.before)
        stop = min(length, reach.period * (number + periods + reach.after))
        begin = number * reach.instants
        end = reach.total if stop == length else begin + periods * reach.instants
        if end > begin:
            pieces.append(Piece(reach.period * left, stop, begin, end, begin - left * reach.instants))
        if stop == length:
            break
    return Plan(pieces, reach.axis)


_UNITS = {"relevance": "relevance", "per_unit": "relevance per unit of signal"}


class Parts:
    """An explanation that comes together from batches of trials and pieces."""

    def __init__(self, signal: xr.DataArray, plan: Plan, per_unit: bool) -> None:
        self.signal, self.plan = signal, plan
        self.maps: dict[str, np.ndarray] = {}
        self._names = ("relevance", "per_unit") if per_unit else ("relevance",)
        self.output: np.ndarray | None = None
        self.scalars: dict[str, np.ndarray] = {}
        self._numbers = {piece: number for number, piece in enumerate(plan.pieces)}

    def inputs(self, batch: Batch) -> np.ndarray:
        """Return the signals of a batch."""
        return np.stack([self.signal.variable[self._place(trial, piece)].values for trial, piece in batch])

    def _place(self, trial: int, piece: Piece) -> tuple[Any, ...]:
        span = slice(piece.start, piece.stop)
        return (trial, *(span if dim == "time" else slice(None) for dim in self.signal.dims[1:]))

    def add(self, batch: Batch, result: Attribution) -> None:
        """Take in what was found for a batch."""
        output = _array(result.output)
        for name in self._names:
            found = _array(getattr(result, name))
            whole = self.maps.setdefault(name, np.zeros(self.signal.shape, found.dtype))
            for place, values in zip(batch, found, strict=True):
                whole[self._place(*place)] += values
        numbers = [(trial, self._numbers[piece]) for trial, piece in batch]
        index = tuple(np.array(numbers).T)
        trials = self.signal.sizes["trial"]
        shape = (trials, len(self.plan.pieces))
        for name in ("target", "explained", "absorbed"):
            value = getattr(result, name)
            if value is not None:
                value = _array(value)
                self.scalars.setdefault(name, np.zeros(shape, value.dtype))[index] = value
        if self.plan.axis is None:
            if self.output is None:
                self.output = np.zeros(shape + output.shape[1:], output.dtype)
            self.output[index] = output
            return
        if self.output is None:
            sizes = list(output.shape)
            sizes[0], sizes[self.plan.axis] = trials, self.plan.pieces[-1].end or 0
            self.output = np.zeros(sizes, output.dtype)
        for (trial, piece), values in zip(batch, output, strict=True):
            kept, instants = self.plan.at(piece.kept), self.plan.at(slice(piece.begin, piece.end))
            self.output[trial][instants[1:]] = values[kept[1:]]

    def finish(self) -> dict[str, Any]:
        """Return the variables of the explanation, once all batches were added."""
        if self.output is None:
            raise ValueError("nothing was explained.")
        lead: tuple[str, ...] = ("trial",)
        scalars, output, windows = self.scalars, self.output, {}
        if self.plan.by_itself:
            lead = ("trial", "window")
            for values in self.maps.values():
                values /= self._times_explained(values.dtype)
            windows = self._times()
        else:
            # Pieces that divide the output's instants among themselves add up; else there is but one.
            scalars = {name: value.sum(1, dtype=value.dtype) for name, value in scalars.items()}
            output = output if self.plan.axis is not None else output[:, 0]
        rest = output.ndim - len(lead)
        inner = ("class",) if rest == 1 else tuple(f"output_{i + 1}" for i in range(rest))
        return {
            **{name: (self.signal.dims, values, {"units": _UNITS[name]}) for name, values in self.maps.items()},
            "output": ((*lead, *inner), output),
            **{name: (lead, value) for name, value in scalars.items()},
            **windows,
        }

    def _times_explained(self, dtype: np.dtype[Any]) -> np.ndarray:
        shape = [size if dim == "time" else 1 for dim, size in self.signal.sizes.items()]
        counts = np.zeros(shape, dtype)
        for piece in self.plan.pieces:
            counts[(0, *self._place(0, piece)[1:])] += 1
        return counts

    def _times(self) -> dict[str, Any]:
        time = self.signal["time"]
        spans = [time.values[piece.start : piece.stop] for piece in self.plan.pieces]
        ends = {"window_start": [span[0] for span in spans], "window_stop": [span[-1] for span in spans]}
        return {name: ("window", values, time.attrs) for name, values in ends.items()}


def _array(value: Tensor) -> np.ndarray:
    value = value.detach().cpu()
    return (value.float() if value.dtype in (torch.bfloat16, torch.float16) else value).numpy()
