"""Statistics of a signal: homogeneous functions of degree one, two or n, and smooth maxima."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from signalrp.propagation.engine import Engine
from signalrp.propagation.nodes import Local, Step
from signalrp.propagation.operations.normalisers import Scaled
from signalrp.propagation.operations.sources import with_sources
from signalrp.propagation.pull import real, total
from signalrp.propagation.registry import handles
from signalrp.propagation.tags import Call, Tag, mark


@handles(
    "norm", "linalg_norm", "linalg_vector_norm", "linalg_matrix_norm", "frobenius_norm", "nuclear_norm",
)  # fmt: skip
def norm(engine: Engine, call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Homogeneous of degree one."""
    if _is_count(call, args[0] if args else None):
        return engine.cut(call)
    return engine.local(call, spread="proportional")


def _is_count(call: Call, order: Any) -> bool:
    """Whether a norm is the one of order 0, which counts the elements that are not 0."""
    order = next((call.kwargs[name] for name in ("p", "ord") if name in call.kwargs), order)
    return isinstance(order, (int, float)) and order == 0


@handles("std", "quantile", "nanquantile", "linalg_svdvals")
def homogeneous(engine: Engine, call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Homogeneous of degree one: the derivative."""
    return engine.local(call, spread="proportional")


@handles("var", "cov")
def variance(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Homogeneous of degree two: half of the derivative."""
    return engine.scaled(call, [0.5], spread="proportional")


@handles("var_mean", "std_mean")
def dispersion_and_mean(engine: Engine, call: Call, input: Tensor, dim: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Both, each by itself."""
    along = None if isinstance(dim, bool) else dim
    keepdim = kwargs.get("keepdim", args[1] if len(args) > 1 else False)
    with engine:
        spread = getattr(torch, call.name[:3])(*call.args, **call.kwargs)
        return spread, torch.mean(input, along, keepdim)


@handles("corrcoef")
def correlation(engine: Engine, call: Call, input: Tensor) -> Any:
    """The covariance, for which the deviations it is divided by are constants."""
    with engine:
        covariance = torch.cov(input)
        if covariance.dim() == 0:
            return covariance / covariance
        deviation = covariance.detach().diagonal().sqrt()
        return covariance / deviation[:, None] / deviation


@handles("prod")
def product(engine: Engine, call: Call, input: Tensor, dim: int | None = None, *args: Any, **kwargs: Any) -> Any:
    """Each of the n factors takes the n-th part."""
    n = input.numel() if dim is None else input.shape[dim] if input.dim() else 1
    return engine.scaled(call, [1 / max(n, 1)], spread="proportional")


@handles("matrix_power", "linalg_matrix_power")
def matrix_power(engine: Engine, call: Call, input: Tensor, n: int) -> Any:
    """A product of n equal factors."""
    return of_degree(engine, call, n) if n else engine.cut(call)


@handles("inverse", "linalg_inv", "pinverse", "linalg_pinv")
def inverse(engine: Engine, call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Of degree -1, as a reciprocal is; as that it divides, so that beside a signal it gets nothing."""
    if kwargs.get("hermitian"):
        return engine.unsupported(call, "with hermitian=True; leave it out")
    result = of_degree(engine, call, -1)
    mark(result, Tag(engine, call.parents, call.token, gate="divisor"))
    return result


@handles("cholesky", "linalg_cholesky")
def cholesky(engine: Engine, call: Call, input: Tensor, upper: bool = False) -> Any:
    """Of degree one half, as a root is."""

    def function(matrix: Tensor) -> Tensor:
        return call.func(_symmetric(matrix, not upper), upper=upper)

    return of_degree(engine, Call(engine, function, call.name, (input,), {}, [input]), 0.5)


class Homogeneous(Local):
    """A function of a fixed degree, which may have no value at 0: no constant takes anything."""

    def absorbed(self, c: Tensor, is_relevance: bool) -> dict[str, float]:
        return {"stabiliser": total(real(c) - real(self._unit(c).conj() * self.out))} if is_relevance else {}


def of_degree(engine: Engine, call: Call, degree: float) -> Tensor:
    """Run a function of one signal that is homogeneous of some degree: the derivative divided by it."""
    if not engine.is_careful(call):
        return engine.scaled(call, [1 / degree])
    step = Homogeneous(engine, call.name, call.tracked, call.rebind, [1 / degree], "proportional")
    engine.forgetful.append(step)
    return engine.hang(step, call.tracked, step.out.detach())


@handles("cumprod")
def cumulative_product(engine: Engine, call: Call, input: Tensor, dim: int, **kwargs: Any) -> Any:
    """Each of the first k factors takes the k-th part of the k-th output."""

    def counted(input: Tensor, dim: int, **kwargs: Any) -> Tensor:
        out = torch.cumprod(input, dim, **kwargs)
        if out.dim() == 0:
            return out
        count = torch.arange(1, 1 + out.shape[dim], device=out.device).to(out.dtype)
        return _scaled_back(out, 1 / count.reshape((-1,) + (1,) * ((-1 - dim) % out.dim())))

    return engine.local(Call(engine, counted, call.name, call.args, call.kwargs, call.tracked), spread="proportional")


def _scaled_back(x: Tensor, parts: Tensor) -> Tensor:
    view = x.view_as(x)
    if view.requires_grad:
        view.register_hook(lambda grad: grad * parts)
    return view


# -- distances ----------------------------------------


@handles("cdist", "_cdist_forward", "pdist", "_pdist_forward")
def distance(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Homogeneous of degree one in both together: each takes its derivative, one that is a constant as well."""
    if _is_count(call, args[-1] if len(args) > 1 else None):
        return engine.cut(call)
    return homogeneous_in_all(engine, call)


@handles("hypot")
def hypotenuse(engine: Engine, call: Call, input: Tensor, other: Tensor) -> Any:
    """As above; the magnitude of a complex number has a derivative at 0."""
    with engine:
        return torch.complex(*torch.broadcast_tensors(input, other)).abs()


@handles("dist")
def difference_norm(engine: Engine, call: Call, input: Tensor, other: Tensor, p: float = 2) -> Any:
    """The norm of the difference."""
    with engine:
        return torch.linalg.vector_norm(input - other, p)


@handles("pairwise_distance")
def pairwise_distance(
    engine: Engine, call: Call, x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """The norm of the difference, to which a small constant is added."""
    with engine:
        return torch.linalg.vector_norm(x1 - x2 + eps, p, -1, keepdim)


@handles("cosine_similarity")
def cosine_similarity(engine: Engine, call: Call, x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Any:
    """A scalar product that the norms, which are constants, divide."""
    with torch.no_grad():
        norms = [torch.linalg.vector_norm(x, 2, dim, True).clamp_min(eps) for x in (x1, x2)]
    with engine:
        return ((x1 / norms[0]) * (x2 / norms[1])).sum(dim)


@handles("renorm")
def renorm(engine: Engine, call: Call, input: Tensor, p: float, dim: int, maxnorm: float) -> Any:
    """A scale that is a constant."""
    out = call.value()
    dims = [d for d in range(input.dim()) if d != dim % input.dim()]
    with torch.no_grad():
        size = torch.linalg.vector_norm(input, p, dims, True)
        scale = torch.where(size > maxnorm, maxnorm / (size + 1e-7), 1)
    return engine.hang(Scaled(engine, call.name, input, out, scale, None), [input], out)


def homogeneous_in_all(engine: Engine, call: Call) -> Any:
    """Run a function that is homogeneous of degree one in all its tensors; what constants take is booked as theirs."""
    if not engine.is_careful(call):
        return call.native()
    return engine.local(with_sources(engine, call), spread="proportional")


# -- smooth maxima ----------------------------------------


class SmoothMaximum(Step):
    """The logarithm of a sum of exponentials: each input counts by its weight ``p``, a softmax.

    ``logsumexp(x) = sum_i p_i x_i + H(p)``: the entropy H, 0 where one input outweighs all and log(n) where n are
    alike, is a constant.
    """

    function: Callable[[Tensor], Tensor]

    def per_unit(self, c: Tensor) -> tuple[Tensor | None, ...]:
        with torch.enable_grad():
            x = self.inputs[0].detach().requires_grad_()
            out = self.function(x)
        # Where all inputs are minus infinity there are no weights.
        c = torch.where(torch.isfinite(self.out), c, 0)
        return (torch.autograd.grad(out, x, c)[0].nan_to_num(),)

    def relevance(self, r: Tensor) -> tuple[Tensor | None, ...]:
        return self.per_unit(r)

    def absorbed(self, c: Tensor, is_relevance: bool) -> dict[str, float]:
        if is_relevance:
            return {}
        x = self.inputs[0]
        mean = torch.zeros_like(self.out)
        for sign in (1, -1):
            weighted = torch.where(torch.isfinite(x), x + (sign * x).clamp(min=0).log(), x)
            mean = mean + sign * torch.exp(self.function(weighted) - self.out)
        return {"constant": total(torch.where(torch.isfinite(self.out), c * (self.out - mean), 0))}


@handles("logsumexp", "special_logsumexp", "logcumsumexp")
def log_of_sum(engine: Engine, call: Call, input: Tensor, dim: Any, keepdim: bool = False) -> Any:
    """A smooth maximum, and the one of all values so far."""
    if input.is_complex():
        return engine.unsupported(call, "of complex numbers, among which none is the greatest")
    out = call.value()
    step = SmoothMaximum(engine, call.name, [input], out)
    if call.name == "logcumsumexp":
        step.function = lambda x: torch.logcumsumexp(x, dim)
    else:
        step.function = lambda x: torch.logsumexp(x, dim, keepdim)
    return engine.hang(step, [input], out)


@handles("logaddexp", "logaddexp2")
def log_of_two(engine: Engine, call: Call, input: Tensor, other: Tensor) -> Any:
    """As above, of two."""
    scale = math.log(2) if call.name == "logaddexp2" else 1.0
    with engine:
        both = torch.stack(torch.broadcast_tensors(input, other))
        return torch.logsumexp(both * scale, 0) / scale if scale != 1 else torch.logsumexp(both, 0)


# -- integrals and derivatives ----------------------------------------


@handles("diff", "trapezoid", "trapz", "cumulative_trapezoid")
def linear(engine: Engine, call: Call, y: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Linear in the values; places that are a signal as well share with them."""
    if call.name != "diff" and len(call.tracked) > 1:
        return engine.scaled(call, [0.5, 0.5], spread="proportional")
    return engine.local(call, spread="proportional")


@handles("gradient")
def gradient(engine: Engine, call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Sequence[Tensor]:
    """Linear; one tensor per dimension, each by itself."""
    if len(call.tracked) > 1:
        return engine.unsupported(call, "with places that depend on the input; detach them")

    def along(i: int) -> Callable[..., Tensor]:
        return lambda *args, **kwargs: torch.gradient(*args, **kwargs)[i]

    calls = [Call(engine, along(i), call.name, call.args, call.kwargs, call.tracked) for i in range(len(call.value()))]
    return [engine.local(part, spread="proportional") for part in calls]


# -- eigenvalues ----------------------------------------


@handles("linalg_eigh", "_linalg_eigh", "linalg_svd", "_linalg_svd", "svd")
def spectrum(engine: Engine, call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The values are linear in the matrix, seen in the basis of its vectors; the basis is cut, as an angle is."""
    parts = list(engine.cut(call))
    symmetric = call.name.endswith("eigh")
    lower = "U" not in (*args, kwargs.get("UPLO"))
    place = 0 if symmetric else 1
    n = parts[place].shape[-1]
    left = parts[1] if symmetric else parts[0]
    right = left if symmetric else parts[2] if call.name == "svd" else parts[2].mH

    def diagonal(matrix: Tensor) -> Tensor:
        matrix = _symmetric(matrix, lower) if symmetric else matrix
        return (left[..., :n].conj() * (matrix @ right[..., :n])).sum(-2).real

    values = Call(engine, diagonal, call.name, (input,), {}, [input])
    parts[place] = engine.local(values, spread="proportional")
    return tuple(parts)


@handles("linalg_eigvalsh")
def eigenvalues(engine: Engine, call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """As above."""
    with engine:
        return torch.linalg.eigh(input, *args, **kwargs)[0]


def _symmetric(matrix: Tensor, lower: bool) -> Tensor:
    """Return the matrix that functions of symmetric matrices see: they read one half of what they get."""
    half = matrix.tril(-1) if lower else matrix.triu(1)
    return half + half.mH + torch.diag_embed(matrix.diagonal(dim1=-2, dim2=-1).real).to(matrix.dtype)


@handles("lu", "unique", "unique_consecutive")
def refuse(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """No sums of contributions, written in Python that calls itself."""
    return engine.unsupported(call)
