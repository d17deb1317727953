from __future__ import annotations

import mne
import numpy as np
import pytest
import torch
from reference.eeg_explanations import explanation
from torch import nn

import signalrp
from signalrp.domains.eeg.bases import ica_basis
from signalrp.domains.eeg.data import info_of, to_epochs
from signalrp.domains.eeg.segments import (
    BANDS,
    artefact_segments,
    band_segments,
    component_segments,
    electrode_segments,
    region_segments,
    window_segments,
)
from signalrp.inspection import DFT, Linear
from signalrp.validation import perturbation_curves
from signalrp.validation.perturbation.segments import pieces_of

CHANNELS = ["Fp1", "Fp2", "Fz", "C3", "C4", "P7", "P8", "Oz"]


@pytest.fixture(scope="module")
def data():
    return explanation(CHANNELS)


@pytest.fixture(scope="module")
def signal(data):
    return data["signal"].assign_coords(label=data["label"])


def named(labels) -> list[str]:
    return ["-" if number < 0 else labels.attrs["names"][number] for number in labels.values.ravel()]


def test_every_electrode_is_a_segment(signal):
    labels = electrode_segments(signal)
    assert labels.dims == ("channel",)
    assert named(labels) == CHANNELS
    assert pieces_of(labels, signal).count == len(CHANNELS)


def test_regions_are_segments(signal):
    found = named(region_segments(signal))
    assert found == ["frontal"] * 3 + ["central"] * 2 + ["occipito-temporal"] * 2 + ["occipital"]
    sides = region_segments(signal, sides=True)
    assert named(sides)[:3] == ["left frontal", "right frontal", "midline frontal"]
    assert pieces_of(sides, signal).count == 8
    other = signal.assign_coords(kind=("channel", ["eog", "eog", *["eeg"] * 6]))
    assert named(region_segments(other))[:3] == ["-", "-", "frontal"]


def test_windows_of_one_width(signal):
    labels = window_segments(signal, 100)
    time = 1e3 * signal["time"].values
    for name, instant in zip(named(labels), time, strict=True):
        low, high = (float(text) for text in name.removesuffix(" ms").split(" to "))
        assert low - 0.51 <= instant <= high + 0.51
    sizes = np.bincount(labels.values)
    assert sizes.sum() == 90
    assert set(sizes[:-1]) <= {12, 13}
    assert 7 <= sizes[-1] <= 19
    assert (np.diff(labels.values) >= 0).all()
    one = window_segments(signal, 10_000)
    assert set(one.values.tolist()) == {0}
    each = window_segments(signal, 1)
    assert each.values.tolist() == list(range(90))


def test_the_last_sample_of_an_epoch_is_no_window(signal):
    """MNE's epochs hold both ends: 91 samples from -0.2 to 0.5 s are seven windows of 100 ms, not eight."""
    whole = signal.isel(time=slice(10)).assign_coords(time=("time", np.arange(10) / 10, {"units": "s"}))
    for count, expected in ((8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2])):
        labels = window_segments(whole.isel(time=slice(count)), 400)
        assert np.bincount(labels.values).tolist() == expected
    assert window_segments(whole.isel(time=slice(9)), 400).attrs["names"] == ["0 to 300 ms", "400 to 800 ms"]


def test_windows_by_name(signal):
    labels = window_segments(signal, {"P1": (80, 130), "N170": (130, 200)})
    time = 1e3 * signal["time"].values
    expected = np.where((time >= 80) & (time < 130), "P1", np.where((time >= 130) & (time < 200), "N170", "-"))
    assert named(labels) == expected.tolist()


def test_limits_of_windows_hold_to_the_sample(signal):
    """0.1 s is no number of floating point; a sample there belongs to the window that begins."""
    fine = signal.isel(time=slice(10)).assign_coords(time=("time", np.arange(10) * 0.1, {"units": "s"}))
    assert named(window_segments(fine, {"a": (0, 300), "b": (300, 700)})) == ["a"] * 3 + ["b"] * 4 + ["-"] * 3
    assert window_segments(fine, 300).values.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    early = fine.assign_coords(time=("time", -0.2 + np.arange(10) * 0.1, {"units": "s"}))
    assert window_segments(early, 300).values.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert named(window_segments(early, {"a": (-200, 100), "b": (100, 300)})) == ["a"] * 3 + ["b"] * 2 + ["-"] * 5
    single = fine.assign_coords(time=("time", (np.arange(10) * 0.1).astype(np.float32), {"units": "s"}))
    assert window_segments(single, 300).values.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert named(window_segments(single, {"a": (300, 700), "b": (700, 900)})) == [*"---", *"aaaa", *"bb", "-"]
    exact = fine.assign_coords(time=("time", np.arange(10) / 8, {"units": "s"}))
    assert named(window_segments(exact, {"a": (125, 375), "b": (375, 500)})) == ["-", "a", "a", "b", *["-"] * 6]


def test_bands_are_segments_of_the_spectrum(signal):
    labels = band_segments(signal)
    frequency = np.fft.rfftfreq(90, 1 / 128)
    np.testing.assert_allclose(labels["frequency"], frequency, atol=1e-9)
    for name, value in zip(named(labels), frequency, strict=True):
        assert name == next((band for band, (low, high) in BANDS.items() if low <= value < high), "-")
    assert named(labels)[0] == "-"
    assert named(band_segments(signal, {"SSVEP": (19, 21)})).count("SSVEP") == 1


