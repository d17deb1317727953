from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from reference.planted import mlp, planted, trained

import signalrp
from signalrp.validation.context import context_by_class, context_ratio


@pytest.fixture
def explanation() -> xr.Dataset:
    rng = np.random.default_rng(0)
    return xr.Dataset(
        {
            "relevance": (("trial", "channel", "time"), rng.normal(size=(40, 3, 20))),
            "label": ("trial", np.arange(40) % 2),
        },
        {"time": np.arange(20.0), "subject": ("trial", np.arange(40) // 4)},
    )


def early(explanation: xr.Dataset) -> xr.DataArray:
    return explanation["time"] < 5


def by_hand(relevance: np.ndarray, inside: np.ndarray, part: str) -> float:
    """Outside over inside of one trial, sample by sample."""
    sums, counts = {True: 0.0, False: 0.0}, {True: 0, False: 0}
    for value, where in zip(relevance.ravel(), inside.ravel(), strict=True):
        sums[bool(where)] += abs(value) if part == "absolute" else max(value, 0)
        counts[bool(where)] += 1
    return (sums[False] / counts[False]) / (sums[True] / counts[True])


@pytest.mark.parametrize("part", ["positive", "absolute"])
def test_ratios_equal_sums_sample_by_sample(explanation, part):
    rng = np.random.default_rng(1)
    relevance = explanation["relevance"]
    regions = {
        "time": early(explanation),
        "channel": xr.DataArray([True, False, True], dims="channel"),
        "both": xr.DataArray(rng.random((20, 3)) < 0.3, dims=("time", "channel")),
        "trials": xr.DataArray(rng.random((40, 20)) < 0.4, dims=("trial", "time")),
    }
    for region in regions.values():
        whole = region.broadcast_like(relevance.reset_coords(drop=True)).transpose(*relevance.dims).values
        expected = [by_hand(r, inside, part) for r, inside in zip(relevance.values, whole, strict=True)]
        found = context_ratio(explanation, region, part)
        np.testing.assert_allclose(found, expected)
        assert found.dims == ("trial",)
        assert "subject" in found.coords


def test_the_table_weighs_every_trial_the_same(explanation):
    loud = explanation.copy(deep=True)
    loud["relevance"][:20] *= 1000
    table = context_by_class(loud, early(loud))
    np.testing.assert_allclose(table, context_by_class(explanation, early(explanation)))
    region = np.broadcast_to(early(explanation).values, (3, 20))
    for label, row in table.set_index("label").iterrows():
        maps = explanation["relevance"].values[explanation["label"].values == label]
        maps = np.maximum(maps, 0)
        maps = maps / maps.sum((1, 2), keepdims=True)
        outside, inside = maps[:, ~region].mean(), maps[:, region].mean()
        assert row["ratio"] == pytest.approx(outside / inside)
        assert row["inside"] == pytest.approx(maps[:, region].sum(1).mean())
        assert row["median"] == pytest.approx(np.median([by_hand(one, region, "positive") for one in maps]))
        assert (row["trials"], row["left_out"], row["area"]) == (20, 0, 0.25)
        assert row["low"] < row["ratio"] < row["high"]


def test_the_interval_resamples_subjects(explanation):
    """Against resampling by hand; ten subjects that differ in where their relevance lies."""
    uneven = explanation.copy(deep=True)
    uneven["relevance"][:] = np.abs(uneven["relevance"])
    uneven["relevance"][:, :, :5] *= 1 + uneven["subject"]
    one = uneven.isel(trial=uneven["label"] == 0)
    row = context_by_class(one, early(one), resamples=4000).iloc[0]
    maps = one["relevance"].values / one["relevance"].values.sum((1, 2), keepdims=True)
    subject = one["subject"].values
    rng = np.random.default_rng(9)
    ratios = []
    for _ in range(4000):
        drawn = np.concatenate([maps[subject == name] for name in rng.choice(np.unique(subject), 10)])
        ratios.append(drawn[:, :, 5:].mean() / drawn[:, :, :5].mean())
    np.testing.assert_allclose(row[["low", "high"]], np.quantile(ratios, [0.025, 0.975]), rtol=0.03)
    alone = context_by_class(one, early(one), subject=np.arange(20)).iloc[0]
    assert alone["high"] - alone["low"] < row["high"] - row["low"]


def test_a_planted_cause_is_inside_and_noise_is_not():
    signal = planted(60, 3)
    explanation = signalrp.explain(trained(mlp), signal, composite="epsilon")
    time, channel = np.arange(40), np.arange(3)
    label = explanation["label"].values[:, None, None]
    inside = (abs(time - (8 + 12 * label)) <= 5) & (channel[:, None] == label % 3)
    region = xr.DataArray(inside, dims=("trial", "channel", "time"))
    table = context_by_class(explanation, region, by="target")
    assert table["target"].tolist() == [0, 1, 2]
    assert (table["high"] < 0.3).all()
    rng = np.random.default_rng(0)
    noise = explanation.assign(relevance=explanation["relevance"].copy(data=rng.normal(size=signal.shape)))
    unrelated = context_by_class(noise, region)
    assert ((unrelated["low"] < 1) & (unrelated["high"] > 1)).all()


def test_trials_without_relevance_are_left_out_and_nothing_inside_is_infinite(explanation):
    empty = explanation.copy(deep=True)
    empty["relevance"][:4] = -1
    empty["relevance"][4, :, :5] = -1
    found = context_ratio(empty, early(empty))
    assert np.isnan(found[:4]).all()
    assert np.isinf(found[4])
    assert np.isfinite(found[5:]).all()
    table = context_by_class(empty, early(empty))
    assert table[["trials", "left_out"]].to_numpy().tolist() == [[18, 2], [18, 2]]
    assert np.isfinite(table["ratio"]).all()
    assert np.isfinite(context_ratio(empty, early(empty), "absolute")).all()
    outside = empty.assign(relevance=empty["relevance"] * 0 + (1.0 * ~early(empty)))
    assert np.isinf(context_by_class(outside, early(outside))[["ratio", "low", "high", "median"]]).all(axis=None)


def test_any_dimensions():
    rng = np.random.default_rng(2)
    dims = ("trial", "rgb", "frame", "row", "column")
    explanation = xr.Dataset({"relevance": (dims, rng.random((6, 2, 3, 4, 5))), "label": ("trial", [0] * 6)})
    region = xr.DataArray(np.arange(20).reshape(4, 5) < 7, dims=("row", "column"))
    table = context_by_class(explanation, region)
    assert table["area"].item() == pytest.approx(7 / 20)
    assert len(table) == 1


def test_bad_input_is_refused(explanation):
    region = early(explanation)
    with pytest.raises(ValueError, match=r"no variable 'label' \(trial\), so classes are unknown"):
        context_by_class(explanation.drop_vars("label"), region)
    with pytest.raises(ValueError, match="no variable 'person'"):
        context_by_class(explanation, region, by="person")
    with pytest.raises(ValueError, match='part is \'negative\'; choose "positive" or "absolute"'):
        context_by_class(explanation, region, part="negative")
    with pytest.raises(ValueError, match="expected a boolean"):
        context_by_class(explanation, region.astype(int))
    with pytest.raises(ValueError, match="Nothing lies inside the region in 40 of 40 trials, first in trial 0"):
        context_ratio(explanation, region & False)
    some = region.expand_dims(trial=40).copy()
    some[7] = True
    with pytest.raises(ValueError, match="Nothing lies outside the region in 1 of 40 trials, first in trial 7"):
        context_ratio(explanation, some)
    with pytest.raises(ValueError, match="label 0 has 20 trials with relevance, of 1 subject; an interval needs two"):
        context_by_class(explanation, region, subject=["me"] * 40)
    with pytest.raises(ValueError, match="level is 95"):
        context_by_class(explanation, region, level=95)
    broken = explanation.copy(deep=True)
    broken["relevance"][2, 0, 0] = np.nan
    with pytest.raises(ValueError, match="relevance has NaN or infinite values in 1 of 40 trials, first in trial 2"):
        context_by_class(broken, region)
