from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import signalrp
from signalrp import manifests

pytest.importorskip("sklearn", reason="the study needs scikit-learn")

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt

from signalrp.domains.gait import study
from signalrp.domains.gait.segments import PHASES
from signalrp.splits import folds

MODELS = ("linear", "svm")
POINTS = 21
SHARED = Path(os.environ.get("SIGNALRP_SHARED_DATA", "")) / "gait_spm1d_speedgrf" / "speedgrf.npz"


# Xarray warns of the coordinate with a space in its name, which signalrp.load reads back all the same.
pytestmark = pytest.mark.filterwarnings("ignore:coordinate 'shoe size' has a space")


def table(
    people: int = 4, trials: int = 6, channels: tuple[str, ...] = ("vertical",), noise: float = 0.05
) -> pd.DataFrame:
    """People who differ in one bump of the curve, a tidy table over % stance."""
    rng = np.random.default_rng(0)
    time = np.linspace(0, 100, POINTS)
    parts = []
    for person in range(people):
        for trial in range(trials):
            for channel in channels:
                bump = np.exp(-(((time - 20 * (person + 1)) / 8) ** 2))
                values = np.sin(np.pi * time / 100) + 0.5 * bump + rng.normal(size=POINTS) * noise
                parts.append(
                    pd.DataFrame(
                        {
                            "trial": f"P{person}-{trial}",
                            "subject": f"P{person}",
                            "channel": channel,
                            "time": time,
                            "time_unit": "% stance",
                            "unit": "BW",
                            "value": values,
                            "shoe size": 38 + person,
                        }
                    )
                )
    return pd.concat(parts, ignore_index=True)


def save(frame: pd.DataFrame, folder: Path) -> str:
    frame.to_csv(folder / "walks.csv", index=False)
    return str(folder / "walks.csv")


def quiet(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, list[str]]:
    """Folder of a whole small study, and what it said."""
    folder = tmp_path_factory.mktemp("study")
    said: list[str] = []
    report = study.run(save(table(), folder), MODELS, folder / "deep" / "out", count=2, say=said.append)
    assert report == folder / "deep" / "out" / "report.html"
    return report.parent, said


def test_everything_is_written(finished):
    folder, said = finished
    figures = {f"signature_P{n}.png" for n in range(4)} | {"people_vertical.png", "phase_removal.png", "removal.png"}
    tables = {"accuracy", "curves", "faithfulness", "stability", "phases", "phase_curves"}
    assert {p.name for p in folder.iterdir()} == (
        {"report.html", "figures", *(f"explanation_{m}.nc" for m in MODELS), *(f"{t}.csv" for t in tables)}
    )
    assert {p.name for p in (folder / "figures").iterdir()} == figures
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in (folder / "figures").iterdir())
    assert list(folder.parent.iterdir()) == [folder]
    assert said[0].startswith("Who is walking? 24 trials of 4 people, 4 classes, 2 folds")
    assert [line for line in said if "fold 2 of 2" in line]
    assert not plt.get_fignums()


def test_explanations_are_of_held_out_trials_in_their_order(finished, tmp_path):
    folder, _ = finished
    frame = table()
    measured = frame["value"].to_numpy().reshape(24, 1, POINTS)
    splits = folds(study.load_task(save(frame, tmp_path)).signal, 2, by="label", seed=0)
    for model in MODELS:
        data = signalrp.load(folder / f"explanation_{model}.nc")
        np.testing.assert_array_equal(data["source_trial"], np.arange(24))
        np.testing.assert_allclose(data["signal"], measured)
        assert data["signal"].attrs["units"] == "BW"
        assert data["time"].attrs["units"] == "% stance"
        assert data["shoe size"].values[::6].tolist() == [38, 39, 40, 41]
        assert "shoe size" in data.coords
        assert data["class"].values.tolist() == ["P0", "P1", "P2", "P3"]
        np.testing.assert_array_equal(data["class"].values[data["label"]], data["subject"])
        np.testing.assert_array_equal(data["target"], data["output"].argmax("class"))
        assert (data.attrs["model"], data.attrs["composite"]) == (model, "epsilon")
        for fold, (_, test) in enumerate(splits):
            np.testing.assert_array_equal(np.flatnonzero(data["fold"] == fold), test)


