"""Sums, products and quotients, element by element."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from signalrp.propagation.engine import Engine
from signalrp.propagation.nodes import Grads, Step
from signalrp.propagation.operations.products import share_product, shares
from signalrp.propagation.operations.slopes import hang_pointwise
from signalrp.propagation.registry import IN_PLACE, handles, overwrites
from signalrp.propagation.tags import Affine, Call, mark, tag_of


@handles("add", "__add__", "__radd__", "sub", "__sub__", "__rsub__", "rsub", "subtract")
def add(engine: Engine, call: Call, input: Any, other: Any, *, alpha: float = 1) -> Any:
    """Each summand keeps what it brought; constants keep theirs."""
    out = engine.local(call)
    if len(call.tracked) == 1 and isinstance(other, (int, float)):
        reverse = call.name in ("__rsub__", "rsub")
        number = other if reverse else alpha * other * (1 if call.name in ("add", "__add__", "__radd__") else -1)
        _note(engine, call, out, -alpha if reverse else 1.0, float(number))
    return out


@handles("mul", "__mul__", "__rmul__", "multiply")
def multiply(engine: Engine, call: Call, input: Any, other: Any) -> Any:
    """A constant factor scales; of two signals a gate gets nothing, else each gets half."""
    if len(call.tracked) == 1 and input is not other:
        out = engine.local(call)
        if isinstance(other, (int, float)):
            _note(engine, call, out, float(other), 0.0)
        return out
    parts = shares(engine, call)
    divisors = [tag is not None and tag.gate == "divisor" for tag in (tag_of(t, engine) for t in call.tracked)]
    if len(parts) == 2 and any(divisor and not part for divisor, part in zip(divisors, parts, strict=True)):
        signal, factor = call.tracked if parts[0] else call.tracked[::-1]
        out = call.value()
        return engine.hang(Quotient(engine, call.name, signal, factor, out, inverted=True), [signal], out)
    return share_product(engine, call, parts=parts)


@handles("div", "__truediv__", "true_divide", "divide", "__rtruediv__", "__rdiv__")
def divide(engine: Engine, call: Call, input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """The divisor counts as a constant: it normalises. Where it is the only signal, the quotient's slope counts."""
    if rounding_mode is not None:
        return engine.cut(call)
    numerator, divisor = (other, input) if call.name in ("__rtruediv__", "__rdiv__") else (input, other)
    if not any(numerator is t for t in call.tracked):
        return hang_pointwise(engine, call)
    if not any(divisor is t for t in call.tracked):
        out = engine.local(call)
        if isinstance(divisor, (int, float)):
            _note(engine, call, out, 1 / divisor, 0.0)
        return out
    if numerator is divisor:
        return engine.cut(call)
    out = call.value()
    return engine.hang(Quotient(engine, call.name, numerator, divisor, out), [numerator], out)


class Quotient(Step):
    """A signal divided by a statistic of signals, which is a constant; where that is 0 nothing goes back.

    With `inverted` the signal is multiplied by what has been inverted before.
    """

    reads_values = False

    def __init__(
        self, engine: Engine, name: str, signal: Tensor, divisor: Tensor, out: Tensor, inverted: bool = False
    ) -> None:
        super().__init__(engine, name, [signal], out)
        self.divisor, self.inverted = divisor, inverted
        engine.keep_constants(self, "divisor")

    def per_unit(self, c: Tensor) -> Grads:
        factor = self.divisor if self.inverted else self.divisor.reciprocal()
        unit = torch.where(torch.isfinite(factor), c * factor.conj(), 0)
        return (unit.sum_to_size(self.inputs[0].shape),)

    def absorbed(self, c: Tensor, is_relevance: bool) -> dict[str, float]:
        return {}


def _note(engine: Engine, call: Call, out: Tensor, scale: float, offset: float) -> None:
    """Note that a tensor is ``scale * x + offset``, where a product may ask for it."""
    x = call.tracked[0]
    tag = tag_of(x, engine)
    before = tag.affine if tag is not None and tag.affine is not None and tag.affine.holds(x) else None
    if before is None and not offset:
        return
    signal = x if before is None else before.signal
    scale, offset = (scale, offset) if before is None else (scale * before.scale, scale * before.offset + offset)
    made = engine.inherited(call)
    made.affine = Affine(signal, signal._version, out._version, scale, offset)
    mark(out, made)


IN_PLACE.update({"__imul__": "mul", "__itruediv__": "div", "__idiv__": "div", "__iadd__": "add", "__isub__": "sub"})
overwrites("mul", "multiply", "div", "divide", "true_divide", "add", "sub", "subtract")
