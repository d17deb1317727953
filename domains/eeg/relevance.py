"""Relevance as MNE objects: every plot, selection and export that MNE has for EEG works on them.

Their data are the relevance, unchanged. MNE takes what lies on EEG channels for volt and draws it times 1e6 in µV;
`signalrp.domains.eeg.views` has its plots with the right numbers, units and colours.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from signalrp.groups import chosen_trials, class_names, predicted, trial_groups
from signalrp.splits import Scaler

from ._mne import mne
from .data import info_of, to_epochs

What = Literal["relevance", "signal"]


def to_evoked(
    explanation: xr.Dataset, trials: npt.ArrayLike | None = None, *, what: What = "relevance", comment: str = ""
) -> Any:
    """Mean relevance over trials as an MNE object.

    Parameters
    ----------
    explanation : xarray.Dataset
        With ``relevance`` (trial, channel, time); positions x, y, z along channel give the montage.
    trials : array, optional
        Positions or boolean mask of the trials to average, such as ``explanation["label"] == 1``; by default all.
    what : {"relevance", "signal"}
        What is averaged.
    comment : str
        Name of the condition, which MNE writes beside it.

    Returns
    -------
    mne.EvokedArray
        ``data`` (channel, time): the mean, in double precision, in the unit it has. ``nave`` is the number of trials.

    Raises
    ------
    ValueError
        If no trial is chosen, or the explanation is not of (trial, channel, time in s), as one in another basis.
    """
    values = _mapped(explanation, what)
    chosen = chosen_trials(trials, values.sizes["trial"])
    # a sum in single precision would drift over many trials
    mean = values.values[chosen].astype(np.float64).mean(0)
    start = float(values["time"][0])
    evoked = mne.EvokedArray(
        mean, info_of(values), tmin=start, comment=comment or what, nave=len(chosen), verbose="error"
    )
    # MNE counts from multiples of the sampling interval; epochs may begin between them
    return evoked.shift_time(start, relative=False)


def evokeds_by(
    explanation: xr.Dataset,
    by: str = "label",
    trials: npt.ArrayLike | None = None,
    *,
    what: What = "relevance",
) -> dict[str, Any]:
    """Mean relevance of each group of trials as MNE objects, for `signalrp.domains.eeg.views.plot_compare` and others.

    Parameters
    ----------
    explanation, what
        See `to_evoked`.
    by : str
        What groups trials: "label" (true class), "target" (class explained), "predicted", or any coordinate along
        trial, such as "subject".
    trials : array, optional
        Positions or boolean mask of the trials that count.

    Returns
    -------
    dict of str to mne.EvokedArray
        In the order of the classes, or else sorted; groups without a trial are left out.

    Raises
    ------
    ValueError
        See `to_evoked`; also if the explanation has no such grouping.
    """
    groups = trial_groups(explanation, by, trials)
    return {name: to_evoked(explanation, chosen, what=what, comment=name) for name, chosen in groups.items()}


def relevance_epochs(explanation: xr.Dataset) -> Any:
    """Relevance of every trial as MNE epochs.

    Parameters
    ----------
    explanation : xarray.Dataset
        With ``relevance`` (trial, channel, time).

    Returns
    -------
    mne.EpochsArray
        Data (trial, channel, time): the relevance. Events are those of the signal, so that ``epochs["face"]``
        selects. The metadata have every coordinate along trial and ``label``, ``target`` (class explained),
        ``predicted``, ``correct``, ``explained`` (the number that was) and ``output_<class>``, so that
        ``epochs["predicted == 1 and not correct"]`` selects.

    Raises
    ------
    ValueError
        If the explanation is not of (trial, channel, time in s).
    """
    relevance = _mapped(explanation, "relevance").assign_coords(_columns(explanation))
    # `to_epochs` refuses what is not in volt
    epochs = to_epochs(relevance.drop_vars("unit", errors="ignore").assign_attrs(units="V"))
    return epochs.shift_time(float(relevance["time"][0]), relative=False)


def in_volt(explanation: xr.Dataset, scaler: Scaler) -> xr.Dataset:
    """Explanation of scaled trials with the signal in its own unit, for pictures.

    Another signal put into an explanation would no longer go with its relevance per unit, and relevance in bands or
    components would be wrong.

    Parameters
    ----------
    explanation : xarray.Dataset
        Of a signal that a scaler transformed.
    scaler : signalrp.splits.Scaler
        That scaler, fitted on a signal in V.

    Returns
    -------
    xarray.Dataset
        The explanation with ``signal``, the deviation in V from the training mean of its channel, which is what has the
        relevance, and where there was one with ``per_unit`` per V. Relevance stays.

    Raises
    ------
    ValueError
        If the scaler was not fitted, or on other channels.
    """
    if scaler.scale is None:
        raise ValueError("The scaler was not fitted; give the one that scaled the trials.")
    scale = scaler.scale.reset_coords(drop=True)
    if not np.array_equal(scale["channel"], explanation["channel"]):
        raise ValueError("The scaler was fitted on other channels, or in another order; give that of the trials.")
    signal = explanation["signal"]
    values = (signal * scale).transpose(*signal.dims).astype(signal.dtype)
    found = {"signal": values.assign_attrs(signal.attrs | {"units": "V"})}
    if "per_unit" in explanation:
        found["per_unit"] = (explanation["per_unit"] / scale).transpose(*signal.dims)
    return explanation.assign(found)


def _mapped(explanation: xr.Dataset, what: What) -> xr.DataArray:
    """Relevance or signal (trial, channel, time), with the attributes of the signal."""
    if what not in ("relevance", "signal"):
        raise ValueError(f"{what!r} is unknown; choose relevance or signal.")
    for name in (what, "signal"):
        dims = explanation[name].dims if name in explanation else ()
        if set(dims) != {"trial", "channel", "time"}:
            raise ValueError(
                f"MNE objects are of (trial, channel, time), but {name} of the explanation is {dims or 'absent'}; give "
                "what explain() returned for such a signal, before it was inspected."
            )
    signal = explanation["signal"]
    return explanation[what].transpose("trial", "channel", "time").assign_attrs(signal.attrs)


def _columns(explanation: xr.Dataset) -> dict[str, tuple[str, npt.NDArray[Any]]]:
    """What the model made of each trial, by name."""
    columns = {
        name: explanation[name].values
        for name in ("label", "target", "explained", "absorbed")
        if name in explanation and explanation[name].dims == ("trial",)
    }
    if "output" in explanation and explanation["output"].dims == ("trial", "class"):
        columns["predicted"] = predicted(explanation)
        if "label" in columns:
            columns["correct"] = columns["predicted"] == columns["label"]
        for name, output in zip(class_names(explanation), explanation["output"].values.T, strict=True):
            columns[f"output_{name}"] = output
    return {name: ("trial", values) for name, values in columns.items()}
