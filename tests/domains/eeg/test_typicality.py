from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.typical import slow_typicality

from signalrp.domains.eeg.typicality import typicality


class TestTypicality:
    @settings(max_examples=15)
    @given(st.integers(12, 30), st.integers(2, 40), st.integers(1, 3), st.integers(0, 2**16))
    def test_equals_its_definition(self, trials: int, positions: int, groups: int, seed: int):
        rng = np.random.default_rng(seed)
        maps = (rng.standard_normal((trials, positions)) + 1) * rng.uniform(0.2, 5, (trials, 1))
        group = np.arange(trials) % (groups + 1) - 1
        axes = max(1, min(4, int((group >= 0).sum()) // 5, positions - 1))
        found = typicality(maps, group, axes)
        distance, p, cosine = slow_typicality(maps, group, axes)
        np.testing.assert_allclose(found.distance, distance, rtol=1e-6)
        np.testing.assert_allclose(found.cosine, cosine, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(found.p, p)

    def test_trials_like_all_others_are_no_more_unusual_than_members(self):
        rng = np.random.default_rng(0)
        p = []
        for _ in range(20):
            maps = rng.standard_normal((80, 2, 50)) + 0.5
            group = np.where(np.arange(80) < 20, -1, np.arange(80) % 2)
            p.append(typicality(maps, group).p[:20].ravel())
        assert np.mean(p) == pytest.approx(0.5, abs=0.04)
        assert np.mean(np.ravel(p) <= 0.1) == pytest.approx(0.1, abs=0.03)

    def test_size_and_direction_both_count(self):
        rng = np.random.default_rng(0)
        maps = rng.standard_normal((60, 40))
        maps[:, 0] += 8
        maps[0] *= 6
        maps[1] = 0
        maps[1, 39] = 12
        group = np.where(np.arange(60) < 2, -1, 0)
        found = typicality(maps, group)
        assert (found.distance[:2, 0] > 2).all()
        assert (found.p[:2, 0] == 1 / 59).all()
        assert found.cosine[0, 0] > 0.6
        assert abs(found.cosine[1, 0]) < 0.1

    def test_refusals(self):
        maps = np.random.default_rng(0).standard_normal((8, 5))
        with pytest.raises(ValueError, match="at least three"):
            typicality(maps, [0, 0, 1, 1, 1, 1, -1, -1])
        with pytest.raises(ValueError, match="trial 2 is zero"):
            typicality(np.where(np.arange(8)[:, None] == 2, 0, maps), np.zeros(8, dtype=int))
        with pytest.raises(ValueError, match="the same"):
            typicality(np.ones((8, 5)), np.zeros(8, dtype=int))
