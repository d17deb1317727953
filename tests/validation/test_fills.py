from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from signalrp.validation.fills import interpolate_gaps, prepare_fill


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 15), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_gaps_are_bridged_as_numpy_does(length: int, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(2, 3, length))
    removed = rng.random((4, 2, 3, length)) < share
    lost = rng.normal(size=(3, length))
    found = interpolate_gaps(torch.tensor(signal), torch.tensor(removed), torch.tensor(lost)).numpy()
    for index in np.ndindex(4, 2, 3):
        kept = np.flatnonzero(~removed[index])
        expected = np.interp(np.arange(length), kept, signal[index[1:]][kept]) if len(kept) else lost[index[2]]
        gone = removed[index]
        np.testing.assert_allclose(found[index][gone], expected[gone], rtol=0, atol=1e-12)


def test_noise_has_the_references_mean_and_deviation() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal([[[3.0], [-100.0]]], [[[0.5], [20.0]]], size=(50, 2, 200))
    signal = torch.zeros(40, 2, 200)
    replace = prepare_fill("noise", reference, seed=0)(signal, slice(0, 40))
    noise = replace(torch.ones(1, 40, 2, 200, dtype=torch.bool)).double()
    # 8000 draws per channel: the mean's standard error is sd / 89
    np.testing.assert_allclose(noise.mean((0, 2)), [3, -100], atol=5 / 89 * 20)
    np.testing.assert_allclose(noise[:, 0].mean(), 3, atol=5 / 89 * 0.5)
    np.testing.assert_allclose(noise.std((0, 2)), reference.std((0, 2)), rtol=0.05)


def test_noise_of_a_trial_does_not_depend_on_its_neighbours() -> None:
    reference = np.random.default_rng(0).normal(size=(5, 2, 9))
    fill = prepare_fill("noise", reference, seed=3)
    mask = torch.ones(1, 1, 2, 9, dtype=torch.bool)
    together = fill(torch.zeros(5, 2, 9), slice(0, 5))(mask)
    alone = fill(torch.zeros(1, 2, 9), slice(3, 4))(mask)
    assert torch.equal(together[3], alone[0])
    assert not torch.equal(together[3], together[2])


def test_a_function_fills_with_what_it_returns() -> None:
    def negate(signal: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        assert signal.shape == mask.shape == (6, 2, 9)
        return -signal

    signal = torch.randn(3, 2, 9)
    replace = prepare_fill(negate, np.zeros((1, 2, 9)), seed=0)(signal, slice(0, 3))
    result = replace(torch.ones(2, 3, 2, 9, dtype=torch.bool))
    assert torch.equal(result, -signal.expand(2, 3, 2, 9))
