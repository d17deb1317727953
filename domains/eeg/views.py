"""MNE's plots of relevance, with the numbers as they are, their unit, and colours centred at zero.

Each takes what `signalrp.domains.eeg.relevance` returns and passes further arguments on to the method of MNE that it
is named after. Those here draw EEG times 1e6 in µV unless they are told better, each in its own way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from signalrp.plotting import relevance_norm

from ._mne import mne
from .drawing import COLOURS, contour_levels, off_circle

UNIT = "relevance"


def one_scale(*objects: Any, percentile: float = 100.0) -> Normalize:
    """One colour scale, centred at zero, for all relevance of a figure or of several.

    Parameters
    ----------
    *objects : mne.Evoked, mne.BaseEpochs, mapping or iterable of these, or arrays
        All relevance that is shown side by side.
    percentile : float
        Percentile of the absolute relevance at which the colours saturate.

    Returns
    -------
    matplotlib.colors.Normalize

    Raises
    ------
    ValueError
        If nothing was given, or relevance is not finite.
    """
    return relevance_norm(*_arrays(objects), percentile=percentile)


def plot_topomap(evoked: Any, times: Any = "auto", *, norm: Normalize | None = None, **kwargs: Any) -> Figure:
    """Scalp maps of relevance at instants, or means over windows with ``average=``.

    Parameters
    ----------
    evoked : mne.Evoked
        Relevance, from `to_evoked`.
    times : float, array of float, "auto" or "peaks"
        In s.
    norm : matplotlib.colors.Normalize, optional
        Colour scale, from `one_scale` for several figures or panels; by default that of all instants of `evoked`.
    **kwargs
        For ``mne.Evoked.plot_topomap``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If an electrode has no position.
    """
    evoked = _placed(evoked)
    # a window takes more room to name than an instant
    size = 1.6 if kwargs.get("average") is not None else 1.2
    settings = {"scalings": 1, "units": UNIT, "size": size, **_map_settings(evoked, norm), **kwargs}
    return _with_labelled_bars(evoked.plot_topomap(times, **_shown(settings)), settings["vlim"])


def plot_joint(evoked: Any, times: Any = "peaks", *, norm: Normalize | None = None, **kwargs: Any) -> Figure:
    """All electrodes' relevance over time, with scalp maps at instants.

    Parameters
    ----------
    evoked, times, norm
        See `plot_topomap`.
    **kwargs
        For ``mne.Evoked.plot_joint``; its ``ts_args`` and ``topomap_args`` are added to those set here.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If an electrode has no position.
    """
    evoked = _placed(evoked)
    lines = {"scalings": {"eeg": 1}, "units": {"eeg": UNIT}, **kwargs.pop("ts_args", {})}
    maps = {"scalings": 1, **_map_settings(evoked, norm), **kwargs.pop("topomap_args", {})}
    return _with_labelled_bars(
        evoked.plot_joint(times, ts_args=lines, topomap_args=maps, **_shown(kwargs)), maps["vlim"]
    )


def plot_lines(evoked: Any, **kwargs: Any) -> Figure:
    """All electrodes' relevance over time; in MNE ``plot``.

    Parameters
    ----------
    evoked : mne.Evoked
        Relevance, from `to_evoked`.
    **kwargs
        For ``mne.Evoked.plot``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    # lines are coloured by place, which needs one
    settings = {"scalings": _by_kind(evoked, 1), "units": _by_kind(evoked, UNIT), **kwargs}
    settings.setdefault("spatial_colors", not _placeless(evoked))
    return evoked.plot(**_shown(settings))


def plot_image(relevance: Any, *, norm: Normalize | None = None, **kwargs: Any) -> Figure | list[Figure]:
    """Relevance as an image: of means channel × time, of epochs trial × time.

    Parameters
    ----------
    relevance : mne.Evoked or mne.BaseEpochs
        From `to_evoked` or `relevance_epochs`.
    norm : matplotlib.colors.Normalize, optional
        Colour scale, from `one_scale`; by default one for all images that are made, of epochs up to their 99th
        percentile.
    **kwargs
        For ``mne.Evoked.plot_image`` or ``mne.Epochs.plot_image``. Epochs are averaged over the channels unless
        ``picks`` or ``combine`` say otherwise.

    Returns
    -------
    matplotlib.figure.Figure, or a list of these for epochs
    """
    settings = {"cmap": COLOURS, "units": _by_kind(relevance, UNIT), **_shown(kwargs)}
    if not isinstance(relevance, mne.BaseEpochs):
        norm = one_scale(relevance) if norm is None else norm
        limits = _by_kind(relevance, [norm.vmin, norm.vmax])
        settings = {"scalings": _by_kind(relevance, 1), "clim": limits, **settings}
        return _with_labelled_bars(relevance.plot_image(**settings))
    if "picks" not in settings and "group_by" not in settings:
        settings.setdefault("combine", "mean")
    if norm is None:
        # single trials have single peaks, which would leave no colour for anything else
        ends: dict[str, Any] = {
            "vmin": lambda images: relevance_norm(images, percentile=99).vmin,
            "vmax": lambda images: relevance_norm(images, percentile=99).vmax,
        }
    else:
        ends = {"vmin": norm.vmin, "vmax": norm.vmax}
    figures = _in_millionths(relevance).plot_image(**{**ends, **settings})
    return [_in_its_unit(_with_labelled_bars(figure)) for figure in figures]


