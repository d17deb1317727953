"""Relevance through recurrent layers: the states are recomputed in one batch, only the way back is a loop.

Everything here is time first, with the directions of a layer side by side: (time, direction, batch, units). The
second direction runs on the reversed signal, so that time counts the steps of the recurrence. The weighted sums
take their rules like any other; each hands the share of its hidden state to the step before inside the loop,
and the share of the layer's input for all steps at once behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from signalrp.propagation.pull import Pulled, denominators, give, stabilise, total
from signalrp.propagation.rules import Epsilon, Group, Part, Pass, Term, Zero
from signalrp.propagation.sums import WeightedSum, expanded

if TYPE_CHECKING:
    from signalrp.propagation.rules import Rule


class DirectionalSum(WeightedSum):
    """Dense sums of all steps and directions: input (direction, step, in), weight (direction, out, in).

    The first `width` inputs are the layer's, the others its hidden state, which lies within `reach` (None: a
    rectified state, non-negative and without an upper bound).
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, width: int, reach: Tensor | None) -> None:
        empty = weight.new_empty(0)
        super().__init__(empty, weight, bias, empty)
        self.width, self.reach = width, reach

    def asks_for_input(self, audit: bool) -> bool:
        """Whether the pull back reads the input."""
        return audit or not (isinstance(self.rule, Epsilon) and self.rule.bias == "absorb")

    def filled(self, x: Tensor, out: Tensor) -> WeightedSum:
        """Return the sum with its input and output."""
        return self._like(x, self.bias, out)

    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        return torch.bmm(x, weight.mT)

    def pull(self, shares: Tensor, weight: Tensor) -> Tensor:
        return torch.bmm(shares, weight)

    def bounds(self, low: float | Tensor, high: float | Tensor) -> tuple[Tensor, Tensor]:
        x, state = self.x[..., : self.width], self.x[..., self.width :]
        lower = torch.zeros_like(state) if self.reach is None else -self.reach.expand_as(state)
        upper = state if self.reach is None else self.reach.expand_as(state)
        if not self.width:
            return lower, upper
        return torch.cat([expanded(low, x), lower], -1), torch.cat([expanded(high, x), upper], -1)


class Flow:
    """The pull back through one :class:`DirectionalSum`, step by step for the hidden state.

    Parameters
    ----------
    op : DirectionalSum
        With its rule; x and out are given here.
    x, out : torch.Tensor
        Input and output, (time, direction, batch, units).
    drive : torch.Tensor
        Relevance per unit of the sum's output for one of what drives it, in the shape of `out`.
    audit : bool
        Whether to note what the bias, the stabiliser and the rule take.
    """

    def __init__(self, op: DirectionalSum, x: Tensor, out: Tensor, drive: Tensor, audit: bool) -> None:
        rule: Rule = op.rule
        if isinstance(rule, Pass):
            raise ValueError(
                f"the rule Pass needs a weighted sum with the same shape before and after it; the recurrent layer at "
                f"{op.path!r} joins its input and its state; choose another rule there."
            )
        self.rule, self.width, self.audit = rule, op.width, audit
        self.steps, self.directions, self.batch = out.shape[:3]
        self.redistributes = getattr(rule, "bias", None) == "redistribute"
        self.plain = not op.asks_for_input(audit)
        self.pulled = Pulled()
        self.drivers: list[Tensor] = []
        if self.plain and isinstance(rule, Epsilon):
            self.groups = [Group([Term("all", op.weight)])]
            # As Epsilon.stabilised does, in the order of time.
            size = out.abs().add_(rule.epsilon) if rule.epsilon else None
            self.shares = [drive if size is None else torch.addcdiv(drive, drive, size, value=-rule.epsilon, out=size)]
        else:
            self.drive, self.state = drive, x[..., op.width :].unbind(0)
            self.op = op.filled(self._joined(x), self._joined(out))
            self.groups = [] if isinstance(rule, Zero) else list(rule.groups(self.op))
            self.shares = [self._factor(group) for group in self.groups]
        # For one of what drives the sum; each step is multiplied by what did drive it, once that is known.
        self.by_step = [shares.unbind(0) for shares in self.shares]
        self.weights = [[term.weight[..., op.width :] for term in group.terms] for group in self.groups]

    def _joined(self, value: Tensor) -> Tensor:
        return value.transpose(0, 1).reshape(self.directions, self.steps * self.batch, -1)

    def _apart(self, value: Tensor) -> Tensor:
        return value.reshape(self.directions, self.steps, self.batch, -1).transpose(0, 1)

    def _factor(self, group: Group) -> Tensor:
        """Return the shares for one of what drives the sum."""
        if isinstance(self.rule, Epsilon) and self.rule.bias == "absorb":
            # As without an audit, so that both agree at sums that are 0 as well.
            ones = torch.ones_like(self.op.out)
            return self._apart(self.rule.stabilised(self.op, ones)) * self.drive
        denominator, stable = denominators(self.op, self.rule, group)
        factor = self.op.out / stable
        if self.rule.epsilon == 0:
            factor = torch.where(denominator == 0, 0, factor)
        if group.coefficient != 1:
            factor = factor * group.coefficient
        if group.where is not None:
            factor = torch.where(group.where, factor, 0)
        return self._apart(factor) * self.drive

    def take(self, step: int, driver: Tensor) -> None:
        """Take what drives the sum at one step."""
        if self.audit:
            self.drivers.append(driver)
        for shares in self.by_step:
            shares[step].mul_(driver)

    def back(self, step: int, driver: Tensor) -> Pulled:
        """Take what drives the sum at one step, and return what that hands to the hidden state before it."""
        self.take(step, driver)
        if self.plain:
            return Pulled(torch.bmm(self.by_step[0][step], self.weights[0][0]))
        pulled = Pulled()
        for group, shares, weights in zip(self.groups, self.by_step, self.weights, strict=True):
            self._give(pulled, group, shares[step], weights, step)
        return pulled

    def _give(self, pulled: Pulled, group: Group, shares: Tensor, weights: list[Tensor], step: int | None) -> None:
        span = slice(0, self.width) if step is None else slice(self.width, None)
        terms = [Term(self._part(t.part, span, step), t.weight) for t in group.terms]
        x = self.op.x[..., span] if step is None else self.state[step]
        give(pulled, terms, [torch.bmm(shares, weight) for weight in weights], x)
        if self.redistributes and group.bias is not None:
            each = (shares * group.bias).sum(-1, keepdim=True) / self.op.x.shape[-1]
            pulled.add_relevance(each.expand_as(x))

    def _part(self, part: Part, span: slice, step: int | None) -> Part:
        if not isinstance(part, Tensor):
            return part
        part = part[..., span]
        if step is None or part.shape[1] == 1:
            return part
        return part.unflatten(1, (self.steps, self.batch))[:, step]

    def inputs(self) -> tuple[Tensor | None, Tensor | None]:
        """Return what all steps hand to the layer's input, (time, direction, batch, in): per unit, and as such."""
        for group, shares in zip(self.groups, self.shares, strict=True):
            joined, weights = self._joined(shares), [term.weight[..., : self.width] for term in group.terms]
            if self.plain:
                self.pulled.add_per_unit(torch.bmm(joined, weights[0]))
                continue
            self._give(self.pulled, group, joined, weights, None)
            if self.audit:
                self._note(group, joined)
        if self.audit and isinstance(self.rule, Zero):
            self.pulled.withheld += total(self._relevance())
        unit, relevance = self.pulled.per_unit, self.pulled.relevance
        return (
            None if unit is None else self._apart(unit),
            None if relevance is None else self._apart(relevance.expand(self.directions, -1, self.width)),
        )

    def _relevance(self) -> Tensor:
        """Return the relevance of the sum's output, in an audit."""
        return torch.stack(self.drivers[::-1]) * self.drive * self._apart(self.op.out)

    def _note(self, group: Group, shares: Tensor) -> None:
        denominator, stable = denominators(self.op, self.rule, group)
        nobody = denominator == 0
        self.pulled.stabiliser += total(torch.where(nobody, 0, shares * (stable - denominator)))
        lost = self._relevance() * group.coefficient
        if group.where is not None:
            lost = torch.where(self._apart(group.where), lost, 0)
        self.pulled.withheld += total(torch.where(self._apart(nobody), lost, 0))
        if group.bias is not None and not self.redistributes:
            self.pulled.bias += total(shares * group.bias)


