from __future__ import annotations

import mne
import numpy as np
import pytest
import xarray as xr
from reference.eeg_files import write_brainvision, write_edf, write_eeglab, write_gdf

from signalrp.domains.eeg.classes import classes_of
from signalrp.domains.eeg.epoching import epochs_of, events_of, named_montage
from signalrp.domains.eeg.readers import from_raw, read
from signalrp.manifests import DataError

RATE, NAMES = 100, ["Fz", "Cz", "Pz", "C3", "C4"]
ONSETS = 1.5 + np.arange(15)
WINDOW = {"tmin": -0.2, "tmax": 0.3}


def recorded(seed=0):
    return np.random.default_rng(seed).normal(scale=2e-5, size=(len(NAMES), 20 * RATE))


def notes_of(first="go", second="stop"):
    return [(float(onset), 0, (first, second)[number % 2]) for number, onset in enumerate(ONSETS)]


def raw_of(volts=None, notes=None, bad=()):
    raw = mne.io.RawArray(
        recorded() if volts is None else volts, mne.create_info(NAMES, float(RATE), "eeg"), verbose="error"
    )
    rows = list(notes_of() if notes is None else notes) + list(bad)
    raw.set_annotations(mne.Annotations(*map(list, zip(*rows, strict=True))))
    return raw


def write(ending, folder):
    path = folder / f"recording{ending}"
    if ending in (".edf", ".bdf"):
        return write_edf(path, recorded(), NAMES, RATE, notes_of(), bdf=ending == ".bdf"), ["go", "stop"], 2e-9
    if ending == ".gdf":
        return write_gdf(path, recorded(), NAMES, RATE, notes_of(769, 770)), ["769", "770"], 1e-15
    if ending == ".vhdr":
        return write_brainvision(path, recorded(), NAMES, RATE, notes_of()), ["go", "stop"], 1e-11
    if ending == ".set":
        return write_eeglab(path, recorded(), NAMES, RATE, notes_of()), ["go", "stop"], 1e-15
    path = folder / "recording_raw.fif"
    raw_of().save(path, verbose="error")
    return path, ["go", "stop"], 1e-11


FORMATS = [".edf", ".bdf", ".gdf", ".vhdr", ".set", ".fif"]


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_gives_the_samples_around_its_events(ending, tmp_path):
    path, classes, exactness = write(ending, tmp_path)
    signal = read(path, classes, subject="S03", run="R1", session="A", **WINDOW)
    volts = recorded()
    at = np.round(ONSETS * RATE).astype(int)
    expected = np.stack([volts[:, i - 20 : i + 31] for i in at])
    assert signal.attrs["units"] == "V"
    np.testing.assert_allclose(signal.values, expected, rtol=0, atol=exactness)
    np.testing.assert_allclose(signal.time, np.arange(-20, 31) / RATE, atol=1e-12)
    np.testing.assert_allclose(signal.onset, ONSETS, atol=1e-9)
    np.testing.assert_array_equal(signal.label, np.arange(15) % 2)
    assert signal.channel.values.tolist() == NAMES
    assert (signal.subject.values[0], signal.run.values[0], signal.session.values[0]) == ("S03", "R1", "A")
    assert signal.attrs["source"] == path.name
    assert signal.attrs["sfreq"] == RATE


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
@pytest.mark.parametrize("ending", FORMATS)
def test_truncated_file_is_told(ending, share, tmp_path):
    path, classes, _ = write(ending, tmp_path)
    samples = path.with_suffix(".eeg") if ending == ".vhdr" else path
    content = samples.read_bytes()
    samples.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="cut short"):
        read(path, classes, **WINDOW)


def test_recorder_that_was_not_stopped_is_read(tmp_path):
    path, classes, _ = write(".edf", tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:236] + b"-1      " + content[244:])
    assert read(path, classes, **WINDOW).sizes["trial"] == 15


def test_what_is_no_recording_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file .*absent\.edf"):
        read(tmp_path / "absent.edf", ["go"])
    (tmp_path / "recording.xyz").write_text("x")
    with pytest.raises(ValueError, match=r"recording\.xyz has no known ending; expected one of \.fif"):
        read(tmp_path / "recording.xyz", ["go"])
    for name in ("text.edf", "text.fif", "text.gdf", "text.set", "text.vhdr"):
        (tmp_path / name).write_text("nothing to see here " * 50)
        with pytest.raises(DataError, match=r"text\.\w+ (cannot be read|has no whole EDF)"):
            read(tmp_path / name, ["go"])


