from __future__ import annotations

import mne
import numpy as np
import pytest
from reference.eeg_explanations import MUSE, explanation

import signalrp
from signalrp.domains.eeg.relevance import (
    class_names,
    evokeds_by,
    in_volt,
    predicted,
    relevance_epochs,
    to_evoked,
    trial_groups,
)
from signalrp.splits import Scaler


@pytest.mark.parametrize("start", [-25 / 128, 0.0, -0.1, 0.0031])
def test_an_evoked_is_the_mean_relevance_to_the_last_digit(start):
    data = explanation(start=start)
    evoked = to_evoked(data, comment="all")
    np.testing.assert_array_equal(evoked.data, data["relevance"].values.mean(0))
    np.testing.assert_allclose(evoked.times, data["time"].values, rtol=0, atol=1e-12)
    assert evoked.ch_names == data["channel"].values.tolist()
    assert (evoked.nave, evoked.comment, evoked.info["sfreq"]) == (12, "all", 128.0)
    places = np.array([channel["loc"][:3] for channel in evoked.info["chs"]])
    np.testing.assert_allclose(places, np.stack([data[axis] for axis in "xyz"], 1), rtol=0, atol=1e-9)


def test_an_evoked_of_chosen_trials():
    data = explanation()
    chosen = (data["label"] == 1) & (data["target"] == 1)
    expected = data["relevance"].values[chosen.values].mean(0)
    for trials in (chosen, np.flatnonzero(chosen)):
        evoked = to_evoked(data, trials)
        np.testing.assert_array_equal(evoked.data, expected)
        assert evoked.nave == 5
    signal = to_evoked(data, [3], what="signal")
    np.testing.assert_array_equal(signal.data, data["signal"].values[3])
    assert signal.comment == "signal"


def test_single_precision_is_averaged_in_double():
    data = explanation()
    data["relevance"] = data["relevance"].astype(np.float32)
    np.testing.assert_array_equal(to_evoked(data).data, data["relevance"].values.astype(np.float64).mean(0))


def test_dimensions_may_stand_in_another_order():
    data = explanation()
    turned = data.transpose("time", "channel", "trial", "class")
    np.testing.assert_array_equal(to_evoked(turned).data, to_evoked(data).data)
    np.testing.assert_array_equal(relevance_epochs(turned).get_data(), data["relevance"].values)


def test_evokeds_of_classes_of_predictions_and_of_people():
    data = explanation()
    relevance = data["relevance"].values
    groups = {
        "label": ("face", "house", data["label"].values == 0),
        "target": ("face", "house", data["target"].values == 0),
        "predicted": ("face", "house", data["target"].values == 0),
        "subject": ("S01", "S02", data["subject"].values == "S01"),
    }
    for by, (first, second, mask) in groups.items():
        found = evokeds_by(data, by)
        assert list(found) == [first, second]
        np.testing.assert_array_equal(found[first].data, relevance[mask].mean(0))
        np.testing.assert_array_equal(found[second].data, relevance[~mask].mean(0))
        assert [evoked.comment for evoked in found.values()] == [first, second]
    right = data["label"] == data["target"]
    assert {name: evoked.nave for name, evoked in evokeds_by(data, trials=right).items()} == {"face": 5, "house": 5}
    assert list(evokeds_by(data, trials=data["label"] == 1)) == ["house"]


