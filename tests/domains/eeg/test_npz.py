from __future__ import annotations

import mne
import numpy as np
import pytest
import xarray as xr

from signalrp.domains.eeg.classes import classes_of
from signalrp.domains.eeg.data import from_epochs, to_epochs
from signalrp.domains.eeg.epoching import named_montage
from signalrp.domains.eeg.npz import read_npz, write_npz
from signalrp.domains.eeg.readers import read
from signalrp.manifests import DataError


def test_npz_comes_back_as_it_was(tmp_path):
    info = mne.create_info(["Fz", "Cz", "Pz"], 100.0, "eeg").set_montage(named_montage("colin27_1005"))
    values = np.random.default_rng(0).normal(scale=2e-5, size=(15, 3, 51))
    events = np.column_stack([100 * np.arange(15), np.zeros(15, int), np.arange(15) % 2 + 1])
    epochs = mne.EpochsArray(values, info, events, -0.2, {"go": 1, "stop": 2}, verbose="error")
    signal = from_epochs(epochs, "S02", title="toy").assign_coords(block=("trial", list("abcde" * 3)))
    path = write_npz(signal, tmp_path / "toy.npz")
    back = read(path)
    xr.testing.assert_identical(back.drop_attrs(deep=False), signal.drop_attrs(deep=False))
    assert {**back.attrs, "source": ""} == {**signal.attrs, "source": ""}
    assert to_epochs(back).event_id == to_epochs(signal).event_id
    assert read(path, ["stop"]).sizes["trial"] == 7
    assert read(path, {"any": ["go", "stop"]}).label.values.tolist() == [0] * 15
    assert sorted(file.name for file in tmp_path.iterdir()) == ["toy.npz"]


def test_npz_written_by_hand(tmp_path):
    values = np.arange(24.0, dtype=np.float32).reshape(4, 2, 3)
    np.savez(
        tmp_path / "hand.npz",
        signal=values,
        units="uV",
        channels=["Cz", "Pz"],
        sfreq=50.0,
        tmin=-0.02,
        trial_event=["b", "a", "a", "b"],
    )
    signal = read(tmp_path / "hand.npz")
    assert signal.dtype == np.float32
    np.testing.assert_allclose(signal.values, values * 1e-6, rtol=1e-6)
    np.testing.assert_allclose(signal.time, [-0.02, 0, 0.02], atol=1e-12)
    assert classes_of(signal) == ["a", "b"]
    assert signal.label.values.tolist() == [1, 0, 0, 1]
    assert signal.attrs["sfreq"] == pytest.approx(50)
    assert np.isnan(signal.x).all()


def test_npz_that_does_not_fit_is_told(tmp_path):
    good = {"signal": np.zeros((4, 2, 3)), "channels": ["Cz", "Pz"], "sfreq": 50.0, "trial_label": [0, 1, 0, 1]}

    def saved(**changes):
        np.savez(tmp_path / "x.npz", **{key: value for key, value in (good | changes).items() if value is not None})
        return tmp_path / "x.npz"

    assert read_npz(saved()).shape == (4, 2, 3)
    with pytest.raises(DataError, match=r"lacks the arrays channels, times \(or sfreq\); it has signal, trial_label"):
        read_npz(saved(channels=None, sfreq=None))
    with pytest.raises(DataError, match=r"lacks the arrays trial_label \(or trial_event\)"):
        read_npz(saved(trial_label=None))
    with pytest.raises(DataError, match=r"signal of shape \(4, 2, 3\) for 3 channels"):
        read_npz(saved(channels=["Cz", "Pz", "Oz"]))
    with pytest.raises(DataError, match=r"and \[4, 5\] trials"):
        read_npz(saved(trial_run=[1, 2, 3, 4, 5]))
    with pytest.raises(DataError, match="is in 'nV'; expected one of V, mV"):
        read_npz(saved(units="nV"))
    with pytest.raises(DataError, match="cut short or no npz file of plain arrays"):
        read_npz(saved(trial_run=np.array([{}, 1, 2, 3], dtype=object)))
    whole = saved().read_bytes()
    (tmp_path / "x.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cut short"):
        read_npz(tmp_path / "x.npz")
    with pytest.raises(FileNotFoundError, match=r"There is no file .*y\.npz"):
        read_npz(tmp_path / "y.npz")


def test_other_channels_keep_their_kind_and_unit(tmp_path):
    info = mne.create_info(["Fz", "VEOG", "pupil"], 100.0, ["eeg", "eog", "misc"])
    values = np.random.default_rng(0).normal(size=(6, 3, 20))
    events = np.column_stack([100 * np.arange(6), np.zeros(6, int), np.arange(6) % 2 + 1])
    signal = from_epochs(mne.EpochsArray(values, info, events, verbose="error"), picks="all")
    back = read_npz(write_npz(signal, tmp_path / "mixed.npz"))
    xr.testing.assert_identical(back.drop_attrs(deep=False), signal.drop_attrs(deep=False))
    assert back["kind"].values.tolist() == ["eeg", "eog", "misc"]
    assert back["unit"].values.tolist() == ["V", "V", "1"]
    one = {"signal": values[:, :2], "channels": ["Fz", "VEOG"], "sfreq": 100.0, "trial_label": np.arange(6) % 2}
    np.savez(tmp_path / "hand.npz", **one, kinds=["eeg", "eog"], units=["uV", "mV"])
    found = read_npz(tmp_path / "hand.npz")
    np.testing.assert_allclose(found.values, values[:, :2] * np.array([1e-6, 1e-3])[:, None])
    assert found.attrs["units"] == "V"


def test_integers_become_volts(tmp_path):
    counts = np.arange(-12, 12, dtype=np.int16).reshape(4, 2, 3)
    arrays = {"signal": counts, "units": "µV", "channels": ["Cz", "Pz"], "sfreq": 50.0, "trial_label": [0, 1, 0, 1]}
    np.savez(tmp_path / "counts.npz", **arrays)
    np.testing.assert_allclose(read_npz(tmp_path / "counts.npz").values, counts * 1e-6, rtol=1e-12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trial_label": [0, 1, -1, 1]}, "labels such as -1; expected the numbers of classes, from 0 on"),
        ({"trial_label": [0, 1, 0.5, 1]}, "labels such as 0.5; expected"),
        ({"trial_label": list("abab")}, "labels such as a; expected"),
        ({"trial_label": [0, 1, 2, 1], "classes": ["a", "b"]}, "labels up to 2, but 2 classes: a, b"),
        ({"trial_label": None, "trial_event": list("abca"), "classes": ["a", "b"]}, r"events \['c'\], which are none"),
        ({"positions": np.zeros((3, 3))}, r"positions of shape \(3, 3\) for 2 channels; expected \(2, 3\)"),
        ({"kinds": ["eeg"]}, r"kinds of shape \(1,\) for 2 channels"),
        ({"times": list("abc")}, "times of the type <U1; expected real numbers"),
        ({"signal": np.ones((4, 2, 3), dtype=complex)}, "signal of the type complex128; expected real numbers"),
        ({"units": ["V", "V", "V"]}, "expected one of V, mV"),
    ],
)
def test_arrays_that_contradict_each_other_are_told(changes, words, tmp_path):
    good = {"signal": np.zeros((4, 2, 3)), "channels": ["Cz", "Pz"], "sfreq": 50.0, "trial_label": [0, 1, 0, 1]}
    np.savez(tmp_path / "x.npz", **{key: value for key, value in (good | changes).items() if value is not None})
    with pytest.raises(DataError, match=words):
        read_npz(tmp_path / "x.npz")
