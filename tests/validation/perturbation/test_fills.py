from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference.manipulation import bridged, constant, solved, straight, surrogate

from signalrp.validation.perturbation import fills
from signalrp.validation.perturbation.fills import FILLS, Fill, Material, prepare_fill, surrogates
from signalrp.validation.perturbation.gaps import interpolate_gaps, solve_gaps

DIMS = {
    3: ("trial", "channel", "time"),
    4: ("trial", "channel", "frequency", "time"),
    5: ("trial", "rgb", "frame", "row", "column"),
}
shapes = st.integers(3, 5).flatmap(lambda n: st.tuples(st.integers(2, 4), *[st.integers(1, 6)] * (n - 1)))


def material(values: NDArray[np.generic], seed: int = 0, **options: object) -> Material:
    own = np.arange(len(values))
    return Material(**{"reference": values, "dims": DIMS.get(values.ndim, ()), "own": own, "seed": seed} | options)


def fill_in(fill: Fill, signal: NDArray[np.generic], removed: NDArray[np.bool_]) -> NDArray[np.generic]:
    """All trials filled where removed, (step, trial, …)."""
    content = torch.tensor(signal)
    replacement = fill(content, slice(0, len(signal)))
    masks = torch.tensor(removed)
    values = replacement if isinstance(replacement, torch.Tensor) else replacement(masks)
    return torch.where(masks, values, content).numpy()


def streams(seed: int, stream: int, trials: int) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, stream, trial]) for trial in range(trials)]


