from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from reference.small_eeg import BLINKS, epochs, person
from torch import nn

from signalrp.domains.eeg import removal
from signalrp.domains.eeg.artefacts import artefact_masks, find_artefacts
from signalrp.domains.eeg.misclassified import explain_classes
from signalrp.domains.eeg.removal import remove_artefacts, remove_pieces
from signalrp.domains.eeg.study import in_volt, scale_of
from signalrp.domains.eeg.tasks import numbered
from signalrp.splits import Scaler


@pytest.fixture(scope="module")
def case() -> dict:
    """A linear model that also listens to the forehead, and what it makes of trials whose units are volt."""
    signal = numbered(person(epochs(blinks=tuple(range(3, 80, 11)))).astype(np.float64))
    train, test = signal[::2], signal[1::2]
    scaler = Scaler("z-score").fit(train)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(signal[0].size, 2)).double().eval()
    explained = in_volt(explain_classes(model, scaler.transform(test), "epsilon", per_unit=True), scaler)
    scale = scale_of(scaler)
    artefacts = find_artefacts(signal).isel(trial=slice(1, None, 2))
    return {
        "model": model, "explained": explained, "artefacts": artefacts, "reference": scaler.transform(train) * scale,
        "scale": scale, "scaler": scaler, "test": test,
    }  # fmt: skip


def arguments(case: dict) -> tuple:
    return tuple(case[name] for name in ("model", "explained", "artefacts", "reference", "scale"))


class TestInVolt:
    def test_signal_and_worth_of_a_volt(self, case):
        explained, scaler = case["explained"], case["scaler"]
        mean = scaler.offset.values[:, None]
        np.testing.assert_allclose(explained["signal"], case["test"].values - mean, atol=1e-18)
        np.testing.assert_allclose(explained["relevance"], explained["signal"] * explained["per_unit"], rtol=1e-6)
        assert explained["signal"].dims == explained["per_unit"].dims == ("trial", "channel", "time")
        assert explained["signal"].attrs["units"] == "V"
        # a linear model's worth is its weight by the standard deviation
        weight = case["model"][1].weight.detach().numpy().reshape(2, *explained["signal"].shape[1:])
        expected = weight[explained["target"].values] / scaler.scale.values[:, None]
        np.testing.assert_allclose(explained["per_unit"], expected, rtol=1e-3)


