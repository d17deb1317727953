"""Functions of one signal, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from signalrp.propagation.engine import Engine
from signalrp.propagation.nodes import Pointwise
from signalrp.propagation.registry import handles, overwrites
from signalrp.propagation.tags import Call, Tag, mark, tag_of, tensors_in

# f(x) - f(0) without cancellation near 0, for functions that do not vanish there.
CENTRED: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": lambda x: torch.tanh(x / 2) / 2,
    "exp": torch.expm1,
    "cos": lambda x: -2 * torch.sin(x / 2).square(),
    "log_sigmoid": lambda x: math.log(2) - F.softplus(-x),
}

GATES = ("sigmoid", "hardsigmoid")


@handles("relu")
def rectify(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Hands on everything where it is open. Where it is shut nothing arrives at the sum before it."""
    out = engine.local(call)
    tag = tag_of(call.tracked[0], engine)
    if not engine.is_careful(call) and tag is not None and tag.sum is not None and tag.sum.is_rectified:
        engine.substitute(tag.sum, out)
    return out


@handles("leaky_relu", "prelu", "abs", "absolute", "neg", "negative", "__neg__", "deg2rad", "rad2deg")
def homogeneous(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Positively homogeneous of degree one: the derivative is the quotient ``f(x)/x``."""
    return engine.local(call)


@handles(
    "gelu", "silu", "mish", "tanh", "sigmoid", "elu", "celu", "selu", "softplus", "softsign",
    "log_sigmoid", "hardtanh", "relu6", "hardswish", "hardsigmoid", "tanhshrink", "softshrink", "hardshrink",
    "threshold", "erf", "sin", "cos", "tan", "asin", "atan", "arctan", "sinh", "asinh", "exp", "expm1", "log",
    "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal", "square", "pow", "__pow__", "clamp", "clip",
    "clamp_min", "clamp_max", "nan_to_num", "sinc", "exp2",
)  # fmt: skip
def pointwise(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Everything else: the slope from the origin."""
    if len(call.tracked) != 1 or any(t is not call.tracked[0] and t.dim() for t in tensors_in(args, kwargs)):
        return engine.unsupported(call, "with more than one tensor")
    return hang_pointwise(engine, call, CENTRED.get(call.name))


@handles("rrelu")
def rrelu(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """A leaky ReLU whose slope is fixed outside training."""
    return engine.local(call)


@handles("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
def dropout(engine: Engine, call: Call, input: Tensor, p: float = 0.5, train: bool = False) -> Any:
    """The identity in evaluation; a fixed mask where the model drops in evaluation as well."""
    return engine.local(call) if train else call.native()


@handles("dropout_", "feature_dropout_", "alpha_dropout_", "feature_alpha_dropout_")
def dropout_in_place(engine: Engine, call: Call, input: Tensor, p: float = 0.5, train: bool = False) -> Any:
    """As above; in evaluation nothing is overwritten."""
    if not train:
        return input
    with engine:
        return input.copy_(getattr(torch, call.name[:-1])(input, p, train))


def hang_pointwise(engine: Engine, call: Call, centred: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Hang a function of the one tracked input into the graph."""
    x = call.tracked[0]
    out = call.value()
    step = Pointwise(engine, call.name, x, out, call.rebind, centred)
    result = engine.hang(step, [x], out)
    if call.name in GATES:
        mark(result, Tag(engine, call.parents, call.token, gate=True))
    return result


overwrites(
    "relu", "leaky_relu", "abs", "neg", "gelu", "silu", "mish", "tanh", "sigmoid", "elu", "celu", "selu", "hardtanh",
    "relu6", "hardswish", "hardsigmoid", "threshold", "erf", "sin", "cos", "tan", "atan", "exp", "expm1", "log",
    "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal", "square", "pow", "clamp", "clip", "clamp_min",
    "clamp_max", "nan_to_num", "rrelu",
)  # fmt: skip
