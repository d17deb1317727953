"""What each cause of the synthetic benchmark puts into the trials, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = tuple[tuple[str, ...], NDArray[np.bool_]]
SIGNAL = ("trial", "channel", "time")

EIGHT = tuple(f"c{number}" for number in range(1, 9))

# The nineteen electrodes of the 10-20 system seen from above, the nose at (0, 1): an outer ring, one every 36
# degrees, and an inner grid.
_ROWS, _SIDES = (("F", 0.4), ("C", 0.0), ("P", -0.4)), (("3", -0.4), ("z", 0.0), ("4", 0.4))
_RING = ("Fp1", "Fp2", "F8", "T8", "P8", "O2", "O1", "P7", "T7", "F7")
_ANGLES = np.deg2rad(108 - 36 * np.arange(10))
ELECTRODES: dict[str, tuple[float, float]] = {
    **{
        name: (0.8 * float(np.cos(angle)), 0.8 * float(np.sin(angle)))
        for name, angle in zip(_RING, _ANGLES, strict=True)
    },
    **{f"{row}{side}": (x, y) for row, y in _ROWS for side, x in _SIDES},
}
"""Place of each electrode, (x, y), the radius of the head being 1."""


class Trials(NamedTuple):
    """The trials to be filled."""

    rng: np.random.Generator
    label: NDArray[np.int64]
    channels: tuple[str, ...]
    samples: int
    rate: float

    def zeros(self) -> Array:
        """Silence (trial, channel, time)."""
        return np.zeros((len(self.label), len(self.channels), self.samples))

    def where(self, *names: str) -> NDArray[np.bool_]:
        """Mask (channel) of the channels named."""
        return np.isin(self.channels, names)

    def grid(self) -> Array:
        """Frequencies of the discrete Fourier transform of a trial, in Hz."""
        return np.asarray(np.fft.rfftfreq(self.samples, 1 / self.rate), dtype=np.float64)

    def starts(self, length: int) -> NDArray[np.int64]:
        """Random first sample, one for each trial, of a piece that keeps away from the edges of the trial."""
        edge = self.samples // 16
        return self.rng.integers(edge, self.samples - edge - length + 1, size=len(self.label))

    def place(self, starts: NDArray[np.int64], pieces: Array) -> Array:
        """Silence (trial, time) with a piece (trial, length) in it."""
        placed = np.zeros((len(starts), self.samples))
        placed[np.arange(len(starts))[:, None], starts[:, None] + np.arange(pieces.shape[1])] = pieces
        return placed

    def support(self, starts: NDArray[np.int64], length: int) -> NDArray[np.bool_]:
        """Mask (trial, time) of a piece."""
        return self.place(starts, np.ones((len(starts), length))) > 0

    def angle(self, hertz: Array, length: int) -> Array:
        """Phase (trial, time) of an oscillation that starts anywhere in its cycle, in radians."""
        start = self.rng.uniform(0, 2 * np.pi, size=(len(self.label), 1))
        return 2 * np.pi * hertz[:, None] * np.arange(length) / self.rate + start


class Planted(NamedTuple):
    """What is put in: cause and distractor (trial, channel, time), and masks of where the cause is.

    Both have a mean square of 1 over the time that they last, in the channel where they are strongest.
    """

    cause: Array
    distractor: Array
    truth: Mask
    frequency: Mask | None = None


def transients(trials: Trials) -> Planted:
    """Plant a steep rise with a slow fall, or the same turned around in time."""
    steep, slow = round(0.04 * trials.rate), round(0.28 * trials.rate)
    rise = np.sin(np.pi / 2 * (np.arange(steep) + 0.5) / steep) ** 2
    fall = np.cos(np.pi / 2 * (np.arange(slow) + 0.5) / slow) ** 2
    bump = _unit(np.concatenate([rise, fall]))
    length = len(bump)
    # The centre of mass, not the onset, must come at the same times in both classes, lest latency tells them apart.
    late = round((length - 1) / 2 - (bump * np.arange(length)).sum() / bump.sum())
    turned = trials.label == 1
    starts = trials.starts(length + 2 * late) + np.where(turned, 0, 2 * late)
    course = trials.place(starts, np.where(turned[:, None], bump[::-1], bump))
    bell = np.broadcast_to(_unit(_bell(length)), (len(starts), length))
    cause = _in(trials.where("c2", "c3"), course)
    distractor = _in(trials.where("c6", "c7"), trials.place(trials.starts(length), bell))
    return Planted(cause, distractor, (SIGNAL, cause != 0))


def frequencies(trials: Trials) -> Planted:
    """Plant a burst of 10 or of 20 Hz."""
    length = round(0.6 * trials.rate)
    hertz = np.where(trials.label == 1, 20.0, 10.0)
    starts = trials.starts(length)
    burst = trials.place(starts, _unit(_bell(length) * np.cos(trials.angle(hertz, length))))
    grid = trials.grid()
    between = np.full(len(hertz), grid[np.abs(grid - 14.5).argmin()])
    tone = _unit(np.cos(trials.angle(between, trials.samples)))
    channels = trials.where("c4", "c5")
    # Between the first zeros of the window's spectrum lies all but a thousandth of the burst's energy.
    band = np.abs(grid - hertz[:, None]) < 2 * trials.rate / (length + 1)
    return Planted(
        _in(channels, burst),
        _in(trials.where("c1", "c4", "c5", "c8"), tone),
        (SIGNAL, _in(channels, trials.support(starts, length))),
        (("trial", "channel", "frequency"), _in(channels, band)),
    )


def delays(trials: Trials) -> Planted:
    """Plant one broadband source in two channels, first in the one or first in the other."""
    cause, distractor = trials.zeros(), trials.zeros()
    either = trials.rng.integers(0, 2, size=len(trials.label))
    lag = round(0.03 * trials.rate)
    for into, pair, turned in ((cause, ("c2", "c5"), trials.label), (distractor, ("c4", "c7"), either)):
        # Longer than the trial, so that nothing that leaves it comes in again at the other end.
        source = _band_noise(trials, 2 * trials.samples, 2.0, 30.0)
        ahead, behind = _unit(source[:, lag : lag + trials.samples]), _unit(source[:, : trials.samples])
        first = (turned == 0)[:, None]
        into[:, trials.channels.index(pair[0])] = np.where(first, ahead, behind)
        into[:, trials.channels.index(pair[1])] = np.where(first, behind, ahead)
    return Planted(cause, distractor, (("channel",), trials.where("c2", "c5")))


def coupling(trials: Trials) -> Planted:
    """Plant a fast rhythm that is strong at the peaks of a slow one, or in its troughs."""
    cause, distractor = trials.zeros(), trials.zeros()
    anywhere = trials.rng.uniform(0, 2 * np.pi, size=len(trials.label))
    # Whole cycles only, so that the bands are all there is.
    grid = trials.grid()
    slows, fasts = (grid >= 4.5) & (grid <= 5.5), (grid >= 30) & (grid <= 34)
    for into, low, high, lag in (
        (cause, "c3", "c6", np.pi * trials.label),
        (distractor, "c1", "c8", anywhere),
    ):
        angle = trials.angle(trials.rng.choice(grid[slows], size=len(lag)), trials.samples)
        carrier = trials.angle(trials.rng.choice(grid[fasts], size=len(lag)), trials.samples)
        into[:, trials.channels.index(low)] = _unit(np.cos(angle))
        into[:, trials.channels.index(high)] = _unit((1 + np.cos(angle - lag[:, None])) * np.cos(carrier))
    bands = np.zeros((len(trials.channels), len(grid)), dtype=bool)
    bands[trials.channels.index("c3")] = slows
    bands[trials.channels.index("c6")] = (grid >= 30 - 5.5) & (grid <= 34 + 5.5)
    return Planted(cause, distractor, (("channel",), trials.where("c3", "c6")), (("channel", "frequency"), bands))


def sources(trials: Trials) -> Planted:
    """Plant a source beneath the left or beneath the right central electrode, of either polarity."""
    length = round(0.3 * trials.rate)
    wave = _unit(_bell(length) * np.sin(4 * np.pi * (np.arange(length) + 0.5) / length))
    left, right = potential((-0.4, 0.0)), potential((0.4, 0.0))
    topography = np.where((trials.label == 1)[:, None], right, left)
    starts, others = trials.starts(length), trials.starts(length)
    signs = trials.rng.choice((-1.0, 1.0), size=(2, len(starts), 1))
    strong = topography >= 0.25
    return Planted(
        topography[:, :, None] * trials.place(starts, signs[0] * wave)[:, None],
        potential((0.0, 0.4))[None, :, None] * trials.place(others, signs[1] * wave)[:, None],
        (SIGNAL, strong[:, :, None] & trials.support(starts, length)[:, None]),
    )


def potential(position: tuple[float, float], depth: float = 0.35) -> Array:
    """Potential (channel) at the electrodes of a radial dipole beneath a place, the largest being 1.

    It falls with the distance d along the surface as (1 + d² / depth²)^(−3/2), as in a homogeneous half space.
    """
    distance = np.linalg.norm(np.array(list(ELECTRODES.values())) - position, axis=1)
    values = (1 + (distance / depth) ** 2) ** -1.5
    return values / values.max()


@dataclass(frozen=True)
class Cause:
    """How to plant a cause, where, how strong unless told otherwise, and what is known of it."""

    plant: Callable[[Trials], Planted]
    channels: tuple[str, ...]
    snr: float
    classes: str
    known: str
    otherwise: str
    distractor: str


CAUSES: dict[str, Cause] = {
    "transients": Cause(
        transients,
        EIGHT,
        6.0,
        "a bump of 0.32 s that rises steeply and falls slowly, or the same turned around in time, in c2 and c3",
        "channel and time, trial by trial: the samples of the bump",
        "both bumps have the same amplitudes, power spectrum and energy, and their centres the same random latencies",
        "a symmetric bump in c6 and c7 at its own random latency",
    ),
    "frequencies": Cause(
        frequencies,
        EIGHT,
        -3.0,
        "a burst (Hann window, 0.6 s) of 10 Hz, or of 20 Hz, in c4 and c5",
        "channel and time, trial by trial: the samples of the burst; channel and frequency: its main lobe",
        "both bursts have the same energy and envelope, random phase and random latency",
        "a tone of 14.5 Hz all along c1, c4, c5 and c8",
    ),
    "delays": Cause(
        delays,
        EIGHT,
        -3.0,
        "noise of 2 to 30 Hz that comes to c2 0.03 s before c5, or after it",
        "channel: c2 and c5",
        "each channel alone has the same distribution in both classes, and so have all channels at the same instant",
        "another such noise in c4 and c7, either one first, whatever the class",
    ),
    "coupling": Cause(
        coupling,
        EIGHT,
        0.0,
        "a rhythm of 30 to 34 Hz in c6, strongest at the peaks of a rhythm of 4.5 to 5.5 Hz in c3, or in its troughs",
        "channel: c3 and c6; channel and frequency: the slow rhythm in c3, the fast one with its side bands in c6",
        "each channel alone has the same distribution in both classes, spectrum included, and all phases are random",
        "another such pair in c1 and c8, coupled at a random phase",
    ),
    "sources": Cause(
        sources,
        tuple(ELECTRODES),
        3.0,
        "two cycles in 0.3 s of a dipole beneath C3, or beneath C4",
        "channel and time, trial by trial: the samples of the wave where the potential reaches a quarter of its peak",
        "wave, latency and polarity have the same distribution in both classes; the two potentials mirror each other",
        "the same wave at its own latency and polarity from beneath Fz",
    ),
}


def _unit(values: Array) -> Array:
    """Values of mean square 1 over the last dimension."""
    return values / np.sqrt((values**2).mean(-1, keepdims=True))


def _bell(length: int) -> Array:
    """Hann window without its zeros."""
    return np.hanning(length + 2)[1:-1]


def _in(channels: NDArray[np.bool_], course: NDArray[Any]) -> NDArray[Any]:
    """A course (trial, time) in some channels, nothing in the others."""
    return channels[None, :, None] * course[:, None]


def _band_noise(trials: Trials, length: int, low: float, high: float) -> Array:
    """Gaussian noise (trial, time), white between two frequencies."""
    grid = np.fft.rfftfreq(length, 1 / trials.rate)
    white = np.fft.rfft(trials.rng.normal(size=(len(trials.label), length)))
    return np.fft.irfft(white * ((grid >= low) & (grid <= high)), length)
