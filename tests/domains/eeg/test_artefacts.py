from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.planted_eeg import BLINK, CHANNELS, blink, bump, epochs, site

from signalrp.domains.eeg.artefacts import artefact_masks, find_artefacts
from signalrp.domains.eeg.places import others, robust_z, window_coords, window_edges, window_sums
from signalrp.domains.eeg.sites import electrodes

TRIAL = 17


def planted(extra: np.ndarray, trial: int = TRIAL) -> xr.DataArray:
    """Epochs with so many µV (channel, time) added on one trial."""
    signal = epochs(60)
    signal.values[trial] += (1e-6 * extra).astype(np.float32)
    return signal


def on(channel: str, wave: np.ndarray) -> np.ndarray:
    return site((channel,))[:, None] * wave


def present(found: xr.Dataset, trial: int = TRIAL) -> set[str]:
    return set(found["artefact"].values[found["present"].isel(trial=trial).values])


def test_nothing_planted_is_rarely_something():
    found = find_artefacts(epochs(200))
    assert found["artefact"].values.tolist() == ["blink", "muscle", "movement", "pop", "flat"]
    assert found["present"].mean() < 0.01
    assert found.attrs["left_out"] == ""


def test_a_blink_is_found_on_its_trial_at_the_forehead_when_it_is():
    found = find_artefacts(planted(blink(150)))
    assert "blink" in present(found)
    assert found["present"].sel(artefact="blink").sum() == 1
    blinked = found.isel(trial=TRIAL).sel(artefact="blink")
    eyes = np.isin(CHANNELS, ("Fpz", "Fp1", "Fp2", "AF7", "AF8"))
    # the filter takes some off the wave, what else the trial holds adds some
    assert float(blinked["measure"]) == pytest.approx(np.median(blink(150)[eyes], axis=0).max(), rel=0.3)
    assert blinked["unit"] == "µV"
    assert blinked["measure"] > blinked["limit"] > 0
    place = blinked["place_z"].argmax(("channel", "window"))
    assert CHANNELS[int(place["channel"])] in ("Fpz", "Fp1", "Fp2")
    window = found.isel(window=int(place["window"]))
    assert window["window_start"] - 0.05 <= BLINK <= window["window_stop"] + 0.05
    assert blinked["place_z"].sel(channel=["Oz", "O9", "O10"]).max() < 3.5


def test_muscle_at_one_temple_is_no_blink():
    time = np.arange(90) / 128
    wave = 12 * np.sin(2 * np.pi * 45 * time)
    extra = sum(on(name, wave) for name in ("FT9", "T7", "TP9", "F7", "P9", "P7", "PO7", "O9"))
    found = find_artefacts(planted(extra))
    assert "muscle" in present(found)
    assert "blink" not in present(found)
    unusual = found["place_z"].isel(trial=TRIAL).sel(artefact="muscle").median("window")
    assert (unusual.sel(channel=["FT9", "T7", "TP9"]) > 3.5).all()
    assert (unusual.sel(channel=["T8", "Oz", "Fpz"]) < 3.5).all()


def test_a_step_of_one_electrode_is_a_pop_there():
    time = np.arange(90) / 128 - 25 / 128
    found = find_artefacts(planted(on("Pz", 80.0 * (time > 0.2))))
    assert present(found) == {"pop"}
    unusual = found["place_z"].isel(trial=TRIAL).sel(artefact="pop")
    place = unusual.argmax(("channel", "window"))
    assert CHANNELS[int(place["channel"])] == "Pz"
    window = found.isel(window=int(place["window"]))
    assert window["window_start"] - 0.03 <= 0.2 <= window["window_stop"] + 0.03


def test_an_electrode_that_dies_is_flat():
    signal = epochs(60)
    signal.values[TRIAL, 3, 40:] = signal.values[TRIAL, 3, 40]
    found = find_artefacts(signal)
    assert "flat" in present(found)
    assert found["present"].sel(artefact="flat").sum() == 1
    assert found["measure"].sel(artefact="flat").isel(trial=TRIAL) == pytest.approx(1e3)
    where = found["place_z"].isel(trial=TRIAL).sel(artefact="flat") > 3.5
    assert set(found["channel"].values[where.any("window").values]) == {CHANNELS[3]}
    assert (found["window_stop"].values[where.any("channel").values] > 0.1).all()


