"""Weighted sums of every form, and the comparison of the engine with the dense reference on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import signalrp
from signalrp import AlphaBeta, Composite, Epsilon, Flat, Gamma, Pass, Rule, WSquare, ZBox, Zero, ZPlus

from .dense import Array, matrix, share

TOLERANCE = 1e-10

RULES: dict[str, Rule] = {
    "epsilon": Epsilon(),
    "epsilon large": Epsilon(0.3),
    "epsilon none": Epsilon(0.0),
    "epsilon redistribute": Epsilon(1e-3, bias="redistribute"),
    "epsilon ignore": Epsilon(1e-3, bias="ignore"),
    "gamma": Gamma(0.25),
    "gamma 0": Gamma(0.0, epsilon=0.01),
    "gamma 5, epsilon 0": Gamma(5.0, epsilon=0.0),
    "gamma redistribute": Gamma(0.5, bias="redistribute"),
    "gamma ignore": Gamma(0.5, bias="ignore"),
    "alpha2 beta1": AlphaBeta(2, 1),
    "alpha2 beta1 redistribute": AlphaBeta(2, 1, bias="redistribute"),
    "alpha1.5 beta0.5 ignore": AlphaBeta(1.5, 0.5, bias="ignore"),
    "alpha3 beta2, epsilon 0": AlphaBeta(3, 2, epsilon=0.0),
    "z plus": ZPlus(),
    "z plus ignore, epsilon large": ZPlus(bias="ignore", epsilon=0.2),
    "z box": ZBox(-1.5, 2.5),
    "z box per element": ZBox(torch.tensor(0.0), torch.tensor(1.0)),
    "w square": WSquare(),
    "flat": Flat(),
    "flat, epsilon 0": Flat(epsilon=0.0),
    "pass": Pass(),
    "zero": Zero(),
}
SIGNS = ("positive", "signed", "zeros")


@dataclass
class Case:
    """A weighted sum: how the model calls it, and how to read its matrix from it.

    Attributes
    ----------
    call : callable
        What the model computes from `x`.
    plain : callable
        The sum without bias as a function of (input, weight).
    unit : torch.Tensor, optional
        The weight that counts how often an input enters a sum, where ones do not.
    before : callable, optional
        A padding in front of the sum, which repeats or mirrors values.
    """

    call: Callable[[Tensor], Tensor]
    plain: Callable[[Tensor, Tensor], Tensor]
    weight: Tensor
    bias: Tensor | None
    x: Tensor
    entering: Callable[[Tensor, Tensor], Tensor] | None = None
    before: Callable[[Tensor], Tensor] | None = None


def values(shape: tuple[int, ...], signs: str, generator: torch.Generator) -> Tensor:
    """Return random values: all positive, of both signs, or of both signs with exact zeros among them."""
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    if signs == "positive":
        x = x.abs() + 0.01
    elif signs == "zeros":
        x = torch.where(torch.rand(shape, generator=generator) < 0.5, 0.0, x)
        if x.dim() > 1 and len(x) > 1:
            x[0] = 0
    return x


def for_case(rule: Rule, case: Case) -> Rule:
    """Give a rule with bounds per element bounds that fit the case."""
    if isinstance(rule, ZBox) and isinstance(rule.low, Tensor):
        shape = case.x.shape[1:] if case.before is None else ()
        generator = torch.Generator().manual_seed(5)
        low = -torch.rand(shape, generator=generator, dtype=torch.float64) - 0.5
        return ZBox(low, low + 1 + torch.rand(shape, generator=generator, dtype=torch.float64))
    return rule


def _bounds(rule: Rule, x: Tensor) -> tuple[Array, Array]:
    if not isinstance(rule, ZBox):
        return np.zeros(x.numel()), np.zeros(x.numel())
    low, high = (torch.as_tensor(b, dtype=torch.float64).expand_as(x).reshape(-1) for b in (rule.low, rule.high))
    return low.numpy(), high.numpy()


def compare(case: Case, rule: Rule, as_relevance: bool, seed: int = 0) -> float:
    """Return the greatest difference between engine and reference, relative to the scale of relevance.

    What the ledger says of bias, stabiliser and withholding is compared as well, and relevance with an audit.
    With `as_relevance` the sum lies below another one that follows WSquare, so that relevance itself arrives.
    """
    rule = for_case(rule, case)
    x, generator = case.x, torch.Generator().manual_seed(seed)
    with torch.no_grad():
        out = case.call(x)
    if isinstance(rule, Pass) and out.shape != x.shape:
        return 0.0
    flat = out.reshape(len(out), -1)
    if as_relevance:
        top = torch.randn(3, flat.shape[1], generator=generator, dtype=torch.float64)
        weights = torch.randn(len(out), 3, generator=generator, dtype=torch.float64)
        relevance = ((weights * (flat @ top.T)) / (top**2).sum(1)) @ top**2
        composite = Composite(rule).where(WSquare(epsilon=0.0), from_output=1)

        def model(x: Tensor) -> Tensor:
            return torch.nn.functional.linear(case.call(x).reshape(len(x), -1), top)
    else:
        weights = torch.randn(flat.shape, generator=generator, dtype=torch.float64)
        relevance = weights * flat
        composite = Composite(rule)

        def model(x: Tensor) -> Tensor:
            return case.call(x).reshape(len(x), -1)

    inner = x if case.before is None else case.before(x)
    entering = case.entering or case.plain
    W = matrix(lambda v: case.plain(v, case.weight), inner)
    A = matrix(lambda v: entering(v, torch.ones_like(case.weight)), inner)
    bias = None if case.bias is None else case.bias.expand_as(out).reshape(-1).numpy()
    flat_x = inner.reshape(-1).numpy()
    expected = share(rule, W, A, bias, flat_x, relevance.reshape(-1).numpy(), *_bounds(rule, inner))
    mapped = torch.from_numpy(expected.relevance).reshape(inner.shape)
    if case.before is not None:
        back = torch.from_numpy(matrix(case.before, x))
        mapped = (mapped.reshape(-1) @ back).reshape(x.shape)

    def target(y: Tensor) -> Tensor:
        return (y * weights).sum(1)

    found = signalrp.attribute(model, x, target, composite)
    audited = signalrp.attribute(model, x, target, composite, audit=True)
    scale = max(float(mapped.abs().max()), float(relevance.abs().max()), 1e-30)
    worst = max(
        float((found.relevance - mapped).abs().max()) / scale,
        float((audited.relevance - mapped).abs().max()) / scale,
    )
    rows = audited.ledger[audited.ledger["rule"] == type(rule).__name__]
    if as_relevance and isinstance(rule, WSquare):
        rows = rows[rows["step"] < rows["step"].max()]
    total = max(scale, float(relevance.abs().sum()))
    # Rounding decides whether a sum that nothing feeds is 0, and so which of the last two keeps what it gets.
    for causes in (["bias"], ["stabiliser", "withheld"]):
        wanted = sum(getattr(expected, cause) for cause in causes)
        worst = max(worst, abs(float(rows[causes].sum().sum()) - wanted) / total)
    closed = audited.explained - audited.relevance.flatten(1).sum(1) - audited.absorbed
    return max(worst, float(closed.abs().max()) / total)
