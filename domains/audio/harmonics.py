"""Does relevance lie on the voice's fundamental frequency and its harmonics, and not between them?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from signalrp.validation import bootstrap_interval, paired_difference

__all__ = ["fundamental", "harmonic_mask", "harmonic_share", "harmonic_table", "nearest_f0"]

Array = npt.NDArray[np.float64]
_TINY = np.finfo(np.float64).tiny
_BASELINES = {
    "bins": "share of the bins",
    "shifted": "share on shifted combs",
    "power": "share of the signal's power",
}


def fundamental(
    signal: xr.DataArray,
    *,
    lowest: float = 65.0,
    highest: float = 400.0,
    length: float = 0.064,
    hop: float = 0.010,
) -> xr.DataArray:
    """Track the fundamental frequency of clips by probabilistic YIN (librosa.pyin).

    Parameters
    ----------
    signal : xarray.DataArray
        Clips (trial, channel, time) of one channel, time in s.
    lowest, highest : float
        Range of the fundamental, Hz; the defaults are for speech.
    length, hop : float
        Seconds that a frame lasts, and from one frame to the next. A frame needs two periods of `lowest`.

    Returns
    -------
    xarray.DataArray
        (trial, frame) in Hz, NaN where the clip is unvoiced; ``frame`` is the instant of the frame's middle in s, and
        the coordinates along trial are those of the clips.

    Raises
    ------
    ValueError
        When the signal is not of one channel, or the frame is too short for `lowest`.
    ImportError
        When librosa is not installed.

    References
    ----------
    Mauch and Dixon 2014, doi:10.1109/ICASSP.2014.6853678
    """
    try:
        import librosa
    except ImportError:
        raise ImportError('tracking a fundamental needs librosa: pip install "signalrp[audio]".') from None
    if signal.dims != ("trial", "channel", "time") or signal.sizes["channel"] != 1:
        raise ValueError(
            f"a fundamental is that of clips (trial, channel, time) of one channel, found {dict(signal.sizes)}; give "
            "mono sound."
        )
    if length * lowest < 2:
        raise ValueError(
            f"a frame of {length:g} s does not hold two periods of {lowest:g} Hz; take {2 / lowest:.3f} s or longer."
        )
    time = signal["time"].values.astype(np.float64)
    rate = (len(time) - 1) / (time[-1] - time[0])
    step = max(1, round(hop * rate))
    tracks = [
        librosa.pyin(
            clip, fmin=lowest, fmax=highest, sr=rate, frame_length=2 * round(length * rate / 2), hop_length=step
        )[0]
        for clip in signal.values[:, 0].astype(np.float64)
    ]  # fmt: skip
    coords = {name: value for name, value in signal.coords.items() if value.dims == ("trial",)}
    instants = time[0] + np.arange(len(tracks[0])) * step / rate
    return xr.DataArray(
        np.stack(tracks),
        dims=("trial", "frame"),
        coords={**coords, "frame": ("frame", instants, {"units": "s"})},
        name="f0",
        attrs={"units": "Hz", "long_name": "fundamental frequency"},
    )


def nearest_f0(f0: xr.DataArray, frames: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Return the fundamental frequency of every frame of `signalrp.domains.audio.crepe.frames`, Hz, NaN if unvoiced.

    Parameters
    ----------
    f0 : xarray.DataArray
        From :func:`fundamental`, of the clips that the frames were cut from.
    frames : xarray.DataArray or xarray.Dataset
        With ``recording`` and ``instant`` along trial: the frames, or an explanation of them.
    """
    tracked = f0["frame"].values
    nearest = np.abs(frames["instant"].values[:, None] - tracked).argmin(1)
    values = f0.values[frames["recording"].values, nearest]
    return xr.DataArray(values, dims="trial", name="f0", attrs=dict(f0.attrs))


