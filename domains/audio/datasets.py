"""Spoken digits, the Free Spoken Digit Dataset, and two words that come from a Python package."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from signalrp import manifests
from signalrp.manifests import DataError

from .checks import some
from .data import from_arrays
from .readers import read

_RATE = 8000.0
_RECORDINGS = 3000
_PACKED = Path("audio_fsdd") / "fsdd_8khz_int16.npz"
_SHARED = "SIGNALRP_SHARED_DATA"
# Takes that are held out together where the speaker is the class; the first are the official test set.
_BLOCK = 5
_OFFICIAL_TEST = 5


def digits(
    label: Literal["digit", "speaker"] = "digit",
    root: str | os.PathLike[str] | None = None,
    *,
    length: int = 8000,
    seed: int = 0,
) -> xr.DataArray:
    """Spoken digits, 0 to 9, by six speakers, 50 times each: the Free Spoken Digit Dataset at 8 kHz.

    Data of Z. Jackson and others (https://github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0). Every
    recording is placed at a random instant among zeros, as Becker et al. (2018, arXiv:1807.03418) did with theirs, so
    that no model can tell a digit by when it begins or how long the file is.

    Parameters
    ----------
    label : {"digit", "speaker"}
        What is to be told: ten digits, or six speakers (all of them men).
    root : path, optional
        Folder that holds the data sets, see `signalrp.manifests.fetch`.
    length : int
        Samples of every clip. Of a longer recording (20 last more than one second) the stretch with the most energy
        is kept.
    seed : int
        Seed of the random instants.

    Returns
    -------
    xarray.DataArray, shape (3000, 1, length)
        In the order of the file names. Along trial, beside those of `signalrp.domains.audio.data.from_arrays`: digit,
        take (0 to 49), block ("takes 00-04", ...: ten blocks of takes) and file. ``attrs["source"]`` says where it
        was read from.

    Raises
    ------
    ValueError
        If the label is unknown.
    signalrp.manifests.DataError
        If the set is neither here nor to be fetched, or is not complete.

    Notes
    -----
    The set is looked for among the fetched sets first, then in the folder that the environment variable
    SIGNALRP_SHARED_DATA names (``audio_fsdd/fsdd_8khz_int16.npz``); if it is in neither it is fetched.

    Folds: digits of unknown speakers by ``signalrp.splits.folds(signal, k=6, group="speaker")``; where the speaker is
    the class, ``folds(signal, k=10, group="block")`` keeps together what was probably recorded in one go. The
    official test set is that of `official_split`.
    """
    if label not in ("digit", "speaker"):
        raise ValueError(f"The label {label!r} is unknown; choose 'digit' or 'speaker'.")
    clips, files, source = _fsdd(root)
    digit, speaker, take = (np.array(part) for part in zip(*map(_parts, files), strict=True))
    digit, take = digit.astype(np.int64), take.astype(np.int64)
    first = take // _BLOCK * _BLOCK
    return from_arrays(
        clips,
        _RATE,
        [str(number) for number in digit] if label == "digit" else speaker,
        speaker,
        length=length,
        shorter="random",
        longer="loudest",
        seed=seed,
        trial={
            "digit": digit,
            "take": take,
            "block": [f"takes {number:02d}-{number + _BLOCK - 1:02d}" for number in first],
            "file": files,
        },
        title="Free Spoken Digit Dataset",
        source=source,
    )


def official_split(signal: xr.DataArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Training and test trials of the Free Spoken Digit Dataset as its authors split it: the test set is takes 0 to 4.

    Every speaker is in both parts, so that accuracy is that for known speakers.
    """
    if "take" not in signal.coords:
        raise ValueError("The signal has no coordinate take along trial; the official split is for digits().")
    held_out = signal["take"].values < _OFFICIAL_TEST
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def spoken_words(root: str | os.PathLike[str] | None = None) -> xr.DataArray:
    """Two spoken English words, red and green, at 16 kHz: sound that comes from a Python package (PsychoPy).

    Parameters
    ----------
    root : path, optional
        Folder that holds the data sets, see `signalrp.manifests.fetch`.

    Returns
    -------
    xarray.DataArray, shape (2, 1, samples)
        Both channels mixed; brought to one length by zeros at the end.

    Raises
    ------
    signalrp.manifests.DataError
        If the set cannot be fetched or is not what its manifest says.
    """
    folder = manifests.fetch("psychopy-words", root)
    files = [folder / "red_16000.flac", folder / "green_48000.flac"]
    title = "two words from PsychoPy"
    fitted: dict[str, Any] = {"length": 32000, "shorter": "end"}
    return read(files, ["red", "green"], sfreq=16000, resample=True, channels="mix", title=title, **fitted)


def _parts(file: str) -> tuple[str, str, str]:
    """Digit, speaker and take of a file name, such as 7_george_32.wav."""
    digit, speaker, take = Path(file).stem.split("_")
    return digit, speaker, take


def _fsdd(root: str | os.PathLike[str] | None) -> tuple[list[npt.NDArray[np.float32]], list[str], str]:
    if "missing" not in manifests.verify("fsdd", root).values():
        return _fsdd_files(manifests.fetch("fsdd", root))
    shared = os.environ.get(_SHARED)
    if shared and (Path(shared) / _PACKED).is_file():
        return _fsdd_packed(Path(shared) / _PACKED)
    try:
        folder = manifests.fetch("fsdd", root)
    except DataError as error:
        raise DataError(
            f"The Free Spoken Digit Dataset is not here and cannot be fetched ({str(error).rstrip('.')}); fetch it "
            f"where there is a network (signalrp data fetch fsdd), or name a folder with {_PACKED.as_posix()} by the "
            f"environment variable {_SHARED}."
        ) from error
    return _fsdd_files(folder)


def _fsdd_files(folder: Path) -> tuple[list[npt.NDArray[np.float32]], list[str], str]:
    from .readers import load

    paths = sorted(folder.glob("**/recordings/*.wav"), key=lambda path: path.name)
    if len(paths) != _RECORDINGS:
        raise DataError(
            f"{folder} holds {len(paths)} of {_RECORDINGS} recordings; remove that folder and fetch fsdd again."
        )
    clips = []
    for path in paths:
        clip, rate = load(path)
        if rate != _RATE or clip.shape[0] != 1:
            raise DataError(f"{path.name} has {rate:g} Hz and {clip.shape[0]} channels; expected 8000 Hz and mono.")
        clips.append(clip)
    return clips, [path.name for path in paths], "https://github.com/Jakobovski/free-spoken-digit-dataset"


def _fsdd_packed(file: Path) -> tuple[list[npt.NDArray[np.float32]], list[str], str]:
    table = _arrays(file)
    missing = [key for key in ("samples", "offset", "digit", "speaker", "index") if key not in table]
    if missing:
        raise DataError(f"{file.name} lacks the arrays {some(missing)}; it is not the expected {_PACKED.name}.")
    values = table["samples"].astype(np.float32) / np.float32(32768)
    edges = table["offset"]
    files = [
        f"{digit}_{speaker}_{take}.wav"
        for digit, speaker, take in zip(table["digit"], table["speaker"], table["index"], strict=True)
    ]
    order = np.argsort(np.array(files))
    clips = [values[edges[n] : edges[n + 1]][None] for n in order]
    return clips, [files[n] for n in order], f"{_PACKED.name} in the folder {_SHARED} names"


def _arrays(file: Path) -> dict[str, Any]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            return dict(archive.items())
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{file} cannot be read ({error}); it is cut short or no npz file of plain arrays.") from error
