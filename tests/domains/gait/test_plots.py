from __future__ import annotations

from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

mpl.use("agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh

from signalrp.domains.gait.labelled import STANCE, labelled
from signalrp.domains.gait.plots import mark_phases, plot_people, plot_signature, relevant_instants
from signalrp.domains.gait.segments import PHASES

TIME = np.arange(101.0)


def bump(centre: float, width: float = 3.0) -> np.ndarray:
    return np.exp(-(((TIME - centre) / width) ** 2))


def explanation(channel: tuple[str, ...] = ("vertical GRF",), people: int = 3, trials: int = 10) -> xr.Dataset:
    """Trials whose relevance peaks at 30, 60 and, negatively, at 80 % stance; every trial is recognised."""
    count = people * trials
    person = np.arange(count) % people
    values = bump(25, 15) + bump(75, 15) + np.random.default_rng(0).normal(size=(count, len(channel), 1)) * 0.05
    signal = labelled(values, channel, TIME, STANCE, "BW", {"subject": [f"S{n:02d}" for n in person]})
    relevance = np.broadcast_to(bump(30) + 0.5 * bump(60) - 0.7 * bump(80), signal.shape).copy()
    return xr.Dataset(
        {
            "signal": signal.variable,
            "relevance": (signal.dims, relevance),
            "target": ("trial", person.copy()),
            "label": ("trial", person),
        },
        signal.coords,
    )


def missed(data: xr.Dataset, subject: str | None = None) -> xr.Dataset:
    """The same, with the trials of a person, or of all, attributed to somebody else."""
    data = data.copy(deep=True)
    own = np.ones(data.sizes["trial"], bool) if subject is None else data["subject"].values == subject
    data["target"].values[own] = (data["label"].values[own] + 1) % 3
    return data


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    plt.close("all")


def boxes(ax: Axes, names: set[str] | None = None) -> list:
    ax.figure.canvas.draw()
    found = [text for text in ax.texts if names is None or text.get_text() in names]
    return [text.get_window_extent() for text in found]


@pytest.mark.parametrize("width", [4.0, 6.4, 9.0])
def test_names_of_phases_stand_above_the_axes_side_by_side(width):
    figure, ax = plt.subplots(layout="constrained", figsize=(width, 3))
    ax.set_xlim(0, 100)
    assert mark_phases(ax) is ax
    assert [text.get_text() for text in ax.texts] == list(PHASES)
    places = boxes(ax)
    for left, right in pairwise(places):
        assert left.x1 < right.x0
    frame = ax.get_window_extent()
    for (start, end), box in zip(PHASES.values(), places, strict=True):
        assert box.y0 >= frame.y1
        assert (box.x0 + box.x1) / 2 == pytest.approx(frame.x0 + (start + end) / 200 * frame.width, abs=1)
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1


def test_every_other_phase_is_shaded():
    ax = mark_phases(plt.subplots()[1], names=False)
    assert not ax.texts
    assert [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches] == [(19, 50), (81, 100)]


def test_relevant_instants_are_the_highest_peaks():
    relevance = explanation()["relevance"].sel(channel="vertical GRF")
    assert relevant_instants(relevance).tolist() == [30, 60]
    assert relevant_instants(relevance, count=1).tolist() == [30]
    assert relevant_instants(-relevance).tolist() == [80]
    assert relevant_instants(-abs(relevance)).tolist() == []


def test_relevant_instants_at_the_borders_and_on_other_axes():
    rows = xr.DataArray([bump(0) + 0.5 * bump(100)], dims=("trial", "time"), coords={"time": TIME / 100})
    assert relevant_instants(rows).tolist() == [0.0, 1.0]
    assert relevant_instants(xr.zeros_like(rows)).tolist() == []


def test_instants_are_of_the_mean_over_trials():
    rows = xr.DataArray([bump(20), bump(70), bump(70)], dims=("trial", "time"), coords={"time": TIME})
    assert relevant_instants(rows, count=1).tolist() == [70]


def test_a_signature_has_a_row_for_each_model():
    data = explanation()
    figure = plot_signature({"linear": data, "cnn-a": data.assign(relevance=100 * data["relevance"])}, "S01")
    first, second, bar = figure.axes
    assert first.get_shared_y_axes().joined(first, second)
    assert (first.get_xlabel(), second.get_xlabel()) == ("", STANCE)
    assert first.get_ylabel() == second.get_ylabel() == "vertical GRF (BW)"
    assert first.get_xlim() == (0, 100)
    assert "relevance" in bar.get_ylabel()
    assert "S01" in figure.get_suptitle()
    for ax, name in ((first, "linear"), (second, "cnn-a")):
        texts = [text.get_text() for text in ax.texts]
        assert f"{name}: 10 of 10 trials recognised" in texts
        assert {"30 %", "60 %"} < set(texts)
        marks = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "^"]
        assert marks == [30, 60]
        (lines,) = [c for c in ax.collections if isinstance(c, LineCollection)]
        # The scale of a model's outputs does not reach the picture.
        assert lines.get_array().max() == pytest.approx(1, abs=0.2)
        assert len(lines.get_segments()) == 10 * 101
    names = [text.get_text() for text in first.texts]
    assert set(PHASES) < set(names)
    assert not set(PHASES) & {text.get_text() for text in second.texts}


