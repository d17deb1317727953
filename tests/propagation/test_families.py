"""Classifiers as third parties write them: the account closes, whatever they are made of, and nothing breaks.

What is explained here is not trained; that a map is right is tested function by function elsewhere.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from reference.checks import assert_accounted, assert_same_state, parts_of, state
from reference.families import ANY_LENGTH, CONSTANTS_LEFT, FAMILIES, build, changed, converted, run, without_constants
from torch import Tensor, nn

import signalrp

COMPOSITES = ["epsilon", "epsilon-plus", "attnlrp"]
CONSTANTS = ["bias", "constant", "cut", "source"]

pytestmark = pytest.mark.filterwarnings(
    "ignore:Using padding='same'", "ignore::FutureWarning:torch.nn.utils.weight_norm"
)

families = pytest.mark.parametrize("name", FAMILIES)
composites = pytest.mark.parametrize("composite", COMPOSITES)


def first_output(model: nn.Module, inputs: Any) -> Tensor:
    """Return the class scores of a plain call."""
    with torch.no_grad():
        out = run(model, inputs)
    while not isinstance(out, Tensor):
        out = out.get("logits", next(iter(out.values()))) if isinstance(out, dict) else out[0]
    return out


def largest(relevance: Any) -> float:
    return max(float(part.abs().max()) for part in parts_of(relevance))


def difference(a: Any, b: Any) -> float:
    return max(float((p.double() - q.double()).abs().max()) for p, q in zip(parts_of(a), parts_of(b), strict=True))


@composites
@families
def test_the_account_closes(name: str, composite: str) -> None:
    model, inputs = build(name)
    expected = first_output(model, inputs)
    plain = signalrp.attribute(model, inputs, None, composite)
    audited = signalrp.attribute(model, inputs, None, composite, audit=True)
    scale = largest(plain.relevance)
    assert scale > 0
    assert difference(plain.relevance, audited.relevance) <= 1e-10 * scale
    for result in (plain, audited):
        torch.testing.assert_close(result.output, expected, rtol=1e-12, atol=1e-12)
    assert_accounted(audited)


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus"])
@families
def test_without_constants_relevance_is_the_output(name: str, composite: str) -> None:
    model, inputs = build(name)
    without_constants(model)
    result = signalrp.attribute(model, inputs, None, signalrp.composite(composite, epsilon=1e-12), audit=True)
    assert_accounted(result)
    relevance = sum(part.flatten(1).sum(1) for part in parts_of(result.relevance))
    scale = float(sum(part.abs().sum() for part in parts_of(result.relevance)))
    rows = result.ledger[result.ledger[CONSTANTS].abs().sum(axis=1) > 1e-9 * scale]
    if name in CONSTANTS_LEFT:
        assert len(rows), "no constant takes anything: the name is out of place in CONSTANTS_LEFT"
        return
    assert not len(rows), rows.to_string()
    if composite == "epsilon":
        # With ZPlus a sum to which nothing positive contributes keeps what it gets.
        assert float((relevance - result.explained).abs().max()) <= 1e-7 * scale


@composites
@families
def test_nothing_changes_and_two_calls_agree(name: str, composite: str) -> None:
    model, inputs = build(name)
    first_output(model, inputs)  # what a model caches or scales down in its first call is its own doing
    before, kept = state(model), changed(inputs, torch.clone)
    random = torch.random.get_rng_state()
    results = [signalrp.attribute(model, inputs, 1, composite, audit=audit) for audit in (False, False, True)]
    assert_same_state(before, state(model))
    assert torch.equal(torch.random.get_rng_state(), random)
    assert difference(inputs, kept) == 0
    for x in parts_of(inputs):
        assert not x.requires_grad
        assert vars(x) == {}
    first, second, _ = results
    assert torch.equal(first.output, second.output)
    for a, b in zip(parts_of(first.relevance), parts_of(second.relevance), strict=True):
        assert torch.equal(a, b)
        assert not a.requires_grad


@composites
@families
def test_a_batch_is_its_single_trials(name: str, composite: str) -> None:
    model, inputs = build(name)
    whole = parts_of(signalrp.attribute(model, inputs, None, composite).relevance)
    scale = largest(whole)
    for i in range(len(whole[0])):
        single = signalrp.attribute(model, changed(inputs, lambda t, i=i: t[i : i + 1]), None, composite)
        assert difference([part[i : i + 1] for part in whole], single.relevance) <= 1e-9 * scale


@composites
@families
def test_single_precision(name: str, composite: str) -> None:
    model, inputs = build(name)
    exact = signalrp.attribute(model, inputs, 0, composite).relevance
    single = signalrp.attribute(model.float(), converted(inputs, torch.float32), 0, composite).relevance
    assert all(part.dtype == torch.float32 for part in parts_of(single))
    assert difference(exact, single) <= 1e-4 * largest(exact)


@composites
@families
def test_bfloat16(name: str, composite: str) -> None:
    model, inputs = build(name)
    model, inputs = model.bfloat16(), converted(inputs, torch.bfloat16)
    try:
        first_output(model, inputs)
    except (RuntimeError, NotImplementedError) as error:
        pytest.skip(f"the model itself does not run in bfloat16: {str(error).splitlines()[0]}")
    result = signalrp.attribute(model, inputs, 0, composite, audit=True)
    for part in parts_of(result.relevance):
        assert part.dtype == torch.bfloat16
        assert bool(torch.isfinite(part).all())
    assert bool(result.ledger.notna().all(axis=None))


SCALES = {"zero": 0.0, "denormal": 1e-310, "tiny": 1e-30, "large": 1e4, "huge": 1e6}


@pytest.mark.parametrize("scale", SCALES)
@families
def test_extreme_signals(name: str, scale: str) -> None:
    model, inputs = build(name)
    for dtype in (torch.float64, torch.float32):
        factor = 1e-40 if scale == "denormal" and dtype == torch.float32 else SCALES[scale]
        model = model.to(dtype)
        signal = changed(converted(inputs, dtype), lambda t, f=factor: t * f if t.is_floating_point() else t)
        finite = bool(torch.isfinite(first_output(model, signal)).all())
        for composite in COMPOSITES:
            if not finite:
                with pytest.raises(ValueError, match="NaN or infinite"):
                    signalrp.attribute(model, signal, 0, composite)
                continue
            result = signalrp.attribute(model, signal, 0, composite, audit=composite == "epsilon")
            for part in parts_of(result.relevance):
                assert bool(torch.isfinite(part).all()), f"{composite} in {dtype}"
            assert result.ledger is None or bool(result.ledger.notna().all(axis=None))


@composites
@pytest.mark.parametrize("name", ANY_LENGTH)
def test_a_sequence_of_length_one(name: str, composite: str) -> None:
    model, inputs = build(name)
    shortest = changed(inputs, lambda t: t.narrow(ANY_LENGTH[name], 0, 1))
    result = signalrp.attribute(model, shortest, None, composite, audit=True)
    assert_accounted(result)
    assert largest(result.relevance) > 0


def test_the_table_is_kept_in_order() -> None:
    assert CONSTANTS_LEFT.keys() <= FAMILIES.keys()
    assert ANY_LENGTH.keys() <= FAMILIES.keys()
