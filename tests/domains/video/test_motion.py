import numpy as np
import pytest
from reference.video_loops import LAYOUTS, clips, explained, flow, in_window
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata, spearmanr

from signalrp.domains.video.digits import moving_digits
from signalrp.domains.video.motion import luminance, motion_magnitude, moving_or_static, static_contrast


def moving(step, frames=6, size=48, seed=0):
    """A smooth random texture that goes around by so many rows and columns per frame, grey."""
    picture = gaussian_filter(np.random.default_rng(seed).standard_normal((size, size)), 2, mode="wrap")
    shown = [np.roll(picture, (frame * step[0], frame * step[1]), (0, 1)) for frame in range(frames)]
    return np.stack(shown)[None, None]


def drifting(trials=12, frames=5, size=24, seed=0):
    """Clips where patches of texture stand still and others move, at places of their own."""
    rng = np.random.default_rng(seed)
    values = 0.02 * gaussian_filter(rng.standard_normal((trials, 1, frames, size, size)), (0, 0, 0, 1, 1))
    for trial in range(trials):
        texture = gaussian_filter(rng.standard_normal((2, 8, 8)), (0, 1, 1))
        row, column = rng.integers(0, 10, 2), rng.integers(0, 16 - frames, 2)
        values[trial, 0, :, row[0] : row[0] + 8, column[0] : column[0] + 8] += texture[0]
        for frame in range(frames):
            at = column[1] + frame
            values[trial, 0, frame, row[1] + 6 : row[1] + 14, at : at + 8] += texture[1]
    return clips(values)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_luminance_weighs_colours_by_their_names(layout):
    values = np.random.default_rng(0).random((2, 3, 2, 3, 4))
    expected = 0.299 * values[:, 0] + 0.587 * values[:, 1] + 0.114 * values[:, 2]
    signal = clips(values, layout)
    np.testing.assert_allclose(luminance(signal), expected)
    np.testing.assert_allclose(luminance(signal.isel(rgb=[2, 0, 1])), expected)
    np.testing.assert_allclose(luminance(signal.drop_vars("rgb")), expected)
    np.testing.assert_allclose(luminance(signal.isel(rgb=[0, 1])), values[:, :2].mean(1))
    np.testing.assert_allclose(luminance(signal.isel(rgb=1, drop=True)), values[:, 1])


def test_flow_place_by_place():
    values = gaussian_filter(np.random.default_rng(1).standard_normal((1, 1, 3, 9, 11)), (0, 0, 1, 1.5, 1.5))
    frames = values[0, 0]
    ahead = [np.hypot(*flow(frames[t], frames[t + 1], 1.5)) for t in range(2)]
    back = [np.hypot(*flow(frames[t + 1], frames[t], 1.5)) for t in range(2)]
    found = motion_magnitude(clips(values)).values[0]
    np.testing.assert_allclose(found[0], ahead[0], atol=1e-9)
    np.testing.assert_allclose(found[1], (back[0] + ahead[1]) / 2, atol=1e-9)
    np.testing.assert_allclose(found[2], back[1], atol=1e-9)


@pytest.mark.parametrize("step", [(0, 1), (2, 0), (-1, 2), (3, -3), (4, 0)])
def test_flow_of_a_texture_that_moves_by_known_pixels(step):
    inside = motion_magnitude(clips(moving(step))).values[0, :, 8:-8, 8:-8]
    assert np.median(inside) == pytest.approx(np.hypot(*step), rel=0.1)
    assert np.mean(abs(inside - np.hypot(*step)) < 0.5) > 0.85


def test_nothing_moves_in_stills_nor_where_there_is_nothing_to_see():
    still = np.repeat(moving((0, 0), frames=1), 3, axis=2)
    for method in ("flow", "energy"):
        np.testing.assert_allclose(motion_magnitude(clips(still), method), 0, atol=1e-12)
        assert not motion_magnitude(clips(np.full((1, 3, 3, 8, 9), 0.7)), method).any()


def test_energy_and_contrast_place_by_place():
    values = np.random.default_rng(2).random((2, 1, 3, 6, 7))
    energy, contrast = motion_magnitude(clips(values), "energy", 1.0), static_contrast(clips(values), 1.0)
    assert energy.attrs["units"] == "1"
    for trial in range(2):
        frames = values[trial, 0]
        change = [in_window(abs(frames[t + 1] - frames[t]), 1.0) for t in range(2)]
        for t, expected in enumerate([change[0], (change[0] + change[1]) / 2, change[1]]):
            np.testing.assert_allclose(energy[trial, t], expected)
            variance = in_window(frames[t] ** 2, 1.0) - in_window(frames[t], 1.0) ** 2
            np.testing.assert_allclose(contrast[trial, t], np.sqrt(variance))
    assert static_contrast(clips(np.full((1, 1, 2, 8, 8), 0.7))).values.max() == 0


@pytest.mark.parametrize("evidence", ["motion", "contrast"])
def test_planted_evidence_is_found(evidence):
    signal = drifting()
    planted = motion_magnitude(signal) if evidence == "motion" else static_contrast(signal)
    noise = 0.02 * float(planted.std()) * np.random.default_rng(3).standard_normal(planted.shape)
    relevance = (planted + noise).expand_dims(rgb=[0]).transpose(*signal.dims).values
    table = moving_or_static(explained(signal.copy(data=relevance), signal)).set_index("evidence")
    other = "contrast" if evidence == "motion" else "motion"
    own = table.loc[evidence]
    assert own["correlation"] > 0.7
    assert own["low"] > own["chance"] + 0.2
    assert own["p"] < 0.01
    assert table.loc[f"{evidence} beyond {other}", "p"] < 0.01
    assert (
        table.loc[f"{evidence} beyond {other}", "correlation"] > table.loc[f"{other} beyond {evidence}", "correlation"]
    )
    sign = 1 if evidence == "motion" else -1
    assert sign * table.loc["motion minus contrast", "correlation"] > 0.1
    assert table.loc["motion minus contrast", "p"] < 0.01


