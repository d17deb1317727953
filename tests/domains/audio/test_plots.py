from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.collections import LineCollection, PolyCollection, QuadMesh
from reference.figures import closed_figures, texts_in_the_way
from reference.small_audio import RATE, deaf_but_to, explained, net, packed_clips, tones

import signalrp
from signalrp.domains.audio.aligned import aligned, recorded, reference_instants
from signalrp.domains.audio.data import from_arrays
from signalrp.domains.audio.drawing import per_ms
from signalrp.domains.audio.frontends import LogPower, Spectrogram
from signalrp.domains.audio.harmonics import fundamental, harmonic_share, harmonic_table
from signalrp.domains.audio.plots import (
    plot_class_means,
    plot_harmonics,
    plot_spectrogram,
    plot_views,
    plot_waveform,
)
from signalrp.domains.audio.time_frequency import decibels, time_frequency
from signalrp.groups import trial_groups
from signalrp.inspection import STFT, inspect

__all__ = ["closed_figures"]


@pytest.fixture(scope="module")
def explanation():
    return explained()


@pytest.fixture(scope="module")
def speech(shared_data):
    clips = packed_clips(shared_data, range(0, 3000, 150))
    return from_arrays(
        clips, RATE, np.arange(20) // 10, classes=["one", "two"], length=8000, shorter="random", longer="loudest"
    )


@pytest.fixture(scope="module")
def spoken(speech):
    return signalrp.explain(net(), speech, classes=["one", "two"], per_unit=True)


def shown(figure, kind):
    """What is drawn in a figure, colour bars left out."""
    axes = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    return [found for ax in axes for found in ax.collections if isinstance(found, kind)]


def pictured(signal):
    """Explanation of a linear net that sees spectrograms in dB."""
    seen = LogPower(Spectrogram(RATE, 128, 64), ref="silence").apply_to(signal)
    return xr.Dataset({"signal": seen, "relevance": seen * np.cos(np.arange(seen.sizes["frame"]))})


def test_the_colour_of_a_waveform_is_relevance_per_ms(explanation):
    relevance = explanation["relevance"][1, 0].values.astype(np.float64)
    found = per_ms(explanation["relevance"][1, 0], 0.002).values
    # 16 samples at 8 kHz, the middle one being the ninth
    expected = [relevance[max(0, i - 8) : i + 8].sum() / 2 for i in range(len(relevance))]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    figure = plot_waveform(explanation, 1, window=0.002)
    (lines,) = shown(figure, LineCollection)
    np.testing.assert_allclose(np.sort(lines.get_array()), np.sort(expected), atol=1e-9)
    assert lines.norm.vmax == -lines.norm.vmin == pytest.approx(np.abs(expected).max())
    assert figure.axes[0].get_title() == f"clip_1.wav, true class two, explained: {['one', 'two'][_predicted(1)]}"
    assert figure.axes[1].get_xlabel() == "time (s)"
    assert "per ms\n(moving window of 2 ms)" in figure.axes[2].get_ylabel()
    assert not texts_in_the_way(figure)


def _predicted(trial):
    return int(explained()["output"][trial].values.argmax())


def test_long_waveforms_keep_their_extremes():
    rng = np.random.default_rng(0)
    signal = from_arrays(rng.uniform(-0.1, 0.1, (1, 50000)).astype(np.float32), RATE)
    signal[0, 0, 30001], signal[0, 0, 41234] = 0.9, -0.8
    data = xr.Dataset({"signal": signal, "relevance": 0 * signal + np.linspace(0, 1, 50000)})
    (lines,) = shown(plot_waveform(data), LineCollection)
    points = np.concatenate(lines.get_segments())
    assert len(points) < 20000
    assert points[:, 1].max() == pytest.approx(0.9)
    assert points[:, 1].min() == pytest.approx(-0.8)
    time = points[points[:, 1].argmax(), 0]
    assert time == pytest.approx(30001 / RATE, abs=0.005)
    # columns are coloured by what lies in them
    np.testing.assert_allclose(np.sort(lines.get_array())[::200], np.linspace(0, 8, 21)[:-1], atol=0.06)


def test_a_spectrogram_shows_power_and_relevance_of_every_bin(explanation):
    figure = plot_spectrogram(explanation, 2, n_fft=128, hop=64)
    grey, coloured = shown(figure, QuadMesh)
    seen = time_frequency(explanation.isel(trial=[2]), 128, 64)
    np.testing.assert_allclose(grey.get_array(), decibels(seen)[0, 0])
    relevance = seen["relevance"].values[0, 0]
    np.testing.assert_allclose(coloured.get_array(), relevance)
    limit = np.percentile(np.abs(relevance), 99.8)
    assert coloured.norm.vmax == -coloured.norm.vmin == pytest.approx(limit)
    np.testing.assert_allclose(
        coloured.get_alpha(), 0.9 * np.sqrt(np.minimum(np.abs(relevance) / limit, 1)), atol=1e-6
    )  # fmt: skip
    assert figure.axes[0].get_ylim() == (0, 4000 + RATE / 256)
    assert not texts_in_the_way(figure)


