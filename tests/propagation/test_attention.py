"""Attention in every form that a model may have it in, against plain loops."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from reference.attention import Layer, share
from reference.checks import assert_accounted
from reference.networks import randomise
from torch import Tensor, nn

import signalrp

RULES = {"cp": "cp-lrp", "attnlrp": "attnlrp"}
ALL = [*RULES.values(), "epsilon-plus-flat"]
WIDTH, HEADS = 6, 2


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def same(found: Any, expected: Any, tolerance: float = 1e-9) -> None:
    """Compare relevance, relative to the largest."""
    expected = torch.as_tensor(expected)
    assert float(expected.abs().max()) > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


def read(out: Tensor) -> Tensor:
    """Return a weighted sum of each sample's output: what is explained."""
    return (out * normal(*out.shape[1:], seed=9).to(out)).flatten(1).sum(1)


def explain(model: Any, inputs: Any, composite: Any, audit: bool = False) -> Any:
    return signalrp.attribute(model, inputs, read, composite, audit=audit)


def explained(model: Any, inputs: Any, composite: Any) -> Any:
    """Explain with and without an audit, which has to change nothing."""
    plain, audited = (explain(model, inputs, composite, audit) for audit in (False, True))
    assert_accounted(audited)
    pairs = zip(*(r if isinstance(r, tuple) else (r,) for r in (audited.relevance, plain.relevance)), strict=True)
    for one, other in pairs:
        assert torch.isfinite(one).all()
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9 * max(float(one.abs().max()), 1e-3))
    return plain


# -- scaled_dot_product_attention ----------------------------------------

T, S = 4, 5
LOOK = normal(T, S, seed=5) > -0.5
SOME = LOOK.clone()
SOME[1] = False
ADDED = normal(T, S, seed=6)
FORMS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "3-D": ((2, T, 3), (2, S, 3), {}),
    "4-D": ((2, 2, T, 3), (2, 2, S, 3), {}),
    "boolean mask": ((2, 2, T, 3), (2, 2, S, 3), {"attn_mask": LOOK}),
    "rows that see nothing": ((2, 2, T, 3), (2, 2, S, 3), {"attn_mask": SOME}),
    "added mask": ((2, T, 3), (2, S, 3), {"attn_mask": ADDED}),
    "added minus infinity": (
        (2, T, 3), (2, S, 3), {"attn_mask": torch.zeros(T, S, dtype=torch.float64).masked_fill(~LOOK, -math.inf)},
    ),
    "added minus infinity everywhere": (
        (2, T, 3), (2, S, 3), {"attn_mask": torch.zeros(T, S, dtype=torch.float64).masked_fill(~SOME, -math.inf)},
    ),
    "one mask per sample": ((2, 2, T, 3), (2, 2, S, 3), {"attn_mask": normal(2, 1, T, S, seed=7) > -0.5}),
    "causal": ((2, 2, T, 3), (2, 2, S, 3), {"is_causal": True}),
    "scale": ((2, T, 3), (2, S, 3), {"scale": 1.7}),
    "grouped heads": ((2, 4, T, 3), (2, 2, S, 3), {"enable_gqa": True}),
    "grouped heads, causal": ((2, 4, T, 3), (2, 1, T, 3), {"enable_gqa": True, "is_causal": True}),
    "one key": ((2, 2, T, 3), (2, 2, 1, 3), {}),
    "huge scores": ((2, T, 3), (2, S, 3), {"scale": 300.0}),
}  # fmt: skip


def factors(name: str) -> tuple[list[Tensor], dict[str, Any]]:
    query, key, options = FORMS[name]
    return [normal(*query), normal(*key, seed=1), normal(*key[:-1], 2, seed=2)], options


