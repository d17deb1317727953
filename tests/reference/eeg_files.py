"""Small recordings in the formats of the field, written by hand as their specifications say."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from scipy.io import savemat


def text(value: object, width: int) -> bytes:
    return str(value).encode().ljust(width)


def write_edf(path: Path, volts, names, rate: int, notes=(), *, bdf: bool = False) -> Path:
    """EDF+ or BDF+ (Kemp & Olivan 2003, doi:10.1016/S1388-2457(03)00123-8) with records of one second.

    `volts` is (channel, sample), `notes` are (onset in s, duration in s, text).
    """
    width, top = (3, 2**23 - 1) if bdf else (2, 2**15 - 1)
    count, length = volts.shape
    records = length // rate
    microvolts = volts * 1e6
    largest = max(1.0, float(np.ceil(np.abs(microvolts).max())))
    stamps = [f"+{second}\x14\x14\x00".encode() for second in range(records)]
    for onset, duration, note in notes:
        lasting = f"\x15{duration}" if duration else ""
        stamps[int(onset)] += f"+{onset}{lasting}\x14{note}\x14\x00".encode()
    room = -(-max(map(len, stamps)) // width) + 1
    label = "BDF Annotations" if bdf else "EDF Annotations"
    version = b"\xffBIOSEMI" if bdf else text("0", 8)
    header = version + text("X X X X", 80) + text("Startdate 01-JAN-2020 X X X", 80)
    header += text("01.01.20", 8) + text("00.00.00", 8) + text(256 * (count + 2), 8)
    header += text("BDF+C" if bdf else "EDF+C", 44) + text(records, 8) + text(1, 8) + text(count + 1, 4)
    columns = [
        ([*names, label], 16),
        ([""] * (count + 1), 80),
        (["uV"] * count + [""], 8),
        ([-largest] * count + [-1], 8),
        ([largest] * count + [1], 8),
        ([-top] * count + [-top - 1], 8),
        ([top] * (count + 1), 8),
        ([""] * (count + 1), 80),
        ([rate] * count + [room], 8),
        ([""] * (count + 1), 32),
    ]
    header += b"".join(text(value, size) for values, size in columns for value in values)
    numbers = np.round(microvolts / largest * top).astype("<i4")
    body = b""
    for record in range(records):
        part = numbers[:, record * rate : (record + 1) * rate]
        body += part.astype("<i2").tobytes() if not bdf else part[..., None].view("u1")[..., :3].tobytes()
        body += stamps[record].ljust(room * width, b"\x00")
    path.write_bytes(header + body)
    return path


def write_gdf(path: Path, volts, names, rate: int, notes=()) -> Path:
    """GDF 1.25 (Schlögl 2006, arXiv:cs/0608052) of float64 samples; `notes` are (onset in s, duration in s, code)."""
    count, length = volts.shape
    size = 256 * (count + 1)
    head = text("GDF 1.25", 8) + text("X X", 80) + text("", 80) + text("2020010100000000", 16)
    head += struct.pack("<q", size) + bytes(24) + bytes(20) + struct.pack("<q", length // rate)
    head += struct.pack("<2I", 1, 1) + struct.pack("<I", count)
    head += b"".join(text(name, 16) for name in names) + text("", 80) * count + text("uV", 8) * count
    head += np.full(count, -1e3).astype("<f8").tobytes() + np.full(count, 1e3).astype("<f8").tobytes()
    head += np.full(count, -1000).astype("<i8").tobytes() + np.full(count, 1000).astype("<i8").tobytes()
    head += text("", 80) * count + np.full(count, rate).astype("<i4").tobytes()
    head += np.full(count, 17).astype("<i4").tobytes() + bytes(32) * count
    records = (volts[:, : length // rate * rate] * 1e6).reshape(count, -1, rate).transpose(1, 0, 2)
    table = struct.pack("<B", 3) + int(rate).to_bytes(3, "little") + struct.pack("<I", len(notes))
    table += np.array([round(onset * rate) + 1 for onset, _, _ in notes], "<u4").tobytes()
    table += np.array([code for _, _, code in notes], "<u2").tobytes() + bytes(2 * len(notes))
    table += np.array([round(duration * rate) for _, duration, _ in notes], "<u4").tobytes()
    path.write_bytes(head + np.ascontiguousarray(records, "<f8").tobytes() + table)
    return path


def write_brainvision(path: Path, volts, names, rate: int, notes=()) -> Path:
    """BrainVision: header .vhdr, markers .vmrk and float32 samples in µV in .eeg."""
    marks = [f"Mk{i + 2}=Stimulus,{note},{round(onset * rate) + 1},1,0" for i, (onset, _, note) in enumerate(notes)]
    first = "Brain Vision Data Exchange {} File Version 1.0\n\n"
    path.with_suffix(".vmrk").write_text(
        first.format("Marker")
        + f"[Common Infos]\nCodepage=UTF-8\nDataFile={path.stem}.eeg\n\n[Marker Infos]\nMk1=New Segment,,1,1,0\n"
        + "\n".join(marks)
        + "\n",
        encoding="utf-8",
    )
    channels = "\n".join(f"Ch{i + 1}={name},,1,µV" for i, name in enumerate(names))
    path.write_text(
        first.format("Data").replace("Data File", "Header File").replace("Exchange Data", "Exchange Header")
        + f"[Common Infos]\nCodepage=UTF-8\nDataFile={path.stem}.eeg\nMarkerFile={path.stem}.vmrk\nDataFormat=BINARY\n"
        + f"DataOrientation=MULTIPLEXED\nNumberOfChannels={len(names)}\nSamplingInterval={1e6 / rate:g}\n\n"
        + f"[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n\n[Channel Infos]\n{channels}\n",
        encoding="utf-8",
    )
    path.with_suffix(".eeg").write_bytes((volts.T * 1e6).astype("<f4").tobytes())
    return path


def write_eeglab(path: Path, volts, names, rate: int, notes=()) -> Path:
    """EEGLAB .set with the samples (channel, sample) in µV inside."""
    events = np.array(
        [(note, round(onset * rate) + 1, 0) for onset, _, note in notes],
        dtype=[("type", object), ("latency", object), ("duration", object)],
    )
    places = np.array([(name,) for name in names], dtype=[("labels", object)])
    length = volts.shape[1]
    fields = {
        "setname": "",
        "nbchan": len(names),
        "pnts": length,
        "trials": 1,
        "srate": rate,
        "xmin": 0.0,
        "xmax": (length - 1) / rate,
        "data": volts * 1e6,
        "chanlocs": places,
        "event": events,
        "epoch": [],
        "ref": "common",
    }
    savemat(path, {"EEG": fields}, appendmat=False)
    return path
