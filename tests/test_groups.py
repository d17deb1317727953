"""Trials in groups, and the names of classes."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from signalrp.groups import chosen_trials, class_names, predicted, trial_groups


def explained(**attrs: str) -> xr.Dataset:
    output = np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [0.0, 4.0]])
    return xr.Dataset(
        {
            "signal": (("trial", "time"), np.zeros((4, 3)), attrs),
            "output": (("trial", "class"), output),
            "label": ("trial", [0, 0, 1, 1]),
            "target": ("trial", [0, 1, 0, 1]),
        },
        {"subject": ("trial", ["b", "a", "b", "b"])},
    )


def lists(groups: dict) -> dict:
    return {name: chosen.tolist() for name, chosen in groups.items()}


def test_names_are_those_of_the_output_else_of_the_signal_else_numbers():
    assert class_names(explained()) == ["0", "1"]
    assert class_names(explained(classes="no | yes")) == ["no", "yes"]
    assert class_names(explained(classes="no | yes").assign_coords({"class": ["off", "on"]})) == ["off", "on"]


def test_groups():
    data = explained(classes="no | yes")
    assert predicted(data).tolist() == [0, 1, 0, 1]
    assert lists(trial_groups(data)) == {"no": [0, 1], "yes": [2, 3]}
    assert (
        lists(trial_groups(data, "predicted")) == lists(trial_groups(data, "target")) == {"no": [0, 2], "yes": [1, 3]}
    )
    assert lists(trial_groups(data, "subject")) == {"a": [1], "b": [0, 2, 3]}
    assert lists(trial_groups(data, None)) == {"": [0, 1, 2, 3]}
    # classes without a trial are absent
    assert lists(trial_groups(data, "label", [True, False, False, False])) == {"no": [0]}
    assert lists(trial_groups(data, "label", [-1])) == {"yes": [3]}


def test_refusals():
    data = explained()
    with pytest.raises(ValueError, match="no 'age' along trial; group by predicted or one of label, subject, target"):
        trial_groups(data, "age")
    with pytest.raises(ValueError, match="the explanation has none"):
        predicted(data.drop_vars("output"))
    with pytest.raises(ValueError, match="no trial to show"):
        chosen_trials([False] * 4, 4)
    for wrong in ([4], [[0, 1]], [0.5], [True, False]):
        with pytest.raises(ValueError, match="boolean mask of 4 or by positions up to 3"):
            chosen_trials(wrong, 4)
