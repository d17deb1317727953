"""Audio files as labelled arrays: one file, many files, a folder by class; whatever libsndfile reads."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from signalrp.manifests import DataError

from ._librosa import librosa, soundfile
from .checks import Clipping, Silence, clipped, refuse_values, report, silent, some
from .data import Floats, Longer, Shorter, from_arrays

Channels = Literal["mono", "mix", "left", "right", "stereo"]
PathLike = str | os.PathLike[str]
# A recorder that writes to a pipe cannot go back and fill in how long the recording became.
_UNKNOWN_LENGTHS = (0, 0xFFFFFFFF)


def read(
    files: PathLike | Sequence[PathLike],
    label: Sequence[int] | Sequence[str] | npt.NDArray[Any] | None = None,
    speaker: str | Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    *,
    sfreq: float | None = None,
    resample: bool = False,
    resampler: str = "soxr_hq",
    channels: Channels = "mono",
    length: int | None = None,
    shorter: Shorter = "raise",
    longer: Longer = "raise",
    seed: int = 0,
    silence: Silence = "raise",
    clipping: Clipping = "warn",
    trial: dict[str, Any] | None = None,
    **attrs: Any,
) -> xr.DataArray:
    """Read audio files.

    Parameters
    ----------
    files : path or sequence of paths
        One trial per file.
    label, classes
        See `signalrp.domains.audio.data.from_arrays`.
    speaker : str or sequence of str, optional
        Who is heard: one name, or one per file. By default every file counts as a speaker of its own.
    sfreq : float, optional
        Sampling rate in Hz that the files must have; by default that of the first.
    resample : bool
        Bring files of another rate to `sfreq` instead of refusing them.
    resampler : str
        How, as `librosa.resample` calls it ("soxr_hq", "scipy", ...).
    channels : {"mono", "mix", "left", "right", "stereo"}
        "mono" refuses files of several channels, "mix" takes their mean, "left" and "right" one of two, "stereo" keeps
        both and refuses mono.
    length, shorter, longer, seed
        See `signalrp.domains.audio.data.from_arrays`; the length counts after resampling.
    silence, clipping
        See `signalrp.domains.audio.checks.require_values`; clipping is looked for before resampling.
    trial : dict, optional
        Further coordinates along trial: name -> values.
    **attrs
        Further attributes, such as title and source.

    Returns
    -------
    xarray.DataArray, shape (trial, channel, time)
        As `signalrp.domains.audio.data.from_arrays`, with the coordinate file (name without folder).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    signalrp.manifests.DataError
        If a file is empty, cut short, or nothing that libsndfile reads.
    ValueError
        If a file has another rate, number of channels or length than asked, is silent or not finite.
    """
    paths = [Path(files)] if isinstance(files, (str, os.PathLike)) else [Path(file) for file in files]
    if not paths:
        raise ValueError("There are no files to read; give at least one.")
    if resample and sfreq is None:
        raise ValueError("resample=True needs the rate to resample to; pass sfreq in Hz.")
    rate = sfreq
    clips: list[Floats] = []
    silent_clips: list[str] = []
    clipped_clips: list[str] = []
    for path in paths:
        clip, found = load(path)
        rate = found if rate is None else rate
        clip = _channels(clip, channels, path.name)
        refuse_values([clip], [path.name])
        silent_clips += [path.name] * silent(clip)
        clipped_clips += [path.name] * clipped(clip)
        if found != rate:
            if not resample:
                raise ValueError(
                    f"{path.name} has {found:g} Hz where {rate:g} Hz are expected; pass sfreq={rate:g} and "
                    "resample=True to resample it."
                )
            clip = librosa.resample(clip, orig_sr=found, target_sr=rate, res_type=resampler)
        clips.append(clip)
    report(silent_clips, clipped_clips, len(paths), silence, clipping)
    if speaker is None:
        speaker = [path.stem for path in paths]
    elif isinstance(speaker, str):
        speaker = [speaker] * len(paths)
    return from_arrays(
        clips,
        float(rate or 0),
        label,
        speaker,
        classes,
        length=length,
        shorter=shorter,
        longer=longer,
        seed=seed,
        trial={"file": [path.name for path in paths]} | (trial or {}),
        **attrs,
    )


def read_folder(
    path: PathLike,
    classes: Sequence[str] | None = None,
    *,
    speaker: Callable[[Path], str] | None = None,
    ending: str = ".wav",
    **choices: Any,
) -> xr.DataArray:
    """Read a folder with one subfolder of audio files per class.

    Parameters
    ----------
    path : path
        The folder.
    classes : sequence of str, optional
        Subfolders to read, in the order of their labels; by default all that hold such files, sorted by name.
    speaker : callable, optional
        Takes the path of a file and returns who is heard. By default every file counts as a speaker of its own.
    ending : str
        What names of audio files end with.
    **choices
        As for `read`.

    Returns
    -------
    xarray.DataArray, shape (trial, channel, time)
        As `read`; labels are the classes, files are sorted within each.

    Raises
    ------
    FileNotFoundError
        If the folder, or a class, is not there.
    signalrp.manifests.DataError, ValueError
        As `read`.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    if classes is None:
        classes = sorted(entry.name for entry in folder.iterdir() if any(entry.glob(f"*{ending}")))
    files = {name: sorted((folder / name).glob(f"*{ending}")) for name in classes}
    empty = [name for name, found in files.items() if not found]
    if empty or not files:
        raise FileNotFoundError(
            f"{folder} has no {ending} files in the subfolders {some(empty)}; expected one subfolder per class."
            if empty
            else f"{folder} has no subfolders with {ending} files; expected one per class."
        )
    paths = [file for found in files.values() for file in found]
    return read(
        paths,
        [file.parent.name for file in paths],
        None if speaker is None else [speaker(file) for file in paths],
        list(files),
        **choices,
    )


