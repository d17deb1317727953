"""What all studies do alike: the folder of results, figures under safe names, the folds' curves, checks."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
import torch
import xarray as xr

mpl.use("agg")

import matplotlib.pyplot as plt

from signalrp import studies
from signalrp.report import Report


def test_a_folder_appears_when_all_is_done(tmp_path):
    out = tmp_path / "runs" / "mine"
    with studies.new_folder(out) as folder:
        assert not out.exists()
        (folder / "report.html").write_text("all")
    assert sorted(path.name for path in out.iterdir()) == ["figures", "report.html"]
    assert [path.name for path in out.parent.iterdir()] == ["mine"]


def test_a_failure_leaves_the_earlier_results_and_nothing_else(tmp_path):
    out = tmp_path / "mine"
    with studies.new_folder(out) as folder:
        (folder / "report.html").write_text("first")

    def stop_half_way() -> None:
        with studies.new_folder(out, overwrite=True) as folder:
            (folder / "report.html").write_text("second")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half"):
        stop_half_way()
    assert (out / "report.html").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_folders_of_others_are_never_replaced(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("x")
    with pytest.raises(FileExistsError, match="--overwrite"):
        studies.check_folder(precious)
    with pytest.raises(FileExistsError, match="not written by a study"), studies.new_folder(precious, overwrite=True):
        pass
    assert (precious / "thesis.tex").read_text() == "x"


def test_figures_of_names_that_files_cannot_take_are_all_kept(tmp_path):
    with studies.new_folder(tmp_path / "out") as folder:
        add = studies.Figures(folder, Report("A study"))
        for name in ("a/b", "a b", "../c"):
            add(plt.figure(), name, "A caption")
    names = sorted(path.name for path in (tmp_path / "out" / "figures").iterdir())
    assert names == [".._c.png", "a_b-2.png", "a_b.png"]


def test_the_limit_of_all_folds_is_their_mean():
    folds_ = [
        xr.Dataset({"output": ("trial", [float(n)])}, attrs={"fill": "mean", "distance_95": 1.0 + n}) for n in range(2)
    ]
    joined = studies.join_folds(folds_)
    assert joined["output"].values.tolist() == [0, 1]
    assert joined.attrs == {"fill": "mean", "distance_95": 1.5}
    assert studies.join_folds([data.drop_attrs() for data in folds_]).attrs == {}


def test_checks_that_cannot_be_made_are_told_and_left_out():
    said: list[str] = []
    signal = xr.DataArray(
        np.random.default_rng(0).normal(size=(4, 1, 5)),
        dims=("trial", "channel", "time"),
        coords={"subject": ("trial", list("aaaa"))},
    )
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(5, 3)).eval()
    assert studies.sanity_checks(model, signal, "epsilon", "mine", said.append) == []
    assert [line.split(":")[:2] for line in said] == [
        ["  mine", " no cascading randomisation"],
        ["  mine", " no class contrast"],
    ]
    checks = studies.sanity_checks(model, signal.drop_vars("subject"), "epsilon", "mine", said.append)
    assert [check.name for check in checks] == ["cascading randomisation", "class contrast"]
    assert len(said) == 2


def doubled(number: int, fails: bool, say) -> int:
    if fails:
        raise ValueError(f"{number} cannot be doubled")
    say(f"doubled {number}")
    return 2 * number


@pytest.mark.parametrize("cores", [1, 2])
def test_calls_side_by_side_return_in_their_order_and_are_heard(monkeypatch, cores):
    pytest.importorskip("joblib")
    monkeypatch.setattr(studies, "_cores", lambda: cores)
    said: list[str] = []
    assert studies.side_by_side(doubled, [(number, False) for number in range(3)], said.append) == [0, 2, 4]
    assert said == ["doubled 0", "doubled 1", "doubled 2"]
    with pytest.raises(ValueError, match="1 cannot be doubled"):
        studies.side_by_side(doubled, [(0, False), (1, True)], said.append)
