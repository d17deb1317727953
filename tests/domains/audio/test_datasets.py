from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import soundfile

from signalrp import manifests, splits
from signalrp.domains.audio import datasets, folders
from signalrp.domains.audio.becker import Fold, audiomnist_folds, percentile_scaled
from signalrp.domains.audio.data import classes_of, from_arrays
from signalrp.domains.audio.datasets import digits, official_split
from signalrp.domains.audio.folders import audiomnist, esc50, speech_commands
from signalrp.manifests import DataError


@pytest.mark.parametrize("name", ["audiomnist", "esc-50", "fsdd", "speech-commands"])
def test_manifests_are_complete_and_claim_no_more_than_was_verified(name):
    manifest = manifests.load(name)
    assert not manifest.verified
    assert manifest.citation
    assert manifest.licence
    assert all(file.url.startswith("https://") for file in manifest.files)
    module, _, function = manifest.load.rpartition(".")
    assert function in vars({m.__name__: m for m in (datasets, folders)}[module])


# Free Spoken Digit Dataset


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args):
        raise DataError("there is no network here.")

    monkeypatch.setattr("signalrp._download.https", refuse)


def test_digits_are_those_of_the_set_placed_among_zeros(shared_data, tmp_path):
    signal = digits(root=tmp_path)
    assert signal.shape == (3000, 1, 8000)
    assert signal.dtype == np.float32
    assert signal.attrs["sfreq"] == 8000
    assert classes_of(signal) == [str(n) for n in range(10)]
    assert (signal["label"].values == signal["digit"].values).all()
    for coordinate, count in (("speaker", 500), ("digit", 300), ("take", 60), ("block", 300)):
        assert set(np.unique(signal[coordinate].values, return_counts=True)[1]) == {count}
    table = dict(np.load(shared_data / "audio_fsdd" / "fsdd_8khz_int16.npz"))
    by_name = {str(name): number for number, name in enumerate(signal["file"].values)}
    for number in range(0, 3000, 97):
        name = f"{table['digit'][number]}_{table['speaker'][number]}_{table['index'][number]}.wav"
        row = signal.isel(trial=by_name[name])
        recording = table["samples"][table["offset"][number] : table["offset"][number + 1]] / 32768
        offset = int(row["offset"])
        if len(recording) <= 8000:
            np.testing.assert_array_equal(row.values[0, offset : offset + len(recording)], recording)
            assert np.abs(row.values).sum() == pytest.approx(np.abs(recording).sum(), rel=1e-5)
        else:
            np.testing.assert_array_equal(row.values[0], recording[-offset : -offset + 8000])
        assert (str(row["speaker"].values), int(row["samples"])) == (table["speaker"][number], len(recording))
    long = signal["samples"].values > 8000
    assert long.sum() == 20
    assert (signal["offset"].values[long] <= 0).all()


def test_digits_may_be_asked_for_their_speaker_and_another_seed(shared_data, tmp_path):
    signal = digits("speaker", tmp_path, length=4000, seed=3)
    assert classes_of(signal) == ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
    assert (np.array(classes_of(signal))[signal["label"].values] == signal["speaker"].values).all()
    again, other = digits(root=tmp_path, length=4000, seed=3), digits(root=tmp_path, length=4000, seed=4)
    np.testing.assert_array_equal(again.values, signal.values)
    assert (other["offset"].values != signal["offset"].values).mean() > 0.5
    with pytest.raises(ValueError, match="'sex' is unknown; choose 'digit' or 'speaker'"):
        digits("sex")


def test_folds_keep_speakers_or_takes_together(shared_data, tmp_path):
    signal = digits(root=tmp_path, length=400)
    for train, test in splits.folds(signal, 6, group="speaker"):
        assert not set(signal["speaker"].values[train]) & set(signal["speaker"].values[test])
    by_speaker = digits("speaker", tmp_path, length=400)
    for train, test in splits.folds(by_speaker, 10, group="block"):
        assert not set(by_speaker["take"].values[train]) & set(by_speaker["take"].values[test])
        assert set(by_speaker["label"].values[test]) == set(range(6))
    train, test = official_split(signal)
    assert (len(train), len(test)) == (2700, 300)
    assert set(signal["take"].values[test]) == set(range(5))
    assert sorted([*train, *test]) == list(range(3000))
    with pytest.raises(ValueError, match="no coordinate take"):
        official_split(signal.drop_vars("take"))


