"""Weights made random: what is said of maps equals loops, and falls on those that deserve it."""

from __future__ import annotations

import copy
from itertools import combinations

import numpy as np
import pytest
import scipy.stats
import torch
import xarray as xr
from reference import likeness as slow
from reference.planted import cnn, mlp, planted, trained
from torch import nn

import signalrp
from signalrp.training import fit_classifier
from signalrp.validation.sanity import cascading_randomisation, efficient_mprt, histogram_entropy
from signalrp.validation.sanity.randomised import cascade
from signalrp.validation.verdicts import Check, checks_table


@pytest.fixture(scope="module")
def signal() -> xr.DataArray:
    return planted(30, 1)


def gradients(model: nn.Module, signal: xr.DataArray, target: torch.Tensor | np.ndarray) -> np.ndarray:
    """Sensitivity with its sign."""
    x = torch.tensor(signal.values, requires_grad=True)
    output = model(x)
    chosen = output.argmax(1) if target is None else torch.as_tensor(target)
    (gradient,) = torch.autograd.grad(output[torch.arange(len(x)), chosen].sum(), x)
    return gradient.numpy()


def test_the_table_equals_loops_over_models_steps_and_trials(signal):
    model = trained(mlp)
    signal = signal[:3]
    check = cascading_randomisation(model, signal, gradients, repeats=3, seed=4)
    with torch.no_grad():
        target = model(torch.tensor(signal.values)).argmax(1)
    original = gradients(model, signal, target)
    layers = ["5", "3", "1"]
    found = check.table.set_index(["step", "layer", "measure"])
    assert len(found) == 3 * 4
    expected = np.zeros((3, 3, 3))
    maps = np.zeros((3, 3, *original.shape))
    for repeat in range(3):
        for step, copied in enumerate(cascade(model, [[path] for path in layers], 4 + 1000 * repeat)):
            maps[repeat, step] = gradients(copied, signal, target)
            for trial in range(3):
                expected[repeat, step, trial] = slow.spearman(original[trial], maps[repeat, step, trial])
    for step, layer in enumerate(layers):
        row = found.loc[step + 1, layer, "spearman"]
        assert row["similarity"] == pytest.approx(expected[:, step].mean())
        assert row["low"] <= row["similarity"] <= row["high"]
        row = found.loc[step + 1, layer, "spearman-up-to-sign"]
        assert row["similarity"] == pytest.approx(abs(expected[:, step]).mean())
        two = [slow.spearman(a[t], b[t]) for a, b in combinations(maps[:, step], 2) for t in range(3)]
        assert row["two_random"] == pytest.approx(np.abs(two).mean())
    assert "cosine" not in check.table["measure"].values
    assert "ssim" in check.table["measure"].values


@pytest.mark.parametrize("build", [cnn, mlp])
@pytest.mark.parametrize("method", ["gradient", "input-x-gradient", "epsilon", "epsilon-plus"])
def test_maps_of_what_was_learnt_pass(build, method, signal):
    check = cascading_randomisation(trained(build), signal, method)
    assert check, check
    last = check.table[check.table["step"] == check.table["step"].max()].set_index("measure")
    # sign and place are gone; what a product with the signal keeps is the signal's size
    assert abs(last.loc["spearman", "similarity"]) < 0.3
    if method == "epsilon":
        assert last.loc["spearman-absolute", "similarity"] > 0.4


@pytest.mark.parametrize("build", [cnn, mlp])
@pytest.mark.parametrize("method", ["guided-backprop", signalrp.ZPlus(), "amplitude"])
def test_maps_that_hardly_see_the_weights_fail(build, method, signal):
    check = cascading_randomisation(trained(build), signal, method)
    assert not check, check
    assert "asked for is an average below 0.5" in check.statement
    assert "keep too much" in check.statement
    steps = check.table[check.table["measure"] == "spearman-up-to-sign"]
    # two random models draw the same map: it comes from the signal
    assert steps["two_random"].iloc[0] > 0.5


