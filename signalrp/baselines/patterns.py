"""PatternNet and PatternAttribution: what a unit looks for, told from data rather than from its weights.

A filter must cancel the distractor and so need not look like the signal that it detects. The pattern does: the
direction in which the input changes with the unit's output (Kindermans et al. 2018, arXiv:1705.05598).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from signalrp.attribute import eager
from signalrp.baselines.asked import Asked, Found, unchanged
from signalrp.explanation import type_and_place
from signalrp.propagation.tags import name_of, tensors_in

Estimator = Literal["two-component", "linear"]
_SUMS = {"linear": 0, "conv1d": 1, "conv2d": 2, "conv3d": 3}
_ADDED = {"add", "sub", "__add__", "__radd__", "__sub__", "__rsub__", "__iadd__", "__isub__", "add_", "sub_", "cat"}


@dataclass(frozen=True)
class Patterns:
    """What the weighted sums of a model look for.

    Attributes
    ----------
    patterns : tuple of torch.Tensor
        For each weighted sum, in the order in which the model calls them, its patterns in the shape of its weights,
        (outputs, ...), in float64; zero for units that the data never activated. The inner product of each with its
        filter is 1.
    rectified : tuple of bool
        Whether a sum was fitted where its ReLU is active only (the two-component estimator).
    """

    patterns: tuple[Tensor, ...]
    rectified: tuple[bool, ...]


def fit_patterns(
    model: nn.Module,
    reference: xr.DataArray | ArrayLike | Tensor,
    *,
    estimator: Estimator = "two-component",
    batch_size: int = 64,
) -> Patterns:
    """Fit the patterns of a model's weighted sums, in one pass over data.

    A pattern is ``a = (E[x y] - E[x] E[y]) / w·(E[x y] - E[x] E[y])``, of the inputs x of a unit with the filter w and
    the output y before its activation. With the two-component estimator, E[x y] and E[x] are taken where the
    unit's ReLU is active only. Of a convolution, every position is an observation.

    Parameters
    ----------
    model : torch.nn.Module
        Its weighted sums must be linear layers and convolutions of one to three dimensions; a batch norm counts
        with them.
    reference : xarray.DataArray, numpy.ndarray or torch.Tensor
        The data, usually the training signals, (trial, ...) as the model takes them.
    estimator : {"two-component", "linear"}
        "two-component" is for sums that a ReLU follows, with nothing but batch norm and dropout between; others
        are fitted by the linear one all the same.
    batch_size : int
        Trials at once.

    Returns
    -------
    Patterns
        For the option ``patterns`` of :func:`signalrp.explain_with`, as long as the weights stay.

    Raises
    ------
    ValueError
        When the model has weights elsewhere (recurrent or transposed layers, attention, layer norm), for which the
        method is not defined, or the data do not fit.

    References
    ----------
    Kindermans et al. 2018, arXiv:1705.05598
    """
    if estimator not in ("two-component", "linear"):
        raise ValueError(f'estimator must be "two-component" or "linear", found {estimator!r}.')
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, found {batch_size}.")
    model = eager(model)
    dtype, home = type_and_place(model)
    like = torch.empty(0, dtype=dtype, device=home)
    moments: list[_Moments] = []
    for x in _batches(reference, like, batch_size):
        watch = _Fit(model, estimator == "two-component")
        with unchanged(model, x):
            with torch.no_grad(), watch:
                model(watch.marked(x.clone()))
            found = [call.moments() for call in watch.calls]
        if not moments:
            moments = found
            continue
        if [m.weight.shape for m in found] != [m.weight.shape for m in moments]:
            raise ValueError("the model calls other weighted sums for other trials, so that no pattern can be fitted.")
        for total, part in zip(moments, found, strict=True):
            total.add(part)
    if not moments:
        raise ValueError("the model calls no linear layer and no convolution, so that there is no pattern to fit.")
    return Patterns(tuple(m.pattern() for m in moments), tuple(m.rectified for m in moments))


def pattern_net(asked: Asked, *, patterns: Patterns) -> Found:
    """The signal in the input: the output, led back through patterns in the place of filters."""
    return _led_back(asked, _Lead(asked.model, patterns, attribution=False))


def pattern_attribution(asked: Asked, *, patterns: Patterns) -> Found:
    """How much the signal in each input adds to the output: led back through patterns times filters."""
    return _led_back(asked, _Lead(asked.model, patterns, attribution=True))


def _led_back(asked: Asked, watch: _Lead) -> Found:
    x = asked.x.detach().requires_grad_()
    with watch:
        score = asked.score(watch.marked(x))
    if watch.number != len(watch.patterns.patterns):
        watch.refuse()
    (found,) = torch.autograd.grad(score, x, score.detach())
    return Found(found)


def _batches(reference: Any, like: Tensor, size: int) -> Iterator[Tensor]:
    if isinstance(reference, xr.DataArray) and reference.dims[:1] != ("trial",):
        raise ValueError(f"the reference has dimensions {reference.dims}; the first must be 'trial'.")
    reference = reference if isinstance(reference, (xr.DataArray, Tensor)) else np.asarray(reference)
    if not len(reference):
        raise ValueError("the reference holds no trial; patterns are fitted from data.")
    for start in range(0, len(reference), size):
        part = reference[start : start + size]
        x = torch.as_tensor(np.asarray(part) if not isinstance(part, Tensor) else part.detach()).to(like)
        if not bool(torch.isfinite(x).all()):
            raise ValueError("the reference holds NaN or infinite values; fill or leave out those trials.")
        yield x


@dataclass
class _Moments:
    """Sums over what a weighted sum has seen, in the shape of its weights or one for each output."""

    weight: Tensor
    rectified: bool
    xy: Tensor
    x: Tensor
    y: Tensor
    count: int

    def add(self, other: _Moments) -> None:
        self.xy, self.x, self.y, self.count = (
            self.xy + other.xy, self.x + other.x, self.y + other.y, self.count + other.count,
        )  # fmt: skip

    def pattern(self) -> Tensor:
        mean = (self.y / self.count).view(-1, *(1,) * (self.weight.dim() - 1))
        change = self.xy - self.x * mean
        answer = (self.weight * change).flatten(1).sum(1).view_as(mean)
        scale = (self.weight * change).abs().flatten(1).sum(1).view_as(mean)
        # Where the data never move a unit, numerator and denominator are noise of rounding.
        moves = answer.abs() > 1e-12 * (scale + (self.weight * self.xy).abs().flatten(1).sum(1).view_as(mean))
        return torch.where(moves, change / torch.where(moves, answer, 1.0), 0.0)


class _Sum:
    """One call of a linear layer or a convolution."""

    def __init__(self, func: Any, name: str, args: Any, kwargs: dict[str, Any]) -> None:
        given = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
        self.func, self.rest = func, args[3:]
        self.options = {k: v for k, v in kwargs.items() if k not in ("input", "weight", "bias")}
        self.x, self.weight = given["input"], given["weight"]
        self.channel = -1 - _SUMS[name]

    def run(self, x: Tensor, weight: Tensor) -> Tensor:
        """Run it with another weight, without bias."""
        out: Tensor = self.func(x, weight, None, *self.rest, **self.options)
        return out


class _Seen:
    """A weighted sum in the pass that fits, until it is known what follows."""

    def __init__(self, call: _Sum, out: Tensor) -> None:
        # In-place activations and additions may follow.
        self.call, self.x, self.y = call, call.x.detach().clone(), out.detach().clone()
        self.active: Tensor | None = None

    def moments(self) -> _Moments:
        """Return the sums that the pattern is made of."""
        wide = torch.float32 if self.x.device.type == "mps" else torch.float64
        x, y, weight = self.x.to(wide), self.y.to(wide), self.call.weight.detach().to(wide)
        active = torch.ones_like(y) if self.active is None else self.active.to(wide)
        with torch.enable_grad():
            weight.requires_grad_()
            out = self.call.run(x, weight)
        # A weighted sum is linear in its weights: its derivative by them collects the inputs of all positions.
        xy, x_sum = (torch.autograd.grad(out, weight, by, retain_graph=True)[0] for by in (active * y, active))
        outputs = y.movedim(self.call.channel, 0).flatten(1)
        weight, xy, x_sum, y_sum = (t.detach().cpu().double() for t in (weight, xy, x_sum, outputs.sum(1)))
        return _Moments(weight, self.active is not None, xy, x_sum, y_sum, outputs.shape[1])


class _Watch(TorchFunctionMode, ABC):
    """Tells signals from weights, and refuses where they meet in another way than the method knows."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        held = (*model.parameters(), *model.buffers()) if isinstance(model, nn.Module) else ()
        self._held = {id(tensor) for tensor in held if tensor.is_floating_point()}

    def marked(self, x: Tensor) -> Tensor:
        """Return the model's input, marked as signal."""
        x = x.view_as(x)
        x.__dict__["_signalrp_signal"] = True
        return x

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, name_of(func)
        tensors = list(tensors_in(args, kwargs))
        signals = [t for t in tensors if "_signalrp_signal" in t.__dict__]
        weights = [t for t in tensors if self._is_held(t) or "_signalrp_weight" in t.__dict__]
        if signals and name in _SUMS:
            call = _Sum(func, name, args, kwargs)
            if "_signalrp_signal" in call.weight.__dict__:
                raise ValueError(f"patterns belong to fixed weights; this model makes those of {name} from the signal.")
            out = self.weighted_sum(call, func(*args, **kwargs))
        elif signals and name == "batch_norm":
            out = self.batch_norm(func, args, kwargs)
        elif signals and weights and name not in _ADDED:
            raise ValueError(
                "patterns are defined for linear layers and convolutions, and for batch norm behind or before them; "
                f"this model uses weights or buffers in {name}: choose another method."
            )
        else:
            out = self.other(func, name, args, kwargs)
        if (signals or weights) and func.__name__ != "__set__":
            changed = tensors[:1] if name.endswith("_") else []
            for tensor in (*tensors_in(out), *changed):
                if not self._is_held(tensor):
                    tensor.__dict__["_signalrp_signal" if signals else "_signalrp_weight"] = True
        return out

    def _is_held(self, tensor: Tensor) -> bool:
        return isinstance(tensor, nn.Parameter) or id(tensor) in self._held

    @abstractmethod
    def weighted_sum(self, call: _Sum, out: Tensor) -> Tensor:
        """Take note of a weighted sum of signals, or put another in its place."""

    @abstractmethod
    def batch_norm(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Tensor:
        """Run a batch norm of signals."""

    def other(self, func: Any, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
        """Run any other function."""
        return func(*args, **kwargs)


class _Fit(_Watch):
    """Collects what the weighted sums see in one batch."""

    def __init__(self, model: Any, looks_for_relus: bool) -> None:
        super().__init__(model)
        self.calls: list[_Seen] = []
        self.looks_for_relus = looks_for_relus

    def weighted_sum(self, call: _Sum, out: Tensor) -> Tensor:
        self.calls.append(_Seen(call, out))
        return self._note(out, self.calls[-1])

    def batch_norm(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Tensor:
        x = args[0] if args else kwargs["input"]
        return self._note(func(*args, **kwargs), self._noted(x))

    def other(self, func: Any, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
        first = next(tensors_in(args, kwargs), None)
        seen = self._noted(first) if first is not None else None
        if seen is not None and name in ("relu", "relu_") and first is not None and self.looks_for_relus:
            seen.active = first > 0
        return func(*args, **kwargs)

    def _note(self, out: Tensor, seen: _Seen | None) -> Tensor:
        # Whoever overwrites the result raises its version, so that it no longer counts as that of the sum.
        out.__dict__["_signalrp_sum"] = (seen, out._version)
        return out

    def _noted(self, x: Tensor) -> _Seen | None:
        seen, version = x.__dict__.get("_signalrp_sum", (None, 0))
        return seen if version == x._version else None


class _Lead(_Watch):
    """Leads back through patterns."""

    def __init__(self, model: Any, patterns: Patterns, attribution: bool) -> None:
        super().__init__(model)
        self.patterns, self.attribution, self.number = patterns, attribution, 0

    def refuse(self) -> NoReturn:
        """Say that these are the patterns of other weights."""
        raise ValueError("the patterns were fitted for other weights than this model has; call fit_patterns again.")

    def weighted_sum(self, call: _Sum, out: Tensor) -> Tensor:
        number, self.number = self.number, self.number + 1
        known = self.patterns.patterns
        if number >= len(known) or known[number].shape != call.weight.shape:
            self.refuse()
        weight, pattern = call.weight.detach(), known[number].to(call.weight)
        product = (weight * pattern).flatten(1)
        gap = (product.sum(1) - 1).abs() * pattern.flatten(1).any(1)
        if bool((gap > 1e-3 * (1 + product.abs().sum(1))).any()):
            self.refuse()
        return _in_place_of(out, call.run(call.x, weight * pattern if self.attribution else pattern))

    def batch_norm(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Tensor:
        names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
        given = dict(zip(names, args, strict=False)) | kwargs
        if given.get("training") or given["running_var"] is None:
            raise ValueError("a batch norm without running statistics mixes trials; patterns are not defined for it.")
        # A sum of one input each, whose pattern is the inverse of its weight.
        x, weight = given["input"], given.get("weight")
        factor = (given["running_var"] + given.get("eps", 1e-5)).rsqrt()
        factor = factor if weight is None else factor * weight.detach()
        back = (factor != 0).to(x) if self.attribution else torch.where(factor == 0, 0, 1 / factor)
        return _in_place_of(func(*args, **kwargs), x * back.view(-1, *(1,) * (x.dim() - 2)))


def _in_place_of(out: Tensor, other: Tensor) -> Tensor:
    """Return the value of one tensor with the derivative of another."""
    return out.detach() + (other - other.detach())
