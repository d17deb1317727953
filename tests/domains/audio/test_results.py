from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("librosa")

from reference.audio_folder import pretended_pitch, task_findings
from reference.harmonic import shares as slow_shares
from reference.small_audio import RATE, explained, vowels

from signalrp import inspect
from signalrp.domains.audio.harmonics import harmonic_table
from signalrp.domains.audio.results import (
    accuracy_table,
    harmonics_table,
    on_harmonics,
    pitch_errors,
    pitch_table,
    speaker_table,
)
from signalrp.inspection import STFT
from signalrp.validation import bootstrap_interval

VOICES = ("ann", "bob", "cid", "ann", "bob", "cid", "ann", "ann")


@pytest.fixture(scope="module")
def clips():
    made = vowels(8)
    return made.assign_coords(speaker=("trial", list(VOICES)), subject=("trial", list(VOICES)))


@pytest.fixture(scope="module")
def data(clips):
    return explained(clips)


RIGHT = [0, 1, 0, 1, 0, 1, 0, 1]
SOME = [0, 1, 1, 1, 0, 0, 0, 1]
NONE = [1, 0, 1, 0, 1, 0, 1, 0]


def test_accuracy_is_counted_over_clips_and_its_interval_over_speakers(clips, data):
    found = task_findings(clips, {"one": data, "two": data}, one=SOME, two=RIGHT)
    table = accuracy_table([found, found])
    assert table["net"].tolist() == ["one", "two", "one", "two"]
    assert table["accuracy"].tolist() == [6 / 8, 1, 6 / 8, 1]
    assert set(table["chance"]) == {0.5}
    assert set(table["clips"]) == {8}
    assert set(table["speakers"]) == {3}
    right = [float(a == b) for a, b in zip(SOME, RIGHT, strict=True)]
    _, low, high = bootstrap_interval(np.array(right), np.array(VOICES))
    assert table.loc[0, ["low", "high"]].tolist() == [low, high]


def test_chance_is_to_say_the_most_frequent_class(clips, data):
    few = [1, 2, 3, 5, 7]
    found = task_findings(clips.isel(trial=few), {"one": data.isel(trial=few)})
    assert accuracy_table([found])["chance"].tolist() == [4 / 5]


def test_speakers_are_counted_one_by_one(clips, data):
    row = speaker_table([task_findings(clips, {"one": data}, one=SOME)]).iloc[0]
    for name in set(VOICES):
        own = [a == b for a, b, voice in zip(SOME, RIGHT, VOICES, strict=True) if voice == name]
        assert row[name] == pytest.approx(sum(own) / len(own))


class TestHarmonics:
    def test_shares_are_those_of_recognised_clips_bin_by_bin(self, clips, data):
        found = task_findings(clips, {"raw": data}, raw=SOME)
        result = on_harmonics(found.nets["raw"], found.f0)
        kept = [trial for trial in range(8) if SOME[trial] == RIGHT[trial]]
        assert result["file"].values.tolist() == [f"clip_{trial}.wav" for trial in kept]
        # frames of 64 ms, of which a quarter is new
        seen = inspect(data.isel(trial=kept), STFT("hann", 512, 128))
        frequency, instants = seen["frequency"].values, seen["frame"].values
        assert frequency[1] == pytest.approx(RATE / 512)
        tracked = found.f0["frame"].values
        for place, trial in enumerate(kept):
            pitch = []
            for instant in instants:
                nearest = int(np.abs(tracked - instant).argmin())
                outside = instant < tracked[0] - 0.0101 or instant > tracked[-1] + 0.0101
                pitch.append(math.nan if outside else float(found.f0.values[trial, nearest]))
            relevance, signal = (seen[name].values[place].astype(np.float64) for name in ("relevance", "signal"))
            expected = slow_shares(relevance, signal**2, frequency, pitch, 1.5 * RATE / 512)
            row = result.isel(trial=place)
            np.testing.assert_allclose([row["share"], row["bins"], row["power"]], expected, rtol=1e-6)

    def test_a_table_for_every_raw_net(self, clips, data):
        bands = xr.Dataset({"relevance": ("trial", np.zeros(8)), "target": data["target"], "output": data["output"]})
        found = task_findings(clips, {"raw": data, "mel": bands}, raw=SOME)
        tables, missing = harmonics_table([found], seed=3)
        assert list(tables) == ["vowels, raw"]
        assert missing == {}
        expected = harmonic_table(on_harmonics(found.nets["raw"], found.f0, seed=3))
        assert tables["vowels, raw"].equals(expected)
        assert np.isfinite(expected.loc["share on the harmonics", ["low", "high"]].astype(float)).all()

    def test_why_there_is_no_table(self, clips, data):
        found = task_findings(clips, {"never": data, "some": data}, never=NONE, some=SOME)
        assert list(harmonics_table([found])[0]) == ["vowels, some"]
        assert list(harmonics_table([found])[1]) == ["vowels, never"]
        with pytest.raises(ValueError, match="none of 8 clips is recognised"):
            on_harmonics(found.nets["never"], found.f0)
        found.f0[:] = np.nan
        tables, missing = harmonics_table([found])
        assert tables == {}
        assert "no trial has a voiced frame" in missing["vowels, some"]


class TestPitch:
    def test_distances_in_cents(self):
        tracked = np.array([100.0, 100.0, 100.0, 100.0, 100.0])
        cents = np.array([10.0, -40.0, 60.0, 1200.0, -1220.0])
        found = xr.Dataset({"f0": ("trial", tracked * 2 ** (cents / 1200))})
        row = pitch_errors(found, tracked).iloc[0]
        assert row["frames"] == 5
        assert row["median distance (cents)"] == pytest.approx(60)
        assert row["within 50 cents"] == pytest.approx(2 / 5)
        assert row["an octave away"] == pytest.approx(2 / 5)

    def test_intervals_are_over_recordings(self):
        voice = pretended_pitch()
        for rules, table in pitch_table(voice).items():
            shares = voice.shares[rules]
            row = table.loc["share on the harmonics"]
            assert row["estimate"] == pytest.approx(float(np.mean(shares["share"].values.tolist())))
            _, low, high = bootstrap_interval(shares["share"].values, shares["recording"].values)
            assert (row["low"], row["high"]) == (low, high)
