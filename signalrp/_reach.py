"""How far a model looks along time, measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from signalrp.propagation.composites import composite as composite_of
from signalrp.propagation.engine import Engine

# Halves and three quarters of it, and of twice as much and so on, divide by the strides that models insist on.
_SHORTEST = 480
# Behind pools by maximum, some instants often agree by chance.
_ENOUGH = 8
ADVICE = "give overlap=... as well, to explain each window by itself"


@dataclass(frozen=True)
class Reach:
    """How far a model looks along time.

    A model that is convolutional along time gives, for a signal that begins `period` samples later, the same output
    beginning `instants` instants later, as far as the borders are not seen.

    Attributes
    ----------
    axis : int
        The axis of the output that is time.
    period, instants : int
        Samples of the input and instants of the output after which all repeats.
    before, after : int
        Periods of input, beyond a period itself, that the output of this period depends on.
    total : int
        Instants of the whole signal's output.
    """

    axis: int
    period: int
    instants: int
    before: int
    after: int
    total: int


def measure(
    model: nn.Module,
    noise: Tensor,
    axis: int,
    *,
    length: int,
    window: int,
    target: Callable[[Tensor], Any],
    batch_size: int,
) -> Reach:
    """Measure how far a model looks along time, and that a target adds up over the output's instants.

    The model runs on noise, without a graph. Where half of the noise is NaN, what turns NaN in the output depends on
    that half, be it ever so little; where the noise begins later, the output tells after how many samples it repeats.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode; it is left as it was.
    noise : torch.Tensor
        Samples of the signal in random order, (1, ...), see :func:`noise_length`.
    axis : int
        The axis of it that is time.
    length : int
        Samples of the whole signal.
    window : int
        Samples of a piece, for messages.
    target : callable
        What is to be explained.
    batch_size : int
        How many signals the model may be given at once.

    Raises
    ------
    ValueError
        When pieces would not add up to the whole: the output is not resolved in time, it depends on too much of the
        signal, the model is not convolutional along time, or the target is no sum over instants.
    """
    with torch.no_grad():
        probe = _Probe(partial(_run, model), noise, axis, window)
        probe.grow(_SHORTEST)
        period, instants, before, after = probe.periodic(batch_size)
        probe.check_target(target)
        known = probe.samples - (probe.samples - length) % period
        total = probe.run(0, known).shape[probe.out_axis] + (length - known) // period * instants
    return Reach(probe.out_axis, period, instants, before, after, total)


def noise_length(window: int) -> int:
    """Return how many samples :func:`measure` may need: the middle half of them must not see what is beyond."""
    length = 8 * _SHORTEST
    while length < 4 * window:
        length *= 2
    return length


def _run(model: nn.Module, x: Tensor) -> Any:
    # The engine sets back what the model changes of itself.
    engine = Engine(composite_of("epsilon"))
    try:
        with torch.random.fork_rng([x.device.index] if x.is_cuda else []), engine.watch(model), torch.no_grad():
            return model(x)
    finally:
        engine.close()


class _Probe:
    """A model and the noise that it is asked about."""

    def __init__(self, model: Callable[[Tensor], Any], noise: Tensor, axis: int, window: int) -> None:
        self.model, self.noise, self.axis, self.window = model, noise, axis, window
        self.longest = noise.shape[axis]
        self.samples, self.out_axis, self.density = 0, -1, 0.0
        if not bool(torch.isfinite(noise).all()):
            raise ValueError("the signal holds NaN or infinite values; fill or leave out those samples.")
        # Elsewhere than on the CPU, products may be rounded to ten bits.
        self.rounding = max(torch.finfo(noise.dtype).eps, 0.0 if noise.device.type == "cpu" else 2**-10)

    def run(self, start: int, stop: int) -> Tensor:
        """Return the output for some of the noise."""
        out = self._output(self.noise.narrow(self.axis, start, stop - start))
        if not bool(torch.isfinite(out).all()):
            raise ValueError(
                "the model's output holds NaN or infinite values for the signal's samples in random order; check its "
                "weights and the signal's scale."
            )
        return out

    def _output(self, x: Tensor) -> Tensor:
        out = self.model(x)
        if not isinstance(out, Tensor):
            raise ValueError(
                f"a window needs a model that returns one tensor, found {type(out).__name__}; wrap it so that it "
                "returns the one that is to be explained."
            )
        return out

    def grow(self, samples: int) -> None:
        """Find noise so long that its middle sees neither end, and the output's axis of time."""
        failure: RuntimeError | None = None
        while True:
            try:
                short, out = self.run(0, samples // 2), self.run(0, samples)
            except RuntimeError as error:
                failure = error
            else:
                failure = None
                axes = [i for i, (a, b) in enumerate(zip(short.shape, out.shape, strict=False)) if a != b]
                if len(axes) == 1:
                    self.samples, self.out_axis = samples, axes[0]
                    self.density = (out.shape[axes[0]] - short.shape[axes[0]]) / (samples - samples // 2)
                    last, first = self.seen(samples // 2)
                    size = out.shape[axes[0]]
                    if last < 3 * size // 4 and first > size // 4:
                        return
            if samples == self.longest:
                break
            samples *= 2
        if failure is not None:
            raise ValueError(
                f"the model does not run on {samples} samples, as a model does whose output is resolved in time "
                f"({failure}); {ADVICE} where it is made for signals of one length."
            ) from failure
        if self.out_axis < 0:
            raise ValueError(
                f"the model's output, of shape {tuple(out.shape)}, is not resolved in time, so that pieces do not add "
                f"up to the whole signal; {ADVICE}, which is another question."
            )
        raise ValueError(
            f"the model's output depends on more of the signal than a window of {self.window} and as much to both "
            f"sides; choose a longer window if the model is convolutional along time, else {ADVICE}, which is another "
            "question."
        )

    def seen(self, cut: int) -> tuple[int, int]:
        """Return the last instant that sees samples before a cut, and the first that sees samples behind it."""
        past, future = (self.noise.narrow(self.axis, 0, self.samples).clone() for _ in range(2))
        past.narrow(self.axis, 0, cut).fill_(torch.nan)
        future.narrow(self.axis, cut, self.samples - cut).fill_(torch.nan)
        before, after = (self._instants(self._output(x)) for x in (past, future))
        if not len(before) or not len(after):
            raise ValueError(
                "the model hides NaN, by which is measured how far it looks along time; explain the signal in one "
                f"piece, or {ADVICE}."
            )
        return int(before[-1]), int(after[0])

    def _instants(self, out: Tensor) -> Tensor:
        others = [i for i in range(out.dim()) if i != self.out_axis]
        return out.isnan().any(dim=others).nonzero()[:, 0] if others else out.isnan().nonzero()[:, 0]

    def periodic(self, batch_size: int) -> tuple[int, int, int, int]:
        """Return period, instants, before and after, as in :class:`Reach`."""
        failure: RuntimeError | None = None
        while True:
            most = self.samples // 16
            try:
                for start in range(1, most + 1, batch_size):
                    shifts = range(start, min(start + batch_size, most + 1))
                    for period, instants in self._repeats(shifts, 3 * self.samples // 4):
                        sides = self._sides(period, instants)
                        if sides:
                            return period, instants, *sides
            except RuntimeError as error:
                failure = error
            if self.samples == self.longest:
                break
            self.grow(2 * self.samples)
        out = self.run(0, self.samples)
        size = out.shape[self.out_axis] // 4
        if not self._spread(out.narrow(self.out_axis, size, 2 * size)):
            raise ValueError(
                "the model's output is the same at every instant for the signal's samples in random order, so that its "
                "stride cannot be measured; explain the signal in one piece."
            )
        raise ValueError(
            f"the model's output for a delayed signal is not the delayed output, for delays up to {most} samples: the "
            f"model is not convolutional along time, or its stride is longer than that; choose a longer window, or "
            f"{ADVICE}."
        ) from failure

    def _repeats(self, shifts: range, width: int) -> Iterator[tuple[int, int]]:
        """Yield the delays, in samples and instants, by which a signal of some width gives the delayed output."""
        cut = self.samples // 2
        last, first = self.seen(cut)
        delayed = torch.cat([self.noise.narrow(self.axis, shift, width) for shift in shifts])
        whole, others = (self._output(x) for x in (self.noise.narrow(self.axis, 0, width), delayed))
        for shift, other in zip(shifts, others.split(1), strict=True):
            instants = round(shift * self.density)
            # What sees a border is left out, and a period more, within which the borders' reach may vary.
            begin = max(0, math.ceil(last - cut * self.density) + 2 + instants)
            end = min(whole.shape[self.out_axis], math.floor(first + (width - cut) * self.density) - 2 - instants)
            size = end - begin - instants
            if instants < 1 or size < _ENOUGH:
                continue
            expected = whole.narrow(self.out_axis, begin + instants, size)
            if self._agree(other.narrow(self.out_axis, begin, size), expected):
                yield shift, instants

    def _agree(self, found: Tensor, expected: Tensor) -> bool:
        spread = self._spread(expected)
        allowed = self.rounding**0.5 * spread + 10 * self.rounding * expected.abs().max()
        return bool(spread > 0) and bool((found - expected).abs().max() <= allowed)

    def _spread(self, out: Tensor) -> Tensor:
        """Return how much the output varies along time, 0 where it is constant but for rounding."""
        spread = out.std(self.out_axis, correction=0).max()
        return torch.where(spread > 100 * torch.finfo(out.dtype).eps * out.abs().max(), spread, 0)

    def _sides(self, period: int, instants: int) -> tuple[int, int] | None:
        """Return the periods seen before and after, None if the model has another period."""
        middle = self.samples // 2 // period
        last, first = self.seen(middle * period)
        if not self._steps(middle * period, last, period, instants):
            return None
        before = max(0, -(-(last + 1) // instants) - middle)
        # Instants that see nothing do not show as NaN, but may be missing where a signal ends.
        first = min(first, self.run(0, middle * period).shape[self.out_axis])
        after = max(0, middle - first // instants)
        periods = self.samples // period
        start, stop = periods // 4, periods - 1
        size = (stop - start - before - after) * instants
        if size < 1:
            return None
        whole, piece = self.run(0, self.samples), self.run(start * period, stop * period)
        expected = whole.narrow(self.out_axis, (start + before) * instants, size)
        agree = self._agree(piece.narrow(self.out_axis, before * instants, size), expected)
        return (before, after) if agree else None

    def _steps(self, cut: int, last: int, period: int, instants: int) -> bool:
        """Tell whether what is seen moves on by so many instants a period later, at the very sample where it moves."""
        # Values alone may agree by chance, where a pool by maximum finds the same peak a sample earlier or later.
        low, high = cut, cut + period
        while high - low > 1:
            centre = (low + high) // 2
            low, high = (low, centre) if self.seen(centre)[0] > last else (centre, high)
        for at in {cut, low, high}:
            before, after = self.seen(at), self.seen(at + period)
            if any(late - early != instants for early, late in zip(before, after, strict=True)):
                return False
        return True

    def check_target(self, target: Callable[[Tensor], Any]) -> None:
        """Refuse a target that is no sum over the output's instants."""
        out = self.run(0, self.samples)
        half = out.shape[self.out_axis] // 2
        parts = [out, *out.split([half, out.shape[self.out_axis] - half], self.out_axis)]
        values = [target(part) for part in parts]
        if not all(isinstance(value, Tensor) and value.numel() == 1 for value in values):
            raise ValueError("the target function must return one number per sample.")
        whole, first, second = map(float, values)
        if abs(whole - first - second) > self.rounding**0.5 * (abs(whole) + abs(first) + abs(second)):
            raise ValueError(
                "the target function does not add up over the output's instants, so that its explanation cannot be put "
                f"together from pieces; give a sum, e.g. target=lambda out: out[:, 0].sum(-1), or {ADVICE}."
            )
