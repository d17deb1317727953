from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from signalrp import manifests
from signalrp.domains.gait import data, published

SHARED = os.environ.get("SIGNALRP_SHARED_DATA", "")
needs_shared = pytest.mark.skipif(not Path(SHARED).is_dir() or not SHARED, reason="SIGNALRP_SHARED_DATA is not set")


@pytest.fixture
def speed_files(tmp_path, monkeypatch):
    """The published numbers in the files spm1d ships them in."""
    table = np.load(Path(SHARED) / "gait_spm1d_speedgrf" / "speedgrf.npz")
    for person in range(10):
        np.save(tmp_path / f"ex_grf_subj{person:03d}.npy", table["vgrf_bw"][table["subject"] == person])
    np.save(tmp_path / "ex_grf_speeds.npy", table["speed_mps"].reshape(10, 60).T)
    np.save(tmp_path / "ex_grf_speeds_cond.npy", table["speed_cond"].reshape(10, 60).T)
    monkeypatch.setattr(manifests, "fetch", lambda name, root=None: tmp_path)
    return table


def check_speedgrf(signal, table):
    assert signal.dims == ("trial", "channel", "time")
    assert signal.shape == (600, 1, 101)
    assert signal.attrs["units"] == "BW"
    assert signal.time.attrs["units"] == "% stance"
    assert signal.speed.attrs["units"] == "m/s"
    np.testing.assert_array_equal(signal.values[:, 0], table["vgrf_bw"])
    np.testing.assert_array_equal(signal.label, table["subject"])
    np.testing.assert_array_equal(signal.speed, table["speed_mps"])
    assert signal.subject.values[0] == "S01"
    assert signal.subject.values[-1] == "S10"
    conditions = np.array(["slow", "normal", "fast"])[table["speed_cond"] - 1]
    np.testing.assert_array_equal(signal.speed_condition, conditions)
    means = signal.speed.groupby("speed_condition").mean()
    assert means.sel(speed_condition="slow") < means.sel(speed_condition="normal") < means.sel(speed_condition="fast")


@needs_shared
def test_speedgrf_pairs_curves_with_speeds(speed_files):
    check_speedgrf(data.speedgrf(), speed_files)


@needs_shared
def test_speedgrf_curves_answer_to_their_own_speed(speed_files):
    """Faster walking lowers mid-stance; a table read along the wrong axis would destroy the correlation."""
    signal = data.speedgrf()
    for person in range(10):
        mine = signal.isel(trial=signal.label == person)
        valley = mine.sel(time=slice(40, 60)).min("time").values[:, 0]
        assert np.corrcoef(valley, mine.speed)[0, 1] < -0.8


@needs_shared
@pytest.mark.slow
def test_speedgrf_as_fetched(tmp_path):
    try:
        signal = data.speedgrf(tmp_path)
    except manifests.DataError as error:
        pytest.skip(str(error))
    check_speedgrf(signal, np.load(Path(SHARED) / "gait_spm1d_speedgrf" / "speedgrf.npz"))


@needs_shared
def test_clinical_grf_names_channels_by_their_shape():
    signal = data.clinical_grf(Path(SHARED) / "gait_clinical_grf")
    assert signal.shape == (970, 6, 101)
    assert signal.attrs["units"] == "BW"
    healthy = signal.isel(trial=signal.label == 0).mean("trial")
    for side in ("aff", "unaff"):
        # Braking, then pushing, by tenths of body weight; sideways only hundredths.
        fore_aft = healthy.sel(channel=f"{side} fore-aft")
        assert float(fore_aft.sel(time=slice(10, 25)).min()) < -0.1
        assert float(fore_aft.sel(time=slice(75, 95)).max()) > 0.1
        assert float(np.abs(healthy.sel(channel=f"{side} medio-lateral")).max()) < 0.08
        assert 0.95 < float(healthy.sel(channel=f"{side} vertical").max()) < 1.3
    swapped = data.clinical_grf(Path(SHARED) / "gait_clinical_grf", names="as in the file")
    assert swapped.channel.values[0] == "aff fore-aft"
    np.testing.assert_array_equal(swapped.values, signal.values)


