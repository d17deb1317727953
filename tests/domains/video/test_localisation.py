import numpy as np
import pytest
import xarray as xr
from reference.audio_masking import Weighted
from reference.video_loops import LAYOUTS, clips, explained, place_and_time

import signalrp
from signalrp.domains.video.localisation import METHODS, explain_by_methods, localisation_of, localise, true_places
from signalrp.domains.video.motion import motion_magnitude
from signalrp.validation import mass_accuracy, pointing_game


def planted(trials=12, layout=LAYOUTS[0], inside=1.0, seed=0):
    """Clips with a bright patch that moves from frame 2 to before frame 5 and is gone otherwise, and where it is."""
    rng = np.random.default_rng(seed)
    values, truth = 0.02 * rng.random((trials, 3, 8, 12, 12)), np.zeros((trials, 8, 12, 12), dtype=bool)
    for trial in range(trials):
        row, column = rng.integers(0, 8, 2)
        for frame in range(2, 5):
            at = min(column + frame - 2, 8)
            truth[trial, frame, row : row + 4, at : at + 4] = True
    values += inside * truth[:, None] * rng.uniform(0.5, 1, (trials, 3, 8, 12, 12))
    signal = clips(values, layout, subjects=6)
    return signal, clips(truth[:, None]).isel(rgb=0, drop=True).astype(bool)


def summing(signal):
    """A net that sums all clips hold, the same everywhere."""
    return Weighted(np.ones(signal.shape[1:])).eval()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_shares_inside_place_by_place(layout):
    signal, truth = planted(layout=layout)
    rng = np.random.default_rng(1)
    explanations = {name: explained(signal.copy(data=rng.standard_normal(signal.shape))) for name in ("LRP", "other")}
    table = localisation_of(explanations, truth).set_index(["where", "method", "criterion"])
    masks = {"tube": truth.values, "interval": np.zeros(truth.shape, dtype=bool)}
    masks["interval"][:, 2:5] = True
    for name, explanation in explanations.items():
        values = place_and_time(explanation["relevance"], "positive")
        for where, mask in masks.items():
            share = [values[trial][mask[trial]].sum() / values[trial].sum() for trial in range(12)]
            hit = [mask[trial].flat[values[trial].argmax()] for trial in range(12)]
            assert table.loc[(where, name, "mass"), "estimate"] == pytest.approx(np.mean(share))
            assert table.loc[(where, name, "pointing"), "estimate"] == np.mean(hit)
            assert table.loc[(where, name, "mass"), "chance"] == pytest.approx(mask.mean())
    mass = {
        name: mass_accuracy(xr.Dataset({"relevance": e["relevance"].sum("rgb")}), truth).mean()
        for name, e in explanations.items()
    }
    assert table.loc[("tube", "other", "mass"), "difference"] == pytest.approx(float(mass["other"] - mass["LRP"]))
    assert table.xs("LRP", level="method")["difference"].isna().all()
    assert set(table.index.get_level_values("where")) == {"tube", "interval"}


def test_planted_evidence_is_found_by_what_sees_the_net_and_not_by_chance():
    signal, truth = planted()
    table = localise(summing(signal), signal, truth, tube=(2, 4, 4), steps=2).set_index(
        ["where", "method", "criterion"]
    )
    assert set(table.index.get_level_values("method")) == set(METHODS)
    for where in ("tube", "interval"):
        for method in ("LRP", "input-x-gradient", "integrated-gradients", "amplitude"):
            row = table.loc[(where, method, "mass")]
            assert row["low"] > row["chance"] + 0.3
        for method in ("random", "gradient"):
            row = table.loc[(where, method, "mass")]
            assert row["estimate"] == pytest.approx(row["chance"], abs=0.05)
            assert row["p"] < 0.1
            assert row["difference"] < -0.3
    assert table.loc[("tube", "LRP", "pointing"), "estimate"] == 1
    frames, tubes = (table.loc[("tube", f"occlusion of {what}", "mass")] for what in ("frames", "tubes"))
    assert frames["estimate"] < tubes["estimate"] < table.loc[("tube", "LRP", "mass"), "estimate"]
    assert table.loc[("interval", "occlusion of frames", "mass"), "estimate"] > 0.8


def test_methods_explain_the_same_clips_with_their_own_pieces():
    signal, _ = planted(trials=3, layout=LAYOUTS[1])
    net = summing(signal)
    found = explain_by_methods(net, signal, ("LRP", "occlusion of frames", "motion", "smoothgrad"), reference=signal)
    assert tuple(found) == ("LRP", "occlusion of frames", "motion", "smoothgrad")
    for explanation in found.values():
        assert explanation["relevance"].dims == signal.dims
    np.testing.assert_array_equal(found["LRP"]["relevance"], signalrp.explain(net, signal)["relevance"])
    flow = motion_magnitude(signal)
    np.testing.assert_array_equal(found["motion"]["relevance"].isel(rgb=2), flow)
    fall = (signal - signal.mean("trial")).sum(["rgb", "row", "column"])
    np.testing.assert_allclose(
        found["occlusion of frames"]["relevance"].sum(["rgb", "row", "column"]), fall, atol=1e-10
    )


