"""Blinks, muscle, movement and bad electrodes: how large each is on a trial, and where, against the other trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.signal import butter, sosfiltfilt

from signalrp.signals import units_of

from .checks import sampling_rate
from .places import WINDOW, others, robust_z, window_coords, window_edges
from .regions import directions
from .sites import angles, electrodes, placed

ARTEFACTS = ("blink", "muscle", "movement", "pop", "flat")

_EYES = ("Fpz", "Fp1", "Fp2", "AF7", "AF8")
_EDGE = (
    *("F9", "F10", "FT7", "FT8", "FT9", "FT10", "T7", "T8", "TP7", "TP8", "TP9", "TP10"),
    *("P9", "P10", "PO9", "PO10", "O9", "O10", "Iz"),
)
_SLOW = 8.0
_FAST = 25.0
_FEWEST = 10
_STEP = 0.03
_NEIGHBOURS = 4
_MOST = 1e3
# a calm stretch of EEG may be some ten times smaller than usual, a dead electrode is far more so
_AT_LEAST = {"flat": 100.0}

Values = npt.NDArray[np.float64]


def find_artefacts(
    signal: xr.DataArray, *, eog: Sequence[str] | None = None, window: float = WINDOW, threshold: float = 3.5
) -> xr.Dataset:
    """Measure artefacts on every trial, and say where one is larger than on the other trials of the same person.

    All limits are robust: a trial is unusual if its measure, on a logarithmic scale, lies more than `threshold`
    robust standard deviations (1.4826 times the median absolute deviation) above the median of the *other* trials
    of its person (3.5 is the advice of Iglewicz and Hoaglin 1993). What is chronic, such as an electrode that is
    bad throughout, is thus not an artefact of a trial.

    - ``blink``: peak to peak below 8 Hz of the median over electrodes at Fpz, Fp1, Fp2, AF7 and AF8, in µV; of the
      largest EOG channel, where there is one.
    - ``muscle``: root mean square above 25 Hz (up to the low-pass of the recording), as a multiple of what is usual
      at the same electrode; upper quartile over the electrodes at the temples and along the lower edge of the cap
      (Goncharova et al. 2003, doi:10.1016/S1388-2457(03)00093-2).
    - ``movement``: peak to peak, as a multiple of what is usual at the same electrode; upper quartile over electrodes.
    - ``pop``: largest step within 60 ms of an electrode against its four nearest, as a multiple of the usual one.
    - ``flat``: how many times smaller the range of an electrode within a window is than usual, at least 100. An
      average reference writes the other electrodes' mean onto a dead one, which then is not flat.

    Parameters
    ----------
    signal : xarray.DataArray, shape (trial, channel, time)
        As it was recorded or filtered, in volt; not the scaled input of a model. With the positions of electrodes, or
        names of the 10-10 system; without either, blinks are looked for in EOG alone, muscle at all electrodes, and
        steps against the median of all, so that a blink may pass for a pop.
    eog : sequence of str, optional
        Channels that record the eyes; by default those of the coordinate ``kind`` that are "eog".
    window : float
        Length of the windows in which an artefact is located, s.
    threshold : float
        In robust standard deviations.

    Returns
    -------
    xarray.Dataset
        ``measure``, ``limit`` (what the other trials allow, in the same units), ``robust_z`` and ``present``, all
        (trial, artefact), with the coordinate ``unit`` along artefact; and ``place_z`` (artefact, trial, channel,
        window): how unusual the artefact's part of the signal is at an electrode in a window, against the same place
        in other trials. Artefacts that cannot be measured are absent, and the attribute ``left_out`` says why.

    Raises
    ------
    ValueError
        If a person has fewer than ten trials, values are not finite, the rate is too low, or a channel is unknown.
    """
    signal = signal.transpose("trial", "channel", "time")
    eyes, signal = _eyes(signal, eog)
    _check(signal, eyes)
    rate, edges = sampling_rate(signal), window_edges(signal["time"], window)
    left_out = _left_out(signal, eyes, rate)
    found = [name for name in ARTEFACTS if name not in left_out]
    sizes = (len(found), signal.sizes["trial"])
    measure, limit, z = np.empty(sizes), np.empty(sizes), np.empty(sizes)
    place_z = np.empty((*sizes, signal.sizes["channel"], len(edges) - 1), dtype=np.float32)
    for rows in _people(signal):
        recording = _Recording(signal[rows], eyes[rows], rate, edges)
        for number, name in enumerate(found):
            values, places = _DETECTORS[name](recording)
            logs = np.log(np.maximum(values, np.finfo(float).tiny))
            centre, spread = others(logs)
            measure[number, rows] = values
            limit[number, rows] = np.maximum(np.exp(centre + threshold * spread), _AT_LEAST.get(name, 0))
            z[number, rows] = robust_z(logs)
            place_z[number, rows] = np.minimum(np.abs(robust_z(places, floor=0.5)), _MOST)
    units = "µV" if units_of(signal)[0] == "V" else units_of(signal)[0]
    dims = ("trial", "artefact")
    return xr.Dataset(
        {
            "measure": (dims, measure.T),
            "limit": (dims, limit.T),
            "robust_z": (dims, z.T),
            "present": (dims, (measure > limit).T),
            "place_z": (("artefact", "trial", "channel", "window"), place_z),
        },
        {
            **{key: coordinate for key, coordinate in signal.coords.items() if coordinate.dims == ("trial",)},
            "channel": signal["channel"].values.astype(str),
            "artefact": found,
            "unit": ("artefact", [units if name == "blink" else "x usual" for name in found]),
            **window_coords(signal["time"], edges),
        },
        {"threshold": threshold, "left_out": "; ".join(f"{name}: {why}" for name, why in left_out.items())},
    )


def artefact_masks(found: xr.Dataset, time: xr.DataArray) -> dict[str, npt.NDArray[np.bool_]]:
    """Where in the trials artefacts are, for `signalrp.domains.eeg.segments.artefact_segments`.

    Parameters
    ----------
    found : xarray.Dataset
        From `find_artefacts`.
    time : xarray.DataArray
        The instants of the signal, s.

    Returns
    -------
    dict of str to numpy.ndarray of bool, shape (trial, channel, time)
        By the name of the artefact: the trials on which it is present, at the electrodes and in the windows where it
        is beyond what the other trials allow. Artefacts that no trial has are absent.
    """
    window = np.searchsorted(found["window_start"].values, np.asarray(time.values, dtype=np.float64) + 1e-9) - 1
    places = found["place_z"].transpose("artefact", "trial", "channel", "window").values > found.attrs["threshold"]
    places &= found["present"].transpose("artefact", "trial").values[..., None, None]
    names = found["artefact"].values.astype(str)
    return {str(name): where[..., window] for name, where in zip(names, places, strict=True) if where.any()}


@dataclass(frozen=True)
class _Recording:
    """One person's trials, (trial, channel, time), those of the channels that record the eyes, and the windows."""

    signal: xr.DataArray
    eyes: xr.DataArray
    rate: float
    edges: npt.NDArray[np.int64]

    @cached_property
    def values(self) -> Values:
        return self.signal.values.astype(np.float64)

    def at(self, places: Sequence[str]) -> npt.NDArray[np.int64]:
        """Numbers of the electrodes at some places of the 10-10 system, none where places are unknown."""
        chosen = electrodes(self.signal, places) if placed(self.signal) else []
        return np.flatnonzero(np.isin(self.signal["channel"].values.astype(str), chosen))

    def filtered(self, values: Values, band: float | tuple[float, float], kind: str) -> Values:
        sos = butter(2, band, kind, fs=self.rate, output="sos")
        return sosfiltfilt(sos, values, axis=-1, padlen=min(values.shape[-1] - 1, 3 * (2 * len(sos) + 1)))

    def in_windows(self, values: Values, how: Callable[[Values], Values]) -> Values:
        """What `how` makes of every window, (..., window)."""
        return np.stack([how(values[..., a:b]) for a, b in pairwise(self.edges)], axis=-1)