@needs_shared
def test_clinical_grf_people_and_folds():
    signal = data.clinical_grf(Path(SHARED) / "gait_clinical_grf" / "gait_clinical_grf.npz")
    assert len(np.unique(signal.subject)) == 194
    assert np.bincount(signal.label).tolist() == [310, 215, 260, 185]
    names, counts = np.unique(signal.injury, return_counts=True)
    assert dict(zip(names, counts, strict=True)) == {"healthy": 310, "hip": 215, "knee": 260, "ankle": 185}
    assert sorted(signal.permutation.values) == list(range(970))
    for subject in np.unique(signal.subject):
        assert len(np.unique(signal.fold[signal.subject == subject])) == 1


@needs_shared
@pytest.mark.parametrize("fold", [0, 4, 9])
@pytest.mark.parametrize("model", ["MlpLinear", "SvmLinearL2C1em1"])
def test_published_linear_models_reproduce_their_outputs(fold, model):
    place = Path(SHARED) / "gait_clinical_grf"
    chosen = published.published_split(place, fold)
    inputs = published.published_input(place).isel(trial=chosen)
    assert (inputs.fold == fold).all()
    weight, bias = published.published_linear(place, fold, model)
    flat = inputs.transpose("trial", "time", "channel").values.reshape(len(chosen), -1)
    output = published.published_output(place, fold, model)
    np.testing.assert_allclose(flat @ weight.numpy().T + bias.numpy(), output, atol=1e-11)

    # Epsilon relevance of a linear layer is input times weight of the explained class.
    relevance = published.published_relevance(place, fold, model)
    seed = (inputs.label.values > 0).astype(int)
    expected = inputs.values * weight.numpy()[seed].reshape(-1, 101, 6).transpose(0, 2, 1)
    strength = np.abs(output[np.arange(len(seed)), seed])
    clear = strength > 0.01
    np.testing.assert_allclose(relevance[clear], expected[clear], rtol=2e-3, atol=1e-6)
    assert clear.sum() > 0.9 * len(seed)


@needs_shared
def test_published_cnn_has_its_shapes():
    cnn = published.published_cnn(Path(SHARED) / "gait_clinical_grf", 3)
    assert cnn.strides == (2, 2, 3)
    assert {name: tuple(value.shape) for name, value in cnn.state.items()} == {
        "conv0.weight": (24, 1, 8),
        "conv0.bias": (24,),
        "conv1.weight": (32, 24, 8),
        "conv1.bias": (32,),
        "conv2.weight": (48, 32, 6),
        "conv2.bias": (48,),
        "linear.weight": (2, 2304),
        "linear.bias": (2,),
    }
    with pytest.raises(ValueError, match="folds 0 to 9, got 10"):
        published.published_cnn(SHARED, 10)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"give the folder that holds gait_clinical_grf\.npz"):
        data.clinical_grf(tmp_path)


@needs_shared
def test_truncated_file_is_named(tmp_path):
    whole = Path(SHARED) / "gait_clinical_grf" / "gait_clinical_grf.npz"
    (tmp_path / whole.name).write_bytes(whole.read_bytes()[:100_000])
    with pytest.raises(manifests.DataError, match="cut short"):
        data.clinical_grf(tmp_path)


@needs_shared
def test_other_contents_are_named(tmp_path):
    shutil.copy(Path(SHARED) / "gait_spm1d_speedgrf" / "speedgrf.npz", tmp_path / "gait_clinical_grf.npz")
    with pytest.raises(manifests.DataError, match="has no array"):
        data.clinical_grf(tmp_path)


def test_pickles_are_not_read(tmp_path):
    np.savez(tmp_path / "gait_clinical_grf.npz", grf=np.array([{}], dtype=object))
    with pytest.raises(manifests.DataError, match="cannot be read"):
        data.clinical_grf(tmp_path)
