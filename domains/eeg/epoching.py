"""From a continuous recording to epochs: filter, reference, events by name, segments marked bad."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from ._mne import mne
from .checks import some
from .classes import Classes, class_events

# Annotations that mark a stretch of time rather than an event; MNE compares without regard to case.
_NOT_EVENTS = ("BAD", "EDGE", "BOUNDARY")
# Above this share of the new rate, keeping every n-th sample would fold high frequencies down.
_SAFE_FOR_DECIMATION = 1 / 3


def epochs_of(
    raw: Any,
    classes: Classes,
    tmin: float = -0.2,
    tmax: float = 0.5,
    *,
    band: tuple[float | None, float | None] | None = None,
    reference: str | list[str] | None = None,
    sfreq: float | None = None,
    baseline: tuple[float | None, float | None] | None = None,
    reject: float | None = None,
    picks: str | list[str] = "eeg",
    montage: Any = None,
    bads: Literal["drop", "interpolate", "keep", "raise"] = "drop",
    bad_segments: Literal["drop", "keep", "raise"] = "drop",
) -> Any:
    """Cut a recording into epochs around named events.

    Parameters
    ----------
    raw : mne.io.Raw
        The recording; it is not changed.
    classes : sequence of str or mapping
        Events by name, as `signalrp.domains.eeg.data.from_epochs` takes them. Names are the descriptions of
        the annotations, or, without any, the numbers on the stimulus channel as text.
    tmin, tmax : float
        Window in s around the event, both ends included.
    band : (low, high), optional
        Edges of a zero-phase FIR filter in Hz, applied before cutting; None leaves one side open.
    reference : "average", list of str or None
        Average of the channels that are not bad, the mean of the named ones, or as recorded.
    sfreq : float, optional
        Rate in Hz. Every n-th sample is kept where the filter allows that, which moves no event; else the
        recording is resampled, which moves events by up to half a new sample.
    baseline : (start, end), optional
        Interval in s whose mean is subtracted from every channel; None as an end is the end of the epoch.
    reject : float, optional
        Epochs in which an EEG channel spans more than this, in V, are dropped.
    picks : str or list of str
        Channel types or names to keep.
    montage : mne.channels.DigMontage, str or list, optional
        Positions; a name of MNE ("colin27_1005", or "standard_1005" before MNE 1.13) is matched in any case.
    bads : {"drop", "interpolate", "keep", "raise"}
        What is done with channels in ``raw.info["bads"]``; "interpolate" needs positions, and "drop" leaves
        them marked, for `signalrp.domains.eeg.data.from_epochs` to drop and tell.
    bad_segments : {"drop", "keep", "raise"}
        What is done with epochs that touch an annotation whose name begins with "bad": left out and counted
        by `rejected`, kept and told by the column "bad_segment", or refused.

    Returns
    -------
    mne.Epochs
        With the metadata columns onset (s since the beginning of the recording) and bad_segment.

    Raises
    ------
    ValueError
        If an event is unknown, a choice or a channel of the reference is, a position is missing for interpolation,
        the band does not fit the rate, which must be positive, or bad channels or segments are refused.
    """
    events, event_id = events_of(raw)
    wanted = class_events(classes, list(event_id))
    codes = {name: event_id[name] for found in wanted.values() for name in found}
    events = events[np.isin(events[:, 2], list(codes.values()))]
    raw = _channels(raw, picks, montage, bads)
    _fill_missing(raw)
    if band is not None:
        _filter(raw, band)
    if reference is not None:
        _reference(raw, reference)
    if bads == "interpolate" and raw.info["bads"]:
        _interpolate(raw)
    step = 1
    if sfreq is not None:
        raw, events, step = _rate(raw, events, sfreq)
    onset = (events[:, 0] - raw.first_samp) / raw.info["sfreq"]
    touched = _touches_bad(raw, onset + tmin, onset + tmax)
    if bad_segments == "raise" and touched.any():
        raise ValueError(
            f"{touched.sum()} of {len(touched)} epochs touch an annotation marked BAD; pass bad_segments='drop' to "
            "leave them out, or 'keep' to have them told by the column bad_segment."
        )
    if bad_segments not in ("drop", "keep", "raise"):
        raise ValueError(f"The choice bad_segments={bad_segments!r} is unknown; choose 'drop', 'keep' or 'raise'.")
    return mne.Epochs(
        raw,
        events,
        codes,
        tmin,
        tmax,
        baseline=baseline,
        reject=None if reject is None else {"eeg": reject},
        reject_by_annotation=bad_segments == "drop",
        decim=step,
        picks="all",
        proj=True,
        preload=True,
        event_repeated="drop",
        metadata=pd.DataFrame({"onset": onset, "bad_segment": touched}),
        verbose="error",
    )


def events_of(raw: Any) -> tuple[npt.NDArray[np.int64], dict[str, int]]:
    """Events of a recording and their codes by name: annotations that are events, else the stimulus channel.

    Raises
    ------
    ValueError
        If there are none.
    """
    named = [str(text) for text in raw.annotations.description if not str(text).upper().startswith(_NOT_EVENTS)]
    if named:
        # Numbered in the order of their names, the same in every file that has the same events.
        event_id = {name: number + 1 for number, name in enumerate(sorted(set(named)))}
        events, _ = mne.events_from_annotations(raw, event_id=event_id, verbose="error")
        return events, event_id
    if "stim" in raw.get_channel_types():
        events = mne.find_events(raw, shortest_event=1, verbose="error")
        if len(events):
            return events, {str(code): int(code) for code in np.unique(events[:, 2])}
    raise ValueError("The recording has no events: neither annotations nor a stimulus channel; add annotations.")


def rejected(epochs: Any) -> str:
    """Why epochs were left out and how many, such as "BAD_break 3, Fz 1"; a channel stands for its amplitude."""
    reasons = Counter(reason for log in epochs.drop_log for reason in set(log) if reason != "IGNORED")
    return ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))


def named_montage(name: str) -> Any:
    """Positions of the 10-05 system and others that MNE ships, under the old or the new name of a montage."""
    known = mne.channels.get_builtin_montages()
    old, new = name.replace("colin27_", "standard_"), name.replace("standard_", "colin27_")
    found = next((candidate for candidate in (name, new, old) if candidate in known), None)
    if found is None:
        raise ValueError(f"No montage is called {name!r}; MNE has {', '.join(known)}.")
    return mne.channels.make_standard_montage(found)


def _channels(raw: Any, picks: str | list[str], montage: Any, bads: str) -> Any:
    if bads not in ("drop", "interpolate", "keep", "raise"):
        raise ValueError(f"The choice bads={bads!r} is unknown; choose 'drop', 'interpolate', 'keep' or 'raise'.")
    raw = raw.copy().load_data(verbose="error")
    try:
        raw.pick(picks, exclude=())
    except ValueError:
        kinds = sorted(set(raw.get_channel_types()))
        raise ValueError(f"The recording has no channels {picks!r}; its channel types are {kinds}.") from None
    found = list(raw.info["bads"])
    if found and bads == "raise":
        raise ValueError(f"The channels {found} are marked bad; interpolate or drop them first, or pass bads='drop'.")
    if montage is not None:
        montage = named_montage(montage) if isinstance(montage, str) else montage
        raw.set_montage(montage, match_case=False, on_missing="ignore", verbose="error")
    return raw


def _fill_missing(raw: Any) -> None:
    """Mark stretches with missing samples as bad, and bridge them: one NaN would spread over a whole filter."""
    missing = ~np.isfinite(raw.get_data())
    if not missing.any():
        return
    if missing.all(axis=1).any():
        empty = [name for name, gone in zip(raw.ch_names, missing.all(axis=1), strict=True) if gone]
        raise ValueError(f"The channels {empty} contain nothing but NaN; leave them out.")
    anywhere = np.concatenate([[False], missing.any(axis=0), [False]])
    edges = np.flatnonzero(np.diff(anywhere.astype(int)))
    starts, ends = edges[::2] / raw.info["sfreq"], edges[1::2] / raw.info["sfreq"]
    raw.annotations.append(starts + _first_time(raw), ends - starts, "BAD_missing")
    instants = np.arange(missing.shape[1])

    def bridge(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        gone = ~np.isfinite(values)
        values[gone] = np.interp(instants[gone], instants[~gone], values[~gone])
        return values

    raw.apply_function(bridge, picks="all", verbose="error")


def _filter(raw: Any, band: tuple[float | None, float | None]) -> None:
    nyquist = raw.info["sfreq"] / 2
    if band[1] is not None and band[1] >= nyquist:
        raise ValueError(f"The band ends at {band[1]:g} Hz but the recording at {nyquist:g} Hz; choose a lower edge.")
    raw.filter(*band, picks="all", verbose="error")


def _reference(raw: Any, reference: str | list[str]) -> None:
    names = [reference] if isinstance(reference, str) else list(reference)
    absent = [name for name in names if name not in raw.ch_names]
    if absent and reference != "average":
        raise ValueError(
            f"The reference channels {absent} are not among those kept, {some(raw.ch_names)}; choose of these, or "
            "'average'."
        )
    raw.set_eeg_reference(reference if reference == "average" else names, verbose="error")


def _interpolate(raw: Any) -> None:
    places = np.array([channel["loc"][:3] for channel in raw.info["chs"]])
    unknown = [
        name
        for name, place in zip(raw.ch_names, places, strict=True)
        if not np.isfinite(place).all() or not place.any()
    ]
    if unknown:
        raise ValueError(
            f"The channels {unknown} have no position, so bad channels cannot be interpolated; give a montage, or "
            "pass bads='drop'."
        )
    raw.interpolate_bads(verbose="error")


def _rate(raw: Any, events: npt.NDArray[np.int64], sfreq: float) -> tuple[Any, npt.NDArray[np.int64], int]:
    if not sfreq > 0:
        raise ValueError(f"The rate is {sfreq:g} Hz; give a positive one.")
    ratio = raw.info["sfreq"] / sfreq
    step = round(ratio)
    if abs(ratio - step) < 1e-6 and step >= 1 and (step == 1 or raw.info["lowpass"] <= sfreq * _SAFE_FOR_DECIMATION):
        return raw, events, step
    raw, events = raw.resample(sfreq, events=events, verbose="error")
    return raw, events, 1


def _touches_bad(raw: Any, start: npt.NDArray[np.float64], end: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    first = _first_time(raw)
    touched = np.zeros(len(start), dtype=bool)
    for note in raw.annotations:
        if str(note["description"]).upper().startswith("BAD"):
            begin = note["onset"] - first
            touched |= (start <= begin + note["duration"]) & (end >= begin)
    return touched


def _first_time(raw: Any) -> float:
    """Onset an annotation has at the first sample: with a measurement date, MNE counts from the acquisition's start."""
    return float(raw.first_samp / raw.info["sfreq"]) if raw.annotations.orig_time is not None else 0.0
