"""Relevance through recurrent layers, step by step and neuron by neuron in numpy: slow, plain, after the papers.

Gates get nothing and the signal everything (Arras et al. 2017, doi:10.18653/v1/W17-5221), or each factor of a
product half. Relevance itself is carried, never relevance per unit; what a rule gives to inputs whatever their value
is kept apart (``such``), as a hidden state takes it up per unit of its own, with a stabiliser. One sequence at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from torch import nn

from signalrp.propagation.rules import Flat, Rule, WSquare, ZBox

from .dense import share

Array = npt.NDArray[np.float64]
STABILISER = 1e-6


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def taken_up(such: Array, state: Array) -> Array:
    """Return what a state keeps of relevance that came to it whatever its value."""
    return such * state / (state + np.where(state >= 0, STABILISER, -STABILISER))


@dataclass
class Sent:
    """Relevance in proportion to a value, and relevance given to it as such."""

    unit: Array
    such: Array

    def __add__(self, other: Sent) -> Sent:
        return Sent(self.unit + other.unit, self.such + other.such)

    @property
    def whole(self) -> Array:
        """All that was sent."""
        return self.unit + self.such

    def at(self, state: Array) -> Array:
        """Return what arrives at a hidden state."""
        return self.unit + taken_up(self.such, state)


def shared(rule: Rule, W: Array, b: Array | None, x: Array, relevance: Array, low: Array, high: Array) -> Sent:
    """Share the relevance of the sums ``W x + b`` among their inputs."""

    def by(rule: Rule) -> Array:
        return share(rule, W, np.ones_like(W), b, x, relevance, low, high).relevance

    whole, none = by(rule), np.zeros_like(x)
    if isinstance(rule, (Flat, WSquare, ZBox)):
        return Sent(none, whole)
    if getattr(rule, "bias", None) == "redistribute":
        own = by(replace(rule, bias="absorb"))
        return Sent(own, whole - own)
    return Sent(whole, none)


class Direction:
    """One direction of one layer, for one sequence: (time, units)."""

    def __init__(self, module: nn.RNNBase, layer: int, reverse: bool, rule: Rule, equal: bool) -> None:
        suffix = f"_l{layer}{'_reverse' * reverse}"
        self.mode, self.rule, self.equal, self.reverse = module.mode, rule, equal, reverse
        self.w_x, self.w_h, self.b_x, self.b_h, self.w_r = (
            p.detach().double().numpy() if (p := getattr(module, name + suffix, None)) is not None else None
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        )
        self.units = module.hidden_size

    def run(self, x: Array, first: list[Array]) -> Array:
        """Return the hidden states of all steps; the cell's are kept."""
        self.x = x[::-1] if self.reverse else x
        self.h, self.c, self.m = [first[0]], [first[-1]], []
        for x_t in self.x:
            h, a = self.h[-1], self._sums(x_t, self.h[-1])
            if self.mode == "LSTM":
                i, f, g, o = np.split(a, 4)
                self.c.append(sigmoid(f) * self.c[-1] + sigmoid(i) * np.tanh(g))
                self.m.append(sigmoid(o) * np.tanh(self.c[-1]))
                h = self.m[-1] if self.w_r is None else self.w_r @ self.m[-1]
            elif self.mode == "GRU":
                from_x, from_h = np.split(a, 2)
                (xr, xu, xn), (hr, hu, hn) = np.split(from_x, 3), np.split(from_h, 3)
                u = sigmoid(xu + hu)
                h = (1 - u) * np.tanh(xn + sigmoid(xr + hr) * hn) + u * h
            else:
                h = np.tanh(a) if self.mode == "RNN_TANH" else np.maximum(a, 0)
            self.h.append(h)
        return np.stack(self.h[1:][::-1] if self.reverse else self.h[1:])

    def _sums(self, x: Array, h: Array) -> Array:
        of_x, of_h = self.w_x @ x, self.w_h @ h
        if self.b_x is not None:
            of_x, of_h = of_x + self.b_x, of_h + self.b_h
        return np.concatenate([of_x, of_h]) if self.mode == "GRU" else of_x + of_h

    def back(self, out: Array, last: Array) -> tuple[Sent, Sent, Array]:
        """Return the relevance of the input and of both first states, from that of the outputs and last cell state."""
        out = out[::-1] if self.reverse else out
        behind = Sent(np.zeros_like(self.h[0]), np.zeros_like(self.h[0]))
        at_x, cell = [], last
        for t in reversed(range(len(self.x))):
            relevance = out[t] + behind.at(self.h[t + 1])
            if self.mode == "LSTM":
                x, behind, cell = self._lstm(t, relevance, cell)
            elif self.mode == "GRU":
                x, behind = self._gru(t, relevance)
            else:
                x, behind = self._joint(t, relevance, slice(None))
            at_x.append(x)
        order = 1 if self.reverse else -1
        whole = Sent(np.stack([x.unit for x in at_x][::order]), np.stack([x.such for x in at_x][::order]))
        return whole, behind, cell

    def _bounds(self, t: int) -> tuple[Array, Array]:
        """Return between what the hidden state before a step lies."""
        if self.mode == "RNN_RELU":
            return np.zeros_like(self.h[t]), self.h[t]
        reach = np.ones_like(self.h[t]) if self.w_r is None else np.abs(self.w_r).sum(1)
        return -reach, reach

    def _given(self, width: int) -> tuple[Array, Array]:
        low, high = getattr(self.rule, "low", 0.0), getattr(self.rule, "high", 0.0)
        return np.full(width, float(low)), np.full(width, float(high))

    def _joint(self, t: int, relevance: Array, rows: slice) -> tuple[Sent, Sent]:
        """Share among input and hidden state the relevance of some rows of the one sum over both."""
        W = np.concatenate([self.w_x, self.w_h], 1)[rows]
        b = None if self.b_x is None else (self.b_x + self.b_h)[rows]
        low, high = map(np.concatenate, zip(self._given(len(self.x[t])), self._bounds(t), strict=True))
        sent = shared(self.rule, W, b, np.concatenate([self.x[t], self.h[t]]), relevance, low, high)
        n = len(self.x[t])
        return Sent(sent.unit[:n], sent.such[:n]), Sent(sent.unit[n:], sent.such[n:])

    def _lstm(self, t: int, relevance: Array, cell: Array) -> tuple[Sent, Sent, Array]:
        if self.w_r is not None:
            one = np.ones(self.units)
            relevance = shared(self.rule, self.w_r, None, self.m[t], relevance, -one, one).at(self.m[t])
        i, f, g, o = np.split(self._sums(self.x[t], self.h[t]), 4)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        half = 0.5 if self.equal else 1.0
        cell = cell + half * relevance
        old = cell * f * self.c[t] / self.c[t + 1]
        new = cell * i * g / self.c[t + 1]
        rows, units = slice(2 * self.units, 3 * self.units), new
        if self.equal:
            rows = slice(None)
            gates = [r / 2 * (s - 0.5) / s for r, s in ((new, i), (old, f), (relevance, o))]
            units = np.concatenate([gates[0], gates[1], new / 2, gates[2]])
        return *self._joint(t, units, rows), half * old

    def _gru(self, t: int, relevance: Array) -> tuple[Sent, Sent]:
        x, h, n = self.x[t], self.h[t], self.units
        from_x, from_h = np.split(self._sums(x, h), 2)
        (xr, xu, xn), (hr, hu, hn) = np.split(from_x, 3), np.split(from_h, 3)
        r, u = sigmoid(xr + hr), sigmoid(xu + hu)
        zn = xn + r * hn
        fresh = relevance * (1 - u) * np.tanh(zn) / self.h[t + 1]
        kept = relevance * u * h / self.h[t + 1]
        rows, half = slice(2 * n, None), 1.0
        if self.equal:
            rows, half = slice(None), 0.5
        to_n = half * fresh
        of_x, of_h = to_n * xn / zn, half * to_n * r * hn / zn
        if self.equal:
            # 1 - u is the constant 1 and -u; a sigmoid is the constant 1/2 and the rest.
            at_u = kept / 2 + fresh / 2 * -u / (1 - u)
            zr, zu = (to_n * r * hn / zn / 2) * (r - 0.5) / r, at_u * (u - 0.5) / u
            of_x = np.concatenate([zr * xr / (xr + hr), zu * xu / (xu + hu), of_x])
            of_h = np.concatenate([zr * hr / (xr + hr), zu * hu / (xu + hu), of_h])
        b_x, b_h = (None if b is None else b[rows] for b in (self.b_x, self.b_h))
        at_x = shared(self.rule, self.w_x[rows], b_x, x, of_x, *self._given(len(x)))
        at_h = shared(self.rule, self.w_h[rows], b_h, h, of_h, *self._bounds(t))
        return at_x, at_h + Sent(half * kept, np.zeros(n))