def test_artefacts_are_segments_of_trials(signal):
    blink, muscle = np.zeros((12, 90), bool), np.zeros((12, 8, 90), bool)
    blink[2, 30:50] = True
    muscle[2, 1, 40:60] = True
    muscle[5] = True
    labels = artefact_segments(signal, {"blink": blink, "muscle": muscle})
    assert labels.dims == ("trial", "channel", "time")
    expected = np.where(blink[:, None], 0, np.where(muscle, 1, -1))
    np.testing.assert_array_equal(labels.values, expected)
    turned = artefact_segments(signal, {"muscle": muscle, "blink": blink})
    np.testing.assert_array_equal(turned.values == 0, muscle)
    alone = artefact_segments(signal, {"blink": blink})
    assert alone.dims == ("trial", "time")
    assert (alone.values == 0).sum() == 20


def test_artefacts_beside_windows_of_everything_else(signal):
    blink = np.zeros((12, 90), bool)
    blink[2, 30:50] = True
    labels = artefact_segments(signal, {"blink": blink}, width=100)
    windows = window_segments(signal, 100)
    assert labels.attrs["names"] == ["blink", *windows.attrs["names"]]
    np.testing.assert_array_equal(labels.values, np.where(blink, 0, 1 + windows.values))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.flat = nn.Linear(8 * 90, 2, bias=False)
        with torch.no_grad():
            self.flat.weight.mul_(1e5)

    def forward(self, x):
        return self.flat(x.flatten(1))


def test_every_kind_of_segment_can_be_removed(signal):
    torch.manual_seed(0)
    net = Net().double().eval()
    plain = signalrp.explain(net, signal, composite=signalrp.Epsilon(1e-12), per_unit=True)
    blink = np.zeros((12, 90), bool)
    blink[:, 30:50] = True
    kinds = {
        "electrodes": (electrode_segments(signal), None, 8),
        "regions": (region_segments(signal), None, 4),
        "windows": (window_segments(signal, 100), None, 7),
        "artefacts": (artefact_segments(signal, {"blink": blink}, 100), None, 8),
        "bands": (band_segments(signal), DFT(), 5),
    }
    ica = fitted(plain, 5)
    basis = ica_basis(ica, info_of(signal))
    kinds["components"] = (component_segments(basis), basis, 6)
    for name, (labels, transform, count) in kinds.items():
        seen = plain if transform is None else signalrp.inspect(plain, transform)
        curves = perturbation_curves(net, seen, segments=labels, basis=transform, fill="zero", repeats=2)
        assert curves.sizes["step"] == count + 1, name
        assert np.isfinite(curves["output"]).all(), name
        # of a linear model the most relevant segment takes its relevance with it
        sums = np.stack([of_segment(seen["relevance"], labels, number) for number in range(len(labels.attrs["names"]))])
        dropped = curves["output"].sel(order="relevance", direction="morf")
        np.testing.assert_allclose(dropped[0] - dropped[1], sums.max(0), rtol=0, atol=1e-9)


def of_segment(relevance, labels, number) -> np.ndarray:
    mask = labels.drop_vars(list(labels.coords)) == number
    bare = relevance.drop_vars(list(relevance.coords))
    return bare.where(mask, 0).sum([dim for dim in bare.dims if dim != "trial"]).values


def fitted(data, count):
    with mne.use_log_level("error"):
        ica = mne.preprocessing.ICA(count, random_state=0, max_iter=2000)
        return ica.fit(to_epochs(data["signal"]))


def test_components_and_what_is_left_of_them():
    names = ["ICA000", "ICA001", "rest000", "rest001"]
    labels = component_segments(Linear(np.eye(4), names=names))
    assert named(labels) == ["ICA000", "ICA001", "rest", "rest"]
    assert labels["component"].values.tolist() == names
    whole = component_segments(Linear(np.eye(2), names=names[:2]))
    assert whole.attrs["names"] == names[:2]


def test_pieces_that_are_not_there_are_refused(signal):
    with pytest.raises(ValueError, match="width of a window is 0 ms; give a positive one"):
        window_segments(signal, 0)
    with pytest.raises(ValueError, match="Mask 'late' covers no sample"):
        window_segments(signal, {"late": (900, 1000)})
    with pytest.raises(ValueError, match="Mask 'b' overlaps"):
        window_segments(signal, {"a": (0, 100), "b": (50, 150)})
    with pytest.raises(ValueError, match="ms of a time axis in s, found 'ms'"):
        window_segments(signal.assign_coords(time=("time", np.arange(90), {"units": "ms"})), 10)
    with pytest.raises(ValueError, match=r"band slow \(0.1 to 1 Hz\) holds none .* 1.42 Hz apart up to 64 Hz"):
        band_segments(signal, {"slow": (0.1, 1)})
    with pytest.raises(ValueError, match="There are no artefacts"):
        artefact_segments(signal, {})
    with pytest.raises(ValueError, match="No sample of any trial is marked as blink or muscle"):
        artefact_segments(signal, {"blink": np.zeros((12, 90), bool), "muscle": np.zeros((12, 90), bool)})
    for wrong in (np.zeros((12, 90)), np.ones((90,), bool), np.ones((12, 8), bool)):
        with pytest.raises(ValueError, match=r"expected bool \(trial, time\) or \(trial, channel, time\), \(12, 90\)"):
            artefact_segments(signal, {"blink": wrong})
    with pytest.raises(ValueError, match="neither a position nor a name"):
        region_segments(explanation(["Fz"], place=False)["signal"].assign_coords(channel=["E1"]))
