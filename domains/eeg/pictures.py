"""The pictures that the study shows of every recording, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from signalrp.groups import class_names, trial_groups
from signalrp.plotting import plot_heatmap, relevance_norm

from ._mne import mne
from .basis_plots import plot_bands, plot_components, plot_time_frequency
from .data import to_epochs
from .drawing import draw_scalps, has_positions
from .findings import Recording, Task
from .plots import plot_channels, plot_regions, plot_scalp, plot_signal_and_relevance
from .regions import region_names
from .relevance import evokeds_by
from .results import peak_places
from .segments import BANDS, window_segments
from .sites import placed
from .views import one_scale, plot_joint

_COMPONENTS = 15
_FEWEST_FOR_ICA = 16
_LONGEST = 1.5
"""Longest epochs, s, of which windows of 100 ms make a row of scalp maps that can be read."""


def pictures(task: Task, recording: Recording, seed: int = 0) -> Iterator[tuple[str, Figure, str]]:
    """Draw the relevance of the trials that were classified correctly.

    Parameters
    ----------
    task, recording
        What was asked, and what was found.
    seed : int
        Of the independent components.

    Yields
    ------
    name : str
        For the file.
    figure : matplotlib.figure.Figure
    caption : str
    """
    data = recording.best.isel(trial=recording.correct())
    names = class_names(data)
    model = next(iter(recording.explanations))
    if not data.sizes["trial"]:
        return
    draw_channels = plot_channels if placed(data) else _plot_unplaced
    mapped = has_positions(data)
    yield "channels", draw_channels(data), f"Mean relevance of correct trials, {model}, electrode by time."
    if mapped:
        evokeds = evokeds_by(data)
        norm = one_scale(*evokeds.values())
        for name, evoked in evokeds.items():
            with mne.use_log_level("ERROR"):
                figure = plot_joint(evoked, norm=norm, show=False)
            where = peak_places(data.isel(trial=np.flatnonzero(data["label"].values == names.index(name))))
            yield f"joint_{name}", figure, f"{name}: mean relevance of all electrodes, and where. Highest: {where}."
        time = data["time"].values
        if time[-1] - time[0] <= _LONGEST:
            yield "scalp", plot_scalp(data, 100.0), "Mean relevance in windows of 100 ms, one scale for all maps."
        yield "regions", plot_regions(data), "Time course of relevance by region."
    places = expected_places(task, data)
    if places:
        caption = "Signal (as deviation from the mean of the training trials) and relevance where they are expected."
        yield "signal", plot_signal_and_relevance(data, places), caption
    bands = known_bands(data)
    if bands:
        yield "bands", plot_bands(data, bands), "Relevance by frequency band."
    yield "time_frequency", plot_time_frequency(data), "Relevance in time and frequency, summed over electrodes."
    if mapped and data.sizes["channel"] >= _FEWEST_FOR_ICA:
        caption = f"The independent components (of {_COMPONENTS}) that the model uses most."
        yield "components", plot_components(data, fitted_ica(recording.signal, seed)), caption
    for name, explanation in list(recording.explanations.items())[1:]:
        correct = explanation.isel(trial=recording.correct(explanation))
        if all((correct["label"].values == number).any() for number in range(len(names))):
            yield f"channels_{name}", draw_channels(correct), f"Mean relevance of correct trials, {name}."
    if recording.patterns is not None and mapped:
        yield (
            "patterns",
            plot_patterns(recording.patterns, data),
            (
                "Patterns of erp-lda (Haufe et al. 2014): how the signal changes with the output of each class, "
                "mean in windows of 100 ms. They show where the signal differs, relevance what a model takes from it."
            ),
        )


def _plot_unplaced(data: xr.Dataset) -> Figure:
    """Mean relevance of each class, channel by time, in the order of the file: nobody knows where they are."""
    groups = trial_groups(data)
    norm = relevance_norm(*(data["relevance"].isel(trial=chosen).mean("trial") for chosen in groups.values()))
    size = (1.8 + 3.6 * len(groups), 4.0)
    figure, axes = plt.subplots(1, len(groups), squeeze=False, layout="constrained", figsize=size)
    for ax, (name, chosen) in zip(axes[0], groups.items(), strict=True):
        plot_heatmap(data, chosen, ax, norm)
        ax.set_title(name, fontsize="medium")
    return figure


def plot_patterns(patterns: xr.DataArray, like: xr.Dataset) -> Figure:
    """Scalp maps of patterns (class, channel, time) in V, means over windows of 100 ms, all on one scale."""
    labels = window_segments(like["signal"], 100.0)
    names = labels.attrs["names"]
    maps = {}
    for number, name in enumerate(class_names(like)):
        values = 1e6 * patterns.isel({"class": number}).transpose("time", "channel").values
        means = np.stack([values[labels.values == window].mean(0) for window in range(len(names))])
        maps[name] = xr.DataArray(means, {"window": names}, ("window", "channel"))
    figure = plt.figure(figsize=(1.2 + 1.45 * len(names), 0.5 + 1.55 * len(maps)), layout="constrained")
    draw_scalps(figure, maps, like["signal"], relevance_norm(*maps.values()), "pattern (µV)")
    return figure


def expected_places(task: Task, data: xr.Dataset) -> list[str]:
    """The regions, or single electrodes, in which the response is known to be, left and right."""
    if not has_positions(data):
        return []
    known = region_names(data, sides=True)
    wanted = {"faces": "occipito-temporal", "presses": "central", "checkerboards": "occipito-temporal"}.get(task.name)
    return [name for name in known if wanted is not None and name in (f"left {wanted}", f"right {wanted}")]


def known_bands(data: xr.Dataset) -> dict[str, tuple[float, float]]:
    """The bands that the epochs are long enough to hold, and the filter lets through."""
    time = data["time"].values
    lowest = 1 / (time[-1] - time[0])
    highest = float(data["signal"].attrs.get("lowpass", np.inf))
    nyquist = 0.5 * (len(time) - 1) * lowest
    return {
        name: (low, high) for name, (low, high) in BANDS.items()
        if np.ceil(low / lowest) * lowest < min(high, nyquist) and low < highest
    }  # fmt: skip


def fitted_ica(signal: xr.DataArray, seed: int = 0) -> object:
    """Independent components of all trials, which knows nothing of classes."""
    ica = mne.preprocessing.ICA(_COMPONENTS, random_state=seed, max_iter=300, verbose="ERROR")
    return ica.fit(to_epochs(signal), verbose="ERROR")
