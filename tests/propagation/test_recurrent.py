"""Recurrent layers against a reference that goes step by step, and in every form that a model may use them in."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.cases import RULES
from reference.checks import assert_accounted, assert_same_state, state
from reference.recurrent import relevance_of
from reference.recurrent_nets import (
    CELLS,
    NETS,
    Packed,
    Started,
    Stepped,
    Summed,
    factors,
    filled,
    first_states,
    listed,
    net,
    normal,
    pooled,
    read,
)  # fmt: skip
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence

import signalrp
from signalrp import Composite, Epsilon, Flat, Gamma, Pass, Rule, UnsupportedOperation, ZBox

TOLERANCE = 1e-10
SHARING: dict[str, Rule] = {name: rule for name, rule in RULES.items() if name != "pass"} | {
    "epsilon 1e-2": Epsilon(1e-2),
    "epsilon 1e-6 redistribute": Epsilon(bias="redistribute"),
    "epsilon 1e-2 redistribute": Epsilon(1e-2, bias="redistribute"),
}


def explain(model: Any, inputs: Any, rule: Rule | Composite | None = None, audit: bool = False, **options: Any) -> Any:
    """Explain with a head that takes nothing."""
    composite = rule if isinstance(rule, Composite) else Composite(rule or Epsilon())
    return signalrp.attribute(model, inputs, None, composite.where(Epsilon(0.0), from_output=1), audit=audit, **options)


def assert_as_reference(
    module: nn.RNNBase,
    rules: list[Rule],
    equal: bool = False,
    as_such: bool = False,
    shape: tuple[int, int] = (2, 3),
) -> None:
    x, first = normal(*shape, module.input_size, seed=1), first_states(module, shape[0])
    composite = Composite(rules[-1], products="equal" if equal else "gate").where(rules[0], from_input=1)
    composite = composite.where(Flat(epsilon=0.0) if as_such else Epsilon(0.0), from_output=1)
    model = Summed(module)
    result = signalrp.attribute(model, (x, *first), None, composite, audit=True)
    assert_accounted(result)
    with torch.no_grad():
        outputs = model.outputs(x, *first)
        torch.testing.assert_close(result.output, model(x, *first), rtol=1e-12, atol=1e-12)
    features = torch.cat([part.flatten(1) for part in outputs], 1)
    arriving = features * factors(features)
    if as_such:
        arriving = arriving.sum(1, keepdim=True).expand_as(features) / features.shape[1]
    for k in range(len(x)):
        parts = arriving[k].split([part[k].numel() for part in outputs])
        seeds = [r.view_as(part[k]).numpy() for r, part in zip(parts, outputs, strict=True)]
        if len(seeds) == 2:
            seeds.append(0 * seeds[1])
        expected = relevance_of(module, x[k].numpy(), [f[k].numpy() for f in first], seeds, rules, equal, as_such)
        for found, value in zip(result.relevance, expected, strict=True):
            scale = max(abs(value).max(), 1e-6)
            torch.testing.assert_close(found[k] / scale, torch.from_numpy(value) / scale, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("rule", SHARING)
@pytest.mark.parametrize("name", NETS)
def test_every_rule_as_reference(name: str, rule: str) -> None:
    module = net(name, num_layers=2, bidirectional=True, hidden_size=3)
    assert_as_reference(module, [SHARING[rule]] * 2)


MIXED = {
    "flat below": [Flat(), Epsilon()],
    "box below gamma": [ZBox(-3.0, 3.0), Gamma()],
    "redistribute above": [Epsilon(), Epsilon(bias="redistribute")],
    "equal": [Epsilon(), Epsilon(1e-2)],
}


@pytest.mark.parametrize("as_such", [False, True])
@pytest.mark.parametrize("products", ["gate", "equal"])
@pytest.mark.parametrize("rules", MIXED)
@pytest.mark.parametrize("name", NETS)
def test_mixed_rules_and_products_as_reference(name: str, rules: str, products: str, as_such: bool) -> None:
    assert_as_reference(net(name, num_layers=2, bidirectional=True), MIXED[rules], products == "equal", as_such)


def same(found: Any, expected: Any, tolerance: float = TOLERANCE) -> None:
    """Compare relevance, relative to the largest."""
    assert float(expected.abs().max()) > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


@pytest.mark.parametrize("rule", ["epsilon", "gamma", "flat", "epsilon redistribute"])
@pytest.mark.parametrize("name", CELLS)
def test_cells_in_a_loop_as_the_layer(name: str, rule: str) -> None:
    module, cell = net(name), filled(CELLS[name](3, 4))
    x = normal(2, 5, 3)
    looped = explain(Stepped(cell), x, SHARING[rule], audit=True)
    assert_accounted(looped)
    # Between two calls relevance as such becomes relevance per unit also where the layer hands on a share of a state.
    tolerance = 1e-4 if SHARING[rule].carries_relevance else TOLERANCE
    same(looped.relevance, explain(Summed(module), x, SHARING[rule]).relevance, tolerance)


def test_states_of_cells_may_be_overwritten() -> None:
    for make in CELLS.values():
        cell = filled(make(3, 4))

        def model(x: Tensor, in_place: bool, cell: nn.Module = cell) -> Tensor:
            states = None
            for step in x.unbind(1):
                states = cell(step, states)
                if in_place:
                    for state in listed(states):
                        state.mul_(0.5)[:, 0] = 0
                else:
                    mask = torch.tensor([0, 0.5, 0.5, 0.5]).to(x)
                    states = tuple(s * mask for s in states) if isinstance(states, tuple) else states * mask
            return read(listed(states)[0])

        found = explain(partial(model, in_place=True), normal(2, 4, 3, seed=1), audit=True)
        assert_accounted(found)
        same(found.relevance, explain(partial(model, in_place=False), normal(2, 4, 3, seed=1)).relevance)


@pytest.mark.parametrize("rule", ["epsilon", "gamma", "flat", "epsilon redistribute"])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("lengths", [[6, 4, 4, 1], [4, 6, 1, 4]])
@pytest.mark.parametrize("name", NETS)
def test_packed_sequences_as_single_ones(name: str, lengths: list[int], batch_first: bool, rule: str) -> None:
    module = net(name, num_layers=2, bidirectional=True, batch_first=batch_first)
    x, first = normal(4, 6, 3), first_states(module, 4)
    together = explain(Packed(module, lengths, lengths[0] == 6), (x, *first), SHARING[rule], audit=True)
    assert_accounted(together)
    plain = Summed(module)
    for k, n in enumerate(lengths):
        alone = (x[k : k + 1, :n], *(s[k : k + 1] for s in first))
        single = explain(lambda *given: pooled(*plain.outputs(*given)), alone, SHARING[rule])
        assert not together.relevance[0][k, n:].any()
        for found, expected in zip(
            (together.relevance[0][:, :n], *together.relevance[1:]), single.relevance, strict=True
        ):
            same(found[k : k + 1], expected)


def test_padding_is_a_constant_and_sequences_are_packed() -> None:
    module, x = net("lstm"), normal(3, 5, 3)

    def padded(x: Tensor, value: float) -> Tensor:
        out, _ = module(pack_padded_sequence(x, [5, 3, 2], batch_first=True))
        return pad_packed_sequence(out, batch_first=True, padding_value=value)[0]

    result = explain(lambda x: read(padded(x, 5.0).sum(1)), x, audit=True)
    assert_accounted(result)
    torch.testing.assert_close(result.output, read(padded(x, 5.0).sum(1)).detach())
    same(result.relevance, explain(lambda x: read(padded(x, 0.0).sum(1)), x).relevance)
    assert_accounted(explain(lambda x: read(padded(x, -torch.inf).amax(1)), x, audit=True))

    def from_list(x: Tensor) -> Tensor:
        out, _ = module(pack_sequence([x[0], x[1, :3], x[2, :2]]))
        return read(pad_packed_sequence(out, batch_first=True)[0].sum(1))

    same(explain(from_list, x).relevance, result.relevance)


@pytest.mark.parametrize("name", NETS)
def test_batches_orders_and_single_sequences_agree(name: str) -> None:
    module = net(name, num_layers=2, bidirectional=True)
    x, first = normal(3, 5, 3), first_states(module, 3)
    together = explain(Summed(module), (x, *first)).relevance
    other = net(name, num_layers=2, bidirectional=True, batch_first=False)
    turned = explain(Summed(other), (x, *first)).relevance

    def unbatched(x: Tensor, *first: Tensor) -> Tensor:
        out, last = module(x[0], tuple(s[0] for s in first) if len(first) > 1 else first[0][0])
        return read(torch.cat([part.flatten() for part in (out, *listed(last))])[None])

    for k in range(3):
        alone = (x[k : k + 1], *(s[k : k + 1] for s in first))
        for parts in zip(together, turned, explain(Summed(module), alone).relevance, strict=True):
            same(parts[1][k], parts[0][k])
            same(parts[2][0], parts[0][k])
        bare = explain(unbatched, alone, audit=True)
        assert_accounted(bare)
        for found, expected in zip(bare.relevance, together, strict=True):
            same(found[0], expected[k])


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_first_states_that_are_not_asked_for_are_booked(name: str, cut: bool) -> None:
    model = Started(net(name, zero_bias=True), cut)
    x = normal(1, 4, 3)
    result = explain(model, x, Epsilon(0.0), audit=True)
    assert_accounted(result)
    kept = (model.module, [(s + 0.1 * x.sum() * cut)[None] for s in model.states])
    plain = Summed(kept[0])
    tracked = explain(lambda *given: pooled(*plain.outputs(*given)), (x, *(s.detach() for s in kept[1])), Epsilon(0.0))
    same(result.relevance, tracked.relevance[0])
    rows = result.ledger[result.ledger["function"].str.contains("lstm|gru|rnn")]
    same(torch.tensor(rows["cut" if cut else "constant"].sum()), sum(r.sum() for r in tracked.relevance[1:]))


@pytest.mark.parametrize("name", NETS)
def test_without_biases_and_first_states_nothing_is_lost(name: str) -> None:
    module = net(name, zero_bias=True, num_layers=2, bidirectional=True)
    result = explain(Summed(module), normal(2, 5, 3), Epsilon(0.0))
    same(result.relevance.sum((1, 2)), result.explained)


@pytest.mark.parametrize("name", NETS)
def test_a_state_is_carried_between_calls(name: str) -> None:
    module = net(name)

    def in_two(x: Tensor) -> Tensor:
        first, states = module(x[:, :2])
        second, states = module(x[:, 2:], states)
        last = [s.transpose(0, 1).flatten(1) for s in listed(states)]
        return read(torch.cat([torch.cat([first, second], 1).flatten(1), *last], 1))

    for rule in ("epsilon", "gamma", "w square", "epsilon redistribute"):
        in_parts = explain(in_two, normal(2, 5, 3), SHARING[rule], audit=True)
        assert_accounted(in_parts)
        same(in_parts.relevance, explain(Summed(module), normal(2, 5, 3), SHARING[rule]).relevance)


def overwriting(module: nn.RNNBase, in_place: bool) -> Any:
    def model(x: Tensor) -> Tensor:
        signal = x * 1.0 if module.batch_first else x.transpose(0, 1) * 1.0
        out, last = module(signal)
        if in_place:
            signal.fill_(3.0)
            out.mul_(2)
            out[:, 0] = 0
        else:
            out = torch.cat([0 * out[:, :1], 2 * out[:, 1:]], 1)
        out = out if module.batch_first else out.transpose(0, 1)
        return pooled(out, *(s.transpose(0, 1) for s in listed(last)))

    return model


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("name", NETS)
def test_outputs_and_inputs_may_be_overwritten(name: str, batch_first: bool) -> None:
    module, x = net(name, batch_first=batch_first), normal(2, 4, 3)
    for rule in ("epsilon", "flat"):
        found = explain(overwriting(module, True), x, SHARING[rule], audit=True)
        if rule == "epsilon":
            assert_accounted(found)
        same(found.relevance, explain(overwriting(module, False), x, SHARING[rule]).relevance)


def test_a_net_under_no_grad_is_a_cut() -> None:
    module = net("lstm")

    def model(x: Tensor) -> Tensor:
        with torch.no_grad():
            hidden, _ = module(x)
        return (hidden.sum((1, 2)) + x.sum((1, 2)))[:, None]

    result = signalrp.attribute(model, normal(2, 4, 3), 0, audit=True)
    assert_accounted(result)
    same(result.relevance, normal(2, 4, 3))
    same(result.absorbed, module(normal(2, 4, 3))[0].sum((1, 2)).detach())
    assert result.ledger["cut"].sum() == pytest.approx(float(result.absorbed.sum()))


INPUTS = {
    "one step": normal(2, 1, 3),
    "one of each": normal(1, 1, 1),
    "zero": torch.zeros(2, 4, 3, dtype=torch.float64),
    "huge": 1e4 * normal(2, 4, 3),
    "denormal": torch.full((2, 4, 3), 5e-324, dtype=torch.float64),
}
ONE = {"lstm projected": {"input_size": 1, "hidden_size": 2, "proj_size": 1}}


@pytest.mark.parametrize("products", ["gate", "equal"])
@pytest.mark.parametrize("rule", ["epsilon", "epsilon none", "gamma", "alpha2 beta1", "flat", "epsilon redistribute"])
@pytest.mark.parametrize("name", NETS)
def test_hard_numbers(name: str, rule: str, products: Any) -> None:
    for kind, x in INPUTS.items():
        sizes = ONE.get(name, {"input_size": 1, "hidden_size": 1}) if kind == "one of each" else {}
        for zero_bias in (False, True):
            model = Summed(net(name, zero_bias, **sizes))
            result = explain(model, x, Composite(SHARING[rule], products=products), audit=True)
            assert torch.isfinite(result.relevance).all(), kind
            if not (kind == "denormal" and zero_bias):
                assert_accounted(result)


@pytest.mark.parametrize("name", NETS)
def test_dtypes_repeats_and_an_untouched_model(name: str) -> None:
    exact, x = Summed(net(name, num_layers=2, bidirectional=True)), normal(2, 6, 3)
    expected = explain(exact, x)
    kept = state(exact)
    again = explain(exact, x)
    assert_same_state(kept, state(exact))
    assert torch.equal(again.relevance, expected.relevance)
    torch.testing.assert_close(expected.output, exact(x).detach(), rtol=1e-12, atol=1e-12)
    single = explain(Summed(net(name, num_layers=2, bidirectional=True).float()), x.float(), audit=True)
    same(single.relevance.double(), expected.relevance, 1e-4)
    assert_accounted(single, 1e-6)
    half = explain(Summed(net(name, num_layers=2, bidirectional=True).bfloat16()), x.bfloat16(), audit=True)
    assert half.relevance.dtype == torch.bfloat16
    assert torch.isfinite(half.relevance).all()
    mixed = net(name).float()

    def cast(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            out, _ = mixed(x)
        return out.float().sum(1)

    same(explain(cast, x.float()).relevance, explain(lambda x: mixed(x)[0].sum(1), x.float()).relevance, 0.05)


@pytest.mark.parametrize("name", NETS)
def test_bounds_per_channel(name: str) -> None:
    low, high = -normal(3).abs() - 3, torch.tensor([3.0, 4.0, 5.0]).double()
    model, x = Summed(net(name)), normal(2, 4, 3)
    tensors = explain(model, x, Composite(Epsilon()).where(ZBox(low, high), from_input=1), audit=True)
    assert_accounted(tensors)
    wide = explain(model, x, Composite(Epsilon()).where(ZBox(low.expand(1, 1, 3), high), from_input=1))
    same(tensors.relevance, wide.relevance)
    even = Composite(Epsilon()).where(ZBox(torch.full((3,), -3.0), torch.full((3,), 3.0)), from_input=1)
    same(explain(model, x, even).relevance, explain(model, x, ZBox(-3.0, 3.0)).relevance)


def test_what_cannot_be_explained_is_refused() -> None:
    module = net("lstm")
    with pytest.raises(ValueError, match=r"Pass needs .* 'module' joins its input and its state"):
        explain(Summed(module), normal(2, 4, 3), Pass())

    def own_weights(x: Tensor) -> Tensor:
        weights = [module.weight_ih_l0 * x.mean(), module.weight_hh_l0, module.bias_ih_l0, module.bias_hh_l0]
        first = [torch.zeros(1, len(x), 4).to(x)] * 2
        return torch.lstm(x, first, weights, True, 1, 0.0, False, False, True)[0].sum(1)

    with pytest.raises(UnsupportedOperation, match="lstm with weights that depend on the input"):
        explain(own_weights, normal(2, 4, 3))


@settings(max_examples=60)
@given(
    st.sampled_from(list(NETS)),
    st.sampled_from(list(SHARING)),
    st.fixed_dictionaries(
        {
            "input_size": st.integers(1, 3),
            "hidden_size": st.integers(3, 4),
            "num_layers": st.integers(1, 3),
            "bias": st.booleans(),
            "batch_first": st.booleans(),
            "bidirectional": st.booleans(),
            "dropout": st.sampled_from([0.0, 0.5]),
        }
    ),
    st.booleans(),
    st.tuples(st.integers(1, 3), st.integers(1, 4)),
)
@pytest.mark.filterwarnings("ignore:dropout option adds dropout after all but last")
def test_any_form_as_reference(
    name: str, rule: str, options: dict[str, Any], equal: bool, shape: tuple[int, int]
) -> None:
    assert_as_reference(net(name, **options), [SHARING[rule]] * options["num_layers"], equal, shape=shape)
