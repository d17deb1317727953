from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import likeness as slow

from signalrp.validation.likeness import MEASURES, likeness, mean_of

SLOW = {
    "spearman": slow.spearman,
    "spearman-up-to-sign": lambda a, b: abs(slow.spearman(a, b)),
    "spearman-absolute": lambda a, b: slow.spearman(abs(a), abs(b)),
    "correlation": lambda a, b: slow.correlation(a.ravel(), b.ravel()),
    "cosine": lambda a, b: slow.cosine(a.ravel(), b.ravel()),
}


@pytest.mark.parametrize("measure", SLOW)
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).filter(lambda sizes: np.prod(sizes) > 4),
    rounded=st.booleans(),
    seed=st.integers(0, 99),
)
def test_equals_loops_for_maps_of_any_dimensions(measure, shape, rounded, seed):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(0.3, 1, size=(2, 3, *shape))
    if rounded:
        # ties
        first, second = np.round(first), np.round(second)
        first.reshape(3, -1)[:, 0] = second.reshape(3, -1)[:, 1] = 9
    expected = [SLOW[measure](a, b) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(likeness(first, second, measure), expected, atol=1e-12)


@pytest.mark.parametrize(("shape", "side"), [((9, 12), 7), ((6, 30), 5), ((3, 4), 3), ((8, 1, 7), 7)])
def test_ssim_equals_windows_one_by_one(shape, side):
    rng = np.random.default_rng(1)
    first = rng.normal(size=(2, *shape))
    second = first + rng.normal(size=(2, *shape))
    squeezed = [(a.squeeze(), b.squeeze()) for a, b in zip(first, second, strict=True)]
    expected = [slow.ssim(a, b, side) for a, b in squeezed]
    np.testing.assert_allclose(likeness(first, second, "ssim"), expected, atol=1e-12)
    np.testing.assert_allclose(likeness(first, 5 * first, "ssim"), 1)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_map_is_like_itself_and_like_itself_scaled(measure):
    maps = np.random.default_rng(0).normal(size=(4, 5, 6))
    np.testing.assert_allclose(likeness(maps, 1e-30 * maps, measure), 1)
    turned = likeness(maps, -maps, measure)
    if measure in ("spearman", "correlation", "cosine"):
        np.testing.assert_allclose(turned, -1)
    elif measure != "ssim":
        np.testing.assert_allclose(turned, 1)


@pytest.mark.parametrize("measure", MEASURES)
def test_nothing_resembles_an_empty_map(measure):
    maps = np.random.default_rng(0).normal(size=(3, 4, 5))
    other = maps.copy()
    other[1] = 0
    assert np.isnan(likeness(maps, other, measure)).tolist() == [False, True, False]
    other[1] = 0.1
    constant = np.isnan(likeness(maps, other, measure)).tolist()
    assert constant == [False, measure not in ("cosine", "ssim"), False]


def test_mean_over_the_repeats_that_have_a_value():
    values = [[1.0, np.nan, np.nan], [3.0, 5.0, np.nan]]
    np.testing.assert_array_equal(mean_of(values), [2, 5, np.nan])


def test_what_cannot_be_measured_is_refused():
    maps = np.ones((2, 3, 4, 5))
    with pytest.raises(ValueError, match="'angle' is unknown; choose from spearman, "):
        likeness(maps, maps, "angle")
    with pytest.raises(ValueError, match=r"two dimensions of at least 3, found \(3, 4, 5\); choose cosine"):
        likeness(maps, maps, "ssim")
    with pytest.raises(ValueError, match=r"found \(1, 5\)"):
        likeness(maps[:, :1, 0], maps[:, :1, 0], "ssim")
