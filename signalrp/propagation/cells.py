"""The recurrent cells: what their gates and states were, and how relevance goes from state to state.

Gates get nothing and the signal everything (Arras et al. 2017, doi:10.18653/v1/W17-5221), or each factor of a
product gets half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from signalrp.propagation.pull import total
from signalrp.propagation.recurrence import DirectionalSum, Flow, Loop, before, rows, slope


@dataclass
class Found:
    """What reaches the input (time, direction, batch, in) and the first states, and what ended on the way."""

    unit: Tensor | None = None
    relevance: Tensor | None = None
    first: list[Tensor | None] = field(default_factory=list)
    """Per unit of each first state."""
    first_relevance: Tensor | None = None
    """Relevance of the first hidden state as such."""
    absorbed: dict[str, float] = field(default_factory=dict)

    def take(self, *flows: Flow) -> Found:
        """Add what the weighted sums hand to the input, and what they keep."""
        for flow in flows:
            unit, relevance = flow.inputs()
            if flow.width:
                self.unit = unit if self.unit is None else self.unit if unit is None else self.unit + unit
                self.relevance = relevance if relevance is not None else self.relevance
            for name in ("bias", "stabiliser", "withheld"):
                self.absorbed[name] = self.absorbed.get(name, 0.0) + getattr(flow.pulled, name)
        return self


@dataclass
class Parameters:
    """The weights of one layer, directions first: (direction, gate * units, in), biases None where there are none."""

    input: Tensor
    hidden: Tensor
    input_bias: Tensor | None
    hidden_bias: Tensor | None
    projection: Tensor | None = None

    @classmethod
    def of(cls, per_direction: Sequence[Sequence[Tensor]], has_bias: bool) -> Parameters:
        """Stack the weights of the directions, each in the order of torch's recurrent layers."""
        stacked = [torch.stack(list(parts)) for parts in zip(*per_direction, strict=True)]
        biases = [b[:, None] for b in stacked[2:4]] if has_bias else [None, None]
        rest = stacked[4:] if has_bias else stacked[2:]
        return cls(stacked[0], stacked[1], *biases, *rest)

    @property
    def bias(self) -> Tensor | None:
        """Both biases together."""
        if self.input_bias is None or self.hidden_bias is None:
            return None
        return self.input_bias + self.hidden_bias


def dense(pairs: Sequence[tuple[Tensor, Tensor]], bias: Tensor | None) -> Tensor:
    """Return the sum of ``W x`` over pairs of x, (time, direction, batch, in), and W, and the bias."""
    out: Tensor | None = None
    for x, weight in pairs:
        joined = x.transpose(0, 1).flatten(1, 2)
        if out is not None:
            out.baddbmm_(joined, weight.mT)
        elif bias is None:
            out = torch.bmm(joined, weight.mT)
        else:
            out = torch.baddbmm(bias, joined, weight.mT)
    if out is None:
        raise ValueError("a weighted sum needs an input.")
    return out.unflatten(1, (len(pairs[0][0]), -1)).transpose(0, 1)


def _slopes(gate: Tensor, z: Tensor) -> Tensor:
    return slope(gate, z, 0.5, 0.25)


class Simple:
    """``h' = f(W x + U h + b)`` with tanh or ReLU."""

    def __init__(self, parameters: Parameters, rectified: bool) -> None:
        p, self.rectified = parameters, rectified
        reach = None if rectified else p.input.new_ones(())
        self.sums = [DirectionalSum(torch.cat([p.input, p.hidden], -1), p.bias, p.input.shape[-1], reach)]

    def back(self, x: Tensor, first: Sequence[Tensor], cell: Mapping[int, Tensor], loop: Loop) -> Found:
        """Pull back through all steps."""
        (op,) = self.sums
        joined = torch.cat([x, loop.ahead], -1)
        z = dense([(joined, op.weight)], op.bias)
        drive = (z > 0).to(z.dtype) if self.rectified else slope(torch.tanh(z), z, 0.0, 1.0)
        flow = Flow(op, joined, z, drive, loop.audit)
        for t in reversed(range(loop.steps)):
            loop.hand_back(t, flow.back(t, loop.at(t)))
        return Found(first=[loop.behind], first_relevance=loop.first).take(flow)


