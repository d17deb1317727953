from __future__ import annotations

import mne
import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from reference.eeg_explanations import MUSE, explanation
from reference.figures import closed_figures, texts_in_the_way

from signalrp.domains.eeg import drawing
from signalrp.domains.eeg.bases import ica_basis, relevance_by_band, relevance_by_component, time_frequency
from signalrp.domains.eeg.basis_plots import plot_bands, plot_components, plot_time_frequency
from signalrp.domains.eeg.data import info_of, to_epochs
from signalrp.domains.eeg.plots import (
    channels_at,
    plot_channels,
    plot_regions,
    plot_scalp,
    plot_signal_and_relevance,
)
from signalrp.domains.eeg.regions import head_order, region_names, regions

__all__ = ["closed_figures"]

CAPS = {
    "4": {"channels": MUSE, "cap": "easycap-M1"},
    "32": {"cap": "biosemi32"},
    "64": {"cap": "biosemi64"},
    "128": {"cap": "biosemi128"},
}


@pytest.fixture(scope="module")
def data():
    return explanation()


@pytest.fixture
def drawn(monkeypatch):
    """What is asked of MNE's scalp maps."""
    calls = []

    def record(values, info, norm):
        calls.append((values, info, (norm.vmin, norm.vmax)))

    plain = drawing.draw_scalp

    def draw(ax, values, info, norm):
        record(np.asarray(values), info, norm)
        plain(ax, values, info, norm)

    monkeypatch.setattr(drawing, "draw_scalp", draw)
    monkeypatch.setattr("signalrp.domains.eeg.basis_plots.draw_scalp", draw)
    return calls


def meshes(figure) -> list[QuadMesh]:
    found = [c for ax in figure.axes if ax.get_label() != "<colorbar>" for c in ax.collections]
    return [c for c in found if isinstance(c, QuadMesh)]


def curves(ax) -> list[np.ndarray]:
    return [np.asarray(line.get_ydata()) for line in ax.lines if len(line.get_ydata()) > 2]


def bands_around(ax) -> list:
    return [c for c in ax.collections if c.get_paths()]


def bars(figure) -> list:
    return [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]


