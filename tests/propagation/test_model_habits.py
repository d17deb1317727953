"""What models do besides computing: change themselves, keep things, draw random numbers, compute their weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from reference.asking import explain, normal, same
from reference.checks import assert_accounted, assert_same_state, state
from reference.networks import randomise
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

# -- models that change themselves ----------------------------------------


class Habit(nn.Module):
    """Two layers, and something that a model does to itself between them."""

    def __init__(self, act: Callable[[Habit, Tensor], Any]) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 3)
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("spread", torch.ones(6))
        self.register_buffer("table", None)
        self.count, self.kept, self.maps, self.act = 0, None, [], act
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x))
        result = self.act(self, h)
        return self.last(h if result is None else result)


def renormed(m: Habit, h: Tensor) -> None:
    m.last.weight.data = torch.renorm(m.last.weight.data, 2, 0, 0.5)


def renormed_in_place(m: Habit, h: Tensor) -> None:
    m.last.weight.data.renorm_(2, 0, 0.5)


def renormed_without_grad(m: Habit, h: Tensor) -> None:
    with torch.no_grad():
        m.last.weight.div_(m.last.weight.norm(dim=1, keepdim=True))
        m.last.bias[0] = 0.25


def clamped(m: Habit, h: Tensor) -> None:
    m.last.weight.data[:, 0].clamp_(-0.1, 0.1)
    m.last.bias.data += 1


def running_mean(m: Habit, h: Tensor) -> Tensor:
    m.mean.mul_(0.9).add_(0.1 * h.detach().mean(0))
    return h - m.mean


def replaced_buffer(m: Habit, h: Tensor) -> Tensor:
    m.mean = 0.9 * m.mean + 0.1 * h.detach().mean(0)
    return h - m.mean


def hidden_state(m: Habit, h: Tensor) -> Tensor:
    m.kept = h if m.kept is None else m.kept + h
    return m.kept


def kept_map(m: Habit, h: Tensor) -> None:
    m.kept = h.softmax(-1)
    m.weights_of_attention = m.kept.detach()


def positions(m: Habit, h: Tensor) -> Tensor:
    if m.table is None or len(m.table) < len(h):
        m.table = torch.arange(h.shape[1], dtype=h.dtype).sin().expand_as(h)
    return h * (1 + m.table)


def counter(m: Habit, h: Tensor) -> Tensor:
    m.count += 1
    return h * m.count


def new_layer(m: Habit, h: Tensor) -> Tensor:
    if not hasattr(m, "late"):
        m.late = nn.Linear(6, 6, dtype=h.dtype)
        nn.init.eye_(m.late.weight)
        nn.init.zeros_(m.late.bias)
    return m.late(h)


def new_parameter(m: Habit, h: Tensor) -> Tensor:
    m.scale = nn.Parameter(torch.full((6,), 2.0, dtype=h.dtype))
    return h * m.scale


def swapped_layer(m: Habit, h: Tensor) -> None:
    m.last = nn.Linear(6, 3, dtype=h.dtype)
    nn.init.constant_(m.last.weight, 0.3)


def batch_statistics(m: Habit, h: Tensor) -> Tensor:
    return F.batch_norm(h, m.mean, m.spread, training=True)


def instance_statistics(m: Habit, h: Tensor) -> Tensor:
    return F.instance_norm(h[:, :, None].expand(-1, -1, 2) * normal(2), m.mean, m.spread).mean(-1) + h


HABITS = [
    renormed, renormed_in_place, renormed_without_grad, clamped, running_mean, replaced_buffer, hidden_state, kept_map,
    positions, counter, new_layer, new_parameter, swapped_layer, batch_statistics, instance_statistics,
]  # fmt: skip


@pytest.mark.parametrize("audit", [False, True])
@pytest.mark.parametrize("act", HABITS)
def test_models_that_change_themselves_are_as_before(act: Callable[..., Any], audit: bool) -> None:
    model, x = randomise(Habit(act), 1), normal(3, 4)
    before, attributes, parameters = state(model), dict(vars(model)), list(model.parameters())
    # That the model overwrote something shows, as it does whenever it runs.
    before.pop("versions")
    data = [p.data_ptr() for p in parameters]
    first = explain(model, x, audit=audit)
    assert_same_state(before, state(model))
    assert dict(vars(model)) == attributes
    assert all(one is other for one, other in zip(model.parameters(), parameters, strict=True))
    assert [p.data_ptr() for p in parameters] == data
    second = explain(model, x, audit=audit)
    assert torch.equal(first.relevance, second.relevance)
    assert torch.equal(first.output, second.output)
    if audit:
        assert_accounted(first)
    torch.testing.assert_close(first.output, model(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("audit", [False, True])
@pytest.mark.parametrize("act", [renormed, renormed_in_place, renormed_without_grad, clamped, swapped_layer])
def test_the_weights_that_were_used_are_explained(act: Callable[..., Any], audit: bool) -> None:
    model, x = randomise(Habit(act), 1), normal(3, 4)
    found = explain(model, x, "epsilon-alpha2-beta1", audit=audit)
    used = copy.deepcopy(model)
    act(used, normal(3, 6))
    same(found.relevance, explain(lambda x: used.last(torch.relu(used.first(x))), x, "epsilon-alpha2-beta1").relevance)


@pytest.mark.parametrize("audit", [False, True])
def test_weights_that_change_between_two_calls(audit: bool) -> None:
    def act(m: Habit, h: Tensor) -> Tensor:
        before = m.last(h)
        with torch.no_grad():
            m.last.weight.mul_(-0.5)
            m.mean.add_(1)
        return F.pad(before, (0, 3)) + h * m.mean

    def by_parts(m: Habit, x: Tensor) -> Tensor:
        h = torch.relu(m.first(x))
        both = F.pad(m.last(h), (0, 3)) + h * (m.mean + 1)
        return F.linear(both, -0.5 * m.last.weight, m.last.bias)

    model, x = randomise(Habit(act), 1), normal(3, 4)
    found = explain(model, x, audit=audit)
    same(found.relevance, explain(partial(by_parts, model), x).relevance)
    if audit:
        assert_accounted(found)


def test_what_is_appended_to_a_list_of_the_model_stays_readable() -> None:
    """Maps kept for plotting: the list is the model's own, what is in it is not torn apart."""
    model = randomise(Habit(lambda m, h: m.maps.append(h.softmax(-1))), 1)
    same(explain(model, normal(3, 4)).relevance, explain(model, normal(3, 4)).relevance)
    assert all(torch.isfinite(kept).all() for kept in model.maps)


