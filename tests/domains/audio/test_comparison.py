import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from reference.audio_masking import explained, summed_in_cells
from scipy.stats import spearmanr

from signalrp.domains.audio.cells import in_cells
from signalrp.domains.audio.comparison import compare_strategies
from signalrp.domains.audio.segments import BANDS, part_segments
from signalrp.domains.audio.time_frequency import time_frequency

FRAMES = np.arange(25) * 0.04 + 0.02
GRID = ("trial", "channel", "frequency", "frame")


def grid(values, frequency, frame):
    return xr.DataArray(values, {"frequency": frequency, "frame": frame}, ("trial", "frequency", "frame"))


def pictures(trials=24, seed=0, label=None):
    """Explanations on the common grid itself, 100 Hz by 40 ms up to 4 kHz and 1 s."""
    rng = np.random.default_rng(seed)
    values, weights = rng.random((trials, 1, 40, 25)), rng.standard_normal((1, 40, 25))
    coords = {"frequency": np.arange(40) * 100.0 + 50, "frame": ("frame", FRAMES, {"units": "s"}), "channel": ["mono"]}
    made = explained(values, weights, coords, GRID)
    return made if label is None else made.assign_coords(label=("trial", label))


def waveforms(trials=24, seed=1):
    rng = np.random.default_rng(seed)
    values = np.zeros((trials, 1, 2000))
    for trial in range(trials):
        start = rng.integers(0, 1000)
        values[trial, 0, start : start + 900] = rng.standard_normal(900)
    time = ("time", np.arange(2000) / 2000, {"units": "s"})
    return explained(
        values, rng.standard_normal((1, 2000)), {"time": time, "channel": ["mono"]}, ("trial", "channel", "time")
    )


@given(data=st.data(), bins=st.integers(2, 7), cells=st.integers(1, 6))
def test_sums_are_kept_and_bins_are_spread_over_the_cells_they_cover(data, bins, cells):
    step = st.floats(0.3, 3.0)
    middles = np.cumsum([data.draw(st.floats(-2, 2)), *(data.draw(step) for _ in range(bins - 1))])
    limits = np.cumsum([0.0, *(data.draw(step) for _ in range(cells))])
    values = np.random.default_rng(bins).standard_normal(bins)
    found = in_cells(grid(values[None, :, None], middles, [0.5]), limits, [0, 1])
    assert found.sum().item() == pytest.approx(values.sum(), abs=1e-9)
    inside = (middles > limits[0]) & (middles < limits[-1])
    if inside.all():
        np.testing.assert_allclose(
            found[0, :, 0], summed_in_cells(values, middles, limits), atol=0.02 * abs(values).max() * bins
        )


def test_both_directions_at_once_and_channels_summed():
    rng = np.random.default_rng(0)
    values, frequency, frame = rng.standard_normal((40, 2, 9, 8)), np.arange(9) * 31.25, np.arange(-1, 7) * 0.03
    relevance = xr.DataArray(
        values, {"frequency": frequency, "frame": frame}, ("trial", "channel", "frequency", "frame")
    )
    limits = np.array([0, 100, 200, 300.0]), np.array([0, 0.1, 0.2])
    found = in_cells(relevance, *limits)
    assert found["frequency"].values.tolist() == [50, 150, 250]
    half = np.stack([[summed_in_cells(c, frame, limits[1]) for c in t] for t in values.sum(1)[:2]])
    expected = np.stack([np.stack([summed_in_cells(c, frequency, limits[0]) for c in t.T], 1) for t in half])
    np.testing.assert_allclose(found.values[:2], expected, atol=0.05)
    np.testing.assert_allclose(found.sum(("frequency", "frame")), values.sum((1, 2, 3)), atol=1e-9)


def test_waveforms_keep_their_sum_on_the_grid():
    explanation = waveforms()
    seen = time_frequency(explanation)["relevance"]
    found = in_cells(seen, np.arange(0, 1001, 100.0), np.arange(0, 1.01, 0.04))
    np.testing.assert_allclose(found.sum(("frequency", "frame")), explanation["relevance"].sum(("channel", "time")))


def test_the_same_net_twice_is_the_same_strategy():
    explanation = waveforms()
    tables = compare_strategies(explanation, explanation, names=("one", "two"))
    similarity = tables["similarity"]
    np.testing.assert_allclose(similarity["similarity"].dropna(), 1, atol=1e-9)
    assert (similarity.set_index(["where", "measure"]).loc[("all", "cosine"), "difference"]) > 0.5
    np.testing.assert_allclose(tables["shares"]["difference"], 0, atol=1e-12)
    assert tables["shares"].attrs == {"trials": "correct", "used": "24 of 24"}


