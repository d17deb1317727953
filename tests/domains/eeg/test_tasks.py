from __future__ import annotations

import mne
import numpy as np
import pytest
from reference.small_eeg import epochs, person, save, save_npz

from signalrp.domains.eeg import tasks
from signalrp.domains.eeg.data import from_epochs
from signalrp.domains.eeg.tasks import load_task, split

RUNS = "every run in one fold only"
SESSIONS = "every session in one fold only"
BLOCKS = "blocks of time, each in one fold only"


class TestLoad:
    @pytest.mark.parametrize("write", [save, save_npz])
    def test_files_are_divided_by_person(self, tmp_path, write):
        made = epochs()
        task = load_task(write(made, tmp_path))
        assert (task.name, task.question) == ("small", "face or house?")
        assert (task.expected, task.lateral, dict(task.frequencies)) == ((), (), {})
        assert list(task.signals) == ["person S01", "person S02"]
        for number, signal in enumerate(task.signals.values()):
            np.testing.assert_allclose(signal, made.get_data(copy=True)[80 * number : 80 * (number + 1)], atol=1e-10)
            assert set(signal["subject"].values) == {f"S0{number + 1}"}
            # as many as the file has, so that errors are found in it again
            np.testing.assert_array_equal(signal["trial"], 80 * number + np.arange(80))

    def test_a_column_trial_does_not_number_the_trials(self, tmp_path):
        made = epochs()
        made.metadata["trial"] = 1
        assert load_task(save(made, tmp_path)).signals["person S02"]["trial"].values.tolist() == list(range(80, 160))

    def test_without_a_subject_there_is_one_person(self):
        signal = from_epochs(epochs()).drop_vars("subject")
        assert {name: own.sizes["trial"] for name, own in tasks.by_person(signal).items()} == {"one person": 160}

    def test_many_classes_are_not_listed(self, tmp_path):
        made = epochs(classes=tuple("abcdefg"), trials=84, wrong=())
        assert load_task(save(made, tmp_path)).question == "Which class is it?"

    def test_tasks_by_name(self, monkeypatch):
        monkeypatch.setattr(tasks, "faces", lambda number, task: person(epochs(), f"S0{number}"))
        known = {name: load_task(name) for name in ("faces", "presses", "checkerboards")}
        assert [task.question for task in known.values()] == [
            "Face or house?", "Which hand pressed, left or right?", "Checkerboard on the left or the right?",
        ]  # fmt: skip
        assert [len(task.lateral) for task in known.values()] == [0, 2, 1]
        for task in known.values():
            assert list(task.signals) == ["person 1", "person 2"]
            assert task.signals["person 2"]["trial"].values.tolist() == list(range(80))

    def test_flicker(self, shared_data):
        task = load_task(f"ssvep={shared_data / 'eeg_muse_erp_ssvep'}")
        assert task.frequencies == {0: 30.0, 1: 20.0}
        signal = task.signals["person S01"]
        assert signal.attrs["classes"] == "30 Hz | 20 Hz"
        assert np.abs(np.ptp(signal.values, axis=2)).max() < 200e-6
        parts, splits, words = split(signal, 5, 0)
        assert words == RUNS
        for train, test in splits:
            assert not set(parts["run"].values[train]) & set(parts["run"].values[test])

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ("ssvep", "give their folder: ssvep=FOLDER"),
            ("face", "'face' is no task of this study and no file; give faces, presses, checkerboards, ssvep=FOLDER"),
            (".", "no task of this study and no file"),
        ],
    )
    def test_unknown_data(self, data, message):
        with pytest.raises(ValueError, match=message):
            load_task(data)

    def test_too_little(self, tmp_path):
        made = epochs(trials=90, classes=("a", "b", "c"), wrong=())
        with pytest.raises(ValueError, match="all of one class; there is nothing to tell apart"):
            load_task(save(made["a"], tmp_path, "one"))
        with pytest.raises(ValueError, match=r"Person S01 has 12 trials, by class 7, 5; .* at least 20, and 4 of each"):
            load_task(save(epochs(trials=12), tmp_path, "few"))
        lacking = made[~((made.metadata["subject"] == "S02") & (made.events[:, 2] == 3)).to_numpy()]
        with pytest.raises(ValueError, match=r"Person S02 has 60 trials, by class 30, 30, 0; .* leave out that person"):
            load_task(save(lacking, tmp_path, "lacking"))


