from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import Normalize
from PIL import Image
from reference.explained_video import clips, explained, with_relevance

from signalrp.domains.video.drawing import blended, grey, one_clip
from signalrp.domains.video.overlay import overlay, overlay_gif, overlay_mp4

LEFT, TOP, BETWEEN = 12, 24, 12


@pytest.fixture(scope="module")
def explanation():
    return explained()


def decoded(data):
    av = pytest.importorskip("av")
    with av.open(io.BytesIO(data)) as file:
        stream = file.streams.video[0]
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(stream)])
        return frames, float(stream.average_rate)


def test_every_pixel_of_the_clip_is_a_block_of_the_film(explanation):
    film = overlay(explanation, 4, scale=6)
    assert film.dtype == np.uint8
    clip = one_clip(explanation, 4)
    limit = np.percentile(np.abs(clip.relevance), 99.5)
    over = blended(grey(clip.pictures), clip.relevance, Normalize(-limit, limit))
    height, width = 6 * 10, 6 * 14
    for left, pictures in ((LEFT, clip.pictures), (LEFT + width + BETWEEN, over)):
        shown = film[:, TOP : TOP + height, left : left + width]
        for frame, row, column in np.ndindex(8, 10, 14):
            block = shown[frame, 6 * row : 6 * row + 6, 6 * column : 6 * column + 6].reshape(-1, 3)
            assert (block == block[0]).all()
            np.testing.assert_array_equal(block[0], np.round(255 * pictures[frame, row, column]))


def test_around_the_pictures_only_the_cursor_moves(explanation):
    film = overlay(explanation, 0, scale=6)
    beneath = film[:, TOP + 60 + 12 :]
    changes = [np.flatnonzero((one != two).any((0, 2))) for one, two in pairwise(beneath)]
    starts = [int(found.min()) for found in changes]
    assert all(one < two for one, two in pairwise(starts))
    assert np.ptp(np.diff(starts)) <= 1
    np.testing.assert_array_equal(film[0, :TOP], film[-1, :TOP])
    np.testing.assert_array_equal(
        film[0, :, 12 + 2 * 84 + 12 :][: TOP + 60], film[-1, :, 12 + 2 * 84 + 12 :][: TOP + 60]
    )


@pytest.mark.parametrize(("rows", "columns", "scale"), [(48, 48, 5), (90, 160, 2), (5, 7, 34), (300, 200, 1)])
def test_small_clips_are_enlarged_by_whole_factors_to_even_sizes(rows, columns, scale):
    relevance = np.random.default_rng(0).standard_normal((1, 2, rows, columns))
    film = overlay(with_relevance(relevance))
    assert film.shape[0] == 2
    assert film.shape[1] % 2 == film.shape[2] % 2 == 0
    np.testing.assert_array_equal(film, overlay(with_relevance(relevance), scale=scale))


def test_one_scale_can_be_given_to_several_clips(explanation):
    wide = overlay(explanation, 0, scale=6, norm=Normalize(-1e6, 1e6))
    right = wide[:, TOP : TOP + 60, LEFT + 84 + BETWEEN : LEFT + 2 * 84 + BETWEEN].astype(int)
    assert np.abs(right - right.mean(-1, keepdims=True)).max() <= 1


def test_mp4_holds_the_film_at_the_rate_of_the_clip(explanation):
    for speed, rate in ((1.0, 20), (0.25, 5)):
        found, shown = decoded(overlay_mp4(explanation, 1, speed=speed, scale=8))
        assert shown == pytest.approx(rate)
        film = overlay(explanation, 1, scale=8)
        assert found.shape == film.shape
        assert np.abs(found.astype(int) - film).mean() < 8


def test_gif_moves_and_repeats(explanation):
    with Image.open(io.BytesIO(overlay_gif(explanation, 1, scale=8))) as gif:
        assert gif.format == "GIF"
        assert gif.n_frames == 8
        assert gif.info["duration"] == 50
        assert gif.info.get("loop") == 0
        film = overlay(explanation, 1, scale=8)
        gif.seek(5)
        assert np.abs(np.asarray(gif.convert("RGB")).astype(int) - film[5]).mean() < 12


@pytest.mark.parametrize("scale", [0, 1.5])
def test_only_whole_factors_enlarge(explanation, scale):
    with pytest.raises(ValueError, match="whole factor of at least 1"):
        overlay(explanation, scale=scale)


def test_bad_input_is_told_in_a_sentence(explanation):
    with pytest.raises(ValueError, match="no trial 9"):
        overlay(explanation, 9)
    with pytest.raises(ValueError, match="expected those of the explanation"):
        overlay(explanation, video=clips(2))
    with pytest.raises(ValueError, match="speed is a positive number"):
        overlay_mp4(explanation, speed=0)
    with pytest.raises(ValueError, match="no time in s"):
        overlay_gif(explanation.drop_vars("frame"))