def harmonic_mask(
    explanation: xr.Dataset,
    f0: xr.DataArray | npt.ArrayLike,
    *,
    tolerance: float | None = None,
    harmonics: int | None = None,
    shift: float = 0.0,
) -> xr.DataArray:
    """Say which frequencies are harmonics of the fundamental, the fundamental being the first.

    Parameters
    ----------
    explanation : xarray.Dataset
        With the dimension ``frequency`` in Hz, and perhaps ``frame`` in s.
    f0 : xarray.DataArray or array_like
        Hz: (trial,), or (trial, frame) from :func:`fundamental`, of which the nearest frame is taken; NaN where
        unvoiced.
    tolerance : float, optional
        Hz to either side that still count; by default one and a half bins.
    harmonics : int, optional
        How many count, the first of them; by default all.
    shift : float
        Moves all harmonics by so many times the fundamental, to look between them.

    Returns
    -------
    xarray.DataArray
        bool, (trial, frequency) or (trial, frequency, frame); False throughout where unvoiced.

    Raises
    ------
    ValueError
        When there is no frequency, trials do not fit, or a number is out of range.
    """
    _check(explanation, harmonics)
    width = _width(explanation, tolerance)
    tracks = _at_frames(explanation, f0)
    on = np.stack([_comb(_grid(explanation), track, width, harmonics, shift) for track in tracks])
    dims = ("trial", "frequency", "frame") if "frame" in explanation.dims else ("trial", "frequency")
    coords = {dim: explanation[dim] for dim in dims if dim in explanation.coords}
    return xr.DataArray(on if len(dims) == 3 else on[..., 0], coords, dims)


def harmonic_share(
    explanation: xr.Dataset,
    f0: xr.DataArray | npt.ArrayLike,
    *,
    tolerance: float | None = None,
    harmonics: int | None = None,
    highest: float | None = None,
    combs: int = 50,
    seed: int = 0,
) -> xr.Dataset:
    """Return which share of the positive relevance lies on the fundamental and its harmonics.

    Parameters
    ----------
    explanation : xarray.Dataset
        With ``relevance`` in ``frequency`` (Hz) and perhaps ``frame`` (s): of a raw net, from ``inspect(explanation,
        DFT())`` or ``STFT(...)``, or of a net on spectrograms. Relevance is summed over channels after its negative
        part is left out.
    f0, tolerance, harmonics
        See :func:`harmonic_mask`.
    highest : float, optional
        Hz; higher frequencies are not looked at. Give the Nyquist frequency of the recording where the net was given
        a resampled one, lest bins that hold nothing make chance too low.
    combs, seed : int
        Number of combs of the same spacing that are shifted at random by up to half of it, and seed of the shifts.

    Returns
    -------
    xarray.Dataset
        Along trial, with the coordinates of the explanation: ``share``; ``bins``, the share of the bins, which is that
        of relevance without aim; ``shifted``, the mean share on shifted combs; ``power``, the share of the power of
        the signal itself, which relevance in proportion to that would have (the hardest to exceed), absent where the
        explanation was not inspected; ``voiced``, the number of frames.
        Unvoiced frames count nowhere, and trials that have no others, or no positive relevance, are left out.

    Raises
    ------
    ValueError
        When there is no relevance in frequency, trials do not fit, no trial is voiced, or numbers are out of range.
    """
    _check(explanation, harmonics)
    if combs < 1:
        raise ValueError(f"at least one shifted comb is needed, found {combs}.")
    if "relevance" not in explanation or "frequency" not in explanation["relevance"].dims:
        raise ValueError(
            "the explanation has no relevance in frequency; give what inspect(explanation, DFT()) returns."
        )
    if highest is not None:
        explanation = explanation.isel(frequency=_grid(explanation) <= highest)
    grid, pitch, width = _grid(explanation), _at_frames(explanation, f0), _width(explanation, tolerance)
    weights = {"share": _in_frequency(explanation, "relevance")}
    weights["bins"] = np.ones_like(weights["share"])
    if "waveform" in explanation:
        weights["power"] = _in_frequency(explanation.assign(power=explanation["signal"] ** 2), "power")
    shifts = np.random.default_rng(seed).uniform(-0.5, 0.5, (len(pitch), combs))
    rows: dict[int, dict[str, float]] = {}
    for trial, track in enumerate(pitch):
        voiced = np.isfinite(track)
        here = {name: weight[trial][:, voiced] for name, weight in weights.items()}
        if not here["share"].any():
            continue
        combed = [_comb(grid, track[voiced], width, harmonics, shift) for shift in (0.0, *shifts[trial])]
        row = {name: float(weight[combed[0]].sum() / max(weight.sum(), _TINY)) for name, weight in here.items()}
        row["shifted"] = float(np.mean([here["share"][comb].sum() for comb in combed[1:]]) / here["share"].sum())
        rows[trial] = {**row, "voiced": float(voiced.sum())}
    if not rows:
        raise ValueError("no trial has a voiced frame with positive relevance; look at f0 for values that are not NaN.")
    kept = list(rows)
    coords = {name: value.isel(trial=kept) for name, value in explanation.coords.items() if value.dims == ("trial",)}
    return xr.Dataset({name: ("trial", [row[name] for row in rows.values()]) for name in rows[kept[0]]}, coords)


