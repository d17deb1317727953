from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr

pytest.importorskip("av")

from reference.explained_video import CLASSES, explained
from reference.video_folder import findings, task_of

from signalrp.domains.video.findings import CutFindings, TaskFindings
from signalrp.domains.video.results import (
    accuracy_table,
    border_table,
    concentration_table,
    cut_table,
    evidence_table,
    per_task,
    surest,
)
from signalrp.validation import bootstrap_interval, paired_difference

RIGHT = [0, 1, 0, 1, 0, 1]
SOME = [0, 1, 1, 1, 2, 0]


@pytest.fixture(scope="module")
def data():
    return explained()


@pytest.fixture(scope="module")
def nets(data):
    return {"one": findings(data, SOME), "two": findings(data.assign(relevance=data["relevance"] ** 3), RIGHT)}


def per_frame_slowly(explanation):
    """Absolute relevance of every frame, of colours that are summed first."""
    values = explanation["relevance"].transpose("trial", "frame", "row", "column", "rgb").values.astype(np.float64)
    found = np.zeros(values.shape[:2])
    for trial, frame, row, column in np.ndindex(values.shape[:4]):
        found[trial, frame] += abs(math.fsum(values[trial, frame, row, column]))
    return found


def test_accuracy_is_counted_over_clips_and_its_interval_over_subjects(data, nets):
    table = accuracy_table(TaskFindings(task_of(data), nets))
    assert table.columns.tolist() == ["net", "accuracy", "low", "high", "chance", "clips"]
    assert table["net"].tolist() == ["one", "two"]
    assert table["accuracy"].tolist() == [3 / 6, 1]
    assert table["clips"].tolist() == [6, 6]
    right = [float(a == b) for a, b in zip(SOME, RIGHT, strict=True)]
    _, low, high = bootstrap_interval(np.array(right), data["subject"].values)
    assert table.loc[0, ["low", "high"]].tolist() == [low, high]


def test_accuracy_of_clips_without_subjects_is_resampled_clip_by_clip(data):
    net = findings(data, SOME)
    net.correct = net.correct.drop_vars("subject")
    table = accuracy_table(TaskFindings(task_of(data), {"one": net}))
    _, low, high = bootstrap_interval(net.correct.values)
    assert table.loc[0, ["low", "high"]].tolist() == [low, high]


def test_chance_is_to_say_the_most_frequent_class(data):
    few = data.isel(trial=[1, 2, 3, 5])
    table = accuracy_table(TaskFindings(task_of(few), {"one": findings(few, [1, 0, 1, 1])}))
    assert table["chance"].tolist() == [3 / 4]


def test_concentration_is_the_mean_over_clips(nets):
    table = concentration_table(nets).set_index("net")
    for name, net in nets.items():
        size = per_frame_slowly(net.explanation)
        shares = size / size.sum(1, keepdims=True)
        time = net.explanation["frame"].values
        effective, largest, centre, spread = [], [], [], []
        for row in shares:
            effective.append(math.exp(-sum(share * math.log(share) for share in row)))
            largest.append(max(row))
            centre.append(sum(share * at for share, at in zip(row, time, strict=True)))
            spread.append(math.sqrt(sum(s * (at - centre[-1]) ** 2 for s, at in zip(row, time, strict=True))))
        expected = {"effective frames": effective, "largest frame": largest, "centre": centre, "spread": spread}
        for what, values in expected.items():
            assert table.loc[name, what] == pytest.approx(np.mean(values), rel=1e-5), what
        summed = net.explanation["relevance"].sum("rgb").values.astype(np.float64)
        for what, sign in {"positive": 1, "negative": -1}.items():
            part = [(sign * clip)[sign * clip > 0].sum() / abs(clip).sum() for clip in summed]
            assert table.loc[name, what] == pytest.approx(np.mean(part), rel=1e-5)
    np.testing.assert_allclose(table["positive"] + table["negative"], 1)


def test_evidence_of_all_nets_stands_in_one_table(nets):
    table = evidence_table(nets)
    assert table["net"].tolist() == ["one"] * 5 + ["two"] * 5
    for name, net in nets.items():
        own = table[table["net"] == name].drop(columns="net").reset_index(drop=True)
        assert own.equals(net.evidence)


def test_nets_without_evidence_are_left_out_of_its_table(data, nets):
    none = findings(data, RIGHT)
    none.evidence = pd.DataFrame()
    assert set(evidence_table({"none": none, "one": nets["one"]})["net"]) == {"one"}
    assert evidence_table({"none": none}).empty