def test_epochs_that_were_saved_are_read(tmp_path):
    epochs = epochs_of(raw_of(), ["go", "stop"], **WINDOW)
    epochs.save(tmp_path / "saved-epo.fif", verbose="error")
    signal = read(tmp_path / "saved-epo.fif", subject="S09", run="2")
    np.testing.assert_allclose(signal.values, epochs.get_data(), rtol=1e-6)
    assert classes_of(signal) == ["go", "stop"]
    np.testing.assert_allclose(signal.onset, ONSETS)
    assert set(signal.run.values) == {"2"}
    with pytest.raises(ValueError, match=r"saved-epo\.fif holds epochs, to which \['band'\] cannot be applied"):
        read(tmp_path / "saved-epo.fif", band=(1, 30))


def test_truncated_epochs_are_told(tmp_path):
    path = tmp_path / "saved-epo.fif"
    epochs_of(raw_of(), ["go", "stop"], **WINDOW).save(path, verbose="error")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="cut short"):
        read(path)


# Events


def test_events_have_to_be_named():
    with pytest.raises(ValueError, match=r"needs the events that make the classes; it has \['go', 'stop'\]"):
        from_raw(raw_of(), None)
    with pytest.raises(ValueError, match=r"There are no events \['jump'\]; the events are \['go', 'stop'\]"):
        from_raw(raw_of(), ["go", "jump"])


def test_marks_of_bad_segments_are_no_events():
    raw = raw_of(bad=[(3.0, 1.0, "bad_blink"), (5.0, 0.0, "boundary"), (6.0, 0.0, "EDGE here")])
    assert list(events_of(raw)[1]) == ["go", "stop"]


def test_stimulus_channel_gives_events_when_annotations_do_not():
    pulses = np.zeros((1, 20 * RATE))
    at = np.round(ONSETS * RATE).astype(int)
    for number, place in enumerate(at):
        pulses[0, place : place + 5] = 1 + 3 * (number % 2)
    raw = mne.io.RawArray(
        np.concatenate([recorded(), pulses]),
        mne.create_info([*NAMES, "STI"], float(RATE), ["eeg"] * 5 + ["stim"]),
        verbose="error",
    )
    signal = from_raw(raw, {"left": "1", "right": "4"}, **WINDOW)
    np.testing.assert_allclose(signal.onset, ONSETS)
    np.testing.assert_array_equal(signal.label, np.arange(15) % 2)
    silent = raw.copy().pick("eeg")
    with pytest.raises(ValueError, match="neither annotations nor a stimulus channel"):
        from_raw(silent, ["1"])


def test_recordings_that_begin_late_keep_their_onsets():
    raw = raw_of()
    raw.set_meas_date(1_600_000_000)
    late = raw.crop(5.0)
    bad = late.annotations.copy()
    bad.append(5.0 + 7.4, 0.2, "bad_late")
    late.set_annotations(bad)
    signal = from_raw(late, ["go", "stop"], bad_segments="keep", **WINDOW)
    np.testing.assert_allclose(signal.onset, ONSETS[4:] - 5.0)
    assert signal.onset.values[signal.bad_segment.values].tolist() == [7.5]


# Bad segments, missing values, amplitude


def test_bad_segments_are_dropped_told_or_refused():
    raw = raw_of(bad=[(3.6, 0.15, "BAD_jump"), (8.0, 1.0, "bad_muscle")])
    dropped = from_raw(raw, ["go", "stop"], **WINDOW)
    # 3.5 s (its window ends at 3.8 s) and 8.5 s; that of 7.5 s ends at 7.8 s, that of 9.5 s begins at 9.3 s.
    np.testing.assert_allclose(dropped.onset, [o for o in ONSETS if o not in (3.5, 8.5)])
    assert dropped.attrs["rejected"] == "BAD_jump 1, bad_muscle 1"
    assert not dropped.bad_segment.any()
    kept = from_raw(raw, ["go", "stop"], bad_segments="keep", **WINDOW)
    assert kept.onset.values[kept.bad_segment.values].tolist() == [3.5, 8.5]
    assert kept.attrs["rejected"] == ""
    with pytest.raises(ValueError, match="2 of 15 epochs touch an annotation marked BAD"):
        from_raw(raw, ["go", "stop"], bad_segments="raise", **WINDOW)
    with pytest.raises(ValueError, match="choose 'drop', 'keep' or 'raise'"):
        from_raw(raw, ["go", "stop"], bad_segments="mend", **WINDOW)


