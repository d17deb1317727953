"""Reading what fitted estimators of scikit-learn hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Floats = npt.NDArray[np.float64]


def linear_layer(weight: Floats, bias: Floats | None = None) -> nn.Linear:
    """Return a dense layer of these weights, in float64."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=torch.float64)
    layer.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))
    if bias is not None:
        layer.bias = nn.Parameter(torch.tensor(bias, dtype=torch.float64))
    return layer


def class_rows(weight: Floats, bias: Floats) -> tuple[Floats, Floats]:
    """Return one row for each class; of two classes the single row with either sign."""
    if len(weight) > 1:
        return weight, bias
    return np.concatenate([-weight, weight]), np.concatenate([-bias, bias])


def affine(scaler: Any, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Return slope and offset of what a fitted scaler, or None, does to every feature of arrays of a shape."""
    zero, one = np.zeros(shape), np.ones(shape)
    if scaler is not None:
        zero, one = scaler.transform(zero), scaler.transform(one)
    return (one - zero).ravel(), zero.ravel()


def steps_of(estimator: Any) -> list[Any]:
    """Return the steps of a pipeline that do something; of another estimator itself."""
    steps = [step for _, step in getattr(estimator, "steps", []) if step is not None and step != "passthrough"]
    return steps or [estimator]


def is_step(steps: list[Any], kind: type, function: Any = None) -> bool:
    """Whether the next step is of a kind, and for one made of a function, of that one."""
    return (
        bool(steps) and isinstance(steps[0], kind) and (function is None or getattr(steps[0], "func", None) is function)
    )


def names_of(steps: list[Any]) -> str:
    """Return the names of the steps' classes."""
    return ", ".join(type(step).__name__ for step in steps)
