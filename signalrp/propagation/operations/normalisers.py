"""Norms: the statistic counts as a constant."""

from __future__ import annotations

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
    """``weight * scale * (x - mean(x)) + shift`` with fixed factors; without the mean where `centre` is None.

    Parameters
    ----------
    centre : sequence of int, optional
        The dimensions over which the mean is taken. It is a part of the sum and takes its share: the derivative
        with the scale held fixed is the LN rule of Ali et al. 2022, arXiv:2202.07304.
    """

    reads_values = False

    def __init__(
        self,
        engine: Engine,
        name: str,
        x: Tensor,
        out: Tensor,
        scale: Tensor,
        shift: Tensor | None,
        centre: Sequence[int] | None = None,
        weight: Tensor | None = None,
    ) -> None:
        super().__init__(engine, name, [x], out)
        self.scale, self.shift, self.centre, self.weight = scale, shift, centre, weight
        engine.keep_constants(self, "scale", "shift", "weight")

    def per_unit(self, c: Tensor) -> tuple[Tensor | None, ...]:
        scaled = c * self.scale.conj()
        if self.weight is not None:
            scaled = scaled.mul_(self.weight.conj())
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
        return {"constant": total(c.conj() * self.shift)}


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
    if call.func is not F.batch_norm and call.name == "batch_norm":
        # The operator has the weights before the statistics.
        running_mean, running_var, weight, bias = weight, bias, running_mean, running_var
    if _any_signal(call, weight, bias):
        with engine:
            plain = F.batch_norm(input, running_mean, running_var, None, None, training, momentum, eps)
            return _modulated(plain, weight, bias, (-1,) + (1,) * (input.dim() - 2))
    if _any_signal(call, running_mean, running_var):
        return engine.unsupported(call, "with statistics that depend on the input; subtract and divide by them")
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
                merged.replaces = tag.sum
            return engine.weighted_sum(call, tag.link.signal, merged, out)
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
    if _any_signal(call, weight, bias):
        with engine:
            return _modulated(F.layer_norm(input, normalized_shape, None, None, eps), weight, bias)
    with torch.no_grad():
        out, _, rstd = torch.native_layer_norm(input, normalized_shape, weight, bias, eps)
    dims = tuple(range(input.dim() - len(normalized_shape), input.dim()))
    step = Scaled(engine, call.name, input, out, rstd.to(input.dtype), bias, centre=dims, weight=weight)
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
    *cudnn_enabled: bool,
) -> Tensor:
    """As layer norm, within each channel; with running statistics it is a batch norm."""
    if call.func is not F.instance_norm:
        # The operator has the weights before the statistics.
        running_mean, running_var, weight, bias = weight, bias, running_mean, running_var
    if not use_input_stats:
        return batch_norm(engine, call, input, running_mean, running_var, weight, bias, False, momentum, eps)
    return _grouped(engine, call, input, input.shape[1], weight, bias, eps)


def _grouped(
    engine: Engine, call: Call, input: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    batch, channels = input.shape[:2]
    shape = (-1,) + (1,) * (input.dim() - 2)
    if _any_signal(call, weight, bias):
        with engine:
            return _modulated(F.group_norm(input, groups, None, None, eps), weight, bias, shape)
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


def _any_signal(call: Call, *arguments: Tensor | None) -> bool:
    return any(t is argument for t in call.tracked for argument in arguments)


def _modulated(plain: Tensor, weight: Tensor | None, bias: Tensor | None, shape: Sequence[int] | None = None) -> Tensor:
    """Scale and shift by tensors that depend on the signal, as any product and sum."""
    if weight is not None:
        plain = plain * (weight if shape is None else weight.reshape(shape))
    if bias is not None:
        plain = plain + (bias if shape is None else bias.reshape(shape))
    return plain


# Operators of exported programs return the statistics as well.


@handles("native_layer_norm", "_fused_rms_norm")
def native_layer_norm(engine: Engine, call: Call, input: Tensor, *args: Any) -> tuple[Tensor, ...]:
    """Layer norm, root mean square norm."""
    norm = F.layer_norm if call.name == "native_layer_norm" else F.rms_norm
    with engine:
        out = norm(input, *args)
    return out, *engine.cut(call)[1:]


@handles("native_group_norm")
def native_group_norm(
    engine: Engine,
    call: Call,
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    N: int,
    C: int,
    HxW: int,
    group: int,
    eps: float,
) -> tuple[Tensor, ...]:
    """Group norm."""
    with engine:
        out = F.group_norm(input, group, weight, bias, eps)
    return out, *engine.cut(call)[1:]


@handles("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
         "_batch_norm_no_update")  # fmt: skip
def native_batch_norm(
    engine: Engine, call: Call, input: Tensor, weight: Tensor | None, bias: Tensor | None, *rest: Any
) -> tuple[Tensor, ...]:
    """Batch norm; without running statistics the flag for training comes right after the bias."""
    mean, variance = (None, None) if isinstance(rest[0], bool) else rest[:2]
    training = rest[-3] if isinstance(rest[-3], bool) else False
    with engine:
        out = F.batch_norm(input, mean, variance, weight, bias, training, rest[-2], rest[-1])
    return out, *engine.cut(call)[1:]


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
    if _any_signal(call, weight):
        with engine:
            return _modulated(F.rms_norm(input, normalized_shape, None, eps), weight, None)
    with torch.no_grad():
        out = call.native()
        dims = tuple(range(input.dim() - len(normalized_shape), input.dim()))
        eps = torch.finfo(input.dtype).eps if eps is None else eps
        scale = torch.rsqrt((input.abs() if input.is_complex() else input).square().mean(dims, keepdim=True) + eps)
        if weight is not None:
            scale = scale * weight
    return engine.hang(Scaled(engine, call.name, input, out, scale, None), [input], out)


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
