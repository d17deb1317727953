"""The pull back of relevance through one weighted sum, for every rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from signalrp.propagation.rules import Epsilon, Group, Pass, Rule, Term, Zero
from signalrp.propagation.sums import WeightedSum


@dataclass
class Pulled:
    """What a weighted sum hands to its input: ``x * per_unit + relevance``, and what it absorbs."""

    per_unit: Tensor | None = None
    relevance: Tensor | None = None
    bias: float = 0.0
    stabiliser: float = 0.0
    withheld: float = 0.0

    def add_per_unit(self, value: Tensor) -> None:
        self.per_unit = value if self.per_unit is None else self.per_unit + value

    def add_relevance(self, value: Tensor) -> None:
        self.relevance = value if self.relevance is None else self.relevance + value


def stabilise(total: Tensor, epsilon: float) -> Tensor:
    """Return ``total + epsilon * sign(total)`` with sign(0) = 1."""
    return torch.where(total >= 0, total + epsilon, total - epsilon)


def pull(op: WeightedSum, rule: Rule, grad: Tensor, is_relevance: bool, audit: bool) -> Pulled:
    """Share what arrives at a weighted sum's output among its inputs.

    Parameters
    ----------
    op : WeightedSum
        The sum as it was computed in the forward pass.
    rule : Rule
        How to share.
    grad : torch.Tensor
        What arrives, in the shape of the output: relevance per unit of activation, or relevance itself.
    is_relevance : bool
        Which of the two `grad` is.
    audit : bool
        Whether to compute what the bias, the stabiliser and the rule absorb.
    """
    pulled = Pulled()
    if isinstance(rule, Zero):
        if audit:
            pulled.withheld = total(grad if is_relevance else grad * op.out)
        return pulled
    if isinstance(rule, Pass):
        if op.x.shape != op.out.shape:
            raise ValueError(
                f"the rule Pass needs a weighted sum with the same shape before and after it, found "
                f"{tuple(op.x.shape)} and {tuple(op.out.shape)} at {op.path!r}; choose another rule there."
            )
        pulled.relevance = grad if is_relevance else grad * op.out
        return pulled
    if not is_relevance and not audit:
        pulled.per_unit = rule.per_unit(op, grad)
        if pulled.per_unit is not None:
            return pulled
    if not is_relevance and isinstance(rule, Epsilon) and rule.bias == "absorb":
        # As without an audit, so that both agree at sums that are 0 as well.
        stable = rule.stabilised(op, grad)
        pulled.per_unit = op.pull(stable, op.weight)
        pulled.bias = 0.0 if op.bias is None else total(stable * op.bias)
        pulled.stabiliser = total((grad - stable) * op.out)
        return pulled
    relevance = grad if is_relevance else grad * op.out
    redistribute = getattr(rule, "bias", None) == "redistribute"
    for group in rule.groups(op):
        _pull_group(op, rule, group, relevance, pulled, redistribute, audit)
    return pulled


def _pull_group(
    op: WeightedSum, rule: Rule, group: Group, relevance: Tensor, pulled: Pulled, redistribute: bool, audit: bool
) -> None:
    if group.where is not None:
        relevance = torch.where(group.where, relevance, 0)
        if not relevance.any():
            return
    denominator, stable = denominators(op, rule, group)
    shares = relevance / stable
    if rule.epsilon == 0:
        shares = torch.where(denominator == 0, 0, shares)
    if group.coefficient != 1:
        shares = shares * group.coefficient
    give(pulled, group.terms, op.pull_parts(shares, [term.weight for term in group.terms]), op.x)
    if group.bias is not None and redistribute:
        ones = torch.ones_like(op.weight)
        count = op.forward(torch.ones_like(op.sample), ones)
        pulled.add_relevance(op.pull(torch.where(count > 0, shares * group.bias / count.clamp(min=1), 0), ones))
        if audit:
            # Where a sum sees padding alone, there is nobody to take the share.
            pulled.bias += total(torch.where(count > 0, 0, shares * group.bias))
    elif group.bias is not None and audit:
        pulled.bias += total(shares * group.bias)
    if audit:
        # Where no contribution is of the kind that the rule shares among, the rule itself keeps everything.
        nobody = denominator == 0
        pulled.stabiliser += total(torch.where(nobody, 0, shares * (stable - denominator)))
        pulled.withheld += total(torch.where(nobody, relevance * group.coefficient, 0))


def denominators(op: WeightedSum, rule: Rule, group: Group) -> tuple[Tensor, Tensor]:
    """Return what the contributions of a group are divided by, and its stabilised copy."""
    denominator = group.total
    if denominator is None:
        denominator = op.forward_parts([(_part(term, op), term.weight) for term in group.terms], group.bias)
    return denominator, stabilise(denominator, rule.epsilon)


def give(pulled: Pulled, terms: Sequence[Term], values: Sequence[Tensor], x: Tensor) -> None:
    """Add what each term of a group hands to the input: per unit of it, or relevance itself."""
    by_sign: dict[str, Tensor] = {}
    for term, value in zip(terms, values, strict=True):
        if isinstance(term.part, Tensor):
            pulled.add_relevance(term.part * value)
        elif term.part == "all":
            pulled.add_per_unit(value)
        else:
            by_sign[term.part] = value
    if by_sign:
        pulled.add_per_unit(torch.where(x < 0, by_sign["negative"], by_sign["positive"]))


def _part(term: Term, op: WeightedSum) -> Tensor:
    if isinstance(term.part, Tensor):
        return term.part
    if term.part == "positive":
        return op.x.clamp(min=0)
    if term.part == "negative":
        return op.x.clamp(max=0)
    return op.x


def real(value: Tensor) -> Tensor:
    """Return the real part, in which relevance is kept."""
    return value.real if value.is_complex() else value


def amount(c: Tensor, value: Tensor) -> float:
    """Return the relevance of a tensor from relevance per unit of it; nothing where nothing arrives."""
    return total(torch.where(c == 0, 0, c.conj() * value))


def total(value: Tensor) -> float:
    """Sum a tensor in float64, real part only."""
    return float(real(value.detach()).sum(dtype=torch.float64))
