"""Relevance beside the truth: the map, the outline and the numbers are those given."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.patches import Rectangle, StepPatch
from reference.figures import closed_figures, texts_in_the_way

from signalrp.plotting import plot_localisation
from signalrp.validation.localisation import localisation_table

__all__ = ["closed_figures"]

TIME = np.linspace(0, 0.9, 10)


def explanation(seed: int = 0) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    dims = ("trial", "channel", "time")
    coords = {"channel": ["C3", "Cz", "C4"], "time": ("time", TIME, {"units": "s"})}
    return xr.Dataset(
        {"signal": (dims, rng.normal(size=(4, 3, 10))), "relevance": (dims, rng.normal(size=(4, 3, 10)))}, coords
    )


def truth() -> xr.DataArray:
    mask = xr.DataArray(np.zeros((3, 10), bool), dims=("channel", "time"))
    mask[1, 2:5] = True
    return mask


def mesh_of(ax: Axes) -> np.ndarray:
    (mesh,) = (c for c in ax.collections if isinstance(c, QuadMesh))
    return np.asarray(mesh.get_array()).reshape(3, -1)


def outline_of(ax: Axes) -> list[np.ndarray]:
    (lines,) = (c for c in ax.collections if isinstance(c, LineCollection))
    return lines.get_segments()


@pytest.mark.parametrize("trial", [None, 2])
def test_maps_are_the_relevance_with_the_truth_outlined(trial: int | None) -> None:
    methods = {"epsilon": explanation(), "gradient": explanation(1)}
    axes = plot_localisation(methods, truth(), trial=trial)
    for ax, (name, data) in zip(axes, methods.items(), strict=True):
        shown = data["relevance"].mean("trial") if trial is None else data["relevance"][trial]
        np.testing.assert_allclose(mesh_of(ax), shown / abs(shown).max())
        pieces = outline_of(ax)
        # three cells in a row: three borders above, three below, one at either end
        assert len(pieces) == 8
        corners = np.concatenate(pieces)
        assert (corners.min(0).tolist(), corners.max(0).tolist()) == (
            pytest.approx([0.15, 0.5]),
            pytest.approx([0.45, 1.5]),
        )
        assert ax.get_title() == name
        assert ax.get_xlabel() == "time (s)"
        assert ax.yaxis_inverted()
    assert [text.get_text() for text in axes[0].get_yticklabels()] == ["C3", "Cz", "C4"]
    figure = axes[0].figure
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["true cause"]
    assert figure.axes[-1].get_ylabel() == "relevance / largest"
    assert texts_in_the_way(figure) == []


def test_outlines_follow_any_shape() -> None:
    mask = truth()
    mask[:] = np.random.default_rng(3).random((3, 10)) < 0.4
    borders = 0
    for row in range(3):
        for column in range(10):
            for other in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                inside = 0 <= other[0] < 3 and 0 <= other[1] < 10 and bool(mask[other])
                borders += bool(mask[row, column]) and not inside
    assert len(outline_of(plot_localisation(explanation(), mask)[0])) == borders


def test_one_dimension_is_an_area_over_the_truth() -> None:
    data, mask = explanation().sel(channel=["Cz"]), truth().isel(channel=[1])
    mask[0, 7] = True
    (ax,) = plot_localisation(data, mask, trial=1)
    shown = data["relevance"][1, 0] / abs(data["relevance"][1, 0]).max()
    above, below = (np.asarray(patch.get_data().values) for patch in ax.patches if isinstance(patch, StepPatch))
    np.testing.assert_allclose(above + below, shown)
    assert above.min() == 0
    assert below.max() == 0
    spans = [(p.get_x(), p.get_x() + p.get_width()) for p in ax.patches if isinstance(p, Rectangle)]
    assert spans == [pytest.approx((0.15, 0.45)), pytest.approx((0.65, 0.75))]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (s)", "relevance /\nlargest")


def test_scores_stand_above_the_panels() -> None:
    methods = {"epsilon": explanation(), "gradient": explanation(1)}
    scores = localisation_table(methods, truth(), resamples=20)
    axes = plot_localisation(methods, truth(), scores=scores)
    for ax, name in zip(axes, methods, strict=True):
        rows = scores[scores["method"] == name].set_index("criterion")
        lines = ax.get_title().split("\n")
        assert lines[0] == name
        assert lines[1:] == [f"{what} {row.estimate:.2f} (chance {row.chance:.2f})" for what, row in rows.iterrows()]
    assert texts_in_the_way(axes[0].figure) == []
    flat = plot_localisation(
        {n: d.isel(channel=[1]) for n, d in methods.items()}, truth().isel(channel=[1]), scores=scores
    )
    assert [ax.get_title().count("\n") for ax in flat] == [1, 1]
    assert texts_in_the_way(flat[0].figure) == []


def test_more_dimensions_are_summed_and_truth_holds_along_them() -> None:
    values = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    relevance = xr.DataArray(values, dims=("trial", "channel", "frequency", "time"))
    data = relevance.to_dataset(name="relevance").assign_coords(
        frequency=("frequency", 2.0 * np.arange(5), {"units": "Hz"})
    )
    mask = xr.DataArray([False, True, False, False, False], dims="frequency")
    (ax,) = plot_localisation(data, mask, dims=("frequency", "time"))
    expected = values.mean(0).sum(0)
    (mesh,) = (c for c in ax.collections if isinstance(c, QuadMesh))
    np.testing.assert_allclose(np.asarray(mesh.get_array()).reshape(5, 4), expected / abs(expected).max())
    corners = np.concatenate(outline_of(ax))
    assert (corners[:, 1].min(), corners[:, 1].max()) == (1, 3)
    assert ax.get_ylabel() == "frequency (Hz)"
    assert not ax.yaxis_inverted()
    (ax,) = plot_localisation(data, mask, dims=("channel",))
    # the truth lacks channel, so it holds in every one of them
    assert sum(isinstance(patch, Rectangle) for patch in ax.patches) == 1


@pytest.mark.parametrize("count", [1, 5, 20])
def test_many_methods_remain_legible(count: int) -> None:
    methods = {f"a-method-with-a-long-name-{n}": explanation(n) for n in range(count)}
    scores = localisation_table(methods, truth(), resamples=20)
    axes = plot_localisation(methods, truth(), scores=scores)
    assert texts_in_the_way(axes[0].figure) == []
    flat = {name: data.isel(channel=[1]) for name, data in methods.items()}
    axes = plot_localisation(flat, truth().isel(channel=[1]), scores=scores)
    assert texts_in_the_way(axes[0].figure) == []


def test_axes_that_are_given_are_used() -> None:
    figure, ax = plt.subplots()
    assert plot_localisation(explanation(), truth(), axes=[ax]) == (ax,)
    assert plt.get_fignums() == [figure.number]


def test_no_relevance_at_all_is_a_blank_map() -> None:
    data = explanation()
    data["relevance"][:] = 0
    assert not mesh_of(plot_localisation(data, truth())[0]).any()


def test_bad_input_is_refused() -> None:
    data = explanation()
    with pytest.raises(ValueError, match="The truth is float64; expected a labelled boolean array"):
        plot_localisation(data, truth().astype(float))
    with pytest.raises(ValueError, match="The truth is bool; expected a labelled boolean array"):
        plot_localisation(data, truth().values)
    with pytest.raises(ValueError, match=r"the relevance has .* Give one entry for every sample of the relevance"):
        plot_localisation(data, truth()[:, :5])
    for channels in (["C4", "Cz", "C3"], ["a", "b", "c"], [0, 1, 2]):
        with pytest.raises(ValueError, match="have different coordinates along channel"):
            plot_localisation(data, truth().assign_coords(channel=channels))
    plot_localisation(data, truth().assign_coords(time=TIME + 1e-12))
    with pytest.raises(ValueError, match="There is no trial 4; the explanation of 'epsilon' has 4"):
        plot_localisation({"epsilon": data}, truth(), trial=4)
    own = truth().expand_dims(trial=4).copy()
    plot_localisation(data, own)
    own[0] = ~own[0]
    with pytest.raises(ValueError, match="differs between trials, so a mean shows nothing"):
        plot_localisation(data, own)
    plot_localisation(data, own, trial=0)
    with pytest.raises(
        ValueError, match="Found dimensions channel, frequency to show; choose one or two of channel, time"
    ):
        plot_localisation(data, truth(), dims=("channel", "frequency"))
    with pytest.raises(ValueError, match="Found dimensions rgb, channel, time to show"):
        plot_localisation(data.expand_dims(rgb=3, axis=1), truth())
    with pytest.raises(ValueError, match="no variable 'relevance'"):
        plot_localisation(data.drop_vars("relevance"), truth())
    with pytest.raises(ValueError, match="There are no explanations"):
        plot_localisation({}, truth())
    scores = localisation_table({"epsilon": data}, truth(), resamples=20).drop(columns="method")
    with pytest.raises(ValueError, match="no column 'method'"):
        plot_localisation({"epsilon": data}, truth(), scores=scores)
    data["relevance"][0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        plot_localisation(data, truth())
