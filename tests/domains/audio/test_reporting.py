from __future__ import annotations

import re

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

pytest.importorskip("soundfile")
pytest.importorskip("librosa")

mpl.use("agg")

import matplotlib.pyplot as plt
import soundfile
from reference.audio_folder import pretended_pitch, task_findings
from reference.small_audio import explained, net, vowels

from signalrp.domains.audio import reporting, train
from signalrp.domains.audio.harmonics import fundamental
from signalrp.domains.audio.masking import mask_clips
from signalrp.domains.audio.models import spectrogram_small
from signalrp.explain import explain

RIGHT = [0, 1, 0, 1, 0, 1]


def quiet(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def clips():
    return vowels(6)


@pytest.fixture(scope="module")
def raw(clips):
    return explained(clips)


@pytest.fixture(scope="module")
def seen(clips):
    given = train.prepared("spectrogram-small", clips)
    return explain(spectrogram_small(given.shape[1:], 2).eval(), given, classes=["one", "two"])


class TestShownClips:
    def test_the_surest_of_different_classes_that_all_nets_got_right(self, clips, raw, seen):
        # sureness of these findings rises with the clip
        found = task_findings(clips, {"a": raw, "b": seen}, a=[0, 1, 0, 1, 0, 0], b=[0, 1, 0, 1, 1, 1])
        assert reporting.shown_clips(found) == [2, 3]

    def test_of_three_classes_the_two_surest(self, clips, raw):
        three = clips.assign_coords(label=("trial", [0, 1, 2, 0, 1, 2]))
        wide = raw.drop_vars(["output", "class"]).assign(output=(("trial", "class"), np.zeros((6, 3))))
        found = task_findings(three, {"a": wide}, a=[0, 1, 2, 0, 1, 2])
        assert reporting.shown_clips(found) == [4, 5]

    def test_none_where_nothing_was_recognised(self, clips, raw):
        assert reporting.shown_clips(task_findings(clips, {"a": raw}, a=[1, 0, 1, 0, 1, 0])) == []


class TestAlikeInAccuracy:
    def test_closest_of_different_representations(self, clips, raw, seen):
        answers = {"one": [1, 0, 0, 1, 0, 1], "two": [1, 0, 0, 1, 0, 1], "three": RIGHT, "four": [1, 1, 0, 1, 0, 1]}
        found = task_findings(clips, {"one": raw, "two": raw, "three": seen, "four": seen}, **answers)
        (first, one), (second, other) = reporting.alike_in_accuracy(found)
        assert (first, second) == ("one", "four")
        assert one is found.nets["one"]
        assert other is found.nets["four"]

    def test_closest_of_one_representation_where_there_is_but_one(self, clips, raw):
        answers = {"one": [1, 0, 1, 1, 0, 1], "two": RIGHT, "three": [1, 1, 0, 1, 0, 1]}
        found = task_findings(clips, dict.fromkeys(answers, raw), **answers)
        assert [name for name, _ in reporting.alike_in_accuracy(found)] == ["two", "three"]


@pytest.fixture
def hostile(clips, raw):
    """Findings whose names are markup, formulas or paths, and of which two files differ in no file name."""
    files = ["../<b>a.wav", "$\\foo$ <i>.wav", "b?.wav", "b!.wav", "b!.wav", "b?.wav"]
    names = ["<script>one", "a$\\bar$ & two"]
    made = clips.assign_coords(file=("trial", files)).assign_attrs(classes=" | ".join(names))
    data = raw.assign_coords({"file": ("trial", files), "class": names})
    found = task_findings(made, {"raw": data}, raw=RIGHT)
    found.nets["raw"].curves = mask_clips(net(), raw, f0=fundamental(clips))
    object.__setattr__(found.task, "name", "<b>vowels")
    return found


def test_hostile_names_stay_names(hostile, tmp_path):
    folder = tmp_path / "out"
    (folder / "figures").mkdir(parents=True)
    reporting.write(folder, [hostile], pretended_pitch(), composite="epsilon", seed=0, say=quiet)
    page = (folder / "report.html").read_text(encoding="utf-8")
    for tag in ("<b>", "<i>", "<script"):
        assert tag not in page
    assert "&lt;b&gt;vowels, raw, b?.wav: the clip" in page
    assert {p.name for p in tmp_path.iterdir()} == {"out"}
    assert {p.name for p in folder.glob("*.nc")} == {"explanation__b_vowels_raw.nc"}
    # both are called b_.wav where files are concerned
    assert reporting.shown_clips(hostile) == [4, 5]
    played = {p.name: soundfile.read(p)[0] for p in (folder / "sound").iterdir()}
    assert len(played) == 6
    for trial, name in ((4, "_b_vowels_raw_b_.wav_the_clip.wav"), (5, "_b_vowels_raw_b_.wav_the_clip-2.wav")):
        clip = hostile.clips.values[trial, 0]
        np.testing.assert_allclose(played[name], 0.9 * clip / np.abs(clip).max(), atol=0.05)
        assert np.corrcoef(played[name], clip)[0, 1] > 0.999
    assert page.count("<audio ") == 6
    assert page.count("<img ") == len(list((folder / "figures").iterdir()))
    assert not plt.get_fignums()


def test_a_single_net_is_compared_with_none_and_no_voice_is_no_section(hostile, tmp_path):
    (tmp_path / "figures").mkdir()
    reporting.write(tmp_path, [hostile], None, composite="epsilon", seed=0, say=quiet)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "listen to the same" not in page
    assert "CREPE" not in page
    assert not list(tmp_path.glob("pitch*"))
    # every clip is its own speaker here
    assert re.search(r"6 clips, 0\.25 s at 8000 Hz; halves\. Explained are 6 held-out clips", page)


def test_the_pitch_is_marked_with_its_multiples():
    example = pretended_pitch().example
    figure = reporting.plot_pitch(example)
    try:
        upper, lower = figure.axes
        marks = sorted({float(line.get_xdata()[0]) for line in upper.lines if len(set(line.get_xdata())) == 1})
        # up to 800 Hz at least
        assert marks == [120.0 * number for number in range(1, 7)]
        (curve,) = [line for line in lower.lines if len(line.get_xdata()) > 2]
        near = example.isel(frequency=example["frequency"] <= 800)
        xr.testing.assert_equal(near["signal"], near["signal"].copy(data=curve.get_ydata()))
        assert "3 frames about 120 Hz" in upper.get_title()
    finally:
        plt.close(figure)
