from __future__ import annotations

import mne
import numpy as np
import pytest
from matplotlib.image import AxesImage
from reference.eeg_explanations import MUSE, explanation
from reference.figures import closed_figures

from signalrp.domains.eeg import views
from signalrp.domains.eeg.relevance import evokeds_by, relevance_epochs, to_evoked

__all__ = ["closed_figures"]


@pytest.fixture(autouse=True)
def _quiet():
    with mne.use_log_level("error"):
        yield


@pytest.fixture(scope="module")
def data():
    return explanation()


def bar_of(figure):
    """The axes of the colour bar: they bear the unit and no data."""
    (found,) = [ax for ax in figure.axes if ax.get_ylabel() == "relevance" and not ax.lines]
    return found


def maps(figure) -> list[AxesImage]:
    return [image for ax in figure.axes for image in ax.images]


def no_microvolt(figure):
    texts = [t.get_text() for ax in figure.axes for t in (ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts)]
    assert not [text for text in texts if "V" in text and "N_{" not in text]


def test_lines_are_the_relevance_in_its_unit(data):
    evoked = to_evoked(data)
    figure = views.plot_lines(evoked)
    ax = figure.axes[0]
    lines = {tuple(line.get_ydata()) for line in ax.lines if len(line.get_ydata()) == 90}
    assert lines == {tuple(row) for row in evoked.data}
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("relevance", "Time (s)")
    no_microvolt(figure)


def test_mne_itself_would_draw_a_million_times_as_much(data):
    """Why these views exist; should MNE stop, they could go."""
    evoked = to_evoked(data)
    ax = evoked.plot(show=False).axes[0]
    assert ax.get_ylabel() == "µV"
    assert max(np.abs(line.get_ydata()).max() for line in ax.lines) == pytest.approx(1e6 * np.abs(evoked.data).max())


def test_a_joint_plot_has_the_relevance_and_a_scale_in_its_unit(data):
    evoked = to_evoked(data)
    figure = views.plot_joint(evoked, [0.1, 0.2])
    lines = {tuple(line.get_ydata()) for ax in figure.axes for line in ax.lines if len(line.get_ydata()) == 90}
    assert lines == {tuple(row) for row in evoked.data}
    largest = np.abs(evoked.data).max()
    assert {image.get_clim() for image in maps(figure)} == {(-largest, largest)}
    assert {image.get_cmap().name for image in maps(figure)} == {"RdBu_r"}
    bar = bar_of(figure)
    assert [label.get_text() for label in bar.get_yticklabels()] == [f"{-largest:.2g}", "0", f"{largest:.2g}"]
    np.testing.assert_allclose(bar.get_yticks(), [-largest, 0, largest])
    assert len(maps(figure)) == 2
    no_microvolt(figure)


def test_scalp_maps_are_those_of_the_numbers_at_their_instants(data):
    evoked = to_evoked(data)
    times = evoked.times[[40, 60]]
    figure = views.plot_topomap(evoked, times)
    for image, sample in zip(maps(figure), (40, 60), strict=True):
        expected, _ = mne.viz.plot_topomap(evoked.data[:, sample], evoked.info, show=False)
        np.testing.assert_allclose(image.get_array(), expected.get_array(), rtol=1e-12, atol=0)
    largest = np.abs(evoked.data).max()
    assert {image.get_clim() for image in maps(figure)} == {(-largest, largest)}
    assert bar_of(figure).get_yticks()[-1] == largest
    no_microvolt(figure)


def test_one_scale_for_several_figures(data):
    evokeds = evokeds_by(data)
    norm = views.one_scale(evokeds)
    assert norm.vmax == max(np.abs(evoked.data).max() for evoked in evokeds.values())
    assert norm.vmin == -norm.vmax
    smaller = min(evokeds.values(), key=lambda evoked: np.abs(evoked.data).max())
    shown = [
        *maps(views.plot_topomap(smaller, [0.1], average=0.05, norm=norm)),
        *maps(views.plot_joint(smaller, [0.1], norm=norm)),
        *maps(views.plot_image(smaller, norm=norm)),
    ]
    assert {image.get_clim() for image in shown} == {(norm.vmin, norm.vmax)}
    epochs = relevance_epochs(data)
    assert views.one_scale(epochs).vmax == np.abs(data["relevance"].values).max()
    assert views.one_scale([epochs, 1e3 * np.ones(2)]).vmax == 1e3


def test_an_image_of_an_evoked_is_its_data(data):
    evoked = to_evoked(data)
    figure = views.plot_image(evoked)
    # MNE draws the same image twice
    for image in maps(figure):
        np.testing.assert_array_equal(image.get_array(), evoked.data)
        assert image.get_clim() == (-np.abs(evoked.data).max(), np.abs(evoked.data).max())
    assert bar_of(figure).get_ylabel() == "relevance"
    no_microvolt(figure)


def test_images_of_epochs_and_the_means_below_them(data):
    epochs = relevance_epochs(data)
    (figure,) = views.plot_image(epochs)
    mean = data["relevance"].values.mean(1)
    (image,) = maps(figure)
    np.testing.assert_allclose(image.get_array(), mean, rtol=1e-12, atol=1e-20)
    limit = np.percentile(np.abs(mean), 99)
    np.testing.assert_allclose(image.get_clim(), (-limit, limit), rtol=1e-12)
    below = next(ax for ax in figure.axes if ax.lines and ax.get_ylabel() == "relevance")
    np.testing.assert_allclose(below.lines[0].get_ydata(), mean.mean(0), rtol=1e-9, atol=1e-18)
    no_microvolt(figure)
    np.testing.assert_array_equal(epochs.get_data(), data["relevance"].values)