def test_masks_are_the_places_of_those_present():
    signal = planted(blink(150))
    found = find_artefacts(signal)
    masks = artefact_masks(found, signal["time"])
    assert set(masks) == present(found)
    mask = masks["blink"]
    assert mask.shape == signal.shape
    assert mask.any((1, 2)).nonzero()[0].tolist() == [TRIAL]
    where = found["place_z"].sel(artefact="blink").isel(trial=TRIAL).values > 3.5
    for instant, time in enumerate(signal["time"].values):
        (window,) = np.flatnonzero((found["window_start"] <= time + 1e-9) & (time + 1e-9 < found["window_stop"]))
        np.testing.assert_array_equal(mask[TRIAL, :, instant], where[:, window])
    assert artefact_masks(find_artefacts(epochs(60)), signal["time"]).keys() <= {"pop", "movement"}


def test_movement_shakes_most_electrodes():
    found = find_artefacts(planted(60 * np.ones((len(CHANNELS), 1)) * bump(0.2, 0.1)))
    assert "movement" in present(found)


def test_what_is_chronic_is_no_artefact_of_a_trial():
    signal = epochs(60)
    rng = np.random.default_rng(1)
    signal.values[:, 5] += 3e-4 * rng.standard_normal((60, 90)).astype(np.float32)
    assert find_artefacts(signal)["present"].mean() < 0.02


def test_every_person_has_own_limits():
    calm, restless = epochs(60), epochs(60, seed=1)
    together = xr.concat([calm, 5 * restless.assign_coords(subject=("trial", ["S02"] * 60))], "trial")
    found = find_artefacts(together)
    alone = [find_artefacts(calm), find_artefacts(5 * restless)]
    np.testing.assert_allclose(found["limit"].values, np.concatenate([part["limit"].values for part in alone]))
    assert found["present"].mean() < 0.02


def test_the_limit_is_that_of_the_other_trials():
    found = find_artefacts(planted(blink(150)), threshold=3.0)
    logs = np.log(found["measure"].sel(artefact="blink").values)
    rest = np.delete(logs, TRIAL)
    spread = 1.4826 * np.median(np.abs(rest - np.median(rest)))
    limit = found["limit"].sel(artefact="blink").isel(trial=TRIAL)
    assert float(limit) == pytest.approx(np.exp(np.median(rest) + 3 * spread))


def test_an_eog_channel_shows_blinks_without_positions():
    signal = planted(blink(150))
    names = [f"E{number}" for number in range(len(CHANNELS))]
    signal = signal.drop_vars(["x", "y", "z"]).assign_coords(channel=names)
    found = find_artefacts(signal)
    assert "blink" not in found["artefact"].values
    assert "no EOG channel" in found.attrs["left_out"]
    found = find_artefacts(signal, eog=["E1"])
    assert "blink" in present(found)
    assert "E1" not in found["channel"].values
    kinds = np.where(np.array(names) == "E1", "eog", "eeg")
    by_kind = find_artefacts(signal.assign_coords(kind=("channel", kinds)))
    xr.testing.assert_allclose(by_kind["measure"], found["measure"])


def test_muscle_needs_high_frequencies():
    found = find_artefacts(epochs(60).assign_attrs(lowpass=20.0))
    assert "muscle" not in found["artefact"].values
    assert "ends at 20 Hz" in found.attrs["left_out"]


