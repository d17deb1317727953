from __future__ import annotations

import subprocess
import sys

import librosa
import numpy as np
import pytest
import soundfile

from signalrp.domains.audio.data import classes_of
from signalrp.domains.audio.readers import load, read, read_folder
from signalrp.manifests import DataError

RATE = 8000


def sound(samples=400, channels=1, seed=0):
    return np.random.default_rng(seed).uniform(-0.8, 0.8, (samples, channels))


def write(path, values=None, rate=RATE, **choices):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound() if values is None else values, rate, **choices)
    return path


@pytest.mark.parametrize(
    ("name", "subtype", "exactness"),
    [
        ("a.wav", "PCM_16", 1 / 32768),
        ("a.wav", "PCM_24", 2 / 2**23),
        ("a.wav", "FLOAT", 1e-7),
        ("a.flac", "PCM_16", 1 / 32768),
        ("a.ogg", None, 0.4),
    ],
)
def test_formats_give_their_samples(name, subtype, exactness, tmp_path):
    path = write(tmp_path / name, subtype=subtype)
    signal = read(path, ["hiss"], "anna")
    assert signal.shape == (1, 1, 400)
    np.testing.assert_allclose(signal.values[0, 0], sound()[:, 0], atol=exactness * 1.01)
    assert signal["file"].values.tolist() == [name]
    assert signal["speaker"].values.tolist() == ["anna"]
    assert (signal.attrs["sfreq"], classes_of(signal)) == (RATE, ["hiss"])


def test_many_files_are_trials_in_their_order(tmp_path):
    files = [write(tmp_path / f"{n}.wav", sound(300 + 10 * n, seed=n), subtype="FLOAT") for n in (2, 0, 1)]
    signal = read(
        files, [1, 0, 1], ["x", "y", "x"], ["no", "yes"], length=310, shorter="end", longer="start", title="toy"
    )
    assert signal["label"].values.tolist() == [1, 0, 1]
    assert signal["samples"].values.tolist() == [320, 300, 310]
    for row, n in zip(signal.values[:, 0], (2, 0, 1), strict=True):
        expected = np.zeros(310)
        clip = sound(300 + 10 * n, seed=n)[:310, 0]
        expected[: len(clip)] = clip
        np.testing.assert_allclose(row, expected, atol=1e-7)
    assert signal.attrs["title"] == "toy"
    unnamed = read([str(file) for file in files], length=300, longer="loudest")
    assert unnamed["speaker"].values.tolist() == ["2", "0", "1"]


def test_stereo_is_kept_mixed_or_halved_as_asked(tmp_path):
    both = sound(50, 2)
    path = write(tmp_path / "a.wav", both, subtype="FLOAT")
    np.testing.assert_allclose(read(path, channels="stereo").values[0], both.T, atol=1e-7)
    np.testing.assert_allclose(read(path, channels="mix").values[0, 0], both.mean(1), atol=1e-7)
    np.testing.assert_allclose(read(path, channels="left").values[0, 0], both[:, 0], atol=1e-7)
    np.testing.assert_allclose(read(path, channels="right").values[0, 0], both[:, 1], atol=1e-7)
    assert read(path, channels="stereo")["channel"].values.tolist() == ["left", "right"]
    with pytest.raises(ValueError, match=r"a.wav has 2 channels where mono is expected; pass channels='mix'"):
        read(path)
    mono = write(tmp_path / "mono.wav")
    with pytest.raises(ValueError, match=r"mono.wav has 1 channel where stereo is expected"):
        read(mono, channels="stereo")
    np.testing.assert_array_equal(read(mono, channels="mix").values, read(mono).values)
    with pytest.raises(ValueError, match="channels='both' is unknown"):
        read(mono, channels="both")


@pytest.mark.parametrize("resampler", ["soxr_hq", "scipy"])
def test_other_rates_are_refused_or_resampled_on_request(resampler, tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 300 * np.arange(4800) / 48000)
    files = [write(tmp_path / "fast.wav", tone, 48000, subtype="FLOAT"), write(tmp_path / "slow.wav", sound(800))]
    with pytest.raises(ValueError, match=r"fast.wav has 48000 Hz where 8000 Hz are expected; pass sfreq=8000 and"):
        read(files, sfreq=RATE)
    with pytest.raises(ValueError, match=r"slow.wav has 8000 Hz where 48000 Hz are expected"):
        read(files)
    signal = read(files, sfreq=RATE, resample=True, resampler=resampler)
    assert signal.shape == (2, 1, 800)
    expected = librosa.resample(tone.astype(np.float32), orig_sr=48000, target_sr=RATE, res_type=resampler)
    np.testing.assert_array_equal(signal.values[0, 0], expected)
    # The tone itself, away from the ends.
    np.testing.assert_allclose(expected[100:700], tone[::6][100:700], atol=2e-3)
    np.testing.assert_allclose(signal.values[1, 0], sound(800)[:, 0], atol=1e-4)
    with pytest.raises(ValueError, match="pass sfreq in Hz"):
        read(files, resample=True)


