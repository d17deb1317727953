"""The slope from the origin: what a function of one signal, element by element, hands on."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from signalrp.propagation.engine import Engine
from signalrp.propagation.nodes import Step
from signalrp.propagation.pull import total
from signalrp.propagation.tags import Call, Floor, Gate, Tag, affine_of, mark, tag_of, tensors_in, with_tensors

# f(x) - f(0) without cancellation near 0, for functions that do not vanish there.
CENTRED: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": lambda x: torch.tanh(x / 2) / 2,
    "special_expit": lambda x: torch.tanh(x / 2) / 2,
    "exp": torch.expm1,
    "exp2": lambda x: torch.expm1(x * math.log(2)),
    "special_exp2": lambda x: torch.expm1(x * math.log(2)),
    "cos": lambda x: -2 * torch.sin(x / 2).square(),
    "cosh": lambda x: 2 * torch.sinh(x / 2).square(),
    "erfc": lambda x: -torch.erf(x),
    "special_erfc": lambda x: -torch.erf(x),
    "special_ndtr": lambda x: torch.erf(x / math.sqrt(2)) / 2,
    "acos": lambda x: -torch.asin(x),
    "arccos": lambda x: -torch.asin(x),
}

# With a corner, or piecewise linear, so that no derivative at 0 stands for the slope near it.
PIECEWISE = {
    "clamp", "clip", "clamp_min", "clamp_max", "maximum", "minimum", "fmax", "fmin", "max", "min", "threshold",
    "hardtanh", "hardsigmoid", "special_i0e",
}  # fmt: skip

GATES = {
    "sigmoid", "hardsigmoid", "special_expit", "exp", "exp2", "special_exp2", "softplus", "special_ndtr", "__rpow__",
}  # fmt: skip
"""Functions whose output scales another signal rather than being one."""

DIVISORS = {"rsqrt", "reciprocal", "__rtruediv__", "__rdiv__", "div", "true_divide", "divide"}
"""Functions by whose output something is divided."""

LOGARITHMS = {"log", "log2", "log10"}


class Pointwise(Step):
    """A function ``f``: ``(f(x) - f(0)) / x`` per unit, with its limit at 0; ``f(0)`` is a constant.

    For an ``f`` that vanishes at 0 this hands on everything. For one that does not (sigmoid, exp, cosine) the
    quotient ``f(x)/x`` would grow without bound near 0 and turn its sign below it; the slope from the
    origin does neither, and what the value at 0 contributes is booked as a constant.

    Where ``f(0)`` is not finite (reciprocal, negative powers, a bare logarithm) there is no origin to start from:
    the quotient ``f(x)/x`` counts, and everything is handed on. Under a logarithm models put a floor, by
    ``log(x + eps)`` or ``log(max(x, eps))``. That is where it then starts from: the relevance of a band is what its
    power adds to silence, and does not turn its sign with the unit of the signal.
    """

    def __init__(
        self,
        engine: Engine,
        call: Call,
        x: Tensor,
        out: Tensor,
        centred: Callable[[Tensor], Tensor] | None,
        origin: tuple[float | Tensor, float | Tensor, bool],
    ) -> None:
        super().__init__(engine, call.name, [x], out)
        self.at_zero, self.limit, self.has_origin = origin
        self.centred, self.is_exact = centred, call.name in PIECEWISE
        self.near = torch.finfo(out.dtype).eps ** 0.5

    def slope(self) -> Tensor:
        """Return the slope from the origin at every input."""
        x, info = self.inputs[0], torch.finfo(self.out.dtype)
        if not self.has_origin:
            # Such slopes grow without bound; beyond this the products further up could overflow.
            slope = _finite(torch.where(x == 0, 0, (self.out - self.at_zero) / x), 0.0)
            return slope if slope.is_complex() else slope.clamp_(-(info.max**0.5), info.max**0.5)
        if self.centred is not None:
            return _finite(self.centred(x) / x, self.limit)
        if isinstance(self.at_zero, float) and self.at_zero == 0:
            return _finite(self.out / x, self.limit)
        near = x == 0 if self.is_exact else x.abs() < self.near
        return _finite(torch.where(near, self.limit, (self.out - self.at_zero) / x), self.limit)

    def per_unit(self, c: Tensor) -> tuple[Tensor | None, ...]:
        x, slope = self.inputs[0], self.slope()
        if slope.is_complex() or c.is_complex():
            value = c * slope.conj()
            return (value.sum_to_size(x.shape) if x.is_complex() else value.real.sum_to_size(x.shape),)
        return (slope.mul_(c).sum_to_size(x.shape),)

    def absorbed(self, c: Tensor, is_relevance: bool) -> dict[str, float]:
        if is_relevance:
            return {}
        # f(x) - slope x: the value at 0, where the limit at 0 is exact.
        rest = self.out - self.slope() * self.inputs[0]
        return {"constant": total(torch.where(torch.isfinite(rest), c.conj() * rest, 0))}


def hang_pointwise(engine: Engine, call: Call, centred: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Hang a function of the one tracked input, element by element, into the graph; other tensors are constants.

    Where a number has just been added to the signal, as in ``log(1 + x)``, both are one function of the signal; a
    logarithm is one with the floor under it.
    """
    x = call.tracked[0]
    out = call.value()
    link, tag = affine_of(engine, x), tag_of(x, engine)
    if call.name in LOGARITHMS and tag is not None and tag.floor is not None and tag.floor.holds(x):
        return _from_floor(engine, call, tag.floor, out)
    if link is not None:
        from_signal = _origin(call, x, out, link.scale, link.offset)
        if from_signal[2]:
            step = Pointwise(engine, call, link.signal, out, None, from_signal)
            # The function may change on the scale of what was added.
            step.near *= min(1.0, abs(link.offset)) / abs(link.scale)
            result = engine.hang(step, [link.signal], out)
            if _kind(call) or (_is_bounded(call) and not _is_zero(from_signal[0])):
                mark(result, Tag(engine, call.parents, call.token, gate=_kind(call) or "gate"))
            return result
    origin = _origin(call, x, out)
    result = engine.hang(Pointwise(engine, call, x, out, centred or CENTRED.get(call.name), origin), [x], out)
    if _kind(call):
        mark(result, Tag(engine, call.parents, call.token, gate=_kind(call)))
    return result