def test_fetched_recordings_come_before_the_shared_folder_and_give_the_same(shared_data, tmp_path, monkeypatch):
    table = dict(np.load(shared_data / "audio_fsdd" / "fsdd_8khz_int16.npz"))
    few = np.arange(0, 3000, 25)
    clips = [table["samples"][table["offset"][n] : table["offset"][n + 1]] for n in few]
    packed = tmp_path / "audio_fsdd" / "fsdd_8khz_int16.npz"
    packed.parent.mkdir()
    edges = np.cumsum([0, *map(len, clips)])
    names = {key: table[key][few] for key in ("digit", "speaker", "index")}
    np.savez(packed, samples=np.concatenate(clips), offset=edges, **names)
    monkeypatch.setenv("SIGNALRP_SHARED_DATA", str(tmp_path))
    monkeypatch.setattr(datasets, "_RECORDINGS", len(few))
    expected = digits(root=tmp_path)
    recordings = tmp_path / "fsdd" / "free-spoken-digit-dataset" / "free-spoken-digit-dataset-26eb9aa" / "recordings"
    recordings.mkdir(parents=True)
    for clip, *parts in zip(clips, *names.values(), strict=True):
        soundfile.write(recordings / ("_".join(map(str, parts)) + ".wav"), clip, 8000, subtype="PCM_16")
    signal = digits(root=tmp_path)
    assert signal.attrs["source"].startswith("https://")
    assert "npz" in expected.attrs["source"]
    np.testing.assert_array_equal(signal.values, expected.values)
    assert signal["file"].values.tolist() == expected["file"].values.tolist()
    (recordings / "0_george_0.wav").unlink()
    with pytest.raises(DataError, match="119 of 120 recordings"):
        digits(root=tmp_path)
    soundfile.write(recordings / "0_george_0.wav", np.ones(50) / 2, 16000)
    with pytest.raises(DataError, match=r"0_george_0.wav has 16000 Hz and 1 channels"):
        digits(root=tmp_path)