def test_interval_from_onset_and_where_the_tube_is_always_there():
    _, truth = planted(trials=3)
    assert list(true_places(truth)) == ["tube", "interval"]
    always = xr.ones_like(truth) & (truth["row"] < 4)
    assert list(true_places(always)) == ["tube"]
    timed = always.assign_coords(onset=("trial", [1, 2, 3]), offset=("trial", [3, 4, 8]))
    places = true_places(timed)
    assert list(places) == ["tube", "interval", "tube in the interval"]
    assert places["interval"].values.tolist() == [
        [1 <= f < 3 for f in range(8)],
        [2 <= f < 4 for f in range(8)],
        [f >= 3 for f in range(8)],
    ]
    np.testing.assert_array_equal(
        places["tube in the interval"], always.values & places["interval"].values[:, :, None, None]
    )
    own = xr.DataArray(np.eye(3, 8, dtype=bool), dims=("trial", "frame"))
    np.testing.assert_array_equal(true_places(always, own)["interval"], own)


def test_tolerance_and_subjects():
    signal, truth = planted()
    values = np.zeros(signal.shape)
    for trial in range(12):
        frame, row, column = np.argwhere(truth.values[trial])[0]
        values[trial, :, frame - 1, row, column] = 1.0
    explanation = explained(signal.copy(data=values))
    strict, near = (
        localisation_of({"LRP": explanation}, truth, tolerance=by).set_index(["where", "criterion"])
        for by in (None, {"frame": 1})
    )
    assert strict.loc[("tube", "pointing"), "estimate"] == 0
    assert near.loc[("tube", "pointing"), "estimate"] == 1
    pooled = xr.Dataset({"relevance": explanation["relevance"].sum("rgb")})
    chance = pointing_game(pooled, truth, tolerance={"frame": 1})["chance"].mean()
    assert near.loc[("tube", "pointing"), "chance"] == pytest.approx(float(chance))
    noise = explained(signal.copy(data=np.random.default_rng(2).standard_normal(signal.shape)))
    clustered, single = (
        localisation_of({"a": noise}, truth),
        localisation_of({"a": noise}, truth, subject=np.arange(12)),
    )
    assert (clustered["low"] != single["low"]).any()


def test_clips_that_point_nowhere_are_left_out_for_all():
    signal, truth = planted()
    values = np.random.default_rng(3).standard_normal(signal.shape)
    silent = values.copy()
    silent[:2] = -1
    both = {"a": explained(signal.copy(data=values)), "b": explained(signal.copy(data=silent))}
    empty = truth.copy()
    empty[5] = False
    table = localisation_of(both, empty)
    assert table.attrs["trials"] == {"tube": 9, "interval": 9}
    kept = [3, 2, 4, 6, 7, 8, 9, 10, 11]
    rest = {name: e.isel(trial=sorted(kept)) for name, e in both.items()}
    np.testing.assert_allclose(table["estimate"], localisation_of(rest, empty.isel(trial=sorted(kept)))["estimate"])


def test_what_does_not_fit_is_refused():
    signal, truth = planted(trials=4)
    explanations = {"LRP": explained(signal)}
    with pytest.raises(ValueError, match="boolean array over trial, frame, row, column"):
        localisation_of(explanations, truth.astype(int))
    with pytest.raises(ValueError, match="boolean array over trial, frame; found"):
        localisation_of(explanations, truth, interval=truth)
    with pytest.raises(ValueError, match="by the names of methods"):
        localisation_of(explanations["LRP"], truth)
    with pytest.raises(ValueError, match="The truth have"):
        localisation_of(explanations, truth.isel(row=slice(0, 6)))
    with pytest.raises(ValueError, match="No clip has positive relevance"):
        localisation_of({"LRP": explained(-signal)}, truth)
    with pytest.raises(ValueError, match="there is no method 'magic'"):
        explain_by_methods(summing(signal), signal, ("magic",))


def test_clips_that_move_throughout_count_for_the_tube_but_not_for_the_interval():
    signal, truth = planted()
    onset, offset = np.full(12, 2), np.full(12, 5)
    onset[3], offset[3] = 0, 8
    timed = truth.assign_coords(onset=("trial", onset), offset=("trial", offset))
    noise = explained(signal.copy(data=np.random.default_rng(4).standard_normal(signal.shape)))
    assert localisation_of({"a": noise}, timed).attrs["trials"] == {"tube": 12, "interval": 11}
