from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import Normalize
from matplotlib.patches import ConnectionPatch
from reference.explained_video import clips, explained, net, with_relevance
from reference.figures import closed_figures, texts_in_the_way

import signalrp
from signalrp.domains.video.drawing import blended, grey, one_clip, signed
from signalrp.domains.video.strips import plot_strip
from signalrp.groups import class_names, trial_groups

__all__ = ["closed_figures"]


@pytest.fixture(scope="module")
def explanation():
    return explained()


def images(figure):
    return [ax.images[0].get_array() for ax in figure.axes if ax.images]


def blended_one_by_one(brightness, relevance, norm):
    """What `blended` does, pixel by pixel."""
    found = np.empty((*brightness.shape, 3))
    for place in np.ndindex(brightness.shape):
        part = np.clip(relevance[place] / norm.vmax, -1, 1)
        alpha = 0.9 * abs(part) ** 0.5
        colour = np.array(mpl.colormaps["RdBu_r"]((part + 1) / 2)[:3])
        found[place] = (1 - alpha) * (0.35 + 0.65 * brightness[place]) + alpha * colour
    return found


def test_relevance_lies_on_grey_the_less_the_more_transparent():
    rng = np.random.default_rng(1)
    brightness, relevance, norm = rng.uniform(size=(2, 4, 5)), rng.standard_normal((2, 4, 5)), Normalize(-1.5, 1.5)
    found = blended(brightness, relevance, norm)
    np.testing.assert_allclose(found, blended_one_by_one(brightness, relevance, norm), atol=1e-12)
    nothing = blended(brightness, 0 * relevance, norm)
    np.testing.assert_allclose(nothing, np.repeat(0.35 + 0.65 * brightness[..., None], 3, -1))
    assert grey(np.ones((2, 2, 3))) == pytest.approx(np.ones((2, 2)))


def test_a_clip_is_read_by_the_names_of_its_dimensions(explanation):
    turned = explanation.transpose("column", "frame", "trial", "rgb", "row", ...)
    for data in (explanation, turned):
        clip = one_clip(data, 3)
        signal, relevance = data["signal"].values, data["relevance"].values
        if data is explanation:
            np.testing.assert_array_equal(clip.pictures, np.moveaxis(signal[3], 0, -1).astype(float))
            np.testing.assert_allclose(clip.relevance, relevance[3].sum(0), rtol=1e-4, atol=1e-9)
            first = clip
        np.testing.assert_array_equal(clip.pictures, first.pictures)
        np.testing.assert_array_equal(clip.relevance, first.relevance)
    assert clip.time_label == "time (s)"
    np.testing.assert_allclose(clip.time, np.arange(8) / 20)
    target = ["left", "right", "still"][int(explanation["target"][3])]
    assert clip.title == f"clip_3.mp4, true class right, explained: {target}"


def test_signs_are_those_of_places_after_the_sum_over_colours():
    relevance = np.zeros((1, 3, 2, 2))
    relevance[0, 1] = [[2, -3], [1, 0]]
    positive, negative = signed(relevance[0])
    np.testing.assert_array_equal(positive, [0, 3, 0])
    np.testing.assert_array_equal(negative, [0, -3, 0])


def test_what_goes_beyond_0_to_1_is_stretched_unless_the_video_is_given(explanation):
    seen = clips().drop_vars("label")
    normalised = explanation.assign(signal=(seen - 0.4) / 0.1)
    low, high = float(seen[2].min()), float(seen[2].max())
    expected = (np.moveaxis(seen[2].values, 0, -1) - low) / (high - low)
    np.testing.assert_allclose(one_clip(normalised, 2).pictures, expected, atol=1e-5)
    np.testing.assert_array_equal(one_clip(normalised, 2, seen).pictures, np.moveaxis(seen[2].values, 0, -1))
    plain = explanation.assign(signal=seen.isel(rgb=0, drop=True))
    np.testing.assert_array_equal(one_clip(plain, 0).pictures, np.repeat(seen[0, 0].values[..., None], 3, -1))


def test_a_strip_shows_the_frames_and_their_relevance_on_one_scale(explanation):
    figure = plot_strip(explanation, 1, frames=3)
    clip = one_clip(explanation, 1)
    limit = np.percentile(np.abs(clip.relevance), 99.5)
    over = blended(grey(clip.pictures), clip.relevance, Normalize(-limit, limit))
    expected = [*clip.pictures[[0, 4, 7]], *over[[0, 4, 7]]]
    for found, wanted in zip(images(figure), expected, strict=True):
        np.testing.assert_allclose(found, wanted)
    assert [ax.get_title() for ax in figure.axes[:3]] == ["0 s", "0.2 s", "0.35 s"]
    (bar,) = [ax for ax in figure.axes if ax.get_ylabel() == "relevance per pixel"]
    assert bar.get_ylim() == pytest.approx((-limit, limit))
    assert not texts_in_the_way(figure)