def read_bar(ax) -> list[float]:
    """The numbers beside a colour bar as they are read, each of which must be where it is written."""
    ax.figure.canvas.draw()
    offset = ax.yaxis.get_offset_text().get_text()
    low, high = ax.get_ylim()
    ticks = [tick for tick in ax.yaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    numbers = [float((tick.label1.get_text() + offset.replace("1e", "e")).replace("−", "-")) for tick in ticks]
    np.testing.assert_allclose(numbers, [tick.get_loc() for tick in ticks], rtol=1e-6, atol=1e-12)
    return numbers


def mean_of(data, label):
    return data["relevance"].values[data["label"].values == label].mean(0)


# Channel × time


def test_a_channel_map_is_the_mean_relevance_from_front_to_back(data):
    figure = plot_channels(data)
    order = head_order(data)
    for label, mesh in enumerate(meshes(figure)):
        np.testing.assert_allclose(mesh.get_array(), mean_of(data, label)[order], rtol=1e-12)
        assert mesh.get_cmap().name == "RdBu_r"
    largest = max(np.abs(mean_of(data, label)).max() for label in (0, 1))
    assert {mesh.get_clim() for mesh in meshes(figure)} == {(-largest, largest)}
    left, right, bar = figure.axes
    assert (left.get_title(), right.get_title()) == ("face (n = 6)", "house (n = 6)")
    assert left.get_xlabel() == "time (s)"
    assert bar.get_ylabel() == "mean relevance"
    numbers = read_bar(bar)
    assert 0 in numbers
    assert 0.5 * largest < max(numbers) <= largest


def test_the_front_is_at_the_top_whatever_the_number_of_panels(data):
    for by in (None, "label"):
        for ax in plot_channels(data, by).axes[:-1]:
            assert ax.get_ylim() == (31.5, -0.5)
    names = [label.get_text() for label in plot_channels(data).axes[0].get_yticklabels()]
    assert names == data["channel"].values[head_order(data)].tolist()


def test_many_channels_are_named_by_region():
    data = explanation(cap="biosemi128", trials=4, times=20)
    ax = plot_channels(data).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == region_names(data)
    ordered = regions(data).values[head_order(data)]
    for tick, name in zip(ax.get_yticks(), region_names(data), strict=True):
        assert tick == pytest.approx(np.flatnonzero(ordered == name).mean())


@pytest.mark.parametrize("count", CAPS)
def test_texts_of_channel_maps_do_not_overlap(count):
    data = explanation(trials=4, times=30, **CAPS[count])
    found = texts_in_the_way(plot_channels(data))
    # names of channels of one electrode each stand as close as lines of a page
    names = set(data["channel"].values)
    assert [pair for pair in found if not names >= set(pair)] == []


def test_chosen_trials_and_one_scale_given(data):
    right = data["label"] == data["target"]
    figure = plot_channels(data, None, right, drawing.Normalize(-7, 7))
    (mesh,) = meshes(figure)
    expected = data["relevance"].values[right.values].mean(0)[head_order(data)]
    np.testing.assert_allclose(mesh.get_array(), expected, rtol=1e-12)
    assert mesh.get_clim() == (-7, 7)
    assert figure.axes[0].get_title() == "n = 10"


# Scalp maps


def test_scalp_maps_show_the_mean_of_each_window_on_one_scale(data, drawn):
    data = data.assign(relevance=data["relevance"] * (1 + 9 * data["label"]))
    figure = plot_scalp(data, {"P1": (80, 130), "N170": (130, 200)})
    time = 1e3 * data["time"].values
    expected = [
        mean_of(data, label)[:, (time >= low) & (time < high)].mean(1)
        for label in (0, 1)
        for low, high in ((80, 130), (130, 200))
    ]
    assert len(drawn) == 4
    for (values, info, _), mean in zip(drawn, expected, strict=True):
        np.testing.assert_allclose(values, mean, rtol=1e-12)
        assert info.ch_names == data["channel"].values.tolist()
    largest = np.abs(expected).max()
    images = [image for ax in figure.axes for image in ax.images]
    assert {limits for _, _, limits in drawn} == {image.get_clim() for image in images} == {(-largest, largest)}
    assert {image.get_cmap().name for image in images} == {"RdBu_r"}
    assert [ax.get_title() for ax in figure.axes[:4]] == ["P1\n80 to 130 ms", "N170\n130 to 200 ms", "", ""]
    assert [ax.get_ylabel() for ax in figure.axes[:4]] == ["face (n = 6)", "", "house (n = 6)", ""]
    (bar,) = bars(figure)
    assert bar.get_ylabel() == "mean relevance"
    assert 0.5 * largest < max(read_bar(bar)) <= largest
    assert texts_in_the_way(figure) == []


def test_a_scalp_map_is_that_of_mne():
    data = explanation(trials=2, times=20)
    figure = plot_scalp(data, 1000, by=None)
    mean = data["relevance"].values.mean((0, 2))
    expected, _ = mne.viz.plot_topomap(mean, info_of(data["signal"]), show=False)
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), expected.get_array(), rtol=1e-9)


@pytest.mark.parametrize("count", CAPS)
def test_caps_of_all_sizes_have_scalp_maps(count, drawn):
    data = explanation(trials=4, times=30, **CAPS[count])
    figure = plot_scalp(data, {"early": (0, 40)}, by=None)
    assert len(drawn[0][0]) == int(count)
    assert np.isfinite(figure.axes[0].images[0].get_array()).any()
    assert texts_in_the_way(figure) == []


def test_channels_that_are_no_eeg_are_not_on_the_scalp(drawn):
    data = explanation(["Fz", "Cz", "Pz", "C3", "C4"], trials=4, times=30)
    data = data.assign_coords(kind=("channel", ["eog", *["eeg"] * 4]))
    plot_scalp(data, 1000, by=None)
    assert drawn[0][1].ch_names == ["Cz", "Pz", "C3", "C4"]
    assert plot_channels(data, None).axes[0].get_ylim() == (3.5, -0.5)


def test_scalp_maps_without_positions_are_refused():
    with pytest.raises(ValueError, match="Fz, Cz, Pz have no position; set a montage"):
        plot_scalp(explanation(["Fz", "Cz", "Pz"], place=False))


# Time courses


def test_time_courses_of_regions_are_means_over_their_electrodes(data):
    figure = plot_regions(data)
    found = regions(data).values
    axes = {ax.get_title().split(" (")[0]: ax for ax in figure.axes}
    assert list(axes) == region_names(data)
    for name, ax in axes.items():
        own = data["relevance"].values[:, found == name].mean(1)
        for label, curve in enumerate(curves(ax)):
            np.testing.assert_allclose(curve, own[data["label"].values == label].mean(0), rtol=1e-9)
        assert f"({(found == name).sum()} electrode" in ax.get_title()
    assert len({ax.get_ylim() for ax in figure.axes}) == 1
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["face (n = 6), mean ± s.e.m.", "house (n = 6), mean ± s.e.m."]
    assert figure.axes[0].get_ylabel() == "relevance\nper electrode"


