"""LSTM, GRU and plain recurrent layers and cells: a native forward pass, and a step for each layer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.graph import get_gradient_edge

from signalrp.propagation.cells import GRU, LSTM, Found, Parameters, Simple
from signalrp.propagation.engine import Engine
from signalrp.propagation.nodes import Grads, Step
from signalrp.propagation.pull import amount, stabilise, total
from signalrp.propagation.recurrence import Loop, before
from signalrp.propagation.registry import handles
from signalrp.propagation.sums import WeightedSum
from signalrp.propagation.tags import Call, Tag, mark, tag_of

Cell = Simple | GRU | LSTM


class Layout:
    """Directions of one layer, and the lengths of its sequences: from (time, batch, units) and back."""

    def __init__(self, directions: int, steps: int, lengths: Tensor | None, batch: int) -> None:
        self.directions, self.order = directions, None
        last = lengths - 1 if lengths is not None else torch.full((batch,), steps - 1)
        self.last = last
        if lengths is not None and directions > 1:
            time = torch.arange(steps, device=lengths.device)[:, None]
            self.order = torch.where(time < lengths, lengths - 1 - time, time)

    def _reversed(self, x: Tensor) -> Tensor:
        if self.order is None:
            return x.flip(0)
        return x.gather(0, self.order[..., None].expand_as(x))

    def spread(self, x: Tensor) -> Tensor:
        """Give every direction the input in its own order: (time, direction, batch, in)."""
        return x[:, None] if self.directions == 1 else torch.stack([x, self._reversed(x)], 1)

    def apart(self, h: Tensor) -> Tensor:
        """Take the layer's output apart by direction, each in its own order."""
        h = h.unflatten(2, (self.directions, -1)).transpose(1, 2)
        return h if self.directions == 1 else torch.stack([h[:, 0], self._reversed(h[:, 1])], 1)

    def joined(self, x: Tensor | None) -> Tensor | None:
        """Add up what the directions hand to the input."""
        if x is None or self.directions == 1:
            return None if x is None else x[:, 0]
        return x[:, 0] + self._reversed(x[:, 1])

    def ends(self, c: Tensor) -> dict[int, Tensor]:
        """Return what arrives at the last states (direction, batch, units), by the step they are the state of."""
        return {int(t): c * (self.last == t).to(c.device, c.dtype)[:, None] for t in self.last.unique()}


class Recurrence(Step):
    """One recurrent layer; the outputs are all hidden states, and the last cell states of an LSTM."""

    def __init__(
        self, engine: Engine, call: Call, cell: Cell, layout: Layout, inputs: Sequence[Tensor], outs: Sequence[Tensor]
    ) -> None:
        super().__init__(engine, call.name, inputs, outs[0])
        self.cell, self.layout = cell, layout
        self.last_cell = engine.kept.keep(partial(setattr, self, "last_cell"), outs[1]) if len(outs) > 1 else None
        self.edges = [get_gradient_edge(x) if x.requires_grad else None for x in inputs]
        self.is_cut = [(tag := tag_of(x, engine)) is not None and tag.cut for x in inputs]

    def back(self, grads: Sequence[Tensor]) -> Grads:
        """Pull back through the layer and book the step."""
        engine, ledger = self.engine, self.engine.ledger
        as_such = engine.carries_relevance
        kept: dict[str, float] = {}
        outs = [self.out] if self.last_cell is None else [self.out, self.last_cell]
        received = 0.0
        units = []
        for grad, out in zip(grads, outs, strict=True):
            stable = stabilise(out, engine.epsilon)
            units.append(grad / stable if as_such else grad)
            if ledger is not None:
                received += total(grad) if as_such else amount(grad, out)
                if as_such:
                    kept["stabiliser"] = kept.get("stabiliser", 0.0) + total(units[-1] * (stable - out))
        found, stabiliser = self._found(units)
        arrived = self._arrived(found)
        if ledger is not None:
            passed = 0.0
            found.absorbed["stabiliser"] = found.absorbed.get("stabiliser", 0.0) + stabiliser
            for name, value in found.absorbed.items():
                kept[name] = kept.get(name, 0.0) + value
            for i, (unit, relevance) in enumerate(arrived):
                share = amount(unit, self.inputs[i]) if unit is not None else 0.0
                share += total(relevance) if relevance is not None else 0.0
                if self.edges[i] is not None:
                    passed += share
                else:
                    name = "cut" if self.is_cut[i] else "constant"
                    kept[name] = kept.get(name, 0.0) + share
            rule = "/".join(dict.fromkeys(type(op.rule).__name__ for op in self.cell.sums))
            ledger.book(self.number, self.name, self.path, received, passed, rule, kept)
        return tuple(self._handed(i, *parts) for i, parts in enumerate(arrived))

    def _found(self, units: Sequence[Tensor]) -> tuple[Found, float]:
        engine, layout = self.engine, self.layout
        # Under autocast what went in, what came out and the weights differ in type.
        kind = self.cell.sums[0].weight.dtype
        x, *first = (value.to(kind) for value in self.inputs)
        units = [unit.to(kind) for unit in units]
        ends = layout.ends(units[1]) if len(units) > 1 else {}
        with torch.no_grad():
            ahead = before(first[0], layout.apart(self.out.to(kind)))
            loop = Loop(ahead, layout.apart(units[0]), engine.epsilon, engine.ledger is not None)
            found = self.cell.back(layout.spread(x), first, ends, loop)
        return found, loop.stabiliser

    def _arrived(self, found: Found) -> list[tuple[Tensor | None, Tensor | None]]:
        hidden, *cells = found.first
        first = [(hidden, found.first_relevance), *((unit, None) for unit in cells)]
        return [(self.layout.joined(found.unit), self.layout.joined(found.relevance)), *first]

    def _handed(self, i: int, unit: Tensor | None, relevance: Tensor | None) -> Tensor | None:
        if self.edges[i] is None:
            return None
        if self.engine.carries_relevance:
            parts = [unit * self.inputs[i]] if unit is not None else []
            parts += [relevance] if relevance is not None else []
            return sum(parts[1:], parts[0]) if parts else None
        if relevance is not None:
            self.engine.restart(self.edges[i], relevance)
        return unit


