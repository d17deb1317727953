from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from signalrp.validation import bootstrap_interval
from signalrp.validation.localisation import localisation_table, mass_accuracy, pointing_game, rank_accuracy

DIMS = ("trial", "channel", "time")


def explained(values, dims=DIMS, **coords):
    values = np.asarray(values, dtype=float)
    return xr.Dataset({"signal": (dims, values), "relevance": (dims, values)}, coords)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def lists_of(values, mask):
    """Relevance and mask of every trial as plain lists."""
    return [(trial.ravel().tolist(), inside.ravel().tolist()) for trial, inside in zip(values, mask, strict=True)]


def mass_by_hand(values, mask):
    scores = []
    for relevance, inside in lists_of(values, mask):
        hit = total = 0.0
        for r, m in zip(relevance, inside, strict=True):
            if r > 0:
                total += r
                hit += r if m else 0
        scores.append(hit / total)
    return scores


def rank_by_hand(values, mask):
    scores = []
    for relevance, inside in lists_of(values, mask):
        size = sum(inside)
        ranked = sorted(range(len(relevance)), key=lambda i: -relevance[i])
        scores.append(sum(inside[i] for i in ranked[:size]) / size)
    return scores


def pointing_by_hand(values, mask):
    return [float(inside[relevance.index(max(relevance))]) for relevance, inside in lists_of(values, mask)]