def test_a_spectrogram_has_the_fundamental_and_its_harmonics(explanation):
    frame = np.linspace(0, 0.2, 5)
    f0 = xr.DataArray(np.full((4, 5), 120.0) + np.arange(4)[:, None], {"frame": frame}, ("trial", "frame"))
    for scale, lowest in (("linear", 0), ("log", 62.5)):
        figure = plot_spectrogram(explanation, 3, n_fft=128, f0=f0, harmonics=3, highest=1000, scale=scale)
        lines = figure.axes[0].get_lines()
        assert [line.get_ydata()[0] for line in lines] == [123, 246, 369]
        np.testing.assert_array_equal(lines[1].get_xdata(), frame)
        assert figure.axes[0].get_ylim() == (lowest, 1000)
        assert not texts_in_the_way(figure)


def test_views_are_of_the_same_relevance(spoken, speech):
    figure = plot_views(spoken, 4, f0=fundamental(speech))
    main, top, right, corner = figure.axes[:4]
    assert main.get_shared_x_axes().joined(main, top)
    assert main.get_shared_y_axes().joined(main, right)
    total = float(spoken["relevance"][4].sum())
    (text,) = corner.texts
    numbers = [float(line.split(": ")[1]) for line in text.get_text().split("\n")[1:]]
    np.testing.assert_allclose(numbers, total, rtol=1e-3)
    assert not texts_in_the_way(figure)


def test_the_view_in_frequency_finds_the_tone_that_the_net_hears():
    signal = tones([500, 2000])
    explanation = signalrp.explain(deaf_but_to(500), signal, 0, "epsilon", per_unit=True)
    right = plot_views(explanation).axes[2]
    positive = right.collections[0].get_paths()[0].vertices
    assert positive[positive[:, 0].argmax(), 1] == pytest.approx(500, abs=RATE / 256)
    near = positive[(positive[:, 1] > 1000), 0]
    assert np.abs(near).max() < 1e-3 * positive[:, 0].max()


def test_onset_and_loudest_instant_of_sounds_that_are_known():
    values = np.zeros((2, 1, 4000), np.float32)
    values[0, 0, 1000:2000], values[1, 0, 2500:3500] = 0.1, 0.1
    values[:, :, 3000:3200] *= 5
    data = xr.Dataset({"signal": from_arrays(values, RATE)})
    # the energy is that of 20 ms, 160 samples, of which a hundredth is enough
    np.testing.assert_allclose(reference_instants(data, "onset"), [1000 - 79, 2500 - 60], atol=25)
    assert 3000 <= reference_instants(data, "peak")[1] <= 3200
    assert reference_instants(data, None).tolist() == [0, 0]
    with pytest.raises(ValueError, match="onset, peak or None"):
        reference_instants(data, "middle")


def test_what_surrounds_a_recording_does_not_count(explanation):
    known = recorded(explanation)
    for trial, (first, count) in enumerate(
        zip(explanation["offset"].values, explanation["samples"].values, strict=True)
    ):
        np.testing.assert_array_equal(np.flatnonzero(known[trial]), np.arange(first, first + count))
    assert recorded(explanation.drop_vars("offset")).all()


@pytest.mark.parametrize("shape", [(6, 30), (6, 3, 30)])
def test_aligned_means_are_those_of_loops(shape):
    rng = np.random.default_rng(1)
    values = rng.standard_normal(shape)
    zero, known = rng.integers(0, 20, 6), rng.random((6, 30)) < 0.7
    dims = ("trial", "frequency", "frame")[-len(shape) :] if len(shape) == 3 else ("trial", "frame")
    array = xr.DataArray(values, {"frame": 0.5 + 0.01 * np.arange(30)}, dims)
    found = aligned(array, zero, known)
    for place, instant in enumerate(found["frame"].values):
        lag = round(instant / 0.01)
        there = [(trial, zero[trial] + lag) for trial in range(6)]
        there = [values[trial, ..., i] for trial, i in there if 0 <= i < 30 and known[trial, i]]
        assert found["count"][place] == len(there)
        if there:
            np.testing.assert_allclose(found["mean"][..., place], np.mean(there, 0))
        if len(there) > 1:
            error = np.std(there, 0, ddof=1) / np.sqrt(len(there))
            np.testing.assert_allclose(found["error"][..., place], error)
    np.testing.assert_allclose(aligned(array, 0 * zero, known)["frame"], array["frame"])


