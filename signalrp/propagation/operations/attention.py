"""Softmax and attention: what the weights get, and what the values.

With constant weights ("cp") everything goes to the values (Ali et al. 2022, arXiv:2202.07304). AttnLRP ("attnlrp")
gives the weights half, pulls the softmax back by its first-order expansion, and queries and keys half of that
each (Achtibat et al. 2024, arXiv:2402.05602).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from signalrp.propagation.engine import Engine
from signalrp.propagation.nodes import Step, share
from signalrp.propagation.pull import amount, total
from signalrp.propagation.registry import handles
from signalrp.propagation.tags import Call, Tag, mark


class Softmax(Step):
    """A softmax whose normaliser is a constant.

    With n outputs, ``p = exp(u) / n`` where u is x less the logarithm of the mean of exp(x). The slope of exp
    from ``u = 0`` (all outputs equal) is positive, finite and does not vanish where the softmax saturates.
    """

    def __init__(self, engine: Engine, name: str, x: Tensor, out: Tensor, dim: int, logarithm: bool) -> None:
        super().__init__(engine, name, [x], out)
        self.dim, self.logarithm = dim, logarithm

    def per_unit(self, c: Tensor) -> tuple[Tensor | None, ...]:
        if self.logarithm:
            return (c,)
        x = self.inputs[0]
        n = x.shape[self.dim] if x.dim() else 1
        u = torch.log_softmax(x, self.dim) + math.log(n)
        near = u == 0
        # A masked input (minus infinity) has no share.
        slope = torch.where(near, 1, torch.expm1(u) / torch.where(near, 1, u)) / n
        return (torch.where(torch.isfinite(x), c * slope, 0),)

    def absorbed(self, c: Tensor, is_relevance: bool) -> dict[str, float]:
        if is_relevance:
            return {}
        x = self.inputs[0]
        if self.logarithm:
            return {"constant": amount(c, -torch.logsumexp(x, self.dim, keepdim=True).expand_as(x))}
        (per_unit,) = self.per_unit(c)
        finite = torch.isfinite(x)
        # 1/n less the slope times the normaliser.
        return {"constant": total(torch.where(finite, c * self.out - per_unit * torch.where(finite, x, 0), 0))}  # type: ignore[operator]


class SoftmaxTaylor(Softmax):
    """A softmax by its first-order expansion: the derivative; the rest of the expansion is a constant."""

    def per_unit(self, c: Tensor) -> tuple[Tensor | None, ...]:
        if self.logarithm:
            return (c - self._weights() * c.sum(self.dim, keepdim=True),)
        p = self._weights()
        return (p * (c - (p * c).sum(self.dim, keepdim=True)),)

    def _weights(self) -> Tensor:
        """Return the softmax; where everything is masked there is none."""
        p = self.out.exp() if self.logarithm else self.out
        return torch.where(torch.isfinite(p), p, 0)

    def absorbed(self, c: Tensor, is_relevance: bool) -> dict[str, float]:
        if is_relevance:
            return {}
        x = torch.where(torch.isfinite(self.inputs[0]), self.inputs[0], 0)
        p = self._weights()
        slope = x - (p * x).sum(self.dim, keepdim=True)
        return {"constant": amount(c, self.out - (slope if self.logarithm else p * slope))}


@handles("softmax", "log_softmax", "_softmax", "_log_softmax", "_safe_softmax")
def softmax(engine: Engine, call: Call, input: Tensor, dim: int | None = None, *args: Any, **kwargs: Any) -> Any:
    """A softmax as the composite says."""
    if dim is None:
        # As torch chooses where the model says nothing.
        dim = 0 if input.dim() in (0, 1, 3) else 1
    if input.is_complex():
        return engine.unsupported(call, "of a complex signal")
    out = call.value()
    family = SoftmaxTaylor if engine.composite.softmax_rule == "taylor" else Softmax
    logarithm = "log" in call.name
    result = engine.hang(family(engine, call.name, input, out, dim, logarithm), [input], out)
    mark(result, Tag(engine, call.parents, call.token, gate="" if logarithm else "attention"))
    return result


@handles("scaled_dot_product_attention")
def attend(
    engine: Engine,
    call: Call,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Attention by the native kernel where it hands on what the rule says, else step by step."""
    signals = [any(x is t for t in call.tracked) for x in (query, key, value)]
    options: dict[str, Any] = {"dropout_p": dropout_p, "is_causal": is_causal, "scale": scale, "enable_gqa": enable_gqa}
    if not engine.is_careful(call) and signals[2] and dropout_p == 0:
        # Weights that do not depend on the signal are a weighted sum, with a rule.
        if engine.composite.attention == "cp" and len(call.tracked) > 1:
            mask = attn_mask.detach() if attn_mask is not None else None
            return call.func(query.detach(), key.detach(), value, mask, **options)
        constant_mask = attn_mask is None or not attn_mask.requires_grad
        if all(signals) and constant_mask and engine.composite.softmax_rule == "taylor":
            # The expansion of a softmax is its derivative, and every product is halved.
            parts = share(query, 0.25), share(key, 0.25), share(value, 0.5)
            return call.func(*parts, attn_mask, **options)
    with engine:
        return _step_by_step(query, key, value, attn_mask, is_causal, scale, enable_gqa, dropout_p)


def _step_by_step(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    is_causal: bool,
    scale: float | None,
    grouped: bool,
    dropout: float,
) -> Tensor:
    if grouped:
        times = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(times, -3), value.repeat_interleave(times, -3)
    scores = torch.matmul(query, key.transpose(-2, -1)) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, -math.inf)
    elif mask is not None:
        scores = scores + mask
    weights = torch.softmax(scores, -1)
    # A query that may look at nothing gets nothing.
    nothing = torch.isneginf(scores.detach()).all(-1, keepdim=True)
    if bool(nothing.any()):
        weights = weights.masked_fill(nothing, 0)
    return torch.matmul(torch.dropout(weights, dropout, dropout > 0), value)