def test_deconvnet_and_guided_backprop_keep_more_of_their_maps_than_gradients(signal):
    kept = {
        method: cascading_randomisation(
            trained(cnn), signal, method, measures=["spearman-up-to-sign"], repeats=3
        ).table["similarity"]
        for method in ("input-x-gradient", "deconvnet", "guided-backprop")
    }
    for method in ("deconvnet", "guided-backprop"):
        assert kept[method].mean() > kept["input-x-gradient"].mean() + 0.15
        assert kept[method].iloc[-1] > kept["input-x-gradient"].iloc[-1] + 0.1


def test_the_model_stays_as_it_is(signal):
    model = nn.Sequential(nn.Conv1d(3, 4, 5), nn.BatchNorm1d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    model(torch.randn(8, 3, 40))
    model.eval()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    cascading_randomisation(model, signal, repeats=2)
    efficient_mprt(model, signal, repeats=2)
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


def test_an_explanation_says_which_classes_and_subjects_are_meant(signal):
    model = trained(mlp)
    explanation = signalrp.explain(model, signal, target=1)
    check = cascading_randomisation(model, explanation, repeats=2)
    asked = cascading_randomisation(model, signal, target=1, repeats=2)
    predicted = cascading_randomisation(model, signal, repeats=2)
    assert check.table.equals(asked.table)
    assert not check.table.equals(predicted.table)
    alone = cascading_randomisation(model, signal.drop_vars("subject"), target=1, repeats=2)
    np.testing.assert_allclose(alone.table["similarity"], check.table["similarity"])
    assert not np.allclose(alone.table["low"], check.table["low"])
    difference = signalrp.explain(model, signal, target=lambda output: output[:, 0] - output[:, 1])
    with pytest.raises(ValueError, match="no variable 'target', so it explains something else than a class"):
        cascading_randomisation(model, difference)
    given = cascading_randomisation(model, difference, target=lambda output: output[:, 0] - output[:, 1], repeats=1)
    assert given.table["two_random"].isna().all()


def test_layers_and_measures_of_ones_own(signal):
    model = nn.Sequential(nn.Sequential(nn.Flatten(), nn.Linear(120, 8), nn.ReLU()), nn.Linear(8, 3)).eval()
    check = cascading_randomisation(model, signal, layers=["1", "0"], measures=["cosine", "correlation"], repeats=1)
    assert check.table[["step", "layer", "measure"]].to_numpy().tolist() == [
        [1, "1", "cosine"], [1, "1", "correlation"], [2, "0", "cosine"], [2, "0", "correlation"],
    ]  # fmt: skip
    assert "(cosine)" in check.statement


def test_trials_whose_map_is_empty_are_left_out_and_counted(signal):
    def silent(model: nn.Module, signal: xr.DataArray, target: object) -> np.ndarray:
        maps = gradients(model, signal, target)
        maps[:4] = 0
        return maps

    check = cascading_randomisation(trained(mlp), signal, silent, repeats=2)
    assert check.statement.endswith("4 of 30 trials are left out: a map is zero or constant.")
    with pytest.raises(ValueError, match="In 30 of 30 trials a map is zero or constant"):
        cascading_randomisation(trained(mlp), signal, lambda model, signal, target: np.ones(signal.shape))


def test_maps_of_any_dimensions(signal):
    video = xr.DataArray(
        np.random.default_rng(0).normal(size=(6, 2, 3, 4, 5)), dims=("trial", "rgb", "frame", "row", "column")
    )
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv3d(2, 3, (2, 3, 3)), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2)).double().eval()
    check = cascading_randomisation(model, video, repeats=2)
    assert set(check.table["measure"]) == {"spearman-up-to-sign", "spearman", "spearman-absolute", "cosine"}
    assert efficient_mprt(model, video, repeats=2).table.notna().all(axis=None)


@pytest.mark.parametrize("bins", [2, 10, 100])
def test_entropy_equals_counting(bins):
    maps = np.random.default_rng(0).normal(size=(5, 3, 20))
    found = histogram_entropy(maps, bins)
    np.testing.assert_allclose(found, [slow.entropy(one, bins) for one in maps])
    np.testing.assert_allclose(found, [scipy.stats.entropy(np.histogram(one, bins)[0]) for one in maps])


