from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
import xarray as xr

from signalrp.domains.gait.labelled import SECONDS, STANCE, labelled
from signalrp.domains.gait.segments import PHASES, channels, stance_phases, windows
from signalrp.validation.perturbation.segments import pieces_of


def force(time: np.ndarray, units: str = STANCE) -> xr.DataArray:
    return labelled(np.zeros((3, 2, len(time))), ["vertical", "fore-aft"], time, units, "BW")


def test_phases_follow_each_other_from_0_to_100():
    limits = list(PHASES.values())
    assert limits[0][0] == 0
    assert limits[-1][1] == 100
    for (_, end), (start, _) in pairwise(limits):
        assert end == start


def test_phases_are_those_of_the_gait_cycle():
    """12, 31 and 50 % of a cycle of which stance takes 62 %."""
    borders = [end for _, end in list(PHASES.values())[:-1]]
    np.testing.assert_allclose(borders, np.array([12, 31, 50]) / 0.62, atol=0.5)


@pytest.mark.parametrize("points", [11, 101, 200, 1001])
def test_every_instant_belongs_to_one_phase(points):
    signal = force(np.linspace(0, 100, points))
    labels = stance_phases(signal)
    assert labels.dims == ("time",)
    assert labels.attrs["names"] == list(PHASES)
    np.testing.assert_array_equal(labels["time"], signal["time"])
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    assert (np.diff(labels) >= 0).all()
    share = np.bincount(labels) / points
    np.testing.assert_allclose(share, [0.19, 0.31, 0.31, 0.19], atol=2 / points + 1e-9)


def test_borders_belong_to_the_phase_that_begins():
    labels = stance_phases(force(np.arange(101.0)))
    found = {instant: list(PHASES)[int(labels.sel(time=instant))] for instant in (0, 18, 19, 49, 50, 80, 81, 100)}
    assert found == {
        0: "loading response",
        18: "loading response",
        19: "mid-stance",
        49: "mid-stance",
        50: "terminal stance",
        80: "terminal stance",
        81: "pre-swing",
        100: "pre-swing",
    }


def test_pieces_of_a_gait_signal_can_be_removed():
    signal = force(np.arange(101.0))
    for segments, count in ((stance_phases(signal), 4), (channels(signal), 2), (windows(signal, 5), 10)):
        pieces = pieces_of(segments, signal)
        assert pieces.count == count
        assert torch.unique(pieces.labels).tolist() == list(range(count))


def test_other_time_axes_are_refused():
    with pytest.raises(ValueError, match="found units 's'; use time_normalise"):
        stance_phases(force(np.arange(101) / 100, SECONDS))
    bare = force(np.arange(101.0))
    bare["time"].attrs.clear()
    with pytest.raises(ValueError, match="found units 'none'"):
        stance_phases(bare)


@pytest.mark.parametrize("time", [np.arange(-10.0, 91.0), np.arange(0.0, 121.0)])
def test_time_beyond_stance_is_refused(time):
    with pytest.raises(ValueError, match="0 to 100"):
        stance_phases(force(time))
