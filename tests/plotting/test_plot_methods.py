"""Methods × criteria: every number stands where its name and scale say."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from reference.figures import closed_figures, texts_in_the_way

from signalrp.plotting import plot_methods

__all__ = ["closed_figures"]

METHODS = ["occlusion", "amplitude", "epsilon", "random"]


def table(methods: list[str] = METHODS, criteria: tuple[str, ...] = ("AOPC", "mass")) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for criterion in criteria:
        for method in methods:
            estimate = rng.uniform(0.2, 0.8)
            rows.append((method, criterion, estimate, estimate - 0.1, estimate + 0.05))
    return pd.DataFrame(rows, columns=["method", "criterion", "estimate", "low", "high"])


def rows_of(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.get_yticklabels()]


def drawn(ax: Axes, names: list[str]) -> dict[str, tuple[float, tuple[float, float]]]:
    """Estimate and interval of every row, read from the marks; panels of a row share the names of the first."""
    found = {}
    for line in ax.lines:
        x, y = (np.asarray(values, dtype=float) for values in line.get_data())
        if len(x) == 1:
            found[names[int(y[0])]] = float(x[0])
    spans = {
        names[int(line.get_ydata()[0])]: tuple(line.get_xdata())
        for line in ax.lines
        if len(line.get_xdata()) == 2 and line.get_ydata()[0] == line.get_ydata()[1]
    }
    return {name: (value, spans[name]) for name, value in found.items()}


def test_every_dot_and_interval_is_in_its_row_and_panel() -> None:
    data = table()
    axes = plot_methods(data)
    assert [ax.get_title() for ax in axes] == ["AOPC", "mass"]
    for ax in axes:
        part = data[data["criterion"] == ax.get_title()].set_index("method")
        found = drawn(ax, rows_of(axes[0]))
        assert set(found) == set(METHODS)
        for method, (estimate, span) in found.items():
            assert (estimate, *span) == pytest.approx(part.loc[method, ["estimate", "low", "high"]].tolist())
        assert ax.yaxis_inverted()
    assert texts_in_the_way(axes[0].figure) == []


def test_the_best_stands_on_top() -> None:
    data = pd.DataFrame(
        [
            ("a", "fall", 3.0),
            ("b", "fall", 1.0),
            ("c", "fall", 2.0),
            ("a", "error", 0.9),
            ("b", "error", 0.1),
            ("c", "error", 0.2),
        ],
        columns=["method", "criterion", "estimate"],
    ).assign(better=["higher"] * 3 + ["lower"] * 3)
    # ranks a 1 and 3, b 3 and 1, c 2 and 2: all the same, so they keep their order
    assert rows_of(plot_methods(data)[0]) == ["a", "b", "c"]
    axes = plot_methods(data, sort="error")
    assert rows_of(axes[0]) == ["b", "c", "a"]
    assert [ax.get_xlabel() for ax in axes] == ["better →", "← better"]
    assert rows_of(plot_methods(data, sort="fall")[0]) == ["a", "c", "b"]
    data.loc[data["method"] == "c", "estimate"] = np.nan
    assert rows_of(plot_methods(data, sort="fall")[0])[-1] == "c"


def test_yardsticks_chance_and_verdicts_are_marked() -> None:
    data = table().assign(chance=lambda t: np.where(t["criterion"] == "mass", 0.05, np.nan))
    data["passed"] = [method != "occlusion" for method in data["method"]]
    data.loc[(data["method"] == "epsilon") & (data["criterion"] == "mass"), ["estimate", "low", "high"]] = np.nan
    left, right = plot_methods(data)
    styles = {text.get_text(): text.get_fontstyle() for text in left.get_yticklabels()}
    assert {name for name, style in styles.items() if style == "italic"} == {"amplitude", "random"}
    marks = {line.get_ydata()[0]: line for line in left.lines if len(line.get_xdata()) == 1}
    by_name = {name: marks[row] for row, name in enumerate(rows_of(left))}
    assert {name for name, mark in by_name.items() if mark.get_markerfacecolor() == "white"} == {"amplitude", "random"}
    assert by_name["occlusion"].get_marker() == "X"
    assert by_name["epsilon"].get_marker() == "o"
    upright = [line.get_xdata()[0] for line in left.lines if list(line.get_ydata()) == [0, 1]]
    part = data[data["criterion"] == "AOPC"].set_index("method")["estimate"]
    assert sorted(upright) == pytest.approx(sorted(part[["amplitude", "random"]]))
    assert 0.05 in [line.get_xdata()[0] for line in right.lines if line.get_linestyle() == ":"]
    (dash,) = right.texts
    assert (dash.get_text(), rows_of(left)[int(dash.get_position()[1])]) == ("–", "epsilon")
    (legend,) = left.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "method, interval", "amplitude (yardstick)", "random (yardstick)", "chance", "failed", "not applicable",
    ]  # fmt: skip
    assert texts_in_the_way(left.figure) == []


@pytest.mark.parametrize(("methods", "criteria"), [(1, 1), (1, 3), (20, 1), (20, 7), (2, 12)])
def test_many_or_few_remain_legible(methods: int, criteria: int) -> None:
    names = ["random", *(f"a-method-with-quite-a-name-{number}" for number in range(methods - 1))]
    data = table(names, tuple(f"criterion {number}" for number in range(criteria))).assign(chance=0.1)
    axes = plot_methods(data)
    assert len(axes) == criteria
    assert all(len(drawn(ax, rows_of(axes[0]))) == methods for ax in axes)
    assert texts_in_the_way(axes[0].figure) == []


def test_axes_that_are_given_are_used() -> None:
    figure, axes = plt.subplots(1, 2)
    assert plot_methods(table(), axes=axes) == tuple(axes)
    assert plt.get_fignums() == [figure.number]
    with pytest.raises(ValueError, match="Found 2 axes for 1 panels"):
        plot_methods(table(criteria=("mass",)), axes=axes)


def test_bad_tables_are_refused() -> None:
    data = table()
    with pytest.raises(ValueError, match="no column 'estimate'"):
        plot_methods(data.drop(columns="estimate"))
    with pytest.raises(ValueError, match="The table is empty"):
        plot_methods(data.iloc[:0])
    with pytest.raises(ValueError, match="'occlusion' has the criterion 'AOPC' more than once"):
        plot_methods(pd.concat([data, data.iloc[:1]]))
    with pytest.raises(ValueError, match="better is up for the criterion 'AOPC'; expected higher or lower"):
        plot_methods(data.assign(better="up"))
    with pytest.raises(ValueError, match="better is higher, lower for the criterion"):
        plot_methods(data.assign(better=["higher", "lower"] * 4))
    with pytest.raises(ValueError, match="no criterion 'rank' to sort by; found AOPC, mass"):
        plot_methods(data, sort="rank")
    assert not plt.get_fignums()
