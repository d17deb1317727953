from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from reference.manipulation import constant, samples, slow_curve

import signalrp
from signalrp.inspection import DFT, STFT, Chain, Linear, inspect
from signalrp.validation import from_masks, perturbation_curves
from signalrp.validation.perturbation.regions import region_perturbation

MODES = ("deletion", "insertion")


@pytest.fixture(params=[12, 11])
def raw(request: pytest.FixtureRequest, model: torch.nn.Module, explanation: xr.Dataset) -> xr.Dataset:
    """Explained signals of an even and an odd length, with relevance per unit."""
    signal = explanation["signal"].isel(time=slice(request.param)).assign_coords(label=explanation["label"])
    return signalrp.explain(Padded(model).eval(), signal, composite="epsilon", per_unit=True)


class Padded(torch.nn.Module):
    """The model behind a pad to the length it takes."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.model(torch.nn.functional.pad(inputs, (0, 12 - inputs.shape[-1])))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fill", ["mean", "zero"])
def test_frequencies_removed_by_hand(model: torch.nn.Module, raw: xr.Dataset, fill: str, mode: str) -> None:
    seen, net = inspect(raw, DFT()), Padded(model).eval()
    curves = perturbation_curves(
        net, seen, basis=DFT(), fill=fill, fractions=(0.2, 0.6, 1), mode=mode, repeats=1, batch_size=6
    )
    wave, length = raw["signal"].values, raw.sizes["time"]
    spectrum = np.fft.rfft(wave)
    count = spectrum[0].size
    for direction in ("morf", "lerf"):
        output, chosen = slow_curve(
            net, spectrum, seen["relevance"].values, samples(spectrum.shape),
            [int(share * count + 1e-9) for share in (0, 0.2, 0.6, 1)],
            constant(spectrum.mean(0) if fill == "mean" else np.zeros_like(spectrum[0])),
            lerf=direction == "lerf", insertion=mode == "insertion", inverse=lambda z: np.fft.irfft(z, length),
        )  # fmt: skip
        found = curves.sel(order="relevance", direction=direction)
        np.testing.assert_allclose(found["output"], output, rtol=0, atol=1e-10)
        np.testing.assert_array_equal(found["correct"], chosen == raw["label"].values)
    assert curves.attrs["basis"].startswith("DFT")
    assert curves.attrs["removed"] == "coefficients"
    assert "distance" in curves


def test_a_band_is_filtered_out(model: torch.nn.Module, raw: xr.Dataset) -> None:
    seen, net = inspect(raw, DFT()), Padded(model).eval()
    frequency = seen["frequency"]
    edges = frequency.values[[1, 3]]
    bands = from_masks({"low": frequency < edges[0], "mid": (frequency >= edges[0]) & (frequency < edges[1])})
    curves = perturbation_curves(net, seen, basis=DFT(), segments=bands, fill="zero", orders="relevance")
    assert curves["step"].values.tolist() == [0, 1, 2]
    relevance = np.stack([seen["relevance"].where(bands == n, 0).sum(("channel", "frequency")) for n in (0, 1)])
    spectrum = np.fft.rfft(raw["signal"].values)
    for trial in range(7):
        first = int(relevance[:, trial].argmax())
        cut = spectrum[trial].copy()
        cut[:, slice(0, 1) if first == 0 else slice(1, 3)] = 0
        expected = net(torch.tensor(np.fft.irfft(cut, raw.sizes["time"])[None]))[0, curves["predicted"][trial].item()]
        assert curves["output"].sel(direction="morf", step=1)[0, trial].item() == pytest.approx(
            expected.item(), abs=1e-10
        )


def test_components_and_their_frequencies_removed_by_hand(model: torch.nn.Module, raw: xr.Dataset) -> None:
    matrix = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0] * [[1], [2], [3]]
    net = Padded(model).eval()
    for basis, forward, inverse in (
        (Linear(matrix), lambda x: matrix @ x, lambda z: np.linalg.inv(matrix) @ z),
        (
            Chain(Linear(matrix), DFT()),
            lambda x: np.fft.rfft(matrix @ x),
            lambda z: np.linalg.inv(matrix) @ np.fft.irfft(z, raw.sizes["time"]),
        ),
    ):
        seen = inspect(raw, basis)
        content = forward(raw["signal"].values)
        labels = np.broadcast_to(np.arange(3)[:, None], content.shape)
        one = xr.DataArray([0, 1, 2], dims="component")
        curves = perturbation_curves(net, seen, basis=basis, segments=one, orders="relevance", direction="morf")
        output, chosen = slow_curve(
            net, content, seen["relevance"].values, labels, [0, 1, 2, 3], constant(content.mean(0)), inverse=inverse
        )
        np.testing.assert_allclose(curves["output"][0, 0], output, rtol=0, atol=1e-10)
        np.testing.assert_array_equal(curves["correct"][0, 0], chosen == raw["label"].values)


@pytest.mark.parametrize("fill", ["mean", "zero", "noise", "uniform", "trial-swap"])
def test_what_is_left_of_a_basis_without_its_coefficients_is_the_fill(
    model: torch.nn.Module, raw: xr.Dataset, fill: str
) -> None:
    basis, net = STFT("hann", length=6), Padded(model).eval()
    seen = inspect(raw, basis)
    given: list[torch.Tensor] = []

    def spy(inputs: torch.Tensor) -> torch.Tensor:
        given.append(inputs)
        return inputs

    curves = perturbation_curves(
        net, seen, basis=basis, fill=fill, orders="relevance", direction="morf", fractions=(0.3, 1), transform=spy
    )
    # a forward pass for the reference, one for the trials, one for both steps
    intact, last = given[-2], given[-1][-7:]
    np.testing.assert_array_equal(intact, raw["signal"].values)
    np.testing.assert_allclose(curves["output"][0, 0, 0], curves["initial_output"], rtol=0, atol=1e-10)
    wave = raw["signal"].values
    if fill in ("mean", "zero"):
        expected = np.broadcast_to(wave.mean(0) if fill == "mean" else 0 * wave[0], wave.shape)
        np.testing.assert_allclose(last, expected, rtol=0, atol=1e-10)
    elif fill == "trial-swap":
        for trial, donor in enumerate(last.numpy()):
            assert min(abs(donor - wave[n]).max() for n in range(7) if n != trial) < 1e-10
    else:
        assert (abs(last.numpy() - wave).max((1, 2)) > 0.1).all()


def test_patches_in_time_and_frequency(model: torch.nn.Module, raw: xr.Dataset) -> None:
    basis, net = STFT("hann", length=6), Padded(model).eval()
    seen = inspect(raw, basis)
    curves = region_perturbation(net, seen, {"frequency": 2, "frame": 2}, basis=basis, repeats=2, direction="morf")
    rows = -(-seen.sizes["frequency"] // 2) * -(-seen.sizes["frame"] // 2)
    assert curves.sizes["step"] == rows + 1
    np.testing.assert_allclose(curves["output"][0, 0, 0], curves["initial_output"], rtol=0, atol=1e-10)


def test_what_does_not_fit_the_basis_is_refused(model: torch.nn.Module, raw: xr.Dataset) -> None:
    net, seen = Padded(model).eval(), inspect(raw, DFT())
    other = seen.assign(signal=seen["signal"] * 2)
    cases: list[tuple[xr.Dataset, dict[str, object], str]] = [
        (raw, {"basis": DFT()}, "holds no waveform"),
        (seen, {}, "inspected in another basis.*give that basis as basis="),
        (seen, {"basis": STFT("hann", length=4)}, "give the basis in which it was inspected"),
        (other, {"basis": DFT()}, "not that of its waveform"),
        (seen, {"basis": DFT(), "fill": "interpolate"}, "'interpolate' runs along time"),
        (seen, {"basis": DFT(), "fill": "noisy-linear"}, "'noisy-linear' runs along time"),
        (seen, {"basis": DFT(), "fill": "spectrum-surrogate"}, "choose from mean, zero, noise, uniform, trial-swap"),
        (seen, {"basis": DFT(), "segments": xr.DataArray([0, 1], dims="time")}, "lacks time"),
        (seen, {"basis": DFT(), "reference": seen["signal"]}, "The reference has dimensions"),
    ]
    for data, options, message in cases:
        with pytest.raises(ValueError, match=message):
            perturbation_curves(net, data, **options)
