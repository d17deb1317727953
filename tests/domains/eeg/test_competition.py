from __future__ import annotations

import numpy as np
import pytest
from reference.eeg_files import write_gdf
from reference.eeg_signals import check_signal
from scipy.io import savemat

from signalrp import manifests
from signalrp.domains.eeg import competition
from signalrp.domains.eeg.classes import classes_of


def write_iva(folder, fs=100, count=20):
    rng = np.random.default_rng(0)
    cnt = rng.integers(-300, 300, size=(fs * 5 * (count + 1), 3)).astype(np.int16)
    position = 5 * fs * np.arange(1, count + 1)
    truth = rng.permutation(np.arange(count) % 2) + 1.0
    known = truth.copy()
    known[count // 2 :] = np.nan
    nfo = {"fs": fs, "clab": np.array(["C3", "Cz", "C4"], dtype=object)}
    mrk = {"pos": position, "y": known, "className": np.array(["right", "foot"], dtype=object)}
    savemat(folder / "data_set_IVa_aa.mat", {"cnt": cnt, "mrk": mrk, "nfo": nfo})
    return cnt, position, truth


def test_iva_reads_trials_labels_and_parts(tmp_path):
    cnt, position, truth = write_iva(tmp_path)
    signal = competition.bci_iii_iva(tmp_path)
    assert signal.shape == (10, 3, 351)
    assert set(signal.part.values) == {"training"}
    # Matlab counts from 1, and the numbers are tenths of a microvolt.
    expected = np.stack([cnt[i - 1 : i + 350].T * 1e-7 for i in position[:10]])
    np.testing.assert_allclose(signal.values, expected, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(signal.label, truth[:10] - 1)
    savemat(tmp_path / "true_labels_aa.mat", {"true_y": truth, "test_idx": np.arange(11, 21)})
    whole = competition.bci_iii_iva(tmp_path, "aa", 0.5, 2.5)
    check_signal(whole)
    assert classes_of(whole) == ["right hand", "right foot"]
    assert whole.part.values.tolist() == ["training"] * 10 + ["test"] * 10
    np.testing.assert_array_equal(whole.label, truth - 1)
    assert whole.sel(channel="C3").x < 0
    savemat(tmp_path / "true_labels_aa.mat", {"true_y": truth[:-1]})
    with pytest.raises(manifests.DataError, match="has 19 labels for 20 cues; take that of 'aa'"):
        competition.bci_iii_iva(tmp_path)


def test_iva_files_that_are_absent_or_broken_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data_set_IVa_al\.mat; see `signalrp data info`"):
        competition.bci_iii_iva(tmp_path, "al")
    write_iva(tmp_path)
    path = tmp_path / "data_set_IVa_aa.mat"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(manifests.DataError, match="cut short or no Matlab file"):
        competition.bci_iii_iva(tmp_path)
    savemat(path, {"cnt": [1]})
    with pytest.raises(manifests.DataError, match="lacks mrk, nfo; it is not the file of the competition"):
        competition.bci_iii_iva(tmp_path)


NAMES_2A = ["EEG-Fz", *(f"EEG-{n}" for n in range(6)), "EEG-C3", "EEG-6", "EEG-Cz", "EEG-7", "EEG-C4"]
NAMES_2A += [*(f"EEG-{n}" for n in range(8, 15)), "EEG-Pz", "EEG-15", "EEG-16", "EOG-left", "EOG-central", "EOG-right"]


def write_2a(folder, session, names=NAMES_2A):
    """Two runs for the eyes, then two runs of eight trials each; the third trial was rejected."""
    rng = np.random.default_rng(0)
    notes = [(0.0, 0, 32766), (0.0, 4, 276), (5.0, 0, 32766), (5.0, 4, 277)]
    labels = np.tile([1, 2, 3, 4], 4)
    rng.shuffle(labels)
    for number, label in enumerate(labels):
        if number % 8 == 0:
            notes.append((10.0 + 8 * number - 0.5, 0, 32766))
        start = 10.0 + 8 * number
        notes.append((start, 7.5, 768))
        if number == 2:
            notes.append((start, 7.5, 1023))
        notes.append((start + 2, 1.25, 768 + label if session == "T" else 783))
    volts = rng.normal(scale=1e-5, size=(len(names), 250 * 150))
    write_gdf(folder / f"A03{session}.gdf", volts, names, 250, notes)
    return volts, labels


@pytest.mark.parametrize("session", ["T", "E"])
def test_2a_reads_cues_runs_and_true_labels(session, tmp_path):
    volts, labels = write_2a(tmp_path, session)
    if session == "E":
        with pytest.raises(FileNotFoundError, match=r"no file A03E\.mat with the true labels"):
            competition.bci_iv_2a(tmp_path, 3, "E")
        savemat(tmp_path / "A03E.mat", {"classlabel": labels[:, None]})
    signal = competition.bci_iv_2a(tmp_path, 3, session)
    check_signal(signal)
    assert signal.shape == (15, 22, 1001)
    kept = np.delete(np.arange(16), 2)
    np.testing.assert_array_equal(signal.label, labels[kept] - 1)
    assert classes_of(signal) == ["left hand", "right hand", "feet", "tongue"]
    at = (12 + 8 * kept) * 250
    np.testing.assert_allclose(signal.values, np.stack([volts[:22, i : i + 1001] for i in at]), rtol=0, atol=1e-15)
    assert signal.run.values.tolist() == ["run 1"] * 7 + ["run 2"] * 8
    assert set(signal.session.values) == {session}
    assert signal.channel.values[[0, 7, 9, 11, 19, 21]].tolist() == ["Fz", "C3", "Cz", "C4", "Pz", "POz"]
    assert signal.attrs["rejected"] == "BAD_rejected 1"
    everything = competition.bci_iv_2a(tmp_path, 3, session, picks=["eeg", "eog"], bad_segments="keep")
    assert everything.shape == (16, 25, 1001)
    assert everything.kind.values.tolist() == ["eeg"] * 22 + ["eog"] * 3
    assert everything.bad_segment.values.tolist() == [number == 2 for number in range(16)]


def test_2a_refuses_other_recordings_and_labels(tmp_path):
    write_2a(tmp_path, "T", ["EEG-Cz", *NAMES_2A[1:]])
    with pytest.raises(manifests.DataError, match=r"A03T\.gdf has the channels .*; expected the 22 EEG and 3 EOG"):
        competition.bci_iv_2a(tmp_path, 3)
    _, labels = write_2a(tmp_path, "E")
    savemat(tmp_path / "A03E.mat", {"classlabel": labels[:-1]})
    with pytest.raises(manifests.DataError, match="has 15 labels for 16 cues; take that of the same session"):
        competition.bci_iv_2a(tmp_path, 3, "E")
    with pytest.raises(FileNotFoundError, match=r"There is no file .*A01T\.gdf"):
        competition.bci_iv_2a(tmp_path, 1)