@st.composite
def cases(draw):
    """Relevance of one to four dimensions behind the trial, without ties, and a mask that is part of each trial."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4).filter(lambda s: np.prod(s) > 1))
    shape = (draw(st.integers(1, 4)), *sizes)
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    values = rng.permuted(np.arange(1, np.prod(shape) + 1).reshape(shape[0], -1), axis=1).reshape(shape) - 0.5
    values -= draw(st.floats(0, 0.3)) * values.reshape(shape[0], -1).max(1).reshape(-1, *(1,) * len(sizes))
    mask = rng.random(shape) < 0.5
    flat = mask.reshape(shape[0], -1)
    flat[:, 0], flat[:, -1] = True, False
    return values, mask


@given(cases())
def test_scores_equal_a_loop_over_samples(case):
    values, mask = case
    dims = ("trial", *(f"d{axis}" for axis in range(1, values.ndim)))
    explanation, truth = explained(values, dims), xr.DataArray(mask, dims=dims)
    np.testing.assert_allclose(mass_accuracy(explanation, truth), mass_by_hand(values, mask), atol=1e-12)
    np.testing.assert_allclose(rank_accuracy(explanation, truth), rank_by_hand(values, mask), atol=1e-12)
    np.testing.assert_allclose(pointing_game(explanation, truth), pointing_by_hand(values, mask), atol=1e-12)
    share = mask.reshape(len(mask), -1).mean(1)
    for score in (mass_accuracy, rank_accuracy, pointing_game):
        np.testing.assert_allclose(score(explanation, truth)["chance"], share)
        absolute = score(explained(np.abs(values), dims), truth)
        np.testing.assert_allclose(score(explanation, truth, part="absolute"), absolute, atol=1e-12)


def test_relevance_against_does_not_count_unless_asked_for():
    explanation = explained([[[1.0, -4.0, 3.0, 0.0]]])
    mask = xr.DataArray([True, True, False, False], dims="time")
    assert mass_accuracy(explanation, mask).item() == 0.25
    assert mass_accuracy(explanation, mask, part="absolute").item() == 5 / 8
    assert rank_accuracy(explanation, mask).item() == 0.5
    assert rank_accuracy(explanation, xr.DataArray([False, True, False, False], dims="time")).item() == 0
    assert pointing_game(explanation, mask).item() == 0
    assert pointing_game(explanation, mask, part="absolute").item() == 1


@pytest.mark.parametrize("seed", range(5))
def test_equal_values_count_as_chosen_at_random(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 3, size=(1, 2, 6)).astype(float)
    mask = rng.random((1, 2, 6)) < 0.4
    mask[0, 0, :2] = True, False
    values[0, 1, 1] = 2
    explanation, truth = explained(values), xr.DataArray(mask, dims=DIMS)
    # What breaking ties by tiny random numbers gives in the mean.
    broken = values + 1e-6 * rng.random((4000, 2, 6))
    many = np.broadcast_to(mask, broken.shape)
    assert rank_accuracy(explanation, truth).item() == pytest.approx(np.mean(rank_by_hand(broken, many)), abs=0.03)
    assert pointing_game(explanation, truth).item() == pytest.approx(np.mean(pointing_by_hand(broken, many)), abs=0.03)


def test_noise_scores_chance_by_every_criterion():
    explanation = explained(normal(3000, 4, 20))
    mask = xr.DataArray(np.arange(20) < 5, dims="time") & xr.DataArray(np.arange(4) < 2, dims="channel")
    for score in (mass_accuracy, rank_accuracy, pointing_game):
        found = score(explanation, mask)
        np.testing.assert_allclose(found["chance"], 0.125)
        assert float(found.mean()) == pytest.approx(0.125, abs=0.02)
    near = pointing_game(explanation, mask, tolerance=3)
    np.testing.assert_allclose(near["chance"], 0.2)
    assert float(near.mean()) == pytest.approx(0.2, abs=0.02)


def test_mask_holds_over_the_dimensions_that_it_lacks_in_any_order():
    values = normal(5, 3, 4, 6)
    dims = ("trial", "channel", "frequency", "time")
    rng = np.random.default_rng(1)
    for own in (("time",), ("frequency", "channel"), ("time", "trial"), ("time", "trial", "channel", "frequency")):
        mask = rng.random([dict(zip(dims, values.shape, strict=True))[dim] for dim in own]) < 0.5
        mask[0], mask[1] = True, False
        truth = xr.DataArray(mask, dims=own)
        whole = truth.broadcast_like(xr.DataArray(values, dims=dims)).transpose(*dims).values
        np.testing.assert_allclose(mass_accuracy(explained(values, dims), truth), mass_by_hand(values, whole))
        turned = explained(values, dims).transpose("time", "trial", "channel", "frequency")
        np.testing.assert_allclose(rank_accuracy(turned, truth), rank_by_hand(values, whole))


def test_tolerance_is_measured_in_samples_along_its_dimension():
    values = np.zeros((7, 3, 7))
    values[np.arange(7), 1, np.arange(7)] = 1  # the highest moves on by one sample a trial
    mask = np.zeros((3, 7), dtype=bool)
    mask[1, 3] = True
    truth, explanation = xr.DataArray(mask, dims=("channel", "time")), explained(values)
    for tolerance, hits in (
        (0, 1),
        (1, 3),
        (2, 5),
        ({"time": 1}, 3),
        ({"channel": 1}, 1),
        ({"channel": 1, "time": 2}, 5),
    ):
        score = pointing_game(explanation, truth, tolerance=tolerance)
        assert score.sum() == hits
    aside = np.zeros((3, 7), dtype=bool)
    aside[0, 3] = True
    beside = xr.DataArray(aside, dims=("channel", "time"))
    assert pointing_game(explanation, beside, tolerance=6).sum() == 0
    assert pointing_game(explanation, beside, tolerance={"channel": 1}).sum() == 1
    assert pointing_game(explanation, beside, tolerance={"channel": 1})["chance"][0] == 2 / 21
    # Ends of a trial do not meet, and trials do not touch.
    ends = xr.DataArray(np.eye(7, dtype=bool), dims=("trial", "time"))
    np.testing.assert_allclose(
        pointing_game(explained(values), ends, tolerance=1)["chance"], [2 / 7] + [3 / 7] * 5 + [2 / 7]
    )


def test_coordinates_of_trials_are_kept_and_nothing_else():
    explanation = explained(normal(4, 2, 5), subject=("trial", list("aabb")), time=("time", np.arange(5.0)), level=3)
    score = mass_accuracy(explanation, xr.DataArray(np.arange(5) < 2, dims="time"))
    assert score.dims == ("trial",)
    assert set(score.coords) == {"subject", "chance"}
    assert score["subject"].values.tolist() == list("aabb")


def test_table_holds_methods_beside_each_other_with_intervals_and_chance():
    rng = np.random.default_rng(0)
    mask = rng.random((40, 3, 8)) < 0.3
    mask[:, 0, :2] = True, False
    subject = np.repeat(np.arange(8), 5)
    good, bad = (explained(rng.normal(size=mask.shape) + shift * mask, subject=("trial", subject)) for shift in (2, 0))
    truth = xr.DataArray(mask, dims=DIMS)
    table = localisation_table({"good": good, "bad": bad}, truth, tolerance=1, resamples=500, seed=3)
    assert table.columns.tolist() == ["method", "criterion", "estimate", "low", "high", "chance"]
    assert table["method"].tolist() == ["good"] * 3 + ["bad"] * 3
    assert table["criterion"].tolist() == ["mass", "rank", "pointing"] * 2
    for name, explanation in (("good", good), ("bad", bad)):
        scores = (
            mass_accuracy(explanation, truth),
            rank_accuracy(explanation, truth),
            pointing_game(explanation, truth, tolerance=1),
        )
        rows = table[table["method"] == name]
        for score, (_, row) in zip(scores, rows.iterrows(), strict=True):
            interval = bootstrap_interval(score.values, subject, resamples=500, seed=3)
            assert tuple(row[["estimate", "low", "high"]]) == pytest.approx(tuple(interval), abs=1e-12)
            assert row["chance"] == pytest.approx(float(score["chance"].mean()))
    assert (table[table["method"] == "good"]["low"] > table[table["method"] == "good"]["chance"]).all()
    other = localisation_table({"good": good}, truth, subject=np.arange(40) % 2, resamples=500, seed=3)
    assert other["low"][0] != table["low"][0]


def test_all_that_is_found_and_nothing_of_it():
    mask = xr.DataArray(np.arange(6) < 2, dims="time")
    inside, outside = (explained(np.where(mask.values == found, 1.0, 0.0)[None, None]) for found in (True, False))
    for score in (mass_accuracy, rank_accuracy, pointing_game):
        assert score(inside, mask).item() == 1
        assert score(outside, mask).item() == 0


TIME = xr.DataArray(np.arange(5) < 2, dims="time")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (TIME.values, "The mask is a ndarray; expected a boolean xarray.DataArray"),
        (TIME.astype(int), "The mask is of type int64; expected a boolean"),
        (TIME.rename(time="frequency"), r"The mask has dimensions \('frequency',\) and relevance .*signalrp.inspect"),
        (xr.DataArray(True), r"The mask has dimensions \(\) and relevance"),
        (TIME[:4], r"Entries of the mask have shape \(4,\) over \('time',\); the signal has \(5,\)"),
        (TIME & False, "The mask is empty in trial 0, so that there is nothing to find"),
        (TIME | True, "The mask covers everything in trial 0, so that nothing can be missed"),
        (TIME & xr.DataArray([True, False, True], dims="trial"), "The mask is empty in trial 1"),
        (
            TIME.assign_coords(time=np.arange(5) * 2.0),
            "Entries of the mask and the signal have different coordinates along time",
        ),
    ],
)
def test_masks_that_do_not_fit_are_refused(mask, message):
    explanation = explained(normal(3, 2, 5), time=np.arange(5) * 1.0)
    for score in (mass_accuracy, rank_accuracy, pointing_game):
        with pytest.raises(ValueError, match=message):
            score(explanation, mask)


def test_names_of_channels_must_agree_and_rounding_of_times_may_differ():
    explanation = explained(normal(3, 2, 5), channel=["a", "b"], time=np.arange(5) / 3)
    mask = xr.DataArray([True, False], dims="channel", coords={"channel": ["b", "a"]})
    with pytest.raises(ValueError, match="different coordinates along channel"):
        mass_accuracy(explanation, mask)
    single = TIME.assign_coords(time=(np.arange(5) / 3).astype(np.float32))
    np.testing.assert_allclose(mass_accuracy(explanation, single), mass_accuracy(explanation, TIME))


def test_relevance_that_points_nowhere_is_refused():
    values = normal(4, 2, 5)
    values[1] = -np.abs(values[1])
    with pytest.raises(ValueError, match=r'Trial 1 has no relevance above 0 \(1 of 4 .*or count part="absolute"'):
        mass_accuracy(explained(values), TIME)
    assert np.isfinite(mass_accuracy(explained(values), TIME, part="absolute")).all()
    values[2] = 0
    with pytest.raises(ValueError, match=r"Trial 2 has no relevance at all, only zeros .*drop it.$"):
        pointing_game(explained(values), TIME, part="absolute")
    values[3, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        rank_accuracy(explained(values), TIME)


def test_options_that_make_no_sense_are_refused():
    explanation = explained(normal(3, 2, 5))
    with pytest.raises(ValueError, match='part is \'negative\'; choose "positive" or "absolute"'):
        mass_accuracy(explanation, TIME, part="negative")
    for tolerance, message in (
        (-1, "The tolerance is -1 samples along time; expected a whole number"),
        (1.5, "The tolerance is 1.5 samples along time"),
        ({"frequency": 1}, r"The tolerance is along frequency, relevance has dimensions \('channel', 'time'\)"),
        ({"trial": 1}, "The tolerance is along trial"),
        (3, "With the tolerance 3 nothing lies outside the mask in trial 0; allow less"),
    ):
        with pytest.raises(ValueError, match=message):
            pointing_game(explanation, TIME, tolerance=tolerance)


def test_table_names_the_method_that_fails():
    explanation = explained(normal(3, 2, 5))
    with pytest.raises(ValueError, match=r"^silent: Trial 0 has no relevance at all"):
        localisation_table({"loud": explanation, "silent": explanation * 0}, TIME)
    for nothing in ({}, explanation):
        with pytest.raises(ValueError, match="needs a mapping from names of methods to explanations"):
            localisation_table(nothing, TIME)
