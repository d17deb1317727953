from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from reference.planted_eeg import epochs, examined, model
from scipy.stats import binom

from signalrp.domains.eeg.findings import Recording, Task
from signalrp.domains.eeg.misclassified import explain_classes
from signalrp.domains.eeg.physiology import N170
from signalrp.domains.eeg.results import (
    accuracy_table,
    artefact_table,
    cluster_tables,
    error_table,
    in_short,
    peak_places,
    physiology_table,
    reason_table,
    transfer_tables,
)
from signalrp.domains.eeg.tasks import numbered

TASK = Task("faces", "Face or house?", {}, (N170,))


@pytest.fixture(scope="module")
def recording() -> Recording:
    """A linear model's view of trials of known truth, none of which it was trained on."""
    signal = numbered(epochs())
    found = examined(signal, model(0.05))
    other = explain_classes(model(0.5), signal, "epsilon")
    elsewhere = {"person 2": explain_classes(model(0.05), epochs(seed=1), "epsilon")}
    return Recording(
        "faces", "person 1", signal, {"linear": found.explained, "other": other}, "single trials", found,
        elsewhere=elsewhere,
    )  # fmt: skip


def emptied(recording: Recording, chosen: np.ndarray) -> Recording:
    """The same without the examination, of chosen trials."""
    return Recording("faces", "person 1", recording.signal, {"linear": recording.best.isel(trial=chosen)}, "")


class TestAccuracy:
    def test_against_counting(self, recording):
        table = accuracy_table([recording]).set_index("model")
        assert table.index.tolist() == ["linear", "other"]
        for name, data in recording.explanations.items():
            right = sum(int(t) == int(y) for t, y in zip(data["target"], data["label"], strict=True))
            row = table.loc[name]
            assert row["accuracy"] == pytest.approx(right / 240)
            assert row["low"] < row["accuracy"] < row["high"]
            assert row["p"] == pytest.approx(binom.sf(right - 1, 240, 0.5))
            assert (row["task"], row["person"], row["trials"]) == ("faces", "person 1", 240)

    def test_chance_is_the_most_frequent_class(self, recording):
        label = recording.best["label"].values
        chosen = np.r_[np.flatnonzero(label == 0), np.flatnonzero(label == 1)[:40]]
        row = accuracy_table([emptied(recording, chosen)]).iloc[0]
        assert row["chance"] == pytest.approx(120 / 160)
        assert row["p"] == pytest.approx(binom.sf(round(row["accuracy"] * 160) - 1, 160, 0.75))


class TestErrors:
    def test_every_error_once(self, recording):
        table = error_table([recording, Recording("x", "y", recording.signal, recording.explanations, "")])
        data = recording.best
        wrong = data["trial"].values[(data["target"] != data["label"]).values]
        assert sorted(table["trial"]) == sorted(wrong)
        assert table["unusual"].is_monotonic_decreasing
        assert table.columns[:3].tolist() == ["task", "person", "trial"]
        names = np.array(["face", "house"])
        at = table["trial"].to_numpy()
        np.testing.assert_array_equal(table["true"], names[data["label"].values[at]])
        np.testing.assert_array_equal(table["predicted"], names[data["target"].values[at]])

    def test_no_examination_makes_no_rows(self, recording):
        bare = emptied(recording, np.arange(240))
        assert error_table([bare]).empty
        assert reason_table([bare]).empty

    def test_every_error_has_one_first_reason(self, recording):
        table = reason_table([recording])
        assert table["first"].sum() == len(recording.examination.errors)
        assert table.columns[:2].tolist() == ["task", "person"]

    def test_in_short_counts_as_the_tables_do(self, recording):
        words = in_short(recording)
        errors = recording.examination.errors
        assert f"Of the {len(errors)} errors" in words
        for row in reason_table([recording]).itertuples():
            assert f"{int(row.first)} " in words
        assert f"linear {1 - len(errors) / 240:.1%}" in words
        assert "always naming one class 50.0%" in words

    def test_in_short_without_errors(self):
        signal = numbered(epochs(cause=60.0))
        found = examined(signal, model())
        assert found.errors.empty
        words = in_short(Recording("faces", "p", signal, {"linear": found.explained}, "", found))
        assert words.endswith("There are no errors to explain.")
        assert "nan" not in words


