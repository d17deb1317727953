"""Recordings of a gait laboratory as labelled arrays: C3D, and the .mot and .sto tables of OpenSim."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from .labelled import SECONDS, labelled

_INTEL = 84
_LONGEST_COUNT = 65535
_AXES = "xyz"


def c3d_forces(path: str | os.PathLike[str], platforms: Sequence[int] | None = None) -> xr.DataArray:
    """Ground reaction forces of the force platforms of a C3D file, at their own (analog) rate.

    Parameters
    ----------
    path : path
        C3D file (https://www.c3d.org) with the group FORCE_PLATFORM.
    platforms : sequence of int, optional
        Numbers of the platforms to read, the first being 1; default all.

    Returns
    -------
    xarray.DataArray, shape (1, 3 per platform, time)
        Channels "plate 1 Fx", "plate 1 Fy", "plate 1 Fz", ... in newton, in the axes of the laboratory, over
        seconds. ``attrs["rate"]`` is the rate in samples per second.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no C3D file, is cut short, or has no such platform.
    ImportError
        If ezc3d is not installed.
    """
    content = _open_c3d(path)
    plates = content["data"]["platform"]
    if not plates:
        raise ValueError(f"{path} has no force platform; its analog channels are {_labels(content, 'ANALOG')}.")
    numbers = list(range(1, len(plates) + 1)) if platforms is None else list(platforms)
    absent = [number for number in numbers if not 1 <= number <= len(plates)]
    if absent:
        raise ValueError(f"{path} has the platforms 1 to {len(plates)}, not {absent}.")
    rate = _rate(content, "ANALOG", path)
    forces = np.concatenate([plates[number - 1]["force"] for number in numbers])
    scale = [_to_newton(content, number, path) for number in numbers for _ in _AXES]
    return labelled(
        (forces * np.array(scale)[:, None])[None],
        [f"plate {number} F{axis}" for number in numbers for axis in _AXES],
        np.arange(forces.shape[1]) / rate,
        SECONDS,
        "N",
        source=Path(path).name,
        rate=rate,
    )


def c3d_angles(path: str | os.PathLike[str], labels: Sequence[str] | None = None) -> xr.DataArray:
    """Joint angles of a C3D file, at the rate of the cameras.

    Parameters
    ----------
    path : path
        C3D file whose model outputs are stored beside the markers.
    labels : sequence of str, optional
        Points to read. Default: those listed in the parameter POINT:ANGLES, or without it those whose name
        ends in "Angle" or "Angles".

    Returns
    -------
    xarray.DataArray, shape (1, 3 per label, time)
        Channels "LKneeAngles x", "LKneeAngles y", "LKneeAngles z", ... in POINT:ANGLE_UNITS (degrees when the
        file does not say), over seconds. Instants the cameras missed are NaN. ``attrs["rate"]`` as for
        `c3d_forces`.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        As `c3d_forces`; ValueError also for a label the file does not have.
    """
    content = _open_c3d(path)
    present = _labels(content, "POINT")
    if labels is None:
        listed = _strings(content, "POINT", "ANGLES")
        chosen = [name for name in listed if name in present] or [n for n in present if re.search(r"Angles?$", n)]
    else:
        chosen = list(labels)
    absent = [name for name in chosen if name not in present]
    if absent or not chosen:
        raise ValueError(f"{path} has no points {absent or 'that are angles'}; its points are {present}.")
    rate = _rate(content, "POINT", path)
    units = {"degrees": "deg", "degree": "deg"}.get(
        unit := "".join(_strings(content, "POINT", "ANGLE_UNITS")[:1]), unit
    )
    points = content["data"]["points"][:3, [present.index(name) for name in chosen]]
    return labelled(
        points.transpose(1, 0, 2).reshape(1, -1, points.shape[-1]),
        [f"{name} {axis}" for name in chosen for axis in _AXES],
        np.arange(points.shape[-1]) / rate,
        SECONDS,
        units or "deg",
        name="joint angle",
        source=Path(path).name,
        rate=rate,
    )


def _open_c3d(path: str | os.PathLike[str]) -> Any:
    try:
        import ezc3d
    except ImportError as error:
        raise ImportError('C3D files need ezc3d; install it with: pip install "signalrp[gait]"') from error
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {file}.")
    _check_length(file)
    try:
        return ezc3d.c3d(str(file), extract_forceplat_data=True)
    except (OSError, RuntimeError, ValueError, IndexError) as error:
        raise ValueError(f"{file} cannot be read as a C3D file ({error}); export it again.") from error


def _check_length(file: Path) -> None:
    """Compare the length of a file with its header: ezc3d returns fewer frames when it was cut short."""
    content = file.read_bytes()
    if len(content) < 512 or content[1] != 0x50:
        raise ValueError(f"{file} is not a C3D file: its header is not one; export it again.")
    points, analogs, first, last = struct.unpack_from("<4H", content, 2)
    (scale,) = struct.unpack_from("<f", content, 12)
    (start,) = struct.unpack_from("<H", content, 16)
    processor = (content[0] - 1) * 512 + 3
    # Other processors store the scale in another format, and longer recordings overflow the count of frames.
    if processor >= len(content) or content[processor] != _INTEL or last == _LONGEST_COUNT:
        return
    frames = last - first + 1
    expected = (start - 1) * 512 + frames * (4 * points + analogs) * (4 if scale < 0 else 2)
    if len(content) < expected:
        raise ValueError(
            f"{file} has {len(content)} bytes where its header promises {expected} for {frames} frames; "
            "it was cut short, copy or export it again."
        )


def _strings(content: Any, group: str, name: str) -> list[str]:
    found: list[str] = []
    for suffix in ("", *range(2, 10)):
        parameter = content["parameters"].get(group, {}).get(f"{name}{suffix}")
        found += [str(value).strip() for value in parameter["value"]] if parameter else []
    return found


def _labels(content: Any, group: str) -> list[str]:
    return _strings(content, group, "LABELS")


def _rate(content: Any, group: str, path: str | os.PathLike[str]) -> float:
    value = content["parameters"][group]["RATE"]["value"]
    rate = float(value[0]) if len(value) else 0.0
    if not (np.isfinite(rate) and rate > 0):
        raise ValueError(f"{path} states the rate {rate:g} in {group}:RATE; correct the file, it must be positive.")
    return rate


def _to_newton(content: Any, number: int, path: str | os.PathLike[str]) -> float:
    """Factor from the stated unit of a platform's force channels to newton; ezc3d ignores that unit."""
    platform = content["parameters"]["FORCE_PLATFORM"]
    # Types 1 and 2 begin with three forces, type 3 has eight; a matrix calibrates the others into newton.
    forces = {1: 3, 2: 3, 3: 8}.get(int(platform["TYPE"]["value"][number - 1]), 0)
    units = _strings(content, "ANALOG", "UNITS")
    channels = np.atleast_2d(platform["CHANNEL"]["value"].T)[number - 1][:forces]
    stated = {units[channel - 1] for channel in channels if 0 < channel <= len(units)} - {""}
    factors = {"n": 1.0, "newton": 1.0, "newtons": 1.0, "kn": 1000.0}
    if len(stated) > 1 or not {unit.lower() for unit in stated} <= set(factors):
        raise ValueError(f"{path} has {sorted(stated)} for the forces of plate {number}; expected N or kN.")
    return factors[stated.pop().lower()] if stated else 1.0


def opensim_table(path: str | os.PathLike[str]) -> xr.DataArray:
    """Read an OpenSim motion (.mot) or storage (.sto) table, such as joint angles or ground reaction forces.

    The format is a header (nRows, nColumns, inDegrees; datarows and datacolumns in older files) up to
    "endheader", one line of column names, and the numbers. See the OpenSim User's Guide, Delp et al. (2007),
    doi:10.1109/TBME.2007.901024.

    Parameters
    ----------
    path : path
        Table whose first column is the time in seconds.

    Returns
    -------
    xarray.DataArray, shape (1, columns without time, time)
        Units follow OpenSim's names: "..._force_vx" and so on N, "..._force_px" m, "..._torque_x" and
        "..._moment" N m, "..._tx" m; every other column is an angle ("deg" or "rad", as the header says) when
        the header states inDegrees and the table holds no forces, else "". ``attrs["rate"]`` is the rate in
        samples per second.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the header is incomplete, rows or columns are missing, or the samples are not equally spaced.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {file}.")
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    end = next((number for number, line in enumerate(lines) if line.strip().lower() == "endheader"), None)
    if end is None or end + 1 >= len(lines):
        raise ValueError(f"{file} has no 'endheader' followed by column names; it is no complete OpenSim table.")
    header = _header(lines[:end])
    body = [line for line in lines[end + 1 :] if line.strip()]
    columns = body[0].split("\t") if "\t" in body[0] else body[0].split()
    columns = [name.strip() for name in columns if name.strip()]
    values = _numbers(body[1:], len(columns), file)
    for key, count in (("nrows", len(values)), ("ncolumns", len(columns))):
        stated = header.get(key) or header.get(key.replace("n", "data", 1))
        if stated is not None and int(stated) != count:
            raise ValueError(f"{file} has {count} of {stated} {key[1:]}; it was cut short or edited, export it again.")
    if columns[0].lower() != "time":
        raise ValueError(f"{file} begins with the column {columns[0]!r}; the first must be time.")
    rate = _regular_rate(values[:, 0], file)
    return labelled(
        values[:, 1:].T[None],
        columns[1:],
        values[:, 0],
        SECONDS,
        _opensim_units(columns[1:], header.get("indegrees", "")),
        name=file.stem,
        source=file.name,
        rate=rate,
    )


def _header(lines: Sequence[str]) -> dict[str, str]:
    header = {}
    for line in lines:
        key, _, value = line.partition("=") if "=" in line else line.strip().partition(" ")
        header[key.strip().lower()] = value.strip()
    return header


def _numbers(rows: Sequence[str], columns: int, file: Path) -> npt.NDArray[np.float64]:
    values = np.empty((len(rows), columns))
    for number, row in enumerate(rows):
        cells = row.split()
        if len(cells) != columns:
            raise ValueError(f"{file} has {len(cells)} of {columns} values in row {number + 1}; it was cut short.")
        try:
            values[number] = [float(cell) for cell in cells]
        except ValueError as error:
            raise ValueError(f"{file} has something that is no number in row {number + 1}: {error}.") from error
    return values


def _regular_rate(time: npt.NDArray[np.float64], file: Path) -> float:
    steps = np.diff(time)
    if steps.size == 0 or not (steps > 0).all():
        raise ValueError(f"{file} needs at least two rows with increasing time.")
    # Times are printed with few digits, so that equal steps may differ in the last one.
    if np.abs(steps - steps.mean()).max() > 0.1 * steps.mean():
        raise ValueError(
            f"{file} is not equally spaced: steps of {steps.min():g} to {steps.max():g} s; export it at a fixed rate."
        )
    return float(1 / steps.mean())


def _opensim_units(columns: Sequence[str], in_degrees: str) -> list[str]:
    rules = (
        (r"force_?v?[xyz]$", "N"),
        (r"force_?p[xyz]$", "m"),
        (r"(torque_?[xyz]|moment)$", "N m"),
        (r"_t[xyz]$", "m"),
    )
    units = [next((unit for rule, unit in rules if re.search(rule, name)), None) for name in columns]
    angle = {"yes": "deg", "no": "rad"}.get(in_degrees.lower(), "")
    loads = {"N", "N m"} & {unit for unit in units if unit}
    return [unit if unit is not None else ("" if loads else angle) for unit in units]
