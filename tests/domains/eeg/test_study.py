from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr

pytest.importorskip("mne", reason="the study needs mne")
pytest.importorskip("sklearn", reason="the study needs scikit-learn")

mpl.use("agg")

import matplotlib.pyplot as plt
from reference.small_eeg import CAUSE, CHANNELS, PEAK, epochs, person, save, save_npz

import signalrp
from signalrp.domains.eeg import reporting, study
from signalrp.domains.eeg.findings import Recording
from signalrp.domains.eeg.tasks import load_task, split
from signalrp.manifests import DataError
from signalrp.splits import Scaler

MODELS = ("sturm", "erp-lda")
TABLES = {
    "accuracy", "artefacts", "clusters_small", "errors", "faithfulness", "reasons", "transfer_accuracy",
    "transfer_similarity",
}  # fmt: skip


def quiet(line: str) -> None:
    pass


def in_turn(function, calls, say):
    """What `side_by_side` does with one core: another process would know nothing of what a test has replaced."""
    return [function(*arguments, say) for arguments in calls]


def one_picture(task, recording, seed=0):
    """What a recording shows in a study that is about something else: test_pictures.py draws them all."""
    yield "plain", plt.figure(figsize=(1, 1)), "Nothing."


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, list[str], list[Recording]]:
    """Folder of a small study, what it said, and what it found."""
    folder = tmp_path_factory.mktemp("study")
    said: list[str] = []
    recordings: list[Recording] = []
    whole = study.study_person

    def kept(*args):
        recordings.append(whole(*args))
        return recordings[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reporting, "pictures", one_picture)
        patch.setattr(study, "study_person", kept)
        patch.setattr(study, "side_by_side", in_turn)
        report = study.run([save(epochs(), folder)], MODELS, folder / "deep" / "out", count=2, pages=1, say=said.append)
    assert report == folder / "deep" / "out" / "report.html"
    return report.parent, said, recordings


def load(folder: Path, who: str, model: str) -> xr.Dataset:
    return signalrp.load(folder / f"explanation_small_person_{who}_{model}.nc")


