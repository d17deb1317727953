"""What stands in place of a removed piece.

A prepared fill is called with the signals of some trials (trial, …) and their positions among all trials, once,
and returns the replacement: values that broadcast to the signals, or, where these depend on what is removed, a
function that is called with masks (step, trial, …) as often as needed and returns values (step, trial, …), which
count only where the mask is set. Masks need only broadcast to the signals. What is drawn at random is seeded per
trial, so that every order, step, batch size and device meets the same content.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from signalrp.validation.checks import time_dimension
from signalrp.validation.perturbation.gaps import interpolate_gaps, solve_gaps

Replacement = Tensor | Callable[[Tensor], Tensor]
Fill = Callable[[Tensor, slice], Replacement]
UserFill = Callable[[Tensor, Tensor], Tensor]

# keep what a trial is filled with apart from its random orders, which are seeded by small repeat numbers
_NOISE_STREAM, _UNIFORM_STREAM, _PHASE_STREAM, _SWAP_STREAM, _GAP_STREAM = range(2**31, 2**31 + 5)
# along these, samples of one channel (or frequency, colour) are alike enough to share mean, spread and range
_POOLED = ("time", "frame", "row", "column")
# standard deviation of what is added to solved gaps, as a share of the channel's: that of ROAD
_GAP_NOISE = 0.01


@dataclass(frozen=True)
class Material:
    """What fills are made of.

    ``reference`` (trial, …) real or complex, over ``dims``, trial first; ``own`` (trial,) says where among its
    trials each explained trial stands, −1 where it is none of them; ``basis`` says that the values are
    coefficients.
    """

    reference: NDArray[np.generic]
    dims: tuple[str, ...]
    own: NDArray[np.int64]
    seed: int
    basis: bool = False

    def draws(
        self, stream: int, trials: slice, draw: Callable[[np.random.Generator, int], NDArray[np.generic]]
    ) -> Tensor:
        """What `draw` makes of each trial's own generator and of the trial's position."""
        each = [draw(np.random.default_rng([self.seed, stream, t]), t) for t in range(*trials.indices(len(self.own)))]
        return torch.from_numpy(np.stack(each))

    def parts(self) -> NDArray[np.generic]:
        """The reference as real numbers; of complex ones real and imaginary part along a new last dimension."""
        values = self.reference
        return np.stack((values.real, values.imag), -1) if np.iscomplexobj(values) else values

    def pooled(self, fill: str) -> tuple[int, ...]:
        """The axes along which all samples of a channel lie; refuses where they hold one sample only."""
        axes = (0, *(axis for axis, dim in enumerate(self.dims) if dim in _POOLED))
        if np.prod([self.reference.shape[axis] for axis in axes]) < 2:
            raise _missing(fill, "the spread of each value over trials")
        return axes

    def mean(self, fill: str) -> Tensor:
        """Mean over the trials of the reference; refuses where it is the explained trial itself."""
        if len(self.reference) == 1 and self.own.max() == 0:
            raise _missing(fill, "a mean over other trials")
        kind = np.complex128 if np.iscomplexobj(self.reference) else np.float64
        return torch.from_numpy(self.reference.mean(0, dtype=kind))


def _missing(fill: str, what: str) -> ValueError:
    return ValueError(
        f"The fill {fill!r} needs {what}, and there is one trial only; give more trials, or reference=, best the "
        "training trials."
    )


def _mean(material: Material) -> Fill:
    mean = material.mean("mean")
    return lambda signal, trials: mean.to(signal)


def _zero(material: Material) -> Fill:
    return lambda signal, trials: signal.new_zeros(())


def _whole(parts: Tensor, signal: Tensor) -> Tensor:
    """Real and imaginary parts put together, where the signal has both, in its type and place."""
    return (torch.view_as_complex(parts.contiguous()) if signal.is_complex() else parts).to(signal)


def _noise(material: Material) -> Fill:
    axes, values = material.pooled("noise"), material.parts()
    mean = values.mean(axes, dtype=np.float64, keepdims=True)[0]
    sd = values.std(axes, dtype=np.float64, keepdims=True)[0]

    def fill(signal: Tensor, trials: slice) -> Replacement:
        noise = material.draws(_NOISE_STREAM, trials, lambda rng, _: mean + sd * rng.standard_normal(values.shape[1:]))
        return _whole(noise, signal)

    return fill


def _uniform(material: Material) -> Fill:
    axes, values = material.pooled("uniform"), material.parts()
    low, high = values.min(axes, keepdims=True)[0], values.max(axes, keepdims=True)[0]

    def fill(signal: Tensor, trials: slice) -> Replacement:
        content = material.draws(
            _UNIFORM_STREAM, trials, lambda rng, _: low + (high - low) * rng.random(values.shape[1:])
        )
        return _whole(content, signal)

    return fill


def _trial_swap(material: Material) -> Fill:
    trials_there = len(material.reference)
    if trials_there == 1 and material.own.max() == 0:
        raise _missing("trial-swap", "another trial to take the segment from")

    def other(rng: np.random.Generator, trial: int) -> NDArray[np.generic]:
        own = material.own[trial]
        drawn = rng.integers(trials_there - int(own >= 0))
        return material.reference[drawn + int(0 <= own <= drawn)]

    return lambda signal, trials: material.draws(_SWAP_STREAM, trials, other).to(signal)


def _spectrum_surrogate(material: Material) -> Fill:
    axis = material.dims.index(time_dimension(material.dims, "The fill 'spectrum-surrogate'"))
    length = material.reference.shape[axis]

    def fill(signal: Tensor, trials: slice) -> Replacement:
        phases = material.draws(_PHASE_STREAM, trials, lambda rng, _: rng.uniform(0, 2 * np.pi, length // 2 + 1))
        phases = phases.view(-1, *[1] * (signal.ndim - 2), phases.shape[-1]).to(signal.device)
        return surrogates(signal.movedim(axis, -1), phases).movedim(-1, axis)

    return fill


def surrogates(signal: Tensor, phases: Tensor) -> Tensor:
    """Turn the phase of every frequency along the last dimension, keeping all amplitudes and the mean.

    Theiler et al. (1992), doi:10.1016/0167-2789(92)90102-S; equal turns in all channels keep their
    cross-spectrum (Prichard & Theiler 1994, doi:10.1103/PhysRevLett.73.951).

    Parameters
    ----------
    signal
        (…, time).
    phases
        (…, time // 2 + 1), 0 to 2π, broadcast to the signal. That of frequency 0 is not used; the Nyquist
        frequency of an even length is real and keeps or, for a phase beyond π, turns its sign.
    """
    length = signal.shape[-1]
    turns = torch.polar(torch.ones_like(phases), phases)
    turns[..., 0] = 1
    if length % 2 == 0:
        turns[..., -1] = torch.where(phases[..., -1] < torch.pi, 1.0, -1.0).to(turns)
    return torch.fft.irfft(torch.fft.rfft(signal.double()) * turns, n=length).to(signal)


def _across_gaps(name: str, bridge: Callable[[Tensor, Tensor], Tensor], noise: float) -> Callable[[Material], Fill]:
    def prepare(material: Material) -> Fill:
        axis = material.dims.index(time_dimension(material.dims, f"The fill {name!r}"))

        def fill(signal: Tensor, trials: slice) -> Replacement:
            along = signal.movedim(axis, -1)
            added = None
            if noise:
                sd = noise * material.reference.std(material.pooled(name), dtype=np.float64, keepdims=True)[0]
                added = material.draws(
                    _GAP_STREAM, trials, lambda rng, _: sd * rng.standard_normal(signal.shape[1:])
                ).to(signal)

            def replace(removed: Tensor) -> Tensor:
                gone = removed.expand(len(removed), *signal.shape).movedim(axis + 1, -1)
                filled = bridge(along, gone).movedim(-1, axis + 1)
                # a row removed altogether has nothing to go by, and the trial must not speak for it
                lost = gone.all(-1, keepdim=True).movedim(-1, axis + 1)
                if lost.any():
                    filled = torch.where(lost, material.mean(name).to(signal), filled)
                return filled if added is None else filled + added

            return replace

        return fill

    return prepare


def _from_callable(function: UserFill) -> Fill:
    def fill(signal: Tensor, trials: slice) -> Replacement:
        def replace(removed: Tensor) -> Tensor:
            whole = removed.expand(len(removed), *signal.shape)
            masks = whole.flatten(0, 1)
            values = function(signal.expand(whole.shape).flatten(0, 1), masks)
            if not isinstance(values, Tensor) or values.shape != masks.shape:
                found = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
                raise ValueError(
                    f"The fill returned {found}; expected a tensor of shape {tuple(masks.shape)}, "
                    "that of the signals it was given."
                )
            return values.to(signal).view(whole.shape)

        return replace

    return fill


_FILLS: dict[str, Callable[[Material], Fill]] = {
    "mean": _mean,
    "zero": _zero,
    "interpolate": _across_gaps("interpolate", interpolate_gaps, noise=0),
    "noisy-linear": _across_gaps("noisy-linear", solve_gaps, noise=_GAP_NOISE),
    "noise": _noise,
    "uniform": _uniform,
    "spectrum-surrogate": _spectrum_surrogate,
    "trial-swap": _trial_swap,
}
FILLS = tuple(_FILLS)
_ALONG_TIME = ("interpolate", "noisy-linear", "spectrum-surrogate")


def check_fill(fill: str | UserFill, basis: bool) -> None:
    """Refuse an unknown fill, and in a basis those that run along time.

    Raises
    ------
    ValueError
        If the name is unknown, or says nothing about coefficients.
    """
    if callable(fill):
        return
    if fill not in FILLS:
        raise ValueError(
            f"Fill {fill!r} is unknown; choose from {', '.join(FILLS)}, or give a function of signals and masks."
        )
    if basis and fill in _ALONG_TIME:
        fitting = [name for name in FILLS if name not in _ALONG_TIME]
        raise ValueError(
            f"The fill {fill!r} runs along time and knows nothing of coefficients in a basis; choose from "
            f"{', '.join(fitting)}."
        )


def prepare_fill(fill: str | UserFill, material: Material) -> Fill:
    """Make a fill ready, see the module's description and `perturbation_curves`.

    Raises
    ------
    ValueError
        If the name is unknown, the signal has no time for a fill along time, or there is no other trial to take
        the content from.
    """
    check_fill(fill, material.basis)
    return _from_callable(fill) if callable(fill) else _FILLS[fill](material)


def fill_name(fill: str | UserFill) -> str:
    """How a fill is called on a plot."""
    return getattr(fill, "__name__", type(fill).__name__) if callable(fill) else fill