def reference(rule: str, factors: list[Tensor], options: dict[str, Any], constant: str = "") -> list[np.ndarray]:
    """Share head by head; heads that have their keys and values in common add up there."""
    query, key, value = (x.numpy() for x in factors)
    mask = options.get("attn_mask")
    if options.get("is_causal"):
        mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
    seed = normal(*query.shape[1:-1], value.shape[-1], seed=9).numpy()
    relevance = [np.zeros_like(x) for x in (query, key, value)]
    for place in np.ndindex(*query.shape[:-2]):
        lead = place if query.ndim == 3 else (place[0], place[1] * key.shape[1] // query.shape[1])
        whole = (*query.shape[:-2], query.shape[-2], key.shape[-2])
        own = None if mask is None else mask.expand(whole)[place].numpy()
        scale = options.get("scale") or query.shape[-1] ** -0.5
        out = F.scaled_dot_product_attention(*factors, **options)[place].numpy()
        arriving = seed[place[1:]] * out
        head = share(query[place], key[lead], value[lead], arriving, rule, scale, own, constant)
        for at, r, part in zip((place, lead, lead), relevance, (head.query, head.key, head.value), strict=True):
            r[at] += part
    return relevance


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", FORMS)
def test_dot_product_attention_as_reference(name: str, rule: str) -> None:
    inputs, options = factors(name)
    found = explained(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **options), tuple(inputs), RULES[rule])
    expected = reference(rule, inputs, options)
    for one, other in zip(found.relevance, expected, strict=True):
        torch.testing.assert_close(
            one, torch.from_numpy(other), rtol=1e-9, atol=1e-9 * float(np.abs(expected[2]).max())
        )


CONSTANTS = [" ".join(c) for n in (1, 2) for c in itertools.combinations(("query", "key", "value"), n)]


@pytest.mark.parametrize("composite", [*ALL, signalrp.Composite(signalrp.ZPlus(bias="ignore"))])
@pytest.mark.parametrize("constant", [c for c in CONSTANTS if "value" not in c])
def test_values_of_constant_queries_and_keys_as_by_hand(constant: str, composite: Any) -> None:
    fixed, options = factors("boolean mask")
    signals = [x for x, name in zip(fixed, ("query", "key", "value"), strict=True) if name not in constant]

    def filled(given: tuple[Tensor, ...]) -> list[Tensor]:
        rest = iter(given)
        return [x if n in constant else next(rest) for x, n in zip(fixed, ("query", "key", "value"), strict=True)]

    def by_hand(*given: Tensor) -> Tensor:
        q, k, v = filled(given)
        return ((q @ k.mT) * 3**-0.5).masked_fill(~LOOK, -math.inf).softmax(-1) @ v

    found = explained(lambda *x: F.scaled_dot_product_attention(*filled(x), **options), tuple(signals), composite)
    expected = explained(by_hand, tuple(signals), composite)
    for one, other in zip(found.relevance, expected.relevance, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_one_signal_in_every_place_as_reference(rule: str) -> None:
    x = normal(2, T, 3)
    found = explained(lambda x: F.scaled_dot_product_attention(x, x, x), x, RULES[rule])
    same(found.relevance, sum(reference(rule, [x, x, x], {})))


@pytest.mark.parametrize("rule", RULES)
def test_a_mask_that_is_a_signal_as_reference(rule: str) -> None:
    (query, key, value), _ = factors("3-D")
    mask = normal(2, T, S, seed=4)
    expected = np.stack([
        share(q, k, v, (normal(T, 2, seed=9) * out).numpy(), rule, 3**-0.5, m).mask
        for q, k, v, m, out in zip(
            query.numpy(), key.numpy(), value.numpy(), mask.numpy(),
            F.scaled_dot_product_attention(query, key, value, mask), strict=True,
        )
    ])  # fmt: skip
    found = explained(F.scaled_dot_product_attention, (query, key, value, mask), RULES[rule]).relevance[3]
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-9, atol=1e-12)
    assert bool(found.any()) == (rule == "attnlrp")


# -- layers with several heads ----------------------------------------

FLOATS = torch.zeros(T, S, dtype=torch.float64).masked_fill(normal(T, S, seed=8) > 0.4, -math.inf)
PADDED = torch.tensor([[False] * S, [False] * (S - 2) + [True] * 2])
LAYERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "without weights": ({}, {"need_weights": False}),
    "weights of each head": ({}, {"average_attn_weights": False}),
    "time first": ({"batch_first": False}, {}),
    "no bias": ({"bias": False}, {}),
    "other widths": ({"kdim": 5, "vdim": 3}, {}),
    "bias for keys": ({"add_bias_kv": True}, {"need_weights": False}),
    "zero attention": ({"add_zero_attn": True}, {}),
    "both rows": ({"add_bias_kv": True, "add_zero_attn": True}, {"attn_mask": FLOATS.isinf()}),
    "boolean mask": ({}, {"attn_mask": FLOATS.isinf(), "need_weights": False}),
    "added mask": ({}, {"attn_mask": FLOATS}),
    "mask for each head": ({}, {"attn_mask": normal(2 * HEADS, T, S, seed=3)}),
    "padding": ({}, {"key_padding_mask": PADDED}),
    "padding and mask": ({}, {"key_padding_mask": PADDED, "attn_mask": FLOATS.isinf(), "need_weights": False}),
    "dropout": ({"dropout": 0.5}, {}),
}