class TestArtefacts:
    def test_equals_a_dense_loop(self, case):
        model, explained, artefacts, reference, scale = arguments(case)
        table = remove_artefacts(*arguments(case))
        masks = artefact_masks(artefacts, explained["signal"]["time"])
        values, mean = explained["signal"].values, reference.values.mean(0)
        rows = []
        for trial in range(len(values)):
            where, names = np.zeros(values.shape[1:], dtype=bool), []
            for name, mask in masks.items():
                if mask[trial].any():
                    names.append(name)
                    where |= mask[trial]
            if not names:
                continue
            right = []
            for taken in (np.zeros_like(where), where):
                changed = values[trial].copy()
                for channel, time in np.argwhere(taken):
                    changed[channel, time] = mean[channel, time]
                x = torch.from_numpy(changed / scale.values[:, None])[None]
                right.append(int(model(x).argmax()) == int(explained["label"][trial]))
            size = np.abs(explained["relevance"].values[trial])
            rows.append(
                (
                    explained["trial"].values[trial],
                    " and ".join(names),
                    where.mean(),
                    size[where].sum() / size.sum(),
                    *right,
                )
            )
        assert len(rows) >= 3
        found = table[["trial", "artefacts", "samples", "relevance", "correct", "correct_without"]]
        for row, expected in zip(found.itertuples(index=False), rows, strict=True):
            assert row[0] == expected[0]
            assert row[1] == expected[1]
            np.testing.assert_allclose(row[2:4], expected[2:4], rtol=1e-6)
            assert tuple(row[4:]) == expected[4:]
        assert set(table["trial"]) >= set(range(3, 80, 22))
        assert table["correct_control"].between(0, 1).all()
        np.testing.assert_allclose(10 * table["correct_control"], np.round(10 * table["correct_control"]), atol=1e-9)

    def test_controls_take_as_much_elsewhere(self):
        rng = np.random.default_rng(0)
        masks = rng.random((6, 7, 12)) < np.linspace(0, 0.5, 6)[:, None, None]
        masks[1] = False
        masks[1, 2, 3:6] = True
        moved = removal._elsewhere(masks, np.random.default_rng(1))
        np.testing.assert_array_equal(moved.sum((1, 2)), masks.sum((1, 2)))
        # electrodes are exchanged as wholes, and all moved by as much
        for before, after in zip(masks, moved, strict=True):
            shifts = [sorted(map(tuple, np.roll(before, shift, axis=1))) for shift in range(12)]
            assert sorted(map(tuple, after)) in shifts
        places = [np.argwhere(removal._elsewhere(masks[1:2], np.random.default_rng(seed))[0])[0] for seed in range(40)]
        assert len({channel for channel, _ in places}) == 7
        assert len({time for _, time in places}) > 6

    def test_the_control_is_drawn_anew_for_another_seed_only(self, case):
        tables = [remove_artefacts(*arguments(case), seed=seed)["correct_control"] for seed in (0, 0, 1, 2, 3)]
        np.testing.assert_array_equal(tables[0], tables[1])
        assert any(not np.array_equal(tables[0], other) for other in tables[2:])

    def test_a_model_misled_by_blinks_is_right_without_them(self, case):
        _, explained, artefacts, reference, scale = arguments(case)
        forehead = np.isin(explained["channel"].values, ("Fpz", "Fp1", "Fp2"))
        late = explained["time"].values > 0.25
        weights = torch.from_numpy(np.outer(forehead, late).ravel().astype(float))
        model = nn.Sequential(nn.Flatten(), nn.Linear(len(weights), 2)).double().eval()
        # it says 1 - label as soon as there is a blink, and 0 else
        with torch.no_grad():
            model[1].weight.copy_(torch.stack([0 * weights, weights]))
            model[1].bias.copy_(torch.tensor([float(weights.sum()), 0.0]))
        data = explained.assign(label=("trial", np.zeros(explained.sizes["trial"], dtype=int)))
        table = remove_artefacts(model, data, artefacts, reference, scale)
        blinks = table[table["artefacts"].str.contains("blink")]
        assert len(blinks) >= 3
        assert not blinks["correct"].any()
        assert blinks["correct_without"].all()
        assert blinks["correct_control"].mean() < 0.7

    def test_without_artefacts_there_is_no_table(self, case):
        model, explained, artefacts, reference, scale = arguments(case)
        calm = artefacts.assign(present=xr.zeros_like(artefacts["present"]))
        assert remove_artefacts(model, explained, calm, reference, scale).empty


class TestPieces:
    def test_what_is_removed_first_is_the_most_relevant(self, case):
        curves = remove_pieces(*(case[name] for name in ("model", "explained", "reference", "scale")), seed=0)
        assert list(curves) == ["electrodes", "windows", "bands"]
        model, explained, reference = case["model"], case["explained"], case["reference"]
        scale = case["scale"].values[:, None]
        mean = reference.values.mean(0)
        found = curves["electrodes"]
        start = found["output"].isel(step=0)
        x = torch.from_numpy(explained["signal"].values / scale)
        whole = model(x).detach().numpy()[np.arange(len(x)), explained["target"].values]
        for values in np.moveaxis(start.values, start.dims.index("trial"), -1).reshape(-1, len(x)):
            np.testing.assert_allclose(values, whole, rtol=1e-6)
        # one electrode of twenty: the one that holds most, replaced by the mean of the training trials
        first = int(explained["relevance"].sum("time").isel(trial=0).argmax("channel"))
        changed = explained["signal"].values[0].copy()
        changed[first] = mean[first]
        expected = model(torch.from_numpy(changed / scale)[None])[0, int(explained["target"][0])].item()
        assert found["step"].values.tolist() == list(range(21))
        one = found["output"].sel(order="relevance", direction="morf").isel(step=1, trial=0)
        assert float(one) == pytest.approx(expected)

    def test_blinks_of_the_fixture_are_found(self):
        signal = person(epochs())
        found = find_artefacts(signal)
        blink = found["present"].sel(artefact="blink").values
        assert set(BLINKS) <= set(np.flatnonzero(blink).tolist())