def _kind(call: Call) -> Gate:
    """Return what kind of gate a function makes of a signal."""
    if call.name in ("pow", "__pow__", "float_power"):
        base, exponent = (*call.args, *call.kwargs.values())[:2]
        if base is not call.tracked[0]:
            return "gate"
        exponent = torch.as_tensor(exponent)
        return "divisor" if not exponent.is_complex() and bool((exponent < 0).all()) else ""
    return "divisor" if call.name in DIVISORS else "gate" if call.name in GATES else ""


def _from_floor(engine: Engine, call: Call, floor: Floor, out: Tensor) -> Tensor:
    """Hang the logarithm of ``max(x, floor)``: silence is where it starts from, in whatever unit the signal is."""
    at_floor = float(call.rebind(torch.tensor(floor.value, dtype=torch.float64)))
    step = Pointwise(engine, call, floor.signal, out, None, (at_floor, 0.0, True))
    step.is_exact = True
    return engine.hang(step, [floor.signal], out)


def note_floor(engine: Engine, call: Call, out: Tensor, value: Any) -> None:
    """Note that a tensor is the greater of the signal and a number, where a logarithm may ask for it."""
    if not isinstance(value, (int, float)) or value <= 0:
        return
    x, made = call.tracked[0], engine.inherited(call)
    made.floor = Floor(x, x._version, out._version, float(value))
    mark(out, made)


def _is_bounded(call: Call) -> bool:
    """Whether a function made of straight lines has a least and a greatest value, as a sigmoid has."""
    if call.name in ("clamp", "clip"):
        return sum(bound is not None for bound in (*call.args[1:], *call.kwargs.values())) == 2
    return call.name in ("relu6", "hardtanh")


def _is_zero(value: float | Tensor) -> bool:
    return bool((torch.as_tensor(value) == 0).all())


def _finite(slope: Tensor, limit: float | Tensor) -> Tensor:
    """Return the slope with its limit where it is 0 divided by 0, and finite where it overflows."""
    if isinstance(limit, Tensor) or slope.is_complex():
        return torch.where(torch.isfinite(slope), slope, limit)
    return slope.nan_to_num_(nan=limit)


class _Signal:
    """Stands for the signal in the arguments of a call."""


SIGNAL = _Signal()


def _origin(
    call: Call, x: Tensor, out: Tensor, scale: float = 1.0, offset: float = 0.0
) -> tuple[float | Tensor, float | Tensor, bool]:
    """Return f at ``scale * 0 + offset``, the slope there, and whether the value is finite everywhere."""
    if all(t is x for t in tensors_in(call.args, call.kwargs)):
        args = with_tensors(call.args, lambda t: SIGNAL)
        kwargs = with_tensors(call.kwargs, lambda t: SIGNAL)
        try:
            at_zero, limit, has_origin = _numbers(call.func, args, tuple(kwargs.items()), scale, offset)
        except TypeError:
            at_zero, limit, has_origin = _numbers.__wrapped__(call.func, args, tuple(kwargs.items()), scale, offset)
        return float(torch.tensor(at_zero, dtype=out.real.dtype)), limit, has_origin
    # A quantisation has its constants per channel, along a dimension of its own.
    others = (
        [out.shape] if "quantize" in call.name else [t.shape for t in tensors_in(call.args, call.kwargs) if t is not x]
    )
    with torch.enable_grad():
        zero = torch.zeros(torch.broadcast_shapes(*others), dtype=x.dtype, device=x.device, requires_grad=True)
        values = call.rebind(scale * zero + offset)
        slopes = _slope(values, zero)
    finite = torch.isfinite(values)
    limits = 0.0 if slopes is None else torch.where(torch.isfinite(slopes), slopes, 0)
    return torch.where(finite, values.detach(), 0), limits, bool(finite.all())


@lru_cache(maxsize=512)
def _numbers(
    function: Any, args: tuple[Any, ...], named: tuple[tuple[str, Any], ...], scale: float, offset: float
) -> tuple[float, float, bool]:
    """Return the same for a function of the signal and numbers, remembered since models call it again and again."""
    zero = torch.zeros((), dtype=torch.float64, requires_grad=True)

    with torch.enable_grad():
        shifted = scale * zero + offset

        def filled(item: Any) -> Any:
            return shifted if item is SIGNAL else item

        value = function(*map(filled, args), **{name: filled(item) for name, item in named})
        slope = _slope(value, zero)
    at_zero, limit = float(value.detach()), float(slope) if slope is not None else 0.0
    if not math.isfinite(at_zero):
        return 0.0, 0.0, False
    return at_zero, limit if math.isfinite(limit) else 0.0, True


def _slope(value: Tensor, zero: Tensor) -> Tensor | None:
    if not value.requires_grad:
        return None
    slope = torch.autograd.grad(value, zero, torch.ones_like(value), allow_unused=True)[0]
    return None if slope is None else slope.conj()
