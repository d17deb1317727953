"""Short ways to ask for an explanation and to compare it, for tests of models."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import signalrp


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def same(found: Any, expected: Any, tolerance: float = 1e-9) -> None:
    """Compare relevance, relative to the largest."""
    assert float(expected.abs().max()) > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


def explain(model: Any, x: Any, composite: Any = "epsilon-plus", target: Any = 1, **options: Any) -> Any:
    return signalrp.attribute(model, x, target, composite, **options)
