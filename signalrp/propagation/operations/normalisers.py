"""Norms and softmax: the statistic counts as a constant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from signalrp.propagation.engine import Engine
from signalrp.propagation.nodes import Step
from signalrp.propagation.pull import stabilise, total
from signalrp.propagation.registry import handles
from signalrp.propagation.tags import Call, Linked, Tag, mark, tag_of


class Scaled(Step):
    """``scale * (x - mean(x)) + shift`` with a fixed scale; without the mean where `centre` is None.

    Parameters
    ----------
    centre : sequence of int, optional
        The dimensions over which the mean is taken. It is a part of the sum and takes its share: the derivative
        with the scale held fixed is the LN rule of Ali et al. 2022, arXiv:2202.07304.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        x: Tensor,
        out: Tensor,
        scale: Tensor,
        shift: Tensor | None,
        centre: Sequence[int] | None = None,
    ) -> None:
        super().__init__(engine, name, [x], out)
        self.scale, self.shift, self.centre = scale, shift, centre

    def per_unit(self, c: Tensor) -> tuple[Tensor | None, ...]:
        scaled = c * self.scale
        if self.centre is None:
            return (scaled,)
        shape = scaled.shape
        grouped = scaled.reshape(self.inputs[0].shape) if self.groups is None else scaled.reshape(self.groups)
        grouped = grouped - grouped.mean(tuple(self.centre), keepdim=True)
        return (grouped.reshape(shape),)

    groups: tuple[int, ...] | None = None

    def absorbed(self, c: Tensor, is_relevance: bool) -> dict[str, float]:
        if is_relevance or self.shift is None:
            return {}
        return {"constant": total(c * self.shift)}


@handles("batch_norm")
def batch_norm(
    engine: Engine,
    call: Call,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *cudnn_enabled: bool,
) -> Tensor:
    """A scale and a shift per channel, merged with the weighted sum before it, or with one that follows."""
    if call.func is torch.batch_norm:
        running_mean, running_var, weight, bias = weight, bias, running_mean, running_var
    with torch.no_grad():
        if training or running_mean is None or running_var is None:
            dims = [d for d in range(input.dim()) if d != 1]
            running_var, running_mean = torch.var_mean(input, dims, correction=0)
        scale = torch.rsqrt(running_var + eps)
        if weight is not None:
            scale = scale * weight
        shift = -running_mean * scale
        if bias is not None:
            shift = shift + bias
        scale, shift = scale.to(input.dtype), shift.to(input.dtype)
    out: Tensor = call.value()
    tag = tag_of(input, engine)
    if tag is not None and tag.sum is not None and tag.link is not None and tag.link.holds(input):
        merged = tag.sum.merged_after(scale, shift, out)
        if merged is not None:
            tag.sum.merged = merged
            if not engine.is_careful(call) and tag.sum.readers == 1:
                # Nobody else has read the sum itself; a later reader brings it back.
                engine.substitute(tag.sum, input.new_empty(0))
            return engine.weighted_sum(call, tag.link.x, merged, out)
    shape = (-1,) + (1,) * (input.dim() - 2)
    step = Scaled(engine, call.name, input, out, scale.reshape(shape), shift.reshape(shape))
    result = engine.hang(step, [input], out)
    link = Linked(input, input._version, result._version)
    mark(result, Tag(engine, call.parents, call.token, link, norm=(scale, shift)))
    return result