def test_the_spread_is_the_standard_error_over_trials(data):
    ax = plot_regions(data, by=None).axes[0]
    values = data["relevance"].values[:, regions(data).values == "frontal"].mean(1)
    mean, error = values.mean(0), values.std(0, ddof=1) / np.sqrt(12)
    (band,) = bands_around(ax)
    corners = band.get_paths()[0].vertices
    for edge in (mean + error, mean - error):
        for instant, value in zip(data["time"].values, edge, strict=True):
            assert np.isclose(corners, [instant, value], rtol=1e-9, atol=1e-15).all(1).any()


@pytest.mark.parametrize(("count", "sides"), [("4", False), ("4", True), ("32", True), ("128", True), ("128", False)])
def test_texts_of_regions_do_not_overlap(count, sides):
    data = explanation(trials=4, times=90, **CAPS[count])
    figure = plot_regions(data, sides=sides)
    assert {ax.get_title().split(" (")[0] for ax in figure.axes} == set(region_names(data, sides))
    assert texts_in_the_way(figure) == []
    first = [ax.get_position().bounds for ax in figure.axes]
    figure.canvas.draw()
    np.testing.assert_allclose([ax.get_position().bounds for ax in figure.axes], first, atol=1e-3)


def test_signal_in_microvolt_above_relevance(data):
    figure = plot_signal_and_relevance(data, ["Oz", "frontal", "left central"])
    above, below = figure.axes[:3], figure.axes[3:]
    places = [["Oz"], "frontal", "left central"]
    for ax, lower, place in zip(above, below, places, strict=True):
        rows = channels_at(data, place if isinstance(place, str) else place[0])
        for label in (0, 1):
            mask = data["label"].values == label
            expected = 1e6 * data["signal"].values[mask][:, rows].mean((0, 1))
            np.testing.assert_allclose(curves(ax)[label], expected, rtol=1e-9)
            expected = data["relevance"].values[mask][:, rows].mean((0, 1))
            np.testing.assert_allclose(curves(lower)[label], expected, rtol=1e-9)
    assert (above[0].get_ylabel(), below[0].get_ylabel()) == ("signal (µV)", "relevance")
    assert [ax.get_title() for ax in above] == ["Oz", "frontal (9)", "left central (5)"]
    assert texts_in_the_way(figure) == []


@pytest.mark.parametrize(("units", "label"), [("1", "signal (scaled)"), ("fT", "signal (fT)"), ("", "signal")])
def test_signals_in_other_units_are_shown_as_they_are(data, units, label):
    other = data.copy()
    other["signal"] = other["signal"].assign_attrs(units=units)
    figure = plot_signal_and_relevance(other, ["Oz"], by=None)
    assert figure.axes[0].get_ylabel() == label
    np.testing.assert_allclose(curves(figure.axes[0])[0], data["signal"].sel(channel="Oz").mean("trial"), rtol=1e-9)


def test_places_that_are_not_there_are_refused(data):
    with pytest.raises(
        ValueError, match=r"no electrode or region 'Q1'; choose of Fp1, .* \.\.\. or the regions frontal"
    ):
        plot_signal_and_relevance(data, ["Q1"])
    bare = explanation(["Fz", "Cz"], place=False).assign_coords(channel=["E1", "E2"])
    with pytest.raises(ValueError, match="no electrode or region 'frontal'; choose of E1, E2"):
        plot_signal_and_relevance(bare, ["frontal"])
    with pytest.raises(ValueError, match="There is no place to show"):
        plot_signal_and_relevance(data, [])
    with pytest.raises(ValueError, match="There is no 'mood' along trial"):
        plot_channels(data, "mood")


# Bands, time and frequency, components


def test_bars_and_maps_of_bands_are_their_relevance(data, drawn):
    figure = plot_bands(data)
    relevance = relevance_by_band(data)
    ax = figure.axes[0]
    heights = [patch.get_height() for patch in ax.patches]
    means = [relevance.isel(trial=np.flatnonzero(data["label"] == label)) for label in (0, 1)]
    expected = np.concatenate([mean.sum("channel").mean("trial") for mean in means])
    np.testing.assert_allclose(heights, expected, rtol=1e-9)
    assert sum(heights[:6]) == pytest.approx(data["relevance"].values[::2].sum((1, 2)).mean(), rel=1e-9)
    shown = np.stack([values for values, _, _ in drawn])
    np.testing.assert_allclose(shown, np.concatenate([mean.mean("trial") for mean in means]), rtol=1e-9)
    assert {limits for _, _, limits in drawn} == {(-np.abs(shown).max(), np.abs(shown).max())}
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels[1:3] == ["theta\n4 to 8 Hz", "alpha\n8 to 13 Hz"]
    assert labels[-2:] == ["gamma\nfrom 30 Hz", "other"]
    assert texts_in_the_way(figure) == []