def test_class_emptied_by_bad_segments_is_refused():
    raw = raw_of(notes=[*notes_of()[:1], (5.5, 0, "stop")], bad=[(5.0, 1.0, "BAD")])
    with pytest.raises(ValueError, match=r"class stop has no trials \(1 epochs were rejected\)"):
        from_raw(raw, ["go", "stop"], **WINDOW)


def test_large_amplitudes_are_rejected():
    volts = recorded()
    volts[2, 450] = 5e-3
    signal = from_raw(raw_of(volts), ["go", "stop"], reject=1e-3, **WINDOW)
    assert 4.5 not in signal.onset.values
    assert signal.attrs["rejected"] == "Pz 1"


def test_missing_samples_spoil_their_epoch_only():
    volts = recorded()
    volts[1, 640:650] = np.nan
    signal = from_raw(raw_of(volts), ["go", "stop"], band=(1.0, 30.0), **WINDOW)
    assert np.isfinite(signal.values).all()
    assert 6.5 not in signal.onset.values
    assert signal.attrs["rejected"] == "BAD_missing 1"
    filled = volts.copy()
    filled[1, 640:650] = np.interp(np.arange(640, 650), [639, 650], volts[1, [639, 650]])
    whole = from_raw(raw_of(filled), ["go", "stop"], band=(1.0, 30.0), **WINDOW)
    whole = whole.isel(trial=whole.onset.values != 6.5)
    np.testing.assert_allclose(signal.values, whole.values, rtol=0, atol=1e-18)
    volts[1] = np.nan
    with pytest.raises(ValueError, match=r"channels \['Cz'\] contain nothing but NaN"):
        from_raw(raw_of(volts), ["go", "stop"], **WINDOW)


def test_bad_channels_are_dropped_interpolated_kept_or_refused():
    raw = raw_of()
    raw.info["bads"] = ["Cz"]
    dropped = from_raw(raw, ["go"], **WINDOW)
    assert dropped.channel.values.tolist() == ["Fz", "Pz", "C3", "C4"]
    assert dropped.attrs["bads_dropped"] == "Cz"
    mended = from_raw(raw, ["go"], bads="interpolate", montage="colin27_1005", **WINDOW)
    assert mended.channel.values.tolist() == NAMES
    assert mended.attrs["interpolated"] == "Cz"
    assert not np.allclose(mended.sel(channel="Cz"), from_raw(raw, ["go"], bads="keep", **WINDOW).sel(channel="Cz"))
    with pytest.raises(ValueError, match="have no position, so bad channels cannot be interpolated"):
        from_raw(raw, ["go"], bads="interpolate", **WINDOW)
    with pytest.raises(ValueError, match=r"channels \['Cz'\] are marked bad"):
        from_raw(raw, ["go"], bads="raise", **WINDOW)
    with pytest.raises(ValueError, match="choose 'drop', 'interpolate', 'keep' or 'raise'"):
        from_raw(raw, ["go"], bads="mend", **WINDOW)
    assert raw.info["bads"] == ["Cz"]


# Processing


def test_average_reference_leaves_bad_channels_out():
    raw = raw_of()
    raw.info["bads"] = ["Cz"]
    signal = from_raw(raw, ["go", "stop"], reference="average", bads="keep", **WINDOW)
    assert signal.attrs["reference"] == "average"
    good = [name for name in NAMES if name != "Cz"]
    np.testing.assert_allclose(signal.sel(channel=good).mean("channel"), 0, atol=1e-18)
    one = from_raw(raw, ["go", "stop"], reference=["Pz"], **WINDOW)
    np.testing.assert_allclose(one.sel(channel="Pz"), 0, atol=1e-18)
    assert one.attrs["reference"] == "custom"


