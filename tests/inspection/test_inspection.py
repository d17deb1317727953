"""Relevance in another basis: the same sums, the right places."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import scipy.signal
import torch
import xarray as xr
from reference.inspected import (
    MATRIX,
    NUMBERS,
    RATE,
    all_bases,
    assert_conserved,
    explained,
    network,
    random_explanation,
    signal_of,
)
from torch import Tensor, nn
from torch.nn import functional as F

import signalrp
from signalrp import inspection
from signalrp.baselines import explain_with, methods
from signalrp.inspection import DCT, DFT, STFT, Basis, Chain, Linear, gather, inspect

PER_UNIT = ("epsilon", "epsilon-plus", "attnlrp", "input-x-gradient", "integrated-gradients", "deeplift")
FITTED = ("pattern-net", "pattern-attribution")


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus", "epsilon-alpha2-beta1", "excitation-backprop"])
def test_the_transform_in_front_of_the_model_gives_the_same(composite: str, number: int) -> None:
    n, model = 32, network()
    signal = signal_of(np.random.default_rng(0).normal(size=(3, 3, n)))
    explanation = signalrp.explain(model, signal, composite=composite, per_unit=True)
    basis = all_bases(n)[number]
    bound = basis.bind(signal)
    z = bound.forward(torch.as_tensor(signal.values))
    result = signalrp.attribute(bound.in_front_of(model), z, composite=composite, audit=True)
    seen = inspect(explanation, basis)
    np.testing.assert_allclose(result.relevance.numpy(), seen.relevance.values, rtol=0, atol=1e-12)
    gap = result.explained - result.relevance.flatten(1).sum(1) - result.absorbed
    assert float(gap.abs().max()) < 1e-10


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "composite",
    [
        "epsilon-plus-flat",
        "deep-taylor",
        signalrp.WSquare(),
        signalrp.composite("epsilon-gamma-box", low=-1.0, high=1.0),
    ],
)
def test_relevance_that_was_given_as_such_is_carried_over(
    composite: Any, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    n, model = 32, network()
    rng = np.random.default_rng(0)
    signal = signal_of(rng.uniform(0.1, 1, (2, 3, n)) * rng.choice([-1, 1], (2, 3, n)))
    explanation = signalrp.explain(model, signal, composite=composite, per_unit=True)
    basis = all_bases(n)[number]
    assert_conserved(inspect(explanation, basis), explanation)
    bound = basis.bind(signal)
    z = bound.forward(torch.as_tensor(signal.values))
    result = signalrp.attribute(bound.in_front_of(model), z, composite=composite, audit=True)
    gap = result.explained - result.relevance.flatten(1).sum(1) - result.absorbed
    assert float(gap.abs().max()) < 1e-10
    # With a stabiliser about as small as the engine's.
    monkeypatch.setattr(inspection, "_NEAR_ZERO", 1e-6)
    seen = inspect(explanation, basis)
    scale = float(abs(seen.relevance).max())
    np.testing.assert_allclose(result.relevance.numpy(), seen.relevance.values, rtol=0, atol=1e-5 * scale)


def test_relevance_on_zeros_is_lost_and_booked() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 2, (3, 2, 16))
    x[0, :, 4:8] = 0
    x[1] = 0
    given = rng.normal(size=x.shape)
    explanation = explained(signal_of(x), np.zeros_like(x), given)
    seen = inspect(explanation, DFT())
    assert_conserved(seen, explanation, 1e-13)
    # Of the other samples nearly nothing: the square of a hundredth, of samples half as large as the largest.
    nearly = 4e-4 * abs(given).sum((1, 2))
    expected = [given[0, :, 4:8].sum(), given[1].sum(), 0]
    assert (abs(seen.lost.values - expected) <= nearly).all()
    assert (seen.relevance.values[1] == 0).all()
    # What lies on zeros must not be seen as anything else.
    given[0, :, 4:8] = 0
    without = inspect(explained(signal_of(x), np.zeros_like(x), given), DFT())
    np.testing.assert_array_equal(seen.relevance.values, without.relevance.values)


def test_relevance_given_evenly_to_a_sine_lies_at_its_frequency() -> None:
    rng = np.random.default_rng(0)
    t = np.arange(1024) / RATE
    x = np.sin(2 * np.pi * 10 * t + rng.uniform(0, 6, (20, 1, 1))) + 0.1 * rng.normal(size=(20, 1, 1024))
    seen = inspect(explained(signal_of(x), np.zeros_like(x), np.full_like(x, 1 / 1024)), DFT())
    shares = seen.relevance.where(abs(seen.frequency - 10) <= 1, 0).sum(("channel", "frequency"))
    assert 0.95 < float(shares.min()) < float(shares.max()) < 1.05
    assert 0 < float(seen.lost.max()) < 0.02


def test_single_precision_is_kept_and_counts_as_nothing_given() -> None:
    signal = signal_of(np.random.default_rng(0).normal(size=(3, 3, 33)).astype(np.float32))
    explanation = signalrp.explain(network().float(), signal, composite="epsilon-plus", per_unit=True)
    seen = inspect(explanation, DFT())
    assert seen.relevance.dtype == seen.signal.dtype == seen.waveform.dtype == np.float32
    assert "lost" not in seen
    assert_conserved(seen, explanation, 1e-6)


def test_large_signals_go_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    explanation = random_explanation(20, trials=7)
    whole = inspect(explanation, STFT("hann", length=8))
    monkeypatch.setattr(inspection, "_VALUES", 2 * whole.relevance[0].size)
    xr.testing.assert_allclose(inspect(explanation, STFT("hann", length=8)), whole, rtol=0, atol=1e-14)


def test_the_model_is_left_as_it_is() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    x = torch.randn(2, 3, 32, dtype=torch.float64)
    bound = DFT().bind(signal_of(x.numpy()))
    in_front = bound.in_front_of(model)
    torch.testing.assert_close(in_front(bound.forward(x)), model(x))
    torch.testing.assert_close(in_front(torch.view_as_real(bound.forward(x))), model(x))
    assert not in_front.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert bound.in_front_of(network().train()).training


class Overwriting(nn.Module):
    """Writes to its input, and views it in another shape."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(x).view(len(x), -1)[:, :2] * 1.0


