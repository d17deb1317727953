"""How one weighted sum shares its relevance among its inputs.

A weighted sum is ``z = W x + b``. Every rule here is a list of *groups*. A group has a denominator ``D``, a
stabilised copy of it ``S = D + epsilon * sign(D)``, and terms ``(v, V)``: a version ``v`` of the input and a
version ``V`` of the weights. It gives the input ``sum of v * V^T (coefficient * R / S)``. A rule therefore
states only which parts of input, weights and bias take part; the pull back of all of them is written once,
in :mod:`signalrp.propagation.pull`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from signalrp.propagation.sums import Row, WeightedSum

Bias = Literal["absorb", "redistribute", "ignore"]

# "all": the input as it is; "positive", "negative": its parts by sign. A tensor stands for itself (bounds, ones).
Part = Literal["all", "positive", "negative"] | Tensor


@dataclass
class Term:
    """One product of a group: a version of the input and a version of the weights."""

    part: Part
    weight: Tensor


@dataclass
class Group:
    """Terms that share one denominator."""

    terms: list[Term]
    total: Tensor | None = None
    """The denominator where it is known without computing it from the terms."""
    bias: Tensor | None = None
    coefficient: float = 1.0
    where: Tensor | None = None
    """Outputs this group serves (boolean), None for all of them."""


@dataclass(frozen=True)
class Rule:
    """A rule for weighted sums.

    Attributes
    ----------
    epsilon : float
        Stabiliser, added to each denominator with the denominator's sign (plus at 0).
    """

    epsilon: float = field(default=1e-6, kw_only=True)
    spreads: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.epsilon < 0:
            raise ValueError(f"epsilon must not be negative, found {self.epsilon}.")

    @property
    def carries_relevance(self) -> bool:
        """Whether the rule gives relevance to inputs that are zero, so that R itself flows below it."""
        return self.spreads

    def groups(self, op: WeightedSum) -> Iterator[Group]:
        """Yield the groups of the rule for one weighted sum."""
        raise TypeError(f"{type(self).__name__} is no rule by itself; use a subclass that defines groups().")

    def per_unit(self, op: WeightedSum, c: Tensor) -> Tensor | None:
        """Return relevance per unit of the input from that of the output, in as few passes as can be.

        Says the same as :meth:`groups`; None where only the groups say it.
        """
        return None


def _plus(bias: Tensor | None, epsilon: float) -> Tensor | float:
    return epsilon if bias is None else bias + epsilon


@dataclass(frozen=True)
class _BiasRule(Rule):
    """A rule that lets the caller say what becomes of the bias' share."""

    bias: Bias = field(default="absorb", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bias not in ("absorb", "redistribute", "ignore"):
            raise ValueError(f'bias must be "absorb", "redistribute" or "ignore", found {self.bias!r}.')

    @property
    def carries_relevance(self) -> bool:
        return self.spreads or self.bias == "redistribute"

    def _bias(self, op: WeightedSum) -> Tensor | None:
        return None if self.bias == "ignore" else op.bias

    def _total(self, op: WeightedSum) -> Tensor:
        return op.linear_part if self.bias == "ignore" else op.out


@dataclass(frozen=True)
class Epsilon(_BiasRule):
    r"""Shares in proportion to the contributions to the sum.

    .. math:: R_i = \sum_j \frac{x_i w_{ij}}{z_j + \epsilon\,\mathrm{sign}(z_j)} R_j

    Parameters
    ----------
    epsilon : float
        Stabiliser; what it takes is absorbed.
    bias : {"absorb", "redistribute", "ignore"}
        ``absorb``: the bias keeps its share. ``redistribute``: each of the N inputs of a sum takes b/N of it.
        ``ignore``: the bias is left out of the denominator.

    References
    ----------
    Bach et al. 2015, eq. 58, doi:10.1371/journal.pone.0130140
    """

    epsilon: float = field(default=1e-6, kw_only=False)

    def groups(self, op: WeightedSum) -> Iterator[Group]:
        yield Group([Term("all", op.weight)], total=self._total(op), bias=self._bias(op))

    def per_unit(self, op: WeightedSum, c: Tensor) -> Tensor | None:
        return op.pull(self.stabilised(op, c), op.weight) if self.bias == "absorb" else None

    def stabilised(self, op: WeightedSum, c: Tensor) -> Tensor:
        """Return relevance per unit of the output less what the stabiliser takes."""
        if not self.epsilon:
            return c
        # c z / (z + epsilon sign z) = c - c epsilon / (|z| + epsilon), which is exact at z = 0 as well.
        size = op.out.abs().add_(self.epsilon)
        return torch.addcdiv(c, c, size, value=-self.epsilon, out=size)


@dataclass(frozen=True)
class Gamma(_BiasRule):
    r"""Favours the contributions that agree in sign with the sum.

    .. math:: R_i = \sum_j \frac{x_i w_{ij} + \gamma\,(x_i w_{ij})^{s_j}}
                                {z_j + \gamma \sum_k (x_k w_{kj})^{s_j}} R_j

    where :math:`(\cdot)^{s_j}` is the positive part for a sum :math:`z_j \ge 0` and the negative part
    otherwise, so that the rule is right for inputs and outputs of either sign.

    Parameters
    ----------
    gamma : float
        Weight of the favoured part; 0 is the epsilon rule, infinity tends to ``ZPlus``.

    References
    ----------
    Montavon et al. 2019, doi:10.1007/978-3-030-28954-6_10; for signed inputs Andéol et al. 2021, Learning Domain
    Invariant Representations by Joint Wasserstein Distance Minimization
    """

    gamma: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gamma < 0:
            raise ValueError(f"gamma must not be negative, found {self.gamma}.")

    def groups(self, op: WeightedSum) -> Iterator[Group]:
        weight, bias = op.weight, self._bias(op)
        upper = self._total(op) >= 0
        for where, same, other in (
            (upper, weight.clamp(min=0), weight.clamp(max=0)),
            (~upper, weight.clamp(max=0), weight.clamp(min=0)),
        ):
            share = bias
            if bias is not None:
                share = bias + self.gamma * (bias.clamp(min=0) if where is upper else bias.clamp(max=0))
            terms = [Term("positive", weight + self.gamma * same), Term("negative", weight + self.gamma * other)]
            yield Group(terms, bias=share, where=where)

    def per_unit(self, op: WeightedSum, c: Tensor) -> Tensor | None:
        if self.bias != "absorb" or self.epsilon == 0:
            return None
        weight, half = op.weight, self.gamma / 2
        if op.is_rectified and not op.has_negative_input:
            # Where the sum is negative nothing arrives: one product for the denominator and one back suffice.
            weight = weight + self.gamma * weight.clamp(min=0)
            bias = None if op.bias is None else op.bias + self.gamma * op.bias.clamp(min=0)
            stable = op.forward(op.x, weight, _plus(bias, self.epsilon)).clamp_(min=self.epsilon)
            return op.pull((c * op.out).div_(stable), weight)
        # (x w)^+ = (x w + |x||w|) / 2: two products back where the four parts would need four. Sums and magnitudes
        # agree in sign in the denominator, so that nothing cancels there.
        magnitude = half * weight.abs()
        bias = None if op.bias is None else half * op.bias.abs()
        x = op.x.abs() if op.has_negative_input else op.x
        size = op.out.abs()
        stable = op.forward(x, magnitude, _plus(bias, self.epsilon)).add_(size, alpha=1 + half)
        per_unit = torch.div(c, stable, out=stable)
        favoured = op.pull(per_unit * op.out, magnitude)
        shares = size.mul_(per_unit)
        result = op.pull(shares, (1 + half) * weight)
        return result.addcmul_(favoured, op.x.sign()) if op.has_negative_input else result.add_(favoured)


@dataclass(frozen=True)
class AlphaBeta(_BiasRule):
    r"""Treats positive and negative contributions apart.

    .. math:: R_i = \sum_j \Big(\alpha \frac{(x_i w_{ij})^+}{\sum_k (x_k w_{kj})^+ + b_j^+}
                              - \beta \frac{(x_i w_{ij})^-}{\sum_k (x_k w_{kj})^- + b_j^-}\Big) R_j

    Parameters
    ----------
    alpha, beta : float
        With ``alpha - beta = 1`` and ``beta >= 0``.

    References
    ----------
    Bach et al. 2015, eq. 60, doi:10.1371/journal.pone.0130140
    """

    alpha: float = 2.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta < 0 or abs(self.alpha - self.beta - 1) > 1e-9:
            raise ValueError(
                f"alpha - beta must be 1 and beta must not be negative, found alpha={self.alpha}, beta={self.beta}."
            )

    def groups(self, op: WeightedSum) -> Iterator[Group]:
        bias = self._bias(op)
        upper, lower = op.weight.clamp(min=0), op.weight.clamp(max=0)
        for coefficient, same, other in ((self.alpha, upper, lower), (-self.beta, lower, upper)):
            if coefficient == 0:
                continue
            share = None if bias is None else bias.clamp(min=0) if coefficient > 0 else bias.clamp(max=0)
            terms = [Term("positive", same), Term("negative", other)]
            yield Group(terms, bias=share, coefficient=coefficient)

    def per_unit(self, op: WeightedSum, c: Tensor) -> Tensor | None:
        if self.bias == "redistribute" or self.epsilon == 0:
            return None
        bias, rows = self._bias(op), []
        upper, lower = op.weight.clamp(min=0), op.weight.clamp(max=0)
        for coefficient, sign, same, other in ((self.alpha, 1, upper, lower), (-self.beta, -1, lower, upper)):
            if coefficient:
                share = None if bias is None else bias.clamp(min=0) if sign > 0 else bias.clamp(max=0)
                rows.append(Row(same, other, _plus(share, sign * self.epsilon), coefficient))
        return op.share_rows(c * op.out, rows)


@dataclass(frozen=True)
class ZPlus(AlphaBeta):
    r"""Positive contributions only: ``AlphaBeta`` with :math:`\alpha = 1, \beta = 0`.

    .. math:: R_i = \sum_j \frac{(x_i w_{ij})^+}{\sum_k (x_k w_{kj})^+ + b_j^+} R_j

    References
    ----------
    Montavon et al. 2017, doi:10.1016/j.patcog.2016.11.008
    """

    alpha: float = field(default=1.0, init=False)
    beta: float = field(default=0.0, init=False)


@dataclass(frozen=True)
class ZBox(Rule):
    r"""For inputs that lie between known bounds, as the first layer's do.

    .. math:: R_i = \sum_j \frac{x_i w_{ij} - l_i w_{ij}^+ - h_i w_{ij}^-}
                                {\sum_k x_k w_{kj} - l_k w_{kj}^+ - h_k w_{kj}^-} R_j

    Parameters
    ----------
    low, high : float or torch.Tensor
        Bounds of the input of the weighted sum: one number, or a tensor that broadcasts to one sample of it
        (per channel, or per time and channel).

    References
    ----------
    Montavon et al. 2017, doi:10.1016/j.patcog.2016.11.008
    """

    low: float | Tensor = field(default=0.0, hash=False)
    high: float | Tensor = field(default=1.0, hash=False)
    spreads: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = torch.as_tensor(self.low), torch.as_tensor(self.high)
        if bool((low > high).any()):
            raise ValueError("ZBox needs low <= high everywhere; exchange the two bounds.")

    def groups(self, op: WeightedSum) -> Iterator[Group]:
        low, high = op.bounds(self.low, self.high)
        # The same contributions with w split by sign: each is positive within the bounds, so that nothing cancels.
        yield Group([Term(op.x - low, op.weight.clamp(min=0)), Term(op.x - high, op.weight.clamp(max=0))])


@dataclass(frozen=True)
class WSquare(Rule):
    r"""For inputs without bounds: in proportion to the squared weights, whatever the input's value.

    .. math:: R_i = \sum_j \frac{w_{ij}^2}{\sum_k w_{kj}^2} R_j

    References
    ----------
    Montavon et al. 2017, doi:10.1016/j.patcog.2016.11.008
    """

    spreads: ClassVar[bool] = True

    def groups(self, op: WeightedSum) -> Iterator[Group]:
        yield Group([Term(torch.ones_like(op.sample), op.weight.square())])


@dataclass(frozen=True)
class Flat(Rule):
    r"""Equal shares to all inputs of a sum, whatever their value and weight.

    .. math:: R_i = \sum_j \frac{1}{N_j} R_j

    References
    ----------
    Lapuschkin et al. 2019, doi:10.1038/s41467-019-08987-4
    """

    spreads: ClassVar[bool] = True

    def groups(self, op: WeightedSum) -> Iterator[Group]:
        yield Group([Term(torch.ones_like(op.sample), torch.ones_like(op.weight))])


@dataclass(frozen=True)
class Pass(Rule):
    """Hands relevance through unchanged, position by position; input and output must have the same shape."""

    spreads: ClassVar[bool] = True


@dataclass(frozen=True)
class Zero(Rule):
    """Hands nothing on; all that arrives is absorbed."""
