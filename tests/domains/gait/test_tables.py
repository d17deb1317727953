from __future__ import annotations

import numpy as np
import pytest

from signalrp.domains.gait import preprocessing as pp
from signalrp.domains.gait.tables import grf_tables, tidy_csv
from signalrp.signals import units_of

TRIALS = [(101, 1, 1), (101, 1, 2), (101, 2, 1), (205, 7, 1)]
LENGTHS = [150, 160, 140, 170]


def curve(row, points, component):
    phase = np.linspace(0, np.pi, points)
    return {"F_V": np.sin(phase), "F_AP": -0.2 * np.cos(phase), "F_ML": 0.05 * np.sin(phase)}.get(
        component, 0.1 * phase
    ) * (1 + 0.1 * row)


def write_set(folder, *, gutenberg=False, processing="PRO", components=("F_V", "F_AP", "F_ML"), metadata=True):
    """Files in the published layout: identifiers by name, samples by position, blanks after short trials."""
    ids = (["DATASET_ID"] if gutenberg else []) + ["SUBJECT_ID", "SESSION_ID", "TRIAL_ID"]
    for component in components:
        for side in ("left", "right"):
            raw = processing == "RAW"
            width = max(LENGTHS) if raw else 101
            lines = [",".join(ids + [f"{component}_{processing}_{n + 1}" for n in range(width)])]
            for row, trial in enumerate(TRIALS):
                points = LENGTHS[row] if raw else 101
                values = curve(row, points, component) * (700 if raw else 1)
                blank = "" if gutenberg else "NaN"
                cells = [str(i) for i in ((3, *trial) if gutenberg else trial)]
                lines.append(",".join(cells + [f"{v:.6g}" for v in values] + [blank] * (width - points)))
            (folder / f"GRF_{component}_{processing}_{side}.csv").write_text("\n".join(lines) + "\n")
    if metadata and gutenberg:
        (folder / "GRF_metadata.csv").write_text(
            "DATASET_ID,SUBJECT_ID,SESSION_ID,SEX,AGE,BODY_MASS\n3,101,1,0,25,70\n3,101,2,0,25,71\n3,205,7,1,31,80\n"
        )
    elif metadata:
        (folder / "GRF_metadata.csv").write_text(
            "SUBJECT_ID,SESSION_ID,CLASS_LABEL,SPEED,BODY_MASS,SESSION_DATE\n"
            "101,1,K,2,70,01-01-2010\n101,2,K,1,70,02-01-2010\n205,7,HC,2,80,NaN\n"
        )
    return folder


def test_gaitrec_processed(tmp_path):
    signal = grf_tables(write_set(tmp_path))
    assert signal.shape == (4, 6, 101)
    assert signal.channel.values.tolist() == [f"{c} {s}" for c in ("F_V", "F_AP", "F_ML") for s in ("left", "right")]
    assert signal.attrs["units"] == "BW"
    assert signal.attrs["source"] == "GaitRec"
    assert signal.time.attrs["units"] == "% stance"
    np.testing.assert_allclose(signal.sel(channel="F_AP right").values[2], curve(2, 101, "F_AP"), atol=1e-5)
    assert signal.subject.values.tolist() == ["101", "101", "101", "205"]
    assert signal.session.values.tolist() == [1, 1, 2, 7]
    assert signal.class_name.values.tolist() == ["K", "K", "K", "HC"]
    assert signal.label.values.tolist() == [1, 1, 1, 0]
    assert signal.body_mass.values.tolist() == [70, 70, 70, 80]


def test_gaitrec_raw_becomes_processed(tmp_path):
    write_set(tmp_path, processing="RAW")
    signal = grf_tables(tmp_path, "RAW", ["F_V"], ["left"], rate=250)
    assert signal.shape == (4, 1, 170)
    assert signal.attrs["units"] == "N"
    assert float(signal.time[1]) == pytest.approx(1 / 250)
    assert np.isnan(signal.values).sum(axis=(1, 2)).tolist() == [20, 10, 30, 0]
    processed = pp.time_normalise(pp.body_weight(signal, signal.body_mass))
    expected = [curve(row, 101, "F_V") * 700 / (mass * pp.GRAVITY) for row, mass in enumerate((70, 70, 70, 80))]
    np.testing.assert_allclose(processed.values[:, 0], expected, atol=2e-4)


def test_gutenberg_labels_people(tmp_path):
    signal = grf_tables(write_set(tmp_path, gutenberg=True), components=["F_V"])
    assert signal.attrs["source"] == "Gutenberg Gait Database"
    assert signal.subject.values.tolist() == ["3-101", "3-101", "3-101", "3-205"]
    assert signal.label.values.tolist() == [0, 0, 0, 1]
    assert signal.class_name.values[-1] == "3-205"
    np.testing.assert_allclose(signal.values[3, 0], curve(3, 101, "F_V"), atol=1e-5)
    raw = grf_tables(write_set(tmp_path, gutenberg=True, processing="RAW"), "RAW", ["F_V"], rate=1000)
    assert np.isnan(raw.values).sum() == 2 * 60


def test_centre_of_pressure_has_its_own_unit(tmp_path):
    write_set(tmp_path, components=("F_V", "COP_AP"))
    signal = grf_tables(tmp_path, components=["F_V", "COP_AP"], sides=["left"])
    assert units_of(signal) == ["BW", "m"]
    assert signal.unit.values.tolist() == ["BW", "m"]


