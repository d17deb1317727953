from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("soundfile")
pytest.importorskip("librosa")
pytest.importorskip("sklearn", reason="folds need scikit-learn")

import soundfile
from reference.audio_folder import FORMANTS, RATE, SECONDS, SPEAKERS, TAKES, voice, write_folder

from signalrp.domains.audio import tasks
from signalrp.domains.audio.data import classes_of
from signalrp.domains.audio.datasets import official_split
from signalrp.domains.audio.tasks import load_task
from signalrp.manifests import DataError

CLIPS = len(FORMANTS) * len(SPEAKERS) * TAKES


def sides(task, name):
    """What a coordinate is in training and test of every fold."""
    values = task.signal[name].values
    return [(set(values[train].tolist()), set(values[test].tolist())) for train, test in task.splits]


class TestFolder:
    def test_every_file_is_a_clip_of_its_class(self, tmp_path):
        folder = write_folder(tmp_path / "words")
        task = load_task(str(folder), speaker=True)
        assert (task.name, task.question, task.known) == ("words", "Which class is heard?", ())
        signal, names = task.signal, sorted(FORMANTS)
        assert signal.shape == (CLIPS, 1, round(RATE * SECONDS))
        assert signal.attrs["sfreq"] == RATE
        assert classes_of(signal) == names
        assert len(set(signal["file"].values)) == CLIPS
        for row in signal:
            own = str(row["file"].values)
            assert own.split("/")[0] == names[int(row["label"])]
            assert own.split("/")[1].split("_")[0] == row["speaker"] == row["subject"]
            clip = soundfile.read(folder / own, dtype="float32")[0]
            begin = int(row["offset"])
            np.testing.assert_array_equal(row.values[0, begin : begin + len(clip)], clip)
            assert not row.values[0, :begin].any()
            assert not row.values[0, begin + len(clip) :].any()

    def test_every_clip_is_held_out_once(self, tmp_path):
        folder = write_folder(tmp_path / "words")
        for speaker in (True, False):
            task = load_task(str(folder), count=3, speaker=speaker)
            assert len(task.splits) == 3
            held = np.concatenate([test for _, test in task.splits])
            assert sorted(held.tolist()) == list(range(CLIPS))
            for train, test in task.splits:
                assert sorted([*train, *test]) == list(range(CLIPS))

    def test_speakers_are_on_one_side_only_where_they_are_known(self, tmp_path):
        folder = write_folder(tmp_path / "words")
        known = load_task(str(folder), count=3, speaker=True)
        assert known.words == "every speaker in one fold only"
        assert all(not training & test for training, test in sides(known, "speaker"))
        assert set.union(*(test for _, test in sides(known, "speaker"))) == set(SPEAKERS)
        unknown = load_task(str(folder), count=3)
        assert "a speaker may be on both sides" in unknown.words
        # a file of the same name in another class is nobody else's clip
        assert len(set(unknown.signal["subject"].values)) == CLIPS

    def test_the_seed_decides_the_folds(self, tmp_path):
        folder = str(write_folder(tmp_path / "words"))
        one, two, three = (load_task(folder, seed=seed).splits for seed in (0, 0, 1))
        for (_, test), (_, again) in zip(one, two, strict=True):
            np.testing.assert_array_equal(test, again)
        assert any(not np.array_equal(test, other) for (_, test), (_, other) in zip(one, three, strict=True))

    def test_stereo_is_mixed(self, tmp_path):
        folder = write_folder(tmp_path / "words")
        both = np.stack([voice(900, 100, 1), 0.5 * voice(900, 130, 2)], 1)
        soundfile.write(folder / "low" / "ann_0.wav", both, RATE, subtype="FLOAT")
        signal = load_task(str(folder)).signal
        (row,) = np.flatnonzero(signal["file"].values == "low/ann_0.wav")
        np.testing.assert_allclose(signal.values[row, 0], both.mean(1), atol=1e-7)

    def test_a_folder_is_called_as_it_is_however_it_is_given(self, tmp_path, monkeypatch):
        folder = write_folder(tmp_path / "words", takes=1)
        monkeypatch.chdir(folder)
        assert [load_task(data, count=2).name for data in (".", f"{folder}/", "../words")] == ["words"] * 3


