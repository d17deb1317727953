from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
import xarray as xr
from reference import likeness as slow
from reference.planted import cnn, mlp, planted, trained
from torch import nn

import signalrp
from signalrp.validation.reliability import split_half, trials_needed
from signalrp.validation.stability import agreement, noise_stability
from signalrp.validation.statistics import bootstrap_interval


@pytest.fixture(scope="module")
def signal() -> xr.DataArray:
    return planted(30, 1)


@pytest.fixture(scope="module")
def explanations(signal) -> dict[str, xr.Dataset]:
    return {
        f"seed {seed}": signalrp.explain(trained(mlp, seed=seed), signal, composite="epsilon") for seed in (0, 1, 2)
    }


def test_agreement_equals_all_pairs_one_by_one(explanations):
    table = agreement(explanations, "spearman").set_index(["first", "second"])
    assert table.index.tolist() == [("all", "all"), *combinations(explanations, 2)]
    values = np.full((3, 30), np.nan)
    for number, (one, two) in enumerate(combinations(explanations.values(), 2)):
        for trial in range(30):
            if one["target"][trial] == two["target"][trial]:
                maps = (each["relevance"].values[trial] for each in (one, two))
                values[number, trial] = slow.spearman(*maps)
    np.testing.assert_allclose(table["similarity"][1:], np.nanmean(values, axis=1))
    np.testing.assert_allclose(table["share"][1:], np.isfinite(values).mean(1))
    assert table.loc[("all", "all"), "similarity"] == pytest.approx(np.nanmean(values, axis=0).mean())
    interval = bootstrap_interval(np.nanmean(values, axis=0), next(iter(explanations.values()))["subject"].values)
    assert tuple(table.loc[("all", "all"), ["low", "high"]]) == pytest.approx((interval.low, interval.high))


def test_only_trials_that_explain_the_same_class_are_compared(explanations):
    one, two, _ = explanations.values()
    other = two.assign(target=("trial", np.where(np.arange(30) < 6, 2 - two["target"], two["target"])))
    same = one["target"].values == other["target"].values
    table = agreement([one, other])
    assert table["first"].tolist() == ["all", "0"]
    assert table["share"].tolist() == [same.mean()] * 2
    alike = agreement([one.isel(trial=same), other.isel(trial=same)])
    np.testing.assert_allclose(table["similarity"], alike["similarity"])
    whole = agreement([one.drop_vars("target"), other])
    assert whole["share"].tolist() == [1, 1]


def test_models_of_the_same_task_agree_more_than_with_an_untrained_one(signal, explanations):
    torch.manual_seed(9)
    untrained = signalrp.explain(mlp().eval(), signal, explanations["seed 0"]["target"].values, "epsilon")
    named = {**explanations, "untrained": untrained}
    table = agreement(named).set_index(["first", "second"])["similarity"]
    assert table["seed 0", "seed 1"] > table["seed 0", "untrained"] + 0.3


def test_agreement_needs_the_same_trials(explanations):
    one, two, _ = explanations.values()
    with pytest.raises(ValueError, match="Found 1 explanation; agreement needs two"):
        agreement([one])
    for other in (two.isel(trial=slice(20)), two.isel(trial=slice(None, None, -1)), two.isel(time=slice(5))):
        with pytest.raises(ValueError, match="'0' and '1' are not of the same trials in the same order"):
            agreement([one, other])
    with pytest.raises(ValueError, match="no trial in which they explain the same class"):
        agreement([one, one.assign(target=one["target"] + 1)])
    with pytest.raises(ValueError, match="All 30 trials belong to 1 cluster"):
        agreement([one, two], subject=["me"] * 30)
    broken = two.copy(deep=True)
    broken["relevance"][4, 0] = np.nan
    with pytest.raises(ValueError, match="relevance has NaN or infinite values in 1 of 30 trials, first in trial 4"):
        agreement([one, broken])


def test_noise_equals_loops_over_draws_and_trials(signal):
    few = signal[:6]
    model = trained(mlp)
    seen: list[np.ndarray] = []

    def watch(model: nn.Module, signal: xr.DataArray, target: object) -> np.ndarray:
        seen.append(signal.values)
        return signalrp.explain(model, signal, target, "epsilon")["relevance"].values

    table = noise_stability(model, few, watch, levels=[0.5, 2.0], repeats=3)
    first, *noisy = seen
    target = signalrp.explain(model, few)["target"].values
    maps = [signalrp.explain(model, few.copy(data=x), target, "epsilon")["relevance"].values for x in seen]
    with torch.no_grad():
        chosen = [model(torch.tensor(x)).argmax(1).numpy() for x in seen]
    sd = few.values.std((0, 2))[:, None]
    draws = np.stack([(x - first) / sd for x in noisy]).reshape(2, 3, 6, 3, 40)
    np.testing.assert_allclose(draws[1], 4 * draws[0], rtol=1e-3, atol=1e-4)
    assert draws[0].std() == pytest.approx(0.5, rel=0.05)
    for step, level in enumerate((0.5, 2.0)):
        values, ratios = np.full((2, 3, 6), np.nan)
        for draw in range(3):
            number = 1 + 3 * step + draw
            for trial in range(6):
                if chosen[number][trial] == chosen[0][trial]:
                    a, b = maps[0][trial].astype(float), maps[number][trial]
                    values[draw, trial] = slow.cosine(a.ravel(), b.ravel())
                    ratios[draw, trial] = np.linalg.norm(b - a) / np.linalg.norm(a) / level
        row = table.iloc[step]
        assert row["level"] == level
        assert row["share"] == np.isfinite(values).mean()
        with np.errstate(all="ignore"):
            kept = np.isfinite(values).any(0)
            assert row["similarity"] == pytest.approx(np.nanmean(values[:, kept], axis=0).mean(), abs=1e-6)
            assert row["ratio"] == pytest.approx(np.nanmax(ratios[:, kept], axis=0).mean(), rel=1e-5)
    assert table["share"][1] < 1