def _blink(recording: _Recording) -> tuple[Values, Values]:
    slow = recording.filtered(recording.values, _SLOW, "lowpass")
    deflection = slow - np.median(slow, axis=-1, keepdims=True)
    if recording.eyes.sizes["channel"]:
        eyes = recording.filtered(recording.eyes.values.astype(np.float64), _SLOW, "lowpass")
        size = np.ptp(eyes, axis=-1).max(1)
    else:
        size = np.ptp(np.median(slow[:, recording.at(_EYES)], axis=1), axis=-1)
    scale = 1e6 if units_of(recording.signal)[0] == "V" else 1.0
    return scale * size, recording.in_windows(deflection, lambda part: part.mean(-1))


def _muscle(recording: _Recording) -> tuple[Values, Values]:
    fast = recording.filtered(recording.values, _FAST, "highpass")
    edge = recording.at(_EDGE)
    size = _usual_is_one(np.sqrt((fast**2).mean(-1)))
    size = np.quantile(size[:, edge] if len(edge) else size, 0.75, axis=1)
    return size, recording.in_windows(fast, lambda part: np.sqrt((part**2).mean(-1)))


def _movement(recording: _Recording) -> tuple[Values, Values]:
    size = np.quantile(_usual_is_one(np.ptp(recording.values, axis=-1)), 0.75, axis=1)
    deflection = recording.values - np.median(recording.values, axis=-1, keepdims=True)
    return size, recording.in_windows(deflection, lambda part: part.mean(-1))