@pytest.mark.parametrize("align", ["onset", "peak", None])
def test_class_means_say_of_how_many_sounds_they_are(spoken, align):
    figure = plot_class_means(spoken, align=align, shown=0.6)
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert [title.split(" ")[0] for title in titles] == ["one", "two"]
    for title in titles:
        most, least = title[:-1].split("= ")[1].split(" to ")
        assert int(most) == 10
        assert 6 <= int(least) < 10
    assert len(shown(figure, PolyCollection)) == 2 * 2
    assert not texts_in_the_way(figure)


def test_class_means_of_spectrograms_and_of_other_groups(spoken, speech):
    figure = plot_class_means(inspect(spoken, STFT("hann", 256, 128)), by="predicted", highest=2000)
    assert {ax.get_ylim() for ax in figure.axes[:-1]} == {(0, 2000)}
    assert not texts_in_the_way(figure)
    seen = pictured(speech)
    grey, coloured = shown(plot_class_means(seen, by=None, align=None, shown=0.01), QuadMesh)
    known = recorded(seen).T
    middle = known.sum(1).argmax()
    mean = seen["relevance"].values[known[middle], 0, :, middle].mean(0)
    columns = coloured.get_array()
    assert np.abs(columns - mean[:, None]).max(0).min() < 1e-5
    assert grey.get_array().shape == columns.shape


def test_every_value_of_a_coordinate_is_a_group(explanation):
    found = trial_groups(explanation.assign_coords(word=("trial", ["b", "a", "b", "b"])), "word", [0, 1, 3])
    assert {name: trials.tolist() for name, trials in found.items()} == {"a": [1], "b": [0, 3]}
    assert {name: trials.tolist() for name, trials in trial_groups(explanation, "label", None).items()} == {
        "one": [0, 2],
        "two": [1, 3],
    }


def test_shares_on_harmonics_are_drawn_with_their_intervals(explanation):
    f0 = xr.DataArray([100.0, 120, 140, 160], dims="trial")
    table = harmonic_table(harmonic_share(inspect(explanation, STFT("hann", 512, 128)), f0, highest=1000))
    figure = plot_harmonics({"raw": table, "other": table * 0.5})
    left, right = figure.axes
    assert left.get_yticklabels()[0].get_text() == "share on the harmonics"
    assert "share of the bins" in [text.get_text() for text in right.get_yticklabels()]
    line = left.containers[0]
    np.testing.assert_allclose(line[0].get_xdata(), table["estimate"][:4])
    (bars,) = line[2]
    ends = np.array([segment[:, 0] for segment in bars.get_segments()])
    np.testing.assert_allclose(ends, table[["low", "high"]][:4], atol=1e-12)
    assert not texts_in_the_way(figure)
    plain = plot_harmonics(table)
    assert not plain.legends
    assert not texts_in_the_way(plain)


def test_what_cannot_be_drawn_is_refused(explanation):
    stereo = explanation.isel(channel=[0, 0])
    f0 = xr.DataArray(np.full((3, 5), 120.0), {"frame": np.arange(5) / 10}, ("trial", "frame"))
    seen = inspect(explanation, STFT("hann", 128, 64))
    for call, match in {
        lambda: plot_waveform(explanation, 4): "no trial 4; the explanation has 4",
        lambda: plot_waveform(stereo): "has 2 channels",
        lambda: plot_waveform(explanation, window=1e-5): "shorter than a sample",
        lambda: plot_waveform(seen): "over time, is needed",
        lambda: plot_views(explanation.drop_vars("per_unit")): "per_unit",
        lambda: plot_spectrogram(explanation, f0=f0): "4 trials over frames are expected",
        lambda: plot_spectrogram(explanation, scale="mel"): "choose linear or log",
        lambda: plot_class_means(stereo): "has 2 channels",
        lambda: plot_class_means(explanation, shown=0): "above 0 and up to 1",
        lambda: plot_class_means(explanation, by="colour"): "no 'colour' along trial",
        lambda: plot_class_means(explanation, trials=[]): "no trial to show",
        lambda: plot_class_means(explanation, trials=[False] * 4): "no trial to show",
        lambda: plot_class_means(explanation, trials=[9]): "positions up to 3",
        lambda: plot_class_means(explanation, trials=[True]): "boolean mask of 4",
        lambda: plot_harmonics({}): "no table to draw",
        lambda: plot_harmonics(pd.DataFrame({"estimate": [1.0]})): "no table of shares",
    }.items():
        with pytest.raises(ValueError, match=match):
            call()
