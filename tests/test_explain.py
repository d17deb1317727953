from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import signalrp
from signalrp.explanation import labelled

CLASSES = ["healthy", "hip", "knee"]
TRIALS = 7


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8, 3)).eval()


@pytest.fixture
def signal() -> xr.DataArray:
    rng = np.random.default_rng(0)
    return xr.DataArray(
        rng.normal(size=(TRIALS, 2, 10)).astype(np.float32),
        dims=("trial", "channel", "time"),
        name="ground reaction force",
        attrs={"title": "a test", "source": "nowhere"},
        coords={
            "trial": [f"walk {number}" for number in range(TRIALS)],
            "channel": ["vertical", "fore-aft ↔"],
            "time": ("time", np.linspace(0, 100, 10), {"units": "% stance"}),
            "unit": ("channel", ["BW", "N m"]),
            "subject": ("trial", [f"S{number:02d}" for number in range(TRIALS)]),
            "label": ("trial", np.arange(TRIALS) % 3),
            "speed": ("trial", np.append(rng.normal(size=TRIALS - 1), np.nan), {"units": "m/s"}),
            "session": ("trial", np.arange(TRIALS, dtype=np.int64)),
            "left foot": ("trial", np.arange(TRIALS) % 2 == 0),
        },
    )


def test_names_units_and_versions_are_carried_over(model, signal):
    explanation = signalrp.explain(model, signal, classes=CLASSES)
    xr.testing.assert_identical(explanation["signal"].rename(signal.name), signal.drop_vars("label"))
    assert explanation["relevance"].dims == signal.dims
    assert explanation["relevance"].attrs["units"] == "relevance"
    assert explanation["class"].values.tolist() == CLASSES
    np.testing.assert_array_equal(explanation["label"], signal["label"])
    assert explanation.attrs == {
        "model": "Sequential",
        "composite": "epsilon-plus",
        "method": "epsilon-plus",
        "signal_name": "ground reaction force",
        "signalrp_version": signalrp.__version__,
        "torch_version": torch.__version__,
    }
    explanation["signal"].attrs["units"] = "mV"
    explanation["subject"].attrs["units"] = "mV"
    assert "units" not in signal.attrs
    assert "units" not in signal["subject"].attrs


def test_what_is_explained_is_what_attribute_explains(model, signal):
    explanation = signalrp.explain(model, signal, composite="epsilon")
    result = signalrp.attribute(model, torch.from_numpy(signal.values), composite="epsilon")
    np.testing.assert_array_equal(explanation["relevance"], result.relevance)
    np.testing.assert_array_equal(explanation["output"], result.output)
    np.testing.assert_array_equal(explanation["target"], explanation["output"].argmax("class"))
    np.testing.assert_array_equal(explanation["explained"], explanation["output"].max("class"))


@pytest.mark.parametrize("batch_size", [1, 2, 3, TRIALS - 1, TRIALS, 1000])
def test_batches_equal_one_batch(model, signal, batch_size):
    whole = signalrp.explain(model.double(), signal.astype(np.float64), audit=True, batch_size=TRIALS)
    parts = signalrp.explain(model, signal.astype(np.float64), audit=True, batch_size=batch_size)
    xr.testing.assert_allclose(parts, whole, rtol=1e-12, atol=1e-14)
    assert parts.attrs == whole.attrs


def test_memory_is_bounded_by_the_batch(model, signal):
    sizes = []
    handle = model[0].register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    signalrp.explain(model, signal, batch_size=3)
    handle.remove()
    assert sizes == [3, 3, 1]


PER_TRIAL = [2, 0, 1, 1, 2, 0, 2]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (1, [1] * TRIALS),
        (np.int64(2), [2] * TRIALS),
        (np.array(2), [2] * TRIALS),
        (torch.tensor(2), [2] * TRIALS),
        (PER_TRIAL, PER_TRIAL),
        (tuple(PER_TRIAL), PER_TRIAL),
        (np.array(PER_TRIAL, dtype=np.int32), PER_TRIAL),
        (torch.tensor(PER_TRIAL), PER_TRIAL),
        (xr.DataArray(PER_TRIAL, dims="trial"), PER_TRIAL),
    ],
)
def test_targets_follow_their_trials_through_the_batches(model, signal, target, expected):
    explanation = signalrp.explain(model, signal, target, batch_size=3)
    np.testing.assert_array_equal(explanation["target"], expected)
    wanted = explanation["output"].values[np.arange(TRIALS), expected]
    np.testing.assert_array_equal(explanation["explained"], wanted)


