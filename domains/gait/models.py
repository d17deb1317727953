"""Classifiers of gait from the literature: (trial, channel, time) in, (trial, class) out, without softmax."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn


def linear(channels: int, points: int, classes: int) -> nn.Sequential:
    """One dense layer on the flattened signal (Horst et al. 2019, doi:10.1038/s41598-019-38748-8)."""
    return mlp(channels, points, classes, hidden=())


def mlp(channels: int, points: int, classes: int, hidden: Sequence[int] = (768, 768)) -> nn.Sequential:
    """Dense layers with ReLU on the flattened signal (Horst et al. 2019; Slijepcevic et al. 2021).

    Parameters
    ----------
    channels, points, classes : int
        Size of a trial, number of classes.
    hidden : sequence of int
        Width of each hidden layer.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    widths = [channels * points, *hidden]
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], classes))


def cnn_a(channels: int, points: int, classes: int) -> nn.Sequential:
    """CNN-A of Horst et al. 2019: 32 filters over six instants and all channels, then a dense layer."""
    return nn.Sequential(
        nn.Conv1d(channels, 32, 6), nn.ReLU(), nn.Flatten(), nn.Linear(32 * _lengths(points, [6]), classes)
    )


def cnn_c3(channels: int, points: int, classes: int) -> nn.Sequential:
    """CNN-C3 of Horst et al. 2019: three layers of 32 filters, 3 x 3, 3 x 3 and 2 x 2 in time and channel.

    With fewer than six channels the filters span as many as are left.
    """
    layers: list[nn.Module] = [nn.Unflatten(1, (1, channels))]
    maps, height, width = 1, channels, points
    for size in (3, 3, 2):
        span = min(size, height)
        layers += [nn.Conv2d(maps, 32, (span, size)), nn.ReLU()]
        maps, height, width = 32, height - span + 1, width - size + 1
    if width < 1:
        raise ValueError(f"CNN-C3 needs at least 6 instants, found {points}; resample the signal.")
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * height * width, classes))


class Cnn1DC8(nn.Module):
    """Cnn1DC8 of Slijepcevic et al. 2021, doi:10.1145/3474121: the channels in one row, three strided layers.

    Parameters
    ----------
    channels, points, classes : int
        Size of a trial, number of classes.
    """

    def __init__(self, channels: int, points: int, classes: int) -> None:
        super().__init__()
        kernels, strides = (8, 8, 6), (2, 2, 3)
        left = _lengths(channels * points, kernels, strides)
        self.conv0 = nn.Conv1d(1, 24, kernels[0], strides[0])
        self.conv1 = nn.Conv1d(24, 32, kernels[1], strides[1])
        self.conv2 = nn.Conv1d(32, 48, kernels[2], strides[2])
        self.linear = nn.Linear(48 * left, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify trials (trial, channel, time)."""
        x = x.flatten(1).unsqueeze(1)
        for layer in (self.conv0, self.conv1, self.conv2):
            x = torch.relu(layer(x))
        return self.linear(x.flatten(1))

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], channels: int = 6, points: int = 101) -> Cnn1DC8:
        """Return the network with given weights, in their type, in evaluation mode (see `published_cnn`)."""
        weight = state["linear.weight"]
        model = cls(channels, points, len(weight)).to(weight.dtype)
        model.load_state_dict(OrderedDict(state))
        return model.eval()


def from_linear_svm(machine: Any, channels: int, points: int) -> nn.Sequential:
    """Return the torch module that decides as a fitted linear machine of scikit-learn does.

    Parameters
    ----------
    machine : sklearn.svm.LinearSVC or another estimator with ``coef_``, ``intercept_`` and ``classes_``
        Fitted on trials flattened (channel, time), one-versus-rest.
    channels, points : int
        Size of a trial.

    Returns
    -------
    torch.nn.Sequential
        Its outputs are the decision values, one for each of ``classes_`` in their order; for two classes the
        single value of the machine with either sign.

    Raises
    ------
    ValueError
        When the machine is not fitted, not one-versus-rest, or of another size.
    """
    if not hasattr(machine, "coef_"):
        raise ValueError(f"the {type(machine).__name__} is not fitted or not linear; call fit with a linear kernel.")
    if hasattr(machine, "dual_coef_") and len(machine.classes_) > 2:
        raise ValueError(
            f"the {type(machine).__name__} decides one-versus-one, by a vote among pairs of classes; fit a "
            "one-versus-rest machine, such as LinearSVC."
        )
    weight, bias = torch.tensor(machine.coef_), torch.tensor(machine.intercept_).reshape(-1)
    if len(machine.classes_) == 2 and len(weight) == 1:
        weight, bias = torch.cat([-weight, weight]), torch.cat([-bias, bias])
    if weight.shape != (len(machine.classes_), channels * points):
        raise ValueError(
            f"the machine has weights of shape {tuple(weight.shape)}, expected one row for each of "
            f"{len(machine.classes_)} classes and {channels * points} columns; fit a one-versus-rest machine on "
            "flattened trials."
        )
    model = linear(channels, points, len(weight))
    model[1].weight, model[1].bias = nn.Parameter(weight.float()), nn.Parameter(bias.float())
    return model.eval()


MODELS: dict[str, Callable[[int, int, int], nn.Module]] = {
    "linear": linear,
    "mlp": mlp,
    "cnn-a": cnn_a,
    "cnn-c3": cnn_c3,
    "cnn1d-c8": Cnn1DC8,
}
"""The networks by name; the linear support vector machine ("svm") comes from scikit-learn."""


def _lengths(points: int, kernels: Sequence[int], strides: Sequence[int] = (1, 1, 1)) -> int:
    left = points
    for kernel, stride in zip(kernels, strides, strict=False):
        left = (left - kernel) // stride + 1
        if left < 1:
            raise ValueError(f"the signal of {points} samples is too short for kernels of {kernels}; resample it.")
    return left