class TestBorder:
    def test_rows_are_nets_and_then_each_beside_its_shuffled_clips(self, nets):
        table = border_table(nets)
        assert table["name"].tolist() == ["one", "two", "one, shuffled", "two, shuffled"]
        explanations = {name: net.explanation for name, net in nets.items()}
        explanations |= {f"{name}, shuffled": net.controls["shuffled"] for name, net in nets.items()}
        ratios = {}
        for name, explanation in explanations.items():
            size = per_frame_slowly(explanation)
            frames = size.shape[1]
            ends = [(row[0] + row[1] + row[-2] + row[-1]) / row.sum() / (4 / frames) for row in size]
            ratios[name] = np.array(ends)
        table = table.set_index("name")
        for name, values in ratios.items():
            assert table.loc[name, "ratio"] == pytest.approx(values.mean(), rel=1e-5)
        subject = nets["one"].explanation["subject"].values
        # nets against the first one, the shuffled clips of a net against its own in order
        for name, other in {"two": "one", "one, shuffled": "one", "two, shuffled": "two"}.items():
            apart = [
                np.mean([ratios[name][n] - ratios[other][n] for n in range(len(subject)) if subject[n] == own])
                for own in sorted(set(subject))
            ]
            assert table.loc[name, "difference"] == pytest.approx(np.mean(apart), rel=1e-4)
        assert np.isnan(table.loc["one", "difference"])

    def test_planted_border_is_found(self, data):
        size = np.zeros(data["relevance"].shape)
        size[:, :, [0, 1, -2, -1]] = 1.0
        found = {}
        for name, values in {"even": size * 0 + 1, "planted": size}.items():
            found[name] = findings(data, RIGHT)
            found[name].explanation = data.assign(relevance=(data["relevance"].dims, values))
        table = border_table(found).set_index("name")
        assert table.loc["even", "ratio"] == pytest.approx(1)
        # 8 frames, 4 of them at the ends, hold all
        assert table.loc["planted", "ratio"] == pytest.approx(2)
        assert table.loc["planted", "difference"] == pytest.approx(1)


class TestCuts:
    @pytest.fixture
    def found(self, data):
        rng = np.random.default_rng(0)
        subject = ("trial", ["a + b", "a + c", "a + b", "b + c", "a + c", "b + c"])
        shares = {
            name: xr.DataArray(rng.uniform(low, 1, 6), {"subject": subject}, ("trial",), attrs={"chance": 0.04})
            for name, low in {"TransNet V2": 0.5, "random weights": 0.0}.items()
        }
        return CutFindings(shares, {}, shares["TransNet V2"], data)

    def test_intervals_are_over_pairs_of_shots(self, found):
        table = cut_table(found).set_index("net")
        assert table.index.tolist() == ["TransNet V2", "random weights"]
        for name, share in found.shares.items():
            row = table.loc[name]
            assert row["share at the cut"] == pytest.approx(sum(share.values.tolist()) / 6)
            _, low, high = bootstrap_interval(share.values, share["subject"].values)
            assert (row["low"], row["high"], row["chance"]) == (low, high, 0.04)
        assert np.isnan(table.loc["TransNet V2", "p"])

    def test_the_difference_is_that_of_the_two_nets(self, found):
        row = cut_table(found).set_index("net").loc["random weights"]
        first, second = (share.values for share in found.shares.values())
        assert row["difference"] == pytest.approx(np.mean(first - second))
        expected = paired_difference(first, second, found.shares["TransNet V2"]["subject"].values)
        assert (row["difference low"], row["difference high"], row["p"]) == (expected.low, expected.high, expected.p)


class TestSurest:
    def test_the_surest_right_one_of_each_class_first(self, data):
        # sureness rises with the clip; clips 4 and 5 are wrong
        net = findings(data, [0, 1, 0, 1, 1, 0])
        assert surest(net, 2) == [3, 2]
        assert surest(net, 1) == [3]
        assert surest(net, 9) == [3, 2]

    def test_the_margin_counts_and_not_the_output(self, data):
        output = np.array([[5.0, 4.9, 0], [0, 1, 0], [3, 0, 0], [0, 9, 8.9], [0, 0, 7], [7, 0, 0]])
        net = findings(data, RIGHT)
        net.explanation = net.explanation.assign(output=(("trial", "class"), output))
        # clips 4 and 5 count as right: what the net is explained for is what it said
        net.explanation["target"][4:] = [1, 0]
        assert surest(net, 2) == [2, 1]

    def test_none_where_nothing_was_recognised(self, data):
        net = findings(data, [1, 0, 1, 0, 2, 2])
        assert net.recognised().tolist() == []
        assert surest(net, 2) == []

    def test_one_class_recognised(self, data):
        assert surest(findings(data, [0, 0, 0, 0, 0, 0]), 2) == [4]


def test_recognised_clips(data):
    assert findings(data, SOME).recognised().tolist() == [0, 1, 3]
    assert len(CLASSES) == 3


def test_the_task_stands_in_front(data, nets):
    table = accuracy_table(TaskFindings(task_of(data), nets))
    named = per_task(table, "moves")
    assert named.columns.tolist() == ["task", *table.columns]
    assert set(named["task"]) == {"moves"}