def _pop(recording: _Recording) -> tuple[Values, Values]:
    local = recording.values - _around(recording.signal, recording.values)
    half = max(1, round(_STEP * recording.rate))
    sums = np.cumsum(np.pad(local, ((0, 0), (0, 0), (1, 0))), axis=-1)
    means = (sums[..., half:] - sums[..., :-half]) / half
    step = np.abs(means[..., half:] - means[..., :-half])
    # the first and the last samples have no full stretch on either side
    step = np.pad(step, ((0, 0), (0, 0), (half, half - 1)), mode="edge")
    return _usual_is_one(step.max(-1)).max(1), recording.in_windows(step, lambda part: part.max(-1))


def _flat(recording: _Recording) -> tuple[Values, Values]:
    extent = recording.in_windows(recording.values, lambda part: np.ptp(part, axis=-1))
    usual = np.median(extent, axis=(0, 2), keepdims=True)
    times = np.where(usual > 0, usual / np.maximum(extent, usual / _MOST + np.finfo(float).tiny), 1.0)
    return times.max((1, 2)), np.log(times)


_DETECTORS: dict[str, Callable[[_Recording], tuple[Values, Values]]] = {
    "blink": _blink,
    "muscle": _muscle,
    "movement": _movement,
    "pop": _pop,
    "flat": _flat,
}


def _usual_is_one(sizes: Values) -> Values:
    """Sizes (trial, channel) as multiples of the median of the same channel in the other trials."""
    usual = others(sizes)[0]
    return np.divide(sizes, usual, out=np.ones_like(sizes), where=usual > 0)


def _around(signal: xr.DataArray, values: Values) -> Values:
    """What is expected at every electrode: the mean of its nearest, or the median of all where places are unknown."""
    count = signal.sizes["channel"]
    if not placed(signal) or count <= _NEIGHBOURS:
        return np.median(values, axis=1, keepdims=True)
    nearest = np.argsort(angles(signal, directions(signal)), axis=1, kind="stable")[:, 1 : _NEIGHBOURS + 1]
    weights = np.zeros((count, count))
    np.put_along_axis(weights, nearest, 1 / _NEIGHBOURS, axis=1)
    return np.einsum("ij,tjs->tis", weights, values, optimize=True)


def _eyes(signal: xr.DataArray, eog: Sequence[str] | None) -> tuple[xr.DataArray, xr.DataArray]:
    """The channels that record the eyes, and those that are EEG."""
    names = signal["channel"].values.astype(str)
    kinds = signal["kind"].values if "kind" in signal.coords else np.full(len(names), "eeg")
    unknown = sorted(set(eog or ()) - set(names))
    if unknown:
        raise ValueError(f"There is no channel {unknown[0]!r} to take for EOG; found {', '.join(names[:8])} ...")
    is_eye = kinds == "eog" if eog is None else np.isin(names, eog)
    return signal.isel(channel=is_eye), signal.isel(channel=(kinds == "eeg") & ~is_eye)


def _left_out(signal: xr.DataArray, eyes: xr.DataArray, rate: float) -> dict[str, str]:
    """Artefacts that cannot be measured, and why."""
    reasons = {}
    if not eyes.sizes["channel"] and not (placed(signal) and electrodes(signal, _EYES)):
        reasons["blink"] = "no EOG channel, and no electrode near Fpz, Fp1, Fp2, AF7 or AF8"
    highest = min(rate / 2, float(signal.attrs.get("lowpass", rate / 2)))
    if highest < _FAST + 5:
        reasons["muscle"] = f"the recording ends at {highest:g} Hz, and muscle begins to show above {_FAST:g} Hz"
    return reasons


def _people(signal: xr.DataArray) -> list[npt.NDArray[np.int64]]:
    """Trials of every person."""
    count = signal.sizes["trial"]
    names = signal["subject"].values if "subject" in signal.coords else np.zeros(count)
    people = [np.flatnonzero(names == name) for name in np.unique(names)]
    fewest = min(map(len, people))
    if fewest < _FEWEST:
        raise ValueError(
            f"A person has {fewest} trials, and what is unusual is told from at least {_FEWEST}; give more trials of "
            "the recording, if need be those of all conditions."
        )
    return people


def _check(signal: xr.DataArray, eyes: xr.DataArray) -> None:
    if not signal.sizes["channel"]:
        raise ValueError("No channel of the signal is EEG; check its coordinate 'kind' and what is taken for EOG.")
    for part in (signal, eyes):
        broken = ~np.isfinite(part.values).all((1, 2))
        if broken.any():
            raise ValueError(
                f"{int(broken.sum())} of {len(broken)} trials contain NaN or infinite values, first trial "
                f"{int(broken.argmax())}; drop these trials or interpolate the channels."
            )
    rate = sampling_rate(signal)
    if rate <= 2 * _SLOW:
        raise ValueError(f"The signal has {rate:g} Hz; artefacts need more than {2 * _SLOW:g} Hz, give it as recorded.")