def expected_of(name: str, signal: NDArray[np.floating], seed: int) -> object:
    """Each fill by loops over channels, from the same draws."""
    pooled = {3: (0, 2), 4: (0, 3), 5: (0, 2, 3, 4)}[signal.ndim]
    axis = DIMS[signal.ndim].index("frame" if signal.ndim == 5 else "time") - 1
    content = np.empty_like(signal)
    if name in ("mean", "zero"):
        return constant(signal.mean(0) if name == "mean" else np.zeros(signal.shape[1:]))
    stream = {
        "noise": fills._NOISE_STREAM,
        "uniform": fills._UNIFORM_STREAM,
        "spectrum-surrogate": fills._PHASE_STREAM,
        "noisy-linear": fills._GAP_STREAM,
    }.get(name, 0)
    draws = streams(seed, stream, len(signal))
    if name == "interpolate":
        return bridged(signal, axis, straight)
    if name == "spectrum-surrogate":
        length = signal.shape[axis + 1]
        for trial, rng in enumerate(draws):
            phases = rng.uniform(0, 2 * np.pi, length // 2 + 1)
            content[trial] = np.apply_along_axis(surrogate, axis, signal[trial], phases)
        return constant(content)
    free = [range(signal.shape[a]) if a not in pooled else [slice(None)] for a in range(signal.ndim)]
    low, high, mean, sd = (np.empty(signal.shape[1:]) for _ in range(4))
    for index in np.ndindex(*[len(places) for places in free]):
        at = tuple(places[i] for places, i in zip(free, index, strict=True))
        channel, inside = signal[at], at[1:]
        low[inside], high[inside], mean[inside], sd[inside] = (
            channel.min(),
            channel.max(),
            channel.mean(),
            channel.std(),
        )
    for trial, rng in enumerate(draws):
        if name == "uniform":
            content[trial] = low + (high - low) * rng.random(signal.shape[1:])
        else:
            content[trial] = rng.standard_normal(signal.shape[1:])
    if name == "uniform":
        return constant(content)
    if name == "noise":
        return constant(mean + sd * content)
    bridge = bridged(signal, axis, solved)

    def noisy(trial: int, values: NDArray[np.generic], mask: NDArray[np.bool_]) -> NDArray[np.generic]:
        return bridge(trial, values, mask) + mask * 0.01 * sd * content[trial]

    return noisy


@pytest.mark.parametrize("name", [name for name in FILLS if name != "trial-swap"])
@settings(deadline=None, max_examples=20)
@given(shape=shapes, seed=st.integers(0, 2**31), share=st.floats(0, 1))
def test_fills_equal_loops(name: str, shape: tuple[int, ...], seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=shape)
    removed = rng.random((2, *shape)) < share
    found = fill_in(prepare_fill(name, material(signal, seed)), signal, removed)
    filled = expected_of(name, signal, seed)
    for step, trial in np.ndindex(removed.shape[:2]):
        expected = filled(trial, signal[trial], removed[step, trial])
        np.testing.assert_allclose(found[step, trial], expected, rtol=0, atol=1e-10)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_gaps_equal_interpolation_and_a_dense_system(length: int, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    signal, removed = rng.normal(size=(2, 3, length)), rng.random((4, 2, 3, length)) < share
    lines, system = (
        bridge(torch.tensor(signal), torch.tensor(removed)).numpy() for bridge in (interpolate_gaps, solve_gaps)
    )
    for index in np.ndindex(4, 2, 3):
        values, gone = signal[index[1:]], removed[index]
        if not gone.all():
            np.testing.assert_allclose(lines[index][gone], straight(values, gone)[gone], rtol=0, atol=1e-12)
            np.testing.assert_allclose(system[index], solved(values, gone), rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_line_with_a_long_gap_is_filled_by_the_line(dtype: torch.dtype) -> None:
    line = torch.linspace(-3, 5, 2000, dtype=dtype).view(1, 1, -1)
    gone = torch.ones(1, 1, 1, 2000, dtype=torch.bool)
    gone[..., :2] = gone[..., -2:] = False
    found = solve_gaps(line, gone)
    assert found.dtype == dtype
    np.testing.assert_allclose(found[0], line, rtol=0, atol=1e-6 if dtype == torch.float32 else 1e-9)


@pytest.mark.parametrize("length", [1, 2, 15, 16])
def test_surrogates_keep_the_spectrum_and_the_cross_spectrum(length: int) -> None:
    signal = np.random.default_rng(1).normal(2, 1, size=(3, 4, length))
    fill = prepare_fill("spectrum-surrogate", material(signal))
    found = fill_in(fill, signal, np.ones((1, *signal.shape), bool))[0]
    before, after = np.fft.fft(signal), np.fft.fft(found)
    np.testing.assert_allclose(abs(after), abs(before), rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.mean(-1), signal.mean(-1), rtol=0, atol=1e-12)
    cross = [np.einsum("tik,tjk->tijk", spectrum, spectrum.conj()) for spectrum in (before, after)]
    np.testing.assert_allclose(*cross, rtol=0, atol=1e-10)
    if length > 2:
        assert (abs(found - signal).max((1, 2)) > 0.1).all()


def test_phases_of_surrogates_are_spread_and_nyquist_turns_either_way() -> None:
    signal = np.random.default_rng(1).normal(size=(1, 1, 8)).repeat(400, 0)
    fill = prepare_fill("spectrum-surrogate", material(signal))
    turned = np.fft.rfft(fill_in(fill, signal, np.ones((1, *signal.shape), bool))[0, :, 0]) / np.fft.rfft(signal[:, 0])
    # the mean of 400 random directions is about 0.05 long
    assert (abs(turned[:, 1:].mean(0)) < 0.15).all()
    np.testing.assert_allclose(turned[:, 0], 1, atol=1e-12)
    np.testing.assert_allclose(abs(turned[:, 4].real), 1, atol=1e-12)


def test_surrogates_do_not_touch_the_phases_they_are_given() -> None:
    phases = torch.full((1, 1, 5), 4.0)
    surrogates(torch.randn(1, 2, 8), phases)
    assert (phases == 4).all()


def test_swapped_segments_come_from_another_trial() -> None:
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(6, 2, 5))
    removed = rng.random((3, *signal.shape)) < 0.5
    donors = set()
    for seed in range(30):
        fill = prepare_fill("trial-swap", material(signal, seed))
        found = fill_in(fill, signal, removed)
        donor = fill_in(fill, signal, np.ones((1, *signal.shape), bool))[0]
        for trial in range(6):
            (number,) = [n for n in range(6) if np.array_equal(donor[trial], signal[n])]
            donors.add((trial, number))
            expected = np.where(removed[:, trial], signal[number], signal[trial])
            np.testing.assert_array_equal(found[:, trial], expected)
    assert donors == {(trial, other) for trial in range(6) for other in range(6) if trial != other}


def test_swapped_segments_come_from_the_reference_where_there_is_one() -> None:
    rng = np.random.default_rng(0)
    signal, reference = rng.normal(size=(4, 2, 5)), rng.normal(size=(3, 2, 5))
    reference[1] = signal[2]
    everything = np.ones((1, *signal.shape), bool)
    own = np.array([-1, -1, 1, -1])
    donors = set()
    for seed in range(40):
        donor = fill_in(prepare_fill("trial-swap", material(reference, seed, own=own)), signal, everything)[0]
        donors |= {(t, n) for t in range(4) for n in range(3) if np.array_equal(donor[t], reference[n])}
    assert donors == {(trial, number) for trial in range(4) for number in range(3)} - {(2, 1)}


@pytest.mark.parametrize("name", ["noise", "uniform", "mean", "trial-swap"])
def test_coefficients_are_filled_in_both_parts(name: str) -> None:
    rng = np.random.default_rng(2)
    signal = rng.normal(size=(300, 2, 4)) * [1, 2, 3, 4] + 1j * rng.normal(3, 1, size=(300, 2, 4))
    signal.imag[..., 0] = 0
    coefficients = material(signal, dims=("trial", "channel", "frequency"), basis=True)
    found = fill_in(prepare_fill(name, coefficients), signal, np.ones((1, *signal.shape), bool))[0]
    assert found.dtype == signal.dtype
    assert (found.imag[..., 0] == 0).all()
    for part, whole in ((found.real, signal.real), (found.imag, signal.imag)):
        assert (part.min(0) >= whole.min(0)).all() or name == "noise"
        # of 300 draws the mean is off by sd / 17, of uniform ones by the range / 60
        limit = 5 * whole.std(0) / 17 if name != "uniform" else np.ptp(whole, 0) / 10
        middle = (whole.min(0) + whole.max(0)) / 2 if name == "uniform" else whole.mean(0)
        assert (abs(part.mean(0) - middle) <= limit + 1e-12).all()
        if name == "noise":
            np.testing.assert_allclose(part.std(0), whole.std(0), rtol=0.2, atol=1e-12)


def test_noise_has_the_references_mean_and_deviation() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal([[[3.0], [-100.0]]], [[[0.5], [20.0]]], size=(50, 2, 200))
    fill = prepare_fill("noise", material(reference, own=np.full(40, -1)))
    noise = fill(torch.zeros(40, 2, 200), slice(0, 40)).double()
    # 8000 draws per channel: the mean's standard error is sd / 89
    np.testing.assert_allclose(noise.mean((0, 2)), [3, -100], atol=5 / 89 * 20)
    np.testing.assert_allclose(noise[:, 0].mean(), 3, atol=5 / 89 * 0.5)
    np.testing.assert_allclose(noise.std((0, 2)), reference.std((0, 2)), rtol=0.05)


@pytest.mark.parametrize("name", ["noise", "uniform", "spectrum-surrogate", "trial-swap", "noisy-linear"])
def test_content_of_a_trial_does_not_depend_on_its_neighbours(name: str) -> None:
    signal = np.random.default_rng(0).normal(size=(5, 2, 9))
    fill = prepare_fill(name, material(signal, 3))
    mask = np.zeros((1, 5, 2, 9), bool)
    mask[..., 2:6] = True
    content = torch.tensor(signal)
    replacements = fill(content, slice(0, 5)), fill(content[3:4], slice(3, 4))
    together, alone = (
        found if isinstance(found, torch.Tensor) else found(torch.tensor(mask[:, part]))[0]
        for found, part in zip(replacements, (slice(0, 5), slice(3, 4)), strict=True)
    )
    assert torch.equal(together[3], alone[0])
    assert not torch.equal(together[3], together[2])


def test_a_function_fills_with_what_it_returns() -> None:
    def negate(signal: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        assert signal.shape == mask.shape == (6, 2, 9)
        return -signal

    signal = torch.randn(3, 2, 9)
    replace = prepare_fill(negate, material(np.zeros((3, 2, 9))))(signal, slice(0, 3))
    # labels that are the same in all channels make masks that broadcast
    result = replace(torch.ones(2, 3, 1, 9, dtype=torch.bool))
    assert torch.equal(result, -signal.expand(2, 3, 2, 9))


def test_fills_that_lack_data_are_refused() -> None:
    one = np.random.default_rng(0).normal(size=(1, 2, 9))
    for name, message in (("mean", "a mean over other trials"), ("trial-swap", "another trial to take the segment")):
        with pytest.raises(ValueError, match=f"{name}.*{message}.*give more trials, or reference="):
            prepare_fill(name, material(one))
        prepare_fill(name, material(one, own=np.array([-1])))
    flat = material(one[:, 0], dims=("trial", "feature"))
    for name in ("noise", "uniform"):
        with pytest.raises(ValueError, match=f"{name}.*the spread of each value over trials"):
            prepare_fill(name, flat)
    for name in ("interpolate", "noisy-linear", "spectrum-surrogate"):
        with pytest.raises(ValueError, match=f"{name}.*needs a dimension 'time' or 'frame', found"):
            prepare_fill(name, flat)
        with pytest.raises(ValueError, match="knows nothing of coefficients"):
            prepare_fill(name, material(one, basis=True))
    # a channel that is gone throughout would be filled with the trial itself
    replace = prepare_fill("interpolate", material(one))(torch.tensor(one), slice(0, 1))
    gone = torch.zeros(1, 1, 2, 9, dtype=torch.bool)
    gone[..., 0, 1:] = True
    assert torch.isfinite(replace(gone)).all()
    with pytest.raises(ValueError, match="a mean over other trials"):
        replace(gone | (torch.arange(2) == 0)[:, None])
    with pytest.raises(ValueError, match="'median' is unknown"):
        prepare_fill("median", material(one))
