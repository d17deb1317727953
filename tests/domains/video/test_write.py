from __future__ import annotations

import io

import av
import numpy as np
import pytest
from reference.small_video import smooth

from signalrp.domains.video import write
from signalrp.domains.video.decoding import look
from signalrp.domains.video.readers import frames_of
from signalrp.domains.video.write import video_bytes, write_video


def film(count=12, rows=32, columns=48):
    images = smooth(count, rows, columns)
    images[:, 8:16, 8:24] = [220, 30, 40]
    return images


@pytest.mark.parametrize("rows", [31, 32])
@pytest.mark.parametrize("columns", [47, 48])
def test_mp4_plays_in_browsers_and_holds_the_frames(tmp_path, rows, columns):
    images = film(rows=rows, columns=columns)
    file = write_video(tmp_path / "film.mp4", images, 12.5)
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
    found = frames_of(file)
    # Odd sizes repeat their last row or column.
    assert found.shape == (12, 32, 48, 3)
    difference = np.abs(found[:, :rows, :columns].astype(int) - images)
    assert difference.mean() < 3
    assert np.abs(found[:, 31].astype(int) - found[:, 30]).mean() < 4
    video = look(file)
    assert video.rate == 12.5
    np.testing.assert_allclose(video.times, np.arange(12) / 12.5, atol=1e-3)


def test_mp4_without_h264(tmp_path, monkeypatch):
    monkeypatch.setattr(write.av, "codecs_available", {"mpeg4"})
    content = video_bytes(film(), 25)
    with av.open(io.BytesIO(content)) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    (tmp_path / "film.mp4").write_bytes(content)
    assert np.abs(frames_of(tmp_path / "film.mp4").astype(int) - film()).mean() < 4


def test_gif_repeats_for_ever_and_holds_the_frames(tmp_path):
    images = film(rows=31, columns=47)
    file = write_video(tmp_path / "film.gif", images, 10)
    assert file.read_bytes() == video_bytes(images, 10, "gif")
    assert b"NETSCAPE2.0\x03\x01\x00\x00" in file.read_bytes()
    found = frames_of(file)
    assert found.shape == images.shape
    assert np.abs(found.astype(int) - images).mean() < 3
    np.testing.assert_allclose(look(file).times, np.arange(12) / 10)


@pytest.mark.parametrize(("fps", "interval"), [(30, 0.03), (100, 0.02), (4, 0.25), (1000, 0.02)])
def test_frames_of_a_gif_last_whole_hundredths_of_a_second(tmp_path, fps, interval):
    file = write_video(tmp_path / "film.gif", film(5), fps)
    np.testing.assert_allclose(np.diff(look(file).times), interval)


def test_one_frame(tmp_path):
    for name in ("one.mp4", "one.gif"):
        assert frames_of(write_video(tmp_path / name, film(1), 25)).shape == (1, 32, 48, 3)


def test_files_are_replaced_only_when_asked(tmp_path):
    file = tmp_path / "film.mp4"
    write_video(file, film(3), 25)
    before = file.read_bytes()
    with pytest.raises(FileExistsError, match=r"film.mp4 exists; choose another name or pass overwrite=True"):
        write_video(file, film(5), 25)
    with pytest.raises(ValueError, match="are float64"):
        write_video(file, film(5) / 255, 25, overwrite=True)
    assert file.read_bytes() == before
    write_video(file, film(5), 25, overwrite=True)
    assert len(frames_of(file)) == 5


def test_bad_input_is_told_in_one_sentence(tmp_path):
    for frames, fps, name, message in (
        (film() / 255, 25, "a.mp4", r"are float64 of shape \(12, 32, 48, 3\); expected uint8"),
        (film()[..., 0], 25, "a.mp4", r"of shape \(12, 32, 48\); expected"),
        (film()[:0], 25, "a.gif", r"of shape \(0, 32, 48, 3\)"),
        (film(), 0, "a.mp4", "frame rate is a positive number"),
        (film(), float("nan"), "a.mp4", "frame rate is a positive number"),
        (film(), 25, "a.avi", r"a.avi ends with '.avi'; expected .mp4 or .gif"),
    ):
        with pytest.raises(ValueError, match=message):
            write_video(tmp_path / name, frames, fps)
    with pytest.raises(ValueError, match="format 'webm' is unknown"):
        video_bytes(film(), 25, "webm")
    with pytest.raises(FileNotFoundError, match="no folder"):
        write_video(tmp_path / "absent" / "a.mp4", film(), 25)
    assert not list(tmp_path.iterdir())