def test_callable_target_explains_what_it_returns(model, signal):
    explanation = signalrp.explain(model, signal, lambda out: out[:, 0] - out[:, 1], "epsilon", batch_size=3)
    with torch.no_grad():
        out = model(torch.from_numpy(signal.values)).numpy()
    np.testing.assert_allclose(explanation["explained"], out[:, 0] - out[:, 1], atol=1e-6)
    assert "target" not in explanation
    one, other = (signalrp.explain(model, signal, number, "epsilon")["relevance"] for number in (0, 1))
    np.testing.assert_allclose(explanation["relevance"], one - other, atol=1e-4)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([0, 1], r"targets of shape \(2,\) for 7 trials"),
        (np.zeros((TRIALS, 1), dtype=int), r"targets of shape \(7, 1\)"),
        (CLASSES[0], "targets must be integers"),
        ([0.0] * TRIALS, "targets must be integers"),
        (True, "targets must be integers"),
        (3, "target 3 is out of range"),
        ([0] * (TRIALS - 1) + [-1], "target -1 is out of range"),
        (lambda out: out, "one number per sample"),
    ],
)
def test_wrong_targets_are_refused(model, signal, target, message):
    with pytest.raises(ValueError, match=message):
        signalrp.explain(model, signal, target, batch_size=3)


class Regression(nn.Module):
    """One number for each trial."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Linear(20, 1)

    def forward(self, x):
        return self.weight(x.flatten(1))[:, 0]


class Tracker(nn.Module):
    """Three values at each instant."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Conv1d(2, 3, 3)

    def forward(self, x):
        return self.filter(x)


def test_a_model_of_one_number_needs_no_target(signal):
    explanation = signalrp.explain(Regression().eval(), signal.drop_vars("label"), composite="epsilon", batch_size=3)
    assert explanation["output"].dims == ("trial",)
    assert not {"class", "absorbed"} & set(explanation.variables)
    assert "target" not in explanation
    np.testing.assert_array_equal(explanation["explained"], explanation["output"])


def test_a_sequence_is_explained_by_a_callable(signal):
    tracker = Tracker().eval()
    explanation = signalrp.explain(tracker, signal.drop_vars("label"), lambda out: out[:, 1, 4], batch_size=3)
    # The filter of instant 4 sees the instants 4 to 6.
    seen = np.flatnonzero(np.abs(explanation["relevance"]).sum(("trial", "channel")))
    assert seen.tolist() == [4, 5, 6]
    with pytest.raises(ValueError, match="say what to explain with a target function"):
        signalrp.explain(tracker, signal)


def test_audit_closes_the_account_of_every_trial(model, signal):
    explanation = signalrp.explain(model.double(), signal.astype(np.float64), audit=True, batch_size=3)
    total = explanation["relevance"].sum(("channel", "time")) + explanation["absorbed"]
    np.testing.assert_allclose(explanation["explained"], total, atol=1e-10)
    assert float(np.abs(explanation["absorbed"]).min()) > 1e-6


def test_the_model_computes_in_its_own_type(signal):
    double = nn.Sequential(nn.Flatten(), nn.Linear(20, 3)).double().eval()
    explanation = signalrp.explain(double, signal)
    assert explanation["relevance"].dtype == explanation["output"].dtype == np.float64
    half = nn.Sequential(nn.Flatten(), nn.Linear(20, 3)).bfloat16().eval()
    assert signalrp.explain(half, signal)["relevance"].dtype == np.float32
    single = nn.Sequential(nn.Flatten(), nn.Linear(20, 3)).eval()
    assert signalrp.explain(single, signal.astype(np.float64))["relevance"].dtype == np.float32
    assert signalrp.explain(single, (10 * signal).astype(np.int16))["relevance"].dtype == np.float32


