from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from signalrp.validation import (
    abpc,
    aopc,
    area_under_accuracy,
    bootstrap_interval,
    paired_difference,
    perturbation_curves,
    summary,
)


@pytest.fixture
def curves() -> xr.Dataset:
    """Two trials, three steps of unequal width, outputs written by hand."""
    output = np.array([[[[10, 8], [4, 6], [1, 6]], [[10, 8], [9, 8], [7, 5]]]], float)
    correct = np.array([[[[1, 1], [0, 1], [0, 0]], [[1, 1], [1, 1], [0, 1]]]], float)
    dims = ("order", "direction", "step", "trial")
    return xr.Dataset(
        {
            "output": (dims, output),
            "correct": (dims, correct),
            "initial_output": ("trial", [10.0, 8.0]),
            "label": ("trial", [0, 1]),
        },
        {"order": ["relevance"], "direction": ["morf", "lerf"], "step": [0.0, 10.0, 40.0]},
    )


def test_areas_computed_by_hand(curves: xr.Dataset) -> None:
    area = aopc(curves).sel(order="relevance")
    np.testing.assert_allclose(area.sel(direction="morf"), [(0 + 6 + 9) / 3, (0 + 2 + 2) / 3])
    np.testing.assert_allclose(area.sel(direction="lerf"), [(0 + 1 + 3) / 3, (0 + 0 + 3) / 3])
    np.testing.assert_allclose(abpc(curves).sel(order="relevance"), [(0 + 5 + 6) / 3, (0 + 2 - 1) / 3])
    under = area_under_accuracy(curves).sel(order="relevance")
    np.testing.assert_allclose(under.sel(direction="morf"), [5 / 40, (10 + 15) / 40])
    np.testing.assert_allclose(under.sel(direction="lerf"), [(10 + 15) / 40, 1])


def test_abpc_needs_both_directions(curves: xr.Dataset) -> None:
    with pytest.raises(ValueError, match="ABPC needs both directions, lerf is missing"):
        abpc(curves.sel(direction=["morf"]))


def clustered(rng: np.random.Generator, clusters: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Values around 0 that share a part within their cluster."""
    values = rng.normal(size=(clusters, 1)) + 0.5 * rng.normal(size=(clusters, size))
    return values.ravel(), np.repeat(np.arange(clusters), size)


def test_interval_covers_when_clustered_and_fails_to_when_not() -> None:
    rng = np.random.default_rng(8)
    runs = 200
    hits = {"clustered": 0, "naive": 0}
    for run in range(runs):
        values, cluster = clustered(rng, 40, 10)
        for name, by in (("clustered", cluster), ("naive", None)):
            interval = bootstrap_interval(values, by, resamples=400, seed=run)
            hits[name] += bool(interval.low < 0 < interval.high)
    assert 0.88 <= hits["clustered"] / runs <= 0.99
    assert hits["naive"] / runs < 0.7


def test_bootstrap_equals_resampling_by_hand() -> None:
    values, cluster = clustered(np.random.default_rng(1), 6, 3)
    values, cluster = values[:-2], cluster[:-2]  # clusters of unequal size
    found = bootstrap_interval(values, cluster, level=0.8, resamples=4000)
    rng = np.random.default_rng(99)
    means = []
    for _ in range(4000):
        drawn = rng.integers(0, 6, size=6)
        means.append(np.concatenate([values[cluster == c] for c in drawn]).mean())
    np.testing.assert_allclose(found.estimate, values.mean())
    # two independent sets of 4000 resamples: quantiles agree to a few per cent of the spread
    np.testing.assert_allclose([found.low, found.high], np.quantile(means, [0.1, 0.9]), atol=0.15 * np.std(means))


def test_bootstrap_of_many_columns_equals_one_by_one() -> None:
    values = np.random.default_rng(0).normal(size=(30, 2, 3))
    cluster = np.repeat(["a", "b", "c", "d", "e"], 6)
    together = bootstrap_interval(values, cluster, seed=5)
    for index in np.ndindex(2, 3):
        alone = bootstrap_interval(values[:, *index], cluster, seed=5)
        np.testing.assert_allclose([part[index] for part in together], alone)
    assert not np.array_equal(together.low, bootstrap_interval(values, cluster, seed=6).low)


def test_paired_p_is_exact_for_few_clusters() -> None:
    first, cluster = clustered(np.random.default_rng(4), 7, 4)
    second = np.zeros_like(first)
    sums = first.reshape(7, 4).sum(1)
    patterns = [abs(np.dot(signs, sums)) for signs in product((-1, 1), repeat=7)]
    expected = np.mean([value >= abs(sums.sum()) - 1e-9 for value in patterns])
    result = paired_difference(first, second, cluster)
    assert result.p == pytest.approx(expected)
    assert result.estimate == pytest.approx(first.mean())
    assert result.low < result.estimate < result.high


def test_paired_p_holds_its_level_and_finds_a_difference() -> None:
    rng = np.random.default_rng(2)
    values = [clustered(rng, 20, 3) for _ in range(200)]
    p = [paired_difference(v, np.zeros_like(v), c, resamples=199).p for v, c in values]
    assert 0.01 <= np.mean(np.array(p) <= 0.05) <= 0.1
    v, c = values[0]
    shifted = paired_difference(v + 3, np.zeros_like(v), c, resamples=199)
    assert shifted.p == pytest.approx(1 / 200)
    assert shifted.low > 0


def test_equal_values_do_not_differ() -> None:
    values, cluster = clustered(np.random.default_rng(0), 16, 2)
    assert paired_difference(values, values, cluster).p == 1


def test_summary_is_tidy_and_clusters_by_subject(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    curves = perturbation_curves(model, explanation, repeats=2)
    table = summary(curves)
    assert list(table.columns) == ["order", "direction", "step", "accuracy", "low", "high"]
    assert len(table) == 3 * 2 * 8
    row = table[(table.order == "relevance") & (table.direction == "morf") & (table.step == 5)].iloc[0]
    point = curves["correct"].sel(order="relevance", direction="morf", step=5)
    assert row.accuracy == pytest.approx(point.mean().item())
    interval = bootstrap_interval(point, explanation["subject"])
    assert (row.low, row.high) == pytest.approx((interval.low, interval.high))
    pd.testing.assert_frame_equal(table, summary(curves, explanation["subject"].values))
    unclustered = summary(curves.drop_vars("subject"))
    assert not unclustered.equals(table)
    with pytest.raises(ValueError, match="no coordinate 'person' along trial; found subject"):
        summary(curves, "person")


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([1, np.nan], {}, "must be finite"),
        ([1, 2], {"cluster": ["a", "a"]}, "at least two"),
        ([1, 2], {"cluster": ["a"]}, "cluster has shape"),
        ([1, 2], {"level": 95}, "level is 95"),
        ([1, 2], {"resamples": 0}, "resamples 0"),
    ],
)
def test_bad_values_are_refused(values: list[float], options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(values, **options)


def test_unpaired_values_are_refused() -> None:
    with pytest.raises(ValueError, match="one value per trial in both"):
        paired_difference([1, 2, 3], [1, 2])
