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


def dense(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return ``W x + b`` for (time, direction, batch, in)."""
    joined = x.transpose(0, 1).flatten(1, 2)
    out = torch.bmm(joined, weight.mT) if bias is None else torch.baddbmm(bias, joined, weight.mT)
    return out.unflatten(1, (len(x), -1)).transpose(0, 1)


def _slopes(gate: Tensor, z: Tensor) -> Tensor:
    return slope(gate, z, 0.5, 0.25)


class Simple:
    """``h' = f(W x + U h + b)`` with tanh or ReLU."""

    gates = 1

    def __init__(self, parameters: Parameters, equal: bool, rectified: bool) -> None:
        p, self.rectified = parameters, rectified
        reach = None if rectified else p.input.new_ones(())
        self.sums = [DirectionalSum(torch.cat([p.input, p.hidden], -1), p.bias, p.input.shape[-1], reach)]

    def back(self, x: Tensor, h: Tensor, first: Sequence[Tensor], cell: Mapping[int, Tensor], loop: Loop) -> Found:
        """Pull back through all steps."""
        (op,) = self.sums
        joined = torch.cat([x, before(first[0], h)], -1)
        z = dense(joined, op.weight, op.bias)
        drive = (z > 0).to(z.dtype) if self.rectified else slope(torch.tanh(z), z, 0.0, 1.0)
        flow = Flow(op, joined, z, drive, loop.audit)
        for t in reversed(range(loop.steps)):
            loop.hand_back(t, flow.back(t, loop.at(t)))
        return Found(first=[loop.behind], first_relevance=loop.first).take(flow)


class GRU:
    """``h' = (1 - u) n + u h`` with ``n = tanh(A x + a + r (B h + b))``: two weighted sums, one behind a gate."""

    gates = 3

    def __init__(self, parameters: Parameters, equal: bool) -> None:
        self.parameters, self.equal = parameters, equal
        p, units = parameters, parameters.hidden.shape[-1]
        part = slice(None) if equal else slice(2 * units, None)
        one = p.hidden.new_ones(())

        def of(weight: Tensor, bias: Tensor | None, width: int) -> DirectionalSum:
            return DirectionalSum(weight[:, part], None if bias is None else bias[..., part], width, one)

        self.sums = [of(p.input, p.input_bias, p.input.shape[-1]), of(p.hidden, p.hidden_bias, 0)]

    def back(self, x: Tensor, h: Tensor, first: Sequence[Tensor], cell: Mapping[int, Tensor], loop: Loop) -> Found:
        """Pull back through all steps."""
        p, equal, audit = self.parameters, self.equal, loop.audit
        ahead = before(first[0], h)
        from_x, from_h = dense(x, p.input, p.input_bias), dense(ahead, p.hidden, p.hidden_bias)
        xr, xu, xn = from_x.chunk(3, -1)
        hr, hu, hn = from_h.chunk(3, -1)
        zr, zu = xr + hr, xu + hu
        r, u = torch.sigmoid(zr), torch.sigmoid(zu)
        zn = xn + r * hn
        n = torch.tanh(zn)
        half = 0.5 if equal else 1.0
        to_n = half * (1 - u) * slope(n, zn, 0.0, 1.0)
        drive_x, drive_h, constants = [to_n], [half * to_n * r if equal else to_n * r], None
        if equal:
            per_r, per_u = half * to_n * hn, half * (ahead - n)
            to_r, to_u = per_r * _slopes(r, zr), per_u * _slopes(u, zu)
            drive_x, drive_h = [to_r, to_u, to_n], [to_r, to_u, *drive_h]
            constants = (per_r + per_u) / 2 + half * n
        else:
            from_x, from_h = xn, hn
        flow_x = Flow(self.sums[0], x, from_x, rows(drive_x), audit)
        flow_h = Flow(self.sums[1], ahead, from_h, rows(drive_h), audit)
        keep, drivers = (half * u).unbind(0), []
        for t in reversed(range(loop.steps)):
            unit = loop.at(t)
            drivers.append(unit)
            loop.hand_back(t, flow_h.back(t, rows([unit] * (3 if equal else 1))), unit * keep[t])
        driven = torch.stack(drivers[::-1])
        flow_x.all_back(rows([driven] * (3 if equal else 1)))
        found = Found(first=[loop.behind], first_relevance=loop.first).take(flow_x, flow_h)
        if audit and constants is not None:
            found.absorbed["constant"] = total(driven * constants)
        return found


class LSTM:
    """``h = o tanh(s)`` with ``s' = f s + i g`` and ``g = tanh(W x + U h + b)``; `h` may be projected."""

    gates = 4

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

    def states(self, z: Tensor, first: Tensor) -> tuple[Tensor, ...]:
        """Return the gates and the cell states before and after each step."""
        i, f, g, o = z.chunk(4, -1)
        i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
        cells = i * g
        for forget, cell in zip(f.unbind(0), cells.unbind(0), strict=True):
            first = cell.addcmul_(forget, first)
        return i, f, g, o, cells

    def back(self, x: Tensor, h: Tensor, first: Sequence[Tensor], cell: Mapping[int, Tensor], loop: Loop) -> Found:
        """Pull back through all steps; `cell` holds what arrives at the cell's state behind a step."""
        p, equal, audit = self.parameters, self.equal, loop.audit
        joined = torch.cat([x, before(first[0], h)], -1)
        z = dense(joined, self.weight, p.bias)
        i, f, g, o, s = self.states(z, first[1])
        ahead, tanh = before(first[1], s), torch.tanh(s)
        half = 0.5 if equal else 1.0
        zi, zf, zg, zo = z.chunk(4, -1)
        per_s = half * o * slope(tanh, s, 0.0, 1.0)
        drive = [half * i * slope(g, zg, 0.0, 1.0)]
        constants: tuple[Tensor, ...] = ()
        if equal:
            per_gate = half * g, half * ahead, half * tanh
            di, df, do = (a * _slopes(b, c) for a, b, c in zip(per_gate, (i, f, o), (zi, zf, zo), strict=True))
            drive = [di, df, *drive, do]
            constants = (per_gate[0] + per_gate[1]) / 2, per_gate[2] / 2
        flow = Flow(self.sums[0], joined, z if equal else zg, rows(drive), audit)
        m = o * tanh if len(self.sums) > 1 else None
        projection = Flow(self.sums[1], m, h, torch.ones_like(h), audit) if m is not None else None
        inner, keep, to_cell = (
            Loop(m, m, loop.epsilon, audit) if m is not None else None,
            (half * f).unbind(0),
            per_s.unbind(0),
        )
        del z, i, g, o, tanh, drive, zi, zf, zg, zo
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
            loop.hand_back(t, flow.back(t, rows([s_unit, s_unit, s_unit, unit]) if equal else s_unit))
            if audit:
                noted.append((s_unit, unit))
            s_unit = s_unit * keep[t]
        found = Found(first=[loop.behind, s_unit], first_relevance=loop.first).take(flow)
        if projection is not None and inner is not None:
            found.take(projection)
            found.absorbed["stabiliser"] += inner.stabiliser
        if audit and constants:
            driven = [torch.stack(parts[::-1]) for parts in zip(*noted, strict=True)]
            found.absorbed["constant"] = sum(total(a * b) for a, b in zip(driven, constants, strict=True))
        return found
