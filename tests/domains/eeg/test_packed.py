from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from reference.eeg_signals import check_signal
from scipy.signal import welch

from signalrp import manifests, splits
from signalrp.domains.eeg import packed
from signalrp.domains.eeg.classes import classes_of
from signalrp.domains.eeg.trials import require_disjoint

SHARED = os.environ.get("SIGNALRP_SHARED_DATA", "")
needs_shared = pytest.mark.skipif(not Path(SHARED).is_dir() or not SHARED, reason="SIGNALRP_SHARED_DATA is not set")


@needs_shared
@pytest.mark.parametrize("subject", [1, 2])
def test_packed_faces_show_the_n170(subject):
    signal = packed.packed_faces(Path(SHARED) / "eeg_faceO_pylossless", subject)
    check_signal(signal)
    assert signal.shape[1:] == (128, 90)
    assert set(signal.subject.values) == {f"S0{subject}"}
    # Faces are more negative than houses from 130 to 200 ms at the lower back of the head.
    low = (signal.y < -0.03) & (signal.z < 0.04) & (np.abs(signal.x) > 0.03)
    window = signal.sel(time=slice(0.13, 0.2)).isel(channel=low.values).mean(("channel", "time"))
    assert float(window[signal.label == 0].median()) < float(window[signal.label == 1].median())


@needs_shared
def test_packed_faces_refuse_what_is_not_there():
    with pytest.raises(ValueError, match="the people 1 and 2 and the tasks"):
        packed.packed_faces(SHARED, 1, "cars")
    with pytest.raises(FileNotFoundError, match=r"There is no file .*faceO_epochs_128hz\.npz"):
        packed.packed_faces(SHARED, 1)
    with pytest.raises(manifests.DataError, match=r"lacks the arrays eeg_0p1uv, .*not the expected faceO_epochs"):
        packed.packed_faces(Path(SHARED) / "eeg_mi_biosig_sample" / "mi_left_right.npz", 1)


# Small recordings


COUNTS = {
    "N170": [583, 591],
    "visual P300": [3422, 626],
    "auditory P300": [852, 328],
    "SSVEP": [87, 105],
    "SSAEP": [97, 95],
    "left-right": [1419, 1429],
}


@needs_shared
@pytest.mark.parametrize("task", COUNTS)
def test_headband_recordings_are_cut_run_by_run(task):
    signal = packed.headband(Path(SHARED) / "eeg_muse_erp_ssvep", task)
    check_signal(signal)
    assert np.bincount(signal.label).tolist() == COUNTS[task]
    assert signal.channel.values.tolist() == ["TP9", "AF7", "AF8", "TP10"]
    assert signal.sel(channel="AF7").x < 0 < signal.sel(channel="TP10").x
    assert float(signal.onset.max()) < 121
    people = {"visual P300": 2, "left-right": 2}.get(task, 1)
    assert len(set(signal.subject.values)) == people
    for train, test in splits.folds(signal, 3, group="run"):
        require_disjoint(signal, train, test, "run")


def power_at(signal, frequency):
    """Power at a frequency over that within 2 Hz round it, mean over electrodes, in decades."""
    grid, power = welch(signal.values, signal.attrs["sfreq"], nperseg=512, axis=-1)
    mean = np.log10(power).mean((0, 1))
    around = (np.abs(grid - frequency) <= 2) & (grid != frequency)
    return float(mean[grid == frequency][0] - mean[around].mean())


@needs_shared
@pytest.mark.parametrize(("task", "electrodes"), [("SSVEP", slice(None)), ("SSAEP", ["TP9", "TP10"])])
def test_steady_state_classes_have_their_frequency(task, electrodes):
    signal = packed.headband(Path(SHARED) / "eeg_muse_erp_ssvep", task).sel(channel=electrodes)
    names = classes_of(signal)
    for label, name in enumerate(names):
        mine = signal.isel(trial=signal.label.values == label)
        here, there = float(name.split()[0]), float(names[1 - label].split()[0])
        assert power_at(mine, here) > 0.1
        assert power_at(mine, there) < 0.1 * power_at(mine, here) + 0.02


@needs_shared
def test_faces_of_the_headband_are_those_with_an_n170():
    signal = packed.headband(Path(SHARED) / "eeg_muse_erp_ssvep", "N170", reject=100e-6)
    assert signal.attrs["rejected"] == "AF7 1, AF8 3, TP10 29, TP9 19"
    window = signal.sel(channel=["TP9", "TP10"], time=slice(0.17, 0.22)).mean(("channel", "time"))
    face, house = (window.values[signal.label.values == label] for label in (0, 1))
    difference = face.mean() - house.mean()
    error = np.sqrt(face.var() / len(face) + house.var() / len(house))
    assert difference < -3 * error
    assert difference < -0.5e-6


@needs_shared
def test_headband_takes_other_windows_and_refuses_other_tasks():
    signal = packed.headband(Path(SHARED) / "eeg_muse_erp_ssvep", "SSVEP", tmin=0.5, tmax=2.5, band=None, sfreq=128)
    np.testing.assert_allclose(signal.time[[0, -1]], [0.5, 2.5], atol=1e-9)
    assert signal.attrs["sfreq"] == 128
    with pytest.raises(ValueError, match="'P300' is unknown; choose one of 'N170', 'visual P300'"):
        packed.headband(SHARED, "P300")


@needs_shared
def test_motor_imagery_shows_the_other_hemisphere_slow_down():
    signal = packed.motor_imagery(Path(SHARED) / "eeg_mi_biosig_sample")
    check_signal(signal)
    assert signal.shape == (40, 4, 2048)
    assert np.bincount(signal.label).tolist() == [20, 20]
    assert float(signal.time[0]) == -3
    # Power from 8 to 14 Hz during imagery against before, over the right minus over the left side.
    grid, power = welch(signal.sel(time=slice(0.5, 4)).values, 256.0, nperseg=256, axis=-1)
    _, before = welch(signal.sel(time=slice(-3, 0)).values, 256.0, nperseg=256, axis=-1)
    band = (grid >= 8) & (grid <= 14)
    change = np.log(power[..., band].mean(-1) / before[..., band].mean(-1))
    names = signal.channel.values.tolist()
    side = change[:, names.index("Channel 3")] - change[:, names.index("Channel 1")]
    assert side[signal.label == 0].mean() < side[signal.label == 1].mean()


@needs_shared
def test_alcohol_has_people_of_two_groups():
    signal = packed.alcohol(Path(SHARED) / "eeg_uci_alcohol")
    check_signal(signal)
    assert signal.shape == (100, 61, 256)
    assert not {"X", "Y", "nd"} & set(signal.channel.values)
    assert {"Fp1", "Cz", "POz"} <= set(signal.channel.values)
    assert np.isfinite(signal.x).all()
    assert signal.sel(channel="O1").y < signal.sel(channel="Cz").y < signal.sel(channel="Fpz").y
    assert len(np.unique(signal.subject)) == 20
    # In this database the fourth letter of a person's number is the group.
    assert [name[3] for name in signal.subject.values] == ["ca"[label] for label in signal.label.values]
    for train, test in splits.folds(signal, 5, group="subject"):
        require_disjoint(signal, train, test, "subject")
