"""Weighted sums ``z = W x + b`` as the rules see them: apply W, apply its transpose, for any version of W."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import GradientEdge


class Row(NamedTuple):
    """A denominator of a rule: weights for the positive and the negative part of the input, bias, part of relevance."""

    positive: Tensor
    negative: Tensor
    bias: Tensor | float
    coefficient: float


class WeightedSum:
    """One weighted sum of a forward pass.

    Attributes
    ----------
    rule : Rule, optional
        Set by the composite once the forward pass is over.
    kind : str
        ``"linear"`` (dense sums of any form) or ``"convolution"``.
    path : str
        Path of the module it was called from, ``""`` outside any.
    x, out : torch.Tensor
        Input and output, without graph.
    raw : torch.Tensor
        The weight as the model holds it.
    scales : tuple of torch.Tensor
        What the weight is multiplied by where a batch norm is merged.
    bias : torch.Tensor or None
        Additive term, shaped to broadcast with `out`.
    edge, node : GradientEdge
        Where relevance enters the graph again below this sum, and the sum itself.
    readers, rectifiers : int
        How many functions read the output, and how many of them are ReLUs.
    merged : WeightedSum, optional
        The sum merged with the batch norm behind this one.
    replaces : WeightedSum, optional
        The sum that this one is merged from, where nobody else has read it so far.
    parents : tuple of WeightedSum
        The nearest sums upstream.
    from_input, from_output : int
        Number of weighted sums from the input up to this one, and from the output down to it, on the longest
        way, this one included. ``from_output`` is 0 while it is unknown or when the output does not depend on it.
    """

    kind = "linear"

    def __init__(self, x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> None:
        self.x = x.detach()
        self.raw = weight.detach()
        self.scales: tuple[Tensor, ...] = ()
        self.bias = None if bias is None else bias.detach()
        self.out = out.detach()
        self.path = ""
        self.edge: GradientEdge | None = None
        self.node: GradientEdge | None = None
        self.parents: tuple[WeightedSum, ...] = ()
        self.readers = 0
        self.rectifiers = 0
        self.from_input = 1
        self.from_output = 0
        self.rule: Any = None
        self.merged: WeightedSum | None = None
        self.replaces: WeightedSum | None = None

    @property
    def weight(self) -> Tensor:
        """The effective weight, merged with a batch norm where there is one; made when a rule asks for it."""
        weight = self.raw
        for scale in self.scales:
            weight = weight * scale
        return weight

    def let_go(self) -> None:
        """Forget all values, once the sum has been pulled back for good."""
        empty = self.raw.new_empty(0)
        self.x = self.out = self.raw = empty
        self.scales, self.bias = (), None
        self.__dict__.pop("has_negative_input", None)
        if self.replaces is not None and self.replaces.readers == 1:
            self.replaces.let_go()

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | float | None = None) -> Tensor:
        """Return ``W x + b`` for any input, weight and bias of the right shapes; the result may be overwritten."""
        out = self.apply(x, weight)
        return out if bias is None else out + bias

    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return ``W x``."""
        raise TypeError(f"{type(self).__name__} does not say how to apply its weight.")

    def pull(self, shares: Tensor, weight: Tensor) -> Tensor:
        """Return ``W^T shares`` in the shape of the input."""
        with torch.enable_grad():
            x = torch.zeros_like(self.x, requires_grad=True)
            out = self.forward(x, weight)
        return torch.autograd.grad(out, x, shares.expand_as(out))[0]

    def forward_parts(self, parts: Sequence[tuple[Tensor, Tensor]], bias: Tensor | float | None = None) -> Tensor:
        """Return the sum of ``W x`` over pairs of input and weight, and the bias; the result may be overwritten."""
        first, *others = parts
        out = self.forward(*first, bias)
        for x, weight in others:
            out = out.add_(self.forward(x, weight))
        return out

    def pull_parts(self, shares: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
        """Return ``W^T shares`` for several weights."""
        return [self.pull(shares, weight) for weight in weights]

    def share_rows(self, relevance: Tensor, rows: Sequence[Row]) -> Tensor:
        """Return the sum over rows of ``W^T (coefficient * relevance / (W x + b))``, with W by the sign of x."""
        result: Tensor | None = None
        for positive, negative, bias, coefficient in rows:
            parts = [(self.x, positive)]
            if self.has_negative_input:
                parts = [(self.x.clamp(min=0), positive), (self.x.clamp(max=0), negative)]
            stable = self.forward_parts(parts, bias)
            shares = torch.div(relevance, stable, out=stable)
            value, *below = self.pull_parts(shares, [coefficient * weight for _, weight in parts])
            if below:
                value = torch.where(self.x < 0, below[0], value)
            result = value if result is None else result.add_(value)
        if result is None:
            raise ValueError("a rule needs at least one denominator.")
        return result

    @property
    def sample(self) -> Tensor:
        """The input of one sample, where the first dimension certainly counts samples, else all of it."""
        return self.x

    def bounds(self, low: float | Tensor, high: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return bounds of the input in its shape."""
        return expanded(low, self.sample), expanded(high, self.sample)

    @property
    def linear_part(self) -> Tensor:
        """``W x``: the output less the bias."""
        return self.out if self.bias is None else self.out - self.bias

    @property
    def is_rectified(self) -> bool:
        """Whether nothing but ReLUs reads the output, so that nothing arrives where it is negative."""
        return 0 < self.readers == self.rectifiers

    @cached_property
    def has_negative_input(self) -> bool:
        """Whether any input is negative; where none is, half of the products of most rules vanish."""
        return bool((self.x.amin() < 0).item()) if self.x.numel() else False

    def merged_after(self, scale: Tensor, shift: Tensor, out: Tensor) -> WeightedSum | None:
        """Return the sum with ``scale * z + shift`` behind it, None where the channels do not line up."""
        return None

    def merged_before(self, x: Tensor, scale: Tensor, shift: Tensor) -> WeightedSum | None:
        """Return the sum with ``scale * x + shift`` in front of it, None where the channels do not line up."""
        return None

    def _like(self, x: Tensor, bias: Tensor | None, out: Tensor, scale: Tensor | None = None) -> WeightedSum:
        copy = object.__new__(type(self))
        copy.__dict__.update({k: v for k, v in self.__dict__.items() if k != "has_negative_input"})
        copy.x, copy.out = x.detach(), out.detach()
        copy.scales = self.scales if scale is None else (*self.scales, scale)
        copy.bias = None if bias is None else bias.detach()
        copy.readers = copy.rectifiers = 0
        copy.replaces = None
        return copy


def expanded(bound: float | Tensor, sample: Tensor) -> Tensor:
    """Return a bound in the shape of a sum's input."""
    value = torch.as_tensor(bound, dtype=sample.dtype, device=sample.device)
    try:
        return value.expand_as(sample)
    except RuntimeError:
        raise ValueError(
            f"a ZBox bound of shape {tuple(value.shape)} does not fit the weighted sum's input, one sample of "
            f"which has shape {tuple(sample.shape[1:])}; give a number or a tensor that broadcasts to it."
        ) from None


def depth(sums: Sequence[WeightedSum]) -> int:
    """Return how many weighted sums lie between the input and what comes after these, on the longest way."""
    return max((op.from_input for op in sums), default=0)


class Linear(WeightedSum):
    """``F.linear`` and matrix products with a two-dimensional constant on the right: weight (out, in)."""

    @property
    def sample(self) -> Tensor:
        return self.x[:1] if self.x.dim() > 1 else self.x

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | float | None = None) -> Tensor:
        if isinstance(bias, float):
            bias = weight.new_full(weight.shape[:1], bias)
        if bias is not None and bias.dim() > 1:
            return self.forward(x, weight) + bias
        return F.linear(x, weight, bias)

    def pull(self, shares: Tensor, weight: Tensor) -> Tensor:
        return shares @ weight

    def merged_after(self, scale: Tensor, shift: Tensor, out: Tensor) -> WeightedSum | None:
        if self.out.dim() != 2:
            return None
        bias = shift if self.bias is None else self.bias * scale + shift
        return self._like(self.x, bias, out, scale[:, None])

    def merged_before(self, x: Tensor, scale: Tensor, shift: Tensor) -> WeightedSum | None:
        if self.x.dim() != 2:
            return None
        offset = F.linear(shift, self.weight)
        bias = offset if self.bias is None else self.bias + offset
        return self._like(x, bias, self.out, scale)


class Convolution(WeightedSum):
    """Convolutions of one to three dimensions and their transposed forms."""

    kind = "convolution"

    def __init__(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        out: Tensor,
        *,
        stride: list[int],
        padding: list[int],
        dilation: list[int],
        transposed: bool,
        output_padding: list[int],
        groups: int,
        extend: Sequence[int] = (),
    ) -> None:
        shape = (-1,) + (1,) * (weight.dim() - 2)
        super().__init__(x, weight, None if bias is None else bias.reshape(shape), out)
        self.transposed, self.groups = transposed, groups
        # Padding "same" may need one zero more on the right.
        self.extend = [side for more in reversed(extend) for side in (0, more)] if any(extend) else []
        self.arguments = (stride, padding, dilation, transposed, output_padding, groups)

    @property
    def sample(self) -> Tensor:
        return self.x[:1]

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | float | None = None) -> Tensor:
        channels = self.out.shape[1]
        if isinstance(bias, float):
            bias = weight.new_full((channels,), bias)
        elif bias is not None and bias.numel() == channels:
            bias = bias.reshape(channels)
        elif bias is not None:
            return self.forward(x, weight).add_(bias)
        return torch.convolution(self._extended(x), weight, bias, *self.arguments)

    def _extended(self, x: Tensor) -> Tensor:
        return F.pad(x, self.extend) if self.extend else x

    def pull(self, shares: Tensor, weight: Tensor) -> Tensor:
        return self._pull(shares, self.x, weight)

    def _pull(self, shares: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        shares = shares.expand(x.shape[0], *shares.shape[1:])
        # The operator reads nothing but the shape and the layout of the input.
        shape = self._extended(x[:1]).expand(len(x), *(-1,) * (x.dim() - 1)) if self.extend else x
        mask = [True, False, False]
        pulled = torch.ops.aten.convolution_backward(shares, shape, weight, None, *self.arguments, mask)[0]
        return pulled[tuple(slice(size) for size in x.shape)] if self.extend else pulled

    # Parts of the input are stacked as channels in, rows as channels out: one call reads and writes the large sides.

    def pull_parts(self, shares: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
        if self.transposed or len(weights) == 1:
            return super().pull_parts(shares, weights)
        pulled = self._pull_stacked(shares, torch.cat(list(weights), 1), len(weights))
        return [pulled[:, :, i].flatten(1, 2) for i in range(len(weights))]

    def share_rows(self, relevance: Tensor, rows: Sequence[Row]) -> Tensor:
        channels = relevance.shape[1]
        biases = [torch.as_tensor(row.bias, dtype=relevance.dtype, device=relevance.device) for row in rows]
        if self.transposed or any(bias.numel() not in (1, channels) for bias in biases):
            return super().share_rows(relevance, rows)
        signed, grouped = self.has_negative_input, self.x.unflatten(1, (self.groups, -1))
        x, weights = self.x, [row.positive for row in rows]
        if signed:
            x = torch.cat([grouped.clamp(min=0), grouped.clamp(max=0)], 2).flatten(1, 2)
            weights = [torch.cat([row.positive, row.negative], 1) for row in rows]
        bias = self._stack_rows([b.flatten().expand(channels) for b in biases])
        shares = torch.convolution(self._extended(x), self._stack_rows(weights), bias, *self.arguments)
        del x
        stable = shares.unflatten(1, (self.groups, len(rows), -1))
        torch.div(relevance.unflatten(1, (self.groups, 1, -1)), stable, out=stable)
        scaled = self._stack_rows([w * row.coefficient for w, row in zip(weights, rows, strict=True)])
        if not signed:
            return self._pull(shares, self.x, scaled)
        pulled = self._pull_stacked(shares, scaled, 2)
        return torch.where(grouped < 0, pulled[:, :, 1], pulled[:, :, 0]).flatten(1, 2)

    def _stack_rows(self, rows: Sequence[Tensor]) -> Tensor:
        if len(rows) == 1:
            return rows[0].contiguous()
        return torch.cat([row.unflatten(0, (self.groups, -1)) for row in rows], 1).flatten(0, 1)

    def _pull_stacked(self, shares: Tensor, weight: Tensor, parts: int) -> Tensor:
        """Return what is pulled to (batch, group, part, channel, ...)."""
        batch, channels, *size = self.x.shape
        shape = self.x.new_empty(batch, channels * parts, *size)
        return self._pull(shares, shape, weight).unflatten(1, (self.groups, parts, -1))

    def merged_after(self, scale: Tensor, shift: Tensor, out: Tensor) -> WeightedSum | None:
        along = self._along(scale, output=True)
        scale, shift = self._spatial(scale), self._spatial(shift)
        return self._like(self.x, shift if self.bias is None else self.bias * scale + shift, out, along)

    def merged_before(self, x: Tensor, scale: Tensor, shift: Tensor) -> WeightedSum | None:
        # Zero padding comes after the norm, so that its shift counts for less at the borders.
        offset = self.forward(self._spatial(shift).expand_as(self.sample), self.weight)
        bias = offset if self.bias is None else self.bias + offset
        return self._like(x, bias, self.out, self._along(scale, output=False))

    def _spatial(self, value: Tensor) -> Tensor:
        return value.reshape((-1,) + (1,) * (self.weight.dim() - 2))

    def _along(self, scale: Tensor, output: bool) -> Tensor:
        """Return a scale per channel so that it multiplies the weight."""
        kernel = (1,) * (self.raw.dim() - 2)
        if output != self.transposed:
            return scale.reshape(-1, 1, *kernel)
        per_group = scale.reshape(self.groups, 1, -1, *kernel)
        return per_group.expand(-1, len(self.raw) // self.groups, *(-1,) * (len(kernel) + 1)).flatten(0, 1)


class General(WeightedSum):
    """A sum given as a function of input and weight that is linear in either: bilinear, matmul, einsum."""

    def __init__(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor, apply: Callable[[Any, Any], Any]
    ) -> None:
        super().__init__(x, weight, bias, out)
        self.function = apply

    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.function(x, weight)
