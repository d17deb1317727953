"""What is written by hand gets the relevance of the function that it stands for.

Third parties write norms, gates and attention in their own words. Two models that compute the same by the same steps
must not be explained differently because one of them calls the function by its name.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from reference.checks import assert_accounted
from torch import Tensor, nn

import signalrp

WIDTH, LENGTH = 6, 7
Words = Callable[[Tensor, Tensor], Tensor]
"""A function of two signals of the shape (batch, time, width)."""


def layer_norm(x: Tensor, y: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    var = x.var(-1, keepdim=True, unbiased=False)
    return (x - mean) / torch.sqrt(var + 1e-5)


def layer_norm_by_rsqrt(x: Tensor, y: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred * torch.rsqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-5)


def layer_norm_by_power(x: Tensor, y: Tensor) -> Tensor:
    mean, var = x.mean(-1, keepdim=True), torch.var(x, -1, unbiased=False, keepdim=True)
    return (x - mean) * (var + 1e-5) ** -0.5


def layer_norm_by_reciprocal(x: Tensor, y: Tensor) -> Tensor:
    var, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
    return (x - mean) * (1 / (var + 1e-5).sqrt())


def instance_norm(x: Tensor, y: Tensor) -> Tensor:
    mean = x.mean(dim=1, keepdim=True)
    std = ((x - mean) ** 2).mean(dim=1, keepdim=True).add(1e-5).sqrt()
    return (x - mean).div(std)


def softmax_attention(x: Tensor, y: Tensor) -> Tensor:
    weights = F.softmax(torch.bmm(x, y.transpose(1, 2)) / WIDTH**0.5, dim=-1)
    return torch.bmm(weights, y)


def softmax_by_exponentials(x: Tensor, y: Tensor) -> Tensor:
    scores = torch.einsum("btd,bsd->bts", x, y) * WIDTH**-0.5
    scores = torch.exp(scores - scores.max(dim=-1, keepdim=True)[0])
    scores = scores / scores.sum(-1, keepdim=True)
    return torch.einsum("bts,bsd->btd", scores, y)


def softmax_by_logarithm(x: Tensor, y: Tensor) -> Tensor:
    scores = (x * WIDTH**-0.5).matmul(y.mT)
    return torch.exp(F.log_softmax(scores, dim=2)) @ y


def softmax_with_gaps(x: Tensor, y: Tensor) -> Tensor:
    scores = x @ y.transpose(-2, -1) / math.sqrt(WIDTH)
    scores = scores.masked_fill(torch.zeros(LENGTH, LENGTH, dtype=torch.bool), float("-inf"))
    weights = torch.softmax(scores, -1)
    weights = torch.where(torch.isnan(weights), torch.zeros_like(weights), weights)
    return weights.unsqueeze(1).matmul(y.unsqueeze(1)).squeeze(1)


def pooled_by_attention(x: Tensor, y: Tensor) -> Tensor:
    weights = torch.softmax(x.sum(-1, keepdim=True), dim=1)
    return (weights * y).sum(1)


def pooled_by_product(x: Tensor, y: Tensor) -> Tensor:
    weights = x.sum(-1).softmax(1)
    return torch.bmm(weights.unsqueeze(1), y).squeeze(1)


def highway(x: Tensor, y: Tensor) -> Tensor:
    gate = torch.sigmoid(y)
    return gate * torch.tanh(x) + (1 - gate) * x


def highway_by_difference(x: Tensor, y: Tensor) -> Tensor:
    return x + torch.sigmoid(y) * (torch.tanh(x) - x)


def highway_in_place(x: Tensor, y: Tensor) -> Tensor:
    gate = y.sigmoid()
    out = x.tanh()
    out *= gate
    return out.add_(x.mul(1.0 - gate))


PAIRS: dict[str, tuple[Words, Words]] = {
    "gelu": (lambda x, y: x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0))), lambda x, y: F.gelu(x)),
    "gelu by the normal distribution": (
        lambda x, y: 0.5 * (1 + torch.erf(x * math.sqrt(0.5))) * x, lambda x, y: F.gelu(x),
    ),
    "gelu by tanh": (
        lambda x, y: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3)))),
        lambda x, y: F.gelu(x, approximate="tanh"),
    ),
    "gelu by sigmoid": (lambda x, y: torch.sigmoid(1.702 * x) * x, lambda x, y: x * torch.sigmoid(1.702 * x)),
    "swish": (lambda x, y: x * torch.sigmoid(x), lambda x, y: F.silu(x)),
    "swish by exp": (lambda x, y: x / (1 + torch.exp(-x)), lambda x, y: F.silu(x)),
    "mish": (lambda x, y: x * torch.tanh(F.softplus(x)), lambda x, y: F.mish(x)),
    "relu by clamp": (lambda x, y: torch.clamp(x, min=0), lambda x, y: F.relu(x)),
    "relu by maximum": (lambda x, y: torch.maximum(x, torch.zeros_like(x)), lambda x, y: F.relu(x)),
    "relu by mask": (lambda x, y: x * (x > 0), lambda x, y: F.relu(x)),
    "relu by where": (lambda x, y: torch.where(x > 0, x, torch.tensor(0.0, dtype=x.dtype)), lambda x, y: F.relu(x)),
    "hard swish": (lambda x, y: x * F.relu6(x + 3) / 6, lambda x, y: F.hardswish(x)),
    "glu": (lambda x, y: x * torch.sigmoid(y), lambda x, y: F.glu(torch.cat([x, y], -1), -1)),
    "layer norm": (layer_norm, lambda x, y: F.layer_norm(x, (WIDTH,))),
    "layer norm by rsqrt": (layer_norm_by_rsqrt, lambda x, y: F.layer_norm(x, (WIDTH,))),
    "layer norm by a power": (layer_norm_by_power, lambda x, y: F.layer_norm(x, (WIDTH,))),
    "layer norm by a reciprocal": (layer_norm_by_reciprocal, lambda x, y: F.layer_norm(x, (WIDTH,))),
    "instance norm": (instance_norm, lambda x, y: F.instance_norm(x.mT).mT),
    "rms norm": (
        lambda x, y: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6),
        lambda x, y: F.rms_norm(x, (WIDTH,), eps=1e-6),
    ),
    "rms norm by a norm": (
        lambda x, y: x / (torch.norm(x, dim=-1, keepdim=True) * WIDTH**-0.5),
        lambda x, y: F.rms_norm(x, (WIDTH,), eps=0.0),
    ),
    "unit length": (lambda x, y: x / x.norm(p=2, dim=-1, keepdim=True), lambda x, y: F.normalize(x, dim=-1)),
    "softmax by exponentials": (softmax_by_exponentials, softmax_attention),
    "softmax by its logarithm": (softmax_by_logarithm, softmax_attention),
    "softmax with gaps": (softmax_with_gaps, softmax_attention),
    "attention of torch": (lambda x, y: F.scaled_dot_product_attention(x, y, y), softmax_attention),
    "pooling by attention": (pooled_by_product, pooled_by_attention),
    "pooling by einsum": (
        lambda x, y: torch.einsum("bt,btd->bd", x.sum(-1).softmax(1), y), pooled_by_attention,
    ),
    "highway": (highway, highway_by_difference),
    "highway in place": (highway_in_place, highway),
    "film": (lambda x, y: (1 + y) * x, lambda x, y: x + y * x),
    "film with views": (lambda x, y: x * (y.mT.contiguous() + 1.0).mT, lambda x, y: x + y * x),
    "squeeze and excite": (lambda x, y: x * (1 + torch.sigmoid(y)), lambda x, y: x + x * torch.sigmoid(y)),
    "squeeze and excite by expansion": (
        lambda x, y: x * torch.sigmoid(y.mean(1)).unsqueeze(1).expand_as(x),
        lambda x, y: x * torch.sigmoid(y.mean(1, keepdim=True)),
    ),
    "film by expansion": (
        lambda x, y: (1 + y.mean(1)).view(-1, 1, WIDTH).expand_as(x) * x,
        lambda x, y: x + y.mean(1, keepdim=True) * x,
    ),
    "scaled gate": (lambda x, y: torch.sigmoid(y) * 2 * x, lambda x, y: 2 * (torch.sigmoid(y) * x)),
    "mean of two gates": (
        lambda x, y: x * ((torch.sigmoid(y) + torch.sigmoid(-y)) / 2), lambda x, y: x * (0.5 + 0 * torch.sigmoid(y)),
    ),
    "square by product": (lambda x, y: x * x, lambda x, y: torch.square(x)),
    "square by power": (lambda x, y: x**2, lambda x, y: torch.square(x)),
    "amplitude": (lambda x, y: torch.sqrt((x / 100) ** 2 + 1e-20), lambda x, y: torch.abs(x / 100)),
    "deviation": (
        lambda x, y: ((x - x.mean(1, keepdim=True)) ** 2).mean(1).sqrt(), lambda x, y: x.std(1, correction=0),
    ),
    "variance": (
        lambda x, y: ((x - x.mean(1, keepdim=True)) ** 2).sum(1) / (LENGTH - 1), lambda x, y: x.var(1),
    ),
    "variance by moments": (
        lambda x, y: (x**2).mean(1) - x.mean(1) ** 2, lambda x, y: (x * x).mean(1) - x.mean(1).square(),
    ),
    "pooling by reshape": (
        lambda x, y: x[:, :6].reshape(-1, 3, 2, WIDTH).mean(2), lambda x, y: F.avg_pool1d(x.mT, 2).mT,
    ),
    "pooling by unfold": (lambda x, y: x.unfold(1, 3, 2).mean(-1), lambda x, y: F.avg_pool1d(x.mT, 3, 2).mT),
    "covariance": (
        lambda x, y: torch.einsum("btc,btd->bcd", x, x), lambda x, y: x.transpose(1, 2) @ x,
    ),
}  # fmt: skip

UNLIKE = {
    "softmax by exponentials": "the expansion of AttnLRP is that of a softmax called by its name",
    "softmax by its logarithm": "the same",
}


class Net(nn.Module):
    def __init__(self, words: Words) -> None:
        super().__init__()
        self.words = words
        self.first, self.second, self.head = nn.Linear(4, WIDTH), nn.Linear(4, WIDTH), nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.words(self.first(x), self.second(x)).flatten(1))


def nets(name: str) -> tuple[nn.Module, nn.Module, Tensor]:
    """Return two nets with the same weights, and a batch for them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        x = torch.randn(2, LENGTH, 4, dtype=torch.float64)
        by_hand, by_name = (Net(words).double().eval() for words in PAIRS[name])
        by_hand(x)
        by_name(x)
        by_name.load_state_dict(by_hand.state_dict())
    return by_hand, by_name, x