def test_texts_of_a_signature_do_not_overlap():
    figure = plot_signature({"linear": explanation(), "svm": explanation()}, "S01")
    for ax in figure.axes[:2]:
        places = boxes(ax)
        for number, box in enumerate(places):
            for other in places[number + 1 :]:
                assert not box.overlaps(other)
    title = figure._suptitle.get_window_extent()
    assert not any(title.overlaps(box) for box in boxes(figure.axes[0], set(PHASES)))


def test_curves_leave_room_for_the_marks():
    figure = plot_signature({"linear": explanation()}, "S01")
    figure.canvas.draw()
    ax = figure.axes[0]
    data = explanation()
    low = ax.transData.transform((0, float(data["signal"].sel(trial=data["subject"] == "S01").min())))[1]
    assert all(box.y1 < low for box in boxes(ax, {"30 %", "60 %"}))


def test_a_model_that_recognises_nobody_keeps_its_row():
    figure = plot_signature({"weak": missed(explanation(), "S01"), "strong": explanation()}, "S01")
    weak, strong = figure.axes[:2]
    assert "weak: 0 of 10 trials recognised" in [text.get_text() for text in weak.texts]
    assert not weak.collections
    assert strong.collections


def test_only_recognised_trials_are_drawn():
    data = explanation()
    data["target"].values[np.flatnonzero(data["subject"] == "S01")[:3]] = 0
    ax = plot_signature({"linear": data}, "S01").axes[0]
    assert "linear: 7 of 10 trials recognised" in [text.get_text() for text in ax.texts]
    (lines,) = [c for c in ax.collections if isinstance(c, LineCollection)]
    assert len(lines.get_segments()) == 7 * 101


def test_signatures_that_cannot_be_shown_are_refused():
    with pytest.raises(ValueError, match="no model recognised a trial of S01"):
        plot_signature({"linear": missed(explanation()), "svm": missed(explanation())}, "S01")
    with pytest.raises(ValueError, match="no subject 'S09'; the explanation has S00, S01, S02"):
        plot_signature({"linear": explanation()}, "S09")
    both = explanation(("vertical", "fore-aft"))
    with pytest.raises(ValueError, match="2 channels; say which to draw"):
        plot_signature({"linear": both}, "S01")
    assert plot_signature({"linear": both}, "S01", "fore-aft").axes[0].get_ylabel() == "fore-aft (BW)"


def test_trials_explained_in_windows_have_no_one_prediction():
    data = explanation()
    windowed = data.assign(target=(("trial", "window"), np.stack([data["target"]] * 2, axis=1)))
    with pytest.raises(ValueError, match=r"one prediction per window; choose a window with isel\(window="):
        plot_signature({"linear": windowed}, "S01")
    assert plot_people(windowed.isel(window=1)).get_ylabel() == "person"


def rows(ax: Axes) -> np.ma.MaskedArray:
    (mesh,) = [c for c in ax.collections if isinstance(c, QuadMesh)]
    return np.ma.masked_invalid(mesh.get_array()).reshape(-1, len(TIME))


def test_people_are_rows_on_a_scale_of_their_own():
    data = explanation()
    data["relevance"].values[data["subject"].values == "S01"] *= 100
    ax = plot_people(data)
    assert (ax.get_xlabel(), ax.get_ylabel()) == (STANCE, "person")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["S00", "S01", "S02"]
    assert ax.yaxis_inverted()
    assert ax.get_xlim() == (0, 100)
    found = rows(ax)
    assert found.argmax(1).tolist() == [30, 30, 30]
    np.testing.assert_allclose(found[0], found[1], atol=1e-12)
    assert found.max() == pytest.approx(1)
    for left, right in pairwise(boxes(ax)):
        assert left.x1 < right.x0


def test_people_that_are_not_recognised_have_a_blank_row():
    data = missed(explanation(), "S01")
    data["relevance"].values[data["subject"].values == "S02"] = 0
    found = rows(plot_people(data))
    assert found.mask.all(1).tolist() == [False, True, True]
    with pytest.raises(ValueError, match="no trial was recognised"):
        plot_people(missed(explanation()))


def test_people_of_one_channel():
    both = explanation(("vertical", "fore-aft"))
    both["relevance"].loc[{"channel": "fore-aft"}] = bump(50)
    ax = plt.subplots()[1]
    assert plot_people(both, "fore-aft", ax) is ax
    assert rows(ax).argmax(1).tolist() == [50, 50, 50]
    with pytest.raises(ValueError, match="2 channels; say which to draw"):
        plot_people(both)
    with pytest.raises(ValueError, match="no channel 'lateral'"):
        plot_people(both, "lateral")
