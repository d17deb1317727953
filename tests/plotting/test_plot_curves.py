"""Manipulation curves: what is drawn is what was measured, and everything is said on the figure."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from reference.figures import closed_figures, texts_in_the_way
from reference.pretend_curves import USUAL, pretend

from signalrp.plotting import plot_curves
from signalrp.validation.curve_reading import point_table

__all__ = ["closed_figures"]

BOTH = {"relevance": (9, 9, 8), "amplitude": (9, 7, 5), "random": (9, 8, 6)}
FAR = {"relevance": (0.04, 0.15, 0.71), "amplitude": (0.04, 0.6, 0.6), "random": (0.04, 0.15, 0.51)}


def curve_of(ax: Axes, height: list[float]) -> Line2D:
    """The one line that runs at these heights."""
    found = [line for line in ax.lines if len(line.get_ydata()) == len(height)]
    return next(line for line in found if np.allclose(line.get_ydata(), height))


def legend_of(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def note_of(ax: Axes) -> str:
    return " ".join(" ".join(text.get_text() for text in ax.texts).split())


@pytest.mark.parametrize("value", ["accuracy", "output"])
def test_lines_and_bands_are_the_numbers(value: str) -> None:
    curves = pretend(USUAL, BOTH)
    ax = plot_curves(curves, value=value, resamples=200)
    table = point_table(curves, value, resamples=200)
    # random is drawn once, and bands come in the order of the lines
    drawn = [
        ("relevance", "morf"),
        ("relevance", "lerf"),
        ("amplitude", "morf"),
        ("amplitude", "lerf"),
        ("random", "morf"),
    ]
    assert len(ax.collections) == len(drawn)
    for (order, direction), band in zip(drawn, ax.collections, strict=True):
        rows = table[(table["order"] == order) & (table["direction"] == direction)]
        line = curve_of(ax, rows["estimate"].tolist())
        np.testing.assert_allclose(line.get_xdata(), [0, 5, 50])
        edge = band.get_paths()[0].vertices
        assert edge[:, 1].min() == pytest.approx(rows["low"].min())
        assert edge[:, 1].max() == pytest.approx(rows["high"].max())
        assert to_hex(band.get_facecolor()[0]) == to_hex(line.get_color())
        assert line.get_linestyle() == ("--" if direction == "lerf" else "-")
    assert len(ax.lines) == len(drawn) + (value == "accuracy")


def test_everything_is_named() -> None:
    ax = plot_curves(pretend(USUAL, BOTH, fill="interpolate"))
    assert legend_of(ax) == ["relevance", "amplitude", "random", "highest first", "lowest first", "chance (50 %)"]
    assert ax.get_xlabel() == "samples removed (%)\nfill: interpolate"
    assert ax.get_ylabel() == "accuracy\n(95 % interval, 10 subjects)"
    chance = [line for line in ax.lines if line.get_linestyle() == ":"]
    assert [set(line.get_ydata()) for line in chance] == [{0.5}]
    assert not ax.texts
    ax = plot_curves(pretend(), value="output", level=0.9)
    assert ax.get_ylabel() == "output of the predicted class\n(90 % interval, 10 subjects)"
    assert legend_of(ax) == ["relevance", "amplitude", "random", "highest first"]
    ax = plot_curves(
        pretend(removed="segments", steps=(0, 1, 2), units="segments", perturbation="insertion", basis="DFT")
    )
    assert ax.get_xlabel() == "segments in the DFT basis inserted\nfill: mean"
    ax.figure.canvas.draw()
    assert all(float(tick).is_integer() for tick in ax.get_xticks())


def test_marks_are_hollow_where_the_fill_leaves_the_data() -> None:
    ax = plot_curves(pretend(outside=FAR))
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    assert [line.get_xdata().tolist() for line in hollow] == [[50.0], [5.0, 50.0], [50.0]]
    assert legend_of(ax)[-1] == "hollow: most filled trials\nlie outside the data"
    assert note_of(ax) == (
        "With 50 % removed by relevance, 71 % of the filled trials lie farther from the data than 95 % of the data do "
        "(untouched: 4 %): what the model says there may be due to the fill."
    )
    near = plot_curves(pretend(outside=dict.fromkeys(USUAL, (0.09, 0.15, 0.1))))
    assert note_of(near) == (
        "Filled trials stay near the data: at most 15 % lie farther from it than 95 % of the data do (untouched: 9 %)."
    )
    assert len(legend_of(near)) == len(legend_of(ax)) - 1


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (4, (2, 2)), (5, (2, 3))])
def test_several_sets_stand_side_by_side(count: int, shape: tuple[int, int]) -> None:
    axes = plot_curves({f"model {n}": pretend(outside=FAR) for n in range(count)}, resamples=50)
    assert [ax.get_title() for ax in axes] == [f"model {n}" for n in range(count)]
    assert axes[0].get_gridspec().get_geometry() == shape
    assert sum(ax.get_legend() is not None for ax in axes) == 1
    first = [ax.get_subplotspec().is_first_col() for ax in axes]
    assert [bool(ax.get_ylabel()) for ax in axes] == first
    assert len({ax.get_ylim() for ax in axes}) == 1
    assert texts_in_the_way(axes[0].figure) == []


def test_an_order_keeps_its_colour_in_every_panel() -> None:
    one, two = pretend(), pretend().sel(order=["amplitude", "random"])
    axes = plot_curves({"one": one, "two": two.assign_attrs(fill="noise"), "three": pretend(classes=5)}, resamples=50)
    assert curve_of(axes[0], [0.9, 0.7, 0.4]).get_color() == curve_of(axes[1], [0.9, 0.7, 0.4]).get_color()
    assert axes[1].get_xlabel().endswith("fill: noise")
    # chance differs, so that no one number can be named
    assert legend_of(axes[-1]) == ["relevance", "amplitude", "random", "highest first", "chance"]


def test_outputs_of_several_models_have_their_own_scales() -> None:
    small, large = pretend(), pretend()
    large["output"] = large["output"] * 100
    axes = plot_curves({"small": small, "large": large}, value="output", resamples=50)
    assert axes[0].get_ylim()[1] < 10 < axes[1].get_ylim()[1]
    assert axes[1].get_ylabel()


def test_many_methods_remain_legible() -> None:
    names = [f"a-method-with-a-long-name-{number}" for number in range(19)]
    counts = {name: (9, 8 - number % 8, 1) for number, name in enumerate(names)} | {"random": (9, 8, 6)}
    ax = plot_curves(pretend(counts, counts), resamples=50)
    assert len(ax.collections) == 1
    assert ax.get_ylabel() == "accuracy\n(95 % interval, 10 subjects: random only)"
    styles = {(line.get_color(), line.get_marker()) for line in ax.lines if line.get_marker() not in (".", "None", "")}
    assert len(styles) == 19
    assert texts_in_the_way(ax.figure) == []


def test_without_an_interval_the_axis_says_so() -> None:
    assert plot_curves(pretend(subjects=1)).get_ylabel() == "accuracy\n(one subject: no interval)"
    one = pretend(subjects=1, trials=1, morf=dict.fromkeys(USUAL, (1, 1, 0))).drop_vars("subject")
    ax = plot_curves(one)
    assert ax.get_ylabel() == "accuracy\n(one trial: no interval)"
    # a single class has no level of chance
    assert "chance" not in " ".join(legend_of(ax))


def test_axes_that_are_given_are_used() -> None:
    figure, axes = plt.subplots(1, 2)
    axes[0].set_title("mine")
    assert plot_curves(pretend(), axes[0], resamples=50) is axes[0]
    assert axes[0].get_title() == "mine"
    assert plot_curves({"one": pretend(), "two": pretend()}, axes, resamples=50) == tuple(axes)
    assert plt.get_fignums() == [figure.number]
    with pytest.raises(ValueError, match="Found 2 axes for 3 panels"):
        plot_curves(dict.fromkeys("abc", pretend()), axes)


def test_bad_input_is_refused_before_anything_is_drawn() -> None:
    with pytest.raises(ValueError, match="Value 'f1' is unknown; choose accuracy or output"):
        plot_curves(pretend(), value="f1")
    with pytest.raises(ValueError, match="There are no curves"):
        plot_curves({})
    with pytest.raises(ValueError, match="The curves 'cnn' have no variable 'correct'"):
        plot_curves({"cnn": pretend().drop_vars("correct")})
    with pytest.raises(ValueError, match="The curves 'cnn' are of type int"):
        plot_curves({"cnn": 3})
    with pytest.raises(ValueError, match="no coordinate 'person'"):
        plot_curves(pretend(), subject="person")
    assert not plt.get_fignums()
