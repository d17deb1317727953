from __future__ import annotations

import importlib
import sys

import hypothesis
import hypothesis.strategies as st
import mne
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from signalrp.domains.eeg.classes import classes_of, with_classes
from signalrp.domains.eeg.data import from_epochs, info_of, to_epochs

NAMES = ["Fz", "C3", "Cz", "C4", "Pz", "Oz"]


def montage():
    known = mne.channels.get_builtin_montages()
    return mne.channels.make_standard_montage("colin27_1005" if "colin27_1005" in known else "standard_1005")


def epochs_like(trials=8, times=32, sfreq=128.0, tmin=-0.1, names=NAMES, place=True, metadata=None, seed=0):
    rng = np.random.default_rng(seed)
    info = mne.create_info(names, sfreq, "eeg")
    if place:
        info.set_montage(montage())
    codes = 3 + 4 * (np.arange(trials) % 2)
    events = np.column_stack([100 * np.arange(trials) + 7, np.zeros(trials, int), codes])
    return mne.EpochsArray(
        rng.normal(scale=2e-5, size=(trials, len(names), times)),
        info,
        events,
        tmin,
        {"face/upright": 7, "house": 3},
        metadata=metadata,
        verbose="error",
    )


# There and back


@hypothesis.given(
    trials=st.integers(2, 6),
    times=st.integers(2, 40),
    sfreq=st.sampled_from([100.0, 128.0, 250.0, 512.0]),
    first=st.integers(-50, 20),
)
@hypothesis.settings(max_examples=15)
def test_epochs_come_back_as_they_were(trials, times, sfreq, first):
    epochs = epochs_like(trials, times, sfreq, first / sfreq)
    back = to_epochs(from_epochs(epochs))
    assert back.ch_names == epochs.ch_names
    assert back.event_id == epochs.event_id
    np.testing.assert_array_equal(back.events, epochs.events)
    np.testing.assert_allclose(back.get_data(), epochs.get_data(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(back.times, epochs.times, rtol=0, atol=1e-12)
    assert back.info["sfreq"] == epochs.info["sfreq"]
    for one, other in zip(back.info["chs"], epochs.info["chs"], strict=True):
        np.testing.assert_allclose(one["loc"][:3], other["loc"][:3], rtol=0, atol=1e-12)


def test_metadata_come_back():
    table = pd.DataFrame(
        {
            "subject": list("aabbccdd"),
            "session": [1, 2] * 4,
            "delay": np.linspace(0.1, 0.8, 8),
            "hit": [True, False] * 4,
        }
    )
    signal = from_epochs(epochs_like(metadata=table))
    assert signal.subject.values.tolist() == list("aabbccdd")
    back = to_epochs(signal).metadata
    for name in table:
        assert back[name].tolist() == table[name].tolist(), name
    again = from_epochs(to_epochs(signal), classes=classes_of(signal))
    xr.testing.assert_identical(again, signal)


def test_signal_is_labelled_as_agreed():
    epochs = epochs_like()
    signal = from_epochs(epochs, "S07", title="toy")
    assert signal.dims == ("trial", "channel", "time")
    assert signal.name == "EEG"
    assert signal.attrs["units"] == "V"
    assert signal.attrs["sfreq"] == 128.0
    assert signal.attrs["title"] == "toy"
    assert (signal.time.attrs["units"], signal.x.attrs["units"]) == ("s", "m")
    assert set(signal.subject.values) == {"S07"}
    # Labels follow the order of event_id, which is not that of the codes.
    assert classes_of(signal) == ["face/upright", "house"]
    np.testing.assert_array_equal(signal.label, [1, 0] * 4)
    np.testing.assert_array_equal(signal.event, ["house", "face/upright"] * 4)
    np.testing.assert_array_equal(signal.event_code, [3, 7] * 4)
    np.testing.assert_array_equal(signal["sample"], epochs.events[:, 0])
    places = np.stack([signal[axis].values for axis in "xyz"], axis=1)
    np.testing.assert_array_equal(places, [channel["loc"][:3] for channel in epochs.info["chs"]])
    assert signal.sel(channel="C3").x < 0 < signal.sel(channel="C4").x


def test_signal_survives_netcdf(tmp_path):
    signal = from_epochs(epochs_like(metadata=pd.DataFrame({"hit": [True, False] * 4, "who": list("abcdefgh")})))
    signal.to_netcdf(tmp_path / "signal.nc")
    with xr.open_dataarray(tmp_path / "signal.nc") as back:
        xr.testing.assert_allclose(back, signal, rtol=0, atol=0)
        assert classes_of(back) == classes_of(signal)
        assert to_epochs(back).event_id == to_epochs(signal).event_id


def test_filter_and_reference_are_carried():
    raw = mne.io.RawArray(np.random.default_rng(0).normal(size=(6, 2000)) * 1e-5, mne.create_info(NAMES, 200.0, "eeg"))
    raw.filter(1.0, 30.0, verbose="error").set_eeg_reference("average", verbose="error")
    events = np.array([[500, 0, 1], [900, 0, 2]])
    epochs = mne.Epochs(raw, events, {"a": 1, "b": 2}, 0, 0.5, baseline=None, preload=True, verbose="error")
    signal = from_epochs(epochs)
    assert (signal.attrs["highpass"], signal.attrs["lowpass"], signal.attrs["reference"]) == (1.0, 30.0, "custom")
    info = to_epochs(signal).info
    assert (info["highpass"], info["lowpass"], bool(info["custom_ref_applied"])) == (1.0, 30.0, True)
    np.testing.assert_allclose(signal.onset, [2.5, 4.5])


def test_onset_counts_samples_of_the_recording_after_decimation():
    raw = mne.io.RawArray(np.zeros((6, 2000)), mne.create_info(NAMES, 200.0, "eeg"), verbose="error")
    events = np.array([[500, 0, 1], [900, 0, 1]])
    epochs = mne.Epochs(raw, events, {"a": 1}, 0, 0.5, baseline=None, preload=True, decim=4, verbose="error")
    signal = from_epochs(epochs)
    assert signal.attrs["sfreq"] == 50.0
    np.testing.assert_allclose(signal.onset, [2.5, 4.5])
    # Epochs made of an array tell nothing about time.
    assert "onset" not in from_epochs(epochs_like()).coords


def test_subject_by_trial_and_from_info():
    names = [f"P{number}" for number in range(8)]
    assert from_epochs(epochs_like(), names, ["house"]).subject.values.tolist() == names[::2]
    with pytest.raises(ValueError, match="3 subjects for 8 epochs"):
        from_epochs(epochs_like(), ["a", "b", "c"])
    epochs = epochs_like()
    epochs.info["subject_info"] = {"his_id": "X12"}
    assert set(from_epochs(epochs).subject.values) == {"X12"}
    assert set(from_epochs(epochs_like()).subject.values) == {"S01"}


# Classes


def test_classes_by_tag_by_order_and_by_group():
    epochs = epochs_like()
    assert from_epochs(epochs, classes=["house", "face"]).label.values.tolist() == [0, 1] * 4
    only = from_epochs(epochs, classes=["face"])
    assert only.sizes["trial"] == 4
    np.testing.assert_array_equal(only.values, epochs["face"].get_data())
    grouped = from_epochs(epochs, classes={"picture": ["face", "house"]})
    assert grouped.label.values.tolist() == [0] * 8
    assert classes_of(grouped) == ["picture"]
    assert set(grouped.event.values) == {"face/upright", "house"}


def test_unknown_and_shared_events_are_refused():
    with pytest.raises(ValueError, match=r"There are no events \['car'\]; the events are \['face/upright', 'house'\]"):
        from_epochs(epochs_like(), classes=["face", "car"])
    with pytest.raises(ValueError, match="'house'] belong to more than one class"):
        from_epochs(epochs_like(), classes={"a": "house", "b": ["face", "house"]})


def test_empty_class_after_rejection_is_refused():
    epochs = epochs_like()
    epochs.drop(np.flatnonzero(epochs.events[:, 2] == 7), reason="blink", verbose="error")
    with pytest.raises(ValueError, match=r"class face/upright has no trials \(4 epochs were rejected\); loosen"):
        from_epochs(epochs)
    assert from_epochs(epochs, classes=["house"]).sizes["trial"] == 4


def test_with_classes_selects_and_numbers_anew():
    signal = from_epochs(epochs_like())
    turned = with_classes(signal, ["house", "face"])
    np.testing.assert_array_equal(turned.label, 1 - signal.label)
    assert classes_of(turned) == ["house", "face"]
    assert with_classes(signal, {"any": ["house", "face"]}).label.values.tolist() == [0] * 8
    with pytest.raises(ValueError, match=r"There are no events \['dog'\]"):
        with_classes(signal, ["dog"])
    with pytest.raises(ValueError, match="class house has no trials"):
        with_classes(signal.isel(trial=signal.label.values == 0), ["face", "house"])


def test_classes_without_names_are_numbers():
    signal = from_epochs(epochs_like())
    del signal.attrs["classes"]
    assert classes_of(signal) == ["0", "1"]


# Channels


def test_bad_channels_are_dropped_kept_or_refused():
    epochs = epochs_like()
    epochs.info["bads"] = ["Cz", "Oz"]
    dropped = from_epochs(epochs)
    assert dropped.channel.values.tolist() == ["Fz", "C3", "C4", "Pz"]
    assert dropped.attrs["bads_dropped"] == "Cz | Oz"
    np.testing.assert_array_equal(dropped.values, epochs.get_data(picks=["Fz", "C3", "C4", "Pz"]))
    kept = from_epochs(epochs, bads="keep")
    assert kept.channel.values.tolist() == NAMES
    assert to_epochs(kept).info["bads"] == ["Cz", "Oz"]
    assert epochs.info["bads"] == ["Cz", "Oz"]
    assert len(epochs.ch_names) == 6
    with pytest.raises(ValueError, match=r"\['Cz', 'Oz'\] are marked bad; interpolate or drop"):
        from_epochs(epochs, bads="raise")
    with pytest.raises(ValueError, match="choose 'drop', 'keep' or 'raise'"):
        from_epochs(epochs, bads="mend")
    epochs.info["bads"] = NAMES
    with pytest.raises(ValueError, match="Every channel is marked bad"):
        from_epochs(epochs)


def test_other_channel_types_are_left_out_unless_asked():
    epochs = epochs_like(names=[*NAMES, "HEOG", "trigger"], place=False)
    epochs.set_channel_types({"HEOG": "eog", "trigger": "misc"}, verbose="error")
    assert from_epochs(epochs).channel.values.tolist() == NAMES
    both = from_epochs(epochs, picks=["eeg", "eog"])
    assert both.channel.values.tolist() == [*NAMES, "HEOG"]
    assert both.kind.values.tolist() == ["eeg"] * 6 + ["eog"]
    assert to_epochs(both).get_channel_types() == ["eeg"] * 6 + ["eog"]
    mixed = from_epochs(epochs, picks="all")
    assert mixed.unit.values.tolist() == ["V"] * 7 + ["1"]
    assert to_epochs(mixed).get_channel_types()[-1] == "misc"
    with pytest.raises(ValueError, match=r"no channels 'mag'; their channel types are \['eeg', 'eog', 'misc'\]"):
        from_epochs(epochs, picks="mag")


def test_pending_projectors_are_refused():
    epochs = epochs_like()
    epochs.set_eeg_reference("average", projection=True, verbose="error")
    with pytest.raises(ValueError, match=r"not applied \(Average EEG reference\); call apply_proj"):
        from_epochs(epochs)
    epochs.apply_proj(verbose="error")
    np.testing.assert_allclose(from_epochs(epochs).mean("channel"), 0, atol=1e-18)


def test_unknown_positions_are_nan_and_stay_unknown():
    signal = from_epochs(epochs_like(place=False))
    assert np.isnan(signal.x).all()
    assert info_of(signal).get_montage() is None
    with pytest.raises(ValueError, match=r"channels Fz, C3, .* have no position; set a montage"):
        info_of(signal, positions=True)
    epochs = epochs_like(names=[*NAMES, "E99"], place=False)
    epochs.set_montage(montage(), on_missing="ignore")
    partly = from_epochs(epochs)
    assert np.isfinite(partly.x.values).tolist() == [True] * 6 + [False]
    info = info_of(partly)
    assert np.isnan(info["chs"][6]["loc"][:3]).all()
    np.testing.assert_allclose(info["chs"][1]["loc"][:3], epochs.info["chs"][1]["loc"][:3], atol=1e-12)
    with pytest.raises(ValueError, match="channels E99 have no position"):
        info_of(partly, positions=True)


# Signals from elsewhere


def test_bare_signal_becomes_epochs():
    signal = xr.DataArray(
        np.ones((3, 2, 5), dtype=np.float32) * 1e-6,
        dims=("trial", "channel", "time"),
        coords={"channel": ["Cz", "Pz"], "time": np.arange(5) / 100},
        attrs={"units": "V"},
    )
    epochs = to_epochs(signal.transpose("channel", "time", "trial"))
    assert epochs.get_data().shape == (3, 2, 5)
    assert epochs.info["sfreq"] == pytest.approx(100)
    assert epochs.event_id == {"trial": 1}
    assert len(set(epochs.events[:, 0])) == 3


def test_events_coded_differently_in_two_recordings_are_coded_anew():
    signal = from_epochs(epochs_like())
    mixed = signal.assign_coords(event_code=("trial", np.arange(8)))
    epochs = to_epochs(mixed)
    assert epochs.event_id == {"face/upright": 1, "house": 2}
    np.testing.assert_array_equal(epochs.events[:, 2], [2, 1] * 4)


def test_trials_of_several_recordings_at_the_same_sample_become_epochs():
    signal = from_epochs(epochs_like())
    twice = xr.concat([signal, signal], "trial")
    epochs = to_epochs(twice)
    np.testing.assert_array_equal(epochs.get_data(), twice.values)
    np.testing.assert_array_equal(epochs.events[:, 2], twice.event_code)


def test_other_units_and_uneven_times_are_refused():
    signal = from_epochs(epochs_like())
    with pytest.raises(ValueError, match=r"MNE keeps EEG in volt, but the signal is in \['µV'\]"):
        to_epochs(signal.assign_attrs(units="µV"))
    bent = signal.assign_coords(time=("time", signal.time.values**3, {"units": "s"}))
    with pytest.raises(ValueError, match="not evenly spaced and rising"):
        to_epochs(bent)


def test_mne_absent_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "mne", None)
    module = sys.modules["signalrp.domains.eeg._mne"]
    with pytest.raises(ImportError, match=r'pip install "signalrp\[eeg\]"'):
        importlib.reload(module)
    monkeypatch.undo()
    importlib.reload(module)


def test_metadata_of_a_taken_name_is_kept_under_another():
    """Columns such as x, where a stimulus was, must not take the place of what the signal calls so."""
    metadata = pd.DataFrame(
        {
            "channel": list("abcdefgh"),
            "time": range(8),
            "x": range(8),
            "kind": "k",
            "unit": "u",
            "label": list("hgfedcba"),
        }
    )
    signal = from_epochs(epochs_like(metadata=metadata))
    plain = from_epochs(epochs_like())
    for name in ("channel", "time", "x", "label"):
        np.testing.assert_array_equal(signal[name], plain[name])
        np.testing.assert_array_equal(
            signal[f"metadata_{name}"], metadata[name].astype(signal[f"metadata_{name}"].dtype)
        )
    assert "kind" not in signal.coords
    assert signal["metadata_unit"].dims == ("trial",)
    again = from_epochs(to_epochs(signal))
    assert set(again.coords) == set(signal.coords)


def test_no_epochs_at_all_are_told():
    epochs = epochs_like()
    epochs.drop(np.arange(8), reason="too large")
    with pytest.raises(ValueError, match=r"class face/upright, house has no trials \(8 epochs were rejected\); loosen"):
        from_epochs(epochs)


@pytest.mark.parametrize("make", [lambda epochs: epochs.average(), lambda epochs: epochs.get_data()])
def test_what_is_no_epochs_is_told(make):
    with pytest.raises(TypeError, match=r"Found \w*[aA]rray, expected mne\.Epochs; cut a recording by from_raw"):
        from_epochs(make(epochs_like()))


def test_the_channels_that_are_absent_are_named():
    with pytest.raises(ValueError, match=r"no channels \['T99'\]; they have Fz, C3, Cz, C4, Pz, Oz\."):
        from_epochs(epochs_like(), picks=["C3", "T99"])