def test_what_cannot_be_looked_at_is_refused():
    signal = epochs(60)
    with pytest.raises(ValueError, match="9 trials"):
        find_artefacts(signal[:9])
    broken = signal.copy(deep=True)
    broken.values[4, 0, 0] = np.nan
    with pytest.raises(ValueError, match="1 of 60 trials contain NaN"):
        find_artefacts(broken)
    with pytest.raises(ValueError, match="no channel 'EOG'"):
        find_artefacts(signal, eog=["EOG"])
    slow = signal[..., ::12].assign_attrs(sfreq=128 / 12)
    with pytest.raises(ValueError, match="more than 16 Hz"):
        find_artefacts(slow)
    with pytest.raises(ValueError, match="No channel of the signal is EEG"):
        find_artefacts(signal.assign_coords(kind=("channel", ["eog"] * len(CHANNELS))))
    with pytest.raises(ValueError, match="does not fit a trial"):
        find_artefacts(signal, window=2.0)


@settings(max_examples=40)
@given(st.integers(3, 12), st.integers(1, 4), st.booleans(), st.integers(0, 2**16))
def test_others_leaves_each_trial_out(trials: int, places: int, ties: bool, seed: int):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, (trials, places)).astype(float) if ties else rng.standard_normal((trials, places))
    centre, spread = others(x)
    for trial in range(trials):
        rest = np.delete(x, trial, axis=0)
        median = np.median(rest, axis=0)
        np.testing.assert_allclose(centre[trial], median)
        np.testing.assert_allclose(spread[trial], 1.4826 * np.median(np.abs(rest - median), axis=0))


def test_robust_z_against_a_reference_and_a_floor():
    rng = np.random.default_rng(0)
    reference, x = rng.standard_normal((41, 5)) * [1, 1, 1, 1, 0], rng.standard_normal((3, 5))
    median = np.median(reference, axis=0)
    spread = 1.4826 * np.median(np.abs(reference - median), axis=0)
    found = robust_z(x, reference)
    np.testing.assert_allclose(found[:, :4], ((x - median) / np.where(spread, spread, 1))[:, :4])
    assert np.isinf(found[:, 4]).all()
    assert robust_z(np.zeros((1, 5)), np.zeros((4, 5))).tolist() == [[0.0] * 5]
    held = np.maximum(spread, np.quantile(spread, 0.5))
    np.testing.assert_allclose(robust_z(x, reference, 0.5), (x - median) / held)
    with pytest.raises(ValueError, match="at least two others"):
        robust_z(x[:2])


@settings(max_examples=30)
@given(st.integers(2, 60), st.floats(0.01, 0.3), st.integers(0, 2**16))
def test_windows_part_the_trial(samples: int, length: float, seed: int):
    time = xr.DataArray(np.arange(samples) / 128 - 0.1, dims="time")
    if length > samples / 128:
        with pytest.raises(ValueError, match="does not fit"):
            window_edges(time, length)
        return
    edges = window_edges(time, length)
    assert edges[0] == 0
    assert edges[-1] == samples
    assert np.ptp(np.diff(edges)) <= 1
    x = np.random.default_rng(seed).standard_normal((2, 3, samples))
    sums = window_sums(x, edges)
    np.testing.assert_allclose(sums[1, 2], [x[1, 2, a:b].sum() for a, b in pairwise(edges)])
    coords = window_coords(time, edges)
    np.testing.assert_allclose(coords["window_stop"][1][:-1], coords["window_start"][1][1:])
    assert coords["window_stop"][1][-1] == pytest.approx(samples / 128 - 0.1)


def test_electrodes_near_a_place_by_position_and_by_name():
    signal = epochs(2)
    assert electrodes(signal, ["C3"]) == ["C3"]
    renamed = signal.assign_coords(channel=[f"E{number}" for number in range(len(CHANNELS))])
    assert electrodes(renamed, ["C3", "Oz"]) == [f"E{CHANNELS.index('C3')}", f"E{CHANNELS.index('Oz')}"]
    assert electrodes(signal.drop_vars(["x", "y", "z"]), ["PO7", "P9"]) == ["PO7", "P9"]
    assert set(electrodes(signal, ["Fpz"], within=20)) == {"Fpz", "Fp1", "Fp2"}
    with pytest.raises(ValueError, match="no place 'X9'"):
        electrodes(signal, ["X9"])