class GRU:
    """``h' = (1 - u) n + u h`` with ``n = tanh(A x + a + r (B h + b))``: two weighted sums, one behind a gate."""

    def __init__(self, parameters: Parameters, equal: bool) -> None:
        self.parameters, self.equal = parameters, equal
        p, units = parameters, parameters.hidden.shape[-1]
        part = slice(None) if equal else slice(2 * units, None)
        one = p.hidden.new_ones(())

        def of(weight: Tensor, bias: Tensor | None, width: int) -> DirectionalSum:
            return DirectionalSum(weight[:, part], None if bias is None else bias[..., part], width, one)

        self.sums = [of(p.input, p.input_bias, p.input.shape[-1]), of(p.hidden, p.hidden_bias, 0)]

    def back(self, x: Tensor, first: Sequence[Tensor], cell: Mapping[int, Tensor], loop: Loop) -> Found:
        """Pull back through all steps."""
        p, equal, audit = self.parameters, self.equal, loop.audit
        ahead = loop.ahead
        from_x, from_h = dense([(x, p.input)], p.input_bias), dense([(ahead, p.hidden)], p.hidden_bias)
        xr, xu, xn = from_x.chunk(3, -1)
        hr, hu, hn = from_h.chunk(3, -1)
        constants = None
        if equal:
            zr, zu = xr + hr, xu + hu
            r, u = torch.sigmoid(zr), torch.sigmoid(zu)
            zn = xn + r * hn
            n = torch.tanh(zn)
            to_n = 0.5 * (1 - u) * slope(n, zn, 0.0, 1.0)
            per_r, per_u = 0.5 * to_n * hn, 0.5 * (ahead - n)
            to_r, to_u = per_r * _slopes(r, zr), per_u * _slopes(u, zu)
            constants = (per_r + per_u) / 2 + 0.5 * n
            flow_x = Flow(self.sums[0], x, from_x, rows([to_r, to_u, to_n]), audit)
            flow_h = Flow(self.sums[1], ahead, from_h, rows([to_r, to_u, 0.5 * to_n * r]), audit)
            u = 0.5 * u
        else:
            # In place, and let go of at once: a long signal's gates are large.
            r, u = xr.add_(hr).sigmoid_(), xu.add_(hu).sigmoid()
            zn = torch.addcmul(xn, r, hn)
            to_n = torch.tanh(zn).div_(zn).nan_to_num_(nan=1.0)
            to_n.addcmul_(to_n, u, value=-1)
            del zn
            flow_h = Flow(self.sums[1], ahead, hn, to_n * r, audit)
            del from_h, hr, hu, hn, r
            flow_x = Flow(self.sums[0], x, xn, to_n, audit)
            del from_x, xr, xu, xn, to_n
        keep, drivers = u.unbind(0), []
        for t in reversed(range(loop.steps)):
            unit = loop.at(t)
            driver = rows([unit] * 3) if equal else unit
            flow_x.take(t, driver)
            loop.hand_back(t, flow_h.back(t, driver), unit * keep[t])
            if audit:
                drivers.append(unit)
        found = Found(first=[loop.behind], first_relevance=loop.first).take(flow_x, flow_h)
        if audit and constants is not None:
            found.absorbed["constant"] = total(torch.stack(drivers[::-1]) * constants)
        return found


