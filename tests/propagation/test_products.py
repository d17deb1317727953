"""Products and quotients of signals: which factor takes what, against formulas."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from reference.checks import assert_accounted
from torch import Tensor

import signalrp
from signalrp import Composite, Epsilon, Flat

SHAPE = (2, 3, 4)
GATED, EQUAL = Composite(Epsilon(0.0)), Composite(Epsilon(0.0), products="equal")
Function = Callable[[Tensor, Tensor], Tensor]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pair() -> tuple[Tensor, Tensor]:
    return normal(*SHAPE), normal(*SHAPE, seed=1)


def seed_for(out: Tensor) -> Tensor:
    return normal(*out.shape[1:], seed=9)


def explain(function: Function, inputs: tuple[Tensor, ...], composite: Any = GATED, audit: bool = False) -> Any:
    def read(out: Tensor) -> Tensor:
        return (out * seed_for(out)).flatten(1).sum(1)

    return signalrp.attribute(function, inputs, read, composite, audit=audit)


def explained(function: Function, inputs: tuple[Tensor, ...], composite: Any = GATED) -> Any:
    """Explain with an audit, and without, which has to change nothing."""
    audited = explain(function, inputs, composite, audit=True)
    assert_accounted(audited)
    for one, other in zip(audited.relevance, explain(function, inputs, composite).relevance, strict=True):
        assert torch.isfinite(one).all()
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    return audited


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected.expand_as(found), rtol=1e-9, atol=1e-12)


# -- gates ----------------------------------------

GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "softmax": lambda y: y.softmax(-1),
    "exp": torch.exp,
    "softplus": F.softplus,
    "hardsigmoid": F.hardsigmoid,
    "rsqrt": lambda y: torch.rsqrt(y.square() + 1),
    "reciprocal": lambda y: (y.square() + 1).reciprocal(),
    "negative power": lambda y: (y.square() + 1) ** -0.5,
    "one divided by": lambda y: 1 / (y.square() + 1).sqrt(),
    "power of a number": lambda y: 2.0**y,
    "one less": lambda y: 1 - torch.sigmoid(y),
    "one less, in place": lambda y: torch.sigmoid(y).neg_().add_(1),
    "ones less": lambda y: torch.ones_like(y) - torch.sigmoid(y),
    "scaled": lambda y: 2.5 * torch.sigmoid(y),
    "scaled in place": lambda y: torch.sigmoid(y).mul_(2.5),
    "scaled by a constant tensor": lambda y: torch.sigmoid(y) * normal(4, seed=2),
    "squared": lambda y: torch.sigmoid(y) * torch.sigmoid(y),
    "product of two": lambda y: torch.sigmoid(y) * torch.exp(-y),
    "sum of two": lambda y: torch.sigmoid(y) + torch.sigmoid(-2 * y),
    "share of the sum": lambda y: torch.exp(y) / torch.exp(y).sum(-1, keepdim=True),
    "share of the sum, in place": lambda y: (g := torch.exp(y)).div_(g.sum(-1, keepdim=True)),
    "views": lambda y: torch.sigmoid(y).transpose(1, 2).reshape(2, 12).view(2, 4, 3).mT,
    "parts": lambda y: torch.cat(torch.sigmoid(y).chunk(2, -1)[::-1], -1),
    "mean": lambda y: torch.sigmoid(y).mean(-1, keepdim=True),
    "pooled": lambda y: F.avg_pool1d(torch.sigmoid(y), 3, 1, 1),
    "indexed": lambda y: torch.sigmoid(y)[:, [2, 0, 1]],
    "expanded": lambda y: torch.sigmoid(y[:, :1]).expand(-1, 3, -1),
    "where": lambda y: torch.where(y > 0, torch.sigmoid(y), torch.zeros(())),
    "clamped": lambda y: torch.sigmoid(y).clamp(0.2, 0.7),
    "dropped out": lambda y: F.dropout(torch.sigmoid(y), 0.5, False),
    "another type": lambda y: torch.sigmoid(y).float().double(),
}


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("gate", GATES)
def test_a_gate_gets_nothing(gate: str, swapped: bool) -> None:
    x, y = pair()

    def function(x: Tensor, y: Tensor) -> Tensor:
        return GATES[gate](y) * x if swapped else x * GATES[gate](y)

    found = explained(function, (x, y)).relevance
    out = function(x, y)
    close(found[0], out * seed_for(out))
    assert not found[1].any()


@pytest.mark.parametrize("gate", ["sigmoid", "exp", "softplus", "mean"])
def test_equal_products_on_request(gate: str) -> None:
    x, y = pair()
    out = x * GATES[gate](y)
    found = explained(lambda x, y: x * GATES[gate](y), (x, y), EQUAL)
    close(found.relevance[0], 0.5 * out * seed_for(out))
    # What the gate gets goes on as where it is alone.
    half = 0.5 * (x * seed_for(out)).expand(*SHAPE)
    alone = signalrp.attribute(lambda y: GATES[gate](y), y, lambda g: (g * half).flatten(1).sum(1), EQUAL)
    close(found.relevance[1], alone.relevance)


@pytest.mark.parametrize("composite", [GATED, EQUAL])
@pytest.mark.parametrize("divisor", ["rsqrt", "reciprocal", "negative power", "one divided by"])
def test_a_factor_that_divides_never_gets_anything(divisor: str, composite: Composite) -> None:
    x, y = pair()
    out = x * GATES[divisor](y)
    found = explained(lambda x, y: x * GATES[divisor](y), (x, y), composite).relevance
    close(found[0], out * seed_for(out))
    assert not found[1].any()


SIGNALS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "logarithm": lambda y: torch.log1p(y.square()),
    "gate beside a signal": lambda y: y * torch.sigmoid(y),
    "root": lambda y: y.square().sqrt(),
    "written into a gate": lambda y: _written(torch.sigmoid(y), torch.tanh(y)),
}


def _written(gate: Tensor, value: Tensor) -> Tensor:
    gate[...] = value
    return gate


@pytest.mark.parametrize("name", SIGNALS)
def test_what_is_no_gate_gets_half(name: str) -> None:
    x, y = pair()
    out = x * SIGNALS[name](y)
    for relevance in explained(lambda x, y: x * SIGNALS[name](y), (x, y)).relevance:
        close(relevance, 0.5 * out * seed_for(out))


def test_a_gate_to_which_a_signal_is_added_is_none() -> None:
    x, y = pair()
    seed, gate = seed_for(x), torch.sigmoid(y)
    found = explained(lambda x, y: x * (torch.sigmoid(y) + y), (x, y)).relevance
    close(found[0], 0.5 * seed * x * (gate + y))
    close(found[1], 0.5 * seed * x * (gate - 0.5 + y))


@pytest.mark.parametrize("composite", [GATED, Composite(Epsilon(0.0)).where(Flat(), from_output=1)])
def test_gates_alone_share_their_product(composite: Composite) -> None:
    x, y = pair()
    out = torch.sigmoid(x) * torch.sigmoid(y)
    found = explained(lambda x, y: torch.sigmoid(x) * torch.sigmoid(y), (x, y), composite).relevance
    for one, other in zip(found, (x, y), strict=True):
        close(one, 0.5 * out * seed_for(out) * (torch.sigmoid(other) - 0.5) / torch.sigmoid(other))


def test_attention_weights_are_the_gate_of_other_gates() -> None:
    """Pooling by attention over probabilities (PANNs): the sigmoid is the signal there."""
    x, y = pair()
    out = (x.softmax(-1) * torch.sigmoid(y)).sum(-1)
    found = explained(lambda x, y: (x.softmax(-1) * torch.sigmoid(y)).sum(-1), (x, y)).relevance
    assert not found[0].any()
    close(found[1], seed_for(out)[:, None] * x.softmax(-1) * (torch.sigmoid(y) - 0.5))


# -- numbers beside signals ----------------------------------------

NUMBERS: dict[str, tuple[Function, tuple[float, float, float, float]]] = {
    "one plus": (lambda x, y: (1 + y) * x, (0.0, 1.0, 1.0, 1.0)),
    "plus one": (lambda x, y: x * (y + 1), (0.0, 1.0, 1.0, 1.0)),
    "one minus": (lambda x, y: x * (1 - y), (0.0, 1.0, 1.0, -1.0)),
    "both": (lambda x, y: (x + 2) * (3 - 0.5 * y), (2.0, 1.0, 3.0, -0.5)),
    "in steps": (lambda x, y: ((x - 1) * 2 + 0.5) * (y / 4 - 2), (-1.5, 2.0, -2.0, 0.25)),
    "in place": (lambda x, y: x.mul_(2).add_(1) * (y * 0.5 - 1), (1.0, 2.0, -1.0, 0.5)),
    "alpha": (lambda x, y: torch.add(x, 2, alpha=1.5) * torch.rsub(y, 1, alpha=2), (3.0, 1.0, 1.0, -2.0)),
    "reversed": (lambda x, y: (-x + 1) * y, (1.0, -1.0, 0.0, 1.0)),
    "written over": (lambda x, y: torch.mul(x, y.add(1)), (0.0, 1.0, 1.0, 1.0)),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_beside_signals_give_theirs_to_the_other(name: str) -> None:
    function, (a, alpha, b, beta) = NUMBERS[name]
    x, y = pair()
    seed = seed_for(x)
    result = explained(function, (x.clone(), y.clone()))
    close(result.relevance[0], seed * (alpha * x * b + alpha * x * beta * y / 2))
    close(result.relevance[1], seed * (beta * y * a + alpha * x * beta * y / 2))
    booked = result.ledger.groupby("sample")["absorbed"].sum().to_numpy()
    close(torch.from_numpy(booked), (seed * a * b).sum())


def test_numbers_that_do_not_hold_any_more() -> None:
    """A tensor overwritten after a number was added to it is not what it was."""

    def function(x: Tensor, y: Tensor) -> Tensor:
        gain = 1 + y
        gain[:, 0] = x[:, 0]
        return gain * x

    x, y = pair()
    found = explained(function, (x, y)).relevance
    seed = seed_for(x)
    close(found[0][:, 0], seed[0] * x[:, 0] ** 2)
    close(found[1][:, 1:], seed[1:] * (x * y)[:, 1:] / 2)
    close(found[0][:, 1:], seed[1:] * (x * (1 + y))[:, 1:] / 2)


# -- quotients ----------------------------------------

QUOTIENTS: dict[str, Function] = {
    "operator": lambda x, y: x / y,
    "function": torch.true_divide,
    "in place": lambda x, y: (2 * x).div_(y) / 2,
    "operator in place": lambda x, y: _divided(x.clone(), y),
    "reciprocal": lambda x, y: x * (1 / y),
    "power": lambda x, y: x * y**-1,
    "broadcast": lambda x, y: x / y[:, :1],
    "statistic": lambda x, y: x / (y.abs().mean(-1, keepdim=True) + 1e-6),
    "itself": lambda x, y: x / x.norm(dim=-1, keepdim=True) + 0 * y,
}


def _divided(x: Tensor, y: Tensor) -> Tensor:
    x /= y
    return x


def _without_poles(d: Tensor) -> Tensor:
    d[torch.isinf(d)] = 0
    return d


@pytest.mark.parametrize("name", QUOTIENTS)
def test_a_divisor_gets_nothing(name: str) -> None:
    x, y = pair()
    out = QUOTIENTS[name](x, y)
    found = explained(QUOTIENTS[name], (x.clone(), y.clone())).relevance
    close(found[0], out * seed_for(out))
    assert not found[1].any()


@pytest.mark.parametrize("guard", [
    lambda x, s: torch.where(s == 0, 0.0, x / s),
    lambda x, s: torch.nan_to_num(x / s, nan=0.0, posinf=0.0, neginf=0.0),
    lambda x, s: (x / s).masked_fill(s == 0, 0.0),
    lambda x, s: torch.where(s > 0, x * (1 / s), torch.zeros_like(x)),
    lambda x, s: torch.where(s > 0, x * torch.rsqrt(s.square()), torch.zeros_like(x)),
    lambda x, s: torch.where(s > 0, x * s**-1.0, torch.zeros_like(x)),
    lambda x, s: x * torch.where(s > 0, 1 / s, torch.zeros_like(s)),
    lambda x, s: x * (d := s.pow(-1.0)).masked_fill_(d.isinf(), 0.0),
    lambda x, s: x * _without_poles(s.reciprocal()),
    lambda x, s: torch.where(s > 0, x.div(s), torch.tensor(0.0, dtype=x.dtype)),
    lambda x, s: x.div(s).nan_to_num_(0.0, 0.0, 0.0),
])  # fmt: skip
@pytest.mark.parametrize("zero_too", [False, True])
def test_division_by_zero_is_guarded_as_the_model_does(guard: Function, zero_too: bool) -> None:
    x, y = pair()
    y[0, 1] = 0
    if zero_too:
        x[0, 1] = 0
    found = explained(lambda x, y: guard(x, y.abs()), (x, y)).relevance
    expected = torch.where(y == 0, 0, x / y.abs())
    close(found[0], expected * seed_for(expected))
    assert not found[1].any()


# -- one signal with itself ----------------------------------------


@pytest.mark.parametrize("composite", [GATED, EQUAL])
@pytest.mark.parametrize("square", [
    lambda x: x * x,
    lambda x: x**2,
    lambda x: x.pow(2),
    torch.square,
    lambda x: x.clone().mul_(x),
    lambda x: x * x.clone(),
    lambda x: torch.einsum("bct,bct->bct", x, x),
])  # fmt: skip
def test_squares_agree(square: Callable[[Tensor], Tensor], composite: Composite) -> None:
    x = normal(*SHAPE)
    found = explained(lambda x: square(x), (x,), composite).relevance[0]
    close(found, x.square() * seed_for(x))


FACTORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "three": lambda x, y: x * x * y,
    "einsum of three": lambda x, y: torch.einsum("bct,bct,bct->bct", x, x, y),
    "cube": lambda x, y: x**3 * 1.0 + 0 * y,
}


@pytest.mark.parametrize(("name", "part"), [("three", 0.5), ("einsum of three", 2 / 3), ("cube", 1.0)])
def test_more_factors(name: str, part: float) -> None:
    """A product in steps halves at each step; one einsum gives every factor the same."""
    x, y = pair()
    out = FACTORS[name](x, y)
    found = explained(FACTORS[name], (x, y)).relevance
    close(found[0], part * out * seed_for(out))
    close(found[1], (1 - part) * out * seed_for(out))


# -- functions written by hand ----------------------------------------

HANDS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "gelu": (lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))), F.gelu),
    "gelu of tanh": (
        lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        lambda x: F.gelu(x, approximate="tanh"),
    ),
    "swish": (lambda x: x * torch.sigmoid(x), F.silu),
    "swish in place": (lambda x: x.clone().mul_(x.sigmoid()), F.silu),
    "mish": (lambda x: x * torch.tanh(torch.log1p(torch.exp(x))), F.mish),
    "rms norm": (lambda x: x * torch.rsqrt(x.pow(2).mean(-1, True) + 1e-5), lambda x: F.rms_norm(x, (4,), eps=1e-5)),
    "layer norm": (
        lambda x: (x - x.mean(-1, True)) / torch.sqrt(x.var(-1, correction=0, keepdim=True) + 1e-5)
        * normal(4, seed=3) + normal(4, seed=4),
        lambda x: F.layer_norm(x, (4,), normal(4, seed=3), normal(4, seed=4)),
    ),
    "layer norm by rsqrt": (
        lambda x: (z := x - x.mean(-1, True)) * torch.rsqrt(z.square().mean(-1, True) + 1e-5) * normal(4, seed=3),
        lambda x: F.layer_norm(x, (4,), normal(4, seed=3)),
    ),
}  # fmt: skip


# In equal parts half goes to the sigmoid, of which 1/2 is a constant: another question, another answer.
ONLY_GATED = ("swish", "swish in place", "mish")
BY_HAND = [(name, GATED) for name in HANDS] + [(name, EQUAL) for name in HANDS if name not in ONLY_GATED]


@pytest.mark.parametrize(("name", "composite"), BY_HAND)
def test_functions_written_by_hand(name: str, composite: Composite) -> None:
    by_hand, by_name = HANDS[name]
    x = normal(*SHAPE)
    close(explained(by_hand, (x,), composite).relevance[0], explained(by_name, (x,), composite).relevance[0])


@pytest.mark.parametrize("name", ["addr", "addbmm"])
def test_what_beta_leaves_out_is_not_read(name: str) -> None:
    def model(x: Tensor) -> Tensor:
        other = torch.ones(4, dtype=x.dtype) if name == "addr" else torch.ones(2, 3, 4, dtype=x.dtype)
        unread = torch.full((3, 4), torch.nan, dtype=x.dtype)
        factors = (x[0], other) if name == "addr" else (x[None].expand(2, 3, 3), other)
        return getattr(torch, name)(unread, *factors, beta=0).sum().reshape(1)

    x = torch.ones(3, 3, dtype=torch.float64)
    result = signalrp.attribute(model, x, lambda out: out)
    assert torch.isfinite(result.relevance).all()
    torch.testing.assert_close(result.relevance.sum(), model(x)[0], rtol=1e-5, atol=1e-8)