def plot_compare(evokeds: Mapping[str, Any], **kwargs: Any) -> list[Figure]:
    """Time courses of relevance of several conditions.

    Parameters
    ----------
    evokeds : mapping of str to mne.Evoked, or to lists of these
        From `evokeds_by`; of a list, such as one evoked for each person, the mean and its confidence interval.
    **kwargs
        For ``mne.viz.plot_compare_evokeds``. Without ``combine`` and ``picks`` the mean over the electrodes is shown.

    Returns
    -------
    list of matplotlib.figure.Figure
    """
    settings = {"combine": "mean", **_shown(kwargs)}
    small = {
        name: [_in_millionths(one) for one in some] if isinstance(some, list | tuple) else _in_millionths(some)
        for name, some in evokeds.items()
    }
    return [_in_its_unit(figure) for figure in mne.viz.plot_compare_evokeds(small, **settings)]


def _in_millionths(one: Any) -> Any:
    """The same divided by the million that these plots of MNE multiply EEG by, whatever they are told."""
    return one.copy().apply_function(lambda values: values / 1e6, picks="all")


def _in_its_unit(figure: Figure) -> Figure:
    for ax in figure.axes:
        if ax.get_ylabel() == "µV":
            ax.set_ylabel(UNIT)
    return figure


def _with_labelled_bars(figure: Figure, ends: tuple[float, float] | None = None) -> Figure:
    """Write the unit beside the colour bars: MNE writes it above, over other texts, or not at all.

    Where the ends of the scale are given they are written with 0; MNE writes every contour, which is more than a bar
    of a scalp map has room for.
    """
    for ax in figure.axes:
        if ax.get_title() == UNIT or ax.get_label() == "<colorbar>":
            ax.set_title("")
            ax.set_ylabel(UNIT)
            if ends is not None:
                ax.set_yticks([ends[0], 0, ends[1]], [f"{ends[0]:.2g}", "0", f"{ends[1]:.2g}"])
    return figure


def _arrays(objects: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for one in objects:
        if isinstance(one, mne.Evoked):
            found.append(one.data)
        elif isinstance(one, mne.BaseEpochs):
            found.append(one.get_data(copy=False))
        elif isinstance(one, Mapping):
            found += _arrays(one.values())
        elif isinstance(one, list | tuple):
            found += _arrays(one)
        else:
            found.append(one)
    return found


def _map_settings(evoked: Any, norm: Normalize | None) -> dict[str, Any]:
    norm = one_scale(evoked) if norm is None else norm
    return {"cmap": COLOURS, "vlim": (norm.vmin, norm.vmax), "contours": contour_levels(norm)}


def _shown(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"show": False, **settings}


def _by_kind(relevance: Any, value: Any) -> dict[str, Any]:
    """A setting for every kind of channel: what lies on EOG is relevance as well, and no voltage."""
    return dict.fromkeys(relevance.get_channel_types(unique=True), value)


def _placeless(evoked: Any) -> list[str]:
    """Electrodes without a position."""
    kinds = evoked.get_channel_types()
    channels = [channel for channel, kind in zip(evoked.info["chs"], kinds, strict=True) if kind == "eeg"]
    places = [(channel["ch_name"], channel["loc"][:3]) for channel in channels]
    return [name for name, place in places if not np.isfinite(place).all() or not place.any()]


def _placed(evoked: Any) -> Any:
    """The EEG of it, with electrodes between which MNE can interpolate."""
    evoked = evoked.copy().pick("eeg", exclude=())
    unknown = _placeless(evoked)
    if unknown:
        raise ValueError(
            f"A scalp map needs the positions of the electrodes, but {len(unknown)} of {len(evoked.ch_names)} have "
            f"none, first {unknown[0]}; set a montage before, or leave them out."
        )
    evoked.info = off_circle(evoked.info)
    return evoked