def test_trials_are_chosen_by_metadata(tmp_path):
    signal = grf_tables(write_set(tmp_path), where=lambda trials: trials.SPEED == 2, label="SUBJECT_ID")
    assert signal.session.values.tolist() == [1, 1, 7]
    assert signal.label.values.tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match="No trial is left"):
        grf_tables(tmp_path, where=lambda trials: trials.SPEED == 9)


def test_without_metadata(tmp_path):
    signal = grf_tables(write_set(tmp_path, metadata=False))
    assert signal.label.values.tolist() == [0, 0, 0, 1]
    with pytest.raises(ValueError, match="no column 'CLASS_LABEL'"):
        grf_tables(tmp_path, label="CLASS_LABEL")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"components": ["F_X"]}, ValueError, r"Unknown component \['F_X'\]; choose among F_V"),
        ({"sides": ["both"]}, ValueError, "Unknown side"),
        ({"processing": "RAW"}, ValueError, "give rate in samples per second"),
        ({"processing": "RAW", "rate": -1}, ValueError, "give rate in samples per second"),
        ({"components": ["COP_AP"]}, FileNotFoundError, "GRF_COP_AP_PRO_left.csv; put it into the folder"),
    ],
)
def test_grf_tables_refuse(tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        grf_tables(write_set(tmp_path), **arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[:-400], "row 5, with gaps"),
        (lambda t: t[: t.rindex("205,7,1")], "other trials"),
        (lambda t: t.replace("SUBJECT_ID", "PATIENT"), "must begin with the columns SUBJECT_ID"),
        (lambda t: t.replace("101,2,1,", "101,2,1,x"), "is no number"),
        (
            lambda t: "\n".join(line.rsplit(",", 1)[0] for line in t.splitlines()),
            "100 points a trial where PRO files have 101",
        ),
        (lambda t: "", "cannot be read as a CSV table"),
    ],
)
def test_broken_grf_tables_are_named(tmp_path, change, message):
    file = write_set(tmp_path) / "GRF_F_AP_PRO_left.csv"
    file.write_text(change(file.read_text()))
    with pytest.raises(ValueError, match=message):
        grf_tables(tmp_path)


def test_gap_in_a_raw_trial(tmp_path):
    file = write_set(tmp_path, processing="RAW") / "GRF_F_V_RAW_left.csv"
    lines = file.read_text().splitlines()
    cells = lines[2].split(",")
    cells[50] = "NaN"
    lines[2] = ",".join(cells)
    file.write_text("\n".join(lines))
    with pytest.raises(ValueError, match="159 of 170 values in row 3, with gaps"):
        grf_tables(tmp_path, "RAW", ["F_V"], rate=250)


def test_truncated_metadata(tmp_path):
    file = write_set(tmp_path) / "GRF_metadata.csv"
    file.write_text("\n".join(file.read_text().splitlines()[:-1]))
    with pytest.raises(ValueError, match="says nothing about 1 of 4 trials"):
        grf_tables(tmp_path)


TIDY = "trial,channel,time,value,subject,speed,unit\n" + "".join(
    f"{trial},{channel},{time},{value},{subject},{speed},{unit}\n"
    for trial, subject, speed in (("t2", "Ann", 1.2), ("t1", "Bob", 1.5))
    for channel, unit in (("Fz", "N"), ("knee", "deg"))
    for time, value in ((0.01, 2), (0.0, 1), (0.02, 3))
)


def test_tidy_csv(tmp_path):
    (tmp_path / "walk.csv").write_text(TIDY)
    signal = tidy_csv(tmp_path / "walk.csv")
    assert signal.shape == (2, 2, 3)
    assert signal.trial.values.tolist() == ["t2", "t1"]
    assert signal.subject.values.tolist() == ["Ann", "Bob"]
    assert signal.speed.values.tolist() == [1.2, 1.5]
    assert units_of(signal) == ["N", "deg"]
    assert signal.time.values.tolist() == [0.0, 0.01, 0.02]
    assert signal.values.tolist() == [[[1, 2, 3], [1, 2, 3]]] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[: t.rindex("t1")], "5 of 6 samples of trial 't1'"),
        (lambda t: t + "t1,knee,0.0,1,Bob,1.5,deg\n", "twice"),
        (lambda t: t.replace("value", "force", 1), "no column value"),
        (lambda t: t.replace("t2,Fz,0.01,2", "t2,Fz,0.01,x"), "missing or no number"),
        (
            lambda t: t.replace("t2,Fz,0.01,2,Ann", "t2,Fz,0.01,2,Eve"),
            "more than one subject for the trial 't2'",
        ),
        (
            lambda t: t.replace("t2,Fz,0.01,2,Ann,1.2,N", "t2,Fz,0.01,2,Ann,1.2,BW"),
            "more than one unit for the channel",
        ),
    ],
)
def test_tidy_csv_refuses(tmp_path, change, message):
    (tmp_path / "walk.csv").write_text(change(TIDY))
    with pytest.raises(ValueError, match=message):
        tidy_csv(tmp_path / "walk.csv")


def test_tidy_csv_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        tidy_csv(tmp_path / "none.csv")
