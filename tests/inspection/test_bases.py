"""Every basis is exact: its matrices, its way back, its frequencies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import scipy.signal
import torch
import xarray as xr
from hypothesis import assume, given
from hypothesis import strategies as st
from reference import bases
from reference.inspected import NUMBERS, RATE, all_bases, assert_conserved, random_explanation, signal_of

from signalrp.inspection import DCT, DFT, STFT, Basis, Chain, Linear, inspect


def along_time(explanation: xr.Dataset, pair: bases.Pair) -> np.ndarray:
    """The dense reference for every trial and channel."""
    x, c = explanation.signal.values, explanation.per_unit.values
    rows = [bases.relevance(a, b, pair) for a, b in zip(*(v.reshape(-1, v.shape[-1]) for v in (x, c)), strict=True)]
    return np.reshape(rows, (*x.shape[:2], -1))


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9, 30, 31])
@pytest.mark.parametrize(("basis", "pair"), [(DFT(), bases.dft), (DCT(), bases.dct)])
def test_spectra_are_those_of_the_matrices(basis: Basis, pair: Any, n: int) -> None:
    explanation = random_explanation(n)
    seen = inspect(explanation, basis)
    analysis, _ = pair(n)
    expected = explanation.signal.values @ analysis.T
    expected = abs(expected) if np.iscomplexobj(analysis) else expected
    np.testing.assert_allclose(seen.signal.values, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(seen.relevance.values, along_time(explanation, pair(n)), rtol=0, atol=1e-12)
    assert_conserved(seen, explanation, 1e-13)


@pytest.mark.parametrize("n", [24, 25])
@pytest.mark.parametrize(
    ("window", "length", "hop"),
    [("hann", 8, 2), ("hann", 8, 4), ("hamming", 9, 5), ("boxcar", 6, 6), (("kaiser", 8.0), 7, 3), ("blackman", 24, 5)],
)
def test_short_time_spectra_are_those_of_the_matrices(n: int, window: Any, length: int, hop: int) -> None:
    explanation = random_explanation(n, channels=2)
    seen = inspect(explanation, STFT(window, length=length, hop=hop))
    pair = bases.stft(n, scipy.signal.get_window(window, length), hop)
    shape = seen.relevance.shape
    coefficients = (explanation.signal.values @ pair[0].T).reshape(shape)
    np.testing.assert_allclose(seen.signal.values, abs(coefficients), rtol=0, atol=1e-12)
    np.testing.assert_allclose(seen.relevance.values, along_time(explanation, pair).reshape(shape), rtol=0, atol=1e-12)
    starts = np.array(bases.frame_starts(n, length, hop))
    np.testing.assert_allclose(seen.frame.values, (starts + length // 2) / RATE)


def test_short_time_spectra_are_those_of_scipy() -> None:
    pytest.importorskip("scipy", minversion="1.12")
    x = np.random.default_rng(3).normal(size=(2, 3, 100))
    window = scipy.signal.get_window("hamming", 16)
    theirs = scipy.signal.ShortTimeFFT(window, hop=6, fs=RATE, fft_mode="onesided", phase_shift=None)
    bound = STFT("hamming", length=16, hop=6).bind(signal_of(x))
    np.testing.assert_allclose(bound.forward(torch.as_tensor(x)).numpy(), theirs.stft(x), rtol=0, atol=1e-12)
    np.testing.assert_allclose(bound.coords["frame"].values, theirs.t(100), rtol=0, atol=1e-12)
    np.testing.assert_allclose(bound.coords["frequency"].values, theirs.f)


@pytest.mark.parametrize("n", [100, 101])
def test_cosine_transform_is_that_of_scipy(n: int) -> None:
    x = np.random.default_rng(3).normal(size=(2, 3, n))
    found = DCT().bind(signal_of(x)).forward(torch.as_tensor(x))
    np.testing.assert_allclose(found.numpy(), scipy.fft.dct(x, norm="ortho"), rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [1000, 1001])
def test_one_sided_relevance_is_that_of_the_whole_spectrum(n: int) -> None:
    explanation = random_explanation(n)
    x, c = explanation.signal.values, explanation.per_unit.values
    whole = (np.fft.fft(x) * np.fft.fft(c).conj()).real / n
    expected = whole[..., : n // 2 + 1].copy()
    twins = slice(1, (n + 1) // 2)
    expected[..., twins] += whole[..., :0:-1][..., : (n - 1) // 2]
    seen = inspect(explanation, DFT())
    np.testing.assert_allclose(seen.relevance.values, expected, rtol=0, atol=1e-11)
    assert_conserved(seen, explanation, 1e-12)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("n", [32, 33])
def test_every_basis_goes_back_and_keeps_sums(n: int, number: int) -> None:
    explanation = random_explanation(n)
    basis = all_bases(n)[number]
    seen, bound = inspect(explanation, basis), basis.bind(explanation.signal)
    assert_conserved(seen, explanation)
    x = torch.as_tensor(explanation.signal.values)
    torch.testing.assert_close(bound.inverse(bound.forward(x)), x, rtol=0, atol=1e-11)
    assert seen.relevance.dims == seen.signal.dims == bound.dims
    assert seen.relevance.shape[1:] == bound.shape
    assert seen.attrs["basis"] == repr(basis)
    assert "lost" not in seen


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("n", [16, 17])
def test_the_adjoint_is_that_of_automatic_differentiation(n: int, number: int) -> None:
    explanation = random_explanation(n)
    bound = all_bases(n)[number].bind(explanation.signal)
    z = bound.forward(torch.as_tensor(explanation.signal.values)).resolve_conj().requires_grad_()
    c = torch.as_tensor(explanation.per_unit.values)
    (pulled,) = torch.autograd.grad(bound.inverse(z), z, c)
    torch.testing.assert_close(bound.adjoint(c), pulled, rtol=0, atol=1e-12)


@given(
    n=st.integers(1, 70),
    kind=st.sampled_from(["boxcar", "hann", "hamming", "bartlett", "random", "signed"]),
    length=st.integers(1, 40),
    hop=st.integers(1, 40),
    seed=st.integers(0, 9),
)
def test_any_window_that_can_be_inverted_is_exact(n: int, kind: str, length: int, hop: int, seed: int) -> None:
    assume(length <= n)
    rng = np.random.default_rng(seed)
    own = {"random": rng.uniform(0.1, 1, length), "signed": rng.normal(size=length)}
    window = own[kind] if kind in own else scipy.signal.get_window(kind, length)
    squares = np.array([(window[r::hop] ** 2).sum() for r in range(hop)])
    if squares.min() <= 1e-8 * squares.max():
        with pytest.raises(ValueError, match="cannot be inverted"):
            STFT(window, hop=hop)
        return
    explanation = random_explanation(n, seed=seed)
    basis = STFT(window, hop=hop)
    bound = basis.bind(explanation.signal)
    x = torch.as_tensor(explanation.signal.values)
    torch.testing.assert_close(bound.inverse(bound.forward(x)), x, rtol=0, atol=1e-10)
    assert_conserved(inspect(explanation, basis), explanation)


@given(n=st.integers(1, 80), trials=st.integers(1, 4), channels=st.integers(1, 4), seed=st.integers(0, 9))
def test_spectra_of_any_size_are_exact(n: int, trials: int, channels: int, seed: int) -> None:
    explanation = random_explanation(n, trials, channels, seed)
    x = torch.as_tensor(explanation.signal.values)
    for basis in (DFT(), DCT(), Chain(Linear(np.eye(channels)), DFT())):
        bound = basis.bind(explanation.signal)
        torch.testing.assert_close(bound.inverse(bound.forward(x)), x, rtol=0, atol=1e-12)
        assert_conserved(inspect(explanation, basis), explanation)


@pytest.mark.parametrize(
    ("units", "rate", "expected", "named"),
    [
        ("s", 100.0, 50.0, "Hz"),
        ("ms", 0.1, 50.0, "Hz"),
        ("µs", 1e-4, 50.0, "Hz"),
        ("% stance", 1.0, 0.5, "cycles per % stance"),
        ("", 1.0, 0.5, "cycles per sample"),
        ("", 100.0, 50.0, "cycles per unit of time"),
    ],
)
def test_frequencies_have_units(units: str, rate: float, expected: float, named: str) -> None:
    signal = signal_of(np.ones((1, 1, 20)), rate, units)
    for basis in (DFT(), STFT("hann", length=10)):
        frequency = basis.bind(signal).coords["frequency"]
        assert frequency.attrs == {"units": named}
        assert frequency.values[-1] == pytest.approx(expected)
    frequency = DCT().bind(signal).coords["frequency"]
    assert frequency.values[1] == pytest.approx(expected / 20)


def test_time_may_be_a_date_or_missing() -> None:
    days = np.datetime64("2024-01-01", "ns") + np.arange(64) * np.timedelta64(10, "ms")
    signal = signal_of(np.ones((1, 1, 64))).drop_vars("time")
    dated = STFT("hann", length=16, hop=8).bind(signal.assign_coords(time=days))
    assert dated.coords["frequency"].values[-1] == pytest.approx(50)
    assert dated.coords["frame"].values[:2].tolist() == days[[0, 8]].tolist()
    plain = STFT("hann", length=16, hop=8).bind(signal)
    assert plain.coords["frequency"].attrs["units"] == "cycles per sample"
    assert plain.coords["frame"].values[:3].tolist() == [0, 8, 16]


def test_rounded_times_are_equal_steps() -> None:
    explanation = random_explanation(500).assign_coords(time=np.round(np.arange(500) / 256, 4).astype(np.float32))
    assert float(inspect(explanation, DFT()).frequency[-1]) == pytest.approx(128, rel=1e-4)


@pytest.mark.parametrize(
    ("basis", "message"),
    [
        (DFT(dim="epoch"), r"needs the dimension 'epoch', found 'channel', 'time' behind trial"),
        (DFT(dim="trial"), r"needs the dimension 'trial'"),
        (DCT(new_dim="channel"), "cannot be called 'channel'"),
        (STFT("hann", length=8, new_dims=("frequency", "time")), "cannot be called 'time'"),
        (STFT("hann", length=17), "window of 17 samples is longer than the signal, 16"),
        (Linear(np.eye(4)), "4 columns where the signal has 3 along 'channel'"),
        (Chain(DFT(), DCT(dim="channel", new_dim="order")), "is for real numbers.*first in the chain"),
        (Chain(Linear(np.eye(3)), Linear(np.eye(3), dim="component", new_dim="channel")), "makes 'channel'"),
        (Linear(np.eye(3), new_dim="class"), "has another 'class' already"),
    ],
)
def test_a_basis_must_fit_the_signal(basis: Basis, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        inspect(random_explanation(16), basis)


@pytest.mark.parametrize(
    "time",
    [np.arange(16) ** 1.2, np.r_[0:8, 9:17], -np.arange(16), np.zeros(16), np.r_[np.nan, 1:16]],
)
def test_time_must_go_in_equal_steps(time: np.ndarray) -> None:
    explanation = random_explanation(16).assign_coords(time=time)
    for basis in (DFT(), DCT(), STFT("hann", length=8)):
        with pytest.raises(ValueError, match=r"must increase in equal steps, found steps from .* to"):
            inspect(explanation, basis)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": "hann", "length": 8, "hop": 8}, "cannot be inverted.*hop of 7 samples or fewer"),
        ({"window": "boxcar", "length": 8, "hop": 9}, "cannot be inverted.*hop of 8 samples or fewer"),
        ({"window": np.zeros(8)}, "cannot be inverted.*0 throughout"),
        ({"window": "hann"}, "needs a length"),
        ({"window": "hat", "length": 8}, "get_window makes no window of 'hat'"),
        ({"window": np.ones(8), "length": 9}, "window of 8 samples and length=9"),
        ({"window": np.ones((2, 8))}, "one row of finite real numbers"),
        ({"window": [1.0, np.nan]}, "one row of finite real numbers"),
        ({"window": "hann", "length": 8.5}, "length of the window is a number of samples"),
        ({"window": "hann", "length": 8, "hop": 0}, "hop is a number of samples"),
    ],
)
def test_windows_must_be_invertible(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        STFT(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"matrix": [[1.0, np.nan], [0, 1]]}, "matrix holds 1 values that are NaN"),
        ({"matrix": np.ones(3)}, "must have two dimensions"),
        ({"matrix": np.array([["a"]])}, "must have two dimensions, numbers throughout"),
        ({"matrix": np.eye(3), "inverse": np.eye(3)[:2]}, r"must be \(3, 3\), found \(2, 3\)"),
        ({"matrix": np.eye(3), "inverse": 2 * np.eye(3)}, "differs from the identity by up to 1,.*its own inverse"),
        ({"matrix": np.eye(3)[:2]}, "differs from the identity by up to 1,.*null_space"),
        ({"matrix": np.ones((3, 3))}, "differs from the identity by up to 0.67"),
        ({"matrix": np.eye(3), "names": ["a", "b"]}, "2 names for 3 coefficients"),
    ],
)
def test_matrices_must_be_invertible(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Linear(**arguments)


def test_fewer_components_than_channels_are_completed_as_the_message_says() -> None:
    few = np.random.default_rng(0).normal(size=(2, 5))
    whole = np.vstack([few, scipy.linalg.null_space(few).T])
    explanation = random_explanation(16, channels=5)
    assert_conserved(inspect(explanation, Linear(whole)), explanation)


def test_a_chain_needs_bases() -> None:
    for bases_ in ((), (DFT,), (DFT(), "DCT")):
        with pytest.raises(ValueError, match="a chain is made of bases"):
            Chain(*bases_)


def test_signals_begin_with_trials_and_hold_samples() -> None:
    signal = signal_of(np.zeros((2, 3, 16)))
    with pytest.raises(ValueError, match="first must be 'trial'"):
        DFT().bind(signal.transpose("channel", "trial", "time"))
    with pytest.raises(ValueError, match="no sample along 'time'"):
        DFT().bind(signal[..., :0])
