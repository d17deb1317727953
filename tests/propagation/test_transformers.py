"""Attention by every way to write it, and the transformers built of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from reference.checks import assert_accounted
from reference.networks import randomise
from torch import Tensor, nn

import signalrp

ALL = ["cp-lrp", "attnlrp", "epsilon-plus-flat"]
WIDTH, HEADS, T = 6, 2, 4
Attend = Callable[..., Tensor]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def same(found: Any, expected: Any, tolerance: float = 1e-9) -> None:
    """Compare relevance, relative to the largest."""
    assert float(expected.abs().max()) > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


def explained(model: nn.Module, x: Tensor, composite: Any) -> Any:
    """Explain with and without an audit, which has to change nothing."""
    plain, audited = (signalrp.attribute(model, x, 1, composite, audit=audit) for audit in (False, True))
    assert_accounted(audited)
    same(audited.relevance, plain.relevance)
    return plain


# -- the same model in other words ----------------------------------------


class Attention(nn.Module):
    """Self-attention over the weights of one nn.MultiheadAttention, written in many ways."""

    def __init__(self, attend: Attend) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.head, self.attend = nn.Linear(WIDTH, 3), attend
        randomise(self, 2)

    def forward(self, x: Tensor) -> Tensor:
        w, b = self.layer.in_proj_weight, self.layer.in_proj_bias
        parts = F.linear(x, w, b).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in parts)
        out = self.attend(q, k, v).transpose(1, 2).reshape(x.shape)
        return self.head(self.layer.out_proj(out).mean(1))


class Native(Attention):
    """The module itself, which returns its weights as well where nothing else is to attend."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x, x, x, need_weights=self.attend is None)[0].mean(1))


