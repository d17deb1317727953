from __future__ import annotations

import re

import numpy as np
import pytest
import torch
import xarray as xr
from reference.planted_eeg import BLINK, blink, bump, epochs, examined, model, site
from torch import nn

from signalrp import explain
from signalrp.domains.eeg.misclassified import Examination, examine, explain_classes
from signalrp.domains.eeg.misleading import find_misleading
from signalrp.domains.eeg.reasons import Limits, summarise
from signalrp.inspection import DFT, inspect


@pytest.fixture(scope="module")
def plain() -> Examination:
    return examined(epochs(), model(0.05))


@pytest.fixture(scope="module")
def blinked() -> tuple[Examination, np.ndarray]:
    """Blinks on some trials of the first class, which flip the decision of a model that listens to the forehead."""
    signal = epochs()
    trials = np.flatnonzero(signal["label"].values == 0)[::12]
    signal.values[trials] += (1e-6 * blink(150)).astype(np.float32)
    return examined(signal, model(0.25)), trials


@pytest.fixture(scope="module")
def swapped() -> tuple[Examination, np.ndarray]:
    """Labels exchanged on some trials that are clear, by the cause that was put into them."""
    signal = epochs(cause=12.0)
    clear = examined(signal, model()).trials
    trials = clear.index[clear["correct"]][::20].to_numpy()
    label = signal["label"].values.copy()
    label[trials] = 1 - label[trials]
    return examined(signal.assign_coords(label=("trial", label)), model()), trials


class TestPlanted:
    def test_a_blink_is_named_where_it_misled(self, blinked):
        examination, trials = blinked
        found = examination.trials.loc[trials]
        assert not found["correct"].any()
        assert found["coincides"].str.contains("blink").all()
        assert (found["reason"] == "artefact").all()
        assert found["electrode"].isin(["Fpz", "Fp1", "Fp2"]).all()
        assert (found["window_start"] < BLINK + 0.06).all()
        assert (found["window_stop"] > BLINK - 0.06).all()
        assert (found["peak_p"] < 0.02).all()

    def test_blinks_lead_the_table_of_errors(self, blinked):
        examination, trials = blinked
        assert set(examination.errors.index[: len(trials)]) == set(trials)
        assert examination.errors["unusual"].is_monotonic_decreasing
        assert examination.trials.loc[trials, "unlike"].all()

    def test_the_summary_blames_the_blinks_beyond_the_base_rate(self, blinked):
        examination, trials = blinked
        row = examination.summary().loc["artefact"]
        assert row["errors"] == row["first"] == len(trials)
        assert row["correct"] <= 2
        assert row["difference_low"] > 0
        assert row["p_holm"] < 0.001

    def test_a_blink_that_does_not_mislead_does_not_coincide(self):
        signal = epochs()
        trials = np.flatnonzero(signal["label"].values == 0)[::12]
        signal.values[trials] += (1e-6 * blink(150)).astype(np.float32)
        found = examined(signal, model()).trials.loc[trials]
        assert found["artefacts"].str.contains("blink").all()
        assert not found["coincides"].str.contains("blink").any()

    def test_a_swapped_label_is_like_the_other_class(self, swapped):
        examination, trials = swapped
        found = examination.trials.loc[trials]
        assert not found["correct"].any()
        assert found["like"].mean() > 0.4
        assert (found["cosine_rival"] > found["cosine_true"]).all()
        assert found["like"].mean() == pytest.approx(examination.summary().loc["like", "base"], abs=0.3)

    def test_nothing_planted_leaves_base_rates(self, plain):
        summary = plain.summary()
        row = summary.loc["artefact"]
        assert row["p"] > 0.05
        assert row["difference_low"] < 0 < row["difference_high"]
        assert summary.loc["boundary", "base"] == pytest.approx(0.1, abs=0.01)
        assert summary.loc["unlike", "base"] <= 0.05
        assert summary["first"].sum() == len(plain.errors)

    def test_errors_drawn_at_random_have_the_base_rates(self, plain):
        """Errors that differ in nothing from correct trials are explained by nothing."""
        correct = plain.trials[plain.trials["correct"]]
        rng = np.random.default_rng(0)
        shares = []
        for _ in range(100):
            table = correct.assign(correct=True)
            table.loc[rng.choice(table.index, 40, replace=False), "correct"] = False
            shares.append(summarise(table)[["share", "base", "p"]])
        mean = sum(part[["share", "base"]] for part in shares) / len(shares)
        np.testing.assert_allclose(mean["share"], mean["base"], atol=0.02)
        assert np.mean([(part["p"] < 0.05).mean() for part in shares]) < 0.06