def test_epochs_hold_the_relevance_and_select_by_class_and_by_what_the_model_said():
    data = explanation()
    epochs = relevance_epochs(data)
    np.testing.assert_array_equal(epochs.get_data(), data["relevance"].values)
    np.testing.assert_allclose(epochs.times, data["time"].values, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(epochs["house"].get_data(), data["relevance"].values[1::2])
    table = epochs.metadata
    for column in ("label", "target", "explained", "subject"):
        np.testing.assert_array_equal(table[column], data[column].values)
    np.testing.assert_array_equal(table["predicted"], data["output"].values.argmax(1))
    np.testing.assert_array_equal(table["correct"], [True] * 10 + [False] * 2)
    np.testing.assert_array_equal(table["output_house"], data["output"].values[:, 1])
    assert len(epochs["predicted == 1 and not correct"]) == 1
    np.testing.assert_array_equal(epochs["not correct"].average().data, data["relevance"].values[-2:].mean(0))


def test_epochs_of_a_scaled_signal_and_off_the_grid():
    data = explanation(start=0.0031)
    data["signal"].attrs["units"] = "1"
    epochs = relevance_epochs(data)
    np.testing.assert_array_equal(epochs.get_data(), data["relevance"].values)
    np.testing.assert_allclose(epochs.times, data["time"].values, rtol=0, atol=1e-12)


def test_epochs_without_labels_or_outputs():
    data = explanation().drop_vars(["label", "output", "target", "explained"])
    assert list(relevance_epochs(data).event_id) == ["trial"]
    assert "predicted" not in relevance_epochs(data).metadata


def test_objects_are_saved_and_read_again(tmp_path):
    epochs = relevance_epochs(explanation())
    epochs.save(tmp_path / "relevance-epo.fif", fmt="double", verbose="error")
    again = mne.read_epochs(tmp_path / "relevance-epo.fif", verbose="error")
    np.testing.assert_array_equal(again.get_data(), epochs.get_data())
    assert again.metadata["correct"].tolist() == epochs.metadata["correct"].tolist()


def test_objects_without_positions():
    evoked = to_evoked(explanation(MUSE, "easycap-M1", place=False))
    assert evoked.get_montage() is None


def test_names_of_classes():
    data = explanation()
    assert class_names(data) == ["face", "house"]
    numbered = data.assign_coords({"class": [0, 1]})
    assert class_names(numbered) == ["face", "house"]
    numbered["signal"].attrs.clear()
    assert class_names(numbered) == ["0", "1"]
    assert class_names(numbered.drop_vars(["output", "class"])) == ["0", "1"]
    np.testing.assert_array_equal(predicted(data), data["target"].values)


def test_groups_of_trials():
    data = explanation()
    assert trial_groups(data, None)[""].tolist() == list(range(12))
    assert trial_groups(data, None, [3, -1])[""].tolist() == [3, 11]
    assert {name: g.tolist() for name, g in trial_groups(data, "label", [0, 1, 2]).items()} == {
        "face": [0, 2],
        "house": [1],
    }


def test_choices_that_do_not_fit():
    data = explanation()
    with pytest.raises(ValueError, match="There is no trial to show"):
        to_evoked(data, data["label"] == 7)
    with pytest.raises(ValueError, match="boolean mask of 12 or by positions up to 11; found bool of shape"):
        to_evoked(data, np.ones(11, bool))
    with pytest.raises(ValueError, match="positions up to 11"):
        trial_groups(data, "label", [12])
    with pytest.raises(ValueError, match="no 'response' along trial; group by predicted or one of explained, label, "):
        evokeds_by(data, "response")
    with pytest.raises(ValueError, match="'absorbed' is unknown; choose relevance or signal"):
        to_evoked(data, what="absorbed")
    with pytest.raises(ValueError, match=r"needs an output \(trial, class\); the explanation has none"):
        predicted(data.drop_vars("output"))


def test_relevance_in_another_basis_is_no_relevance_of_electrodes():
    seen = signalrp.inspect(explanation(), signalrp.DFT())
    for what in (to_evoked, relevance_epochs):
        with pytest.raises(ValueError, match=r"relevance of the explanation is \('trial', 'channel', 'frequency'\)"):
            what(seen)
    with pytest.raises(ValueError, match="relevance of the explanation is absent"):
        to_evoked(explanation().drop_vars("relevance"))


def test_in_volt_the_signal_is_the_deviation_and_bases_stay_right():
    data = explanation(trials=6)
    measured = data["signal"].assign_coords(label=("trial", data["label"].values))
    scaler = Scaler("z-score").fit(measured)
    scaled = scaler.transform(measured)
    data = data.assign(signal=scaled.drop_vars("label"), per_unit=data["relevance"] / scaled.drop_vars("label"))
    found = in_volt(data, scaler)
    assert found["signal"].attrs["units"] == "V"
    np.testing.assert_allclose(found["signal"], measured - measured.mean(("trial", "time")), rtol=1e-9, atol=1e-15)
    np.testing.assert_array_equal(found["relevance"], data["relevance"])
    np.testing.assert_allclose(found["per_unit"] * found["signal"], data["relevance"], rtol=1e-9, atol=1e-12)
    for name in ("signal", "per_unit"):
        assert found[name].dims == data[name].dims
    assert "per_unit" not in in_volt(data.drop_vars("per_unit"), scaler)
    with pytest.raises(ValueError, match="other channels, or in another order"):
        in_volt(data.isel(channel=slice(None, None, -1)), scaler)
    with pytest.raises(ValueError, match="was not fitted"):
        in_volt(data, Scaler("z-score"))