def read(folder: Path, table: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{table}.csv", keep_default_na=False, na_values=[""])


class TestWhole:
    def test_everything_is_written(self, finished):
        folder, said, recordings = finished
        explanations = {f"explanation_small_person_{who}_{model}.nc" for who in ("S01", "S02") for model in MODELS}
        assert {p.name for p in folder.iterdir()} == (
            {"report.html", "figures"} | explanations | {f"{name}.csv" for name in TABLES}
        )
        pages = [f"trial_{int(recording.examination.errors.index[0])}" for recording in recordings]
        assert {p.name for p in (folder / "figures").iterdir()} == {
            f"small_person_{who}_{name}.png"
            for who, page in zip(("S01", "S02"), pages, strict=True)
            for name in ("plain", "removal", page)
        }
        assert all(p.read_bytes().startswith(b"\x89PNG") for p in (folder / "figures").iterdir())
        assert list(folder.parent.iterdir()) == [folder]
        assert "face or house? person S01: 80 trials, 20 channels" in said
        assert [line for line in said if line.startswith("  sturm, fold 2 of 2: ")]
        assert not plt.get_fignums()

    def test_every_trial_is_held_out_once_by_a_model_that_saw_no_part_of_it(self, finished):
        folder, _, _ = finished
        made = epochs()
        for number, who in enumerate(("S01", "S02")):
            measured = person(made, who)
            _, splits, words = split(measured, 2, 0)
            assert words == "blocks of time, each in one fold only"
            for model in MODELS:
                data = load(folder, who, model)
                np.testing.assert_array_equal(data["trial"], 80 * number + np.arange(80))
                np.testing.assert_array_equal(data["label"], measured["label"])
                np.testing.assert_array_equal(data["target"], data["output"].argmax("class"))
                assert data["class"].values.tolist() == ["face", "house"]
                assert data.attrs["composite"] == "epsilon"
                for fold, (train, test) in enumerate(splits):
                    np.testing.assert_array_equal(np.flatnonzero(data["fold"] == fold), test)
                    assert not set(train) & set(test)
                    # the signal is what the trial deviates by from the training trials, in V
                    mean = measured.values[train].mean((0, 2), dtype=np.float64)
                    np.testing.assert_allclose(
                        data["signal"].values[test], measured.values[test] - mean[:, None], atol=1e-10
                    )
                assert data["signal"].attrs["units"] == "V"

    def test_the_models_are_asked_alike_for_the_held_out_trials(self, finished):
        """The outputs of the linear yardstick, fitted anew on the training part alone."""
        folder, _, _ = finished
        signal = person(epochs())
        data = load(folder, "S01", "erp-lda")
        for fold, (train, test) in enumerate(split(signal, 2, 0)[1]):
            scaler = Scaler("z-score").fit(signal[train])
            model = study.train_model("erp-lda", scaler.transform(signal[train]), fold)
            again = signalrp.explain(model, scaler.transform(signal[test]), composite="epsilon")
            np.testing.assert_allclose(data["output"][test], again["output"], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(data["relevance"][test], again["relevance"], rtol=1e-3, atol=1e-5)

    def test_relevance_is_deviation_times_what_a_volt_is_worth(self, finished):
        folder, _, _ = finished
        data = load(folder, "S01", "sturm")
        np.testing.assert_allclose(data["signal"] * data["per_unit"], data["relevance"], rtol=1e-3, atol=1e-6)
        assert "per_unit" not in load(folder, "S01", "erp-lda")
        # both classes side by side: the predicted one is the relevance
        chosen = data["class_relevance"].values[np.arange(80), data["target"].values]
        np.testing.assert_array_equal(data["relevance"], chosen)

    def test_tables_agree_with_the_explanations(self, finished):
        folder, _, _ = finished
        accuracy = read(folder, "accuracy").set_index(["person", "model"])
        errors, reasons = read(folder, "errors"), read(folder, "reasons")
        assert len(accuracy) == 4
        for who in ("S01", "S02"):
            for model in MODELS:
                data = load(folder, who, model)
                right = (data["target"] == data["label"]).values
                row = accuracy.loc[(f"person {who}", model)]
                assert row["accuracy"] == pytest.approx(right.mean())
                assert row["low"] <= row["accuracy"] <= row["high"]
                assert (row["chance"], row["trials"]) == (0.5, 80)
            data = load(folder, who, "sturm")
            wrong = (data["target"] != data["label"]).values
            mine = errors[errors["person"] == f"person {who}"]
            assert sorted(mine["trial"]) == data["trial"].values[wrong].tolist()
            table = mine.set_index("trial")
            for trial in table.index:
                one = data.sel(trial=trial)
                assert table.loc[trial, "true"] == ["face", "house"][int(one["label"])]
                assert table.loc[trial, "predicted"] == ["face", "house"][int(one["target"])]
                assert table.loc[trial, "fold"] == int(one["fold"])
            counted = reasons[reasons["person"] == f"person {who}"]
            assert counted["first"].sum() == wrong.sum()
        assert errors["unusual"].is_monotonic_decreasing
        assert accuracy.loc[("person S01", "erp-lda"), "accuracy"] > 0.8

    def test_wrong_labels_are_among_the_errors(self, finished):
        folder, _, _ = finished
        data = load(folder, "S01", "erp-lda")
        wrong = set(np.flatnonzero((data["target"] != data["label"]).values).tolist())
        assert len(wrong & {5, 18, 33, 50, 61, 76}) >= 5

    def test_the_planted_wave_is_found(self, finished):
        folder, _, _ = finished
        for who in ("S01", "S02"):
            data = load(folder, who, "erp-lda")
            right = np.flatnonzero((data["target"] == data["label"]).values)
            mean = data["relevance"][right].mean("trial")
            best = mean.max("time").sortby(mean.max("time"))["channel"].values[-2:]
            assert set(best.tolist()) == set(CAUSE)
            assert abs(float(mean.sel(channel=list(CAUSE)).sum("channel").idxmax("time")) - PEAK) < 0.05

    def test_transfer_asks_about_every_trial_of_the_other_person_once(self, finished):
        folder, _, recordings = finished
        made = epochs()
        table = read(folder, "transfer_accuracy").set_index(["trained on", "explained"])["accuracy"]
        for recording, other in zip(recordings, ("S02", "S01"), strict=True):
            assert list(recording.elsewhere) == [f"person {other}"]
            data, measured = recording.elsewhere[f"person {other}"], person(made, other)
            np.testing.assert_array_equal(data["trial"], (80 if other == "S02" else 0) + np.arange(80))
            np.testing.assert_array_equal(data["label"], measured["label"])
            # scaled by what is known of the other person
            mean = measured.values.mean((0, 2), dtype=np.float64)
            np.testing.assert_allclose(data["signal"], measured.values - mean[:, None], atol=1e-10)
            right = float((data["target"] == data["label"]).mean())
            assert table[(recording.person, f"person {other}")] == pytest.approx(right)
            own = float((recording.best["target"] == recording.best["label"]).mean())
            assert table[(recording.person, recording.person)] == pytest.approx(own)

    def test_the_report_needs_no_other_file(self, finished):
        folder, _, _ = finished
        page = (folder / "report.html").read_text(encoding="utf-8")
        assert external(page) == []
        assert "<script" not in page
        assert page.count("<img ") == len(list((folder / "figures").iterdir()))
        for value in read(folder, "accuracy")["accuracy"]:
            assert f"<td>{value:.3f}</td>" in page
        for part in ("face or house?", "2-fold", "Seed 0", "blocks of time", *MODELS):
            assert part in page
        assert "nan" not in re.sub(r"instants?|meaning", "", words_of(page).lower())

    def test_patterns_are_those_of_the_linear_yardstick(self, finished):
        _, _, recordings = finished
        patterns = recordings[0].patterns
        assert patterns.dims == ("class", "channel", "time")
        strongest = np.abs(patterns[1]).max("time")
        assert set(strongest.sortby(strongest)["channel"].values[-2:].tolist()) == set(CAUSE)
        # a wave of 12 µV either way makes a pattern of µV, not of standard deviations
        assert 1e-7 < float(strongest.max()) < 1e-4


def external(page: str) -> list[str]:
    """What a page would load from elsewhere."""
    loaded = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+)""", page) + re.findall(r"url\(([^)]*)\)", page)
    return [address for address in loaded if not address.startswith("data:")]


def words_of(page: str) -> str:
    return re.sub(r"<[^>]*>", " ", page)


@pytest.fixture
def plain(monkeypatch):
    """Whole studies but for their pictures."""
    monkeypatch.setattr(reporting, "pictures", one_picture)
    monkeypatch.setattr(study, "side_by_side", in_turn)


@pytest.mark.parametrize("format", [save, save_npz])
def test_the_same_seed_repeats_the_study(plain, tmp_path, format):
    data = format(epochs(people=1, trials=40, channels=CHANNELS[-8:]), tmp_path)
    folders = [
        study.run([data], ("sturm",), tmp_path / name, count=2, pages=0, seed=seed, say=quiet).parent
        for name, seed in (("one", 0), ("two", 0), ("three", 1))
    ]
    one, two, three = (load(folder, "S01", "sturm") for folder in folders)
    xr.testing.assert_identical(one, two)
    assert not np.array_equal(one["fold"], three["fold"])


def test_hostile_names_stay_names(plain, tmp_path):
    made = epochs(classes=("<b>face", r"a$\foo$ <i>&"))
    made.metadata["subject"] = made.metadata["subject"].replace({"S01": "../../S01", "S02": "<script>S02"})
    folder = study.run([save(made, tmp_path)], ("erp-lda",), tmp_path / "out", count=2, pages=1, say=quiet).parent
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<b>" not in page
    assert "<i>" not in page
    assert "<script" not in page
    assert "&lt;b&gt;face or a$\\foo$ &lt;i&gt;&amp;?" in page
    assert {p.name for p in tmp_path.iterdir()} == {"small-epo.fif", "out"}
    assert {p.name for p in folder.glob("*.nc")} == {
        "explanation_small_person_.._.._S01_erp-lda.nc",
        "explanation_small_person_script_S02_erp-lda.nc",
    }


def always_the_first(model):
    model[-1].weight.data[:] = 0
    model[-1].bias.data[:] = 0
    model[-1].bias.data[0] = 1
    return model


def test_a_model_that_always_says_the_same_is_reported(plain, monkeypatch, tmp_path):
    train = study.train_model
    monkeypatch.setattr(study, "train_model", lambda *args: always_the_first(train(*args)))
    folder = study.run([save(epochs(), tmp_path)], ("sturm",), tmp_path / "out", count=2, pages=1, say=quiet).parent
    assert read(folder, "accuracy")["accuracy"].tolist() == [0.5, 0.5]
    page = (folder / "report.html").read_text()
    assert "not examined. The class house has 0 correctly classified trials" in page
    assert not (folder / "errors.csv").exists()


def test_nobody_recognised_is_reported(plain, monkeypatch, tmp_path):
    train = study.train_model

    def never(name, training, seed):
        return train(name, training.assign_coords(label=1 - training["label"]), seed)

    monkeypatch.setattr(study, "train_model", never)
    made = epochs(people=1, cause=60.0, wrong=(), blinks=())
    folder = study.run([save(made, tmp_path)], ("erp-lda",), tmp_path / "out", count=2, say=quiet).parent
    assert read(folder, "accuracy")["accuracy"].tolist() == [0]
    assert "not examined" in (folder / "report.html").read_text()


def test_a_study_without_errors_says_so(plain, tmp_path):
    made = epochs(people=1, cause=60.0, wrong=(), blinks=())
    folder = study.run([save(made, tmp_path)], ("erp-lda",), tmp_path / "out", count=2, say=quiet).parent
    assert read(folder, "accuracy")["accuracy"].tolist() == [1]
    assert "There are no errors to explain." in (folder / "report.html").read_text()
    assert "nan%" not in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": ("P7",)},
        {"channels": ("P7", "Fpz"), "positions": False},
        {"channels": ("E1", "E2", "E3", "P7"), "positions": False},
        {"classes": ("a", "b", "c")},
        {"people": 3},
    ],
    ids=["one channel", "no positions", "unknown names", "three classes", "three people"],
)
def test_unusual_recordings_are_studied(plain, tmp_path, changes):
    made = epochs(**({"people": 1, "trials": 60, "wrong": (5,), "blinks": ()} | changes))
    folder = study.run(
        [save(made, tmp_path)], ("erp-lda", "csp-lda"), tmp_path / "out", count=2, pages=1, say=quiet
    ).parent
    accuracy = read(folder, "accuracy")
    assert len(accuracy) == 2 * changes.get("people", 1)
    assert (accuracy["trials"] == 60).all()
    assert external((folder / "report.html").read_text()) == []


@pytest.fixture
def quick(monkeypatch):
    """A study in which nothing is trained and written but a page, to try what surrounds it."""

    def write(folder, *args, **options):
        (folder / "report.html").write_text("new", encoding="utf-8")

    monkeypatch.setattr(study, "study_person", lambda *args: None)
    monkeypatch.setattr(study, "side_by_side", in_turn)
    monkeypatch.setattr(study, "write", write)


def test_overwriting_replaces_studies_and_empty_folders_only(quick, tmp_path):
    data = [save(epochs(), tmp_path)]
    earlier, empty, other = (tmp_path / name for name in ("earlier", "empty", "other"))
    for folder in (earlier, empty, other):
        folder.mkdir()
    (earlier / "report.html").write_text("old")
    (earlier / "stale.csv").write_text("old")
    (other / "thesis.tex").write_text("precious")
    with pytest.raises(FileExistsError, match="--overwrite"):
        study.run(data, MODELS, earlier, say=quiet)
    assert (earlier / "report.html").read_text() == "old"
    for folder in (earlier, empty):
        study.run(data, MODELS, folder, overwrite=True, say=quiet)
        assert sorted(p.name for p in folder.iterdir()) == ["figures", "report.html"]
        assert (folder / "report.html").read_text() == "new"
    with pytest.raises(FileExistsError, match="was not written by a study"):
        study.run(data, MODELS, other, overwrite=True, say=quiet)
    assert (other / "thesis.tex").read_text() == "precious"


def test_a_failure_leaves_nothing_behind(quick, monkeypatch, tmp_path):
    def fail(folder, *args, **options):
        (folder / "accuracy.csv").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "write", fail)
    with pytest.raises(KeyboardInterrupt):
        study.run([save(epochs(), tmp_path)], MODELS, tmp_path / "results" / "out", say=quiet)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["small-epo.fif"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": ("resnet",)}, "no model 'resnet'; choose of sturm"),
        ({"models": ()}, "choose of sturm"),
        ({"data": ()}, "no data to study"),
        ({"data": ("words",)}, "'words' is no task of this study and no file"),
        ({"composite": "lrp"}, "there is no composite 'lrp'"),
        ({"pages": -1}, "number of pages is -1"),
    ],
)
def test_wrong_choices_are_refused_before_any_training(monkeypatch, tmp_path, options, message):
    monkeypatch.setattr(study, "train_model", lambda *args: pytest.fail("a model was trained"))
    settings = {"data": [save(epochs(), tmp_path)], "models": MODELS} | options
    with pytest.raises(ValueError, match=message):
        study.run(out=tmp_path / "out", say=quiet, **settings)
    assert not (tmp_path / "out").exists()


def test_more_folds_than_trials_of_a_class_are_refused(tmp_path):
    with pytest.raises(ValueError, match="A class has 10 trials, fewer than the 12 folds"):
        study.run([save(epochs(trials=20), tmp_path)], MODELS, tmp_path / "out", count=12, say=quiet)


@pytest.mark.slow
def test_a_whole_study_with_its_pictures(tmp_path):
    folder = study.run([save(epochs(), tmp_path)], MODELS, tmp_path / "out", count=2, pages=1, say=quiet).parent
    page = (folder / "report.html").read_text()
    assert external(page) == []
    drawn = {p.stem.removeprefix("small_person_S01_") for p in (folder / "figures").glob("small_person_S01_*")}
    assert {"channels", "joint_face", "joint_house", "scalp", "regions", "bands", "time_frequency"} < drawn
    assert {"components", "channels_erp-lda", "patterns", "removal"} < drawn


@pytest.mark.slow
def test_flicker_is_told_by_its_frequency(shared_data, tmp_path):
    source = shared_data / "eeg_muse_erp_ssvep"
    if not source.is_dir():
        pytest.skip("eeg_muse_erp_ssvep is not among the shared data")
    folder = study.run([f"ssvep={source}"], ("shallow-convnet",), tmp_path / "out", pages=0, say=quiet).parent
    accuracy = read(folder, "accuracy")
    assert (accuracy["accuracy"] > 0.75).all()
    assert (accuracy["p"] < 1e-6).all()
    table = read(folder, "physiology_ssvep")
    part = table[table["measure"].str.startswith("its part")]
    assert len(part) == 2
    assert (part["low"] > part["chance"]).all()
    # At 20 Hz the relevance peaks where the flicker was.
    assert table.loc[table["question"] == "20 Hz: 20 Hz", "peak"].iloc[0] == pytest.approx(20, abs=0.2)


@pytest.mark.slow
def test_faces_are_told_from_houses_by_the_first_person(monkeypatch, tmp_path):
    try:
        task = load_task("faces")
    except DataError as error:
        pytest.skip(str(error))
    one = type(task)(task.name, task.question, {"person 1": task.signals["person 1"]}, task.expected)
    monkeypatch.setattr(study, "load_task", lambda name: one)
    monkeypatch.setattr(reporting, "pictures", one_picture)
    folder = study.run(["faces"], ("deep4", "erp-lda"), tmp_path / "out", pages=0, say=quiet).parent
    accuracy = read(folder, "accuracy").set_index("model")["accuracy"]
    assert accuracy["deep4"] > 0.8
    assert accuracy["erp-lda"] > 0.75
    table = read(folder, "physiology_faces")
    assert table["question"].unique().tolist() == ["N170"]
    share = table[table["measure"] == "share of positive relevance"].iloc[0]
    assert share["estimate"] > share["chance"]
