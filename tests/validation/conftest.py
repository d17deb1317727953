from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

TRIALS, CHANNELS, LENGTH, CLASSES = 7, 3, 12, 3


class Classifier(torch.nn.Module):
    """Small, not linear, and with its classes close enough for removal to change them."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.first = torch.nn.Linear(CHANNELS * LENGTH, 16).double()
        self.second = torch.nn.Linear(16, CLASSES).double()
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 4

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(inputs.flatten(1))))


@pytest.fixture
def model() -> torch.nn.Module:
    return Classifier().eval()


@pytest.fixture
def explanation(model: torch.nn.Module) -> xr.Dataset:
    rng = np.random.default_rng(5)
    values = rng.normal(1, 1, size=(TRIALS, CHANNELS, LENGTH))
    inputs = torch.tensor(values, requires_grad=True)
    output = model(inputs)
    (gradient,) = torch.autograd.grad(output.max(1).values.sum(), inputs)
    dims = ("trial", "channel", "time")
    predicted = output.argmax(1).numpy()
    label = predicted.copy()
    label[:2] = (label[:2] + 1) % CLASSES
    return xr.Dataset(
        {
            "signal": (dims, values, {"units": "BW"}),
            "relevance": (dims, values * gradient.numpy()),
            "output": (("trial", "class"), output.detach().numpy()),
            "target": ("trial", predicted),
            "label": ("trial", label),
        },
        {
            "channel": ["vertical", "fore-aft", "medio-lateral"],
            "time": ("time", np.linspace(0, 100, LENGTH), {"units": "% stance"}),
            "subject": ("trial", ["a", "a", "b", "b", "c", "c", "c"]),
        },
    )