class Loop:
    """What arrives at the hidden states of a layer, from its output and from the steps behind.

    Parameters
    ----------
    ahead : torch.Tensor
        The hidden states that the steps start from, (time, direction, batch, units).
    arrived : torch.Tensor
        Relevance per unit of the states that they end in, from the layer's output.
    epsilon : float
        Stabiliser where relevance as such becomes relevance per unit of a state.
    audit : bool
        Whether to note what the stabiliser takes.
    """

    def __init__(self, ahead: Tensor, arrived: Tensor, epsilon: float, audit: bool) -> None:
        self.ahead, self.before, self.arrived, self.epsilon = ahead, ahead.unbind(0), arrived.unbind(0), epsilon
        self.audit = audit
        self.steps, self.stabiliser = len(self.arrived), 0.0
        self.behind: Tensor | None = None
        self.first: Tensor | None = None

    def at(self, step: int) -> Tensor:
        """Return relevance per unit of the state of a step."""
        return self.arrived[step] if self.behind is None else self.arrived[step] + self.behind

    def unit(self, step: int, pulled: Pulled) -> Tensor | None:
        """Return per unit of the state before a step what is handed to it."""
        if pulled.relevance is None:
            return pulled.per_unit
        stable = stabilise(self.before[step], self.epsilon)
        quotient = pulled.relevance / stable
        if self.audit:
            self.stabiliser += total(quotient * (stable - self.before[step]))
        return quotient if pulled.per_unit is None else pulled.per_unit + quotient

    def hand_back(self, step: int, pulled: Pulled, kept: Tensor | None = None) -> None:
        """Take what a step hands to the state before it."""
        if pulled.relevance is not None and step == 0:
            # Nobody asks for the first state per unit of it, which mostly is 0.
            self.first = pulled.relevance.expand_as(self.before[0])
            pulled = Pulled(pulled.per_unit)
        unit = self.unit(step, pulled)
        self.behind = unit if kept is None else kept if unit is None else unit + kept


def slope(out: Tensor, z: Tensor, at_zero: float, limit: float) -> Tensor:
    """Return the slope of an activation from the origin, with its limit at 0."""
    if at_zero == 0:
        return (out / z).nan_to_num_(nan=limit)
    near = z.abs() < torch.finfo(z.dtype).eps ** 0.5
    return torch.where(near, limit, (out - at_zero) / torch.where(near, 1, z))


def before(first: Tensor, states: Tensor) -> Tensor:
    """Return the states that the steps start from."""
    return torch.cat([first[None], states[:-1]])


def rows(parts: Sequence[Tensor]) -> Tensor:
    """Return the parts of one driver or one sum side by side."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), -1)