def relevance_of(
    module: nn.RNNBase,
    x: Array,
    first: list[Array],
    arriving: list[Array],
    rules: list[Rule],
    equal: bool = False,
    as_such: bool = False,
) -> list[Array]:
    """Share what arrives at the outputs of a recurrent net for one sequence.

    Parameters
    ----------
    x : array, shape (time, in)
    first : list of array, shape (layers * directions, units)
        h_0, and c_0 of an LSTM.
    arriving : list of array
        Relevance of all outputs (time, directions * units) and of the last states in the shapes of the first.
    rules : list of Rule
        One per layer.
    as_such : bool
        Whether it arrives whatever the value of what it arrives at.

    Returns
    -------
    list of array
        Relevance of x and of the first states.
    """
    ways = 2 if module.bidirectional else 1
    layers, value = [], x
    for layer in range(module.num_layers):
        parts = [Direction(module, layer, bool(i), rules[layer], equal) for i in range(ways)]
        value = np.concatenate([p.run(value, [f[layer * ways + i] for f in first]) for i, p in enumerate(parts)], 1)
        layers.append(parts)
    sent = [Sent(0 * r, r) if as_such else Sent(r, 0 * r) for r in arriving]
    found = [np.zeros_like(f) for f in first]
    flowing = sent[0]
    for layer in reversed(range(module.num_layers)):
        below = []
        for i, part in enumerate(layers[layer]):
            k = layer * ways + i
            states = part.h[1:][::-1] if part.reverse else part.h[1:]
            unit, such = (np.split(r, ways, 1)[i].copy() for r in (flowing.unit, flowing.such))
            unit[0 if part.reverse else -1] += sent[1].unit[k]
            such[0 if part.reverse else -1] += sent[1].such[k]
            cell = Sent(sent[-1].unit[k], sent[-1].such[k])
            own = part.back(unit, cell.unit)
            # Below what arrived as such nothing is in proportion to a value any more.
            more = part.back(taken_up(such, np.stack(states)), taken_up(cell.such, part.c[-1]))
            below.append(own[0] + Sent(0 * own[0].unit, more[0].whole))
            found[-1][k] = own[2] + more[2]
            found[0][k] = own[1].whole + more[1].whole
        flowing = sum(below[1:], below[0])
    return [flowing.whole, *found]
