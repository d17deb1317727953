from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from signalrp import DFT, inspect
from signalrp.domains.eeg.steady_state import frequency_share


class TestFrequencyShare:
    def inspected(self, seen: dict[int, float], amount: float = 3.0) -> xr.Dataset:
        """Relevance on a wave of the frequency of each class, in noise."""
        rng, time = np.random.default_rng(0), np.arange(256) / 128
        label = np.arange(40) % 2
        phase = rng.uniform(0, 2 * np.pi, (40, 1, 1))
        hertz = np.array([seen[number] for number in label])[:, None, None]
        wave = np.sin(2 * np.pi * hertz * time + phase)
        signal = rng.standard_normal((40, 3, 256)) + amount * wave
        per_unit = wave * np.ones((40, 3, 1)) + 0.05 * rng.standard_normal((40, 3, 256))
        dims, coords = ("trial", "channel", "time"), {"time": ("time", time, {"units": "s"})}
        data = xr.Dataset(
            {
                name: (dims, x)
                for name, x in (("signal", signal), ("relevance", signal * per_unit), ("per_unit", per_unit))
            },
            coords,
        )
        return inspect(data.assign(label=("trial", label)), DFT())

    def test_peaks_at_the_right_frequency(self):
        found = frequency_share(self.inspected({0: 20.0, 1: 30.0}), {0: 20.0, 1: 30.0}, draws=300)
        assert found["peak"].tolist() == [20.0, 20.0, 30.0, 30.0]
        assert (found["estimate"] > 0.8).all()
        assert (found["p"] < 0.05).all()
        assert (found["low"] > found["chance"]).all()

    def test_frequencies_of_the_other_class(self):
        found = frequency_share(self.inspected({0: 30.0, 1: 20.0}), {0: 20.0, 1: 30.0}, draws=300)
        assert (found["estimate"] < 0.2).all()
        assert found["peak"].tolist() == [30.0, 30.0, 20.0, 20.0]

    def test_shared_multiples_count_for_none(self):
        """All lies at 60 Hz, three times 20 and twice 30, as the mains would have it."""
        found = frequency_share(self.inspected({0: 60.0, 1: 60.0}), {0: 20.0, 1: 30.0}, draws=300)
        assert (found["peak"] == 60).all()
        shares = found[found["measure"].str.startswith("share")]
        assert (shares["estimate"] < 0.1).all()
        assert (shares["p"] > 0.05).all()

    def test_refusals(self):
        data = self.inspected({0: 20.0, 1: 30.0})
        with pytest.raises(ValueError, match="no dimension 'frequency'"):
            frequency_share(data.rename(frequency="rate"), {0: 20.0, 1: 30.0})
        with pytest.raises(ValueError, match="a different one for each class"):
            frequency_share(data, {0: 20.0, 1: 20.0})
        with pytest.raises(ValueError, match=r"\[1\] too"):
            frequency_share(data, {0: 20.0, 2: 30.0})
        with pytest.raises(ValueError, match="No multiple of 200 Hz lies below 64 Hz"):
            frequency_share(data, {0: 20.0, 1: 200.0})
        with pytest.raises(ValueError, match="leaves no frequency"):
            frequency_share(data, {0: 2.0, 1: 30.0}, harmonics=1, width=13.0)
