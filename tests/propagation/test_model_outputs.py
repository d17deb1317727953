"""What goes into models and comes out of them: structures, functions, tensors made on the way, other libraries."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from reference.asking import explain, normal, same
from reference.checks import assert_accounted
from reference.networks import randomise
from torch import Tensor, nn

# -- what goes in and comes out ----------------------------------------


@dataclass
class Output:
    loss: Any
    logits: Tensor
    states: tuple[Tensor, ...]


class ModelOutput(dict[str, Any]):
    """A dict whose items are attributes as well, as libraries of models return it."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


class Named(NamedTuple):
    features: Tensor
    logits: Tensor


def test_outputs_of_every_structure() -> None:
    net, x = randomise(nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), 1), normal(2, 4)
    expected = explain(net, x).relevance
    forms: dict[str, Callable[[Tensor], Any]] = {
        "tuple": lambda x: (net(x), x),
        "list": lambda x: [net(x)],
        "nested": lambda x: ((net(x), x), {"more": x}),
        "dict": lambda x: {"features": x, "logits": net(x)},
        "first of a dict": lambda x: {"scores": net(x), "hidden": x},
        "model output": lambda x: ModelOutput(loss=None, logits=net(x), states=(x,)),
        "integers first": lambda x: (x.argmax(1), net(x)),
    }
    for form in forms.values():
        same(explain(form, x, audit=True).relevance, expected)
    chosen: dict[str, tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]] = {
        "dataclass": (lambda x: Output(None, net(x), (x,)), lambda out: out.logits[:, 1]),
        "named tuple": (lambda x: Named(x, net(x)), lambda out: out.logits[:, 1]),
        "last of several": (lambda x: (x, net(x)), lambda out: out[-1][:, 1]),
    }
    for form, read in chosen.values():
        same(explain(form, x, target=read).relevance, expected)


def test_functions_and_partial_functions_are_models() -> None:
    net, x = randomise(nn.Linear(4, 3)), normal(2, 4)
    expected = explain(net, x).relevance

    def scaled(x: Tensor, scale: float, weight: Tensor) -> Tensor:
        return F.linear(x, weight, net.bias) * scale

    same(explain(partial(scaled, scale=1.0, weight=net.weight), x).relevance, expected)
    same(explain(lambda x: net(x), x).relevance, expected)
    same(explain(net.forward, x).relevance, expected)
    same(explain(partial(nn.Module.__call__, net), x).relevance, expected)


def test_a_module_called_many_times() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.norm, self.head = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(3):
                x = x + torch.tanh(self.norm(self.cell(x)))
            return self.head(self.cell(x))

    model, x = randomise(Shared(), 1), normal(2, 4)
    result = explain(model, x, audit=True, layers=["cell"])
    assert_accounted(result)
    assert len(result.layers["cell"]) == 4
    assert all(part.any() for part in result.layers["cell"])


def test_tensors_built_in_the_forward_pass() -> None:
    head = randomise(nn.Linear(6, 3))

    def built(x: Tensor) -> Tensor:
        out = torch.zeros(len(x), 6, dtype=x.dtype, device=x.device)
        out[:, :4] = x.to(x.device)
        out[:, 4] = torch.tensor([1.0, 2.0], dtype=x.dtype)[: len(x)]
        row = x.new_tensor([0.5, -0.5, 0.1, 0.2]).expand_as(x)
        out[:, 5] = (row * x).sum(1) + torch.arange(len(x)) + torch.from_numpy(np.ones(1))
        return head(torch.cat([out, torch.eye(6, dtype=x.dtype)])[: len(x)])

    def by_matrices(x: Tensor) -> Tensor:
        last = (x * torch.tensor([0.5, -0.5, 0.1, 0.2], dtype=x.dtype)).sum(1, keepdim=True)
        constants = torch.tensor([[1.0, 0.0], [2.0, 1.0]], dtype=x.dtype)
        return head(torch.cat([x, constants[:, :1], last + constants[:, 1:] + 1], 1))

    x = normal(2, 4)
    found = explain(built, x, audit=True)
    assert_accounted(found)
    same(found.relevance, explain(by_matrices, x).relevance)


def test_other_types_in_the_middle() -> None:
    first, last = randomise(nn.Linear(4, 6), 1), randomise(nn.Linear(6, 3), 2).float()
    x = normal(2, 4)
    expected = explain(nn.Sequential(first, nn.Tanh(), copy.deepcopy(last).double()).eval(), x).relevance
    for cast in (lambda h: h.float(), lambda h: h.to(torch.float32), lambda h: h.type(torch.FloatTensor)):
        found = explain(lambda x, cast=cast: last(cast(torch.tanh(first(x)))), x, audit=True)
        assert found.relevance.dtype == torch.float64
        same(found.relevance, expected, 1e-5)
        assert_accounted(found, 1e-6)


@pytest.mark.parametrize("leave", [
    lambda x: torch.from_numpy(x.detach().numpy().copy()),
    lambda x: torch.from_numpy(np.asarray(x.detach())),
    lambda x: torch.tensor(x.tolist(), dtype=x.dtype),
    lambda x: torch.from_dlpack(x.detach()).clone(),
    lambda x: x.new_tensor([[v.item() for v in row] for row in x]),
    lambda x: torch.tensor([float(v) for v in x.detach().flatten()], dtype=x.dtype).view_as(x),
])  # fmt: skip
def test_leaving_torch_is_not_silent(leave: Callable[[Tensor], Tensor]) -> None:
    head, x = randomise(nn.Linear(4, 3)), normal(2, 4)
    with pytest.warns(UserWarning, match="leaves torch"):
        found = explain(lambda x: head(x + leave(x)), x, audit=True)
    assert_accounted(found)
    with pytest.warns(UserWarning, match="leaves torch"), pytest.raises(ValueError, match="does not depend"):
        explain(lambda x: head(leave(x)), x)
