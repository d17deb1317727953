"""Sums with weights that the model learnt: where the rules act."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from signalrp.propagation.engine import Engine
from signalrp.propagation.operations.products import matrix_product
from signalrp.propagation.registry import handles
from signalrp.propagation.sums import Convolution, General, Linear, WeightedSum
from signalrp.propagation.tags import Call, tag_of

Numbers = int | Sequence[int]


@handles("linear")
def linear(engine: Engine, call: Call, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    """Dense layer."""
    if not only_input(call, input):
        return matrix_product(engine, call)
    out = call.value()
    return _hang(engine, call, input, Linear(input, weight, bias, out), out)


@handles("conv1d", "conv2d", "conv3d")
def convolution(
    engine: Engine,
    call: Call,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
) -> Any:
    """Convolution of one to three dimensions."""
    if not only_input(call, input):
        return matrix_product(engine, call)
    dims = weight.dim() - 2
    if input.dim() == dims + 1:
        with engine:
            return call.func(input.unsqueeze(0), weight, bias, stride, padding, dilation, groups).squeeze(0)
    steps = _numbers(dilation, dims)
    extend = [0] * dims
    if isinstance(padding, str):
        whole = [d * (k - 1) if padding == "same" else 0 for d, k in zip(steps, weight.shape[2:], strict=True)]
        padding, extend = [p // 2 for p in whole], [p % 2 for p in whole]
    out = call.value()
    op = Convolution(
        input, weight, bias, out, stride=_numbers(stride, dims), padding=_numbers(padding, dims), dilation=steps,
        transposed=False, output_padding=[0] * dims, groups=groups, extend=extend,
    )  # fmt: skip
    return _hang(engine, call, input, op, out)


@handles("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def transposed_convolution(
    engine: Engine,
    call: Call,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
) -> Any:
    """Transposed convolution of one to three dimensions."""
    if not only_input(call, input):
        return matrix_product(engine, call)
    dims = weight.dim() - 2
    if input.dim() == dims + 1:
        with engine:
            batch = input.unsqueeze(0)
            return call.func(batch, weight, bias, stride, padding, output_padding, groups, dilation).squeeze(0)
    out = call.value()
    op = Convolution(
        input, weight, bias, out, stride=_numbers(stride, dims), padding=_numbers(padding, dims),
        dilation=_numbers(dilation, dims), transposed=True, output_padding=_numbers(output_padding, dims),
        groups=groups,
    )  # fmt: skip
    return _hang(engine, call, input, op, out)


@handles("matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "mv", "dot", "inner", "vdot")
def matmul(engine: Engine, call: Call, input: Tensor, other: Tensor | None = None, **kwargs: Any) -> Any:
    """A matrix product with a constant is a weighted sum, on whichever side the constant stands."""
    if other is None:
        other = next(iter(kwargs.values()))
    first, second = (other, input) if call.name == "__rmatmul__" else (input, other)
    plain = getattr(torch, call.name.strip("_").replace("rmatmul", "matmul"))
    return _matrix_sum(engine, call, first, second, plain)


@handles("addmm", "addmv", "baddbmm")
def matmul_with_bias(
    engine: Engine, call: Call, input: Tensor, first: Tensor, second: Tensor, *, beta: float = 1, alpha: float = 1
) -> Any:
    """``beta * input + alpha * first @ second``: a weighted sum whose bias is a constant input."""
    products: dict[str, Callable[..., Tensor]] = {"addmm": torch.mm, "addmv": torch.mv, "baddbmm": torch.bmm}
    if any(input is t for t in call.tracked):
        with engine:
            return products[call.name](first, second) * alpha + input * beta
    constant, signal = (first, second) if any(second is t for t in call.tracked) else (second, first)
    scaled = constant if any(constant is t for t in call.tracked) else constant * alpha
    pair = (scaled, signal) if constant is first else (signal, scaled)
    return _matrix_sum(engine, call, *pair, products[call.name], input * beta)


def _matrix_sum(
    engine: Engine,
    call: Call,
    first: Tensor,
    second: Tensor,
    product: Callable[..., Tensor],
    bias: Tensor | None = None,
) -> Any:
    if len(call.tracked) > 1 or first is second:
        return matrix_product(engine, call)
    out = call.value()
    x = call.tracked[0]
    if x is first and second.dim() == 2 and product is not torch.inner:
        return _hang(engine, call, x, Linear(x, second.mT, bias, out), out)
    if x is first:
        return _hang(engine, call, x, General(x, second, bias, out, product), out)
    return _hang(engine, call, x, General(x, first, bias, out, lambda x, weight: product(weight, x)), out)


@handles("einsum")
def einsum(engine: Engine, call: Call, equation: Any, *operands: Any) -> Any:
    """An Einstein sum of the signal with constants is a weighted sum in the signal."""
    if not isinstance(equation, str):
        return engine.unsupported(call, "in its sublist form; write the equation as a string")
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    places = [i for i, t in enumerate(operands) if any(t is x for x in call.tracked)]
    if len(places) > 2:
        return engine.unsupported(call, "of more than two signals")
    if len(places) == 2:
        return matrix_product(engine, call)
    if len(operands) == 1:
        return engine.local(call, spread="proportional")
    where = places[0]
    weights = [i for i in range(len(operands)) if i != where]
    chosen, others = weights[0], weights[1:]

    def apply(x: Tensor, weight: Tensor) -> Tensor:
        parts = list(operands)
        parts[where], parts[chosen] = x, weight
        return torch.einsum(equation, *parts)

    if others:
        return engine.local(call, spread="proportional")
    out = call.value()
    return _hang(engine, call, operands[where], General(operands[where], operands[chosen], None, out, apply), out)


@handles("bilinear")
def bilinear(
    engine: Engine, call: Call, input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Any:
    """A bilinear form is a weighted sum in one signal where the other is a constant, else a product of two."""
    out = call.value()
    tracked = [t for t in (input1, input2) if any(t is x for x in call.tracked)]
    if len(tracked) == 2 or any(weight is t for t in call.tracked):
        return matrix_product(engine, call)
    first = tracked[0] is input1
    # The weights of the one signal are those of the form, summed over the constant side.
    effective = torch.einsum("oij,...j->...oi" if first else "oij,...i->...oj", weight, input2 if first else input1)

    def apply(x: Tensor, weight: Tensor) -> Tensor:
        return torch.einsum("...i,...oi->...o", x, weight)

    return _hang(engine, call, tracked[0], General(tracked[0], effective, bias, out, apply), out)


def only_input(call: Call, input: Tensor) -> bool:
    """Whether the signal comes in as the input, and the weights are constants."""
    return len(call.tracked) == 1 and call.tracked[0] is input


def _hang(engine: Engine, call: Call, x: Tensor, op: WeightedSum, out: Tensor) -> Tensor:
    tag = tag_of(x, engine)
    if tag is not None and tag.norm is not None and tag.link is not None and tag.link.holds(x):
        merged = op.merged_before(tag.link.x, *tag.norm)
        if merged is not None:
            return engine.weighted_sum(call, tag.link.x, merged, out)
    return engine.weighted_sum(call, x, op, out)


def _numbers(value: Numbers, dims: int) -> list[int]:
    return [value] * dims if isinstance(value, int) else list(value) * (dims if len(value) == 1 else 1)