class TestSplit:
    @pytest.mark.parametrize(
        ("metadata", "group", "words"),
        [
            (("subject", "onset"), "block", BLOCKS),
            (("subject", "run", "onset"), "run", RUNS),
            (("subject", "run", "session"), "session", SESSIONS),
        ],
    )
    def test_what_belongs_together_stays_together(self, metadata, group, words):
        signal = person(epochs(metadata=metadata))
        parts, splits, said = split(signal, 2, 0)
        assert said == words
        np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in splits])), np.arange(80))
        for train, test in splits:
            assert sorted([*train, *test]) == list(range(80))
            assert not set(parts[group].values[train]) & set(parts[group].values[test])
            assert set(parts["label"].values[test]) == {0, 1}

    def test_fewer_sessions_than_folds_leave_it_to_the_runs(self):
        signal = person(epochs(metadata=("subject", "run", "session")))
        assert split(signal, 5, 0)[2] == RUNS
        assert split(signal.drop_vars("run"), 5, 0)[2].startswith("single trials")

    def test_blocks_are_at_least_ten_and_two_for_every_fold(self):
        signal = person(epochs(trials=160))
        assert len(np.unique(split(signal, 3, 0)[0]["block"])) == 10
        assert len(np.unique(split(signal, 8, 0)[0]["block"])) == 16

    def test_trials_that_overlap_with_the_next_block_are_left_out_and_counted(self):
        signal = person(epochs())
        onset = signal["onset"].values.copy()
        onset[8] = onset[7] + 0.1
        parts, splits, words = split(signal.assign_coords(onset=("trial", onset)), 2, 0)
        assert words == f"{BLOCKS}, without 1 trials that overlap with the next block"
        assert parts.sizes["trial"] == 79
        assert signal["onset"].values[7] not in parts["onset"].values
        assert sum(len(test) for _, test in splits) == 79

    def test_onsets_that_tell_nothing_cost_no_trials(self):
        """Epochs made of an array are numbered as if each began a sample after the last."""
        signal = person(epochs())
        made = signal.assign_coords(onset=("trial", np.arange(80) / 64))
        parts, splits, words = split(made, 2, 0)
        assert words.startswith("single trials, for want of runs or onsets")
        assert "block" not in parts.coords
        assert sum(len(test) for _, test in splits) == 80

    def test_epochs_of_an_array_that_was_saved(self, tmp_path):
        made = epochs(people=1)
        plain = mne.EpochsArray(made.get_data(copy=True), made.info, tmin=-0.2, verbose="error")
        plain.events[:, 2] = made.events[:, 2]
        plain.event_id = made.event_id
        (signal,) = load_task(save(plain, tmp_path)).signals.values()
        parts, _, words = split(signal, 2, 0)
        assert parts.sizes["trial"] == 80
        assert words.startswith("single trials")

    def test_short_runs_are_not_cut_into_blocks(self):
        signal = person(epochs(metadata=("subject", "run", "onset")))
        parts, splits, words = split(signal, 9, 0)
        assert words.startswith("single trials")
        assert sum(len(test) for _, test in splits) == parts.sizes["trial"] == 80

    def test_the_seed_decides(self):
        signal = person(epochs())
        again, other = split(signal, 2, 0)[1], split(signal, 2, 1)[1]
        for one, two in zip(split(signal, 2, 0)[1], again, strict=True):
            np.testing.assert_array_equal(one[1], two[1])
        assert not np.array_equal(again[0][1], other[0][1])

    def test_too_few_of_a_class(self):
        signal = person(epochs(trials=20, metadata=("subject",)))
        with pytest.raises(ValueError, match="A class has 10 trials, fewer than the 11 folds"):
            split(signal, 11, 0)