def test_a_failure_in_between_changes_nothing() -> None:
    def act(m: Habit, h: Tensor) -> Tensor:
        renormed_in_place(m, h)
        m.count, m.kept = 7, h
        raise KeyError("the model's own fault")

    model = randomise(Habit(act), 1)
    before, attributes = state(model), dict(vars(model))
    with pytest.raises(KeyError):
        explain(model, normal(3, 4))
    assert_same_state(before, state(model))
    assert dict(vars(model)) == attributes


# -- models that draw random numbers ----------------------------------------

DRAWS: dict[str, Callable[[Tensor], Tensor]] = {
    "noise": lambda x: x + 0.1 * torch.randn_like(x),
    "dropout": lambda x: F.dropout(x, 0.5, training=True),
    "mask": lambda x: x * torch.bernoulli(torch.full_like(x, 0.5)),
    "permutation": lambda x: x[:, torch.randperm(x.shape[1])],
    "rrelu": lambda x: F.rrelu(x, training=True),
    "in place": lambda x: x + torch.empty_like(x).normal_(),
    "uniform": lambda x: x * torch.rand(x.shape, dtype=x.dtype),
}


@pytest.mark.parametrize("name", DRAWS)
def test_random_numbers_are_drawn_alike_and_given_back(name: str) -> None:
    first, last = randomise(nn.Linear(4, 6), 1), randomise(nn.Linear(6, 3), 2)

    def model(x: Tensor) -> Tensor:
        return last(DRAWS[name](first(x)))

    torch.manual_seed(5)
    before = torch.get_rng_state()
    results = [explain(model, normal(2, 4), audit=audit) for audit in (False, True, False)]
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(results[0].output, model(normal(2, 4)))
    assert torch.equal(results[0].relevance, results[2].relevance)
    same(results[1].relevance, results[0].relevance)
    assert_accounted(results[1])


# -- weights that are computed ----------------------------------------


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight - weight.flip(0)


def legacy(norm: Callable[..., nn.Module]) -> Callable[[nn.Module], nn.Module]:
    return lambda layer: norm(layer, "weight")


WEIGHTS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "weight norm": parametrizations.weight_norm,
    "old weight norm": legacy(torch.nn.utils.weight_norm),
    "spectral norm": parametrizations.spectral_norm,
    "old spectral norm": legacy(torch.nn.utils.spectral_norm),
    "orthogonal": parametrizations.orthogonal,
    "orthogonal by cayley": partial(parametrizations.orthogonal, orthogonal_map="cayley"),
    "one's own": lambda layer: parametrize.register_parametrization(layer, "weight", Doubled()),
    "two": lambda layer: parametrize.register_parametrization(
        parametrizations.weight_norm(layer), "weight", Doubled()
    ),
}  # fmt: skip
LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(4, 6), (2, 4)),
    "convolution": (lambda: nn.Conv1d(4, 6, 3, padding=1), (2, 4, 7)),
}


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus-flat", "epsilon-alpha2-beta1"])
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_effective_weight_is_what_the_rule_sees(name: str, layer: str, composite: str) -> None:
    make, shape = LAYERS[layer]
    computed = WEIGHTS[name](randomise(make(), 1)).double().eval()
    computed(normal(*shape))
    plain = make().double().eval()
    with torch.no_grad():
        plain.weight.copy_(computed.weight)
        plain.bias.copy_(computed.bias)
    head = randomise(nn.Linear(6, 3), 2)

    def behind(layer: nn.Module) -> nn.Module:
        pool = [nn.AdaptiveAvgPool1d(1)] if len(shape) > 2 else []
        return nn.Sequential(layer, nn.ReLU(), *pool, nn.Flatten(), head).eval()

    model, x = behind(computed), normal(*shape, seed=3)
    before = state(model)
    found = explain(model, x, composite, audit=True)
    assert_same_state(before, state(model))
    assert_accounted(found)
    same(found.relevance, explain(behind(plain), x, composite).relevance)