def test_similarity_and_shares_trial_by_trial():
    first, second = pictures(), pictures(seed=1)
    second["label"] = first["label"]
    clips = waveforms()["signal"]
    tables = compare_strategies(first, second, names=("one", "two"), clips=clips, trials="all")
    maps = [net["relevance"].values[:, 0] for net in (first, second)]
    time = clips["time"].values
    labels = part_segments(clips)
    places = {"all": np.ones((24, 40, 25), bool)}
    for name, (low, high) in BANDS.items():
        places[name] = np.zeros((24, 40, 25), bool)
        places[name][:, [k for k in range(40) if low <= 100 * k + 50 < high]] = True
    for number, name in enumerate(labels.attrs["names"]):
        places[name] = np.zeros((24, 40, 25), bool)
        for frame, instant in enumerate(FRAMES):
            places[name][:, :, frame] = (labels.values[:, abs(time - instant).argmin()] == number)[:, None]
    similarity = tables["similarity"].set_index(["where", "measure"])["similarity"]
    shares = tables["shares"].set_index("where")
    assert list(shares.index) == [name for name in places if name != "all"]
    for name, inside in places.items():
        cosines, ranks, shared = [], [], [[], []]
        for trial in range(24):
            one, two = (values[trial][inside[trial]] for values in maps)
            for net in range(2):
                positive = maps[net][trial].clip(min=0)
                shared[net].append((positive * inside[trial]).sum() / positive.sum())
            if len(one) > 1:
                cosines.append(one @ two / np.sqrt((one @ one) * (two @ two)))
                ranks.append(spearmanr(one, two).statistic)
        assert similarity[name, "cosine"] == pytest.approx(np.mean(cosines))
        assert similarity[name, "spearman"] == pytest.approx(np.mean(ranks))
        if name != "all":
            assert shares.loc[name, ["one", "two"]].tolist() == pytest.approx([np.mean(each) for each in shared])


def test_answers_and_which_trials_count():
    label = np.arange(24) % 2
    first, second = pictures(label=label), pictures(seed=1, label=label)
    one, two = (net["output"].values.argmax(1) == label for net in (first, second))
    tables = compare_strategies(first, second, names=("A", "B"))
    answers = tables["answers"].set_index("quantity")["estimate"]
    agree, chance = (one == two).mean(), one.mean() * two.mean() + (1 - one.mean()) * (1 - two.mean())
    expected = {
        "accuracy of A": one.mean(), "accuracy of B": two.mean(), "difference of accuracies": one.mean() - two.mean(),
        "both correct": (one & two).mean(), "A alone correct": (one & ~two).mean(),
        "B alone correct": (two & ~one).mean(), "none correct": (~one & ~two).mean(),
        "error consistency": (agree - chance) / (1 - chance), "same answer where none is correct": 1.0,
    }  # fmt: skip
    assert answers.to_dict() == pytest.approx(expected)
    assert tables["similarity"].attrs["used"] == f"{(one & two).sum()} of 24"
    same = first["target"].values == second["target"].values
    assert compare_strategies(first, second, trials="same")["shares"].attrs["used"] == f"{same.sum()} of 24"


def test_raw_against_spectrogram_on_harmonics():
    raw, seen = waveforms(), pictures()
    seen = seen.assign_coords(label=raw["label"])
    f0 = xr.DataArray(np.full((24, 10), 200.0), {"frame": np.arange(10) * 0.1}, ("trial", "frame"))
    f0[3] = np.nan
    table = compare_strategies(raw, seen, f0=f0, trials="all")["shares"].set_index("where")
    assert table.loc["harmonics", "trials"] == 23
    assert 0 < table.loc["harmonics", "first"] < 1
    assert isinstance(table, pd.DataFrame)
    assert table.loc["harmonics less chance", "first"] < table.loc["harmonics", "first"]


def test_errors():
    first = pictures()
    with pytest.raises(ValueError, match="choose 'correct'"):
        compare_strategies(first, first, trials="wrong")
    with pytest.raises(ValueError, match="differ in 'label'"):
        compare_strategies(first, first.assign_coords(label=1 - first["label"]))
    with pytest.raises(ValueError, match="lacks 'output'"):
        compare_strategies(first, first.drop_vars("output"))
    never = first.assign_coords(label=1 - first["label"])
    with pytest.raises(ValueError, match="an interval needs two"):
        compare_strategies(never, never)
    with pytest.raises(ValueError, match="sizes above 0 and two names"):
        compare_strategies(first, first, cell=(0, 1))
    with pytest.raises(ValueError, match="use time_frequency first"):
        in_cells(xr.DataArray(np.ones((2, 3)), dims=("trial", "time")), [0, 1], [0, 1])
    with pytest.raises(ValueError, match="ascending"):
        in_cells(grid(np.ones((1, 2, 1)), [0, 1], [0]), [1, 0], [0, 1])
