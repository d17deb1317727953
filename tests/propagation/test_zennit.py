"""Agreement with zennit 0.5 where it is right: plain convolution-norm-ReLU-pool stacks."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import signalrp

TOLERANCE = 1e-10


@pytest.fixture(scope="module")
def zennit() -> Any:
    """The package, with a stand-in for the two classes of torchvision that it imports."""
    stand_in = {
        name: types.ModuleType(name) for name in ("torchvision", "torchvision.models", "torchvision.models.resnet")
    }
    for name in ("Bottleneck", "BasicBlock"):
        setattr(stand_in["torchvision.models.resnet"], name, type(name, (nn.Module,), {}))
    missing = [name for name in stand_in if name not in sys.modules]
    sys.modules.update({name: stand_in[name] for name in missing})
    try:
        package = importlib.import_module("zennit")
        for part in ("attribution", "canonizers", "composites", "rules", "types"):
            importlib.import_module(f"zennit.{part}")
    except ImportError as error:
        pytest.skip(f"zennit does not import: {error}")
    finally:
        for name in missing:
            del sys.modules[name]
    return package


def randomise(model: nn.Module, seed: int) -> nn.Module:
    """Give every parameter and statistic a value that is not the one it starts with."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
            value.copy_(noise.abs() + 0.5 if name.endswith("running_var") else 0.4 * noise)
    return model.eval()


# After merging, zennit divides by the root of 1 + eps once more: eps is 0 here, so that it is right.
def conv1d() -> tuple[nn.Module, Tensor]:
    model = nn.Sequential(
        nn.Conv1d(3, 6, 5, padding=2), nn.BatchNorm1d(6, eps=0), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(6, 8, 3, stride=2, groups=2), nn.BatchNorm1d(8, eps=0), nn.ReLU(),
        nn.Flatten(), nn.Linear(56, 10), nn.ReLU(), nn.Linear(10, 4),
    ).double()  # fmt: skip
    return randomise(model, 0), torch.randn(3, 3, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def conv2d() -> tuple[nn.Module, Tensor]:
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4, eps=0), nn.ReLU(), nn.Conv2d(4, 4, 3, dilation=2), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48, 3),
    ).double()  # fmt: skip
    return randomise(model, 2), torch.randn(
        2, 2, 12, 10, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )


COMPOSITES = ["epsilon", "epsilon-plus", "epsilon-plus-flat", "epsilon-gamma-box", "epsilon-alpha2-beta1"]


def theirs(zennit: Any, name: str, low: float, high: float) -> Any:
    """Return zennit's composite with the same parameters."""
    canonizers = [zennit.canonizers.SequentialMergeBatchNorm()]
    kinds = zennit.composites
    if name == "epsilon":
        layers = [(zennit.types.Activation, zennit.rules.Pass()), (zennit.types.Linear, zennit.rules.Epsilon(1e-6))]
        return kinds.LayerMapComposite(layers, canonizers=canonizers)
    if name == "epsilon-gamma-box":
        shape = torch.tensor([low, high], dtype=torch.float64)
        return kinds.EpsilonGammaBox(shape[0], shape[1], gamma=0.25, canonizers=canonizers)
    if name == "epsilon-plus-flat":
        return kinds.EpsilonPlusFlat(zero_params="bias", canonizers=canonizers)
    family = {"epsilon-plus": kinds.EpsilonPlus, "epsilon-alpha2-beta1": kinds.EpsilonAlpha2Beta1}[name]
    return family(canonizers=canonizers)


@pytest.mark.parametrize("net", [conv1d, conv2d])
@pytest.mark.parametrize("name", COMPOSITES)
def test_same_relevance(zennit: Any, name: str, net: Any) -> None:
    model, x = net()
    options = {"low": -5.0, "high": 5.0} if name == "epsilon-gamma-box" else {}
    if name == "epsilon-plus-flat":
        # zennit then leaves the bias out of the whole composite.
        zero = signalrp.Composite(signalrp.Epsilon(bias="ignore"))
        composite = zero.where(signalrp.ZPlus(bias="ignore"), kind="convolution").where(signalrp.Flat(), from_input=1)
    else:
        composite = signalrp.composite(name, **options)
    found = signalrp.attribute(model, x, None, composite)
    seed = torch.zeros_like(found.output).scatter_(1, found.target[:, None], found.explained[:, None])
    with zennit.attribution.Gradient(model, theirs(zennit, name, -5.0, 5.0)) as attributor:
        output, relevance = attributor(x, seed)
    torch.testing.assert_close(found.output, output, rtol=1e-10, atol=1e-12)
    difference = float((found.relevance - relevance).abs().max() / relevance.abs().max())
    assert difference <= TOLERANCE, f"{name}: differs by {difference:.3g} of the greatest relevance"
