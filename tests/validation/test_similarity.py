from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import xarray as xr

from signalrp.validation import similarity


def maps(own: float, subjects: int = 12, seed: int = 0) -> xr.Dataset:
    """Relevance with a part of each subject's own, and 2 to 4 trials per subject."""
    rng = np.random.default_rng(seed)
    names = np.repeat(np.arange(subjects), rng.integers(2, 5, size=subjects))
    pattern = 1 + own * rng.normal(size=(subjects, 2, 20))
    values = pattern[names] + rng.normal(size=(len(names), 2, 20))
    return xr.Dataset(
        {"relevance": (("trial", "channel", "time"), values)},
        {"subject": ("trial", [f"s{n}" for n in names])},
    )


@pytest.mark.parametrize("measure", ["cosine", "correlation"])
def test_estimates_equal_all_pairs_one_by_one(measure: str) -> None:
    explanation = maps(1.0, subjects=5)
    values = explanation["relevance"].values.reshape(explanation.sizes["trial"], -1)
    subject = explanation["subject"].values

    def alike(a: np.ndarray, b: np.ndarray) -> float:
        if measure == "correlation":
            return float(np.corrcoef(a, b)[0, 1])
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))

    groups = [values[subject == name] for name in np.unique(subject)]
    within = np.mean([np.mean([alike(a, b) for a, b in combinations(group, 2)]) for group in groups])
    between = np.mean([np.mean([alike(a, b) for a in g for b in h]) for g, h in combinations(groups, 2)])
    table = similarity(explanation, measure=measure)
    np.testing.assert_allclose(table["estimate"], [within, between, within - between], atol=1e-12)
    assert (table["low"] <= table["estimate"]).all()
    assert (table["estimate"] <= table["high"]).all()


def test_dimensions_do_not_matter() -> None:
    explanation = maps(1.0, subjects=4)
    video = xr.Dataset(
        {
            "relevance": (
                ("row", "trial", "frame", "rgb"),
                explanation["relevance"].values.reshape(-1, 2, 5, 4).T.swapaxes(1, 3),
            )
        },
        explanation.coords,
    )
    np.testing.assert_allclose(similarity(video), similarity(explanation))


def test_own_patterns_are_found_and_their_absence_too() -> None:
    assert similarity(maps(1.0)).loc["difference", "low"] > 0.1
    absent = [similarity(maps(0.0, seed=seed), resamples=300).loc["difference"] for seed in range(40)]
    covered = np.mean([row["low"] < 0 < row["high"] for row in absent])
    assert covered > 0.8


def test_seed_repeats() -> None:
    explanation = maps(0.5)
    assert similarity(explanation, seed=1).equals(similarity(explanation, seed=1))
    assert not similarity(explanation, seed=1).equals(similarity(explanation, seed=2))


def test_bad_input_is_refused() -> None:
    explanation = maps(1.0, subjects=4)
    zero = explanation.copy(deep=True)
    zero["relevance"][3] = 0
    lonely = explanation.isel(trial=np.unique(explanation["subject"], return_index=True)[1])
    with pytest.raises(ValueError, match="trial 3 is zero"):
        similarity(zero)
    with pytest.raises(ValueError, match="at most 1 trials"):
        similarity(lonely)
    with pytest.raises(ValueError, match="no coordinate 'person'"):
        similarity(explanation, by="person")
    with pytest.raises(ValueError, match="'angle' is unknown"):
        similarity(explanation, measure="angle")