def test_lower_rate_keeps_samples_where_the_filter_allows_it():
    raw = raw_of()
    fine = from_raw(raw, ["go", "stop"], band=(None, 12.0), **WINDOW)
    coarse = from_raw(raw, ["go", "stop"], band=(None, 12.0), sfreq=50.0, **WINDOW)
    assert coarse.attrs["sfreq"] == 50.0
    np.testing.assert_allclose(coarse.values, fine.sel(time=coarse.time, method="nearest").values, atol=1e-18)
    # Without a filter that would fold high frequencies down, so the recording is resampled.
    noise = from_raw(raw, ["go", "stop"], sfreq=50.0, **WINDOW)
    assert noise.attrs["sfreq"] == 50.0
    assert noise.attrs["lowpass"] <= 25.0
    np.testing.assert_allclose(noise.onset, ONSETS, atol=0.5 / 50)
    odd = from_raw(raw, ["go", "stop"], band=(None, 12.0), sfreq=64.0, **WINDOW)
    assert odd.attrs["sfreq"] == 64.0
    np.testing.assert_allclose(odd.onset, ONSETS, atol=0.5 / 64)


def test_band_reaches_the_signal():
    instants = np.arange(20 * RATE) / RATE
    volts = np.sin(2 * np.pi * 10 * instants) * 1e-5 + np.sin(2 * np.pi * 35 * instants) * 1e-5
    signal = from_raw(raw_of(np.tile(volts, (5, 1))), ["go", "stop"], band=(1.0, 20.0), **WINDOW)
    at = np.round(ONSETS * RATE).astype(int)
    slow = np.stack([np.sin(2 * np.pi * 10 * instants)[i - 20 : i + 31] * 1e-5 for i in at[1:-1]])
    np.testing.assert_allclose(signal.values[1:-1, 0], slow, atol=2e-7)
    assert (signal.attrs["highpass"], signal.attrs["lowpass"]) == (1.0, 20.0)
    with pytest.raises(ValueError, match="The band ends at 60 Hz but the recording at 50 Hz"):
        from_raw(raw_of(), ["go"], band=(1.0, 60.0))


def test_baseline_is_subtracted():
    signal = from_raw(raw_of(recorded() + 1e-3), ["go", "stop"], baseline=(None, 0), **WINDOW)
    np.testing.assert_allclose(signal.sel(time=slice(None, 1e-9)).mean("time"), 0, atol=1e-15)


def test_montage_is_matched_in_any_case_and_under_both_names():
    raw = raw_of()
    raw.rename_channels({"Fz": "FZ", "Pz": "pz"})
    signal = from_raw(raw, ["go"], montage="standard_1005", **WINDOW)
    same = from_raw(raw, ["go"], montage="colin27_1005", **WINDOW)
    assert np.isfinite(signal.x).all()
    xr.testing.assert_identical(signal.y, same.y)
    assert signal.sel(channel="FZ").y > signal.sel(channel="Cz").y > signal.sel(channel="pz").y
    with pytest.raises(ValueError, match="No montage is called 'colin'; MNE has"):
        named_montage("colin")


def test_other_channel_types_are_left_out_unless_asked():
    raw = raw_of()
    raw.set_channel_types({"Fz": "eog"}, verbose="error")
    assert from_raw(raw, ["go"], **WINDOW).channel.values.tolist() == NAMES[1:]
    asked = from_raw(raw, ["go"], picks=["eeg", "eog"], **WINDOW)
    assert asked.kind.values.tolist() == ["eog", "eeg", "eeg", "eeg", "eeg"]
    with pytest.raises(ValueError, match=r"no channels 'mag'; its channel types are \['eeg', 'eog'\]"):
        from_raw(raw, ["go"], picks="mag")


def test_a_reference_that_is_not_there_is_told():
    with pytest.raises(ValueError, match=r"reference channels \['M1'\] are not among those kept, .*; choose of these"):
        from_raw(raw_of(), ["go", "stop"], reference=["M1", "Pz"], **WINDOW)


def test_an_impossible_rate_is_told():
    with pytest.raises(ValueError, match="The rate is 0 Hz; give a positive one"):
        from_raw(raw_of(), ["go", "stop"], sfreq=0, **WINDOW)


def test_epochs_that_were_all_rejected_are_told():
    with pytest.raises(ValueError, match=r"has no trials .* epochs were rejected.; loosen the rejection"):
        from_raw(raw_of(), ["go", "stop"], reject=1e-9, **WINDOW)
