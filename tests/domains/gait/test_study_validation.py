"""What the study makes of the curves of its folds, and of checks that cannot be made."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

pytest.importorskip("sklearn", reason="the study needs scikit-learn")

from signalrp.domains.gait import study


def test_the_limit_of_all_folds_is_their_mean():
    folds_ = [
        xr.Dataset({"output": ("trial", [float(n)])}, attrs={"fill": "mean", "distance_95": 1.0 + n}) for n in range(2)
    ]
    joined = study.join_folds(folds_)
    assert joined["output"].values.tolist() == [0, 1]
    assert joined.attrs == {"fill": "mean", "distance_95": 1.5}
    assert study.join_folds([data.drop_attrs() for data in folds_]).attrs == {}


def test_checks_that_cannot_be_made_are_told_and_left_out():
    said: list[str] = []
    signal = xr.DataArray(
        np.random.default_rng(0).normal(size=(4, 1, 5)),
        dims=("trial", "channel", "time"),
        coords={"subject": ("trial", list("aaaa"))},
    )
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(5, 3)).eval()
    assert study.sanity_checks(model, signal, "epsilon", "mine", said.append) == []
    assert [line.split(":")[:2] for line in said] == [
        ["  mine", " no cascading randomisation"],
        ["  mine", " no class contrast"],
    ]
    checks = study.sanity_checks(model, signal.drop_vars("subject"), "epsilon", "mine", said.append)
    assert [check.name for check in checks] == ["cascading randomisation", "class contrast"]
    assert len(said) == 2
