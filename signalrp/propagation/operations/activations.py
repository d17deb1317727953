"""Functions of one signal, element by element."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from signalrp.propagation.engine import Engine
from signalrp.propagation.operations.slopes import hang_pointwise, note_floor
from signalrp.propagation.operations.spectral import magnitude
from signalrp.propagation.registry import handles, overwrites
from signalrp.propagation.tags import Call, tag_of

__all__ = ["hang_pointwise"]


@handles("relu")
def rectify(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Hands on everything where it is open. Where it is shut nothing arrives at the sum before it."""
    out = engine.local(call)
    tag = tag_of(call.tracked[0], engine)
    if not engine.is_careful(call) and tag is not None and tag.sum is not None and tag.sum.is_rectified:
        engine.substitute(tag.sum, out)
    return out


@handles(
    "leaky_relu", "prelu", "_prelu_kernel", "rrelu", "abs", "absolute", "neg", "negative", "__neg__", "deg2rad",
    "rad2deg",
)  # fmt: skip
def homogeneous(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Positively homogeneous of degree one: the derivative is the quotient ``f(x)/x``."""
    if len(call.tracked) > 1:
        return engine.unsupported(call, "with a slope that depends on the input; multiply by it instead")
    if call.tracked[0].is_complex() and call.name in ("abs", "absolute"):
        return magnitude(engine, call)
    return engine.local(call)


@handles(
    "gelu", "silu", "mish", "tanh", "sigmoid", "elu", "celu", "selu", "softplus", "softsign", "log_sigmoid",
    "logsigmoid", "log_sigmoid_forward", "hardtanh", "relu6", "hardswish", "hardsigmoid", "tanhshrink", "softshrink",
    "hardshrink", "threshold", "erf", "erfc", "erfinv", "sin", "cos", "tan", "asin", "arcsin", "acos", "arccos",
    "atan", "arctan", "sinh", "cosh", "asinh", "arcsinh", "acosh", "arccosh", "atanh", "arctanh", "exp", "expm1",
    "exp2", "log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal", "square", "sinc", "logit", "lgamma",
    "digamma", "polygamma", "mvlgamma", "i0", "igamma", "igammac",
    "special_digamma", "special_entr", "special_erf", "special_erfc", "special_erfcx", "special_erfinv",
    "special_exp2", "special_expit", "special_expm1", "special_gammaln", "special_i0", "special_i0e", "special_i1",
    "special_i1e", "special_log1p", "special_log_ndtr", "special_logit", "special_multigammaln", "special_ndtr",
    "special_ndtri", "special_polygamma", "special_psi", "special_sinc",
    "fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine",
)  # fmt: skip
def pointwise(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Everything else: the slope from the origin."""
    if len(call.tracked) > 1:
        return engine.unsupported(call, "of more than one signal")
    if call.name == "log_sigmoid_forward":
        plain = Call(engine, F.logsigmoid, "logsigmoid", args, {}, call.tracked)
        return hang_pointwise(engine, plain), *engine.cut(call)[1:]
    return hang_pointwise(engine, call)


@handles("frac", "fmod", "remainder")
def rest(engine: Engine, call: Call, input: Any, *args: Any) -> Any:
    """The signal less what was rounded off, which is cut as all that is rounded is."""
    if not any(input is t for t in call.tracked):
        return engine.cut(call)
    out = engine.cut(call)
    with engine:
        return input - (input.detach() - out)


@handles("pow", "__pow__", "float_power")
def power(engine: Engine, call: Call, input: Any, exponent: Any) -> Any:
    """The base takes all; an exponent that depends on the signal as well says how much, as a gate does."""
    if len(call.tracked) > 1:
        with engine:
            return call.func(input, exponent.detach())
    return hang_pointwise(engine, call)


@handles("xlogy", "special_xlogy", "special_xlog1py", "copysign", "ldexp")
def composed(engine: Engine, call: Call, input: Any, other: Any) -> Any:
    """Products in disguise."""
    example = call.tracked[0]
    input, other = (
        x if isinstance(x, Tensor) else torch.tensor(x, dtype=example.dtype, device=example.device)
        for x in (input, other)
    )
    with engine:
        if call.name == "copysign":
            return torch.abs(input) * torch.where(torch.signbit(other), -1.0, 1.0)
        if call.name == "ldexp":
            return input * torch.exp2(other)
        logarithm = torch.log1p(other) if call.name.endswith("log1py") else torch.log(other)
        return torch.where(input == 0, 0, input * logarithm)


@handles("clamp", "clip", "clamp_min", "clamp_max")
def clamp(engine: Engine, call: Call, input: Tensor, min: Any = None, max: Any = None, out: None = None) -> Any:
    """A bound that is a signal as well (the maximum less 80 dB) takes what it bounds; else the slope."""
    if len(call.tracked) == 1 and call.tracked[0] is input:
        result = hang_pointwise(engine, call)
        if max is None and call.name != "clamp_max":
            note_floor(engine, call, result, min)
        return result
    if call.name == "clamp_max":
        min, max = None, min if max is None else max
    with engine:
        value = input
        for bound, choose in ((min, torch.maximum), (max, torch.minimum)):
            if bound is not None:
                value = choose(value, bound if isinstance(bound, Tensor) else input.new_tensor(bound))
        return value


@handles("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "native_dropout")
def dropout(engine: Engine, call: Call, input: Tensor, p: float = 0.5, train: bool = False) -> Any:
    """The identity in evaluation; a fixed mask where the model drops in evaluation as well."""
    if train and call.name != "dropout" and call.name != "feature_dropout":
        return engine.unsupported(call, "that drops in evaluation; use dropout")
    return engine.local(call) if train else call.native()


@handles("dropout_", "feature_dropout_", "alpha_dropout_", "feature_alpha_dropout_")
def dropout_in_place(engine: Engine, call: Call, input: Tensor, p: float = 0.5, train: bool = False) -> Any:
    """As above; in evaluation nothing is overwritten."""
    if not train:
        return input
    with engine:
        return input.copy_(getattr(torch, call.name[:-1])(input, p, train))


# Those of torch.nn.functional that are no method of a tensor; operations/__init__.py enters all that are.
overwrites("leaky_relu", "rrelu", "elu", "celu", "selu", "hardtanh", "threshold", "gelu", "silu", "mish", "relu6",
           "hardswish", "hardsigmoid")  # fmt: skip
