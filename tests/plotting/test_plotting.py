from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import LineCollection, QuadMesh
from reference.figures import closed_figures

from signalrp.plotting import (
    RELEVANCE_COLOURS,
    add_colorbar,
    plot_heatmap,
    plot_mean,
    plot_relevance_lines,
    relevance_norm,
)

__all__ = ["closed_figures"]


@pytest.fixture
def explanation() -> xr.Dataset:
    rng = np.random.default_rng(0)
    dims = ("trial", "channel", "time")
    return xr.Dataset(
        {
            "signal": (dims, rng.normal(size=(6, 2, 11)), {"units": "BW"}),
            "relevance": (dims, rng.normal(size=(6, 2, 11))),
        },
        {
            "channel": ["vertical", "fore-aft"],
            "time": ("time", np.linspace(0, 100, 11), {"units": "% stance"}),
        },
    )


def test_colour_scale_is_shared_and_centred() -> None:
    norm = relevance_norm([[0.5, -3]], [1.0])
    assert (norm.vmin, norm.vmax) == (-3, 3)
    assert norm(0) == 0.5
    assert relevance_norm([0.0, 0.0]).vmax > 0
    assert relevance_norm(np.r_[np.ones(99), 50.0], percentile=90).vmax == 1
    with pytest.raises(ValueError, match="finite values"):
        relevance_norm([1, np.nan])


def test_no_relevance_remains_visible_on_white() -> None:
    red, green, blue, _ = RELEVANCE_COLOURS(0.5)
    assert max(red, green, blue) < 0.85
    assert max(red, green, blue) - min(red, green, blue) < 0.02


def test_lines_wear_the_relevance_of_their_samples(explanation: xr.Dataset) -> None:
    ax = plot_relevance_lines(explanation, trials=[1, 4], channel="vertical")
    (lines,) = (c for c in ax.collections if isinstance(c, LineCollection))
    shown = explanation.sel(channel="vertical").isel(trial=[1, 4])
    colours = np.asarray(lines.get_array())
    assert len(colours) == 22
    assert (np.diff(abs(colours)) >= 0).all()
    for path, colour in zip(lines.get_paths(), colours, strict=True):
        time, value = path.vertices[1]
        sample = np.isclose(shown["time"], time) & np.isclose(shown["signal"], value)
        assert shown["relevance"].values[sample] == pytest.approx([colour])
    assert ax.get_xlabel() == "% stance"
    assert ax.get_ylabel() == "vertical (BW)"
    assert ax.get_xlim() == (0, 100)
    low, high = ax.get_ylim()
    assert low <= shown["signal"].min()
    assert shown["signal"].max() <= high


def test_given_axes_are_used_and_no_figure_is_opened(explanation: xr.Dataset) -> None:
    figure, axes = plt.subplots(1, 4)
    current = plt.gca()
    assert plot_relevance_lines(explanation, channel="fore-aft", ax=axes[0]) is axes[0]
    assert plot_mean(explanation, channel="fore-aft", axes=axes[1:3]) == tuple(axes[1:3])
    assert plot_heatmap(explanation, ax=axes[3]) is axes[3]
    assert plt.get_fignums() == [figure.number]
    assert plt.gca() is current


def test_plain_arrays_are_drawn() -> None:
    signal, relevance = np.arange(8.0), np.linspace(-1, 1, 8)
    ax = plot_relevance_lines((signal, relevance))
    assert len(ax.collections[0].get_paths()) == 8
    ax = plot_relevance_lines((np.tile(signal, (3, 1)), np.tile(relevance, (3, 1))))
    assert len(ax.collections[0].get_paths()) == 24


def test_each_channel_shows_its_own_unit(explanation: xr.Dataset) -> None:
    mixed = explanation.assign_coords(unit=("channel", ["N", "deg"]))
    assert plot_relevance_lines(mixed, channel="fore-aft").get_ylabel() == "fore-aft (deg)"


def test_mean_above_and_relevance_beneath(explanation: xr.Dataset) -> None:
    upper, lower = plot_mean(explanation, channel="vertical")
    chosen = explanation.sel(channel="vertical")
    np.testing.assert_allclose(upper.lines[0].get_ydata(), chosen["signal"].mean("trial"))
    np.testing.assert_allclose([bar.get_height() for bar in lower.patches], chosen["relevance"].mean("trial"))
    centres = [bar.get_x() + bar.get_width() / 2 for bar in lower.patches]
    np.testing.assert_allclose(centres, chosen["time"])
    assert lower.get_xlabel() == "% stance"
    assert upper.get_ylabel() == "vertical (BW)"


def test_heatmap_shows_the_mean_by_channel(explanation: xr.Dataset) -> None:
    ax = plot_heatmap(explanation, trials=np.arange(6) < 2)
    (mesh,) = (c for c in ax.collections if isinstance(c, QuadMesh))
    expected = explanation["relevance"][:2].mean("trial").values
    np.testing.assert_allclose(np.asarray(mesh.get_array()).reshape(2, 11), expected)
    assert mesh.norm.vmax == -mesh.norm.vmin == abs(expected).max()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["vertical", "fore-aft"]
    assert ax.yaxis_inverted()


def test_colorbar_serves_several_axes(explanation: xr.Dataset) -> None:
    figure, axes = plt.subplots(2, layout="constrained")
    norm = relevance_norm(explanation["relevance"])
    bar = add_colorbar(axes, norm)
    assert bar.ax.get_ylabel() == "relevance"
    assert bar.norm is norm
    assert len(figure.axes) == 3


def test_windows_change_nothing_about_where_relevance_is(explanation: xr.Dataset) -> None:
    """Outputs of explain(window=…, overlap=…) have a dimension more; signal and relevance are whole."""
    windowed = explanation.assign(
        output=(("trial", "window", "class"), np.zeros((6, 3, 2))), target=(("trial", "window"), np.zeros((6, 3), int))
    ).assign_coords(window_start=("window", [0.0, 30.0, 60.0]), window_stop=("window", [40.0, 70.0, 100.0]))
    for one, two in zip(plot_mean(explanation, "vertical"), plot_mean(windowed, "vertical"), strict=True):
        for bar, other in zip(one.patches, two.patches, strict=True):
            assert bar.get_height() == other.get_height()
    for one, two in ((plot_heatmap(explanation), plot_heatmap(windowed)),):
        np.testing.assert_array_equal(one.collections[0].get_array(), two.collections[0].get_array())
    assert len(plot_relevance_lines(windowed, channel="vertical").collections[0].get_paths()) == 66


def test_bad_input_is_refused(explanation: xr.Dataset) -> None:
    with pytest.raises(ValueError, match="There are 2 channels"):
        plot_relevance_lines(explanation)
    with pytest.raises(ValueError, match="no channel 'left'; found vertical, fore-aft"):
        plot_mean(explanation, channel="left")
    with pytest.raises(ValueError, match="no variable 'relevance'"):
        plot_heatmap(explanation.drop_vars("relevance"))
    with pytest.raises(ValueError, match="No trial to show"):
        plot_relevance_lines(explanation, trials=np.zeros(6, bool), channel="vertical")
    with pytest.raises(ValueError, match="expected the same for both"):
        plot_relevance_lines((np.zeros((2, 5)), np.zeros((3, 5))))
    with pytest.raises(ValueError, match="expected time, with or without"):
        plot_heatmap(explanation.rename(time="frequency"))
    assert not plt.get_fignums()
