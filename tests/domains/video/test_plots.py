from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.collections import PolyCollection, QuadMesh
from reference.explained_video import explained, with_relevance
from reference.figures import closed_figures, texts_in_the_way

from signalrp.domains.video.drawing import blended, grey, one_clip
from signalrp.domains.video.overlay import overlay
from signalrp.domains.video.plots import (
    around_cut,
    plot_border,
    plot_cut,
    plot_forward,
    plot_mean_map,
    plot_slice,
    plot_strip,
)
from signalrp.plotting import relevance_norm
from signalrp.validation.statistics import bootstrap_interval

__all__ = ["closed_figures"]


@pytest.fixture(scope="module")
def explanation():
    return explained()


def shares(seed, frames=8, count=12):
    values = np.random.default_rng(seed).dirichlet(np.ones(frames), count)
    return xr.DataArray(values, {"subject": ("trial", np.arange(count) // 2)}, ("trial", "frame"))


def lines_of(figure):
    return {line.get_label(): line for line in figure.axes[0].get_lines()}


def test_mean_maps_are_means_over_clips_and_frames_on_one_scale(explanation):
    figure = plot_mean_map(explanation)
    panels = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in panels] == ["left (n = 3)", "right (n = 3)"]
    relevance = explanation["relevance"].values.astype(float).sum(1)
    expected = [relevance[start::2].mean((0, 1)) for start in (0, 1)]
    for ax, wanted in zip(panels, expected, strict=True):
        np.testing.assert_allclose(ax.images[0].get_array(), wanted, rtol=1e-4, atol=1e-12)
        assert ax.images[0].norm.vmax == pytest.approx(np.abs(expected).max(), rel=1e-4)
    assert [ax.get_xlabel() for ax in panels] == 2 * ["column (pixel)"]
    assert not texts_in_the_way(figure)


def test_mean_maps_of_many_groups_are_in_rows_and_empty_places_are_empty(explanation):
    many = explanation.assign_coords(speed=("trial", np.arange(6)))
    figure = plot_mean_map(many, by="speed", trials=[0, 1, 2, 3, 4, 5])
    assert [ax.axison for ax in figure.axes[:6]] == 6 * [True]
    more = xr.concat([many, many.isel(trial=[0]).assign_coords(speed=("trial", [6]))], "trial")
    figure = plot_mean_map(more, by="speed")
    assert [ax.axison for ax in figure.axes[:8]] == [*7 * [True], False]
    assert not texts_in_the_way(figure)


@pytest.mark.parametrize("along", ["row", "column"])
@pytest.mark.parametrize("at", [None, 3])
def test_slices_are_of_one_side_of_space_over_time(explanation, along, at):
    figure = plot_slice(explanation, 2, along=along, at=at)
    clip = one_clip(explanation, 2)
    signal, relevance = clip.pictures, clip.relevance
    if along == "row":
        signal, relevance = np.swapaxes(signal, 1, 2), np.swapaxes(relevance, 1, 2)
    if at is None:
        picture, slice_ = sum(signal[:, i] for i in range(signal.shape[1])) / signal.shape[1], relevance.sum(1)
    else:
        picture, slice_ = signal[:, 3], relevance[:, 3]
    norm = relevance_norm(slice_, percentile=99.5)
    meshes = [found for ax in figure.axes[:2] for found in ax.collections if isinstance(found, QuadMesh)]
    for mesh, wanted in zip(meshes, (picture, blended(grey(picture), slice_, norm)), strict=True):
        shown = np.asarray(mesh.get_array()).reshape(*slice_.T.shape, 3)
        np.testing.assert_allclose(shown, wanted.swapaxes(0, 1), atol=1e-12)
    left = figure.axes[0]
    assert left.get_ylabel() == f"{along} (pixel)"
    assert left.get_ylim() == (slice_.shape[1] - 0.5, -0.5)
    assert left.get_xlim() == pytest.approx((-0.5 / 20, 7.5 / 20))
    other = "columns" if along == "row" else "rows"
    assert (f"summed over {other}" if at is None else f"({other[:-1]} 3)") in figure.axes[2].get_ylabel()
    assert not texts_in_the_way(figure)


def test_what_moves_leaves_a_slanted_trace():
    relevance = np.zeros((1, 8, 10, 14))
    for frame in range(8):
        relevance[0, frame, 4, frame + 2] = 1
    mesh = plot_slice(with_relevance(relevance), along="column").axes[1].collections[0]
    shown = np.asarray(mesh.get_array()).reshape(14, 8, 3)
    red = shown[..., 0] - shown[..., 2] > 0.2
    np.testing.assert_array_equal(np.argwhere(red), [[frame + 2, frame] for frame in range(8)])


def test_the_border_is_drawn_with_intervals_that_resample_subjects():
    net, control = shares(0), shares(1)
    figure = plot_border({"net": net, "shuffled": control})
    lines = lines_of(figure)
    bands = [found for found in figure.axes[0].collections if isinstance(found, PolyCollection)]
    for (name, own), band in zip({"net": net, "shuffled": control}.items(), bands, strict=True):
        np.testing.assert_array_equal(lines[name].get_xdata(), np.arange(1, 9))
        np.testing.assert_allclose(lines[name].get_ydata(), own.values.mean(0))
        interval = bootstrap_interval(own.values, np.arange(12) // 2)
        corners = band.get_paths()[0].vertices
        assert (corners[:, 1].min(), corners[:, 1].max()) == pytest.approx((interval.low.min(), interval.high.max()))
    assert (lines["net"].get_linestyle(), lines["shuffled"].get_linestyle()) == ("-", "--")
    assert lines["same for all"].get_ydata()[0] == 1 / 8
    assert "95 % interval, 6 subjects" in figure.axes[0].get_ylabel()
    assert not texts_in_the_way(figure)


def test_the_border_is_drawn_from_a_table_too():
    rows = [(name, p, 0.1 * p, 0.1 * p - 0.05, 0.1 * p + 0.05) for name in ("net", "shuffled") for p in (1, 2, 3)]
    table = pd.DataFrame(rows, columns=["name", "position", "share", "low", "high"])
    figure = plot_border(table)
    lines = lines_of(figure)
    for name in ("net", "shuffled"):
        np.testing.assert_allclose(lines[name].get_ydata(), [0.1, 0.2, 0.3])
    assert figure.axes[0].get_ylabel() == "share of relevance\n(95 % interval)"


def test_fast_forward_is_drawn_at_its_steps_with_intervals():
    rng = np.random.default_rng(0)
    steps = {"step": [1, 2, 4], "subject": ("trial", np.arange(20) // 2)}
    nets = {name: xr.DataArray(rng.uniform(size=(20, 3)) < 0.7, steps, ("trial", "step")) for name in ("one", "two")}
    figure = plot_forward(nets, chance=0.25)
    ax = figure.axes[0]
    for place, (container, own) in enumerate(zip(ax.containers, nets.values(), strict=True)):
        line, _, (bars,) = container.lines
        np.testing.assert_allclose(line.get_ydata().astype(float), own.values.mean(0))
        np.testing.assert_allclose(line.get_xdata(), np.array([1, 2, 4]) + (place - 0.5) * 0.06)
        interval = bootstrap_interval(own.values, np.arange(20) // 2)
        ends = np.stack([segment[:, 1] for segment in bars.get_segments()])
        np.testing.assert_allclose(ends, np.stack([interval.low, interval.high], 1), atol=1e-12)
    assert list(ax.get_xticks()) == [1, 2, 4]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert set(labels) == {"one", "two", "step of training", "chance (25 %)"}
    assert not texts_in_the_way(figure)
    table = pd.DataFrame(
        {"input": "n-th", "step": [1, 2], "accuracy": [0.9, 0.5], "low": [0.8, 0.4], "high": [1.0, 0.6]}
    )
    (container,) = plot_forward(table, trained=None).axes[0].containers
    np.testing.assert_allclose(container.lines[0].get_ydata().astype(float), [0.9, 0.5])


def test_relevance_is_aligned_at_the_cut():
    cut = np.array([5, 12, 9])
    relevance = xr.DataArray(np.arange(60.0).reshape(20, 3), {"frame": np.arange(20) / 25}, ("frame", "trial"))
    found = around_cut(relevance, cut, reach=4)
    assert found.dims == ("trial", "offset")
    assert "frame" not in found.coords
    for trial, first in enumerate(cut):
        for offset in range(-4, 4):
            assert float(found.sel(offset=offset)[trial]) == 3 * (first + offset) + trial


def test_the_cut_lies_between_two_frames():
    figure = plot_cut({"net": around_cut(shares(0, 20), np.full(12, 9), 5)}, within=2)
    lines = lines_of(figure)
    np.testing.assert_array_equal(lines["net"].get_xdata(), np.arange(-5, 5))
    assert lines["cut"].get_xdata()[0] == -0.5
    (shaded,) = figure.axes[0].patches
    assert (shaded.get_x(), shaded.get_x() + shaded.get_width()) == (-2.5, 1.5)
    assert not texts_in_the_way(figure)


def test_a_single_subject_has_no_interval():
    figure = plot_border(shares(0, count=1))
    assert "one subject: no interval" in figure.axes[0].get_ylabel()
    assert "one clip: no interval" in plot_border(shares(0, count=1).drop_vars("subject")).axes[0].get_ylabel()


def test_pictures_say_what_the_data_are(explanation):
    made = explanation.assign(signal=explanation["signal"].assign_attrs(title="semi-synthetic: digits"))
    for draw in (plot_strip, plot_slice, plot_mean_map):
        figure = draw(made)
        assert [text for text in figure.texts if text.get_text().startswith("semi-synthetic: digits")]
        assert not texts_in_the_way(figure)
    beneath = overlay(made, scale=8) != overlay(explanation, scale=8)
    assert beneath.any()
    assert not beneath[:, : 24 + 80 + 12 + 96].any()


def test_bad_input_is_told_in_a_sentence(explanation):
    with pytest.raises(ValueError, match="no side 'diagonal'"):
        plot_slice(explanation, along="diagonal")
    with pytest.raises(ValueError, match="no column 14; they are counted from 0 to 13"):
        plot_slice(explanation, at=14)
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_border({})
    with pytest.raises(ValueError, match="over trial and frame, found"):
        plot_border(shares(0).rename(frame="time"))
    with pytest.raises(ValueError, match="Clips of 6 and 8 frames"):
        plot_border({"one": shares(0), "two": shares(0, 6)})
    with pytest.raises(ValueError, match="expected a table with the columns name, position, share, low, high"):
        plot_border(pd.DataFrame({"share": [1.0]}))
    with pytest.raises(ValueError, match="expected arrays"):
        plot_cut(pd.DataFrame({"share": [1.0]}))
    with pytest.raises(ValueError, match="one cut for each clip"):
        around_cut(shares(0), [1, 2])
    with pytest.raises(ValueError, match="from 1 to 3, got 4"):
        around_cut(shares(0), np.full(12, 3), 4)
