from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from reference.permutations import (
    cluster_p,
    exchanges,
    find_clusters,
    lattice,
    reaches,
    sign_patterns,
    t_map,
)
from scipy import ndimage, sparse, stats

from signalrp.validation.clusters import cluster_table, cluster_test

mne = pytest.importorskip("mne", reason="mne is not installed: pip install signalrp[validation]")

CHANNELS, LENGTH = ("Fz", "Cz", "Pz"), 14


def explained(
    subjects: int, size: int = 1, seed: int = 0, shape: Sequence[int] = (len(CHANNELS), LENGTH), shift: float = 0.0
) -> xr.Dataset:
    """Relevance that is noise, smooth in its last dimension, and shifted in the middle of it in the first channel."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(subjects, 1, *shape)) + rng.normal(size=(subjects, size, *shape))
    maps = ndimage.gaussian_filter1d(noise, 1.0, axis=-1).reshape(subjects * size, *shape)
    maps[:, 0, ..., shape[-1] // 3 : 2 * shape[-1] // 3] += shift
    return labelled(maps, np.repeat(np.arange(subjects), size) if size > 1 else None)


def labelled(maps: np.ndarray, subject: np.ndarray | None = None) -> xr.Dataset:
    dims = ("trial", "channel", "time")
    coords = {
        "channel": list(CHANNELS[: maps.shape[1]]),
        "time": ("time", np.arange(maps.shape[2]) / 100, {"units": "s"}),
    }
    if subject is not None:
        coords["subject"] = ("trial", subject)
    return xr.Dataset({"signal": (dims, np.ones_like(maps)), "relevance": (dims, maps)}, coords)


def clusters_of(result: xr.Dataset) -> dict[frozenset[tuple[int, ...]], tuple[float, float]]:
    """Mass and p of every cluster by its places, as the reference gives them."""
    found = {}
    for number in range(int(result["cluster"].max()) + 1):
        inside = result["cluster"].values == number
        (p,) = set(result["p"].values[inside].tolist())
        found[frozenset(map(tuple, np.argwhere(inside).tolist()))] = (result["statistic"].values[inside].sum(), p)
    return found


def assert_same_clusters(
    found: dict[frozenset[tuple[int, ...]], tuple[float, float]],
    expected: dict[frozenset[tuple[int, ...]], tuple[float, float]],
    atol: float = 1e-9,
) -> None:
    assert found.keys() == expected.keys()
    for places, (mass, p) in expected.items():
        assert found[places] == (pytest.approx(mass), pytest.approx(p, abs=atol))


CHAIN = np.eye(3, k=1) + np.eye(3, k=-1)


@pytest.mark.parametrize("tail", [0, 1, -1])
@pytest.mark.parametrize(
    ("adjacency", "touches"),
    [
        (None, lattice(1)),
        ({"channel": CHAIN}, lattice(0, 1)),
        ({"channel": sparse.csr_matrix(CHAIN), "time": "none"}, lattice(0)),
        ({"time": "none"}, lattice()),
        ({"channel": "lattice"}, lattice(0, 1)),
    ],
)
def test_equals_growing_clusters_over_all_sign_patterns(
    tail: int, adjacency: object, touches: Callable[[tuple[int, ...], tuple[int, ...]], bool]
) -> None:
    data = explained(6, seed=3 + tail, shift=0.6 * (1 if tail == 0 else tail))
    maps = data["relevance"].values
    chance = [t_map(signs[:, None, None] * maps) for signs in sign_patterns(6)]
    expected = cluster_p(t_map(maps), chance, 1.5, tail, touches)
    assert len(expected) > 2
    found = cluster_test(data, threshold=1.5, tail=tail, adjacency=adjacency)
    assert_same_clusters(clusters_of(found), expected)
    np.testing.assert_allclose(found["statistic"], stats.ttest_1samp(maps, 0).statistic)
    assert (found["p"].values[found["cluster"].values < 0] == 1).all()
    p = cluster_table(found)["p"].to_numpy()
    assert (np.diff(p) >= 0).all()


@pytest.mark.parametrize("tail", [0, 1, -1])
@pytest.mark.parametrize(
    ("group", "arrangements"), [([1, 0, 0, 1, 1, 0, 0, 1, 0], 126), ([1, 0, 0, 1, 1, 0, 1, 0], 70)]
)
def test_two_groups_equal_all_their_exchanges(tail: int, group: list[int], arrangements: int) -> None:
    group = np.array(group)
    data = explained(len(group), seed=5)
    data["relevance"][group == 0, 0, 4:9] += 3 * (tail or 1)
    maps = data["relevance"].values
    one, two = maps[group == 0], maps[group == 1]
    chance = [t_map(*pair) for pair in exchanges(maps, len(one))]
    assert len(chance) == arrangements
    expected = cluster_p(t_map(one, two), chance, 1.5, tail, lattice(1))
    assert min(p for _, p in expected.values()) < 0.1
    found = cluster_test(data, group, threshold=1.5, tail=tail, permutations=4000)
    # 4000 draws of a share of one half are off by more than 0.03 once in 6000 times
    assert_same_clusters(clusters_of(found), expected, atol=0.03)
    np.testing.assert_allclose(found["statistic"], stats.ttest_ind(one, two).statistic)
    assert found.attrs["against"] == "group 0 minus group 1"
    # of groups of one size, two-sided, each exchange and its mirror image are one
    assert found.attrs["arrangements"] == (35 if tail == 0 and arrangements == 70 else arrangements)
    assert found.attrs["smallest_p"] == 1 / found.attrs["arrangements"]
    assert found.attrs["degrees_of_freedom"] == len(group) - 2


def tfce(t: np.ndarray, step: float, touches: Callable[[tuple[int, ...], tuple[int, ...]], bool]) -> np.ndarray:
    """Sum of height² × √extent over all heights (Smith & Nichols 2009), both sides."""
    score = np.zeros_like(t)
    for height in np.arange(0, np.abs(t).max(), step):
        for places, _ in find_clusters(t, height, 0, touches):
            for place in places:
                score[place] += height**2 * step * len(places) ** 0.5
    return score


def test_tfce_equals_its_sum_over_all_sign_patterns() -> None:
    data = explained(5, seed=8, shape=(2, 7), shift=2.0)
    maps = data["relevance"].values
    t = t_map(maps)
    step = np.abs(t).max() / 100
    observed = tfce(t, step, lattice(1))
    largest = [tfce(t_map(signs[:, None, None] * maps), step, lattice(1)).max() for signs in sign_patterns(5)]
    expected = np.array([np.mean([reaches(value, score) for value in largest]) for score in observed.flat])
    with pytest.warns(UserWarning, match="no p below 0.0625"):
        found = cluster_test(data, threshold="tfce", level=0.06)
    np.testing.assert_allclose(found["p"].values.ravel(), expected)
    np.testing.assert_allclose(found["statistic"], t)
    assert len(np.unique(expected)) > 3
    with pytest.warns(UserWarning, match="no p below 0.0625"):
        found = cluster_test(data, threshold="tfce", level=0.0624)
    assert (found["cluster"] < 0).all()
    # at a higher level, neighbours on the same side make the clusters of the table
    wide = cluster_test(data, threshold="tfce", level=0.5)
    inside = np.where(wide["p"].values <= 0.5, t, 0)
    assert {places for places, _ in find_clusters(inside, 0, 0, lattice(1))} == {
        frozenset(map(tuple, np.argwhere(wide["cluster"].values == number).tolist()))
        for number in range(int(wide["cluster"].max()) + 1)
    }
    table = cluster_table(wide)
    assert table["p"].iloc[0] == wide["p"].min()


def test_tfce_of_two_groups_equals_its_sum_over_all_exchanges() -> None:
    data = explained(6, seed=2, shape=(2, 6))
    group = np.array([0, 1, 0, 0, 1, 1])
    data["relevance"][group == 0, 1, 1:4] -= 5
    maps = data["relevance"].values
    t = t_map(maps[group == 0], maps[group == 1])
    step = np.abs(t).max() / 100
    largest = [tfce(t_map(*pair), step, lattice(1)).max() for pair in exchanges(maps, 3)]
    expected = [np.mean([reaches(value, score) for value in largest]) for score in tfce(t, step, lattice(1)).flat]
    with pytest.warns(UserWarning, match="With 6 trials no p below 0.1 is possible"):
        found = cluster_test(data, group, threshold="tfce", permutations=200)
    # 200 draws of a share of one half are off by more than 0.12 once in 1500 times
    np.testing.assert_allclose(found["p"].values.ravel(), expected, atol=0.12)
    assert found["p"].min() < 0.2


@pytest.mark.parametrize("threshold", [None, "tfce"])
def test_below_is_above_of_the_opposite(threshold: str | None) -> None:
    data = explained(6, seed=2, shift=2.0)
    above = cluster_test(data, tail=1, threshold=threshold, permutations=300)
    below = cluster_test(data.assign(relevance=-data["relevance"]), tail=-1, threshold=threshold, permutations=300)
    xr.testing.assert_equal(above[["cluster", "p"]], below[["cluster", "p"]])
    np.testing.assert_array_equal(above["statistic"], -below["statistic"])
    assert above["p"].min() == 1 / 64
    # the side that was not asked for stays empty
    assert not ((above["cluster"] >= 0) & (above["statistic"] < 0)).any()


def test_trials_are_averaged_within_subjects() -> None:
    data = explained(8, size=4, seed=1, shift=0.7).isel(trial=slice(0, -2))
    found = cluster_test(data)
    means = data["relevance"].groupby("subject").mean().rename(subject="trial").drop_vars("trial")
    expected = cluster_test(labelled(means.transpose("trial", "channel", "time").values))
    xr.testing.assert_allclose(found, expected)
    assert (found.attrs["unit"], found.attrs["units"]) == ("subject", 8)
    assert (expected.attrs["unit"], expected.attrs["units"]) == ("trial", 8)
    renamed = data.rename(subject="person")
    xr.testing.assert_identical(found, cluster_test(renamed, subject="person"))
    xr.testing.assert_identical(found, cluster_test(renamed, subject=data["subject"].values))


def test_what_relevance_is_compared_with() -> None:
    data = explained(8, seed=4, shift=1.0)
    relevance = data["relevance"]
    mean = relevance.mean(("channel", "time"))
    for against, rest in (
        (0.25, relevance - 0.25),
        ("uniform", relevance - mean),
        (data.assign(relevance=relevance.transpose("time", "channel", "trial")[::1] * 0.5), relevance * 0.5),
    ):
        found, expected = cluster_test(data, against), cluster_test(data.assign(relevance=rest))
        xr.testing.assert_allclose(found, expected)
    assert cluster_test(data, "uniform").attrs["against"] == "uniform"
    assert cluster_test(data, data.assign(relevance=relevance * 0.5)).attrs["against"] == "another explanation"


def test_groups_within_subjects_are_paired_and_between_are_not() -> None:
    data = explained(8, size=4, seed=6)
    label = np.tile([0, 1, 1, 0], 8)
    data["relevance"][label == 1, 1, 3:8] += 1.0
    data["label"] = ("trial", label)
    found = cluster_test(data, "label")
    means = [data["relevance"][label == c].groupby("subject").mean() for c in (0, 1)]
    np.testing.assert_allclose(
        found["statistic"], stats.ttest_rel(*[m.transpose("subject", ...) for m in means]).statistic
    )
    assert found.attrs["test"] == "signs of units flipped"
    assert found.attrs["against"] == "label 0 minus label 1"
    strongest = cluster_table(found).iloc[0]
    assert strongest["channel"] == "Cz"
    assert strongest["mass"] < 0
    assert strongest["p"] == 1 / 128
    patients = data.assign_coords(group=("trial", np.where(data["subject"] < 4, "a", "b")))
    between = cluster_test(patients, "group")
    assert between.attrs["test"] == "units exchanged between two groups"
    means = data["relevance"].groupby("subject").mean().transpose("subject", ...)
    np.testing.assert_allclose(between["statistic"], stats.ttest_ind(means[:4], means[4:]).statistic)
    mixed = data.assign_coords(group=("trial", np.where(data["subject"] < 4, 0, label)))
    with pytest.raises(ValueError, match="4 of 8 subjects have trials in both groups, the others in one"):
        cluster_test(mixed, "group")


def test_the_order_of_dimensions_and_units_does_not_matter() -> None:
    data = explained(7, seed=9, shift=0.8)
    found = cluster_test(data, "uniform", adjacency={"channel": CHAIN})
    for dims in (("time", "channel", "trial"), ("channel", "trial", "time")):
        turned = cluster_test(data.transpose(*dims), "uniform", adjacency={"channel": CHAIN})
        xr.testing.assert_allclose(found, turned.transpose(*found["statistic"].dims))
    other = cluster_test(data.isel(trial=[3, 1, 0, 6, 5, 2, 4]), "uniform", adjacency={"channel": CHAIN})
    xr.testing.assert_allclose(found, other)


def test_neighbouring_electrodes_join_what_lies_apart() -> None:
    data = explained(8, seed=1).assign_coords(channel=["Fz", "Cz", "C4"])
    data["relevance"][:, :2, 5:9] += 3
    apart = cluster_table(cluster_test(data, tail=1))
    assert set(apart["channel"].iloc[:2]) == {"Fz", "Cz"}
    info = mne.create_info(["Fz", "Cz", "C4"], 100.0, "eeg")
    info.set_montage("biosemi64")
    matrix, names = mne.channels.find_ch_adjacency(info, "eeg")
    assert names == ["Fz", "Cz", "C4"]
    joined = cluster_table(cluster_test(data, tail=1, adjacency={"channel": matrix}))
    assert joined["channel"].iloc[0].startswith("Fz, Cz")
    assert joined["mass"].iloc[0] >= apart["mass"].iloc[:2].sum() - 1e-9


@pytest.mark.parametrize(
    ("dims", "shape"),
    [
        (("trial", "time"), (9, 40)),
        (("trial", "channel", "frequency", "time"), (9, 3, 6, 10)),
        (("trial", "rgb", "frame", "row", "column"), (9, 3, 4, 5, 6)),
    ],
)
def test_any_dimensions_find_what_was_planted(dims: tuple[str, ...], shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=shape)
    planted = tuple(slice(1, 3) for _ in shape[1:])
    maps[:, *planted] += 4
    coords = {"rgb": ["red", "green", "blue"]} if "rgb" in dims else {}
    result = cluster_test(xr.Dataset({"relevance": (dims, maps)}, coords), permutations=500)
    assert result["cluster"].dims == dims[1:]
    strongest = result["cluster"].values == 0
    assert result["p"].values[strongest].max() == pytest.approx(1 / 256)
    truth = np.zeros(shape[1:], bool)
    truth[planted] = True
    if dims[1] in ("channel", "rgb"):
        # names have no order, so each of the two is a cluster of its own
        strongest = np.isin(result["cluster"].values, (0, 1))
    assert (strongest & truth).sum() == truth.sum()
    text = cluster_table(result).iloc[0]["extent"]
    assert all(dim in text for dim in dims[1:])


def test_the_table_tells_extents_with_units_and_the_file_keeps_them(tmp_path: Path) -> None:
    data = explained(8, seed=3)
    data["relevance"][:, 1, 4:9] += 5
    result = cluster_test(data)
    row = cluster_table(result).iloc[0]
    assert (row["channel"], row["time_first"], row["time_last"], row["size"]) == ("Cz", 0.04, 0.08, 5)
    assert row["extent"] == "channel Cz; time 0.04 to 0.08 s"
    assert row["p"] == 1 / 128 == result.attrs["smallest_p"]
    assert row["mass"] == pytest.approx(result["statistic"].values[1, 4:9].sum())
    assert row["peak"] == result["statistic"].values[1, 4:9].max()
    result.to_netcdf(tmp_path / "clusters.nc")
    with xr.open_dataset(tmp_path / "clusters.nc") as read:
        xr.testing.assert_equal(result, read.load())
        assert read.attrs == result.attrs


def test_nothing_above_the_threshold_is_no_cluster(tmp_path: Path) -> None:
    data = explained(8, seed=3)
    for threshold in (100.0, "tfce"):
        found = cluster_test(data, 50.0, threshold=threshold, tail=1)
        assert (found["cluster"] == -1).all()
        assert (found["p"] == 1).all()
        table = cluster_table(found)
        assert len(table) == 0
        assert {"cluster", "p", "mass", "extent"} <= set(table.columns)
        found.to_netcdf(tmp_path / "none.nc")


def test_positions_without_any_relevance_are_left_out() -> None:
    data = explained(8, seed=7, shift=1.0)
    padded = data["relevance"].pad(time=3, constant_values=0.0)
    found = cluster_test(xr.Dataset({"relevance": padded}))
    inner = cluster_test(xr.Dataset({"relevance": data["relevance"]}))
    np.testing.assert_array_equal(found["cluster"].values[:, 3:-3], inner["cluster"])
    np.testing.assert_allclose(found["p"].values[:, 3:-3], inner["p"])
    edges = found.isel(time=[0, 1, 2, -3, -2, -1])
    assert (edges["statistic"] == 0).all()
    assert (edges["cluster"] == -1).all()


def test_few_subjects_are_told_the_smallest_p() -> None:
    data = explained(5, size=3, seed=1, shift=30)
    with pytest.warns(UserWarning, match="With 5 subjects no p below 0.0625 is possible"):
        result = cluster_test(data)
    assert result["p"].min() == result.attrs["smallest_p"] == 0.0625
    # one-sided, the mirror image no longer ties
    assert cluster_test(data, tail=1)["p"].min() == 1 / 32
    with pytest.warns(UserWarning, match="With 24 trials no p below 0.1 is possible"):
        cluster_test(explained(8, size=3).drop_vars("subject"), permutations=10)


@pytest.mark.slow
def test_finds_nothing_in_nothing_and_finds_what_is_there() -> None:
    runs = 150
    false = {"zero": 0, "uniform": 0, "groups": 0}
    found = {"zero": 0, "uniform": 0, "groups": 0}
    for run in range(runs):
        data = explained(12, size=2, seed=10_000 + run, shape=(3, 30))
        group = np.repeat(np.arange(12) % 2, 2)
        options = {"permutations": 200, "seed": run}
        false["zero"] += bool((cluster_test(data, **options)["p"] <= 0.05).any())
        false["uniform"] += bool((cluster_test(data, "uniform", **options)["p"] <= 0.05).any())
        false["groups"] += bool((cluster_test(data, group, **options)["p"] <= 0.05).any())
        data["relevance"][group == 0, 0, 10:20] += 1.2
        found["groups"] += bool((cluster_test(data, group, **options)["p"].values[0, 10:20] <= 0.05).any())
        data["relevance"][group == 1, 0, 10:20] += 1.2
        found["zero"] += bool((cluster_test(data, **options)["p"].values[0, 10:20] <= 0.05).any())
        found["uniform"] += bool((cluster_test(data, "uniform", **options)["p"].values[0, 10:20] <= 0.05).any())
    # a rate of 5 % gives more than this once in a thousand times
    assert max(false.values()) <= stats.binom.ppf(0.999, runs, 0.05), false
    assert min(found.values()) >= 0.8 * runs, found


@pytest.mark.parametrize(
    ("change", "against", "options", "message"),
    [
        ({}, "person", {}, "'person' is neither 'uniform' nor a variable or coordinate along trial"),
        ({}, np.zeros(8), {}, "Found 1 groups; expected two"),
        ({}, np.arange(8), {}, "Found 8 groups; expected two"),
        ({}, [0, 1], {}, r"The groups have shape \(2,\); expected one entry for each of 8 trials"),
        ({}, np.arange(8) == 0, {}, "There are 7 and 1 trials to compare; expected at least two in each group"),
        ({"trial": [0]}, 0, {}, "There are 1 trials to compare; expected at least two"),
        ({}, 0, {"threshold": -2.0}, "threshold is -2.0; expected a positive t, 'tfce', or None"),
        ({}, 0, {"threshold": "t"}, "threshold is 't'; expected a positive t"),
        ({}, 0, {"tail": 2}, "tail is 2; expected 0 for both sides"),
        ({}, 0, {"permutations": 0}, "permutations is 0 and level 0.05"),
        ({}, 0, {"level": 5.0}, "permutations is 2000 and level 5.0"),
        ({}, 0, {"subject": "person"}, "There is no coordinate 'person' along trial"),
        ({}, 0, {"subject": ["a", "b"]}, r"subject has shape \(2,\); expected one entry for each of 8 trials"),
        ({}, 0, {"adjacency": {"electrode": "none"}}, "adjacency names electrode; the relevance has channel, time"),
        ({}, 0, {"adjacency": {"time": "ring"}}, "The adjacency of time is 'ring'; choose lattice, none"),
        (
            {},
            0,
            {"adjacency": {"channel": np.eye(2)}},
            r"of channel has shape \(2, 2\); expected a symmetric matrix of 3",
        ),
        ({}, 0, {"adjacency": {"channel": np.eye(3, k=1)}}, "expected a symmetric matrix of 3 × 3"),
    ],
)
def test_bad_input_is_refused(
    change: dict[str, object], against: object, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        cluster_test(explained(8).isel(change), against, **options)


def test_other_trials_and_places_are_refused() -> None:
    data = explained(8, size=2)
    with pytest.raises(ValueError, match="differ in the coordinate 'subject'"):
        cluster_test(data, data.isel(trial=slice(None, None, -1)))
    with pytest.raises(ValueError, match="different coordinates along channel"):
        cluster_test(data, data.isel(channel=[1, 0, 2]))
    with pytest.raises(ValueError, match="have shape"):
        cluster_test(data, data.isel(time=slice(5)))
    nan = data.copy(deep=True)
    nan["relevance"][3, 0, 0] = np.nan
    with pytest.raises(ValueError, match="relevance has NaN or infinite values in 1 of 16 trials"):
        cluster_test(nan)


def test_relevance_that_does_not_vary_is_refused() -> None:
    data = explained(8)
    data["relevance"][:, 0, 0] = 1.0
    with pytest.raises(ValueError, match="At 1 of 42 positions all trials differ by the same amount"):
        cluster_test(data)


def test_mne_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mne", None)
    monkeypatch.delitem(sys.modules, "mne.stats", raising=False)
    with pytest.raises(ImportError, match=r'cluster_test needs mne: pip install "signalrp\[validation\]"'):
        cluster_test(explained(8))