def test_plain_arrays_get_names(model, signal):
    values = signal.values
    bare = signalrp.explain(model, values)
    assert bare["channel"].values.tolist() == [0, 1]
    assert bare["time"].values.tolist() == list(range(10))
    assert bare["class"].values.tolist() == [0, 1, 2]
    named = signalrp.explain(model, values, channels=["left", "right"], time=np.arange(10) / 100, classes=CLASSES)
    assert named["channel"].values.tolist() == ["left", "right"]
    np.testing.assert_array_equal(named["time"], np.arange(10) / 100)
    np.testing.assert_array_equal(named["relevance"], bare["relevance"])
    with pytest.raises(ValueError, match="1 values for 2 channels"):
        signalrp.explain(model, values, channels=["left"])
    with pytest.raises(ValueError, match="11 values for 10 times"):
        signalrp.explain(model, values, time=np.arange(11))
    with pytest.raises(ValueError, match="for plain arrays"):
        signalrp.explain(model, signal, channels=["left", "right"])


def test_a_labelled_signal_stays_the_object_it_is(signal):
    assert labelled(signal) is signal


@pytest.mark.parametrize("engine", ["scipy", "netcdf4", "h5netcdf"])
# Xarray warns of the coordinate with a space in its name, which is read back all the same.
@pytest.mark.filterwarnings("ignore:coordinate 'left foot' has a space")
def test_a_file_loses_nothing(model, signal, engine, tmp_path):
    if engine != "scipy":
        pytest.importorskip({"netcdf4": "netCDF4"}.get(engine, engine))
    signal = signal.assign_coords(frames=("trial", np.arange(TRIALS, dtype=np.int64), {"units": "milliseconds"}))
    explanation = signalrp.explain(model, signal, classes=CLASSES, audit=True)
    explanation.to_netcdf(tmp_path / "explanation.nc", engine=engine)
    loaded = signalrp.load(tmp_path / "explanation.nc")
    xr.testing.assert_identical(loaded, explanation)
    assert {str(k): v.dtype for k, v in loaded.variables.items()} == {
        str(k): v.dtype for k, v in explanation.variables.items()
    }
    (tmp_path / "explanation.nc").unlink()
    assert float(loaded["relevance"].sum()) == float(explanation["relevance"].sum())


def test_narrow_integers_stay_narrow(model, signal, tmp_path):
    pytest.importorskip("h5netcdf")
    signal = signal.drop_vars("left foot").assign_coords(session=("trial", np.arange(TRIALS, dtype=np.int32)))
    signalrp.explain(model, signal).to_netcdf(tmp_path / "explanation.nc", engine="h5netcdf")
    assert signalrp.load(str(tmp_path / "explanation.nc"))["session"].dtype == np.int32


def test_another_file_is_no_explanation(signal, tmp_path):
    signal.drop_vars("left foot").rename("signal").to_netcdf(tmp_path / "signal.nc", engine="scipy")
    with pytest.raises(ValueError, match="holds no explanation: output, relevance missing"):
        signalrp.load(tmp_path / "signal.nc")


def test_labels_may_be_names(model, signal):
    names = np.array(CLASSES)[signal["label"].values]
    for values in (names, names.astype(object)):
        named = signal.assign_coords(label=("trial", values))
        explanation = signalrp.explain(model, named, classes=CLASSES, batch_size=3)
        np.testing.assert_array_equal(explanation["label"], signal["label"])
        assert explanation["label"].dtype.kind == "i"
    with pytest.raises(ValueError, match="'hip', which is not among the classes healthy, ankle, knee"):
        signalrp.explain(model, named, classes=["healthy", "ankle", "knee"])
    with pytest.raises(ValueError, match="or names together with classes"):
        signalrp.explain(model, named)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (("trial", np.arange(TRIALS)), "labels run from 0 to 6, but the model has classes 0 to 2"),
        (("trial", np.arange(TRIALS) % 3 - 1), "labels run from -1 to 1"),
        (("trial", np.arange(TRIALS) / 3), "must hold integers"),
        (1, "one value per trial"),
        (("channel", [0, 1]), "one value per trial"),
    ],
)
def test_wrong_labels_are_refused_after_one_batch(model, signal, label, message):
    calls = []
    handle = model.register_forward_pre_hook(lambda module, inputs: calls.append(1))
    with pytest.raises(ValueError, match=message):
        signalrp.explain(model, signal.assign_coords(label=label), batch_size=1)
    handle.remove()
    assert len(calls) == 1