class RecurrentNode(Function):
    """Hangs a recurrent layer into the graph."""

    @staticmethod
    def forward(ctx: Any, step: Recurrence, outs: list[Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.step = step
        return tuple(outs)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        step = ctx.step
        if step.engine.is_last:
            ctx.step = None
        return (None, None, *step.back(grads))


def cell_of(name: str, weights: Sequence[Sequence[Tensor]], has_bias: bool, equal: bool) -> Cell:
    """Return the cell of one layer."""
    parameters = Parameters.of(weights, has_bias)
    if name.startswith("lstm"):
        return LSTM(parameters, equal)
    if name.startswith("gru"):
        return GRU(parameters, equal)
    return Simple(parameters, rectified="relu" in name)


def hang_layer(
    engine: Engine,
    call: Call,
    parents: tuple[WeightedSum, ...],
    weights: Sequence[Sequence[Tensor]],
    has_bias: bool,
    x: Tensor,
    first: Sequence[Tensor],
    outs: Sequence[Tensor],
    lengths: Tensor | None,
) -> tuple[tuple[Tensor, ...], tuple[WeightedSum, ...]]:
    """Put one layer into the graph: x (time, batch, in), first states (direction, batch, units), what came out."""
    cell = cell_of(call.name, weights, has_bias, engine.composite.products == "equal")
    for op in cell.sums:
        engine.enter(op, parents)
    layout = Layout(len(weights), x.shape[0], lengths, x.shape[1])
    step = Recurrence(engine, call, cell, layout, [x, *first], outs)
    return RecurrentNode.apply(step, list(outs), x, *first), tuple(cell.sums)


@handles("lstm", "gru", "rnn_tanh", "rnn_relu")
def recurrent(engine: Engine, call: Call, *args: Any) -> Any:
    """A recurrent net of several layers and both directions, padded or packed."""
    sizes: Tensor | None = None
    batch_first = False
    if isinstance(args[1], Tensor) and not args[1].is_floating_point():
        data, sizes, states, weights, has_bias, layers, dropout, train, both = args
    else:
        data, states, weights, has_bias, layers, dropout, train, both, batch_first = args
    if any(any(w is t for t in call.tracked) for w in weights):
        return engine.unsupported(call, "with weights that depend on the input")
    if train and dropout:
        return engine.unsupported(call, "with dropout in training mode; call model.eval()")
    lengths, place = None, None
    x = data.transpose(0, 1) if batch_first else data
    if sizes is not None:
        lengths = (sizes[:, None] > torch.arange(int(sizes[0]))).sum(0).to(data.device)
        time = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
        place = (time, torch.cat([torch.arange(int(n)) for n in sizes]))
        x = _padded(data, place, (len(sizes), int(sizes[0])))
    hidden, *cells = states if isinstance(states, (tuple, list)) else (states,)
    directions, per_layer = 2 if both else 1, len(weights) // layers
    per_direction = per_layer // directions
    parents, ends = call.parents, []
    for layer in range(layers):
        part = slice(layer * directions, (layer + 1) * directions)
        own = weights[layer * per_layer : (layer + 1) * per_layer]
        first = [_part(engine, state, part) for state in (hidden, *cells)]
        native = _native(call, x, first, own, has_bias, both, sizes, place)
        by_direction = [own[i * per_direction : (i + 1) * per_direction] for i in range(directions)]
        outs, parents = hang_layer(engine, call, parents, by_direction, has_bias, x, first, native, lengths)
        x = outs[0]
        ends.append((_last(x, directions, lengths), *outs[1:]))
    last = [torch.cat(list(parts)) for parts in zip(*ends, strict=True)]
    out = x[place] if place is not None else x.transpose(0, 1) if batch_first else x
    for tensor in (out, *last):
        mark(tensor, Tag(engine, parents, call.token))
    return (out, *last)


def _part(engine: Engine, state: Tensor, part: slice) -> Tensor:
    own, tag = state[part], tag_of(state, engine)
    if tag is not None:
        mark(own, tag)
    return own


def _native(
    call: Call,
    x: Tensor,
    first: Sequence[Tensor],
    weights: Sequence[Tensor],
    has_bias: bool,
    both: bool,
    sizes: Tensor | None,
    place: Any,
) -> list[Tensor]:
    """Return all hidden states (time, batch, directions * units) and the last cell states of one layer."""
    states: Any = list(first) if len(first) > 1 else first[0]
    options = (list(weights), has_bias, 1, 0.0, False, both)
    with torch.no_grad():
        if sizes is None:
            out, _, *cell = call.func(x, states, *options, False)
        else:
            out, _, *cell = call.func(x[place], sizes, states, *options)
            out = _padded(out, place, x.shape[:2])
    return [out, *cell]


def _padded(data: Tensor, place: tuple[Tensor, Tensor], shape: Sequence[int]) -> Tensor:
    return data.new_zeros(*shape, data.shape[-1]).index_put(place, data)


def _last(h: Tensor, directions: int, lengths: Tensor | None) -> Tensor:
    """Return the last hidden states (direction, batch, units): the second direction ends at the beginning."""
    forward = h.chunk(directions, -1)[0]
    samples = torch.arange(h.shape[1], device=h.device)
    end = forward[-1] if lengths is None else forward[lengths - 1, samples]
    return torch.stack([end, h.chunk(2, -1)[1][0]]) if directions == 2 else end[None]


@handles("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
def recurrent_cell(
    engine: Engine,
    call: Call,
    input: Tensor,
    hx: Any,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Any:
    """One step of a recurrent net: a layer of one instant."""
    weights = [w_ih, w_hh] if b_ih is None or b_hh is None else [w_ih, w_hh, b_ih, b_hh]
    if any(any(w is t for t in call.tracked) for w in weights):
        return engine.unsupported(call, "with weights that depend on the input")
    native = call.value()
    states = list(hx) if isinstance(hx, (tuple, list)) else [hx]
    values = list(native) if isinstance(native, (tuple, list)) else [native]
    # Fresh tensors: the model could not overwrite views.
    values = [value[None].clone() for value in values]
    first = [state[None] for state in states]
    outs, parents = hang_layer(
        engine, call, call.parents, [weights], len(weights) > 2, input[None], first, values, None
    )
    results = tuple(out[0] for out in outs)
    for tensor in results:
        mark(tensor, Tag(engine, parents, call.token))
    return results if isinstance(native, (tuple, list)) else results[0]


@handles("_pack_padded_sequence")
def pack(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Moves what is there."""
    return call.native()


@handles("_pad_packed_sequence")
def unpack(
    engine: Engine, call: Call, data: Tensor, sizes: Tensor, batch_first: bool, value: float, length: int
) -> Any:
    """Moves what is there; padding is a constant."""
    out, lengths = call.func(data, sizes, batch_first, 0.0, length)
    if value:
        with torch.no_grad():
            padding = call.func(torch.ones_like(data), sizes, batch_first, 0.0, length)[0] == 0
        engine.tag(out, call)
        with engine:
            out = out.masked_fill(padding, value)
    return out, lengths
