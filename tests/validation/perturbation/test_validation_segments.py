from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from signalrp.validation import channels, from_masks, time_slices, windows
from signalrp.validation.perturbation.segments import pieces_of


@pytest.fixture
def signal() -> xr.DataArray:
    return xr.DataArray(np.zeros((2, 2, 7)), dims=("trial", "channel", "time"), coords={"channel": ["x", "y"]})


def test_generic_segments(signal: xr.DataArray) -> None:
    assert channels(signal).values.tolist() == [[0] * 7, [1] * 7]
    assert time_slices(signal, 3).values.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert windows(signal, 2).values.tolist() == [[0, 0, 0, 0, 1, 1, 1], [2, 2, 2, 2, 3, 3, 3]]
    assert windows(signal, 2).dims == ("channel", "time")


def test_generic_segments_of_other_signals() -> None:
    spectrogram = xr.DataArray(np.zeros((2, 3, 4, 5)), dims=("trial", "channel", "frequency", "time"))
    assert time_slices(spectrogram, 2).dims == ("time",)
    assert channels(spectrogram).dims == windows(spectrogram, 2).dims == ("channel", "frequency", "time")
    assert windows(spectrogram, 2)[2, 1].values.tolist() == [4, 4, 4, 5, 5]
    video = spectrogram.rename(channel="rgb", frequency="row", time="frame")
    assert time_slices(video, 5).dims == ("frame",)
    with pytest.raises(ValueError, match="expected channel among them"):
        channels(video)


def test_masks_become_labels() -> None:
    labels = from_masks({"push": [0, 0, 1, 1], "load": [1, 0, 0, 0]})
    assert labels.values.tolist() == [1, -1, 0, 0]
    assert labels.dims == ("time",)
    assert labels.attrs["names"] == ["push", "load"]


def test_labelled_masks_may_have_any_dimensions_in_any_order() -> None:
    low = xr.DataArray([[1, 0, 0], [1, 0, 0]], dims=("channel", "frequency"))
    high = xr.DataArray([[0, 0], [0, 0], [0, 1]], dims=("frequency", "channel"))
    labels = from_masks({"low": low, "high": high})
    assert labels.dims == ("channel", "frequency")
    assert labels.values.tolist() == [[0, -1, -1], [0, -1, 1]]


def test_labels_are_numbered_anew_and_negative_ones_stay(signal: xr.DataArray) -> None:
    pieces = pieces_of(np.array([-5, -1, 40, 40, 7, 7, 0]), signal)
    assert pieces.count == 3
    assert pieces.labels.tolist() == [[[-1, -1, 2, 2, 1, 1, 0]]]


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
        ({"a": [1, 0], "b": xr.DataArray([0, 1], dims="frequency")}, "'b' has dimensions"),
    ],
)
def test_bad_masks_are_refused(masks: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_masks(masks)


@pytest.mark.parametrize("count", [0, 8])
def test_more_slices_than_samples_are_refused(signal: xr.DataArray, count: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to 7"):
        time_slices(signal, count)
    with pytest.raises(ValueError, match="expected channel and time among them"):
        windows(signal.rename(time="frequency"), 2)
    with pytest.raises(ValueError, match="time_slices needs a dimension 'time' or 'frame'"):
        time_slices(signal.rename(time="frequency"), 2)