def test_class_names_must_fit_the_model(model, signal):
    with pytest.raises(ValueError, match=r"2 class names for an output of shape \(3,\)"):
        signalrp.explain(model, signal, classes=["a", "b"])
    with pytest.raises(ValueError, match="must differ"):
        signalrp.explain(model, signal, classes=["a", "b", "a"])


def test_signals_that_do_not_fit_are_refused(model, signal):
    for wrong in (signal.transpose("channel", "trial", "time"), signal.isel(trial=0)):
        with pytest.raises(ValueError, match="the first must be 'trial'"):
            signalrp.explain(model, wrong)
    with pytest.raises(ValueError, match=r"found shape \(2, 10\)"):
        signalrp.explain(model, signal.values[0])
    with pytest.raises(ValueError, match="holds no trial"):
        signalrp.explain(model, signal[:0])
    hole = signal.copy()
    hole[5, 1, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        signalrp.explain(model, hole, batch_size=2)
    for wrong in (signal.astype(complex), signal.astype(str)):
        with pytest.raises(ValueError, match="real numbers"):
            signalrp.explain(model, wrong)
    with pytest.raises(ValueError, match="coordinate 'class' has the name"):
        signalrp.explain(model, signal.assign_coords({"class": ("trial", np.array(CLASSES)[signal["label"]])}))


def test_settings_that_do_not_fit_are_refused(model, signal):
    for size in (0, -3):
        with pytest.raises(ValueError, match=f"at least 1, found {size}"):
            signalrp.explain(model, signal, batch_size=size)
    with pytest.raises(ValueError, match="there is no composite"):
        signalrp.explain(model, signal, composite="episilon")
    with pytest.raises(ValueError, match=r"the model is on cpu and cuda was asked for"):
        signalrp.explain(model, signal, device="cuda")
    with pytest.raises(ValueError, match="training mode"):
        signalrp.explain(nn.Sequential(nn.Flatten(), nn.Linear(20, 3)), signal)


def test_progress_counts_the_batches(model, signal, capsys):
    signalrp.explain(model, signal, batch_size=3)
    assert capsys.readouterr() == ("", "")
    pytest.importorskip("tqdm")
    signalrp.explain(model, signal, batch_size=3, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "explain: 100%" in shown.err
    assert "3/3" in shown.err


def test_progress_without_tqdm_says_what_to_install(model, signal, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match=r"signalrp\[cli\]"):
        signalrp.explain(model, signal, progress=True)


def test_relevance_per_unit_is_kept_when_asked_for(model, signal):
    assert "per_unit" not in signalrp.explain(model, signal)
    explanation = signalrp.explain(model, signal, composite="epsilon", per_unit=True, batch_size=3)
    assert explanation["per_unit"].dims == signal.dims
    assert explanation["per_unit"].attrs["units"] == "relevance per unit of signal"
    np.testing.assert_allclose(signal * explanation["per_unit"], explanation["relevance"], rtol=1e-6)


def test_a_trial_that_the_model_cannot_take_and_one_output_are_told_in_a_sentence():
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 1)).eval()
    with pytest.raises(ValueError, match=r"fails on trials of shape \(2, 4\) .*; give the channels, the sampling rate"):
        signalrp.explain(model, np.zeros((3, 2, 4), dtype=np.float32))
    labelled = xr.DataArray(
        np.ones((3, 2, 3), dtype=np.float32), {"label": ("trial", [0, 1, 0])}, ("trial", "channel", "time")
    )
    with pytest.raises(ValueError, match=r"one output, .* torch.cat\(\[-z, z\], 1\)"):
        signalrp.explain(model, labelled)
