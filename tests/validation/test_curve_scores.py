"""Areas and advantages, recomputed one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import xarray as xr
from reference.pretend_curves import USUAL, pretend

from signalrp.validation.curve_reading import chance_level, fill_distance, p_words, point_table
from signalrp.validation.curve_scores import curve_scores
from signalrp.validation.statistics import bootstrap_interval

BOTH = {"relevance": (9, 9, 8), "amplitude": (9, 7, 5), "random": (9, 8, 6)}


def area(values: np.ndarray, steps: np.ndarray) -> float:
    """Trapezoids over the range, one after the other."""
    total = 0.0
    for k in range(len(steps) - 1):
        total += (values[k] + values[k + 1]) / 2 * (steps[k + 1] - steps[k])
    return total / (steps[-1] - steps[0])


def sign_flip_p(differences: np.ndarray, subjects: np.ndarray) -> float:
    """Exact two-sided p by listing every pattern of signs over subjects."""
    sums = [differences[subjects == name].sum() for name in np.unique(subjects)]
    observed = abs(sum(sums))
    found = [abs(sum(s * v for s, v in zip(signs, sums, strict=True))) for signs in product((1, -1), repeat=len(sums))]
    return float(np.mean([value >= observed - 1e-9 for value in found]))


def by_hand(curves: xr.Dataset, measure: str, order: str) -> np.ndarray:
    """One measure of every trial."""
    steps = curves["step"].values
    rows = []
    for trial in range(curves.sizes["trial"]):
        one = curves.isel(trial=trial).sel(order=order)
        output, correct = one["output"].values, one["correct"].values
        first = float(one["initial_output"])
        rows.append(
            {
                "AOPC": np.mean([first - value for value in output[0]]),
                "ABPC": np.mean(output[-1] - output[0]),
                "area under accuracy": area(correct[0], steps),
                "area under output": area(output[0], steps),
            }[measure]
        )
    return np.array(rows)


@pytest.mark.parametrize("measure", ["AOPC", "ABPC", "area under accuracy", "area under output"])
def test_scores_are_those_made_by_hand(measure: str) -> None:
    curves = pretend(USUAL, BOTH, subjects=5)
    table = curve_scores(curves)
    assert table["measure"].unique().tolist() == ["AOPC", "ABPC", "area under accuracy", "area under output"]
    part = table[table["measure"] == measure].set_index("order")
    better = 1 if measure in ("AOPC", "ABPC") else -1
    assert (part["better"] == ("higher" if better > 0 else "lower")).all()
    subjects = curves["subject"].values
    own = by_hand(curves, measure, "relevance")
    for order in USUAL:
        values = by_hand(curves, measure, order)
        interval = bootstrap_interval(values, subjects)
        assert part.loc[order, ["estimate", "low", "high"]].tolist() == pytest.approx([*interval])
        if order == "relevance":
            assert part.loc[order, ["advantage", "p", "p_corrected"]].isna().all()
            continue
        gain = better * (own - values)
        assert part.loc[order, "advantage"] == pytest.approx(gain.mean())
        found = bootstrap_interval(gain, subjects)
        assert part.loc[order, ["advantage_low", "advantage_high"]].tolist() == pytest.approx([found.low, found.high])
        assert part.loc[order, "p"] == pytest.approx(sign_flip_p(gain, subjects))
        assert part.loc[order, "p"] <= part.loc[order, "p_corrected"] <= 1
    assert table.attrs == {"smallest_p": 2 / 2**5, "direction": "morf"}


@pytest.mark.parametrize(
    ("perturbation", "direction", "sign"),
    [("deletion", "morf", 1), ("deletion", "lerf", -1), ("insertion", "morf", -1), ("insertion", "lerf", 1)],
)
def test_better_is_what_the_test_asks_for(perturbation: str, direction: str, sign: int) -> None:
    """Lower curves are better where what matters goes early, or comes late."""
    curves = pretend(**{"morf": None, direction: USUAL}, perturbation=perturbation)
    table = curve_scores(curves).set_index(["measure", "order"])
    assert np.sign(table.loc[("area under accuracy", "random"), "advantage"]) == sign
    assert np.sign(table.loc[("area under output", "random"), "advantage"]) == sign
    assert (table.loc["area under accuracy", "better"] == ("lower" if sign > 0 else "higher")).all()
    # fall and gap of outputs are defined for what is removed
    assert ("AOPC" in table.index) == (perturbation == "deletion")
    assert "ABPC" not in table.index


def test_without_tests_the_means_stay() -> None:
    table = curve_scores(pretend(subjects=1))
    assert table["estimate"].notna().all()
    assert table[["low", "high", "advantage", "p_corrected"]].isna().all(axis=None)
    table = curve_scores(pretend({"relevance": (9, 4, 2)}))
    assert table["low"].notna().all()
    assert table["p"].isna().all()


def test_names_and_dimensions_are_checked() -> None:
    with pytest.raises(ValueError, match="no order 'gradient' in the curves; found relevance"):
        curve_scores(pretend(), "gradient")
    with pytest.raises(ValueError, match="The curves have no variable 'output'"):
        curve_scores(pretend().drop_vars("output"))
    with pytest.raises(ValueError, match="type DataArray; give what perturbation_curves returns"):
        curve_scores(pretend()["correct"])
    with pytest.raises(ValueError, match="expected \\('order', 'direction', 'step', 'trial'\\)"):
        curve_scores(pretend().isel(direction=0))


def test_points_are_means_with_intervals() -> None:
    curves = pretend(USUAL, BOTH)
    table = point_table(curves, resamples=200).set_index(["order", "direction", "step"])
    values = curves["correct"].sel(order="amplitude", direction="lerf", step=5)
    mean, low, high = bootstrap_interval(values.values, curves["subject"].values, resamples=200)
    assert table.loc[("amplitude", "lerf", 5.0)].tolist() == pytest.approx([mean, low, high])
    by_speed = curves.assign_coords(speed=("trial", np.arange(100) % 3))
    found = point_table(by_speed, subject="speed", resamples=200).set_index(["order", "direction", "step"])
    expected = bootstrap_interval(values.values, by_speed["speed"].values, resamples=200)
    assert found.loc[("amplitude", "lerf", 5.0), "low"] == pytest.approx(expected.low)
    assert expected.low != low
    with pytest.raises(ValueError, match="no coordinate 'shoe'"):
        point_table(curves, subject="shoe")


def test_chance_is_the_most_frequent_class() -> None:
    curves = pretend()
    curves["label"][:70] = 1
    assert chance_level(curves) == pytest.approx(float((curves["label"] == 1).mean()))
    assert chance_level(pretend(classes=1)) is None


def test_distances_count_where_something_is_filled() -> None:
    outside = {"relevance": (0.1, 0.3, 0.6), "amplitude": (0.1, 0.19, 0.21), "random": (0.1, 0, 1)}
    curves = pretend(outside=outside)
    far = fill_distance(curves)
    assert far.untouched == pytest.approx(0.1)
    np.testing.assert_allclose(
        far.share.sel(direction="morf"), [[np.nan, 0.3, 0.6], [np.nan, 0.19, 0.21], [np.nan, 0, 1]]
    )
    # clearly more than untouched
    assert far.outside.sel(direction="morf").values.tolist() == [
        [False, True, True],
        [False, False, True],
        [False, False, True],
    ]
    # all is filled at the first step of an insertion
    far = fill_distance(pretend(outside=outside, perturbation="insertion"))
    np.testing.assert_allclose(far.share.sel(direction="morf", order="relevance"), [0.1, 0.3, 0.6])
    assert far.untouched == 0.05
    assert fill_distance(pretend()) is None


def test_single_random_draws_count_not_their_mean() -> None:
    curves = pretend(outside=dict.fromkeys(USUAL, (0, 0, 0)))
    draws = np.full((4, 3, 100), 1.0)
    draws[0, 1] = 3
    curves["random_distance"] = (("repeat", "step", "trial"), draws)
    share = fill_distance(curves).share.sel(direction="morf")
    assert share.sel(order="random").values[1:].tolist() == [0.25, 0]
    assert share.sel(order="relevance").values[1:].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("p", "words"), [(0.0004, "< .001"), (0.00195, ".002"), (0.0995, ".0995"), (0.125, ".125"), (0.5, ".5"), (1, "1")]
)
def test_p_has_the_digits_that_matter(p: float, words: str) -> None:
    assert p_words(p) == words