def load(path: PathLike) -> tuple[Floats, float]:
    """One audio file as it is.

    Returns
    -------
    clip : numpy.ndarray, shape (channel, time)
        float32, full scale is 1.
    sfreq : float
        In Hz.

    Raises
    ------
    FileNotFoundError, signalrp.manifests.DataError
        As `read`. A file cut short is told by its header, which WAV and FLAC have; OGG and MP3 do not say how long
        they are.
    """
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"There is no file {file}.")
    if file.is_dir():
        raise DataError(f"{file} is a folder; give its files, or use read_folder.")
    if file.stat().st_size == 0:
        raise DataError(f"{file.name} is empty (0 bytes); copy it again.")
    _check_length(file)
    try:
        with soundfile.SoundFile(file) as stream:
            promised, rate = stream.frames, float(stream.samplerate)
            values = stream.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise DataError(
            f"{file.name} cannot be read ({str(error).rstrip('.')}); it is damaged or no audio file, copy it again."
        ) from error
    if len(values) < promised:
        raise DataError(f"{file.name} has {len(values)} of {promised} samples; it was cut short, copy it again.")
    if not len(values):
        raise DataError(f"{file.name} holds no samples; record or copy it again.")
    return np.ascontiguousarray(values.T), rate


def _check_length(file: Path) -> None:
    """Compare the length of a WAV file with its header: libsndfile reads what is left of one that was cut short."""
    with file.open("rb") as stream:
        head = stream.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return
        while len(chunk := stream.read(8)) == 8:
            (size,) = struct.unpack("<I", chunk[4:])
            if chunk[:4] == b"data":
                found = file.stat().st_size - stream.tell()
                if size not in _UNKNOWN_LENGTHS and found < size:
                    raise DataError(
                        f"{file.name} has {found} bytes of sound where its header promises {size}; it was cut short, "
                        "copy it again."
                    )
                return
            stream.seek(size + size % 2, os.SEEK_CUR)
    raise DataError(f"{file.name} ends before its sound begins; it was cut short, copy it again.")


def _channels(clip: Floats, channels: Channels, name: str) -> Floats:
    count = clip.shape[0]
    if channels == "mono":
        if count != 1:
            raise ValueError(
                f"{name} has {count} channels where mono is expected; pass channels='mix', 'left' or 'right' to make "
                "it mono, or 'stereo' to keep both."
            )
        return clip
    if channels == "mix":
        return clip.mean(axis=0, keepdims=True)
    if channels not in ("left", "right", "stereo"):
        raise ValueError(f"channels={channels!r} is unknown; choose 'mono', 'mix', 'left', 'right' or 'stereo'.")
    if count != 2:
        raise ValueError(
            f"{name} has {count} channel{'s' * (count != 1)} where stereo is expected; choose 'mono' or 'mix'."
        )
    return clip if channels == "stereo" else clip[:1] if channels == "left" else clip[1:]
