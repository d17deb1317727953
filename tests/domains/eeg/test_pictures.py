from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from reference.small_eeg import CAUSE, PEAK, epochs

mpl.use("agg")

import matplotlib.pyplot as plt

from signalrp.domains.eeg import pictures as room
from signalrp.domains.eeg.data import from_epochs
from signalrp.domains.eeg.findings import Recording, Task
from signalrp.domains.eeg.pictures import expected_places, known_bands, pictures, plot_patterns
from signalrp.domains.eeg.study import study_person
from signalrp.domains.eeg.tasks import by_person

MAPS = ["joint_face", "joint_house", "scalp", "regions"]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def study(name: str = "small", **changes) -> tuple[Task, Recording]:
    task = Task(name, "face or house?", by_person(from_epochs(epochs(people=1, **changes))))
    return task, study_person(task, "person S01", ("erp-lda", "csp-lda"), "epsilon", 2, 0, lambda line: None)


@pytest.fixture(scope="module")
def found() -> tuple[Task, Recording]:
    return study()


@pytest.fixture
def fast(monkeypatch):
    """Without the independent components, whose fit takes its time and says nothing about the order."""
    monkeypatch.setattr(room, "_FEWEST_FOR_ICA", 1000)


def drawn(task: Task, recording: Recording) -> dict[str, str]:
    found = {}
    for name, figure, caption in pictures(task, recording):
        assert figure.axes
        found[name] = caption
        plt.close(figure)
    return found


class TestPictures:
    def test_all_of_them(self, found):
        task, recording = found
        captions = drawn(task, recording)
        rest = ["bands", "time_frequency", "components", "channels_csp-lda", "patterns"]
        assert list(captions) in (["channels", *MAPS, *rest], ["channels", *MAPS, *rest[:3], *rest[4:]])
        words = captions["joint_face"]
        assert all(name in words for name in CAUSE)
        assert words.startswith("face: ")

    def test_without_positions_there_are_no_maps(self, fast):
        known = drawn(*study(positions=False))
        assert list(known)[:3] == ["channels", "bands", "time_frequency"]
        assert "patterns" not in known

    def test_electrodes_of_which_nothing_is_known(self, fast):
        assert next(iter(drawn(*study(positions=False, channels=("E1", "E2", "P7"))))) == "channels"

    @pytest.mark.parametrize("positions", [True, False])
    def test_one_electrode_makes_no_map(self, fast, positions):
        assert list(drawn(*study(channels=("P7",), positions=positions)))[:3] == ["channels", "bands", "time_frequency"]

    def test_one_class_recognised(self, fast, found):
        task, recording = found
        data = recording.best.isel(trial=np.flatnonzero(recording.best["label"].values == 1))
        names = drawn(task, Recording("small", "p", recording.signal, {"erp-lda": data}, ""))
        assert "joint_house" in names
        assert "joint_face" not in names

    def test_nobody_recognised(self, found):
        task, recording = found
        wrong = np.flatnonzero((recording.best["target"] != recording.best["label"]).values)
        only = Recording("small", "p", recording.signal, {"erp-lda": recording.best.isel(trial=wrong)}, "")
        assert drawn(task, only) == {}

    def test_the_scale_of_the_maps_is_one(self, found, monkeypatch):
        seen = []
        plot = room.plot_joint
        monkeypatch.setattr(
            room, "plot_joint", lambda evoked, norm, **options: seen.append(norm) or plot(evoked, norm=norm, **options)
        )
        for _, (name, _, _) in zip(range(3), pictures(*found), strict=False):
            assert name in ("channels", "joint_face", "joint_house")
        assert len(seen) == 2
        assert seen[0] is seen[1]
        assert seen[0].vmin == -seen[0].vmax


class TestPatterns:
    def test_values_in_windows_of_100_ms(self, found, monkeypatch):
        _, recording = found
        maps = {}
        monkeypatch.setattr(room, "draw_scalps", lambda figure, drawn, *rest: maps.update(drawn))
        plot_patterns(recording.patterns, recording.best)
        assert list(maps) == ["face", "house"]
        time = recording.patterns["time"].values
        for number, name in enumerate(maps):
            values = maps[name].values
            assert values.shape == (7, 20)
            for window in range(7):
                inside = (time - time[0] >= 0.1 * window - 1e-6) & (time - time[0] < 0.1 * (window + 1) - 1e-6)
                expected = 1e6 * recording.patterns.values[number][:, inside].mean(1)
                np.testing.assert_allclose(values[window], expected, rtol=1e-6)
            # the wave is in the window that holds its peak
            assert np.argmax(np.abs(values).max(1)) == int((PEAK - time[0]) / 0.1)


class TestKnown:
    def test_bands_that_the_epochs_hold(self, found):
        data = found[1].best
        # 0.69 s: the lowest frequency is 1.45 Hz; half of 64 Hz bounds the highest
        assert list(known_bands(data)) == ["delta", "theta", "alpha", "beta", "gamma"]
        low = data.assign(signal=data["signal"].assign_attrs(lowpass=12.0))
        assert list(known_bands(low)) == ["delta", "theta", "alpha"]
        short = data.isel(time=slice(0, 12))
        # 0.17 s: 5.8, 11.6, 17.5 Hz and so on
        assert "delta" not in known_bands(short)
        assert "beta" in known_bands(short)

    def test_places_where_the_response_is_expected(self, found):
        data = found[1].best
        assert expected_places(Task("presses", "", {}), data) == ["left central", "right central"]
        assert expected_places(Task("mine", "", {}), data) == []
        unknown = data.drop_vars(list("xyz"))
        assert expected_places(Task("presses", "", {}), unknown) == []

    def test_relevance_of_known_tasks_beside_the_signal(self, fast):
        assert "signal" in drawn(*study(name="presses"))


def test_independent_components_know_no_classes(found):
    signal = found[1].signal
    swapped = signal.assign_coords(label=("trial", 1 - signal["label"].values))
    one, two = (room.fitted_ica(part).get_components() for part in (signal, swapped))
    np.testing.assert_allclose(one, two)
    assert one.shape[1] == 15
    assert isinstance(signal, xr.DataArray)
