"""Trials of several recordings together, and borders between them that nothing leaks across."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from .checks import match_channels, sampling_rate, some

# What tells recordings apart, where a signal has it.
_RECORDING = ("subject", "session", "run")


def concatenate(signals: Sequence[xr.DataArray]) -> xr.DataArray:
    """Trials of several recordings as one signal; channels are matched by name, in the order of the first.

    Parameters
    ----------
    signals : sequence of xarray.DataArray
        Signals with the same set of channels, the same time axis, units and classes. Coordinates along trial
        that not all of them have are left out, as are attributes that differ; positions are those of the
        first where they differ between recordings.

    Raises
    ------
    ValueError
        If channel sets, time axes, units or classes differ.
    """
    if not signals:
        raise ValueError("There are no signals to put together; give at least one.")
    first = signals[0]
    names = [str(name) for name in first["channel"].values]
    aligned = []
    for number, signal in enumerate(signals):
        others = [str(name) for name in signal["channel"].values]
        missing, extra = sorted(set(names) - set(others)), sorted(set(others) - set(names))
        if missing or extra:
            raise ValueError(
                f"Recording {number + 1} has other channels than the first: it lacks {some(missing)} and adds "
                f"{some(extra)}; interpolate what is bad, or keep what all share with match_channels."
            )
        for what in ("units", "classes"):
            if signal.attrs.get(what) != first.attrs.get(what):
                raise ValueError(
                    f"Recording {number + 1} has the {what} {signal.attrs.get(what)!r}, the first "
                    f"{first.attrs.get(what)!r}; bring them to the same before."
                )
        if signal.sizes["time"] != first.sizes["time"] or not np.allclose(
            signal["time"].values, first["time"].values, rtol=0, atol=1e-9
        ):
            mine, its = (f"{s.sizes['time']} instants at {sampling_rate(s):g} Hz" for s in (signal, first))
            raise ValueError(f"Recording {number + 1} has {mine}, the first {its}; epoch and resample them alike.")
        aligned.append(match_channels(signal, names))
    common = [
        key
        for key, coordinate in first.coords.items()
        if coordinate.dims == ("trial",) and all(key in signal.coords for signal in signals)
    ]
    fixed = {key: coordinate for key, coordinate in first.coords.items() if "trial" not in coordinate.dims}
    trial = {key: ("trial", np.concatenate([signal[key].values for signal in aligned])) for key in common}
    same = {key: value for key, value in first.attrs.items() if all(s.attrs.get(key) == value for s in signals)}
    if any("rejected" in signal.attrs for signal in signals):
        same["rejected"] = _added(str(signal.attrs.get("rejected", "")) for signal in signals)
    return xr.DataArray(
        np.concatenate([signal.transpose("trial", "channel", "time").values for signal in aligned]),
        dims=("trial", "channel", "time"),
        coords={**fixed, **trial},
        name=first.name,
        attrs=same,
    )


def blocks(signal: xr.DataArray, count: int = 10, gap: float = 0.0) -> xr.DataArray:
    """Divide every recording into blocks of time, for folds in which neighbouring trials stay together.

    Trials that follow each other resemble each other: their windows may overlap, and slow drifts and fatigue last
    for minutes. ``signalrp.splits.folds(signal, k, group="block")`` keeps each block on one side.

    Parameters
    ----------
    signal : xarray.DataArray
        Signal with the trial coordinate onset, in s since the beginning of the recording. Recordings are told
        apart by subject, session and run, where present.
    count : int
        Blocks per recording, of (nearly) as many trials each.
    gap : float
        Least time in s between the end of a block's last window and the beginning of the next block's first.

    Returns
    -------
    xarray.DataArray
        The signal with the trial coordinate block ("S01 block 03"), without those trials at the end of a block
        whose window comes too near to the next block.

    Raises
    ------
    ValueError
        If there is no coordinate onset, or a recording has fewer trials than blocks.
    """
    if count < 2 or gap < 0:
        raise ValueError(f"Blocks need a count of at least 2 and a gap of at least 0 s, got {count} and {gap:g}.")
    onset, recording = _onsets(signal), _recordings(signal)
    before, after = float(signal["time"][0]), float(signal["time"][-1])
    block = np.empty(signal.sizes["trial"], dtype=object)
    keep = np.ones(signal.sizes["trial"], dtype=bool)
    for name in dict.fromkeys(recording):
        mine = np.flatnonzero(recording == name)
        if len(mine) < count:
            raise ValueError(
                f"The recording {str(name)!r} has {len(mine)} trials for {count} blocks; use fewer blocks."
            )
        parts = np.array_split(mine[np.argsort(onset[mine], kind="stable")], count)
        for number, part in enumerate(parts):
            block[part] = f"{name} block {number + 1:02d}"
        for part, following in itertools.pairwise(parts):
            keep[part] &= onset[part] + after + gap < onset[following[0]] + before
    return signal.assign_coords(block=("trial", block.astype(str))).isel(trial=keep)


def require_disjoint(
    signal: xr.DataArray,
    train: npt.NDArray[np.int64],
    test: npt.NDArray[np.int64],
    group: str | None = None,
) -> None:
    """Refuse a split in which something of a test trial is in the training part.

    Parameters
    ----------
    signal : xarray.DataArray
        Signal with the trial coordinate onset where it comes from continuous recordings.
    train, test : ndarray of int
        Trial numbers.
    group : str, optional
        Trial coordinate whose values must not be on both sides, such as "subject", "session", "run" or "block".

    Raises
    ------
    ValueError
        If a trial or a value of `group` is on both sides, or windows of the same recording overlap.
    """
    both = np.intersect1d(train, test)
    if len(both):
        raise ValueError(f"{len(both)} trials are in training and test, the first is {both[0]}; split them anew.")
    if group is not None:
        values = signal[group].values
        shared = sorted(set(values[train].tolist()) & set(values[test].tolist()))
        if shared:
            raise ValueError(f"The {group} {some([str(value) for value in shared])} is in training and test.")
    if "onset" not in signal.coords:
        return
    onset, recording = _onsets(signal), _recordings(signal)
    length = float(signal["time"][-1] - signal["time"][0])
    overlapping = 0
    for name in dict.fromkeys(recording[test]):
        others = np.sort(onset[train][recording[train] == name])
        mine = onset[test][recording[test] == name]
        overlapping += int(
            (np.searchsorted(others, mine - length) < np.searchsorted(others, mine + length, side="right")).sum()
        )
    if overlapping:
        raise ValueError(
            f"The windows of {overlapping} test trials overlap with training trials of the same recording; "
            "group the folds by run, or by the coordinate that `blocks` adds."
        )


def _onsets(signal: xr.DataArray) -> npt.NDArray[np.float64]:
    if "onset" not in signal.coords:
        raise ValueError("The signal has no coordinate onset (s since the beginning of the recording); add it.")
    return np.asarray(signal["onset"].values, dtype=float)


def _recordings(signal: xr.DataArray) -> npt.NDArray[np.str_]:
    columns = [signal[key].values.astype(str) for key in _RECORDING if key in signal.coords]
    return np.array([" ".join(row) for row in zip(*columns, strict=True)] or [""] * signal.sizes["trial"], dtype=str)


def _added(texts: Iterable[str]) -> str:
    """Sum of counts written as "BAD_break 3, Fz 1"."""
    total: Counter[str] = Counter()
    for text in texts:
        for part in filter(None, text.split(", ")):
            reason, _, number = part.rpartition(" ")
            total[reason] += int(number)
    return ", ".join(f"{reason} {count}" for reason, count in sorted(total.items()))