def test_the_rise_equals_the_formula(signal):
    model = trained(mlp)
    check = efficient_mprt(model, signal, gradients, bins=50, repeats=2, seed=3)
    with torch.no_grad():
        target = model(torch.tensor(signal.values)).argmax(1)
    holders = [["1", "3", "5"]]
    before = histogram_entropy(gradients(model, signal, target), 50)
    rises = []
    for repeat in range(2):
        (copied,) = cascade(model, holders, 3 + 1000 * repeat)
        rises.append((histogram_entropy(gradients(copied, signal, target), 50) - before) / before)
    (row,) = check.table.to_dict("records")
    assert row["rise"] == pytest.approx(np.mean(rises))
    assert row["complexity"] == pytest.approx(before.mean())
    assert row["low"] < row["rise"] < row["high"]


def test_what_was_learnt_is_simpler_than_chance(signal):
    for build in (cnn, mlp):
        assert efficient_mprt(trained(build), signal, "epsilon")
        assert efficient_mprt(trained(build), signal, "gradient")
        blind = efficient_mprt(trained(build), signal, "amplitude")
        assert not blind
        assert blind.table["rise"].item() == 0


def test_verdicts_are_read_as_such(signal):
    check = efficient_mprt(trained(mlp), signal, "epsilon", repeats=1)
    assert isinstance(check, Check)
    failed = efficient_mprt(trained(mlp), signal, "amplitude", repeats=1)
    assert [bool(check), bool(failed)] == [check.passed, failed.passed] == [True, False]
    first, *rest = str(check).splitlines()
    assert first == f"efficient MPRT: pass. {check.statement}"
    assert rest[0].split() == ["complexity", "complexity_random", "rise", "low", "high"]
    table = checks_table([check, failed])
    assert table["verdict"].tolist() == ["pass", "fail"]
    assert table["statement"].tolist() == [check.statement, failed.statement]


@pytest.mark.parametrize("run", [cascading_randomisation, efficient_mprt])
def test_bad_input_is_refused(run, signal):
    model = trained(mlp)
    broken = signal.copy(deep=True)
    broken[3, 0, 0] = np.nan
    with pytest.raises(ValueError, match="signal has NaN or infinite values in 1 of 30 trials, first in trial 3"):
        run(model, broken)
    with pytest.raises(ValueError, match="All 30 trials belong to 1 cluster"):
        run(model, signal.assign_coords(subject=("trial", [7] * 30)))
    with pytest.raises(ValueError, match="no coordinate 'person' along trial"):
        run(model, signal, subject="person")
    with pytest.raises(ValueError, match="repeats is 0; expected at least 1"):
        run(model, signal, repeats=0)
    with pytest.raises(ValueError, match="there is no method 'magic'"):
        run(model, signal, "magic")
    with pytest.raises(ValueError, match="training mode"):
        run(mlp(), signal)


def test_bad_options_are_refused(signal):
    model = trained(mlp)
    with pytest.raises(ValueError, match="no module '7' with weights; it has '1', '3', '5'"):
        cascading_randomisation(model, signal, layers=["7"])
    with pytest.raises(ValueError, match="Measure 'angle' is unknown"):
        cascading_randomisation(model, signal, measures=["angle"])
    with pytest.raises(ValueError, match="Found 1 bins"):
        efficient_mprt(model, signal, bins=1)
    with pytest.raises(ValueError, match="no NaN"):
        histogram_entropy([[0.0, np.nan]])


def test_walking_people(shared_data):
    """Who walks, from the vertical ground reaction force: real signals, smooth and much alike."""
    with np.load(shared_data / "gait_spm1d_speedgrf" / "speedgrf.npz") as file:
        values, person = file["vgrf_bw"].astype(np.float32)[:, None], file["subject"].astype(np.int64)
    x = torch.tensor(values - values.mean(0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv1d(1, 16, 7), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 95, 10))
    fit_classifier(model, x, torch.tensor(person), epochs=15, learning_rate=3e-3)
    some = slice(None, None, 12)
    signal = xr.DataArray(
        x.numpy()[some], dims=("trial", "channel", "time"), coords={"subject": ("trial", person[some])}
    )
    assert (model(x).argmax(1).numpy() == person).mean() > 0.9
    assert cascading_randomisation(model, signal, "epsilon")
    assert not cascading_randomisation(model, signal, "amplitude")
