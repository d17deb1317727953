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
    if is_signal(call, bias):
        with engine:
            return call.func(input, weight) + bias
    if not only_input(call, input):
        return matrix_product(engine, call)
    out = call.value()
    return hang_sum(engine, call, input, Linear(input, weight, bias, out), out)


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
    if is_signal(call, bias):
        with engine:
            return call.func(input, weight, None, stride, padding, dilation, groups) + _per_channel(bias, weight)
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
    return hang_sum(engine, call, input, op, out)


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
    if is_signal(call, bias):
        with engine:
            plain = call.func(input, weight, None, stride, padding, output_padding, groups, dilation)
            return plain + _per_channel(bias, weight)
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
    return hang_sum(engine, call, input, op, out)


@handles("convolution", "_convolution")
def any_convolution(
    engine: Engine,
    call: Call,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Numbers,
    padding: Numbers,
    dilation: Numbers,
    transposed: bool,
    output_padding: Numbers,
    groups: int,
    *flags: bool,
) -> Any:
    """The operator that all convolutions come down to, as exported programs call it."""
    form = f"conv_transpose{weight.dim() - 2}d" if transposed else f"conv{weight.dim() - 2}d"
    function = getattr(torch, form)
    with engine:
        if transposed:
            return function(input, weight, bias, stride, padding, output_padding, groups, dilation)
        return function(input, weight, bias, stride, padding, dilation, groups)


@handles("matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "mv", "dot", "inner", "vdot",
         "linalg_matmul", "_sparse_mm")  # fmt: skip
def matmul(engine: Engine, call: Call, input: Tensor, other: Tensor | None = None, **kwargs: Any) -> Any:
    """A matrix product with a constant is a weighted sum, on whichever side the constant stands."""
    if other is None:
        other = next(iter(kwargs.values()))
    first, second = (other, input) if call.name == "__rmatmul__" else (input, other)
    plain = getattr(torch, call.name, torch.matmul)
    if first.layout != torch.strided or second.layout != torch.strided:
        return _sparse_sum(engine, call, first, second)
    return _matrix_sum(engine, call, first, second, plain)


def _sparse_sum(engine: Engine, call: Call, first: Tensor, second: Tensor) -> Any:
    """A sparse constant (the edges of a graph) is densified for the sum."""
    if any(t.layout != torch.strided for t in call.tracked):
        return engine.unsupported(call, "of a sparse signal; make it dense with to_dense()")
    with engine:
        return torch.matmul(*(t if t.layout == torch.strided else t.to_dense() for t in (first, second)))


@handles("addmm", "addmv", "baddbmm")
def matmul_with_bias(
    engine: Engine, call: Call, input: Tensor, first: Tensor, second: Tensor, *, beta: float = 1, alpha: float = 1
) -> Any:
    """``beta * input + alpha * first @ second``: a weighted sum whose bias is a constant input."""
    products: dict[str, Callable[..., Tensor]] = {"addmm": torch.mm, "addmv": torch.mv, "baddbmm": torch.bmm}
    if beta == 0:
        # Then torch does not read the first input: it may be uninitialised.
        with engine:
            return products[call.name](first, second) * alpha
    if any(input is t for t in call.tracked):
        with engine:
            return products[call.name](first, second) * alpha + input * beta
    if first.layout != torch.strided or second.layout != torch.strided or len(call.tracked) > 1:
        with engine:
            return torch.matmul(first, second) * alpha + input * beta
    constant, signal = (first, second) if is_signal(call, second) else (second, first)
    scaled = constant if is_signal(call, constant) or alpha == 1 else constant * alpha
    pair = (scaled, signal) if constant is first else (signal, scaled)
    return _matrix_sum(engine, call, *pair, products[call.name], input if beta == 1 else input * beta)


def _matrix_sum(
    engine: Engine,
    call: Call,
    first: Tensor,
    second: Tensor,
    product: Callable[..., Tensor],
    bias: Tensor | None = None,
) -> Any:
    if len(call.tracked) > 1 or first is second or first.is_complex() or second.is_complex():
        return matrix_product(engine, call)
    out = call.value()
    x = call.tracked[0]
    if x is first and second.dim() == 2 and product is not torch.inner:
        return hang_sum(engine, call, x, Linear(x, second.mT, bias, out), out)
    if x is first:
        return hang_sum(engine, call, x, General(x, second, bias, out, product), out)
    return hang_sum(engine, call, x, General(x, first, bias, out, lambda x, weight: product(weight, x)), out)


@handles("bilinear")
def bilinear(
    engine: Engine, call: Call, input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Any:
    """A bilinear form is a weighted sum in one signal where the other is a constant, else a product of two."""
    if bias is not None and is_signal(call, bias):
        with engine:
            return torch.nn.functional.bilinear(input1, input2, weight) + bias
    out = call.value()
    tracked = [t for t in (input1, input2) if is_signal(call, t)]
    if len(tracked) == 2 or is_signal(call, weight):
        return matrix_product(engine, call)
    first = tracked[0] is input1
    # The weights of the one signal are those of the form, summed over the constant side.
    effective = torch.einsum("oij,...j->...oi" if first else "oij,...i->...oj", weight, input2 if first else input1)

    def apply(x: Tensor, weight: Tensor) -> Tensor:
        return torch.einsum("...i,...oi->...o", x, weight)

    return hang_sum(engine, call, tracked[0], General(tracked[0], effective, bias, out, apply), out)


def only_input(call: Call, input: Tensor) -> bool:
    """Whether the signal comes in as the input, and the weights are constants."""
    return len(call.tracked) == 1 and call.tracked[0] is input


def is_signal(call: Call, tensor: Tensor | None) -> bool:
    """Whether an argument is a signal that relevance may reach."""
    return any(tensor is t for t in call.tracked)


def _per_channel(bias: Any, weight: Tensor) -> Tensor:
    return bias.reshape((-1,) + (1,) * (weight.dim() - 2))


def hang_sum(engine: Engine, call: Call, x: Tensor, op: WeightedSum, out: Tensor) -> Tensor:
    """Put a weighted sum into the graph, merged with a batch norm right before it."""
    if out.is_complex() or op.weight.is_complex():
        # Signs, by which the rules tell contributions apart, are those of real numbers.
        return engine.local(call, spread="proportional")
    tag = tag_of(x, engine)
    if tag is not None and tag.norm is not None and tag.link is not None and tag.link.holds(x):
        merged = op.merged_before(tag.link.signal, *tag.norm)
        if merged is not None:
            return engine.weighted_sum(call, tag.link.signal, merged, out)
    return engine.weighted_sum(call, x, op, out)


def _numbers(value: Numbers, dims: int) -> list[int]:
    if isinstance(value, Sequence):
        return [int(v) for v in value] * (dims if len(value) == 1 else 1)
    return [int(value)] * dims
