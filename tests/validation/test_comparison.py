from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from reference.permutations import holm_p, max_t_p

from signalrp.validation import abpc, aopc, bootstrap_interval, paired_difference, perturbation_curves
from signalrp.validation.comparison import compare_methods

METHODS = ("lrp", "gradient", "occlusion", "random")


def values_of(
    seed: int, subjects: int = 7, size: int = 3, shift: float = 0.0
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Values of four methods that share what is easy about a subject and about a trial; the first may be better."""
    rng = np.random.default_rng(seed)
    easy = rng.normal(size=(subjects, 1)) + rng.normal(size=(subjects, size))
    table = {
        name: (easy + rng.normal(size=(subjects, 1)) + rng.normal(size=(subjects, size))).ravel() for name in METHODS
    }
    table["lrp"] += shift
    return table, np.repeat(np.arange(subjects), size)


def differences(table: dict[str, np.ndarray], cluster: np.ndarray) -> list[np.ndarray]:
    """Summed differences of every subject, a column for every pair."""
    return [
        np.array([(table[a] - table[b])[cluster == c].sum() for c in np.unique(cluster)])
        for a, b in combinations(table, 2)
    ]


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_every_row_is_the_paired_difference_of_its_methods(shift: float) -> None:
    table, cluster = values_of(1, shift=shift)
    result = compare_methods(table, cluster, seed=4)
    assert list(result.columns) == ["first", "second", "difference", "low", "high", "p", "p_corrected"]
    assert list(zip(result["first"], result["second"], strict=True)) == list(combinations(METHODS, 2))
    for row in result.itertuples():
        alone = paired_difference(table[row.first], table[row.second], cluster, seed=4)
        assert (row.difference, row.low, row.high, row.p) == pytest.approx(alone)


@pytest.mark.parametrize(("seed", "shift"), [(1, 0.0), (2, 1.0), (3, 2.0)])
def test_max_t_equals_step_down_over_all_sign_patterns(seed: int, shift: float) -> None:
    table, cluster = values_of(seed, shift=shift)
    result = compare_methods(table, cluster)
    np.testing.assert_allclose(result["p_corrected"], max_t_p(differences(table, cluster)), atol=1e-12)


@given(st.lists(st.sampled_from([0.001, 0.01, 0.02, 0.03, 0.2, 0.5, 1.0]), min_size=1, max_size=6))
def test_holm_equals_its_steps(p: list[float]) -> None:
    from signalrp.validation.comparison import _holm

    np.testing.assert_allclose(_holm(np.array(p)), holm_p(p), rtol=1e-9)


def test_holm_corrects_the_same_p() -> None:
    table, cluster = values_of(2, subjects=9, shift=1.5)
    stepped, holm = compare_methods(table, cluster), compare_methods(table, cluster, correction="holm")
    pd.testing.assert_frame_equal(stepped.drop(columns="p_corrected"), holm.drop(columns="p_corrected"))
    np.testing.assert_allclose(holm["p_corrected"], holm_p(list(holm["p"])))
    assert (stepped["p_corrected"] <= holm["p_corrected"] + 1e-12).all()
    assert (stepped["p_corrected"] >= stepped["p"]).all()


def test_a_reference_leaves_the_comparisons_with_it() -> None:
    table, cluster = values_of(5)
    result = compare_methods(table, cluster, reference="random")
    assert list(result["first"]) == ["lrp", "gradient", "occlusion"]
    assert set(result["second"]) == {"random"}
    every = compare_methods(table, cluster)
    # fewer comparisons, less to correct for
    with_random = every[every["second"] == "random"]
    np.testing.assert_array_equal(result["p"], with_random["p"])
    assert (result["p_corrected"].to_numpy() <= with_random["p_corrected"].to_numpy()).all()


def test_equal_methods_and_constant_differences_are_no_trouble() -> None:
    table, cluster = values_of(6)
    table = {"a": table["lrp"], "same": table["lrp"].copy(), "more": table["lrp"] + 0.25}
    result = compare_methods(table, cluster).set_index(["first", "second"])
    assert result.loc[("a", "same"), "p_corrected"] == 1
    assert result.loc[("a", "same"), "difference"] == 0
    # all seven subjects shift by the same amount: nothing but the pattern and its mirror image reaches that
    assert result.loc[("a", "more"), "p_corrected"] == pytest.approx(2 / 2**7)
    assert result.loc[("a", "more"), "high"] == pytest.approx(-0.25)


@pytest.mark.parametrize(("correction", "least"), [("max-t", 2 / 2**5), ("holm", 6 * 2 / 2**5)])
def test_too_few_subjects_are_told_what_they_cannot_show(correction: str, least: float) -> None:
    table, cluster = values_of(7, subjects=5, shift=50)
    with pytest.warns(UserWarning, match=f"With 5 clusters and 6 comparisons .* below {least:.3g} is possible"):
        result = compare_methods(table, cluster, correction=correction)
    assert result.attrs["smallest_p"] == 2 / 2**5
    assert result.attrs["smallest_p_corrected"] == pytest.approx(least)
    assert result["p_corrected"].min() == pytest.approx(least)


def test_many_subjects_draw_their_patterns() -> None:
    table, cluster = values_of(8, subjects=30, shift=10)
    result = compare_methods(table, cluster, resamples=500)
    assert result["p_corrected"].min() == pytest.approx(1 / 501) == result.attrs["smallest_p_corrected"]
    assert result.attrs["clusters"] == 30
    again = compare_methods(table, cluster, resamples=500)
    pd.testing.assert_frame_equal(result, again)


def test_areas_of_curves_are_compared_by_subject(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    curves = perturbation_curves(model, explanation, repeats=2)
    area = aopc(curves).sel(direction="morf")
    with pytest.warns(UserWarning, match="With 3 clusters"):
        found = compare_methods(area)
    with pytest.warns(UserWarning, match="With 3 clusters"):
        named = compare_methods({name: area.sel(order=name) for name in area["order"].values.tolist()}, "subject")
    pd.testing.assert_frame_equal(found, named)
    with pytest.warns(UserWarning, match="With 3 clusters"):
        turned = compare_methods(area.transpose(), explanation["subject"].values)
    pd.testing.assert_frame_equal(found, turned)
    assert found.attrs["clusters"] == 3
    assert compare_methods(abpc(curves).drop_vars("subject"), level=0.5).attrs["clusters"] == 7


def test_labelled_values_cluster_by_their_subject() -> None:
    table, cluster = values_of(9)
    area = xr.DataArray(
        np.stack(list(table.values())),
        dims=("order", "trial"),
        coords={"order": list(table), "subject": ("trial", cluster)},
    )
    first, second = area.sel(order="lrp"), area.sel(order="random")
    assert paired_difference(first, second) == paired_difference(first.values, second.values, cluster)
    assert paired_difference(first, second) != paired_difference(first.values, second.values)
    # the trials are found wherever they stand
    interval = bootstrap_interval(area)
    np.testing.assert_allclose(interval.estimate, [table[name].mean() for name in table])
    np.testing.assert_allclose(interval.low, bootstrap_interval(area.values.T, cluster).low)


@pytest.mark.parametrize("correction", ["max-t", "holm"])
def test_any_false_finding_is_as_rare_as_promised_and_power_is_there(correction: str) -> None:
    runs = 300
    false = found = 0
    for run in range(runs):
        table, cluster = values_of(1000 + run, subjects=10, size=2)
        false += bool((compare_methods(table, cluster, correction=correction)["p_corrected"] <= 0.05).any())
        table, cluster = values_of(1000 + run, subjects=10, size=2, shift=3)
        better = compare_methods(table, cluster, correction=correction)
        found += bool((better.loc[better["first"] == "lrp", "p_corrected"] <= 0.05).all())
        false_beside = better.loc[better["first"] != "lrp", "p_corrected"] <= 0.05
        false += bool(false_beside.any())
    # 600 sets of hypotheses that are true, each wrong in at most 5 %: 99.9 % of such counts stay below
    assert false / (2 * runs) <= 0.05 + 3.1 * np.sqrt(0.05 * 0.95 / (2 * runs))
    assert found / runs > 0.8


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ({"a": [1.0, 2, 3]}, {}, "The methods are a; expected at least two"),
        ({}, {}, "The methods are none"),
        ({"a": [1.0, 2], "b": [1.0, 2]}, {"reference": "c"}, "The reference 'c' is none of the methods a, b"),
        ({"a": [1.0, 2], "b": [1.0, 2]}, {"correction": "bonferroni"}, "Correction 'bonferroni' is unknown; choose"),
        ({"a": [1.0, 2], "b": [1.0, np.nan]}, {}, "Values of 'b' must be finite"),
        ({"a": [1.0, 2], "b": [1.0, 2, 3]}, {}, r"Values of 'b' have shape \(3,\), those of 'a' \(2,\)"),
        ({"a": [1.0, 2], "b": [1.0, 2]}, {"cluster": "person"}, "no coordinate 'person' along trial; found none"),
        (xr.DataArray(np.zeros((2, 2, 3)), dims=("order", "direction", "trial")), {}, "expected trial and one more"),
    ],
)
def test_bad_input_is_refused(values: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare_methods(values, **options)


def test_values_of_different_trials_are_not_paired() -> None:
    one = xr.DataArray([1.0, 2, 4], dims="trial", coords={"subject": ("trial", ["x", "y", "z"])})
    two = one.assign_coords(subject=("trial", ["y", "x", "z"]))
    with pytest.raises(ValueError, match="Values of 'a' and 'b' differ in the coordinate 'subject'"):
        compare_methods({"a": one, "b": two})
    with pytest.raises(ValueError, match="The two sets of values differ in the coordinate 'subject'"):
        paired_difference(one, two)