SCALE = (WIDTH // HEADS) ** -0.5


def by_einsum(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = torch.einsum("bhqd,bhkd->bhqk", q * SCALE, k).softmax(dim=-1)
    return torch.einsum("bhqk,bhkd->bhqd", weights, v)


def by_bmm(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (part.flatten(0, 1) for part in (q, k, v))
    # What is in the first is not read, as beta is 0.
    unread = torch.full((len(q), T, T), torch.nan, dtype=q.dtype)
    scores = torch.baddbmm(unread, q, k.mT, beta=0, alpha=SCALE)
    return torch.bmm(nn.Softmax(-1)(scores), v).unflatten(0, (-1, HEADS))


def by_loops(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    outs = []
    for query in q.unbind(2):
        weights = torch.softmax((query[:, :, None] * k).sum(-1) / math.sqrt(q.shape[-1]), -1)
        outs.append((weights[..., None] * v).sum(2))
    return torch.stack(outs, 2)


def by_exponentials(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.transpose(-2, -1) * SCALE
    powers = torch.exp(scores - scores.amax(-1, keepdim=True))
    return (powers / powers.sum(-1, keepdim=True)) @ v


def by_division_in_place(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    powers = torch.exp(torch.matmul(q, k.mT).mul_(SCALE))
    powers /= powers.sum(-1, keepdim=True)
    return powers @ v


WORDS: dict[str, Attend] = {
    "matmul": lambda q, k, v: F.dropout(F.softmax(q @ k.mT / math.sqrt(q.shape[-1]), -1), 0.1, False) @ v,
    "einsum": by_einsum,
    "bmm": by_bmm,
    "loops": by_loops,
    "dot product": F.scaled_dot_product_attention,
    "in place": lambda q, k, v: torch.softmax(q.matmul(k.mT).mul_(SCALE), -1).matmul(v),
    "logarithm": lambda q, k, v: F.log_softmax(q @ k.mT * SCALE, -1).exp() @ v,
    "exponentials": by_exponentials,
    "division in place": by_division_in_place,
}
BY_HAND = ("logarithm", "exponentials", "division in place")


@pytest.mark.parametrize("composite", ALL)
@pytest.mark.parametrize("words", WORDS)
def test_every_way_to_write_attention_agrees(words: str, composite: str) -> None:
    x = normal(2, T, WIDTH)
    expected = explained(Native(None), x, composite).relevance
    same(signalrp.attribute(Native(WORDS["matmul"]), x, 1, composite).relevance, expected)
    if composite != "attnlrp" or words not in BY_HAND:
        same(explained(Attention(WORDS[words]), x, composite).relevance, expected)


# -- transformers ----------------------------------------


class Masked(nn.Module):
    """An encoder over padded sequences of which the padding is left out of the mean."""

    def __init__(self, nested: bool = False, **options: Any) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 8, batch_first=True, **options)
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(WIDTH), enable_nested_tensor=nested)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        padding = x.detach().abs().sum(-1) == 0
        out = self.encoder(x, src_key_padding_mask=padding)
        return self.head(out.masked_fill(padding[..., None], 0).sum(1) / (~padding).sum(1, keepdim=True))


class Translator(nn.Module):
    def __init__(self, whole: bool) -> None:
        super().__init__()
        options = {"batch_first": True, "dim_feedforward": 8}
        self.whole = nn.Transformer(WIDTH, HEADS, 1, 1, **options) if whole else None
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(WIDTH, HEADS, **options), 2)
        self.queries, self.head = nn.Parameter(torch.zeros(3, WIDTH)), nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        queries = self.queries.expand(len(x), -1, -1)
        mask = nn.Transformer.generate_square_subsequent_mask(3, dtype=x.dtype)
        if self.whole is not None:
            return self.head(self.whole(x, x[:, :3], tgt_mask=mask, tgt_is_causal=True)[:, -1])
        return self.head(self.decoder(queries, x, tgt_mask=mask, tgt_is_causal=True).flatten(1)[:, :WIDTH])


NETS: dict[str, Callable[[], nn.Module]] = {
    "norm first": lambda: Masked(norm_first=True),
    "norm last": Masked,
    "gelu": lambda: Masked(activation="gelu"),
    "no bias": lambda: Masked(bias=False, norm_first=True, activation=F.silu),
    "nested": lambda: Masked(nested=True),
    "frozen": lambda: Masked(nested=True).requires_grad_(False),
    "learnt queries": lambda: Translator(whole=False),
    "encoder and decoder": lambda: Translator(whole=True),
}


def padded() -> Tensor:
    x = normal(3, T + 2, WIDTH)
    x[1, T:] = 0
    return x


@pytest.mark.parametrize("composite", [*ALL, "epsilon-gamma-box"])
@pytest.mark.parametrize("name", NETS)
@pytest.mark.filterwarnings("ignore:.*nested tensor")
def test_transformers(name: str, composite: str) -> None:
    bounds = {"low": -4.0, "high": 4.0} if composite == "epsilon-gamma-box" else {}
    model, x, rule = randomise(NETS[name](), 3), padded(), signalrp.composite(composite, **bounds)
    together = explained(model, x, rule)
    torch.testing.assert_close(together.output, model(x), rtol=1e-9, atol=1e-12)
    for n in range(len(x)):
        same(signalrp.attribute(model, x[n : n + 1], 1, rule).relevance, together.relevance[n : n + 1])
    if isinstance(model, Masked) and composite in ("cp-lrp", "attnlrp"):
        assert not together.relevance[1, T:].any()


@pytest.mark.parametrize("composite", ALL)
@pytest.mark.parametrize("name", NETS)
@pytest.mark.filterwarnings("ignore:.*nested tensor")
def test_other_precisions(name: str, composite: str) -> None:
    model, x = randomise(NETS[name](), 3), padded()
    expected = signalrp.attribute(model, x, 1, composite).relevance
    single = signalrp.attribute(model.float(), x.float(), 1, composite).relevance
    same(single.double(), expected, 1e-4)
    coarse = signalrp.attribute(model.bfloat16(), x.bfloat16(), 1, composite, audit=True).relevance
    assert coarse.dtype == torch.bfloat16
    assert torch.isfinite(coarse).all()
    assert F.cosine_similarity(coarse.double().flatten(), expected.flatten(), dim=0) > 0.9
