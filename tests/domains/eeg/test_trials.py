from __future__ import annotations

import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr

from signalrp import splits
from signalrp.domains.eeg.trials import blocks, concatenate, require_disjoint


def signal_like(onset, *, tmin=-0.2, tmax=0.5, names=("C3", "Cz", "C4"), subject="S01", run="1", seed=0):
    times = np.arange(round(tmin * 100), round(tmax * 100) + 1) / 100
    count = len(onset)
    rng = np.random.default_rng(seed)
    return xr.DataArray(
        rng.normal(size=(count, len(names), len(times))),
        dims=("trial", "channel", "time"),
        coords={
            "channel": list(names),
            "time": ("time", times, {"units": "s"}),
            "label": ("trial", np.arange(count) % 2),
            "onset": ("trial", np.asarray(onset, dtype=float)),
            "subject": ("trial", [subject] * count),
            "run": ("trial", [run] * count),
        },
        attrs={"units": "V", "sfreq": 100.0, "classes": "a | b"},
    )


# Putting recordings together


def test_recordings_are_put_together_by_channel_name():
    first = signal_like([1, 2, 3]).assign_attrs(rejected="BAD_blink 2, Fz 1", title="one")
    second = signal_like([5, 6], names=("C4", "C3", "Cz"), run="2", seed=1)
    second = second.assign_attrs(rejected="Fz 4", title="two").drop_vars("subject")
    both = concatenate([first, second])
    assert both.channel.values.tolist() == ["C3", "Cz", "C4"]
    np.testing.assert_array_equal(both.values[:3], first.values)
    np.testing.assert_array_equal(both.values[3:, 0], second.values[:, 1])
    np.testing.assert_array_equal(both.values[3:, 2], second.values[:, 0])
    assert both.run.values.tolist() == ["1"] * 3 + ["2"] * 2
    assert both.onset.values.tolist() == [1, 2, 3, 5, 6]
    assert "subject" not in both.coords
    assert both.attrs == {"units": "V", "sfreq": 100.0, "classes": "a | b", "rejected": "BAD_blink 2, Fz 5"}
    assert both.time.attrs["units"] == "s"


def test_recordings_that_differ_are_refused():
    first = signal_like([1, 2])
    with pytest.raises(ValueError, match=r"Recording 2 has other channels than the first: it lacks C4 and adds Oz"):
        concatenate([first, signal_like([1, 2], names=("C3", "Cz", "Oz"))])
    with pytest.raises(ValueError, match="Recording 2 has 61 instants at 100 Hz, the first 71 instants at 100 Hz"):
        concatenate([first, signal_like([1, 2], tmax=0.4)])
    with pytest.raises(ValueError, match="Recording 2 has the units 'µV', the first 'V'"):
        concatenate([first, first.assign_attrs(units="µV")])
    with pytest.raises(ValueError, match=r"Recording 3 has the classes 'b \| a', the first 'a \| b'"):
        concatenate([first, first, first.assign_attrs(classes="b | a")])
    with pytest.raises(ValueError, match="no signals to put together"):
        concatenate([])


# Blocks of time


@hypothesis.given(
    st.lists(st.floats(0, 60), min_size=12, max_size=40, unique=True), st.integers(2, 4), st.sampled_from([0.0, 1.0])
)
@hypothesis.settings(max_examples=40)
def test_windows_of_different_blocks_are_apart(onset, count, gap):
    signal = blocks(signal_like(onset), count, gap)
    kept = list(zip(signal.onset.values, signal.block.values, strict=True))
    for (one, mine), (other, theirs) in itertools.combinations(kept, 2):
        if mine != theirs:
            assert abs(one - other) > 0.7 + gap - 1e-9
    # What was left out lay too near to the beginning of the next block.
    ordered = sorted(onset)
    starts = [part[0] for part in np.array_split(np.array(ordered), count)]
    lost = set(onset) - {one for one, _ in kept}
    assert all(any(0 < start - one <= 0.7 + gap + 1e-9 for start in starts) for one in lost)


def test_blocks_divide_every_recording_for_itself():
    signal = concatenate([signal_like(np.arange(0, 40, 2.0)), signal_like(np.arange(0, 24, 2.0), run="2")])
    divided = blocks(signal, 4)
    names, counts = np.unique(divided.block, return_counts=True)
    assert names.tolist() == [f"S01 {run} block {number:02d}" for run in "12" for number in (1, 2, 3, 4)]
    assert counts.tolist() == [5] * 4 + [3] * 4
    mine = divided.onset.values[divided.block.values == "S01 1 block 02"]
    assert mine.tolist() == [10, 12, 14, 16, 18]


def test_folds_of_blocks_do_not_leak_and_folds_of_trials_do():
    rng = np.random.default_rng(1)
    signal = signal_like(np.cumsum(rng.uniform(0.3, 1.0, 200)))
    divided = blocks(signal, 10)
    assert 180 < divided.sizes["trial"] < 200
    for train, test in splits.folds(divided, 5, group="block"):
        require_disjoint(divided, train, test, "block")
    train, test = splits.folds(signal, 5)[0]
    with pytest.raises(ValueError, match=r"windows of \d+ test trials overlap with training trials"):
        require_disjoint(signal, train, test)


def test_blocks_say_what_they_need():
    signal = signal_like(np.arange(10))
    with pytest.raises(ValueError, match="'S01 1' has 10 trials for 11 blocks"):
        blocks(signal, 11)
    with pytest.raises(ValueError, match="no coordinate onset"):
        blocks(signal.drop_vars("onset"))
    with pytest.raises(ValueError, match="count of at least 2 and a gap of at least 0 s, got 1 and 0"):
        blocks(signal, 1)


# Splits


@hypothesis.given(st.lists(st.floats(0, 30), min_size=4, max_size=16, unique=True), st.integers(0, 1000))
@hypothesis.settings(max_examples=60)
def test_overlap_is_found_as_by_comparing_all_pairs(onset, seed):
    rng = np.random.default_rng(seed)
    signal = signal_like(onset).assign_coords(run=("trial", rng.choice(["1", "2"], len(onset))))
    order = rng.permutation(len(onset))
    train, test = order[: len(onset) // 2], order[len(onset) // 2 :]
    length = float(signal.time[-1] - signal.time[0])
    overlapping = sum(
        any(
            abs(signal.onset.values[i] - signal.onset.values[j]) <= length
            and signal.run.values[i] == signal.run.values[j]
            for j in train
        )
        for i in test
    )
    if overlapping:
        with pytest.raises(ValueError, match=f"windows of {overlapping} test trials overlap"):
            require_disjoint(signal, train, test)
    else:
        require_disjoint(signal, train, test)


def test_what_is_on_both_sides_is_told():
    signal = signal_like(np.arange(0, 40, 2.0)).assign_coords(run=("trial", list("1122" * 5)))
    require_disjoint(signal, np.arange(10), np.arange(10, 20))
    with pytest.raises(ValueError, match="2 trials are in training and test, the first is 8"):
        require_disjoint(signal, np.arange(10), np.arange(8, 20))
    with pytest.raises(ValueError, match="The run 1, 2 is in training and test"):
        require_disjoint(signal, np.arange(10), np.arange(10, 20), "run")
    runs = signal.run.values
    require_disjoint(signal, np.flatnonzero(runs == "1"), np.flatnonzero(runs == "2"), "run")
