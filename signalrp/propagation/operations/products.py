"""Products of signals: which factor takes which part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from signalrp.propagation.engine import Engine
from signalrp.propagation.nodes import Grads, Step
from signalrp.propagation.pull import real, stabilise, total
from signalrp.propagation.registry import handles
from signalrp.propagation.tags import Affine, Call, affine_of, tag_of, tensors_in


def shares(engine: Engine, call: Call) -> list[float]:
    """Return the part that each tracked factor takes, as often as it occurs.

    A gate beside a signal takes nothing; signals alone, or gates alone, share equally. The composite says otherwise
    of gates where ``products="equal"``, and of the weights of an attention where ``attention="attnlrp"``; what
    something is divided by never takes anything.
    """
    occurs = [sum(t is x for t in tensors_in(call.args, call.kwargs)) for x in call.tracked]
    kinds = [tag.gate if (tag := tag_of(x, engine)) is not None else "" for x in call.tracked]
    yields = {"divisor"}
    if engine.composite.products == "gate":
        yields.add("gate")
    if engine.composite.attention == "cp":
        yields.add("attention")
    takes = [kind not in yields for kind in kinds]
    if not any(takes):
        # Of gates alone the ordinary ones are the signal, before the weights of an attention and divisors.
        best = min(kinds, key=("gate", "attention", "divisor").index)
        takes = [kind == best for kind in kinds]
    whole = sum(n for n, take in zip(occurs, takes, strict=True) if take)
    return [1 / whole if take else 0.0 for take in takes]


def share_product(engine: Engine, call: Call, spread: str = "equal", parts: list[float] | None = None) -> Any:
    """Run a function that is linear in each of its tracked factors; `parts` are their shares where they are known."""
    parts = shares(engine, call) if parts is None else parts
    if parts == [0.5, 0.5]:
        affine = [affine_of(engine, t) for t in call.tracked]
        if any(a is not None for a in affine):
            return _share_affine(engine, call, affine)
    return engine.scaled(call, parts, spread=spread)


def _share_affine(engine: Engine, call: Call, affine: Sequence[Affine | None]) -> Tensor:
    out: Tensor = call.value()
    pairs = zip(call.tracked, affine, strict=True)
    parts = [a or Affine(t, t._version, t._version, 1.0, 0.0) for t, a in pairs]
    step = AffineProduct(engine, call, [a.signal for a in parts], out)
    step.affine = [(a.scale, a.offset) for a in parts]
    return engine.hang(step, [a.signal for a in parts], out)


class AffineProduct(Step):
    """A product of ``a + alpha x`` and ``b + beta y`` with two numbers a and b, as in ``(1 + y) x``.

    Only the product of the two signals is shared; ``a beta y`` belongs to y and ``b alpha x`` to x.
    """

    affine: list[tuple[float, float]]

    def __init__(self, engine: Engine, call: Call, inputs: Sequence[Tensor], out: Tensor) -> None:
        super().__init__(engine, call.name, inputs, out)
        self.call = call
        engine.forgetful.append(self)

    def forget(self) -> None:
        """Let go of the call, which may lead back to this step."""
        del self.call

    def _factors(self, part: float) -> list[Tensor]:
        pairs = zip(self.inputs, self.affine, strict=True)
        return [part * scale * x + offset for x, (scale, offset) in pairs]

    def per_unit(self, c: Tensor) -> Grads:
        halved = self._factors(0.5)
        grads = []
        for i, (scale, _) in enumerate(self.affine):
            with torch.enable_grad():
                factors = list(halved)
                factors[i] = torch.zeros_like(factors[i], requires_grad=True)
                product = self.call.rebind(*factors)
            grads.append(scale * torch.autograd.grad(product, factors[i], c)[0])
        return tuple(grads)

    def _unit(self, r: Tensor) -> Tensor:
        return r / stabilise(self.out, self.engine.epsilon)

    def relevance(self, r: Tensor) -> Grads:
        grads = self.per_unit(self._unit(r))
        return tuple(None if g is None else real(g * x) for g, x in zip(grads, self.inputs, strict=True))

    def absorbed(self, c: Tensor, is_relevance: bool) -> dict[str, float]:
        unit = self._unit(c) if is_relevance else c
        offsets = [x * 0 + offset for x, (_, offset) in zip(self.inputs, self.affine, strict=True)]
        kept = {"constant": total(unit * self.call.rebind(*offsets))}
        if is_relevance:
            kept["stabiliser"] = total(unit * (stabilise(self.out, self.engine.epsilon) - self.out))
        return kept


def matrix_product(engine: Engine, call: Call) -> Any:
    """A product of signals by matrix multiplication, einsum, a convolution or a bilinear form."""
    return share_product(engine, call, spread="proportional")


@handles("glu")
def gated_linear_unit(engine: Engine, call: Call, input: Tensor, dim: int = -1) -> Any:
    """One half of the channels, gated by the sigmoid of the other."""
    with engine:
        signal, gate = input.chunk(2, dim)
        return signal * torch.sigmoid(gate)
