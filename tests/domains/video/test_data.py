from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from signalrp.domains.video.checks import require
from signalrp.domains.video.data import arranged, classes_of, every, from_arrays


def clips(count=2, frames=5, rows=3, columns=4, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, frames, rows, columns, 3), dtype=np.uint8)


@given(st.permutations("BCTHW"))
def test_every_layout_gives_the_same_clips(letters):
    values = clips()
    layout = "".join(letters)
    moved = values.transpose(["BTHWC".index(letter) for letter in layout])
    signal = from_arrays(moved, 25, layout=layout)
    assert signal.dims == ("trial", "rgb", "frame", "row", "column")
    for trial, frame, row, column, colour in np.ndindex(values.shape):
        found = signal.values[trial, colour, frame, row, column]
        assert found == np.float32(values[trial, frame, row, column, colour]) / np.float32(255)
    back = arranged(signal, layout)
    np.testing.assert_array_equal(np.round(back.values * 255).astype(np.uint8), moved)


def test_coordinates_and_attributes():
    signal = from_arrays(clips(3), 10, ["run", "jump", "run"], ["a", "b", "a"], trial={"take": [4, 5, 6]}, title="x")
    assert signal.name == "video"
    assert signal.dtype == np.float32
    assert signal["rgb"].values.tolist() == ["red", "green", "blue"]
    np.testing.assert_allclose(signal["frame"], np.arange(5) / 10)
    assert signal["frame"].attrs["units"] == "s"
    assert signal["row"].values.tolist() == [0, 1, 2]
    assert signal["label"].values.tolist() == [1, 0, 1]
    assert signal["subject"].values.tolist() == ["a", "b", "a"]
    assert signal["take"].values.tolist() == [4, 5, 6]
    assert (signal["first"] == 0).all()
    assert (signal["step"] == 1).all()
    assert signal.attrs == {"units": "1", "fps": 10.0, "classes": "jump | run", "title": "x"}
    assert classes_of(signal) == ["jump", "run"]
    assert classes_of(from_arrays(clips(3), 10, [0, 2, 1])) == ["0", "1", "2"]
    assert from_arrays(clips(), 25)["subject"].values.tolist() == ["clip 0", "clip 1"]


def test_grey_and_transparent_clips_become_three_colours():
    grey = clips()[..., :1]
    signal = from_arrays(grey, 25)
    for colour in signal.values.transpose(1, 0, 2, 3, 4):
        np.testing.assert_array_equal(colour, grey[..., 0].astype(np.float32) / np.float32(255))
    values = np.random.default_rng(1).random((1, 2, 3, 4, 4)).astype(np.float32)
    over_black = values[..., :3] * values[..., 3:]
    np.testing.assert_array_equal(from_arrays(values, 25).values, over_black.transpose(0, 4, 1, 2, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: from_arrays(clips()[0], 25), r"shape \(5, 3, 4, 3\); expected the five axes of the layout BTHWC"),
        (lambda: from_arrays(clips(), 25, layout="BTHW"), "layout 'BTHW' is not five letters"),
        (lambda: from_arrays(clips(), 0), "frame rate is a positive number"),
        (lambda: from_arrays(clips()[:0], 25), "no clips"),
        (lambda: from_arrays(clips().astype(np.int64), 25), r"hold int64; expected bytes \(uint8\)"),
        (lambda: from_arrays(clips().astype(float), 25), "go from 0 to 255; expected colours from 0 to 1: divide"),
        (lambda: from_arrays(np.full((1, 2, 3, 4, 3), np.nan), 25), "NaN or infinite"),
        (lambda: from_arrays(clips()[..., :2], 25), "have 2 colours; expected 3, 1"),
        (lambda: from_arrays(clips(), 25, [0]), "1 values of label for 2 clips"),
        (lambda: from_arrays(clips(), 25, ["a", "b"], classes=["a"]), "labels b are not among the classes a"),
        (lambda: from_arrays(clips(), 25, [0, 3], classes=["a", "b"]), "go from 0 to 3; expected 0 to 1"),
        (
            lambda: arranged(from_arrays(clips(), 25), "BTHW"),
            "does not name the dimensions of the clips; expected BCTHW",
        ),
        (lambda: arranged(from_arrays(clips(), 25), "BTHWX"), "does not name"),
        (lambda: every(from_arrays(clips(), 25), 0), "whole number from 1"),
        (
            lambda: every(from_arrays(clips(), 25), 2, 4),
            r"4 frames at a step of 2 need clips of 7 frames; these have 5",
        ),
    ],
)
def test_bad_input_is_told_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@given(st.integers(1, 12), st.integers(1, 5))
def test_fast_forward_takes_every_step(frames, step):
    signal = from_arrays(clips(2, frames), 25)
    faster = every(signal, step)
    expected = [signal.isel(frame=n).values for n in range(frames) if n % step == 0]
    np.testing.assert_array_equal(faster.values, np.stack(expected, 2))
    np.testing.assert_array_equal(faster["frame"], signal["frame"][: len(expected)])
    assert faster["step"].values.tolist() == [step, step]
    assert faster.attrs == signal.attrs
    assert every(signal, step, 1).sizes["frame"] == 1


def test_fast_forward_moves_onset_and_offset_of_a_truth():
    moving = np.zeros((1, 12, 1, 1), dtype=bool)
    moving[:, 5:9] = True
    truth = xr.DataArray(moving, dims=("trial", "frame", "row", "column"))
    truth = truth.assign_coords(frame=np.arange(12) / 25, onset=("trial", [5]), offset=("trial", [9]))
    faster = every(truth, 2)
    assert (faster["onset"].item(), faster["offset"].item()) == (3, 5)
    assert np.flatnonzero(faster.values).tolist() == [3, 4]
    assert every(truth, 2, 4)["offset"].item() == 4


def test_models_refuse_other_clips():
    signal = from_arrays(clips(), 25)
    require(signal, 5, (3, 4), 25)
    require(signal.transpose("trial", "frame", "rgb", "row", "column"))
    for wrong, message in (
        ({"frames": 16}, "5 frames where 16"),
        ({"size": (8, 8)}, r"3 x 4 pixels \(rows x columns\) where 8 x 8"),
        ({"fps": 30}, "25 frames per second where 30"),
    ):
        with pytest.raises(ValueError, match=message):
            require(signal, **wrong)
    with pytest.raises(ValueError, match="lack frame"):
        require(signal.isel(frame=0))
    with pytest.raises(ValueError, match="2 colours where 3"):
        require(signal.isel(rgb=slice(2)))
    with pytest.raises(ValueError, match="nan frames per second"):
        require(signal.drop_attrs(), fps=25)


def test_fast_forward_keeps_the_step_beside_onsets():
    step = ("trial", [1, 1])
    ends = {"onset": ("trial", [1, 3]), "offset": ("trial", [5, 8])}
    signal = from_arrays(clips(), 25).isel(trial=slice(2)).assign_coords(step=step, **ends)
    faster = every(signal, 2)
    assert faster["step"].values.tolist() == [2, 2]
    assert faster["onset"].values.tolist() == [1, 2]
