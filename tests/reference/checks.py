"""What holds of every explanation: the account closes, nothing of the model changes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

TOLERANCE = 1e-10


def parts_of(relevance: Any) -> list[Tensor]:
    """Return the tensors in a result's relevance; None stands for inputs of integers."""
    if isinstance(relevance, dict):
        relevance = tuple(relevance.values())
    parts = relevance if isinstance(relevance, (tuple, list)) else [relevance]
    return [part for part in parts if part is not None]


def assert_accounted(result: Any, tolerance: float = TOLERANCE) -> None:
    """Check the sum of each sample, and every step of the ledger."""
    parts = parts_of(result.relevance)
    relevance = sum(p.double().flatten(1).sum(1) for p in parts)
    # Relevance of either sign cancels in the sums; the account is as exact as the amounts that are booked.
    rows = result.ledger
    scale = max(float(sum(p.abs().sum() for p in parts)), float(rows["received"].abs().max()))
    gap = (result.explained - relevance - result.absorbed).abs().max()
    assert float(gap) <= tolerance * scale, f"explained less relevance and absorbed: {float(gap):.3g} of {scale:.3g}"
    assert rows.notna().all().all(), rows[rows.isna().any(axis=1)].to_string()
    step = (rows["received"] - rows["passed"] - rows["absorbed"]).abs()
    assert (step <= tolerance * scale).all(), rows[step > tolerance * scale].to_string()


def state(model: nn.Module) -> dict[str, Any]:
    """Return all that an explanation must leave as it was."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "tensors": {k: v.clone() for k, v in model.state_dict().items()},
        "versions": [p._version for p in (*model.parameters(), *model.buffers())],
        "grads": [p.grad for p in model.parameters()],
        "requires": [p.requires_grad for p in model.parameters()],
        "training": [m.training for m in model.modules()],
        "hooks": [len(getattr(m, h)) for m in model.modules() for h in hooks],
        "attributes": [sorted(vars(m)) for m in model.modules()],
        "marks": [sorted(vars(p)) for p in model.parameters()],
    }


def assert_same_state(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Compare what :func:`state` returned before and after."""
    for key, value in before["tensors"].items():
        assert torch.equal(value, after["tensors"][key]), f"{key} has changed"
    for key in before.keys() - {"tensors"}:
        assert before[key] == after[key], f"{key} of the model have changed"