@handles("layer_norm")
def layer_norm(
    engine: Engine,
    call: Call,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """The variance is a constant, the mean a part of the sum."""
    with torch.no_grad():
        out, _, rstd = torch.native_layer_norm(input, normalized_shape, weight, bias, eps)
        scale = rstd if weight is None else rstd * weight
    dims = tuple(range(input.dim() - len(normalized_shape), input.dim()))
    step = Scaled(engine, call.name, input, out, scale.to(input.dtype), bias, centre=dims)
    return engine.hang(step, [input], out)


@handles("group_norm")
def group_norm(
    engine: Engine,
    call: Call,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor:
    """As layer norm, within groups of channels."""
    return _grouped(engine, call, input, num_groups, weight, bias, eps)


@handles("instance_norm")
def instance_norm(
    engine: Engine,
    call: Call,
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As layer norm, within each channel; with running statistics it is a batch norm."""
    if call.func is torch.instance_norm:
        return engine.unsupported(call, "in its low-level form; call torch.nn.functional.instance_norm")
    if not use_input_stats:
        return batch_norm(engine, call, input, running_mean, running_var, weight, bias, False, momentum, eps)
    return _grouped(engine, call, input, input.shape[1], weight, bias, eps)


def _grouped(
    engine: Engine, call: Call, input: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    batch, channels = input.shape[:2]
    shape = (-1,) + (1,) * (input.dim() - 2)
    with torch.no_grad():
        out = call.native()
        grouped = input.reshape(batch, groups, -1)
        scale = torch.rsqrt(grouped.var(-1, correction=0) + eps).repeat_interleave(channels // groups, 1)
        scale = scale.reshape(batch, *(channels, *shape[1:]))
        if weight is not None:
            scale = scale * weight.reshape(shape)
    shift = None if bias is None else bias.reshape(shape)
    step = Scaled(engine, call.name, input, out, scale, shift, centre=(2,))
    step.groups = tuple(grouped.shape)
    return engine.hang(step, [input], out)


@handles("rms_norm")
def rms_norm(
    engine: Engine,
    call: Call,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """The root mean square is a constant."""
    with torch.no_grad():
        out = call.native()
        dims = tuple(range(input.dim() - len(normalized_shape), input.dim()))
        eps = torch.finfo(input.dtype).eps if eps is None else eps
        scale = torch.rsqrt(input.square().mean(dims, keepdim=True) + eps)
        if weight is not None:
            scale = scale * weight
    return engine.hang(Scaled(engine, call.name, input, out, scale, None), [input], out)


class Softmax(Step):
    """A softmax whose normaliser is a constant.

    With n outputs, ``p = exp(u) / n`` where u is x less the logarithm of the mean of exp(x). The slope of exp
    from ``u = 0`` (all outputs equal) is positive, finite and does not vanish where the softmax saturates.
    """

    def __init__(self, engine: Engine, name: str, x: Tensor, out: Tensor, dim: int, logarithm: bool) -> None:
        super().__init__(engine, name, [x], out)
        self.dim, self.logarithm = dim, logarithm

    def per_unit(self, c: Tensor) -> tuple[Tensor | None, ...]:
        if self.logarithm:
            return (c,)
        x = self.inputs[0]
        n = x.shape[self.dim]
        u = torch.log_softmax(x, self.dim) + math.log(n)
        near = u == 0
        # A masked input (minus infinity) has no share.
        slope = torch.where(near, 1, torch.expm1(u) / torch.where(near, 1, u)) / n
        return (torch.where(torch.isfinite(x), c * slope, 0),)

    def absorbed(self, c: Tensor, is_relevance: bool) -> dict[str, float]:
        if is_relevance:
            return {}
        x = self.inputs[0]
        if self.logarithm:
            return {"constant": total(c * -torch.logsumexp(x, self.dim, keepdim=True))}
        (per_unit,) = self.per_unit(c)
        finite = torch.isfinite(x)
        # 1/n less the slope times the normaliser.
        return {"constant": total(torch.where(finite, c * self.out - per_unit * torch.where(finite, x, 0), 0))}  # type: ignore[operator]


@handles("softmax", "log_softmax")
def softmax(engine: Engine, call: Call, input: Tensor, dim: int | None = None, *args: Any, **kwargs: Any) -> Any:
    """A softmax as the composite says."""
    if dim is None:
        return engine.unsupported(call, "without a dimension; say dim=...")
    option = engine.composite.softmax
    if option == "constant":
        return engine.cut(call)
    out = call.value()
    family = SoftmaxTaylor if option == "taylor" else Softmax
    result = engine.hang(family(engine, call.name, input, out, dim, call.name == "log_softmax"), [input], out)
    mark(result, Tag(engine, call.parents, call.token, gate=call.name == "softmax"))
    return result


class SoftmaxTaylor(Softmax):
    """A softmax by its first-order expansion: the derivative; the rest of the expansion is a constant."""

    def per_unit(self, c: Tensor) -> tuple[Tensor | None, ...]:
        if self.logarithm:
            return (c - self.out.exp() * c.sum(self.dim, keepdim=True),)
        return (self.out * (c - (self.out * c).sum(self.dim, keepdim=True)),)

    def absorbed(self, c: Tensor, is_relevance: bool) -> dict[str, float]:
        if is_relevance:
            return {}
        x = torch.where(torch.isfinite(self.inputs[0]), self.inputs[0], 0)
        p = self.out.exp() if self.logarithm else self.out
        slope = x - (p * x).sum(self.dim, keepdim=True)
        return {"constant": total(c * (self.out - (slope if self.logarithm else p * slope)))}


class LocalResponse(Step):
    """Local response norm by its Taylor expansion (Binder et al. 2016, doi:10.1007/978-3-319-44781-0_8).

    With ``y_k = x_k (b + a sum_j x_j^2)^-p`` the terms are ``x_k (b + a x_k^2)^-p`` for the channel itself and
    ``-2 a p x_k x_j^2 (b + a sum x^2)^-(p+1)`` for its neighbours j; relevance goes in proportion to them.
    """

    def __init__(
        self, engine: Engine, name: str, x: Tensor, out: Tensor, size: int, alpha: float, beta: float, k: float
    ) -> None:
        super().__init__(engine, name, [x], out)
        self.size, self.a, self.p, self.b = size, alpha / size, beta, k

    def window(self, x: Tensor) -> Tensor:
        """Sum over the neighbouring channels, the channel itself included."""
        flat = x.reshape(x.shape[0], 1, x.shape[1], -1)
        padded = F.pad(flat, (0, 0, self.size // 2, (self.size - 1) // 2))
        return (F.avg_pool2d(padded, (self.size, 1), stride=1) * self.size).reshape(x.shape)

    def terms(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the own term per unit, the neighbours' factor, and the sum of all terms."""
        x = self.inputs[0]
        energy = self.window(x.square())
        own = (self.b + self.a * x.square()) ** -self.p
        factor = -2 * self.a * self.p * x * (self.b + self.a * energy) ** (-self.p - 1)
        return own, factor, x * own + factor * (energy - x.square())

    def per_unit(self, c: Tensor) -> tuple[Tensor | None, ...]:
        x = self.inputs[0]
        own, factor, terms = self.terms()
        share = c * self.out / stabilise(terms, self.engine.epsilon)
        with torch.enable_grad():
            probe = torch.zeros_like(x, requires_grad=True)
            summed = self.window(probe)
        received = torch.autograd.grad(summed, probe, share * factor)[0]
        return (share * own + x * (received - share * factor),)

    def absorbed(self, c: Tensor, is_relevance: bool) -> dict[str, float]:
        if is_relevance:
            return {}
        *_, terms = self.terms()
        stable = stabilise(terms, self.engine.epsilon)
        return {"stabiliser": total(c * self.out / stable * (stable - terms))}


@handles("local_response_norm")
def local_response_norm(
    engine: Engine, call: Call, input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Divide by a power of the neighbouring channels' energy."""
    out = call.value()
    return engine.hang(LocalResponse(engine, call.name, input, out, size, alpha, beta, k), [input], out)