def test_tables_agree_with_the_explanations(finished):
    folder, _ = finished
    read = {p.stem: pd.read_csv(p) for p in folder.glob("*.csv")}
    assert set(read["stability"]["pairs"]) >= {"within", "between", "difference"}
    for model in MODELS:
        data = signalrp.load(folder / f"explanation_{model}.nc")
        right = (data["target"] == data["label"]).values
        row = read["accuracy"].set_index("model").loc[model]
        assert row["accuracy"] == pytest.approx(right.mean())
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert (row["chance"], row["trials"]) == (0.25, 24)
        curves = read["curves"][read["curves"]["model"] == model]
        assert sorted(curves["step"].unique()) == pytest.approx([100 * f for f in study.FRACTIONS])
        assert curves.loc[curves["step"] == 0, "accuracy"].to_numpy() == pytest.approx(right.mean())
        phases = read["phases"][read["phases"]["model"] == model]
        assert phases["phase"].tolist() == list(PHASES)
        assert phases["share of relevance"].sum() == pytest.approx(1)
        assert phases["share of time"].sum() == pytest.approx(1)
        positive = data["relevance"].isel(trial=np.flatnonzero(right)).clip(min=0).sum("channel")
        share = (positive / positive.sum("time")).mean("trial").values
        assert phases["share of relevance"].iloc[0] == pytest.approx(share[data["time"].values < 19].sum())
        removed = read["phase_curves"][read["phase_curves"]["model"] == model]
        assert removed.loc[removed["step"] == 0, "accuracy"].to_numpy() == pytest.approx(right.mean())
    # People who differ in one bump are told apart, and by their own bump.
    assert (read["accuracy"]["accuracy"] > 0.8).all()
    difference = read["stability"][read["stability"]["pairs"] == "difference"]
    assert (difference["cosine similarity"] > 0.1).all()
    gain = read["faithfulness"].set_index(["model", "order", "measure"])["advantage"]
    assert gain.loc[("linear", "random", "AOPC")] > 0