class TestRefused:
    def test_an_unknown_name(self):
        with pytest.raises(ValueError, match="'digits' is no task of this study and no folder; give digit, speaker or"):
            load_task("digits")

    def test_a_folder_without_clips(self, tmp_path):
        (tmp_path / "one").mkdir()
        (tmp_path / "notes.wav").write_text("not in a subfolder")
        with pytest.raises(ValueError, match=r"holds no subfolder with .wav files; give one subfolder per class"):
            load_task(str(tmp_path))

    def test_a_single_class(self, tmp_path):
        folder = write_folder(tmp_path / "words", {"low": 400.0})
        (folder / "empty").mkdir()
        with pytest.raises(ValueError, match=r"\.wav files of the class low alone; give a subfolder for every class"):
            load_task(str(folder))

    def test_several_sampling_rates(self, tmp_path):
        folder = write_folder(tmp_path / "words")
        soundfile.write(folder / "low" / "gus_0.wav", voice(400, 100, 0, rate=8000), 8000)
        with pytest.raises(ValueError, match="sampling rates of 4000, 8000 Hz; bring them to one rate first"):
            load_task(str(folder))

    def test_fewer_clips_than_folds(self, tmp_path):
        folder = write_folder(tmp_path / "words", speakers=SPEAKERS[:3], takes=1)
        with pytest.raises(ValueError, match="A class has 3 trials, fewer than the 4 folds; use fewer folds"):
            load_task(str(folder))

    def test_fewer_speakers_than_folds(self, tmp_path):
        folder = write_folder(tmp_path / "words", speakers=SPEAKERS[:3])
        with pytest.raises(ValueError, match="A class has 3 of 'speaker', fewer than the 4 folds"):
            load_task(str(folder), speaker=True)

    @pytest.mark.parametrize(
        ("content", "message"), [(b"", r"ann_0\.wav is empty"), (b"RIFF\0\0\0\0WAVE", r"ann_0\.wav ends before")]
    )
    def test_damaged_files(self, tmp_path, content, message):
        folder = write_folder(tmp_path / "words")
        (folder / "low" / "ann_0.wav").write_bytes(content)
        with pytest.raises(DataError, match=message):
            load_task(str(folder))

    def test_silence(self, tmp_path):
        folder = write_folder(tmp_path / "words")
        soundfile.write(folder / "low" / "ann_0.wav", np.zeros(900, dtype=np.float32), RATE)
        with pytest.raises(ValueError, match=r"1 of 72 clips hold nothing but silence.*ann_0\.wav"):
            load_task(str(folder))


class TestNamed:
    def test_digits_of_a_speaker_who_was_held_out(self, shared_data):
        task = load_task("digit")
        assert task.question == "Which digit is said?"
        assert task.words == "one of 6 speakers held out at a time"
        assert classes_of(task.signal) == [str(number) for number in range(10)]
        assert [sorted(test) for _, test in sides(task, "speaker")] == [[name] for name in task.known]
        assert all(not training & test for training, test in sides(task, "speaker"))
        held = np.concatenate([test for _, test in task.splits])
        assert sorted(held.tolist()) == list(range(3000))

    def test_speakers_by_the_official_split(self, shared_data):
        task = load_task("speaker")
        assert task.known == ()
        assert len(classes_of(task.signal)) == 6
        ((train, test),) = task.splits
        for found, expected in zip((train, test), official_split(task.signal), strict=True):
            np.testing.assert_array_equal(found, expected)
        assert set(task.signal["take"].values[test].tolist()) == set(range(5))
        assert not set(train) & set(test)

    @pytest.mark.parametrize("name", tasks.NAMED)
    def test_digits_that_cannot_be_had(self, monkeypatch, name):
        def absent(label):
            raise DataError("not here")

        monkeypatch.setattr(tasks, "digits", absent)
        with pytest.raises(DataError, match="not here"):
            load_task(name)
