from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr

from signalrp.domains.eeg.checks import (
    match_channels,
    require_classes,
    require_positions,
    require_rate,
    require_values,
    sampling_rate,
)

NAMES = ["Fp1", "C3", "Cz", "C4", "Oz"]


def signal_like(trials=4, times=10, sfreq=100.0, names=NAMES, seed=0):
    rng = np.random.default_rng(seed)
    places = rng.normal(size=(3, len(names)))
    return xr.DataArray(
        rng.normal(size=(trials, len(names), times)),
        dims=("trial", "channel", "time"),
        coords={
            "channel": names,
            "time": ("time", np.arange(times) / sfreq, {"units": "s"}),
            "label": ("trial", np.arange(trials) % 2),
            **{axis: ("channel", places[i]) for i, axis in enumerate("xyz")},
        },
        attrs={"units": "V", "sfreq": sfreq},
    )


@hypothesis.given(st.permutations(NAMES), st.integers(1, 5))
def test_channels_are_matched_by_name(order, count):
    signal = signal_like()
    shuffled = signal.sel(channel=order)
    asked = NAMES[:count]
    xr.testing.assert_identical(match_channels(shuffled, asked), signal.isel(channel=slice(0, count)))


def test_absent_and_misspelt_channels_are_told():
    with pytest.raises(ValueError, match=r"lacks the channels P7 of the 2 expected; it has Fp1, C3, Cz, C4, Oz\. R"):
        match_channels(signal_like(), ["Cz", "P7"])
    with pytest.raises(ValueError, match=r"\('FP1' is here 'Fp1'\)"):
        match_channels(signal_like(), ["FP1", "CZ"])
    with pytest.raises(ValueError, match=r"channels \['Cz'\] are asked for more than once"):
        match_channels(signal_like(), ["Cz", "C3", "Cz"])
    many = signal_like(names=[f"E{number}" for number in range(20)])
    with pytest.raises(ValueError, match="it has E0, E1, E2, E3, E4, E5, E6, E7 and 12 more"):
        match_channels(many, ["Cz"])


def test_wrong_sampling_rate_is_told():
    signal = signal_like(sfreq=250.0)
    assert sampling_rate(signal) == 250.0
    require_rate(signal, 250.0)
    with pytest.raises(ValueError, match="has 250 Hz but the model expects 128 Hz; resample it"):
        require_rate(signal, 128.0)
    with pytest.raises(ValueError, match=r"states 100 Hz but its time axis has 250 Hz; correct attrs"):
        sampling_rate(signal.assign_attrs(sfreq=100.0))
    with pytest.raises(ValueError, match="time axis is in 'ms'; expected seconds"):
        sampling_rate(signal.assign_coords(time=("time", signal.time.values * 1e3, {"units": "ms"})))
    with pytest.raises(ValueError, match="of 1 instants is not evenly spaced"):
        sampling_rate(signal.isel(time=[0]))
    with pytest.raises(ValueError, match="not evenly spaced and rising"):
        sampling_rate(signal.isel(time=slice(None, None, -1)))
    with pytest.raises(ValueError, match="not evenly spaced and rising"):
        sampling_rate(signal.isel(time=[0, 1, 2, 5, 6]))


def test_missing_positions_are_told():
    signal = signal_like()
    require_positions(signal)
    with pytest.raises(ValueError, match="channels Fp1, C3, Cz, C4, Oz have no position; set a montage"):
        require_positions(signal.drop_vars("z"))
    partly = signal.assign_coords(y=("channel", [0, np.nan, 0, 0, 0]))
    with pytest.raises(ValueError, match="channels C3 have no position"):
        require_positions(partly)


def test_nan_and_flat_channels_are_told():
    signal = signal_like()
    require_values(signal)
    broken = signal.copy(deep=True)
    broken[1, 2, 3], broken[3, 2, 0] = np.nan, np.inf
    with pytest.raises(ValueError, match="channels Cz contain NaN or infinite values in 2 of 4 trials; drop"):
        require_values(broken.transpose("time", "trial", "channel"))
    flat = signal.copy(deep=True)
    flat[2, 4] = 7.0
    flat[:, 0] = 0.0
    with pytest.raises(ValueError, match="channels Fp1, Oz are flat in 4 of 4 trials; an electrode was off"):
        require_values(flat)


def test_few_trials_of_a_class_are_told():
    signal = signal_like(trials=5)
    require_classes(signal)
    with pytest.raises(ValueError, match=r"labels \[1\] have fewer than 3 trials; loosen the rejection"):
        require_classes(signal, 3)
    with pytest.raises(ValueError, match="needs two classes, but all 3 trials have one label"):
        require_classes(signal.isel(trial=signal.label.values == 0))


def test_a_name_in_other_letters_is_told_as_text():
    with pytest.raises(ValueError, match=r"\('fp1' is here 'Fp1'\)"):
        match_channels(signal_like(), np.array(["fp1", "Cz"]))