def external(page: str) -> list[str]:
    """What a page would load from elsewhere."""
    loaded = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+)""", page) + re.findall(r"url\(([^)]*)\)", page)
    return [address for address in loaded if not address.startswith("data:")]


def test_the_report_needs_no_other_file(finished):
    folder, _ = finished
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert external(page) == []
    assert "<script" not in page
    assert "@import" not in page
    assert page.count("<img ") == len(list((folder / "figures").iterdir()))
    accuracy = pd.read_csv(folder / "accuracy.csv")
    for value in accuracy["accuracy"]:
        assert f"<td>{value:.3f}</td>" in page
    for part in ("Who is walking?", "mid-stance", "2-fold", "Seed 0", "fill", *MODELS):
        assert part in page
    assert "nan" not in page.lower().split("base64")[0]


def test_the_report_says_what_removal_supports(finished):
    folder, _ = finished
    page = (folder / "report.html").read_text(encoding="utf-8")
    scores = pd.read_csv(folder / "faithfulness.csv")
    assert scores["model"].unique().tolist() == list(MODELS)
    assert scores["measure"].unique().tolist() == ["AOPC", "ABPC", "area under accuracy", "area under output"]
    for model in MODELS:
        assert f"<p>{model}: Removing 5 % of the samples, most relevant first, " in page
        assert f"<p>{model}: Removing 1 of the phases of stance, most relevant first, " in page
        assert f"<p>{model}, cascading randomisation: pass." in page
        assert f"<p>{model}, class contrast: pass." in page
    assert "These checks are of the held-out trials of the first fold." in page
    # four people are too few for any finding, whatever the curves look like
    assert page.count("With 4 subjects no p below .125 is possible") >= len(MODELS)
    assert "This does not show that a person would need the same samples" in page
    # the fill is measured against the data of each fold, not of the first alone
    assert "lie farther from the data than 95 % of the data do" in page


def test_the_same_seed_repeats_the_study(finished, tmp_path):
    folder, _ = finished
    again = study.run(save(table(), tmp_path), ("linear",), tmp_path / "out", count=2, say=quiet).parent
    one, two = (signalrp.load(f / "explanation_linear.nc") for f in (folder, again))
    xr.testing.assert_identical(one, two)
    other = study.run(save(table(), tmp_path), ("linear",), tmp_path / "other", count=2, seed=1, say=quiet).parent
    assert not np.array_equal(signalrp.load(other / "explanation_linear.nc")["fold"], one["fold"])


@pytest.fixture
def quick(monkeypatch):
    """A study in which nothing is trained and written but a page, to try what surrounds it."""

    def write(folder, task, findings, **options):
        (folder / "report.html").write_text("new", encoding="utf-8")

    monkeypatch.setattr(study, "study_model", lambda *args: None)
    monkeypatch.setattr(study, "write", write)


def test_a_folder_that_exists_is_refused(quick, tmp_path):
    data = save(table(), tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").write_text("old")
    with pytest.raises(FileExistsError, match="--overwrite"):
        study.run(data, MODELS, tmp_path / "out", count=2, say=quiet)
    assert (tmp_path / "out" / "report.html").read_text() == "old"


def test_overwriting_replaces_studies_and_empty_folders_only(quick, tmp_path):
    data = save(table(), tmp_path)
    earlier, empty, other, file = (tmp_path / name for name in ("earlier", "empty", "other", "file"))
    for folder in (earlier, empty, other):
        folder.mkdir()
    (earlier / "report.html").write_text("old")
    (earlier / "stale.csv").write_text("old")
    (other / "thesis.tex").write_text("precious")
    file.write_text("precious")
    for folder in (earlier, empty):
        study.run(data, MODELS, folder, count=2, overwrite=True, say=quiet)
        assert sorted(p.name for p in folder.iterdir()) == ["figures", "report.html"]
        assert (folder / "report.html").read_text() == "new"
    for precious in (other, file):
        with pytest.raises(FileExistsError, match="was not written by a study"):
            study.run(data, MODELS, precious, count=2, overwrite=True, say=quiet)
    assert (other / "thesis.tex").read_text() == file.read_text() == "precious"


@pytest.mark.parametrize("before", [False, True])
def test_a_failure_leaves_nothing_behind(quick, monkeypatch, tmp_path, before):
    data = save(table(), tmp_path)
    out = tmp_path / "results" / "out"
    if before:
        out.mkdir(parents=True)
        (out / "report.html").write_text("old")

    def fail(folder, *args, **options):
        (folder / "accuracy.csv").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "write", fail)
    with pytest.raises(KeyboardInterrupt):
        study.run(data, MODELS, out, count=2, overwrite=before, say=quiet)
    left = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert left == (["results/out/report.html", "walks.csv"] if before else ["walks.csv"])
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": ("resnet",)}, "no model 'resnet'"),
        ({"models": ()}, "choose of linear"),
        ({"composite": "lrp"}, "there is no composite 'lrp'"),
        ({"fill": "median"}, "there is no fill 'median'"),
        ({"data": "no-such-set"}, "no data set of this study and no file"),
        ({"data": "clinical-grf"}, "clinical-grf=PATH"),
        ({"count": 7}, "A class has 6 trials, fewer than the 7 folds"),
    ],
)
def test_wrong_choices_are_refused_before_any_training(monkeypatch, tmp_path, options, message):
    monkeypatch.setattr(study, "train_model", lambda *args: pytest.fail("a model was trained"))
    settings = {"data": save(table(), tmp_path), "models": MODELS, "count": 2} | options
    with pytest.raises(ValueError, match=message):
        study.run(out=tmp_path / "out", say=quiet, **settings)
    assert not (tmp_path / "out").exists()


def test_a_table_of_one_person_is_refused_before_any_training(monkeypatch, tmp_path):
    monkeypatch.setattr(study, "train_model", lambda *args: pytest.fail("a model was trained"))
    with pytest.raises(ValueError, match="one person"):
        study.run(save(table(people=1), tmp_path), MODELS, tmp_path / "out", count=2, say=quiet)


def test_the_question_follows_from_the_table(tmp_path):
    frame = table(people=6)
    task = study.load_task(save(frame, tmp_path))
    assert (task.question, task.group) == ("Who is walking?", None)
    assert task.classes == [f"P{n}" for n in range(6)]
    frame["label"] = np.where(frame["subject"] < "P3", "healthy", "injured")
    task = study.load_task(save(frame, tmp_path))
    assert (task.question, task.group) == ("Which class is it?", "subject")
    assert task.classes == ["healthy", "injured"]
    assert task.signal["label"].values.tolist() == [0] * 18 + [1] * 18
    # A label that only says once more who it is keeps the question.
    frame["label"] = frame["subject"].str.lower()
    assert study.load_task(save(frame, tmp_path)).group is None
    with pytest.raises(ValueError, match="no column 'subject'"):
        study.load_task(save(frame.drop(columns="subject"), tmp_path))


def test_times_must_have_one_unit(tmp_path):
    frame = table()
    frame.loc[3, "time_unit"] = "s"
    with pytest.raises(ValueError, match="gives times in % stance, s"):
        study.load_task(save(frame, tmp_path))


def test_folds_of_a_label_never_share_a_person(tmp_path):
    frame = table(people=6, channels=("vertical", "fore/aft"))
    frame["label"] = np.where(frame["subject"] < "P3", "healthy", "injured")
    folder = study.run(save(frame, tmp_path), ("linear",), tmp_path / "out", count=3, say=quiet).parent
    data = signalrp.load(folder / "explanation_linear.nc")
    folds_of = data["fold"].to_series().groupby(data["subject"].values).unique()
    assert (folds_of.map(len) == 1).all()
    assert len(np.unique(data["fold"])) == 3
    assert {p.name for p in (folder / "figures").glob("mean_*")} == {"mean_vertical.png", "mean_fore_aft.png"}
    assert "with every subject in one fold only" in (folder / "report.html").read_text()


def test_a_study_in_seconds_has_no_phases(tmp_path):
    frame = table().drop(columns="time_unit")
    folder = study.run(save(frame, tmp_path), ("svm",), tmp_path / "out", count=2, say=quiet).parent
    assert not (folder / "phases.csv").exists()
    assert {p.name for p in (folder / "figures").iterdir()} == {"removal.png", "mean_vertical.png"}


@pytest.mark.parametrize("people", [2, 4])
def test_people_who_cannot_be_told_apart_are_reported_all_the_same(monkeypatch, tmp_path, people):
    """A model that always says the same recognises nobody else."""
    train = study.train_model

    def always_the_first(*args):
        model = train(*args)
        model[1].weight.data[1:] = 0
        model[1].bias.data[1:] = -1e3
        return model

    monkeypatch.setattr(study, "train_model", always_the_first)
    data = save(table(people), tmp_path)
    folder = study.run(data, ("linear",), tmp_path / "out", count=2, say=quiet).parent
    assert pd.read_csv(folder / "accuracy.csv")["accuracy"].tolist() == [1 / people]
    assert pd.read_csv(folder / "stability.csv")["cosine similarity"].isna().all()
    assert "No model recognised a trial of P1." in (folder / "report.html").read_text()
    assert {p.name for p in (folder / "figures").glob("signature*")} == {"signature_P0.png"}


def test_nobody_recognised_is_reported(monkeypatch, tmp_path):
    train = study.train_model

    def never(name, signal, classes, seed):
        return train(name, signal.assign_coords(label=(signal["label"] + 1) % classes), classes, seed)

    monkeypatch.setattr(study, "train_model", never)
    folder = study.run(save(table(noise=0.01), tmp_path), ("svm",), tmp_path / "out", count=2, say=quiet).parent
    assert pd.read_csv(folder / "accuracy.csv")["accuracy"].tolist() == [0]
    assert "No model recognised a single trial." in (folder / "report.html").read_text()


def test_hostile_names_stay_names(tmp_path):
    frame = table(channels=("<b>v</b>", "../up"))
    frame["subject"] = frame["subject"].replace({"P0": "../../P0", "P1": "<script>alert(1)</script>"})
    folder = study.run(save(frame, tmp_path), ("linear",), tmp_path / "out", count=2, say=quiet).parent
    page = (folder / "report.html").read_text()
    assert "<script" not in page
    assert "<b>" not in page
    assert external(page) == []
    assert {p.name for p in tmp_path.iterdir()} == {"walks.csv", "out"}
    assert len(list((folder / "figures").glob("signature_*"))) == 4 * 2


def test_names_that_look_like_formulas_or_each_other_keep_their_figures(tmp_path):
    frame = table()
    frame["subject"] = frame["subject"].replace({"P0": r"a$\foo$", "P1": "a b", "P2": "a/b"})
    folder = study.run(save(frame, tmp_path), ("linear",), tmp_path / "out", count=2, say=quiet).parent
    names = {p.name for p in (folder / "figures").glob("signature_*")}
    assert names == {"signature_a_foo_.png", "signature_a_b.png", "signature_a_b-2.png", "signature_P3.png"}


def test_relevance_speaks_of_the_scaled_signal(tmp_path):
    """A linear machine's relevance is weight times scaled input, to which the bias is what is missing."""
    task = study.load_task(save(table(), tmp_path))
    train, test = folds(task.signal, 2, by="label", seed=0)[0]
    scaler = study.Scaler("z-score").fit(task.signal[train])
    model = study.train_model("svm", scaler.transform(task.signal[train]), 4, 0)
    data = signalrp.explain(model, scaler.transform(task.signal[test]), composite="epsilon", classes=task.classes)
    rest = data["explained"] - data["relevance"].sum(("channel", "time"))
    np.testing.assert_allclose(rest, model[1].bias.detach().numpy()[data["target"]], atol=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_file(), reason="gait_spm1d_speedgrf: SIGNALRP_SHARED_DATA names no folder with it")