def test_relevance_that_follows_neither_finds_nothing():
    signal = drifting(seed=4)
    found = []
    for seed in range(20):
        relevance = np.random.default_rng(seed).standard_normal(signal.shape)
        found.append(moving_or_static(explained(signal.copy(data=relevance), signal), seed=seed)["p"].values)
    assert np.mean(np.array(found) < 0.05) < 0.15


def test_relevance_that_follows_the_place_alone_is_no_better_than_chance():
    rng = np.random.default_rng(8)
    values = 0.01 * rng.standard_normal((12, 1, 5, 24, 24))
    values[..., 8:16, 8:16] += gaussian_filter(rng.standard_normal((12, 1, 5, 8, 8)), (0, 0, 0, 1, 1))
    signal = clips(values)
    relevance = np.zeros(signal.shape)
    relevance[..., 8:16, 8:16] = rng.random((12, 1, 5, 8, 8))
    table = moving_or_static(explained(signal.copy(data=relevance), signal)).set_index("evidence")
    assert table.loc["contrast", "low"] > 0.2
    assert table.loc["contrast", "chance"] == pytest.approx(table.loc["contrast", "correlation"], abs=0.05)
    assert (table["p"] > 0.05).all()


@pytest.mark.parametrize("over", ["places", "frames"])
def test_correlations_are_spearmans_and_partial_ones_those_of_residuals(over):
    signal = drifting(trials=4, frames=6, seed=5)
    subjects = np.array(["a", "a", "b", "c"])
    relevance = signal.copy(data=np.random.default_rng(6).random(signal.shape) + abs(signal.values))
    table = moving_or_static(explained(relevance, signal), "absolute", over=over, subject=subjects).set_index(
        "evidence"
    )
    smooth = np.stack([[in_window(frame, 1.5) for frame in clip[0]] for clip in abs(relevance.values)])
    maps = [smooth, motion_magnitude(signal).values, static_contrast(signal).values]
    if over == "frames":
        maps = [values.sum((2, 3)) for values in maps]
    r, m, c = ([values[trial].ravel() for trial in range(4)] for values in maps)
    own = [spearmanr(r[t], m[t])[0] for t in range(4)]
    assert table.loc["motion", "correlation"] == pytest.approx(np.mean(own))
    chance = [np.mean([spearmanr(r[t], m[o])[0] for o in range(4) if subjects[o] != subjects[t]]) for t in range(4)]
    assert table.loc["motion", "chance"] == pytest.approx(np.mean(chance))
    partial = []
    for t in range(4):
        ranks = [rankdata(values[t]) for values in (r, m, c)]
        left = [v - np.polyval(np.polyfit(ranks[2], v, 1), ranks[2]) for v in ranks[:2]]
        partial.append(np.corrcoef(*left)[0, 1])
    assert table.loc["motion beyond contrast", "correlation"] == pytest.approx(np.mean(partial))


def test_motion_may_be_given_and_layout_does_not_matter():
    signal = drifting(trials=5)
    relevance = signal.copy(data=np.random.default_rng(7).standard_normal(signal.shape))
    given = moving_or_static(explained(relevance, signal), motion=motion_magnitude(signal))
    turned = explained(relevance.transpose("trial", *LAYOUTS[2]), signal.transpose("trial", *LAYOUTS[2]))
    for table in (moving_or_static(turned), moving_or_static(explained(relevance, signal))):
        np.testing.assert_allclose(table.iloc[:, 1:], given.iloc[:, 1:])
    energy = moving_or_static(explained(relevance, signal), motion=motion_magnitude(signal, "energy"))
    assert not np.allclose(energy["correlation"], given["correlation"])


def test_what_has_no_motion_is_refused():
    signal = drifting(trials=3)
    explanation = explained(signal)
    with pytest.raises(ValueError, match="motion needs two frames"):
        motion_magnitude(signal.isel(frame=[0]))
    with pytest.raises(ValueError, match="method is 'fast'"):
        motion_magnitude(signal, "fast")
    with pytest.raises(ValueError, match="sigma is 0"):
        static_contrast(signal, 0)
    with pytest.raises(ValueError, match='choose "places" or "frames"'):
        moving_or_static(explanation, over="rows")
    still = signal.copy()
    still[1] = 0.0
    with pytest.raises(ValueError, match="In clip 1 motion is the same everywhere"):
        moving_or_static(explained(signal, still))
    with pytest.raises(ValueError, match="at least two"):
        moving_or_static(explanation, subject=["a"] * 3)
    contrast = static_contrast(signal)
    with pytest.raises(ValueError, match="ranked the same"):
        moving_or_static(explanation, motion=contrast)


def test_flow_on_digits_tells_how_fast_each_moves():
    signal, truth = moving_digits(24, task="direction", frames=6, background=None, brightness=0.8, seed=1)
    found = motion_magnitude(signal).where(truth).mean(["frame", "row", "column"])
    speed = signal["speed"].values
    assert np.corrcoef(found, speed)[0, 1] > 0.8
    still = moving_digits(24, task="onset", frames=12, lasting=2, background=None, brightness=0.8, seed=1)
    flow, at = motion_magnitude(still[0]), np.arange(12)
    moving = (at >= still[1]["onset"].values[:, None]) & (at < still[1]["offset"].values[:, None])
    course = flow.where(still[1]).mean(["row", "column"]).values
    assert (course[moving].mean()) > 1.3 * course[~moving].mean()
