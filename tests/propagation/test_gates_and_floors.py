"""What a model names a gate, and where a logarithm starts from."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from reference.checks import assert_accounted
from reference.families import build
from reference.families.sequences import MambaBlock
from torch import Tensor, nn

import signalrp
from signalrp import Composite, Epsilon, UnsupportedOperation, ZPlus

EXACT = Composite(Epsilon(0.0))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# -- selective state spaces ----------------------------------------


def test_selective_parameters_are_constants() -> None:
    model, x = build("Mamba")
    named = signalrp.attribute(model, x, 0, signalrp.composite("mamba-lrp", epsilon=0.0), audit=True)
    assert_accounted(named)
    plain = signalrp.attribute(model, x, 0, EXACT)
    assert float((named.relevance - plain.relevance).abs().max()) > 1e-3 * float(plain.relevance.abs().max())
    detached = [
        module.register_forward_hook(lambda module, args, out: out.detach())
        for block in model.modules()
        if isinstance(block, MambaBlock)
        for module in (block.x_proj, block.dt_proj)
    ]
    expected = signalrp.attribute(model, x, 0, EXACT)
    for handle in detached:
        handle.remove()
    scale = float(expected.relevance.abs().max())
    assert float((named.relevance - expected.relevance).abs().max()) <= 1e-10 * scale


def test_gates_are_named_by_path() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.signal, self.scale, self.head = nn.Linear(5, 4), nn.Linear(5, 4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.signal(x) * torch.tanh(self.scale(x)).abs().view(-1, 4))

    model, x = Mixed().double().eval(), normal(3, 5)
    gated = signalrp.attribute(model, x, 1, EXACT.gate("scale"))
    with torch.no_grad():
        factor = torch.tanh(model.scale(x)).abs()
        c = model.head.weight[1] * factor
        expected = x * (c @ model.signal.weight)
    torch.testing.assert_close(gated.relevance, expected, rtol=1e-10, atol=1e-12)
    with pytest.raises(ValueError, match=r"no module matches the gate 'scales'.*signal, scale, head"):
        signalrp.attribute(model, x, 1, EXACT.gate("scales"))


# -- logarithms and their floors ----------------------------------------

FLOOR = 1e-4
FLOORED: dict[str, Callable[[Tensor], Tensor]] = {
    "clamp": lambda x: x.clamp(min=FLOOR).log(),
    "clamp_min": lambda x: torch.clamp_min(x, FLOOR).log2(),
    "maximum": lambda x: torch.log10(torch.maximum(x, torch.tensor(FLOOR, dtype=x.dtype))),
    "in place": lambda x: (x * 1).clamp_(min=FLOOR).log_(),
    "added": lambda x: (x + FLOOR).log(),
    "added in place": lambda x: (x * 1).add_(FLOOR).log_(),
    "added behind a view": lambda x: (x + FLOOR)[None].flatten(0, 1).transpose(0, 1).log10().t(),
    "one": lambda x: (1 + x).log(),
}


@pytest.mark.parametrize("name", FLOORED)
def test_a_logarithm_starts_from_its_floor(name: str) -> None:
    function, x, weight = FLOORED[name], normal(3, 7).square(), normal(2, 7, seed=1)
    x[0, :3] = torch.tensor([0.0, 1e-6, 1e-4], dtype=torch.float64)
    found = signalrp.attribute(lambda v: nn.functional.linear(function(v), weight), x, 1, EXACT, audit=True)
    silence = function(torch.zeros_like(x))
    torch.testing.assert_close(found.relevance, weight[1] * (function(x) - silence), rtol=1e-6, atol=1e-10)
    assert_accounted(found)
    lost = float((weight[1] * silence).sum())
    assert math.isclose(float(found.ledger["constant"].sum()), lost, rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize("name", ["clamp", "maximum", "added"])
def test_the_unit_of_the_signal_does_not_turn_a_map(name: str) -> None:
    def model(x: Tensor) -> Tensor:
        return nn.functional.linear(FLOORED[name](x), normal(2, 7, seed=1))

    x = normal(1, 7).square() + 0.1
    maps = [signalrp.attribute(model, x * gain, 1).relevance.flatten() for gain in (0.01, 1.0, 100.0)]
    assert float(torch.corrcoef(torch.stack(maps)).min()) > 0.9


def test_a_bare_logarithm_hands_on_its_value() -> None:
    x, weight = normal(2, 5).square() + 0.1, normal(2, 5, seed=1)
    found = signalrp.attribute(lambda v: nn.functional.linear(v.log(), weight), x, 0, EXACT)
    torch.testing.assert_close(found.relevance, weight[0] * x.log(), rtol=1e-10, atol=1e-12)


# -- what is said rather than guessed ----------------------------------------


def test_samples_that_mix_are_told() -> None:
    model = nn.LSTM(4, 3).double().eval()
    with pytest.warns(UserWarning, match="samples of this batch mix"):
        signalrp.attribute(lambda x: model(x)[0].sum(1), normal(3, 5, 4), 0, audit=True)


def test_a_scan_in_place_equals_the_one_that_copies() -> None:
    first, second, head = nn.Linear(4, 4).double(), nn.Linear(4, 4).double(), nn.Linear(4, 3).double()

    def in_place(u: Tensor) -> Tensor:
        a, x = torch.sigmoid(first(u)), second(u) * 1
        x[:, 1].add_(a[:, 1].mul(x[:, 0]))
        a[:, 1].mul_(a[:, 0])
        x[:, 1].mul_(a[:, 1])
        return head(x[:, 1])

    def copying(u: Tensor) -> Tensor:
        a, x = torch.sigmoid(first(u)), second(u)
        return head((x[:, 1] + a[:, 1] * x[:, 0]) * (a[:, 1] * a[:, 0]))

    u = normal(2, 2, 4)
    expected = signalrp.attribute(copying, u, 1, "epsilon", audit=True)
    for audit in (False, True):
        found = signalrp.attribute(in_place, u, 1, "epsilon", audit=audit)
        torch.testing.assert_close(found.relevance, expected.relevance, rtol=1e-10, atol=1e-12)


def test_overwriting_one_of_several_outputs_is_refused() -> None:
    def model(x: Tensor) -> Tensor:
        a, b = x.split([2, 2], 1)
        a[a > 1] = 0
        return torch.cat([a, b], 1)

    with pytest.raises(UnsupportedOperation, match="clone it before"):
        signalrp.attribute(model, normal(2, 4), 0)


def test_what_no_contribution_of_its_kind_reaches_is_withheld() -> None:
    layer = nn.Linear(4, 3).double().eval()
    with torch.no_grad():
        layer.weight.copy_(-layer.weight.abs())
        layer.bias.zero_()
    result = signalrp.attribute(layer, normal(2, 4).abs(), 0, ZPlus(), audit=True)
    assert float(result.relevance.abs().max()) == 0
    torch.testing.assert_close(result.absorbed, result.explained)
    assert math.isclose(float(result.ledger["withheld"].sum()), float(result.explained.sum()), rel_tol=1e-9)