def test_bands_without_positions_are_bars(drawn):
    data = explanation(["Fz", "Cz", "Pz"], place=False)
    figure = plot_bands(data, {"all": (0, np.inf)}, by=None)
    (bar,) = figure.axes[0].patches
    assert bar.get_height() == pytest.approx(data["relevance"].values.sum((1, 2)).mean(), rel=1e-9)
    assert drawn == []


def test_a_time_frequency_map_is_the_sum_over_electrodes():
    data = explanation(["Fz", "Cz", "P7", "P8"], trials=70)
    figure = plot_time_frequency(data, 0.25)
    seen = time_frequency(data, 0.25)["relevance"].sum("channel").transpose("trial", "frequency", "frame")
    expected = [seen.values[data["label"].values == label].mean(0) for label in (0, 1)]
    for mesh, mean in zip(meshes(figure), expected, strict=True):
        np.testing.assert_allclose(mesh.get_array(), mean, rtol=1e-9, atol=1e-12 * np.abs(mean).max())
    largest = np.abs(expected).max()
    np.testing.assert_allclose([mesh.get_clim() for mesh in meshes(figure)], [(-largest, largest)] * 2, rtol=1e-12)
    left, _, bar = figure.axes
    assert (left.get_xlabel(), left.get_ylabel(), left.get_ylim()) == ("time (s)", "frequency (Hz)", (0, 44))
    assert bar.get_ylabel() == "mean relevance"
    ends = {line.get_xdata()[0] for line in left.lines if line.get_linestyle() == "--"}
    assert ends == {data["time"].values[0], data["time"].values[-1]}
    assert texts_in_the_way(figure) == []
    some = plot_time_frequency(data, 0.25, ["occipito-temporal", "P8"], by=None)
    part = time_frequency(data.isel(channel=[2, 3]), 0.25)["relevance"].sum("channel").mean("trial")
    np.testing.assert_allclose(meshes(some)[0].get_array(), part.transpose("frequency", "frame"), rtol=1e-9, atol=1e-12)


def test_components_that_matter_most_come_first(drawn):
    data = explanation(["Fp1", "Fp2", "Fz", "C3", "C4", "Pz", "O1", "O2"])
    with mne.use_log_level("error"):
        epochs = to_epochs(data["signal"].assign_coords(label=data["label"]))
        ica = mne.preprocessing.ICA(6, random_state=0, max_iter=2000).fit(epochs)
    figure = plot_components(data, ica, 3)
    relevance = relevance_by_component(data, ica_basis(ica, epochs.info))
    total = relevance.sum("time").mean("trial")
    order = np.argsort(-np.abs(total.values[:6]))[:3]
    for (values, _, _), number in zip(drawn, order, strict=True):
        np.testing.assert_array_equal(values, ica.get_components()[:, number])
    for above, below, number in zip(figure.axes[:3], figure.axes[3:], order, strict=True):
        assert above.get_title() == f"ICA{number:03d}\nrelevance {float(total[number]):.3g}"
        for label in (0, 1):
            expected = relevance.values[data["label"].values == label][:, number].mean(0)
            np.testing.assert_allclose(curves(below)[label], expected, rtol=1e-9, atol=1e-15)
    title = f"mean relevance of all components {float(total[:6].sum()):.3g}, of the rest {float(total[6]):.3g}"
    assert figure.get_suptitle() == title
    assert texts_in_the_way(figure) == []


def test_the_rest_of_an_ica_is_no_component():
    data = explanation(["Fp1", "Fp2", "C3", "C4", "O1", "O2"])
    with mne.use_log_level("error"):
        epochs = to_epochs(data["signal"].assign_coords(label=data["label"]))
        ica = mne.preprocessing.ICA(2, random_state=0, max_iter=2000).fit(epochs)
    figure = plot_components(data, ica, 5)
    assert {ax.get_title().split("\n")[0] for ax in figure.axes[:2]} == {"ICA000", "ICA001"}
    assert len(figure.axes) == 4


def test_bases_need_relevance_per_unit(data):
    bare = data.drop_vars("per_unit")
    for plot in (plot_bands, plot_time_frequency):
        with pytest.raises(ValueError, match="per_unit=True"):
            plot(bare)