class TestPhysiology:
    def test_where_relevance_was_planted(self, recording):
        table = physiology_table(TASK, [recording])
        share = table[table["measure"] == "share of positive relevance"].iloc[0]
        data = recording.best.isel(trial=recording.correct())
        mask = N170.mask(data).transpose("channel", "time").values
        positive = data["relevance"].transpose("trial", "channel", "time").values.clip(min=0)
        shares = [one[mask].sum() / one.sum() for one in positive]
        assert share["estimate"] == pytest.approx(np.mean(shares), rel=1e-5)
        assert share["p"] < 0.01
        assert share["units"] == 240 - len(recording.examination.errors)

    def test_nothing_expected_and_nobody_right_make_no_rows(self, recording):
        wrong = np.flatnonzero((recording.best["target"] != recording.best["label"]).values)
        assert physiology_table(Task("mine", "a or b?", {}), [recording]).empty
        assert physiology_table(TASK, [emptied(recording, wrong)]).empty
        assert cluster_tables(TASK, [emptied(recording, wrong)], 0).empty

    def test_clusters_hold_what_was_planted(self, recording):
        table = cluster_tables(TASK, [recording], 0)
        assert (table["p"] <= 0.05).all()
        assert len(table) <= 4
        first = table.iloc[0]
        assert first["from (s)"] < 0.17 < first["to (s)"]
        assert table["electrodes"].str.contains("P7|P8|PO7|PO8|P9|P10").any()

    def test_flat_relevance_has_no_cluster(self, recording):
        data = recording.best
        flat = data.assign(relevance=xr.ones_like(data["relevance"]))
        assert cluster_tables(TASK, [Recording("faces", "p", recording.signal, {"linear": flat}, "")], 0).empty


class TestTransfer:
    def test_accuracies_are_those_of_either_person(self, recording):
        accuracy, similarity = transfer_tables([recording], 0)
        assert accuracy["explained"].tolist() == ["person 1", "person 2"]
        for row, data in zip(accuracy.itertuples(), (recording.best, recording.elsewhere["person 2"]), strict=True):
            assert row.accuracy == pytest.approx(float((data["target"] == data["label"]).mean()))
            assert row.trials == 240
        assert similarity["class"].tolist() == ["face", "house"]
        assert similarity["explained"].tolist() == ["person 2", "person 2"]
        # the same linear model finds the same in trials of the same kind
        assert (similarity["similarity"] > 0.9).all()

    def test_one_person_has_nobody_to_carry_over_to(self, recording):
        accuracy, similarity = transfer_tables([emptied(recording, np.arange(240))], 0)
        assert accuracy.empty
        assert similarity.empty


class TestArtefacts:
    def test_means_of_the_trials(self, recording):
        rng = np.random.default_rng(0)
        table = pd.DataFrame(
            {
                "trial": np.arange(12), "artefacts": "blink", "samples": rng.random(12), "relevance": rng.random(12),
                "correct": rng.random(12) < 0.5, "correct_without": np.arange(12) < 9,
                "correct_control": rng.integers(0, 5, 12) / 10,
            }
        )  # fmt: skip
        data = emptied(recording, np.arange(240))
        data.without = table
        row = artefact_table([data], 0).iloc[0]
        assert row["trials with artefacts"] == 12
        assert row["share of samples"] == pytest.approx(table["samples"].mean())
        assert row["accuracy"] == pytest.approx(table["correct"].mean())
        assert row["without artefacts"] == pytest.approx(0.75)
        assert row["difference"] == pytest.approx(0.75 - table["correct_control"].mean())
        assert row["low"] <= row["difference"] <= row["high"]

    def test_fewer_than_two_trials_are_not_compared(self, recording):
        assert artefact_table([emptied(recording, np.arange(240))], 0).empty


class TestPeaks:
    def test_the_highest_places_in_words(self, recording):
        data = recording.best.isel(trial=recording.correct())
        words = peak_places(data, 2)
        mean = data["relevance"].mean("trial")
        best = mean.max("time")
        first = str(best["channel"].values[int(best.argmax())])
        instant = float(mean.sel(channel=first).idxmax("time"))
        assert words.startswith(f"{first} at {1e3 * instant:.0f} ms, ")
        assert len(words.split(", ")) == 2

    def test_other_names_are_told_by_the_nearest_place(self, recording):
        data = recording.best.isel(trial=recording.correct())
        mean = data["relevance"].mean("trial").max("time")
        first = str(mean["channel"].values[int(mean.argmax())])
        renamed = data.assign_coords(channel=[f"E{n}" for n in range(data.sizes["channel"])])
        assert f"(near {first})" in peak_places(renamed, 1)
        nowhere = renamed.drop_vars(list("xyz"))
        assert "near" not in peak_places(nowhere, 1)