def test_more_noise_less_similarity_and_steep_models_are_less_stable(signal):
    model = trained(cnn)
    table = noise_stability(model, signal, "input-x-gradient")
    assert table["similarity"].is_monotonic_decreasing
    assert table["similarity"][0] > 0.95
    assert (table["low"] <= table["similarity"]).all()
    assert (table["similarity"] <= table["high"]).all()
    smooth = noise_stability(model, signal, "smoothgrad", levels=[0.1], repeats=2, noise=0.2)
    plain = noise_stability(model, signal, "gradient", levels=[0.1], repeats=2)
    assert smooth["similarity"].item() > plain["similarity"].item()
    assert smooth["ratio"].item() < plain["ratio"].item()


def test_a_level_at_which_every_class_changes_has_no_value(signal):
    class Nervous(nn.Module):
        """Says 1 as soon as anything differs from the signals it knows."""

        def __init__(self) -> None:
            super().__init__()
            self.known = nn.Parameter(torch.tensor(signal.values), requires_grad=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            away = (x[:, None] - self.known).square().sum((2, 3)).amin(1)
            return torch.stack([0.1 - away, x.square().sum((1, 2)) * 0], 1)

    table = noise_stability(Nervous().eval(), signal.drop_vars("label"), "amplitude", levels=[0.3], repeats=2)
    assert table["share"].item() == 0
    assert table[["similarity", "low", "high", "ratio"]].isna().all(axis=None)


def test_noise_keeps_random_state_and_repeats(signal):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    one = noise_stability(trained(mlp), signal, levels=[0.1], repeats=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert one.equals(noise_stability(trained(mlp), signal, levels=[0.1], repeats=2))
    assert not one.equals(noise_stability(trained(mlp), signal, levels=[0.1], repeats=2, seed=1))


def test_bad_noise_is_refused(signal):
    model = trained(mlp)
    for options in ({"levels": []}, {"levels": [0.1, 0]}, {"repeats": 0}):
        with pytest.raises(ValueError, match="expected levels above 0 and 1 repeat or more"):
            noise_stability(model, signal, **options)
    with pytest.raises(ValueError, match="The signal is constant"):
        noise_stability(model, xr.zeros_like(signal), "gradient")
    with pytest.raises(ValueError, match="All 30 trials belong to 1 cluster"):
        noise_stability(model, signal.assign_coords(subject=("trial", ["me"] * 30)))
    with pytest.raises(ValueError, match="signal has NaN"):
        noise_stability(model, signal.where(signal["label"] > 0))


def noisy_maps(trials: int, noise: float, seed: int = 0, shape: tuple[int, ...] = (2, 30)) -> xr.Dataset:
    """Two classes with a common map each, under independent noise."""
    rng = np.random.default_rng(seed)
    label = np.arange(trials) % 2
    values = rng.normal(size=(2, *shape))[label] + noise * rng.normal(size=(trials, *shape))
    dims = ("trial", *(f"axis {number}" for number in range(len(shape))))
    return xr.Dataset({"relevance": (dims, values), "label": ("trial", label)})


def test_split_half_equals_means_taken_one_by_one():
    explanation = noisy_maps(22, 2.0, shape=(2, 3, 5))
    table = split_half(explanation, splits=4, seed=6)
    rng = np.random.default_rng(6)
    for label in (0, 1):
        maps = explanation["relevance"].values[explanation["label"].values == label].reshape(11, -1)
        found = np.zeros((4, 5))
        for split in range(4):
            order = rng.permutation(11)
            for size in range(1, 6):
                halves = (maps[order[:5][:size]].mean(0), maps[order[5:10][:size]].mean(0))
                found[split, size - 1] = slow.correlation(*halves)
        rows = table[table["label"] == label]
        assert rows["trials"].tolist() == [1, 2, 3, 4, 5]
        np.testing.assert_allclose(rows["reliability"], found.mean(0))
        np.testing.assert_allclose(rows[["low", "high"]], np.quantile(found, [0.025, 0.975], axis=0).T)


def test_needed_trials_are_those_of_theory():
    """A common map of variance 1 under noise of variance s²: two means of n correlate at n / (n + s²)."""
    explanation = noisy_maps(400, 3.0, shape=(20, 50))
    table = trials_needed(explanation, threshold=0.8)
    assert table["trials"].tolist() == [200, 200]
    assert table["half"].tolist() == [100, 100]
    # n / (n + 9) = 0.8
    np.testing.assert_allclose(table["needed"], 36, atol=5)
    np.testing.assert_allclose(table["extrapolated"], 36, atol=5)
    np.testing.assert_allclose(table["reliability"], 100 / 109, atol=0.02)
    np.testing.assert_allclose(table["reliability_all"], 200 / 209, atol=0.02)
    assert table["statement"][0] == f"0.8 reached with {table['needed'][0]:.0f} trials."


def test_what_is_not_reached_is_said_and_extrapolated():
    explanation = noisy_maps(40, 3.0, shape=(20, 50))
    table = trials_needed(explanation, threshold=0.95)
    assert table["needed"].isna().all()
    # n / (n + 9) = 0.95
    np.testing.assert_allclose(table["extrapolated"], 171, rtol=0.3)
    assert table["statement"][0] == (
        f"0.95 not reached with 10 trials, half of 20; Spearman-Brown expects it with {table['extrapolated'][0]:.0f}."
    )
    r = table["reliability"][0]
    assert table["reliability_all"][0] == pytest.approx(2 * r / (1 + r))
    half, needed = 10, table["extrapolated"][0]
    assert needed - 1 <= half * 0.95 * (1 - r) / (r * 0.05) <= needed


def test_maps_without_a_common_part_never_get_stable():
    rng = np.random.default_rng(4)
    explanation = xr.Dataset(
        {"relevance": (("trial", "time"), rng.normal(size=(12, 9)))}, {"group": ("trial", [1] * 12)}
    )
    found = [trials_needed(explanation, "group", seed=seed) for seed in range(20)]
    negative = next(table for table in found if table["reliability"][0] <= 0)
    assert np.isinf(negative["extrapolated"][0])
    assert negative["statement"][0].endswith("the halves do not correlate.")


def test_equal_maps_need_one_trial():
    maps = np.broadcast_to(np.random.default_rng(0).normal(size=(3, 4)), (8, 3, 4))
    explanation = xr.Dataset(
        {"relevance": (("trial", "channel", "time"), maps), "target": ("trial", [0] * 4 + [1] * 4)}
    )
    table = trials_needed(explanation, "target")
    assert table["needed"].tolist() == [1, 1]
    assert table["extrapolated"].tolist() == [1, 1]


def test_groups_of_several_names():
    explanation = signalrp.explain(trained(mlp), planted(120, 2), composite="epsilon")
    explanation = explanation.assign_coords(run=("trial", np.arange(120) % 2))
    table = trials_needed(explanation, ["label", "run"])
    assert table[["label", "run"]].to_numpy().tolist() == [[a, b] for a in range(3) for b in range(2)]
    assert table["trials"].sum() == 120


def test_too_few_trials_are_refused():
    explanation = noisy_maps(7, 1.0)
    with pytest.raises(ValueError, match="There are 3 trials of label 1; two halves need at least 4"):
        split_half(explanation)
    with pytest.raises(ValueError, match="There is no 'label' along trial to group by; found none"):
        trials_needed(explanation.drop_vars("label"))
    with pytest.raises(ValueError, match=r"no 'axis 0' along trial to group by; found label"):
        trials_needed(explanation, "axis 0")
    with pytest.raises(ValueError, match="threshold is 1; expected a correlation between 0 and 1"):
        trials_needed(noisy_maps(20, 1.0), threshold=1)
    with pytest.raises(ValueError, match="splits is 0"):
        split_half(noisy_maps(20, 1.0), splits=0)
    constant = noisy_maps(20, 1.0)
    constant["relevance"][:] = 2
    with pytest.raises(ValueError, match="Mean maps of label 0 are constant"):
        split_half(constant)


def test_extrapolation_holds_for_real_gait(shared_data):
    """From halves of 15 trials to means of 30, which all 60 trials of a person let one see."""
    with np.load(shared_data / "gait_spm1d_speedgrf" / "speedgrf.npz") as file:
        values, person = file["vgrf_bw"][:, None], file["subject"].astype(np.int64)
    explanation = xr.Dataset(
        {"relevance": (("trial", "channel", "time"), values - values.mean(0)), "label": ("trial", person)}
    )
    seen = trials_needed(explanation)
    assert seen["trials"].tolist() == [60] * 10
    rng = np.random.default_rng(0)
    expected = []
    for _ in range(10):
        some = 60 * np.arange(10)[:, None] + rng.permutation(60)[:30]
        expected.append(trials_needed(explanation.isel(trial=some.ravel()), splits=20)["reliability_all"])
    np.testing.assert_allclose(np.mean(expected, axis=0), seen["reliability"], atol=0.06)
    assert np.mean(expected) == pytest.approx(seen["reliability"].mean(), abs=0.02)
