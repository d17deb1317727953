from __future__ import annotations

import re
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr

pytest.importorskip("av")

mpl.use("agg")

import matplotlib.pyplot as plt
from reference.explained_video import explained, net
from reference.video_folder import findings, task_of

from signalrp.domains.video import reporting
from signalrp.domains.video.findings import CutFindings, TaskFindings
from signalrp.domains.video.overlay import overlay
from signalrp.domains.video.readers import frames_of
from signalrp.domains.video.removal import remove_frames
from signalrp.domains.video.results import cut_table

RIGHT = [0, 1, 0, 1, 0, 1]


def quiet(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def data():
    return explained()


def studied(data: xr.Dataset, answers: list[int], name: str = "noise", nets: tuple[str, ...] = ("a net",)):
    """Findings of nets that gave these answers, with curves of frozen frames."""
    curves = remove_frames(net(), data, how=("frozen",), fractions=(0, 0.25, 0.5), repeats=1)
    found = {}
    for own in nets:
        found[own] = findings(data, answers)
        found[own].curves = {"frames frozen": curves["frozen"]}
    return TaskFindings(task_of(data, name), found)


def written(folder, found, cut=None) -> str:
    (folder / "figures").mkdir(parents=True)
    reporting.write(folder, [found], cut, composite="epsilon", seed=3, say=quiet)
    return (folder / "report.html").read_text(encoding="utf-8")


def test_hostile_names_stay_names(data, tmp_path):
    files = ["../<b>a.mp4", "$\\foo$ <i>.mp4", "b?.mp4", "b!.mp4", "<u>c", "d & e"]
    names = ["<script>one", "a$\\bar$ & two", "'><img src=x>"]
    hostile = data.assign_coords({"file": ("trial", files), "subject": ("trial", files), "class": names})
    found = studied(hostile, RIGHT, "../<b>moves", ("<em>net",))
    page = written(tmp_path / "out", found)
    for tag in ("<b>", "<i>", "<u>", "<em>", "<script", "<img src=x"):
        assert tag not in page
    assert "&lt;script&gt;one, a$\\bar$ &amp; two" in page
    assert "../&lt;b&gt;moves, &lt;em&gt;net, clip 5: the clip and its relevance" in page
    assert {p.name for p in tmp_path.iterdir()} == {"out"}
    assert page.count("<img ") == len(list((tmp_path / "out" / "figures").iterdir()))
    assert not plt.get_fignums()


@pytest.fixture(scope="module")
def out(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one") / "out"
    return folder, written(folder, studied(data, RIGHT))


@pytest.fixture
def brief(monkeypatch):
    """Leave out what other tests look at."""
    for part in ("_write_border", "_write_removal"):
        monkeypatch.setattr(reporting, part, lambda *args: None)


class TestOneNet:
    def test_films_are_those_of_the_surest_clips_frame_by_frame(self, out, data):
        folder, page = out
        # sureness of these findings rises with the clip
        assert {p.name for p in (folder / "films").iterdir()} == {
            f"noise_a_net_clip_{clip}.{end}" for clip in (5, 4) for end in ("mp4", "gif")
        }
        found = findings(data, RIGHT).explanation
        for clip in (5, 4):
            expected = overlay(found, clip).astype(float)
            for end in ("mp4", "gif"):
                played = frames_of(folder / "films" / f"noise_a_net_clip_{clip}.{end}")
                assert played.shape == expected.shape
                # colours are coded with half the resolution, or from a palette
                assert np.abs(played - expected).mean() < 8
        assert page.count("<video ") == 2
        assert page.index("clip 5: the clip and its relevance") < page.index("clip 4: the clip and its relevance")

    def test_what_was_not_found_is_no_section(self, out):
        folder, page = out
        for words in ("Fast forward", "Is it where the cause is?", "TransNet", "semi-synthetic"):
            assert words not in page
        assert not list(folder.glob("*forward*")) + list(folder.glob("*localisation*")) + list(folder.glob("cuts*"))

    def test_numbers_and_ways_are_said(self, out):
        _, page = out
        assert re.search(
            r"noise: 6 held-out clips of 8 frames, 10 × 14 pixels, 20 frames per second, classes left, right, still; "
            r"halves\. Explained are 6 of them, by the composite epsilon \(signalrp ",
            page,
        )
        assert "Seed 3." in page

    def test_tables_on_the_page_are_those_beside_it(self, out):
        folder, page = out
        cells = re.findall(r"<td>([^<]*)</td>", page)
        for name in ("accuracy", "concentration", "evidence", "border"):
            table = pd.read_csv(folder / f"noise_{name}.csv")
            for value in table.select_dtypes("number").iloc[0].dropna():
                assert any(abs(float(cell) - value) <= 6e-3 * max(1, abs(value)) for cell in cells if is_number(cell))


def is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", text) is not None


def test_other_nets_are_told_of_at_less_length(data, tmp_path):
    found = studied(data, RIGHT, nets=("first", "second"))
    page = written(tmp_path / "out", found)
    drawn = {p.stem for p in (tmp_path / "out" / "figures").iterdir()}
    assert {"noise_first_clip_5_strip", "noise_first_clip_4_strip", "noise_second_clip_5_strip"} <= drawn
    assert "noise_second_clip_4_strip" not in drawn
    assert {p.name.split("_")[1] for p in (tmp_path / "out" / "films").iterdir()} == {"first"}
    assert "The same for second" in page
    assert page.count("<details") == page.count("</details>")
    border = pd.read_csv(tmp_path / "out" / "noise_border.csv")
    assert border["name"].tolist() == ["first", "second", "first, shuffled", "second, shuffled"]


def test_a_net_that_is_never_right_shows_no_clips(brief, data, tmp_path):
    page = written(tmp_path / "out", studied(data, [1, 0, 1, 0, 2, 2]))
    assert "<video " not in page
    assert list((tmp_path / "out" / "films").iterdir()) == []
    assert "got no clip right" in page
    assert not [p for p in (tmp_path / "out" / "figures").iterdir() if "means" in p.stem]


def test_semi_synthetic_clips_are_called_so_with_truth_and_what_is_known_of_them(brief, data, tmp_path):
    found = studied(data, RIGHT, "moving-digits")
    rng = np.random.default_rng(0)
    truth = xr.DataArray(
        rng.random((6, 8, 10, 14)) < 0.2, dims=("trial", "frame", "row", "column"),
        coords={"onset": ("trial", [0] * 6), "offset": ("trial", [8] * 6)},
    )  # fmt: skip
    columns = {"input": ["every n-th frame"] * 2, "step": [1, 2], "accuracy": [0.9, 0.6], "low": [0.8, 0.5]}
    one = found.nets["a net"]
    one.forward = pd.DataFrame(columns | {"high": [1.0, 0.7]})
    one.localisation = pd.DataFrame({"where": ["tube"], "method": ["LRP"], "estimate": [0.625]})
    one.localisation.attrs["trials"] = {"tube": 6}
    page = written(tmp_path / "out", TaskFindings(replace(found.task, splits=(), truth=truth), found.nets))
    assert "The clips are semi-synthetic: handwritten digits move" in page
    assert "tube: 6 clips." in page
    assert "<td>0.625</td>" in page
    forward = pd.read_csv(tmp_path / "out" / "moving-digits_forward.csv")
    assert forward["net"].tolist() == ["a net"] * 2
    assert forward["accuracy"].tolist() == [0.9, 0.6]
    assert (tmp_path / "out" / "figures" / "moving-digits_a_net_forward.png").is_file()


def test_own_clips_of_that_name_are_not_called_semi_synthetic(brief, monkeypatch, data, tmp_path):
    monkeypatch.setattr(reporting, "_write_pictures", lambda *args: None)
    assert "semi-synthetic" not in written(tmp_path / "out", studied(data, RIGHT, "moving-digits"))


def test_cuts_are_reported(brief, monkeypatch, data, tmp_path):
    monkeypatch.setattr(reporting, "_write_pictures", lambda *args: None)
    rng = np.random.default_rng(0)
    subject = ("trial", ["a + b", "a + c", "b + c", "b + c"])
    offsets = np.arange(-3, 4)
    names = ("TransNet V2", "random weights")
    shares = {
        name: xr.DataArray(rng.uniform(size=4), {"subject": subject}, ("trial",), attrs={"chance": 0.04})
        for name in names
    }
    around = {
        name: xr.DataArray(rng.uniform(size=(4, 7)), {"offset": offsets, "subject": subject}, ("trial", "offset"))
        for name in names
    }
    says = xr.DataArray([0.9, 0.5, 0.4, 0.8], dims="trial")
    one = data.isel(trial=[0]).assign_coords(cut=("trial", [4]))
    cut = CutFindings(shares, around, says, one)
    page = written(tmp_path / "out", studied(data, RIGHT), cut)
    assert "on 4 splices of real shots" in page
    assert "in 75.0%; the median probability is 0.650" in page
    table = pd.read_csv(tmp_path / "out" / "cuts.csv")
    pd.testing.assert_frame_equal(table, cut_table(cut), check_dtype=False)
    assert {"cuts", "cut_strip"} <= {p.stem for p in (tmp_path / "out" / "figures").iterdir()}