def harmonic_table(shares: xr.Dataset, cluster: str | npt.ArrayLike | None = None) -> pd.DataFrame:
    """Compare the share of relevance on the harmonics with what it would be without aim.

    Parameters
    ----------
    shares : xarray.Dataset
        From :func:`harmonic_share`.
    cluster : str or array_like, optional
        What is resampled for intervals, see `signalrp.validation.bootstrap_interval`: ``"recording"`` for frames
        of CREPE; by default ``subject`` where there is one.

    Returns
    -------
    pandas.DataFrame
        One row for the share, one for each baseline and one for each difference between the two: ``estimate``, the
        mean over trials, ``low`` and ``high`` of its 95 % interval, and, of differences, ``p`` of no difference.
    """
    rows: dict[str, tuple[float, ...]] = {}
    baselines = {name: text for name, text in _BASELINES.items() if name in shares}
    for name, text in {"share": "share on the harmonics", **baselines}.items():
        rows[text] = (*(float(value) for value in bootstrap_interval(shares[name], cluster)), np.nan)
    for name, text in baselines.items():
        rows[f"share - {text}"] = tuple(paired_difference(shares["share"], shares[name], cluster))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "low", "high", "p"])


def _check(explanation: xr.Dataset, harmonics: int | None) -> None:
    if "frequency" not in explanation.dims or "frequency" not in explanation.coords:
        raise ValueError("the explanation has no dimension 'frequency'; give what inspect(explanation, DFT()) returns.")
    if harmonics is not None and harmonics < 1:
        raise ValueError(f"at least one harmonic is needed, the fundamental, found {harmonics}.")


def _grid(explanation: xr.Dataset) -> Array:
    return explanation["frequency"].values.astype(np.float64)


def _width(explanation: xr.Dataset, tolerance: float | None) -> float:
    if tolerance is None:
        return 1.5 * float(np.diff(_grid(explanation)).max())
    if not tolerance > 0:
        raise ValueError(f"the tolerance is in Hz and above 0, found {tolerance:g}.")
    return tolerance


def _at_frames(explanation: xr.Dataset, f0: xr.DataArray | npt.ArrayLike) -> Array:
    """Return the fundamental in the frames of the explanation, (trial, frame), one frame where it has none."""
    values = np.asarray(f0, dtype=np.float64)
    if values.ndim not in (1, 2) or len(values) != explanation.sizes["trial"]:
        raise ValueError(
            f"f0 has the shape {values.shape}, expected ({explanation.sizes['trial']},) or that and frames; give one "
            "for every trial."
        )
    if values.ndim == 1:
        return np.repeat(values[:, None], explanation.sizes.get("frame", 1), 1)
    if "frame" not in explanation.dims:
        raise ValueError("f0 changes over frames, and the explanation has none; inspect it with STFT(...), or average.")
    if not isinstance(f0, xr.DataArray) or "frame" not in f0.coords:
        raise ValueError("f0 of every frame needs the coordinate 'frame' in s; give what fundamental() returns.")
    instants, tracked = explanation["frame"].values, f0["frame"].values
    taken = values[:, np.abs(instants[:, None] - tracked).argmin(1)]
    # A frame centred beyond the track, in the padding of an STFT, is that of no instant that was tracked.
    apart = np.diff(tracked).max() if len(tracked) > 1 else np.inf
    taken[:, (instants < tracked[0] - apart) | (instants > tracked[-1] + apart)] = np.nan
    return taken


def _comb(grid: Array, pitch: Array, width: float, harmonics: int | None, shift: float) -> npt.NDArray[np.bool_]:
    """Return which frequencies are on the comb, (frequency, frame)."""
    spaced = grid[:, None] / pitch - shift
    return np.abs(spaced - np.clip(np.round(spaced), 1, harmonics)) * pitch <= width


def _in_frequency(explanation: xr.Dataset, name: str) -> Array:
    """Return a variable (trial, frequency, frame), relevance without its negative part, summed over all else."""
    values = explanation[name].astype(np.float64)
    values = values.clip(min=0) if name == "relevance" else values
    order = ("trial", "frequency", "frame")
    summed = values.sum([dim for dim in values.dims if dim not in order])
    summed = summed if "frame" in summed.dims else summed.expand_dims("frame")
    return summed.transpose(*order).values
