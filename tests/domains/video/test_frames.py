import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from reference.video_loops import LAYOUTS, clips, explained, place_and_time

from signalrp.domains.video.frames import (
    concentration,
    frame_shares,
    over_colours,
    per_frame,
    per_place,
    per_place_and_time,
    stretch,
    time_course,
)
from signalrp.validation import bootstrap_interval

PARTS = ("net", "positive", "negative", "absolute")


@given(
    sizes=st.tuples(*[st.integers(1, 4)] * 5),
    layout=st.permutations(["rgb", "frame", "row", "column"]),
    part=st.sampled_from(PARTS),
    seed=st.integers(0, 99),
)
def test_relevance_per_frame_and_place_whatever_the_layout(sizes, layout, part, seed):
    relevance = clips(np.random.default_rng(seed).standard_normal(sizes), layout)
    expected, explanation = place_and_time(relevance, part), explained(relevance)
    found = per_place_and_time(explanation, part)
    assert found.dims == ("trial", "frame", "row", "column")
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(per_frame(explanation, part), expected.sum((2, 3)), atol=1e-12)
    np.testing.assert_allclose(per_place(explanation, part), expected.sum(1), atol=1e-12)
    assert "subject" in per_frame(explanation, part).coords


def test_grey_clips_have_no_colours_to_sum_over():
    relevance = clips(np.random.default_rng(0).standard_normal((2, 1, 3, 4, 5))).isel(rgb=0, drop=True)
    np.testing.assert_array_equal(over_colours(relevance), relevance)


@pytest.mark.parametrize("part", PARTS[1:])
def test_shares_and_concentration_frame_by_frame(part):
    relevance = clips(np.random.default_rng(1).standard_normal((3, 3, 5, 4, 4)), LAYOUTS[1])
    explanation = explained(relevance)
    values = place_and_time(relevance, part).sum((2, 3))
    signed = place_and_time(relevance, "net")
    found = concentration(explanation, part)
    for trial, sums in enumerate(values):
        shares = [value / sum(sums) for value in sums]
        np.testing.assert_allclose(frame_shares(explanation, part)[trial], shares)
        entropy = -sum(share * np.log(share) for share in shares)
        centre = sum(share * frame / 10 for frame, share in enumerate(shares))
        spread = sum(share * (frame / 10 - centre) ** 2 for frame, share in enumerate(shares)) ** 0.5
        own = found.isel(trial=trial)
        for name, expected in {
            "entropy": entropy / np.log(5), "effective_frames": np.exp(entropy), "largest_frame": max(shares),
            "centre": centre, "spread": spread,
            "positive": signed[trial].clip(min=0).sum() / abs(signed[trial]).sum(),
            "negative": (-signed[trial]).clip(min=0).sum() / abs(signed[trial]).sum(),
        }.items():  # fmt: skip
            assert float(own[name]) == pytest.approx(expected)


def test_all_in_one_frame_and_the_same_in_each():
    one, even = np.zeros((2, 1, 4, 2, 2)), np.ones((2, 1, 4, 2, 2))
    one[:, :, 2] = 1
    found = concentration(explained(clips(one)))
    assert found["entropy"].values.tolist() == [0, 0]
    np.testing.assert_allclose(found["effective_frames"], 1)
    np.testing.assert_allclose(found["centre"], 0.2)
    np.testing.assert_allclose(found["spread"], 0)
    found = concentration(explained(clips(even)))
    np.testing.assert_allclose(found["entropy"], 1)
    np.testing.assert_allclose(found["effective_frames"], 4)


def test_time_course_is_the_mean_share_with_the_interval_of_subjects():
    explanation = explained(clips(np.random.default_rng(2).standard_normal((8, 3, 4, 3, 3)), subjects=4))
    shares = frame_shares(explanation)
    table = time_course(explanation)
    np.testing.assert_allclose(table["share"], shares.mean("trial"))
    np.testing.assert_allclose(table["low"], bootstrap_interval(shares.values, shares["subject"].values).low)
    np.testing.assert_allclose(table["time"], [0, 0.1, 0.2, 0.3])
    assert table["frame"].tolist() == [1, 2, 3, 4]
    assert (table["uniform"] == 0.25).all()
    single = time_course(explanation, subject=np.arange(8))
    assert (single["low"] != table["low"]).all()


def test_frames_without_times_count_by_number():
    explanation = explained(clips(np.ones((2, 1, 3, 2, 2))).drop_vars("frame"))
    assert time_course(explanation)["time"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_stretch_of_clips_and_of_their_truth(layout):
    values = np.random.default_rng(3).random((2, 3, 8, 2, 2))
    along = {"first": [5, 7], "step": [1, 2], "onset": [1, 6], "offset": [4, 8]}
    signal = clips(values, layout, **{name: ("trial", numbers) for name, numbers in along.items()})
    part = stretch(signal, 2, 3)
    np.testing.assert_array_equal(part.transpose("trial", "rgb", "frame", "row", "column"), values[:, :, 2:5])
    assert part.dims == signal.dims
    assert part["first"].values.tolist() == [7, 11]
    assert part["onset"].values.tolist() == [0, 3]
    assert part["offset"].values.tolist() == [2, 3]
    np.testing.assert_array_equal(part["frame"], signal["frame"][:3])
    assert stretch(signal.drop_vars(["first", "onset", "offset", "frame"]), 0, 2).sizes["frame"] == 2


def test_what_cannot_be_told_is_refused():
    explanation = explained(clips(np.ones((2, 3, 4, 2, 2))))
    with pytest.raises(ValueError, match="part is 'all'"):
        per_frame(explanation, "all")
    with pytest.raises(ValueError, match="Net relevance has both signs"):
        frame_shares(explanation, "net")
    with pytest.raises(ValueError, match="Clip 0 has no negative relevance"):
        frame_shares(explanation, "negative")
    with pytest.raises(ValueError, match="one frame"):
        concentration(explanation.isel(frame=[0]))
    with pytest.raises(ValueError, match="without row"):
        per_frame(explanation.isel(row=0))
    with pytest.raises(ValueError, match="clips of 4 frames"):
        stretch(explanation["signal"], 2, 3)
    with pytest.raises(ValueError, match="no variable 'relevance'"):
        per_place(xr.Dataset())
