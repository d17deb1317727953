from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

pytest.importorskip("librosa")
pytest.importorskip("safetensors")

from signalrp.domains.audio import train
from signalrp.domains.audio.data import from_arrays
from signalrp.domains.audio.datasets import digits
from signalrp.domains.audio.models import DEFAULTS


def tones(count=60, samples=4000, seed=0):
    """Two classes of tones in noise, of any phase and loudness."""
    rng = np.random.default_rng(seed)
    label = np.arange(count) % 2
    time = np.arange(samples) / 8000
    hertz = np.where(label, 1500, 500)[:, None]
    values = rng.uniform(0.05, 0.5, (count, 1)) * np.sin(2 * np.pi * hertz * time + rng.uniform(0, 6, (count, 1)))
    return from_arrays(values + 0.01 * rng.normal(size=values.shape), 8000, label, classes=["low", "high"])


@pytest.mark.slow
@pytest.mark.parametrize("name", [*DEFAULTS, "crnn"])
def test_small_nets_learn_tones_and_the_seed_decides(name):
    signal, fresh = (train.prepared(name, tones(seed=seed)) for seed in (0, 1))
    net = train.fit(name, signal, seed=1)
    assert float(train.accuracy(net, fresh).mean()) > 0.9
    again = train.fit(name, signal, seed=1)
    for first, second in zip(net.state_dict().values(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(first, second)


def test_prepared_is_what_the_front_end_makes_of_the_waveform():
    signal = tones(4)
    assert train.prepared("raw-small", signal) is signal
    pictures = train.prepared("spectrogram-small", signal)
    assert pictures.dims == ("trial", "channel", "frequency", "frame")
    inside = train.front_end()(torch.as_tensor(signal.values))
    np.testing.assert_allclose(pictures, inside, atol=1e-3)
    assert float(pictures.min()) >= 0
    silent = train.prepared("spectrogram-small", 0 * signal.isel(trial=[0]))
    assert float(np.abs(silent).max()) == 0


def test_accuracy_says_trial_by_trial_what_was_right():
    class Constant(torch.nn.Module):
        def forward(self, x):
            return torch.tensor([[0.0, 1.0]]).expand(len(x), 2)

    signal = tones(5)
    found = train.accuracy(Constant(), signal)
    assert found.values.tolist() == signal["label"].values.tolist()
    xr.testing.assert_equal(
        found["speaker"].drop_vars(list(found.coords)), signal["speaker"].drop_vars(list(found.coords))
    )


@pytest.mark.parametrize("name", [*DEFAULTS, "crnn"])
def test_weights_that_came_along_know_digits_of_a_speaker_they_never_heard(name, shared_data):
    signal = digits()
    some = signal.isel(trial=np.flatnonzero((signal["speaker"] == "theo") & (signal["take"] < 10)))
    given = train.prepared(name, some)
    assert float(train.accuracy(train.pretrained(name, "theo"), given).mean()) > 0.4
    # A net that heard this speaker knows more: who was held out is not mixed up.
    assert float(train.accuracy(train.pretrained(name, "george"), given).mean()) > 0.9


def test_unknown_weights_are_refused():
    with pytest.raises(ValueError, match="there are weights of raw-small, spectrogram-small, crnn without george"):
        train.pretrained("raw-small", "anna")
    with pytest.raises(ValueError, match="train that net"):
        train.pretrained("audionet", "theo")