class TestExplainClasses:
    def test_every_class_and_the_predicted_one(self):
        signal, net = epochs(20), model(0.1)
        found = explain_classes(net, signal, "epsilon")
        for target in (0, 1):
            alone = explain(net, signal, target, "epsilon")
            xr.testing.assert_allclose(
                found["class_relevance"].isel({"class": target}, drop=True),
                alone["relevance"].rename("class_relevance"),
            )
        predicted = explain(net, signal, None, "epsilon")
        for name in ("relevance", "target", "output", "explained", "label"):
            np.testing.assert_allclose(found[name].values, predicted[name].values, rtol=1e-6)

    def test_options_are_passed_on(self):
        found = explain_classes(model(), epochs(4), "epsilon", classes=["face", "house"], audit=True)
        assert found["class"].values.tolist() == ["face", "house"]
        assert found["absorbed"].dims == ("trial",)

    def test_relevance_per_unit_is_that_of_the_predicted_class(self):
        """Else relevance in bands or components would be that of class 0, whatever was predicted."""
        signal = epochs(20)
        net = nn.Sequential(nn.Flatten(), nn.Linear(31 * 90, 8), nn.ELU(), nn.Linear(8, 2)).double().eval()
        net[3].bias.data = torch.tensor([0.0, 1e-3], dtype=torch.float64)
        signal = 1e5 * signal.astype(np.float64)
        found = explain_classes(net, signal, per_unit=True)
        assert set(found["target"].values.tolist()) == {0, 1}
        np.testing.assert_allclose(found["per_unit"] * found["signal"], found["relevance"], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found["per_unit"], explain(net, signal, None, "epsilon", per_unit=True)["per_unit"])
        seen = inspect(found, DFT())["relevance"].sum(("channel", "frequency"))
        np.testing.assert_allclose(seen, found["relevance"].sum(("channel", "time")), rtol=1e-6, atol=1e-9)

    def test_epsilon_is_the_default(self):
        found = explain_classes(model(), epochs(4))
        assert found.attrs["composite"] == "epsilon"
        xr.testing.assert_identical(found, explain_classes(model(), epochs(4), "epsilon"))

    @pytest.mark.parametrize("shape", ["(1, 1)", "(1,)"])
    def test_one_output_is_refused(self, shape):
        net = nn.Sequential(nn.Flatten(), nn.Linear(31 * 90, 1), *[nn.Flatten(0)] * (shape == "(1,)")).eval()
        with pytest.raises(
            ValueError, match=f"returns {re.escape(shape)} for one trial; .* two classes at least: wrap"
        ):
            explain_classes(net, epochs(4))

    def test_one_output_in_a_wrapper(self):
        class Both(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.net = nn.Sequential(nn.Flatten(), nn.Linear(31 * 90, 1))

            def forward(self, x):
                z = self.net(x)
                return torch.cat([-z, z], 1)

        found = explain_classes(Both().eval(), 1e5 * epochs(4))
        np.testing.assert_allclose(found["class_relevance"][:, 0], -found["class_relevance"][:, 1], rtol=1e-5)

    def test_plain_arrays_are_taken_as_explain_takes_them(self):
        signal = epochs(4)
        found = explain_classes(model(), signal.values)
        np.testing.assert_array_equal(found["class_relevance"], explain_classes(model(), signal)["class_relevance"])

    def test_a_model_of_other_trials_is_told(self):
        with pytest.raises(ValueError, match=r"fails on trials of shape \(31, 60\) .*; give the channels"):
            explain_classes(model(), epochs(4).isel(time=slice(60)))


class TestMisleading:
    def test_equals_a_comparison_without_each_trial(self):
        rng = np.random.default_rng(0)
        label, rival = np.arange(24) % 3, (np.arange(24) % 3 + 1 + np.arange(24) // 12) % 3
        correct = rng.random(24) < 0.8
        maps = rng.standard_normal((24, 3, 2, 10))
        time = xr.DataArray(np.arange(10) / 100, dims="time", attrs={"units": "s"})
        explained = xr.Dataset(
            {"class_relevance": (("trial", "class", "channel", "time"), maps)}, {"channel": ["a", "b"], "time": time}
        )
        found = find_misleading(explained, label, rival, correct, window=0.05)
        sums = maps.reshape(24, 3, 2, 2, 5).sum(-1)
        for trial in range(24):
            true, other = label[trial], rival[trial]
            standard = np.flatnonzero(correct & (label == true) & (np.arange(24) != trial))
            evidence = sums[:, other] - sums[:, true]
            median = np.median(evidence[standard], axis=0)
            spread = 1.4826 * np.median(np.abs(evidence[standard] - median), axis=0)
            spread = np.maximum(spread, np.quantile(spread, 0.9))
            np.testing.assert_allclose(found["evidence"].values[trial], evidence[trial])
            np.testing.assert_allclose(found["robust_z"].values[trial], (evidence[trial] - median) / spread)

    def test_evidence_adds_up_to_the_margin(self, plain):
        evidence = plain.misleading["evidence"].sum(("channel", "window")).values
        np.testing.assert_allclose(evidence, -plain.trials["margin"], rtol=1e-3, atol=1e-3)


class TestExamine:
    def test_the_table(self, plain):
        table, output = plain.trials, plain.explained["output"].values
        label = plain.explained["label"].values
        assert (table["correct"] == (output.argmax(1) == label)).all()
        np.testing.assert_allclose(table["margin"], output[np.arange(240), label] - output[np.arange(240), 1 - label])
        np.testing.assert_allclose(table["probability"], torch.tensor(output).softmax(1).max(1).values, rtol=1e-5)
        assert (table["rival"] != table["true"]).all()
        wrong = ~table["correct"]
        assert (table["rival"] == table["predicted"])[wrong].all()
        assert set(plain.errors.index) == set(table.index[wrong])
        assert (table["subject"] == "S01").all()

    def test_peak_p_counts_correct_trials_of_the_true_class(self, plain):
        table = plain.trials
        for trial in plain.errors.index[:5]:
            row = table.loc[trial]
            same = table[table["correct"] & (table["true"] == row["true"])]
            assert row["peak_p"] == pytest.approx((1 + (same["peak_z"] >= row["peak_z"]).sum()) / (1 + len(same)))

    def test_three_classes_set_each_trial_against_its_rival(self):
        signal = epochs(360, cause=12.0)
        label = np.arange(360) % 3
        third = 12 * site(("C3", "Cz", "C4"))[:, None] * bump(0.4, 0.03)
        signal.values[label == 2] += (1e-6 * third).astype(np.float32)
        first = model()[1].weight.detach()
        net = nn.Sequential(nn.Flatten(), nn.Linear(first.shape[1], 3, bias=False))
        extra = torch.from_numpy(3e4 * (site(("C3", "Cz", "C4"))[:, None] * bump(0.4, 0.03)).ravel()).float()
        with torch.no_grad():
            net[1].weight.copy_(torch.stack([first[0], first[1], extra]))
        label = np.where(label == 2, 2, signal["label"].values)
        signal = signal.assign_coords(label=("trial", label)).assign_attrs(classes="face | house | other")
        found = examined(signal, net.eval())
        assert set(found.trials["rival"]) == {"face", "house", "other"}
        assert np.isfinite(found.trials[["distance_true", "distance_rival", "p_true", "peak_z"]]).all(axis=None)
        output = found.explained["output"].values.copy()
        output[np.arange(360), label] = -np.inf
        assert (found.trials["rival"].to_numpy() == np.array(["face", "house", "other"])[output.argmax(1)]).all()

    def test_without_artefacts_none_is_blamed(self, plain):
        found = examine(plain.explained)
        assert not found.trials["artefact"].any()
        assert found.artefacts is None

    def test_probabilities_stay_as_they_are(self):
        signal, net = epochs(), nn.Sequential(*model(), nn.Softmax(1)).eval()
        found = examine(explain_classes(net, signal, "epsilon"))
        np.testing.assert_allclose(found.trials["probability"], found.explained["output"].max("class"), rtol=1e-6)

    def test_refusals(self, plain):
        explained, artefacts = plain.explained, plain.artefacts
        with pytest.raises(ValueError, match="explain_classes"):
            examine(explained.drop_vars("class_relevance"))
        with pytest.raises(ValueError, match="no variable 'label'"):
            examine(explained.drop_vars("label"))
        few = explained.isel(trial=np.r_[np.flatnonzero(explained["label"].values == 0), 1:9:2])
        with pytest.raises(ValueError, match="a standard needs at least 10"):
            examine(few)
        with pytest.raises(ValueError, match="several trials 3"):
            examine(explained.assign_coords(trial=np.where(np.arange(240) == 7, 3, np.arange(240))))
        with pytest.raises(ValueError, match="differ in 'trial'"):
            examine(explained, artefacts.isel(trial=slice(None, None, -1)))
        with pytest.raises(ValueError, match="not looked for at"):
            examine(explained, artefacts.isel(channel=slice(1, None)))
        with pytest.raises(ValueError, match="artefacts of 239 trials and relevance of 240; give both of the same"):
            examine(explained, artefacts.isel(trial=slice(1, None)))
        with pytest.raises(ValueError, match="number of places is 0; give 1 or more"):
            examine(explained, places=0)
        silent = explained.copy(deep=True)
        silent["class_relevance"].values[7] = 0
        with pytest.raises(ValueError, match="relevance of trial 7 is zero everywhere, as that of 1 of 240 trials"):
            examine(silent)
        with pytest.raises(ValueError, match="the same window"):
            examine(explained, artefacts, window=0.1)
        broken = explained.copy(deep=True)
        broken["class_relevance"].values[0] = np.nan
        with pytest.raises(ValueError, match="NaN"):
            examine(broken)
        with pytest.raises(ValueError, match="between 0 and 1"):
            Limits(near=0)