def test_without_data_both_ways_to_it_are_told(tmp_path, monkeypatch, no_network):
    monkeypatch.setenv("SIGNALRP_SHARED_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"no network here.*signalrp data fetch fsdd.*SIGNALRP_SHARED_DATA"):
        digits(root=tmp_path)
    monkeypatch.delenv("SIGNALRP_SHARED_DATA")
    with pytest.raises(DataError, match="cannot be fetched"):
        digits(root=tmp_path)


def test_a_damaged_packed_file_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGNALRP_SHARED_DATA", str(tmp_path))
    packed = tmp_path / "audio_fsdd" / "fsdd_8khz_int16.npz"
    packed.parent.mkdir()
    np.savez(packed, samples=np.zeros(5), digit=np.zeros(1))
    with pytest.raises(DataError, match="lacks the arrays offset, speaker, index"):
        digits(root=tmp_path)
    packed.write_bytes(packed.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read"):
        digits(root=tmp_path)


# AudioMNIST


def tone(samples, rate, hertz, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * hertz * np.arange(samples) / rate), rate)


@pytest.fixture
def small_audiomnist(tmp_path):
    """Three speakers, two digits, two takes, in the layout of the published set."""
    data = tmp_path / "AudioMNIST-master" / "data"
    for speaker in ("01", "12", "60"):
        for digit in (0, 7):
            for take in (0, 10):
                tone(24000 + 600 * take, 48000, 200, data / speaker / f"{digit}_{speaker}_{take}.wav")
    about = {name: {"gender": sex, "age": 30} for name, sex in (("01", "male"), ("12", "female"), ("60", "female"))}
    (data / "audioMNIST_meta.txt").write_text(json.dumps(about))
    return tmp_path


def test_audiomnist_is_resampled_and_placed_among_zeros(small_audiomnist):
    signal = audiomnist(small_audiomnist, "sex")
    assert signal.shape == (12, 1, 8000)
    assert signal.attrs["sfreq"] == 8000
    assert classes_of(signal) == ["male", "female"]
    assert signal["label"].values.tolist() == [0] * 4 + [1] * 8
    assert signal["sex"].values.tolist() == ["male"] * 4 + ["female"] * 8
    assert signal["speaker"].values.tolist() == ["01"] * 4 + ["12"] * 4 + ["60"] * 4
    assert signal["digit"].values.tolist() == [0, 0, 7, 7] * 3
    assert signal["take"].values.tolist() == [0, 10] * 6
    assert signal["samples"].values.tolist() == [4000, 5000] * 6
    assert len(set(signal["offset"].values)) > 6
    spectrum = np.abs(np.fft.rfft(signal.values[5, 0]))
    assert spectrum.argmax() == 200
    by_digit = audiomnist(small_audiomnist, speakers=[60, 1])
    assert by_digit["speaker"].values.tolist() == ["60"] * 4 + ["01"] * 4
    assert classes_of(by_digit) == ["0", "7"]
    assert classes_of(audiomnist(small_audiomnist, "speaker", sfreq=48000, length=48000)) == ["01", "12", "60"]


def test_audiomnist_says_what_is_missing(small_audiomnist):
    with pytest.raises(ValueError, match="has no speakers 59; it has 01, 12, 60"):
        audiomnist(small_audiomnist, speakers=[1, 59])
    with pytest.raises(ValueError, match="'age' is unknown"):
        audiomnist(small_audiomnist, "age")
    meta = next(small_audiomnist.rglob("audioMNIST_meta.txt"))
    meta.write_text("{}")
    assert set(audiomnist(small_audiomnist)["sex"].values) == {"unknown"}
    with pytest.raises(DataError, match="does not say the sex of the speakers 01, 12, 60"):
        audiomnist(small_audiomnist, "sex")
    meta.unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no audioMNIST_meta.txt"):
        audiomnist(small_audiomnist)
    with pytest.raises(FileNotFoundError, match="no folder"):
        audiomnist(small_audiomnist / "there")


def people(numbers):
    return from_arrays(np.full((len(numbers), 4), 0.1), 10, speaker=[f"{n:02d}" for n in numbers])


def test_the_folds_of_the_paper():
    numbers = np.repeat(np.arange(1, 61), 2)
    signal = people(numbers)
    found = audiomnist_folds(signal)
    assert [tuple(map(len, fold)) for fold in found] == [(72, 24, 24)] * 5
    # As published: who is heard in the first fold's test, and in the second fold's validation and test.
    assert set(numbers[found[0].test]) == {26, 52, 60, 18, 32, 42, 5, 13, 22, 33, 45, 51}
    assert set(numbers[found[0].validation]) == {12, 47, 59, 15, 27, 41, 4, 11, 21, 31, 44, 50}
    assert set(numbers[found[1].test]) == {28, 56, 7, 19, 35, 1, 6, 16, 23, 34, 46, 53}
    assert set(numbers[found[1].validation]) == set(numbers[found[0].test])
    assert sorted(np.concatenate([fold.test for fold in found])) == list(range(120))
    for fold in found:
        assert isinstance(fold, Fold)
        assert sorted(np.concatenate(fold)) == list(range(120))
        assert all((np.diff(part) > 0).all() for part in fold)


def test_the_folds_of_the_paper_for_the_sex():
    women = {12, 26, 28, 36, 43, 47, 52, 56, 57, 58, 59, 60}
    numbers = np.arange(1, 61)
    found = audiomnist_folds(people(numbers), "sex")
    assert [tuple(map(len, fold)) for fold in found] == [(12, 6, 6)] * 4
    assert set(numbers[found[0].train]) == {36, 47, 56, 26, 12, 57, 2, 44, 50, 25, 37, 45}
    assert set(numbers[found[3].train]) == {58, 59, 60, 36, 47, 56, 7, 23, 38, 2, 44, 50}
    assert set(numbers[found[3].test]) == {43, 28, 52, 48, 53, 41}
    for fold in found:
        assert all(len(set(numbers[part]) & women) == len(part) / 2 for part in fold)


def test_folds_of_the_paper_say_what_they_cannot_do():
    with pytest.raises(ValueError, match="'age' is unknown"):
        audiomnist_folds(people([1, 2]), "age")
    with pytest.raises(ValueError, match="Fold 0 would have an empty part"):
        audiomnist_folds(people([1, 2]))
    with pytest.raises(ValueError, match="the signal has other names"):
        audiomnist_folds(from_arrays(np.zeros((1, 4)), 10, speaker=["anna"]))


def test_clips_are_scaled_by_their_percentile_as_in_16_bit_numbers():
    values = np.random.default_rng(0).normal(scale=0.1, size=(3, 1, 200)).astype(np.float32)
    scaled = percentile_scaled(from_arrays(values, 100, trial={"take": [1, 2, 3]}))
    whole = values.astype(float) * 32768
    expected = whole / (np.percentile(whole, 95, axis=(1, 2), keepdims=True) + 0.001)
    np.testing.assert_allclose(scaled.values, expected, rtol=1e-5)
    assert scaled.dims == ("trial", "channel", "time")
    assert (scaled.dtype, scaled.name, scaled.attrs["sfreq"]) == (np.float32, "audio", 100)
    assert "quantile" not in scaled.coords


# Speech Commands and ESC-50


@pytest.fixture
def small_commands(tmp_path):
    for word in ("yes", "no", "_background_noise_"):
        for who, take in (("aa01", 0), ("aa01", 1), ("bb02", 0), ("cc03", 0)):
            tone(15000 if who == "bb02" else 16000, 16000, 300, tmp_path / word / f"{who}_nohash_{take}.wav")
    (tmp_path / "validation_list.txt").write_text("yes/bb02_nohash_0.wav\nno/bb02_nohash_0.wav\n")
    (tmp_path / "testing_list.txt").write_text("yes/cc03_nohash_0.wav\n")
    return tmp_path


def test_speech_commands_know_speaker_and_published_part(small_commands):
    signal = speech_commands(small_commands, ["yes", "no"])
    assert signal.shape == (8, 1, 16000)
    assert classes_of(signal) == ["yes", "no"]
    assert signal["label"].values.tolist() == [0] * 4 + [1] * 4
    assert signal["speaker"].values.tolist() == ["aa01", "aa01", "bb02", "cc03"] * 2
    assert signal["take"].values.tolist() == [0, 1, 0, 0] * 2
    parts = ["training", "training", "validation"]
    assert signal["part"].values.tolist() == [*parts, "test", *parts, "training"]
    assert not signal.values[2, 0, 15000:].any()
    held = speech_commands(small_commands, ["no", "yes"], "validation")
    assert held["speaker"].values.tolist() == ["bb02"] * 2
    assert held["label"].values.tolist() == [0, 1]
    with pytest.raises(ValueError, match="'train' is unknown"):
        speech_commands(small_commands, ["no"], "train")
    with pytest.raises(ValueError, match="No recording of no is in the part 'test'"):
        speech_commands(small_commands, ["no"], "test")
    with pytest.raises(FileNotFoundError, match="no recordings of 'up'"):
        speech_commands(small_commands, ["no", "up"])
    (small_commands / "validation_list.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no validation_list.txt"):
        speech_commands(small_commands, ["no"])


@pytest.fixture
def small_esc(tmp_path):
    root = tmp_path / "ESC-50-master"
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for fold, clip, take, target in (
        (2, 11, "A", 1),
        (1, 10, "A", 0),
        (1, 10, "B", 0),
        (3, 12, "A", 1),
        (1, 13, "A", 2),
    ):
        name = f"{fold}-{clip}-{take}-{target}.wav"
        rows.append(f"{name},{fold},{target},{('dog', 'rain', 'sea_waves')[target]},False,{clip},{take}")
        tone(2205, 44100, 1000, root / "audio" / name)
    (root / "meta").mkdir()
    (root / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_esc50_knows_its_folds_and_original_recordings(small_esc):
    signal = esc50(small_esc)
    assert signal.shape == (5, 1, 2205)
    assert signal.attrs["sfreq"] == 44100
    assert classes_of(signal) == ["dog", "rain", "sea_waves"]
    assert signal["label"].values.tolist() == [0, 0, 2, 1, 1]
    assert signal["fold"].values.tolist() == [1, 1, 1, 2, 3]
    assert signal["subject"].values.tolist() == ["10", "10", "13", "11", "12"]
    assert signal["take"].values.tolist() == ["A", "B", "A", "A", "A"]
    some = esc50(small_esc, ["rain", "dog"], sfreq=22050, resample=True)
    assert some["label"].values.tolist() == [1, 1, 0, 0]
    assert some.sizes["time"] == 1103
    with pytest.raises(ValueError, match="classes cat are unknown; ESC-50 has dog, rain, sea_waves"):
        esc50(small_esc, ["cat"])
    next(small_esc.rglob("1-10-B-0.wav")).unlink()
    with pytest.raises(DataError, match=r"lacks 1-10-B-0.wav; unpack"):
        esc50(small_esc)
    shutil.rmtree(small_esc / "ESC-50-master" / "meta")
    with pytest.raises(FileNotFoundError, match=r"holds no meta/esc50.csv"):
        esc50(small_esc)


def test_sets_are_fetched_when_no_folder_is_given(small_esc, small_audiomnist, monkeypatch):
    monkeypatch.setattr(manifests, "fetch", lambda name: {"esc-50": small_esc, "audiomnist": small_audiomnist}[name])
    assert esc50().sizes["trial"] == 5
    assert audiomnist().sizes["trial"] == 12
