"""Every rule for one weighted sum, from its dense matrix: slow, plain, in float64, after the papers' formulas.

A sum is given by its matrix ``W`` (outputs x inputs), the matrix ``A`` of how often an input enters a sum, its
bias per output, and its input, all flat. Nothing here knows of convolutions, strides or batches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import signalrp
from signalrp.propagation.rules import Rule

Array = npt.NDArray[np.float64]


@dataclass
class Shared:
    """Relevance of the inputs, flat, and what ends on the way."""

    relevance: Array
    bias: float = 0.0
    stabiliser: float = 0.0
    withheld: float = 0.0


def matrix(function: Callable[[Tensor], Tensor], x: Tensor) -> Array:
    """Return the matrix (outputs x inputs) of a function that is linear in `x`, one unit vector at a time."""
    columns = []
    origin = function(torch.zeros_like(x))
    for i in range(x.numel()):
        unit = torch.zeros_like(x)
        unit.view(-1)[i] = 1
        columns.append((function(unit) - origin).detach().reshape(-1).double().numpy())
    return np.stack(columns, axis=1)


def share(
    rule: Rule, W: Array, A: Array, bias: Array | None, x: Array, relevance: Array, low: Array, high: Array
) -> Shared:
    """Share relevance of the outputs among the inputs by one rule.

    Parameters
    ----------
    W, A : array, shape (outputs, inputs)
        Weights, and how often each input enters each sum (for rules that do not look at the weights).
    bias : array, shape (outputs,), or None
    x, low, high : array, shape (inputs,)
        Input and its bounds (used by ZBox only).
    relevance : array, shape (outputs,)
    """
    family = type(rule)
    outputs, inputs = W.shape
    b = np.zeros(outputs) if bias is None else bias
    what = getattr(rule, "bias", "absorb")
    if what == "ignore":
        b = np.zeros(outputs)
    result = Shared(np.zeros(inputs))
    if family is signalrp.Zero:
        result.withheld = float(relevance.sum())
        return result
    if family is signalrp.Pass:
        result.relevance = relevance.copy()
        return result
    for j in range(outputs):
        for part in _parts(rule, W[j], A[j], b[j], x, low, high):
            numerators, own, denominator, factor = part
            stable = denominator + (rule.epsilon if denominator >= 0 else -rule.epsilon)
            if stable == 0:
                result.withheld += factor * relevance[j]
                continue
            unit = factor * relevance[j] / stable
            result.relevance += unit * numerators
            if denominator == 0:
                result.withheld += factor * relevance[j]
            else:
                result.stabiliser += unit * (stable - denominator)
            if what == "redistribute" and A[j].any():
                result.relevance += unit * own * A[j] / A[j].sum()
            else:
                result.bias += unit * own
    return result


def _parts(
    rule: Rule, w: Array, a: Array, b: float, x: Array, low: Array, high: Array
) -> list[tuple[Array, float, float, float]]:
    """Return, for one output, (numerators of the inputs, numerator of the bias, denominator, factor) of each part."""
    family = type(rule)
    z = w * x
    if family is signalrp.Epsilon:
        return [(z, b, z.sum() + b, 1.0)]
    if family is signalrp.Gamma:
        favoured = np.maximum if z.sum() + b >= 0 else np.minimum
        numerators = z + rule.gamma * favoured(z, 0)
        own = b + rule.gamma * favoured(b, 0)
        return [(numerators, own, numerators.sum() + own, 1.0)]
    if family in (signalrp.AlphaBeta, signalrp.ZPlus):
        parts = []
        for favoured, factor in ((np.maximum, rule.alpha), (np.minimum, -rule.beta)):
            if factor:
                numerators, own = favoured(z, 0), favoured(b, 0)
                parts.append((numerators, own, numerators.sum() + own, factor))
        return parts
    if family is signalrp.ZBox:
        numerators = w * x - low * np.maximum(w, 0) - high * np.minimum(w, 0)
        return [(numerators, 0.0, numerators.sum(), 1.0)]
    if family is signalrp.WSquare:
        return [(w**2, 0.0, (w**2).sum(), 1.0)]
    if family is signalrp.Flat:
        return [(a, 0.0, a.sum(), 1.0)]
    raise TypeError(f"no dense reference for {family.__name__}.")
