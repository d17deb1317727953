from __future__ import annotations

import os
import time
from pathlib import Path

import mne
import numpy as np
import pytest
from reference.eeg_files import write_edf
from reference.eeg_signals import check_signal

from signalrp import manifests, splits
from signalrp.domains.eeg import competition, datasets, packed
from signalrp.domains.eeg.classes import classes_of
from signalrp.domains.eeg.trials import blocks, require_disjoint

SHARED = os.environ.get("SIGNALRP_SHARED_DATA", "")
needs_shared = pytest.mark.skipif(not Path(SHARED).is_dir() or not SHARED, reason="SIGNALRP_SHARED_DATA is not set")
EEG_SETS = (
    "bci-iii-iva",
    "bci-iv-2a",
    "biosig-motor-imagery",
    "eegbci",
    "muse-headband",
    "pylossless-faces",
    "uci-alcohol",
)


@pytest.mark.parametrize("name", EEG_SETS)
def test_manifests_are_complete_and_invent_no_checksum(name):
    manifest = manifests.load(name)
    checksums = [file.sha256 for file in manifest.files]
    assert all(checksums) if manifest.verified else not any(checksums)
    assert manifest.citation
    module, _, function = manifest.load.split(" ")[0].rpartition(".")
    assert function in vars({m.__name__: m for m in (datasets, packed, competition)}[module])


@needs_shared
def test_manifests_know_the_files_the_loaders_read():
    folders = {
        "muse-headband": "eeg_muse_erp_ssvep",
        "biosig-motor-imagery": "eeg_mi_biosig_sample",
        "uci-alcohol": "eeg_uci_alcohol",
    }
    for name, folder in folders.items():
        for file in manifests.load(name).files:
            path = Path(SHARED) / folder / file.name
            assert manifests._state(file, path.parent) == "verified", path


# Faces and presses


CAP = {"A1": (0.0, 0.0, 0.09), "A2": (0.05, 0.0, 0.07), "A3": (-0.05, 0.0, 0.07), "B1": (0.0, 0.06, 0.06)}
SEQUENCE = ["face-upright", "house-upright", "checker-left", "press-left", "checker-right", "press-right"]


@pytest.fixture
def small_faces(tmp_path, monkeypatch):
    """A recording of four electrodes in the layout of the published one."""
    rng = np.random.default_rng(0)
    volts = rng.normal(scale=1e-5, size=(4, 256 * 60))
    notes = [(1.0 + 0.8 * number, 0, SEQUENCE[number % 6]) for number in range(70)]
    notes += [(25.0, 1.0, "bad_pylossless_ch_sd")]
    for person in ("s01", "s02"):
        write_edf(tmp_path / f"sub-{person}_task-faceO_eeg.edf", volts, list(CAP), 256, sorted(notes))
        rows = "\n".join("\t".join([name, *map(str, place)]) for name, place in CAP.items())
        place = tmp_path / f"sub-{person}_space-CapTrak_electrodes.tsv"
        place.write_text(f"name\tx\ty\tz\n{rows}\n", encoding="utf-8-sig")
        flags = "labels\tch_names\nch_sd\tA2\nbridge\tA3\nrank\tB1\nlow_r\tZ9\n"
        (tmp_path / f"sub-{person}_task-faceO_ll_FlaggedChs.tsv").write_text(flags, encoding="utf-8-sig")
    monkeypatch.setattr(manifests, "fetch", lambda name, root=None: tmp_path)
    return tmp_path


def test_faces_are_cut_labelled_and_kept_for_the_next_call(small_faces, monkeypatch):
    signal = datasets.faces(1)
    check_signal(signal)
    assert signal.shape[1:] == (4, 90)
    assert signal.dtype == np.float32
    assert classes_of(signal) == ["face", "house"]
    assert signal.attrs["interpolated"] == "A2"
    assert signal.attrs["reference"] == "average"
    assert set(signal.subject.values) == {"S01"}
    np.testing.assert_allclose([signal.x[1], signal.y[3], signal.z[0]], [0.05, 0.06, 0.09], atol=1e-12)
    np.testing.assert_allclose(signal.time[[0, -1]], [-50 / 256, 0.5], atol=1e-12)
    good = signal.sel(channel=["A1", "A3", "B1"])
    np.testing.assert_allclose(good.mean("channel"), 0, atol=1e-11)
    # The second call reads what the first has left, without the recording.
    monkeypatch.setattr(datasets, "open_file", lambda path: 1 / 0)
    presses = datasets.faces(1, "presses")
    assert classes_of(presses) == ["press left", "press right"]
    assert set(presses.preceding.values) == {"checker-left", "checker-right"}
    np.testing.assert_allclose(presses.preceding_s, 0.8, atol=1 / 256)
    np.testing.assert_array_equal(presses.preceding.str.endswith("right"), presses.label == 1)


def test_faces_told_of_bad_segments(small_faces):
    kept = datasets.faces(2, "faces", bad_segments="keep")
    onset = kept.onset.values[kept.bad_segment.values]
    # Windows that touch 25 to 26 s: the faces and houses at 24.2, 25.0 and 25.8 s are those of numbers 29, 30 and 31.
    expected = [one for one in 1.0 + 0.8 * np.arange(70) if 24.5 <= one <= 26.2]
    wanted = [one for one in expected if SEQUENCE[round((one - 1) / 0.8) % 6].endswith("upright")]
    np.testing.assert_allclose(onset, wanted, atol=1 / 256)
    dropped = datasets.faces(2)
    assert dropped.sizes["trial"] == kept.sizes["trial"] - len(wanted)