def test_the_model_may_do_with_its_input_what_it_likes() -> None:
    signal = signal_of(np.random.default_rng(0).normal(size=(2, 3, 16)))
    for basis in (DFT(), Linear(MATRIX)):
        bound = basis.bind(signal)
        z = bound.forward(torch.as_tensor(signal.values)).requires_grad_()
        (plain,) = torch.autograd.grad(bound.in_front_of(Overwriting())(z).sum(), z)
        result = signalrp.attribute(bound.in_front_of(Overwriting().eval()), z.detach(), target=1, composite="epsilon")
        assert bool(plain.abs().sum() > 0)
        torch.testing.assert_close(result.relevance.flatten(1).sum(1), result.explained, rtol=0, atol=1e-12)


class BandEnergy(nn.Module):
    """Energy of the signal behind a linear filter, on a circle."""

    def __init__(self, taps: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("taps", torch.as_tensor(taps).reshape(1, 1, -1))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        half = self.taps.shape[-1] // 2
        band = F.conv1d(F.pad(x, (half, half), mode="circular"), self.taps)
        return (band * band).sum((1, 2))[:, None]


@pytest.mark.parametrize("n", [512, 513])
def test_energy_in_a_band_has_its_relevance_there(n: int) -> None:
    taps = scipy.signal.firwin(129, [8, 12], fs=RATE, pass_zero=False)
    t = np.arange(n) / RATE
    x = np.sin(2 * np.pi * 10 * t) + 3 * np.sin(2 * np.pi * 25 * t) + 0.5 * np.random.default_rng(0).normal(size=n)
    signal = signal_of(x[None, None])
    model, exact = BandEnergy(taps), signalrp.Epsilon(1e-14)
    seen = inspect(signalrp.explain(model, signal, composite=exact, per_unit=True), DFT())
    # By Parseval's theorem energy is a sum over frequencies, which leaves no choice of how to share it.
    counts = np.full(n // 2 + 1, 2.0)
    counts[0], counts[-1] = 1, 1 if n % 2 == 0 else 2
    gain = abs(np.fft.rfft(np.roll(np.pad(taps, (0, n - len(taps))), -64))) ** 2
    truth = counts * gain * abs(np.fft.rfft(x)) ** 2 / n
    np.testing.assert_allclose(seen.relevance.values[0, 0], truth, rtol=0, atol=1e-9 * truth.max())
    assert abs(float(seen.relevance[0, 0].idxmax()) - 10) <= RATE / n
    bands = seen.relevance.groupby_bins("frequency", [0, 6, 14, 128], labels=["low", "alpha", "high"], right=False)
    assert float(bands.sum().sel(frequency_bins="alpha").sum() / seen.relevance.sum()) > 0.99


def test_a_burst_has_its_relevance_where_and_when_it_sounds() -> None:
    taps = scipy.signal.firwin(65, [30, 50], fs=RATE, pass_zero=False)
    t = np.arange(1024) / RATE
    burst = np.exp(-(((t - 2.5) / 0.15) ** 2)) * np.sin(2 * np.pi * 40 * t)
    x = 0.1 * np.random.default_rng(0).normal(size=1024) + burst
    explanation = signalrp.explain(BandEnergy(taps), signal_of(x[None, None]), composite="epsilon", per_unit=True)
    seen = inspect(explanation, STFT("hann", length=64, hop=16))
    peak = seen.relevance[0, 0].stack(place=("frequency", "frame")).idxmax().item()
    assert abs(peak[0] - 40) <= 4
    assert abs(peak[1] - 2.5) <= 0.1
    inside = seen.relevance.where((abs(seen.frequency - 40) <= 8) & (abs(seen.frame - 2.5) <= 0.4)).sum()
    assert float(inside / seen.relevance.sum()) > 0.9


def test_relevance_is_at_the_source_that_the_model_reads() -> None:
    rng = np.random.default_rng(0)
    sources, mixing = rng.normal(size=(4, 3, 64)), rng.normal(size=(3, 3))
    unmixing = np.linalg.inv(mixing)
    model = nn.Sequential(nn.Conv1d(3, 1, 1, bias=False), nn.Flatten(), nn.Linear(64, 2)).double().eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.as_tensor(unmixing[1]).reshape(1, 3, 1))
    signal = signal_of(mixing @ sources)
    explanation = signalrp.explain(model, signal, composite="epsilon", per_unit=True)
    seen = inspect(explanation, Linear(unmixing, names=["blink", "alpha", "noise"]))
    shares = abs(seen.relevance).sum("time")
    assert float((shares.sel(component="alpha") / shares.sum("component")).min()) > 1 - 1e-12
    assert float((abs(explanation.relevance).sum("time") > 1e-3).mean()) == 1


def test_a_chain_is_one_basis_after_the_other() -> None:
    explanation = random_explanation(32)
    first = inspect(explanation, Linear(MATRIX))
    unmixed = first.signal
    per_unit = np.einsum("ct,bcn->btn", np.linalg.inv(MATRIX), explanation.per_unit.values)
    second = inspect(explained(unmixed, per_unit), DFT())
    both = inspect(explanation, Chain(Linear(MATRIX), DFT()))
    assert both.relevance.dims == ("trial", "component", "frequency")
    np.testing.assert_allclose(both.relevance.values, second.relevance.values, rtol=0, atol=1e-11)
    np.testing.assert_allclose(both.relevance.sum("frequency"), first.relevance.sum("time"), rtol=0, atol=1e-11)
    other = inspect(explanation, Chain(DFT(), Linear(MATRIX)))
    np.testing.assert_allclose(other.relevance.values, both.relevance.values, rtol=0, atol=1e-11)


@pytest.mark.slow
def test_a_model_of_steady_state_potentials_reads_the_flicker_at_20_hertz(shared_data: Any) -> None:
    with np.load(shared_data / "eeg_muse_erp_ssvep" / "visual_SSVEP.npz") as file:
        eeg, marker, run, rate = file["eeg_uv"], file["marker"], file["run"], float(file["sfreq"])
    n = int(2 * rate)
    onsets = np.flatnonzero(marker) + int(rate / 2)
    starts = np.array([i for i in onsets if i + n <= len(run) and run[i - 128] == run[i + n - 1]])
    x = np.stack([eeg[i : i + n].T for i in starts]).astype(np.float32)
    label = marker[starts - int(rate / 2)].astype(np.int64) - 1
    x = (x - x.mean(-1, keepdims=True)) / 20
    keep = abs(x).max((1, 2)) < 10
    x, label, last = x[keep], label[keep], (run[starts] >= run.max() - 1)[keep]
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(4, 4, 1, bias=False), nn.Conv1d(4, 8, 65, padding=32), nn.ReLU(), nn.AdaptiveAvgPool1d(1),
        nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip
    optimiser = torch.optim.Adam(model.parameters(), 3e-3, weight_decay=1e-3)
    inputs, targets = torch.as_tensor(x[~last]), torch.as_tensor(label[~last])
    for _ in range(60):
        for batch in torch.randperm(len(inputs)).split(32):
            optimiser.zero_grad()
            F.cross_entropy(model(inputs[batch]), targets[batch]).backward()
            optimiser.step()
    model.eval()
    signal = signal_of(x[last], rate, label=("trial", label[last]))
    explanation = signalrp.explain(
        model, signal, target=lambda out: out[:, 1] - out[:, 0], composite="epsilon", per_unit=True
    )
    seen = inspect(explanation, DFT())
    assert_conserved(seen, explanation, 1e-6)
    by_class = seen.relevance.sum("channel").groupby(seen.label).mean()
    contrast = by_class.sel(label=1) - by_class.sel(label=0)
    assert float(contrast.idxmax()) == 20
    assert float(contrast.max()) > 10 * float(abs(contrast.where(contrast.frequency != 20)).max())

    def accuracy_without(low: float, high: float) -> float:
        bound = DFT().bind(signal)
        z = bound.forward(torch.as_tensor(signal.values))
        frequency = torch.as_tensor(bound.coords["frequency"].values)
        z[..., (frequency >= low) & (frequency <= high)] = 0
        return float((model(bound.inverse(z)).argmax(1).numpy() == label[last]).mean())

    # The model itself says the same once a band is taken away.
    assert accuracy_without(0, 0) > 0.85
    assert accuracy_without(29, 31) > 0.85
    assert accuracy_without(19, 21) < 0.65


def test_other_variables_and_coordinates_stay() -> None:
    signal = signal_of(
        np.random.default_rng(0).normal(size=(4, 3, 32)),
        subject=("trial", list("aabb")),
        label=("trial", [0, 1, 2, 3]),
        side=("channel", list("lmr")),
    )
    explanation = signalrp.explain(network(), signal, audit=True, per_unit=True)
    seen = inspect(explanation, Chain(Linear(MATRIX, names=["p", "q", "r"]), DFT()))
    for name in ("output", "target", "label", "explained", "absorbed", "subject", "side", "time"):
        xr.testing.assert_identical(seen[name].variable, explanation[name].variable)
    assert "per_unit" not in seen
    xr.testing.assert_identical(seen.waveform.variable, explanation.signal.variable)
    assert seen.relevance.sel(component="q").dims == ("trial", "frequency")
    assert seen.relevance.coords["subject"].values.tolist() == list("aabb")
    assert seen.attrs["composite"] == "epsilon-plus"


@pytest.mark.parametrize("basis", [STFT("hann", length=8), Chain(Linear(MATRIX), DFT())], ids=["STFT", "chain"])
def test_files_give_back_what_they_were_given(basis: Basis, tmp_path: Any) -> None:
    explanation = signalrp.explain(network(), signal_of(np.ones((2, 3, 32))), composite="deep-taylor", per_unit=True)
    seen = inspect(explanation, basis)
    seen.to_netcdf(tmp_path / "seen.nc")
    xr.testing.assert_equal(signalrp.load(tmp_path / "seen.nc"), seen)


def test_any_dimension_of_any_signal() -> None:
    rng = np.random.default_rng(0)
    dims = ("trial", "rgb", "frame", "row", "column")
    signal = xr.DataArray(rng.normal(size=(2, 3, 8, 5, 4)), dims=dims)
    explanation = explained(signal, rng.normal(size=signal.shape))
    seen = inspect(explanation, STFT("hann", length=4, dim="frame", new_dims=("rhythm", "moment")))
    assert seen.relevance.dims == ("trial", "rgb", "rhythm", "moment", "row", "column")
    assert_conserved(seen, explanation)
    seen_by_pixel = seen.relevance.sum(("rhythm", "moment"))
    np.testing.assert_allclose(seen_by_pixel, explanation.relevance.sum("frame"), rtol=0, atol=1e-11)


def test_windows_that_share_samples_are_seen_too() -> None:
    model = network()
    signal = signal_of(np.random.default_rng(0).normal(size=(2, 3, 96)))
    explanation = signalrp.explain(model, signal, window=32, overlap=16, per_unit=True, audit=True)
    seen = inspect(explanation, DFT())
    assert_conserved(seen, explanation)
    assert seen.output.dims == ("trial", "window", "class")


def test_integers_are_signals_as_well() -> None:
    values = np.random.default_rng(0).integers(-50, 50, (2, 3, 32)).astype(np.int16)
    explanation = signalrp.explain(network(), signal_of(values), per_unit=True)
    seen = inspect(explanation, DFT())
    np.testing.assert_allclose(seen.signal.values, abs(np.fft.rfft(values.astype(float))), rtol=1e-12)
    bound = DFT().bind(signal_of(values))
    assert bound.coefficients(signal_of(values)).dtype == np.float64


def test_coefficients_are_a_signal_that_any_method_explains() -> None:
    model, signal = network(), signal_of(np.random.default_rng(0).normal(size=(3, 3, 32)), label=("trial", [0, 1, 2]))
    for basis in (DFT(), DCT(), Chain(Linear(MATRIX), STFT("hann", length=8))):
        bound = basis.bind(signal)
        own = signalrp.explain(bound.in_front_of(model), bound.coefficients(signal), composite="epsilon-plus")
        seen = inspect(signalrp.explain(model, signal, composite="epsilon-plus", per_unit=True), basis)
        found = gather(own, bound)
        assert set(seen.variables) == set(found.variables)
        for name in ("signal", "relevance", "waveform", "output", "label"):
            xr.testing.assert_allclose(found[name], seen[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", [name for name in methods()["name"] if name not in ("mamba-lrp", *FITTED)])
@pytest.mark.parametrize("basis", [DFT(), Chain(Linear(MATRIX), STFT("hann", length=8))], ids=["DFT", "chain"])
def test_every_method_explains_in_another_basis(basis: Basis, method: str) -> None:
    pytest.importorskip("captum")
    model, signal = network(), signal_of(np.random.default_rng(0).normal(size=(4, 3, 32)))
    bound = basis.bind(signal)
    coefficients = bound.coefficients(signal)
    options: dict[str, Any] = {"reference": coefficients} if method == "gradient-shap" else {}
    options |= {"low": -9.0, "high": 9.0} if method == "epsilon-gamma-box" else {}
    found = gather(explain_with(method, bound.in_front_of(model), coefficients, **options), bound)
    assert found.relevance.dims == bound.dims
    assert float(abs(found.relevance).max()) > 0
    np.testing.assert_allclose(found.waveform, signal, rtol=0, atol=1e-12)
    if method in PER_UNIT:
        # Along the way from zero to the signal, coefficients grow as samples do.
        direct = inspect(explain_with(method, model, signal, per_unit=True), basis)
        np.testing.assert_allclose(found.relevance.values, direct.relevance.values, rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", FITTED)
def test_methods_of_patterns_are_refused_in_another_basis(method: str) -> None:
    model, signal = network(), signal_of(np.random.default_rng(0).normal(size=(4, 3, 32)))
    bound = DFT().bind(signal)
    coefficients = bound.coefficients(signal)
    with pytest.raises(ValueError, match="explain the model itself, or choose another method"):
        explain_with(method, bound.in_front_of(model), coefficients, reference=coefficients)


def test_relevance_per_unit_must_be_there() -> None:
    explanation = random_explanation(16).drop_vars("per_unit")
    with pytest.raises(ValueError, match=r"explain\(\.\.\., per_unit=True\)"):
        inspect(explanation, DFT())


def test_a_dataset_without_signal_is_no_explanation() -> None:
    with pytest.raises(ValueError, match="holds no signal and is no explanation"):
        inspect(random_explanation(16).drop_vars("signal"), DFT())


def test_arrays_that_may_not_be_written_to_are_read() -> None:
    explanation = random_explanation(16)
    for name in ("signal", "relevance", "per_unit"):
        explanation[name].values.flags.writeable = False
        explanation[name] = explanation[name].astype(">f8")
    assert_conserved(inspect(explanation, DFT()), explanation)
    assert DFT().bind(explanation.signal).coefficients(explanation.signal).shape == (2, 3, 9, 2)


def test_explanations_are_inspected_once() -> None:
    explanation = random_explanation(16)
    with pytest.raises(ValueError, match=r"was inspected before.*Chain"):
        inspect(inspect(explanation, DCT()), DFT())


@pytest.mark.parametrize("basis", [DFT, "DFT", None])
def test_a_basis_must_be_one(basis: Any) -> None:
    with pytest.raises(TypeError, match=r"such as DFT\(\)"):
        inspect(random_explanation(16), basis)


@pytest.mark.parametrize("name", ["signal", "relevance", "per_unit"])
def test_maps_must_be_finite_and_fit(name: str) -> None:
    explanation = random_explanation(16)
    broken = explanation.copy(deep=True)
    broken[name][1, 0, 3] = np.nan
    with pytest.raises(ValueError, match=f"{name} has NaN or infinite values in 1 of 2 trials, first in trial 1"):
        inspect(broken, DFT())
    if name != "signal":
        with pytest.raises(ValueError, match=f"has '{name}'.*expected"):
            inspect(explanation.assign({name: explanation[name].isel(time=0)}), DFT())


@pytest.mark.parametrize(
    ("basis", "coefficients"),
    [
        (DFT(), torch.zeros(2, 3, 17)),
        (DFT(), torch.zeros(2, 3, 16, dtype=torch.complex128)),
        (DCT(), torch.zeros(2, 3, 32, dtype=torch.complex128)),
        (DCT(), torch.zeros(2, 3, 32, 2)),
    ],
)
def test_the_model_behind_the_inverse_takes_its_coefficients_only(basis: Basis, coefficients: Tensor) -> None:
    bound = basis.bind(signal_of(np.zeros((1, 3, 32))))
    with pytest.raises(ValueError, match=r"the model takes .* coefficients .*, found"):
        bound.in_front_of(network())(coefficients)


def test_an_explanation_of_other_coefficients_is_not_gathered() -> None:
    explanation = random_explanation(32)
    bound = DFT().bind(explanation.signal)
    with pytest.raises(ValueError, match=r"explanation of the coefficients has .*, found"):
        gather(explanation, bound)