def test_relevance_in_time_has_both_signs_and_the_shown_frames_are_marked(explanation):
    figure = plot_strip(explanation, 1, frames=[2, 6])
    (course,) = [ax for ax in figure.axes if ax.get_ylabel().startswith("relevance\nper frame")]
    relevance = explanation["relevance"][1].sum("rgb").transpose("frame", "row", "column").values.astype(float)
    label = course.get_ylabel()
    factor = 10.0 ** int(label.split("{")[1].split("}")[0]) if "10^" in label else 1
    for patch, wanted in zip(course.patches, (relevance.clip(0), relevance.clip(max=0)), strict=True):
        np.testing.assert_allclose(patch.get_data().values * factor, wanted.sum((1, 2)), rtol=1e-4)
        np.testing.assert_allclose(patch.get_data().edges, (np.arange(9) - 0.5) / 20, atol=1e-12)
    np.testing.assert_allclose(course.lines[0].get_ydata() * factor, relevance.sum((1, 2)), rtol=1e-4, atol=1e-12)
    links = [artist for artist in figure.artists if isinstance(artist, ConnectionPatch)]
    assert [link.xy2[0] for link in links] == pytest.approx([0.1, 0.3])
    assert course.get_xlabel() == "time (s)"


def test_the_truth_is_outlined_and_events_and_what_lies_beside_are_drawn(explanation):
    truth = xr.zeros_like(clips().isel(rgb=0, drop=True), dtype=bool)
    truth[2, 3:6, 2:5, 4:9] = True
    flow = xr.DataArray(np.arange(48.0).reshape(6, 8), dims=("trial", "frame"), name="flow", attrs={"units": "pixel"})
    figure = plot_strip(explanation, 2, truth=truth, beside=flow, events={"onset": 0.15})
    outlined = [bool(ax.collections) for ax in figure.axes[:16]]
    assert outlined == 2 * [False, False, False, True, True, True, False, False]
    course, below = [ax for ax in figure.axes if len(ax.get_lines()) and not ax.images]
    (marked,) = course.collections
    vertices = marked.get_paths()[0].vertices[:, 0]
    assert (vertices.min(), vertices.max()) == pytest.approx((2.5 / 20, 5.5 / 20))
    np.testing.assert_array_equal(below.lines[0].get_ydata(), np.arange(16, 24))
    assert below.get_ylabel() == "flow\n(pixel)"
    assert below.get_xlim() == course.get_xlim()
    assert [text.get_text() for text in course.get_legend().get_texts()][-2:] == ["truth", "onset"]
    assert course.lines[-1].get_xdata()[0] == below.lines[-1].get_xdata()[0] == 0.15
    assert not texts_in_the_way(figure)


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 6, 6), (16, 6, 6), (5, 9, 4), (5, 4, 16)])
def test_strips_of_all_shapes_are_legible(count, rows, columns):
    relevance = np.random.default_rng(0).standard_normal((1, count, rows, columns))
    assert not texts_in_the_way(plot_strip(with_relevance(relevance), frames=16))


def test_a_clip_without_relevance_can_be_drawn():
    figure = plot_strip(with_relevance(np.zeros((1, 4, 5, 5))))
    assert len(images(figure)) == 8


def test_real_clips(shared_data):
    packed = np.load(shared_data / "video_demo_clips" / "raivokoot_demo.npz")
    values = np.moveaxis(packed["video"][:1].astype(np.float32) / 255, -1, 1)
    dims = ("trial", "rgb", "frame", "row", "column")
    signal = xr.DataArray(values, {"frame": ("frame", np.arange(15) / 25, {"units": "s"})}, dims)
    figure = plot_strip(signalrp.explain(net(), signal))
    np.testing.assert_allclose(images(figure)[0], packed["video"][0, 0] / 255, atol=1e-6)
    assert not texts_in_the_way(figure)


def test_groups_of_clips(explanation):
    assert {name: list(own) for name, own in trial_groups(explanation, "label", None).items()} == {
        "left": [0, 2, 4], "right": [1, 3, 5],
    }  # fmt: skip
    assert list(trial_groups(explanation, "subject", [0, 1, 5])) == ["scene 0", "scene 2"]
    predicted = trial_groups(explanation, "predicted", None)
    assert sum(map(len, predicted.values())) == 6
    assert {name: list(own) for name, own in trial_groups(explanation, None, None).items()} == {"": [*range(6)]}
    assert class_names(explanation.drop_vars("class")) == ["left", "right", "still"]
    bare = explanation.drop_vars("class")
    bare["signal"].attrs.clear()
    assert class_names(bare) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trial": 6}, "no trial 6; the explanation has 6"),
        ({"frames": 0}, "At least one frame"),
        ({"frames": [3, 8]}, "counted from 0 to 7; got"),
        ({"frames": []}, "counted from 0 to 7"),
        ({"video": clips(5)}, "expected those of the explanation"),
        ({"truth": clips()}, "The truth has sizes"),
        ({"beside": xr.DataArray(np.zeros(5), dims="frame")}, "expected frame: 8"),
    ],
)
def test_bad_input_is_told_in_a_sentence(explanation, arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_strip(explanation, **arguments)


def test_what_is_no_explanation_of_video_is_told(explanation):
    with pytest.raises(ValueError, match="no variable 'relevance'"):
        plot_strip(explanation[["signal"]])
    with pytest.raises(ValueError, match="without row"):
        plot_strip(explanation.isel(row=0))
    with pytest.raises(ValueError, match="one channel or three, found 2"):
        plot_strip(explanation.isel(rgb=[0, 1]))
    with pytest.raises(ValueError, match="NaN or infinite"):
        plot_strip(explanation.assign(signal=explanation["signal"] * np.nan))
    with pytest.raises(ValueError, match="no 'speed' along trial"):
        trial_groups(explanation, "speed", None)
    with pytest.raises(ValueError, match="no trial to show"):
        trial_groups(explanation, "label", np.zeros(6, bool))
    with pytest.raises(ValueError, match="boolean mask of 6"):
        trial_groups(explanation, "label", [9])
