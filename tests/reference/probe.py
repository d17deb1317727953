"""A signal, a weighted sum of all that a function makes of it, and its explanation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import signalrp
from signalrp import Composite, Epsilon, Flat

from . import operation_cases as table

TOLERANCE = 1e-10
EXACT = Composite(Epsilon(0.0))
MODES = {"as per unit": EXACT, "below flat": Composite(Epsilon(0.0)).where(Flat(), from_output=1)}


def signal(name: str = "", seed: int = 0) -> Tensor:
    """Return a signal of two samples, four channels and six instants, in the domain of the function."""
    x = torch.randn(table.SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if name in table.POSITIVE:
        return x.abs() + 0.1
    if name in table.ABOVE_ONE:
        return x.abs() + 2.1
    if name in table.BELOW_ONE:
        return torch.tanh(x) * 0.9
    return torch.sigmoid(x) if name in table.BETWEEN_0_AND_1 else x


def weights(n: int) -> Tensor:
    return torch.randn(3, n, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def explain(function: Callable[[Tensor], Tensor], x: Tensor, composite: Any = EXACT, audit: bool = False) -> Any:
    """Explain a weighted sum of all that the function returns, as one sample."""

    def model(x: Tensor) -> Tensor:
        out = function(x).reshape(1, -1)
        return F.linear(out, weights(out.shape[1]))

    torch.manual_seed(0)
    return signalrp.attribute(model, x, 1, composite, audit=audit)


def gradient_times_input(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    out = function(leaf).reshape(1, -1)
    (gradient,) = torch.autograd.grad(F.linear(out, weights(out.shape[1]))[0, 1], leaf)
    return gradient * x


def assert_closed(result: Any, relevance: Tensor) -> None:
    scale = max(float(relevance.abs().sum()), float(result.explained.abs().max()), 1e-12)
    gap = result.explained.sum() - relevance.sum() - result.absorbed.sum()
    assert abs(float(gap)) <= TOLERANCE * scale, f"explained less relevance and absorbed: {float(gap):.3g}"
    rows = result.ledger
    closed = (rows["received"] - rows["passed"] - rows["absorbed"]).abs() <= TOLERANCE * scale
    assert closed.all(), rows[~closed].to_string()