def layer_of(module: nn.MultiheadAttention) -> Layer:
    """Read the weights of a layer for the reference."""
    parts = [module.q_proj_weight, module.k_proj_weight, module.v_proj_weight]
    weights = list(module.in_proj_weight.chunk(3)) if module.in_proj_weight is not None else parts
    biases = [None] * 3 if module.in_proj_bias is None else list(module.in_proj_bias.chunk(3))
    rows: tuple[list[Tensor], list[Tensor]] = ([], [])
    for kept, bias in zip(rows, (module.bias_k, module.bias_v), strict=True):
        kept += [] if bias is None else [bias[0]]
        kept += [torch.zeros(1, WIDTH)] if module.add_zero_attn else []
    arrays = [[None if p is None else p.detach().double().numpy() for p in part]
              for part in ([*weights, module.out_proj.weight], [*biases, module.out_proj.bias], *rows)]  # fmt: skip
    return Layer(arrays[0], arrays[1], module.num_heads, (arrays[2], arrays[3]))


def mask_of(options: dict[str, Any], sample: int, extra: int) -> np.ndarray | None:
    """Return the numbers that are added to the scores of one sample, its heads alike."""
    mask = torch.zeros(T, S, dtype=torch.float64)
    if "attn_mask" in options:
        given = options["attn_mask"]
        mask = mask.masked_fill(given, -math.inf) if given.dtype == torch.bool else mask + given
    if "key_padding_mask" in options:
        mask = mask.masked_fill(options["key_padding_mask"][sample], -math.inf)
    return F.pad(mask, (0, extra)).numpy()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", [name for name in LAYERS if name != "mask for each head"])
def test_multi_head_attention_as_reference(name: str, rule: str) -> None:
    made, options = LAYERS[name]
    module = randomise(nn.MultiheadAttention(WIDTH, HEADS, **{"batch_first": True, **made}), 1)
    inputs = [normal(2, T, WIDTH), normal(2, S, module.kdim, seed=1), normal(2, S, module.vdim, seed=2)]

    def model(*x: Tensor) -> Tensor:
        if module.batch_first:
            return module(*x, **options)[0]
        return module(*(part.transpose(0, 1) for part in x), **options)[0].transpose(0, 1)

    found = explained(model, tuple(inputs), RULES[rule]).relevance
    layer, epsilon = layer_of(module), 1e-6
    seed = normal(T, WIDTH, seed=9).numpy()
    for n in range(2):
        mask = mask_of(options, n, len(layer.more[0]))
        expected = layer.share([x[n].numpy() for x in inputs], seed, rule, epsilon, mask)
        scale = max(np.abs(part).max() for part in expected)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one[n], torch.from_numpy(other), rtol=0, atol=1e-9 * scale)


def test_masks_for_each_head_are_accounted_for() -> None:
    made, options = LAYERS["mask for each head"]
    module = randomise(nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, **made), 1)
    inputs = normal(2, T, WIDTH), normal(2, S, WIDTH, seed=1), normal(2, S, WIDTH, seed=2)
    explained(lambda *x: module(*x, **options)[0], inputs, "attnlrp")


@pytest.mark.parametrize("composite", ALL)
def test_without_a_batch_as_with_one(composite: str) -> None:
    module, x = randomise(nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)), normal(1, T, WIDTH)
    expected = explain(lambda x: module(x, x, x)[0], x, composite).relevance
    found = explain(lambda x: module(x[0], x[0], x[0], need_weights=False)[0][None], x, composite).relevance
    same(found, expected)


@pytest.mark.parametrize("rule", RULES)
def test_the_weights_of_a_layer_explained_themselves(rule: str) -> None:
    module, x = randomise(nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)), normal(2, T, WIDTH)
    result = explained(lambda x: module(x, x, x)[1], x, RULES[rule])
    assert result.relevance.any()