def test_a_folder_by_class(tmp_path):
    for word in ("yes", "no"):
        for who in ("anna", "ben"):
            write(tmp_path / word / f"{who}_0.wav", sound(seed=len(word) + len(who)))
    (tmp_path / "notes").mkdir()
    signal = read_folder(tmp_path, speaker=lambda file: file.stem.split("_")[0])
    assert classes_of(signal) == ["no", "yes"]
    assert signal["label"].values.tolist() == [0, 0, 1, 1]
    assert signal["speaker"].values.tolist() == ["anna", "ben"] * 2
    chosen = read_folder(tmp_path, ["yes", "no"])
    assert chosen["label"].values.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(chosen.values, signal.values[[2, 3, 0, 1]])
    for call, said in (
        (lambda: read_folder(tmp_path, ["yes", "maybe"]), r"no .wav files in the subfolders maybe"),
        (lambda: read_folder(tmp_path, ending=".flac"), r"no subfolders with .flac files"),
        (lambda: read_folder(tmp_path / "there"), "no folder .*there"),
    ):
        with pytest.raises(FileNotFoundError, match=said):
            call()


# What cannot be read


def cut(path, keep):
    content = path.read_bytes()
    path.write_bytes(content[:keep] if keep > 0 else content[: len(content) + keep])
    return path


def test_damaged_files_say_so(tmp_path):
    empty = tmp_path / "empty.wav"
    empty.write_bytes(b"")
    text = tmp_path / "text.wav"
    text.write_text("this is no sound")
    cases = [
        (empty, r"empty.wav is empty \(0 bytes\)"),
        (text, r"text.wav cannot be read .*no audio file"),
        (cut(write(tmp_path / "cut.wav"), -100), "cut.wav has 700 bytes of sound where its header promises 800"),
        (cut(write(tmp_path / "head.wav"), 40), "head.wav ends before its sound begins"),
        (write(tmp_path / "none.wav", np.zeros((0, 1))), "none.wav holds no samples"),
        (cut(write(tmp_path / "half.flac", sound(40000)), -30000), "half.flac "),
        (tmp_path, "is a folder; give its files"),
    ]
    for path, said in cases:
        with pytest.raises(DataError, match=said):
            load(path)
    with pytest.raises(FileNotFoundError, match=r"no file .*gone.wav"):
        load(tmp_path / "gone.wav")
    with pytest.raises(ValueError, match="no files to read"):
        read([])


def test_wav_files_with_other_chunks_or_an_unknown_length_are_read(tmp_path):
    content = write(tmp_path / "plain.wav").read_bytes()
    at = content.index(b"data")
    # A chunk of odd length, and its padding, before the sound.
    other = tmp_path / "other.wav"
    other.write_bytes(content[:at] + b"note\x03\x00\x00\x00abc\x00" + content[at:])
    np.testing.assert_array_equal(load(other)[0], load(tmp_path / "plain.wav")[0])
    cut(other, -10)
    with pytest.raises(DataError, match="has 790 bytes"):
        load(other)
    stream = tmp_path / "stream.wav"
    stream.write_bytes(content[: at + 4] + b"\xff\xff\xff\xff" + content[at + 8 :])
    np.testing.assert_array_equal(load(stream)[0], load(tmp_path / "plain.wav")[0])


def test_silence_clipping_and_values_that_are_no_numbers(tmp_path):
    good = write(tmp_path / "good.wav")
    quiet = write(tmp_path / "quiet.wav", np.full((400, 1), 5e-5))
    loud = write(tmp_path / "loud.wav", np.clip(3 * sound(), -1, 1))
    holes = sound()
    holes[7] = np.nan
    hollow = write(tmp_path / "hollow.wav", holes, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"1 of 2 clips hold nothing but silence.*\(quiet.wav\)"):
        read([good, quiet])
    assert read([good, quiet], silence="keep").shape == (2, 1, 400)
    with pytest.warns(UserWarning, match=r"1 of 2 clips are clipped.*\(loud.wav\)"):
        read([good, loud])
    with pytest.raises(ValueError, match=r"1 of 2 clips are clipped"):
        read([good, loud], clipping="raise")
    read([good, loud], clipping="keep")
    with pytest.raises(ValueError, match=r"hollow.wav holds 1 values that are NaN"):
        read([good, hollow])
    with pytest.raises(ValueError, match=r"good.wav has 400 samples where 500 were asked; it is too short"):
        read(good, length=500)
    with pytest.raises(ValueError, match=r"good.wav has 400 samples where 300 were asked; it is too long"):
        read(good, length=300)


def test_without_librosa_the_extra_is_named_and_plain_spectrograms_still_work():
    code = """
import sys
sys.modules["librosa"] = None
import torch
from signalrp.domains.audio.becker import BeckerSpectrogram
from signalrp.domains.audio.frontends import MelSpectrogram
assert BeckerSpectrogram()(torch.zeros(1, 1, 8000)).shape == (1, 1, 227, 227)
for wanted in (lambda: MelSpectrogram(8000, 64, 16, 8), lambda: __import__("signalrp.domains.audio.readers")):
    try:
        wanted()
    except ImportError as error:
        assert 'pip install "signalrp[audio]"' in str(error), error
    else:
        raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True)