def test_images_of_several_electrodes_are_on_one_scale(data):
    epochs = relevance_epochs(data)
    figures = views.plot_image(epochs, picks=["Fp1", "Oz"])
    shown = [maps(figure)[0] for figure in figures]
    np.testing.assert_allclose(shown[1].get_array(), data["relevance"].sel(channel="Oz"), rtol=1e-12)
    assert shown[0].get_clim() == shown[1].get_clim()
    fixed = views.plot_image(epochs, picks=["Fp1"], norm=views.one_scale(epochs))
    assert maps(fixed[0])[0].get_clim()[1] == np.abs(data["relevance"].values).max()


def test_conditions_are_compared_in_the_unit_of_relevance(data):
    evokeds = evokeds_by(data)
    (figure,) = views.plot_compare(evokeds)
    ax = figure.axes[0]
    assert ax.get_ylabel() == "relevance"
    drawn = [line.get_ydata() for line in ax.lines if len(line.get_ydata()) == 90]
    for found, evoked in zip(drawn, evokeds.values(), strict=True):
        np.testing.assert_allclose(found, evoked.data.mean(0), rtol=1e-9, atol=1e-18)
    (figure,) = views.plot_compare({"both": list(evokeds.values())}, picks=["Cz"])
    expected = np.mean([evoked.get_data(picks="Cz")[0] for evoked in evokeds.values()], axis=0)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), expected, rtol=1e-9)


def test_further_arguments_reach_mne(data):
    evoked = to_evoked(data)
    figure = views.plot_topomap(evoked, [0.1], time_unit="ms", vlim=(-2, 2), cmap="PuOr")
    (image,) = maps(figure)
    assert (image.get_clim(), image.get_cmap().name) == ((-2, 2), "PuOr")
    assert figure.axes[0].get_title().endswith("ms")
    joint = views.plot_joint(evoked, [0.1], title="face", ts_args={"ylim": {"eeg": [-5, 5]}})
    assert joint.get_suptitle() == "face"
    assert (-5, 5) in [ax.get_ylim() for ax in joint.axes]


def test_four_electrodes_on_a_circle_have_maps():
    """Qhull cannot triangulate them, so that MNE alone fails."""
    evoked = to_evoked(explanation(MUSE, "easycap-M1"))
    before = np.array([channel["loc"][:3] for channel in evoked.info["chs"]])
    figure = views.plot_topomap(evoked, [0.1])
    assert np.isfinite(maps(figure)[0].get_array()).all()
    views.plot_joint(evoked, [0.1, 0.2])
    np.testing.assert_array_equal([channel["loc"][:3] for channel in evoked.info["chs"]], before)


def test_scalp_maps_without_positions_are_refused(data):
    bare = to_evoked(explanation(["Fz", "Cz", "Pz"], place=False))
    for plot in (views.plot_topomap, views.plot_joint):
        with pytest.raises(ValueError, match="3 of 3 have none, first Fz; set a montage before"):
            plot(bare)
    assert views.plot_lines(bare).axes[0].get_ylabel() == "relevance"
    np.testing.assert_array_equal(maps(views.plot_image(bare))[0].get_array(), bare.data)
    some = data.copy()
    some["z"] = some["z"].where(some["channel"] != "Oz")
    with pytest.raises(ValueError, match="1 of 32 have none, first Oz"):
        views.plot_topomap(to_evoked(some))


@pytest.fixture
def with_eog(data):
    """The last channel records the eyes: it has no place on the scalp, and no voltage either."""
    kind = ["eeg"] * (data.sizes["channel"] - 1) + ["eog"]
    z = np.where(np.array(kind) == "eeg", data["z"], np.nan)
    return data.assign_coords(kind=("channel", kind), z=("channel", z))


def test_relevance_of_eyes_is_no_voltage_either(with_eog):
    evoked = to_evoked(with_eog)
    figure = views.plot_lines(evoked)
    panels = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_ylabel() for ax in panels] == ["relevance", "relevance"]
    (line,) = [line for line in panels[1].lines if len(line.get_ydata()) == 90]
    np.testing.assert_array_equal(line.get_ydata(), evoked.data[-1])
    no_microvolt(figure)
    figure = views.plot_image(evoked)
    eyes = next(image for image in maps(figure) if image.get_array().shape == (1, 90))
    np.testing.assert_array_equal(eyes.get_array(), evoked.data[-1:])
    assert {image.get_clim() for image in maps(figure) if image.get_array().shape[1] == 90} == {eyes.get_clim()}
    no_microvolt(figure)


def test_eyes_are_left_out_of_scalp_maps(data, with_eog):
    own = views.plot_topomap(to_evoked(with_eog), [0.1])
    without = views.plot_topomap(to_evoked(data.isel(channel=slice(-1))), [0.1])
    np.testing.assert_array_equal(maps(own)[0].get_array(), maps(without)[0].get_array())
    no_microvolt(views.plot_joint(to_evoked(with_eog), [0.1]))
