from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from signalrp.validation import channels, from_masks, time_slices, windows
from signalrp.validation.segments import pieces_of


@pytest.fixture
def signal() -> xr.DataArray:
    return xr.DataArray(np.zeros((2, 2, 7)), dims=("trial", "channel", "time"), coords={"channel": ["x", "y"]})


def test_generic_segments(signal: xr.DataArray) -> None:
    assert channels(signal).values.tolist() == [[0] * 7, [1] * 7]
    assert time_slices(signal, 3).values.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert windows(signal, 2).values.tolist() == [[0, 0, 0, 0, 1, 1, 1], [2, 2, 2, 2, 3, 3, 3]]
    assert windows(signal, 2).dims == ("channel", "time")


def test_masks_become_labels() -> None:
    labels = from_masks({"push": [0, 0, 1, 1], "load": [1, 0, 0, 0]})
    assert labels.values.tolist() == [1, -1, 0, 0]
    assert labels.dims == ("time",)
    assert labels.attrs["names"] == ["push", "load"]


def test_labels_are_numbered_anew_and_negative_ones_stay(signal: xr.DataArray) -> None:
    pieces = pieces_of(np.array([-5, -1, 40, 40, 7, 7, 0]), signal)
    assert pieces.count == 3
    assert pieces.labels.tolist() == [[[-1, -1, 2, 2, 1, 1, 0]] * 2]


def test_labelled_segments_may_come_in_any_order_of_dimensions(signal: xr.DataArray) -> None:
    labels = windows(signal, 2)
    assert (pieces_of(labels.T, signal).labels == pieces_of(labels, signal).labels).all()


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({}, "masks is empty"),
        ({"a": [1, 0], "b": [1, 1]}, "'b' overlaps"),
        ({"a": [0, 0]}, "'a' covers no sample"),
        ({"a": [1, 0], "b": [0, 1, 0]}, "'b' has dimensions"),
        ({"a": np.ones((1, 1, 1, 1))}, "4 dimensions"),
        ({"a": xr.DataArray([1, 0], dims="frequency")}, "Segments have dimensions"),
    ],
)
def test_bad_masks_are_refused(masks: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_masks(masks)


@pytest.mark.parametrize("count", [0, 8])
def test_more_slices_than_samples_are_refused(signal: xr.DataArray, count: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to 7"):
        time_slices(signal, count)
    with pytest.raises(ValueError, match="expected channel and time"):
        channels(signal.rename(time="frequency"))
