from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

TRIALS, CHANNELS, LENGTH, CLASSES = 7, 3, 12, 3


class Classifier(torch.nn.Module):
    """Small, not linear, and with its classes close enough for removal to change them."""

    def __init__(self, samples: int = CHANNELS * LENGTH) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.first = torch.nn.Linear(samples, 16).double()
        self.second = torch.nn.Linear(16, CLASSES).double()
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 4

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(inputs.flatten(1))))


def explained(model: torch.nn.Module, values: np.ndarray, dims: tuple[str, ...]) -> xr.Dataset:
    """Input times gradient of the predicted class; two of the trials are classified wrongly."""
    inputs = torch.tensor(values, requires_grad=True)
    output = model(inputs)
    (gradient,) = torch.autograd.grad(output.max(1).values.sum(), inputs)
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
        }
    )


@pytest.fixture
def model() -> torch.nn.Module:
    return Classifier().eval()


@pytest.fixture
def explanation(model: torch.nn.Module) -> xr.Dataset:
    rng = np.random.default_rng(5)
    values = rng.normal(1, 1, size=(TRIALS, CHANNELS, LENGTH))
    return explained(model, values, ("trial", "channel", "time")).assign_coords(
        {
            "channel": ["vertical", "fore-aft", "medio-lateral"],
            "time": ("time", np.linspace(0, 100, LENGTH), {"units": "% stance"}),
            "subject": ("trial", ["a", "a", "b", "b", "c", "c", "c"]),
        }
    )


SHAPES = {
    "features": {"feature": 9},
    "spectrograms": {"channel": 2, "frequency": 3, "time": 5},
    "videos": {"rgb": 3, "frame": 4, "row": 2, "column": 3},
}


@pytest.fixture(params=SHAPES)
def any_case(request: pytest.FixtureRequest) -> tuple[torch.nn.Module, xr.Dataset]:
    """A model and an explanation of signals that are not (trial, channel, time)."""
    sizes = SHAPES[request.param]
    model = Classifier(int(np.prod(list(sizes.values())))).eval()
    values = np.random.default_rng(8).normal(1, 1, size=(TRIALS, *sizes.values()))
    return model, explained(model, values, ("trial", *sizes))
