"""From recorded forces and angles to stance phases that can be compared: detection, filter, normalisation."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.interpolate import make_interp_spline
from scipy.signal import butter, sosfiltfilt

from signalrp.signals import units_of, with_units

from .labelled import STANCE

GRAVITY = 9.80665

Interpolation = Literal["linear", "cubic"]


def detect_stance(
    force: xr.DataArray | npt.ArrayLike,
    rate: float,
    threshold: float = 20.0,
    minimum_duration: float = 0.1,
) -> npt.NDArray[np.int64]:
    """Find the stance phases in a continuous vertical ground reaction force.

    Stance is every run of samples above the threshold that lasts long enough. Runs that touch the beginning
    or the end of the recording are incomplete and left out.

    Parameters
    ----------
    force : array_like, shape (time,)
        Vertical force in newton, upwards positive; of a DataArray, all other dimensions must have length one.
    rate : float
        Samples per second.
    threshold : float
        Force in newton above which the foot is on the ground. 20 N is common; noisy plates need more.
    minimum_duration : float
        Shortest stance in seconds; shorter runs are noise or a scuffed foot.

    Returns
    -------
    ndarray of int, shape (stance, 2)
        First sample, and first sample after, every stance.

    Raises
    ------
    ValueError
        If the units are not newton, the rate is not positive, or the force is not one finite trace.
    """
    if isinstance(force, xr.DataArray) and set(units_of(force)) != {"N"}:
        raise ValueError(
            f"The threshold is in newton but the force is in {units_of(force)}; detect the stance before scaling."
        )
    trace = np.squeeze(np.asarray(force, dtype=float))
    if trace.ndim != 1:
        raise ValueError(f"Expected one trace over time, got the shape {trace.shape}; select a trial and a channel.")
    if not np.isfinite(trace).all():
        raise ValueError("The force contains missing values; cut or fill them before detecting the stance.")
    if rate <= 0:
        raise ValueError(f"The sampling rate must be positive, got {rate}; give it in samples per second.")
    change = np.diff((trace > threshold).astype(np.int8))
    starts, ends = np.flatnonzero(change == 1) + 1, np.flatnonzero(change == -1) + 1
    if starts.size and ends.size:
        ends = ends[ends > starts[0]]
        starts = starts[: ends.size]
        ends = ends[: starts.size]
    else:
        starts = ends = np.empty(0, dtype=np.int64)
    long_enough = (ends - starts) >= minimum_duration * rate
    return np.stack([starts, ends], axis=1)[long_enough].astype(np.int64)


def time_normalise(signal: xr.DataArray, points: int = 101, kind: Interpolation = "linear") -> xr.DataArray:
    """Stretch every trial to the same number of points, from 0 to 100 % stance.

    Trials of different length, padded at the end with missing values, are each stretched over their own
    length.

    Parameters
    ----------
    signal : xarray.DataArray, shape (..., time)
        Signal at equally spaced instants; the last dimension that matters is called "time".
    points : int
        Points of the result.
    kind : {"linear", "cubic"}
        Interpolation between samples; "cubic" is a not-a-knot spline.

    Raises
    ------
    ValueError
        If a trial has missing values between samples, or too few samples for the interpolation.
    """
    if kind not in ("linear", "cubic"):
        raise ValueError(f"The interpolation {kind!r} is unknown; choose 'linear' or 'cubic'.")
    if points < 2:
        raise ValueError(f"At least 2 points are needed to span 0 to 100 % stance, got {points}.")
    ordered = signal.transpose(..., "time")
    rows = ordered.values.reshape(-1, ordered.sizes["time"])
    stretched = np.stack([_stretch(row, points, kind, index) for index, row in enumerate(rows)])
    coords = {name: coord for name, coord in ordered.coords.items() if "time" not in coord.dims}
    result = xr.DataArray(
        stretched.reshape(*ordered.shape[:-1], points).astype(ordered.dtype, copy=False),
        dims=ordered.dims,
        coords=coords | {"time": ("time", np.linspace(0, 100, points), {"units": STANCE})},
        name=signal.name,
        attrs=signal.attrs,
    )
    return result.transpose(*signal.dims)


def _stretch(row: npt.NDArray[Any], points: int, kind: Interpolation, index: int) -> npt.NDArray[Any]:
    valid = np.flatnonzero(np.isfinite(row))
    if valid.size < (2 if kind == "linear" else 4):
        raise ValueError(f"Trace {index} has {valid.size} samples, too few for {kind} interpolation; leave it out.")
    if valid[-1] + 1 != valid.size:
        raise ValueError(f"Trace {index} has missing values between samples; fill or leave out this trial.")
    old, new = np.linspace(0, 1, valid.size), np.linspace(0, 1, points)
    if kind == "linear":
        return np.asarray(np.interp(new, old, row[: valid.size]))
    return np.asarray(make_interp_spline(old, row[: valid.size], k=3)(new))


def stance_trials(
    signal: xr.DataArray,
    stances: npt.NDArray[np.int64],
    rate: float,
    points: int = 101,
    kind: Interpolation = "linear",
) -> xr.DataArray:
    """Cut one continuous recording into one time-normalised trial per stance phase.

    Parameters
    ----------
    signal : xarray.DataArray, shape (1, channel, time)
        Recording with the time in seconds; its rate may differ from that of the force the stances come from.
    stances : ndarray of int, shape (stance, 2)
        As returned by `detect_stance`.
    rate : float
        Rate, in samples per second, of the force the stances were detected in.
    points, kind
        See `time_normalise`.

    Returns
    -------
    xarray.DataArray, shape (stance, channel, points)
        With the trial coordinates "start" and "duration" in seconds from the first sample of the recording.
    """
    if signal.sizes["trial"] != 1 or signal["time"].attrs.get("units") != "s":
        raise ValueError("Expected one continuous recording with its time in seconds; select a single trial.")
    if not len(stances):
        raise ValueError("There is no stance phase to cut; look at the threshold and the vertical channel.")
    time = signal["time"].values - signal["time"].values[0]
    tolerance = 0.5 * float(np.median(np.diff(time)))
    pieces = []
    for start, end in stances / rate:
        inside = (time > start - tolerance) & (time < end - tolerance)
        piece = signal.isel(time=inside)
        piece = piece.drop_vars([str(name) for name, coord in piece.coords.items() if coord.dims == ("trial",)])
        pieces.append(time_normalise(piece, points, kind))
    trials = xr.concat(pieces, dim="trial")
    start_end = np.asarray(stances) / rate
    return trials.assign_coords(
        start=("trial", start_end[:, 0], {"units": "s"}),
        duration=("trial", np.diff(start_end, axis=1)[:, 0], {"units": "s"}),
    )


def body_weight(signal: xr.DataArray, mass_kg: float | npt.ArrayLike) -> xr.DataArray:
    """Express forces as multiples of body weight (mass times 9.80665 m/s²).

    Parameters
    ----------
    signal : xarray.DataArray, shape (trial, channel, time)
        Channels in newton become body weights ("BW"); channels in other units stay as they are.
    mass_kg : float or array_like, shape (trial,)
        Body mass in kilogram, of everybody or of every trial.

    Raises
    ------
    ValueError
        If no channel is in newton, or a mass is not a positive number.
    """
    units = units_of(signal)
    if "N" not in units:
        raise ValueError(f"Body weight needs forces in N, but the units are {units}; nothing was changed.")
    mass = np.asarray(mass_kg, dtype=float)
    if not (np.isfinite(mass).all() and (mass > 0).all()):
        raise ValueError("Every body mass must be a positive number of kilograms; leave out the trials without one.")
    if mass.ndim and mass.shape != (signal.sizes["trial"],):
        raise ValueError(f"Expected one mass or {signal.sizes['trial']} (one per trial), got the shape {mass.shape}.")
    weight = xr.DataArray(mass * GRAVITY, dims=("trial",) if mass.ndim else ())
    newton = xr.DataArray(np.array(units) == "N", dims="channel")
    scaled = (signal / weight.where(newton, 1.0)).transpose(*signal.dims).astype(signal.dtype)
    scaled.name, scaled.attrs = signal.name, dict(signal.attrs)
    return with_units(scaled, ["BW" if unit == "N" else unit for unit in units])


def low_pass(signal: xr.DataArray, cutoff: float, rate: float, order: int = 4) -> xr.DataArray:
    """Zero-lag Butterworth low-pass filter along time.

    The filter runs once forwards and once backwards. Each pass has half the order, and its cutoff is raised
    by (2^(1/2) - 1)^(-1/order) (Winter 2009, Biomechanics and Motor Control of Human Movement,
    for a second-order filter 1/0.802; doi:10.1002/9780470549148) so that both passes together attenuate by 3
    dB at `cutoff`. The correction is applied to the frequency warped by the bilinear transform, where it is
    exact.

    Parameters
    ----------
    signal : xarray.DataArray, shape (..., time)
        Equally spaced samples without missing values.
    cutoff : float
        Frequency in hertz at which both passes together let 1/sqrt(2) of the amplitude through.
    rate : float
        Samples per second.
    order : int
        Order of both passes together, even.

    Raises
    ------
    ValueError
        If the order is odd, the cutoff is not below half the rate, or samples are missing or too few.
    """
    if order < 2 or order % 2:
        raise ValueError(f"The order counts both passes and must be even and positive, got {order}.")
    if not 0 < cutoff < rate / 2:
        raise ValueError(f"The cutoff must lie between 0 and half the rate, {rate / 2:g} Hz, got {cutoff:g} Hz.")
    if not np.isfinite(signal.values).all():
        raise ValueError("The signal contains missing values; cut or fill them before filtering.")
    half = order // 2
    warped = np.tan(np.pi * cutoff / rate) / (np.sqrt(2) - 1) ** (1 / (2 * half))
    sections = butter(half, 2 * np.arctan(warped) / np.pi, output="sos")
    try:
        filtered = sosfiltfilt(sections, signal.values, axis=signal.get_axis_num("time"))
    except ValueError as error:
        raise ValueError(
            f"{signal.sizes['time']} samples are too few for order {order}; use a longer recording."
        ) from error
    return signal.copy(data=filtered.astype(signal.dtype, copy=False))


def concatenate_channels(*signals: xr.DataArray) -> xr.DataArray:
    """Put channels of different kinds beside each other, such as joint angles beside forces.

    Parameters
    ----------
    *signals : xarray.DataArray, shape (trial, channel, time)
        Signals of the same trials at the same instants.

    Returns
    -------
    xarray.DataArray, shape (trial, channels of all, time)
        With the coordinate "unit" along channel when the units differ. Trial coordinates of the first signal.

    Raises
    ------
    ValueError
        If trials, subjects, labels or instants differ, or two channels have the same name.
    """
    first = signals[0]
    for other in signals[1:]:
        if other.sizes["trial"] != first.sizes["trial"]:
            raise ValueError(
                f"The signals have {first.sizes['trial']} and {other.sizes['trial']} trials; match them first."
            )
        if not (other.sizes["time"] == first.sizes["time"] and np.allclose(other["time"], first["time"])):
            raise ValueError("The signals are sampled at different instants; use time_normalise on each of them first.")
        for key in ("subject", "label", "session"):
            if key in first.coords and key in other.coords and (first[key].values != other[key].values).any():
                raise ValueError(f"The signals disagree on the {key} of some trials; bring them into the same order.")
    names = [str(name) for signal in signals for name in signal["channel"].values]
    if len(set(names)) != len(names):
        raise ValueError(f"Two channels have the same name among {names}; rename them first.")
    units = [unit for signal in signals for unit in units_of(signal)]
    values = np.concatenate([signal.transpose("trial", "channel", "time").values for signal in signals], axis=1)
    coords = {key: coord for key, coord in first.coords.items() if "channel" not in coord.dims}
    joined = xr.DataArray(
        values,
        dims=("trial", "channel", "time"),
        coords=coords | {"channel": names},
        name="gait",
        attrs=first.attrs,
    )
    return with_units(joined, units)
