from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from reference.planted_eeg import CHANNELS, bump, epochs, site

from signalrp.domains.eeg.answers import mean_over
from signalrp.domains.eeg.physiology import (
    MOTOR,
    N170,
    Expectation,
    lateralisation,
    place_share,
    relevance_clusters,
)
from signalrp.domains.eeg.regions import directions
from signalrp.domains.eeg.sites import mirrored, patches_of, random_patches, random_shares
from signalrp.validation import bootstrap_interval, mass_accuracy, paired_difference


def explanation(relevance: np.ndarray, subjects: int = 1) -> xr.Dataset:
    """Relevance (trial, channel, time) with the electrodes, instants and labels of the planted epochs."""
    signal = epochs(len(relevance))
    label = signal["label"].values
    names = np.array([f"S{number % subjects + 1:02d}" for number in range(len(relevance))])
    dims = ("trial", "channel", "time")
    data = xr.Dataset({"signal": signal, "relevance": (dims, relevance)}).drop_vars("label")
    return data.assign(label=("trial", label)).assign_coords(subject=("trial", names))


def noise(trials: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((trials, len(CHANNELS), 90))


def at(names: tuple[str, ...], centre: float = 0.165, width: float = 0.02) -> np.ndarray:
    return site(names)[:, None] * bump(centre, width)


class TestPlaceShare:
    def test_relevance_at_the_place_is_found(self):
        data = explanation(noise() + 4 * at(N170.places))
        found = place_share(data, N170, draws=500)
        share, within, difference = found.iloc[0], found.iloc[1], found.iloc[2]
        mask = N170.mask(data)
        near, over = mask.any("time"), mask.any("channel")
        positive = data["relevance"].clip(min=0)
        each = positive.where(mask).sum(("channel", "time")) / positive.where(over).sum(("channel", "time"))
        assert within["estimate"] == pytest.approx(float(each.mean()))
        assert within["chance"] == pytest.approx(float(near.mean()))
        assert within["p"] < 0.02
        assert mask.any("time").sum() == 6
        inside = mass_accuracy(data, mask)
        assert share["estimate"] == pytest.approx(float(inside.mean()))
        assert share["chance"] == pytest.approx(float(mask.mean()))
        assert share["low"] > share["chance"]
        assert share["p"] < 0.02
        interval = bootstrap_interval(inside.values, np.arange(40))
        assert [share["low"], share["high"]] == pytest.approx([float(interval.low), float(interval.high)])
        assert difference["p"] < 0.01
        there = data["relevance"].where(mask).mean(("channel", "time")).values
        rest = data["relevance"].where(~mask).mean(("channel", "time")).values
        assert difference["estimate"] == pytest.approx((there - rest).mean())
        assert (found["unit"] == "trial").all()
        assert (found["units"] == 40).all()

    def test_the_right_time_alone_is_told_from_the_right_place(self):
        found = place_share(explanation(noise() + 4 * at(("Fz", "F3", "F4", "Cz", "C3", "C4"))), N170, draws=500)
        assert found["estimate"][1] < found["chance"][1]
        assert found["p"][1] > 0.2

    def test_relevance_elsewhere_is_not(self):
        found = place_share(explanation(noise() + 4 * at(("C3", "Cz", "C4"), 0.4)), N170, draws=500)
        assert found["p"][0] > 0.5
        assert found["estimate"][2] < 0

    def test_p_is_uniform_without_a_place(self):
        p = [place_share(explanation(noise(12, seed)), N170, draws=60)["p"][0] for seed in range(60)]
        assert np.mean(p) == pytest.approx(0.5, abs=0.12)
        assert np.mean(np.array(p) <= 0.1) < 0.22

    def test_people_are_the_units_where_there_are_several(self):
        data = explanation(noise() + 4 * at(N170.places), subjects=5)
        found = place_share(data, N170, draws=200)
        assert found[["unit", "units"]].to_numpy().tolist() == [["person", 5]] * 3
        # five people flip signs in 32 ways
        assert found["p"][2] == pytest.approx(2 / 32)

    def test_refusals(self):
        data = explanation(noise())
        with pytest.raises(ValueError, match="no instant from 1 to 2 s"):
            place_share(data, Expectation("late", ("P7",), (1.0, 2.0)))
        with pytest.raises(ValueError, match="No electrode lies within 13 degrees of P7"):
            place_share(data.isel(channel=slice(0, 5)), Expectation("back", ("P7",), None))


class TestPlacement:
    def test_patches_are_apart_and_of_the_sizes_asked(self):
        towards, rng = directions(epochs(2)), np.random.default_rng(0)
        towards[3] = np.nan
        for _ in range(50):
            found = random_patches([4, 3, 1], towards, rng)
            assert [len(patch) for patch in found] == [4, 3, 1]
            assert len(np.unique(np.concatenate(found))) == 8
            assert 3 not in np.concatenate(found)

    def test_a_patch_is_a_neighbourhood(self):
        towards = directions(epochs(2))
        (patch,) = random_patches([5], towards, np.random.default_rng(1))
        nearness = towards @ towards[patch[0]]
        assert set(patch) == set(np.argsort(-nearness)[:5])

    def test_sides(self):
        towards = directions(epochs(2))
        numbers = np.array([CHANNELS.index(name) for name in ("P7", "Oz", "P8", "PO7")])
        assert [[CHANNELS[i] for i in patch] for patch in patches_of(numbers, towards)] == [
            ["P7", "PO7"],
            ["Oz"],
            ["P8"],
        ]
        left = np.array([CHANNELS.index(name) for name in ("P7", "PO7", "P9")])
        assert {CHANNELS[i] for i in mirrored(left, towards)} == {"P8", "PO8", "P10"}

    def test_shares_of_an_even_map_are_the_size(self):
        towards = directions(epochs(2))
        share = np.full((len(CHANNELS), 90), 1 / (len(CHANNELS) * 90))
        found = random_shares(share, np.arange(6), 9, towards, 20, 0)
        np.testing.assert_allclose(found, 6 * 9 / share.size)


class TestLateralisation:
    def data(self, side: dict[int, str]) -> xr.Dataset:
        values = 0.1 * noise()
        for label, places in side.items():
            values[label::2] += 3 * at((places,), -0.05, 0.05)
        data = explanation(values)
        data["signal"].attrs["classes"] = "press left | press right"
        return data

    def test_contralateral(self):
        found = lateralisation(self.data({0: "C4", 1: "C3"}), MOTOR, draws=300)
        assert (found["estimate"] > 0.95).all()
        assert found["p"][0] < 0.01
        # of the fourteen electrodes on the left, one is the place itself
        assert found["p"][1] < 0.12

    def test_ipsilateral_and_both(self):
        found = lateralisation(self.data({0: "C3", 1: "C4"}), MOTOR, draws=300)
        assert (found["estimate"] < 0.05).all()
        assert found["p"][1] > 0.9
        found = lateralisation(explanation(np.abs(noise())), MOTOR, {0: "left", 1: "right"}, draws=300)
        assert found["low"][0] < 0.5 < found["high"][0]
        assert found["p"][0] > 0.05

    def test_one_side_for_both_classes_is_not_lateral(self):
        found = lateralisation(self.data({0: "C4", 1: "C4"}), MOTOR, draws=300)
        assert found["estimate"][0] == pytest.approx(0.5, abs=0.03)

    def test_refusals(self):
        with pytest.raises(ValueError, match="left or right"):
            lateralisation(explanation(noise()), MOTOR)
        with pytest.raises(ValueError, match="0 on the right"):
            lateralisation(self.data({0: "C4"}), Expectation("left", ("C3",), None))


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    return explanation(noise(24) + 2 * at(N170.places))


class TestClusters:
    def test_a_cluster_covers_the_place(self, data):
        result, table = relevance_clusters(data, "uniform", N170, permutations=200)
        found = table[table["p"] < 0.01]
        assert found["expected"].sum() > 0.9
        assert {"P7", "PO8"} <= set(", ".join(found["channel"]).split(", "))
        assert (found["time_first"] > 0.08).all()
        assert (found["time_last"] < 0.25).all()
        assert result.attrs["unit"] == "subject"
        assert result.attrs["units"] == 24
        assert "matrix" in result.attrs["adjacency"]
        # neighbours join: at most one cluster on each side
        assert len(found) <= 2

    def test_positions_unknown_leave_channels_apart(self, data):
        result, table = relevance_clusters(data.drop_vars(["x", "y", "z"]), permutations=100)
        assert "channel none" in result.attrs["adjacency"]
        assert all("," not in names for names in table["channel"])

    def test_two_groups(self, data):
        changed = data.copy(deep=True)
        changed["relevance"].values[data["label"].values == 1] *= -1
        _, table = relevance_clusters(changed, "label", N170, permutations=200)
        assert table["p"][0] < 0.01
        assert table["mass"][0] > 0


def test_means_over_people_count_each_the_same():
    values, people = np.array([1.0, 2.0, 6.0, 6.0]), np.array(["a", "a", "a", "b"])
    assert mean_over(values, people) == pytest.approx((3 + 6) / 2)
    assert paired_difference(values, 0 * values, people).estimate != mean_over(values, people)