class LSTM:
    """``h = o tanh(s)`` with ``s' = f s + i g`` and ``g = tanh(W x + U h + b)``; `h` may be projected."""

    def __init__(self, parameters: Parameters, equal: bool) -> None:
        self.parameters, self.equal = parameters, equal
        p = parameters
        units, width = p.input.shape[1] // 4, p.input.shape[-1]
        self.weight = torch.cat([p.input, p.hidden], -1)
        part = slice(None) if equal else slice(2 * units, 3 * units)
        reach = p.input.new_ones(()) if p.projection is None else p.projection.abs().sum(-1)[:, None]
        bias = p.bias if p.bias is None else p.bias[..., part]
        self.sums = [DirectionalSum(self.weight[:, part], bias, width, reach)]
        if p.projection is not None:
            self.sums.append(DirectionalSum(p.projection, None, 0, p.input.new_ones(())))

    def back(self, x: Tensor, first: Sequence[Tensor], cell: Mapping[int, Tensor], loop: Loop) -> Found:
        """Pull back through all steps; `cell` holds what arrives at the cell's state behind a step."""
        gates = self._gates(x, first, loop)
        flow, projection = gates.flow, gates.projection
        keep, to_cell = gates.forget.unbind(0), gates.per_cell.unbind(0)
        inner = Loop(gates.inner, gates.inner, loop.epsilon, loop.audit) if gates.inner is not None else None
        s_unit: Tensor | None = None
        noted: list[tuple[Tensor, Tensor]] = []
        for t in reversed(range(loop.steps)):
            unit = loop.at(t)
            if projection is not None and inner is not None:
                projected = inner.unit(t, projection.back(t, unit))
                unit = torch.zeros_like(to_cell[t]) if projected is None else projected
            if t in cell:
                s_unit = cell[t] if s_unit is None else s_unit + cell[t]
            s_unit = unit * to_cell[t] if s_unit is None else torch.addcmul(s_unit, unit, to_cell[t])
            loop.hand_back(t, flow.back(t, rows([s_unit, s_unit, s_unit, unit]) if self.equal else s_unit))
            if loop.audit:
                noted.append((s_unit, unit))
            s_unit = s_unit * keep[t]
        found = Found(first=[loop.behind, s_unit], first_relevance=loop.first).take(flow)
        if projection is not None and inner is not None:
            found.take(projection)
            found.absorbed["stabiliser"] += inner.stabiliser
        if loop.audit and gates.constants:
            driven = [torch.stack(parts[::-1]) for parts in zip(*noted, strict=True)]
            found.absorbed["constant"] = sum(total(a * b) for a, b in zip(driven, gates.constants, strict=True))
        return found

    def _gates(self, x: Tensor, first: Sequence[Tensor], loop: Loop) -> _Gates:
        p, width, ahead, audit = self.parameters, self.sums[0].width, loop.ahead, loop.audit
        z = dense([(x, self.weight[..., :width]), (ahead, self.weight[..., width:])], p.bias)
        zi, zf, zg, zo = z.chunk(4, -1)
        constants: tuple[Tensor, ...] = ()
        if self.equal:
            i, f, o = torch.sigmoid(zi), torch.sigmoid(zf), torch.sigmoid(zo)
        else:
            # In place: a long signal's gates are large.
            i, f, o = zi.sigmoid_(), zf.sigmoid_(), zo.sigmoid_()
        g = torch.tanh(zg)
        s = i * g
        state = first[1]
        for forget, cell in zip(f.unbind(0), s.unbind(0), strict=True):
            state = cell.addcmul_(forget, state)
        tanh = torch.tanh(s)
        inner = o * tanh if len(self.sums) > 1 else None
        joined = torch.cat([x, ahead], -1) if self.sums[0].asks_for_input(audit) else ahead
        if self.equal:
            behind = before(first[1], s)
            per_gate = 0.5 * g, 0.5 * behind, 0.5 * tanh
            di, df, do = (a * _slopes(b, c) for a, b, c in zip(per_gate, (i, f, o), (zi, zf, zo), strict=True))
            drive = rows([di, df, 0.5 * i * slope(g, zg, 0.0, 1.0), do])
            constants = (per_gate[0] + per_gate[1]) / 2, per_gate[2] / 2
            flow = Flow(self.sums[0], joined, z, drive, audit)
            f = 0.5 * f
        else:
            flow = Flow(self.sums[0], joined, zg, g.div_(zg).nan_to_num_(nan=1.0).mul_(i), audit)
        del g
        per_cell = tanh.div_(s).nan_to_num_(nan=1.0).mul_(o)
        if self.equal:
            per_cell = 0.5 * per_cell
        projection = None
        if inner is not None and p.projection is not None:
            projected = dense([(inner, p.projection)], None)
            projection = Flow(self.sums[1], inner, projected, torch.ones_like(projected), audit)
        return _Gates(flow, projection, inner, f, per_cell, constants)


@dataclass
class _Gates:
    """What the way back through an LSTM needs of its gates and states."""

    flow: Flow
    projection: Flow | None
    inner: Tensor | None
    forget: Tensor
    per_cell: Tensor
    constants: tuple[Tensor, ...]
