"""Products of two signals, and of a signal with a constant."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from signalrp.propagation.engine import Engine
from signalrp.propagation.operations.activations import hang_pointwise
from signalrp.propagation.registry import IN_PLACE, handles, overwrites
from signalrp.propagation.tags import Call, tag_of, tensors_in


@handles("mul", "__mul__", "__rmul__", "multiply")
def multiply(engine: Engine, call: Call, input: Any, other: Any) -> Any:
    """A constant factor scales; of two signals a gate gets nothing, else each gets half."""
    if len(call.tracked) == 1:
        if input is other:
            return engine.scaled(call, [0.5])
        return engine.local(call)
    return engine.scaled(call, shares(engine, call))


@handles("div", "__truediv__", "true_divide", "divide", "__rtruediv__", "__rdiv__")
def divide(engine: Engine, call: Call, input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """The divisor counts as a constant: it normalises. Where it is the only signal, the quotient's slope counts."""
    if rounding_mode is not None:
        return engine.cut(call)
    numerator, divisor = (other, input) if call.name in ("__rtruediv__", "__rdiv__") else (input, other)
    if not any(numerator is t for t in call.tracked):
        if isinstance(numerator, Tensor) and numerator.dim() > 0:
            return engine.unsupported(call, "of a constant tensor by a signal; multiply by its reciprocal")
        return hang_pointwise(engine, call)
    if not any(divisor is t for t in call.tracked):
        return engine.local(call)
    if numerator is divisor:
        return engine.cut(call)
    return engine.scaled(call, [1.0 if t is numerator else 0.0 for t in call.tracked])


def shares(engine: Engine, call: Call) -> list[float]:
    """Return the parts of two tracked factors: nothing for the one that is a gate, else half each."""
    gates = [tag.gate if (tag := tag_of(t, engine)) is not None else False for t in call.tracked]
    if engine.composite.products == "gate" and sum(gates) == 1:
        return [0.0 if gate else 1.0 for gate in gates]
    return [1 / len(gates)] * len(gates)


def matrix_product(engine: Engine, call: Call) -> Any:
    """A product of two signals by matrix multiplication, einsum or a bilinear form."""
    if len(call.tracked) == 1:
        signal = call.tracked[0]
        twice = sum(t is signal for t in tensors_in(call.args, call.kwargs)) > 1
        return engine.scaled(call, [0.5 if twice else 1.0], spread="proportional")
    if len(call.tracked) > 2:
        return engine.unsupported(call, "of more than two signals")
    return engine.scaled(call, shares(engine, call), spread="proportional")


@handles("glu")
def gated_linear_unit(engine: Engine, call: Call, input: Tensor, dim: int = -1) -> Any:
    """One half of the channels, gated by the sigmoid of the other."""
    with engine:
        signal, gate = input.chunk(2, dim)
        return signal * torch.sigmoid(gate)


IN_PLACE.update({"__imul__": "mul", "__itruediv__": "div", "__idiv__": "div"})
overwrites("mul", "multiply", "div", "divide", "true_divide")