def test_noisy_electrodes_are_dropped_or_kept(small_faces):
    assert datasets.faces(1, noisy="drop").channel.values.tolist() == ["A1", "A3", "B1"]
    kept = datasets.faces(1, noisy="keep")
    assert kept.channel.values.tolist() == list(CAP)
    np.testing.assert_allclose(kept.mean("channel"), 0, atol=1e-11)
    assert "interpolated" not in kept.attrs


def test_a_folder_that_cannot_be_written_to_is_no_obstacle(small_faces, monkeypatch):
    def refuse(signal, path):
        raise PermissionError(path)

    monkeypatch.setattr(datasets, "write_npz", refuse)
    assert datasets.faces(1).sizes["trial"] > 20
    assert not list(small_faces.glob("*.npz"))


def test_unknown_choices_of_faces_are_told():
    with pytest.raises(ValueError, match="the people 1 and 2, not 3"):
        datasets.faces(3)
    with pytest.raises(ValueError, match="'cars' is unknown; choose one of 'faces', 'presses', 'checkerboards'"):
        datasets.faces(1, "cars")
    with pytest.raises(ValueError, match="noisy='mend', bad_segments='drop' is unknown"):
        datasets.faces(1, noisy="mend")


@needs_shared
@pytest.mark.slow
def test_faces_as_fetched(tmp_path):
    try:
        signal = datasets.faces(1, root=tmp_path, noisy="keep", bad_segments="keep")
    except manifests.DataError as error:
        pytest.skip(str(error))
    assert set(manifests.verify("pylossless-faces", tmp_path).values()) == {"verified"}
    for subject in (1, 2):
        for task in ("faces", "presses", "checkerboards"):
            signal = datasets.faces(subject, task, tmp_path, noisy="keep", bad_segments="keep")
            other = packed.packed_faces(Path(SHARED) / "eeg_faceO_pylossless", subject, task)
            np.testing.assert_array_equal(signal.label, other.label)
            assert signal.channel.values.tolist() == other.channel.values.tolist()
            # The packed values are rounded to 0.1 µV and end at ±3276.8 µV.
            whole = np.abs(other.values) < 3276e-6
            np.testing.assert_allclose(signal.values[whole], other.values[whole], rtol=0, atol=0.0501e-6)
            mended = datasets.faces(subject, task, tmp_path)
            assert mended.sizes["channel"] == 128
            assert mended.sizes["trial"] < signal.sizes["trial"]
            for train, test in splits.folds(blocks(mended, 10), 5, group="block"):
                require_disjoint(blocks(mended, 10), train, test, "block")
    started = time.perf_counter()
    datasets.faces(2, "faces", tmp_path)
    assert time.perf_counter() - started < 5


# EEGBCI


@pytest.fixture
def small_eegbci(tmp_path, monkeypatch):
    asked = []

    def load_data(subject, runs, path=None, **_):
        asked.append((subject, runs, path))
        rng = np.random.default_rng(0)
        notes = [(4.0 * number + 1, 4.0, ["T0", "T1", "T2"][number % 3]) for number in range(12)]
        volts = rng.normal(scale=2e-5, size=(4, 160 * 60))
        names = ["Fc5.", "C3..", "Cz..", "Fp1."]
        return [write_edf(tmp_path / f"S{subject:03d}R{run:02d}.edf", volts, names, 160, notes) for run in runs]

    monkeypatch.setattr(mne.datasets.eegbci, "load_data", load_data)
    return asked


def test_eegbci_names_channels_runs_and_classes(small_eegbci, tmp_path):
    signal = datasets.eegbci(7, "imagined fists or feet", tmp_path, tmax=3.0)
    assert small_eegbci == [(7, (6, 10, 14), tmp_path)]
    check_signal(signal)
    assert signal.shape == (24, 4, 481)
    assert signal.channel.values.tolist() == ["FC5", "C3", "Cz", "Fp1"]
    assert np.isfinite(signal.x).all()
    assert classes_of(signal) == ["both fists", "both feet"]
    assert sorted(set(signal.run.values)) == ["R06", "R10", "R14"]
    assert set(signal.subject.values) == {"S007"}
    for train, test in splits.folds(signal, 3, group="run"):
        require_disjoint(signal, train, test, "run")
    assert classes_of(datasets.eegbci(1)) == ["left fist", "right fist"]


def test_eegbci_without_network_is_one_sentence(monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("HTTPSConnectionPool(host='physionet.org'):\n Max retries exceeded")

    monkeypatch.setattr(mne.datasets.eegbci, "load_data", unreachable)
    with pytest.raises(
        manifests.DataError, match=r"could not fetch EEGBCI from physionet\.org \(.*Max retries.*\); check"
    ):
        datasets.eegbci(1)
    with pytest.raises(ValueError, match="people 1 to 109 and the tasks"):
        datasets.eegbci(110)