def test_ten_people_are_told_apart_by_their_forces(monkeypatch, tmp_path):
    values = np.load(SHARED)
    source = tmp_path / "speedgrf"
    source.mkdir()
    for person in range(10):
        np.save(source / f"ex_grf_subj{person:03d}.npy", values["vgrf_bw"][values["subject"] == person])
    np.save(source / "ex_grf_speeds.npy", values["speed_mps"].reshape(10, 60).T)
    np.save(source / "ex_grf_speeds_cond.npy", values["speed_cond"].reshape(10, 60).T)
    monkeypatch.setattr(manifests, "fetch", lambda name, root=None: source)
    folder = study.run(out=tmp_path / "out", say=quiet).parent
    accuracy = pd.read_csv(folder / "accuracy.csv").set_index("model")
    assert accuracy.index.tolist() == list(study.DEFAULT_MODELS)
    assert (accuracy["low"] > 0.9).all()
    assert (accuracy["chance"] == 0.1).all()
    stability = pd.read_csv(folder / "stability.csv").set_index(["pairs", "model"])
    assert (stability.loc["difference", "low"] > 0).all()
    faith = pd.read_csv(folder / "faithfulness.csv").set_index(["order", "measure", "model"]).sort_index()
    for order in ("random", "amplitude"):
        assert (faith.loc[(order, "AOPC"), "advantage_low"] > 0).all()
        assert (faith.loc[(order, "AOPC"), "p_corrected"] < 0.05).all()
    assert len(list((folder / "figures").glob("signature_*"))) == 10
    page = (folder / "report.html").read_text()
    assert external(page) == []
    for model in study.DEFAULT_MODELS:
        data = signalrp.load(folder / f"explanation_{model}.nc")
        assert data.sizes == {"trial": 600, "channel": 1, "time": 101, "class": 10}
        assert (np.bincount(data["fold"]) == 60).all()
        assert np.isfinite(data["relevance"]).all()