def compare(name: str, composite: str, dtype: torch.dtype = torch.float64) -> float:
    """Return the largest difference of the maps, as a part of the largest relevance."""
    by_hand, by_name, x = nets(name)
    x = x.to(dtype)
    expected = signalrp.attribute(by_name.to(dtype), x, 1, composite, audit=True)
    found = signalrp.attribute(by_hand.to(dtype), x, 1, composite, audit=True)
    if dtype == torch.float64:
        assert_accounted(expected)
        assert_accounted(found)
        torch.testing.assert_close(found.output, expected.output, rtol=1e-9, atol=1e-9)
    return float((found.relevance - expected.relevance).abs().max() / expected.relevance.abs().max())


@pytest.mark.parametrize("name", PAIRS)
def test_written_by_hand_or_called_by_name(name: str) -> None:
    assert compare(name, "epsilon") <= 1e-6


@pytest.mark.parametrize("name", PAIRS)
def test_in_single_precision(name: str) -> None:
    assert compare(name, "epsilon", torch.float32) <= 1e-4


@pytest.mark.parametrize("name", PAIRS)
def test_with_the_rules_of_attention(name: str) -> None:
    if name in UNLIKE:
        assert compare(name, "attnlrp") > 1e-2, "the name is out of place in UNLIKE"
    else:
        assert compare(name, "attnlrp") <= 1e-6
