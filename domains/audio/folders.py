"""Larger public sets as they are published, in folders: AudioMNIST, Speech Commands, ESC-50."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from signalrp import manifests
from signalrp.manifests import DataError

from .checks import some
from .readers import read

PathLike = str | os.PathLike[str]
COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
SEXES = ("male", "female")
_PARTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}


def audiomnist(
    path: PathLike | None = None,
    label: Literal["digit", "sex", "speaker"] = "digit",
    *,
    speakers: Sequence[int] | None = None,
    sfreq: float = 8000.0,
    length: int = 8000,
    seed: int = 0,
    **choices: Any,
) -> xr.DataArray:
    """AudioMNIST: ten digits, 60 speakers, 50 takes each, prepared as by Becker et al. (2018, arXiv:1807.03418).

    Data of Becker et al. (2024), doi:10.1016/j.jfranklin.2023.11.038. Recordings at 48 kHz are resampled to 8 kHz by
    the Fourier method of scipy, and placed at a random instant among zeros.

    Parameters
    ----------
    path : path, optional
        The folder with ``audioMNIST_meta.txt``, or one above it; by default it is fetched.
    label : {"digit", "sex", "speaker"}
        What is to be told; for the sex 0 is male and 1 female.
    speakers : sequence of int, optional
        Numbers of the speakers to read, 1 to 60; all of them take 1 GB of memory.
    sfreq, length, seed
        Sampling rate in Hz, samples of every clip, seed of the random instants.
    **choices
        As for `signalrp.domains.audio.readers.read`.

    Returns
    -------
    xarray.DataArray, shape (500 per speaker, 1, length)
        Along trial, beside those of `read`: digit, sex and take. The folds of the paper are
        `signalrp.domains.audio.becker.audiomnist_folds`.

    Raises
    ------
    FileNotFoundError
        If the folder is not there.
    ValueError
        If the label is unknown or a speaker is not there, or as `read`.
    signalrp.manifests.DataError
        If the set cannot be fetched, a file is damaged, or the sex of a speaker is not stated.
    """
    if label not in ("digit", "sex", "speaker"):
        raise ValueError(f"The label {label!r} is unknown; choose 'digit', 'sex' or 'speaker'.")
    listing = _find(manifests.fetch("audiomnist") if path is None else path, "audioMNIST_meta.txt")
    folders = {entry.name: entry for entry in sorted(listing.parent.iterdir()) if entry.name.isdigit()}
    wanted = list(folders) if speakers is None else [f"{number:02d}" for number in speakers]
    absent = [name for name in wanted if name not in folders]
    if absent or not wanted:
        raise ValueError(f"{listing.parent} has no speakers {some(absent)}; it has {some(list(folders))}.")
    about = json.loads(listing.read_text(encoding="utf-8"))
    sex = {name: str(about.get(name, {}).get("gender", "unknown")) for name in wanted}
    unknown = [name for name in wanted if sex[name] not in SEXES]
    if unknown and label == "sex":
        raise DataError(f"{listing.name} does not say the sex of the speakers {some(unknown)}; leave them out.")
    files = [file for name in wanted for file in sorted(folders[name].glob("*.wav"))]
    digit, speaker, take = zip(*(file.stem.split("_") for file in files), strict=True)
    sexes = [sex[name] for name in speaker]
    settings: dict[str, Any] = {
        "sfreq": sfreq,
        "resample": True,
        "resampler": "scipy",
        "length": length,
        "shorter": "random",
        "seed": seed,
        "title": "AudioMNIST",
        "source": "doi:10.1016/j.jfranklin.2023.11.038",
    } | choices
    return read(
        files,
        {"digit": digit, "sex": sexes, "speaker": speaker}[label],
        speaker,
        SEXES if label == "sex" else None,
        trial={"digit": np.array(digit, dtype=np.int64), "sex": sexes, "take": np.array(take, dtype=np.int64)},
        **settings,
    )


def speech_commands(
    path: PathLike,
    words: Sequence[str] = COMMANDS,
    part: Literal["training", "validation", "test"] | None = None,
    **choices: Any,
) -> xr.DataArray:
    """Speech Commands v0.02: 35 words, one second at 16 kHz, 2,618 speakers; Warden (2018), arXiv:1804.03209.

    Parameters
    ----------
    path : path
        The unpacked archive, see the manifest "speech-commands".
    words : sequence of str
        Words to read, in the order of their labels; by default the ten commands.
    part : {"training", "validation", "test"}, optional
        Read one of the published parts only, between which no speaker is shared.
    **choices
        As for `signalrp.domains.audio.readers.read`. By default shorter clips are followed by zeros.

    Returns
    -------
    xarray.DataArray, shape (trial, 1, 16000)
        Along trial, beside those of `read`: take and part. The speaker is the code in the file name.

    Raises
    ------
    FileNotFoundError
        If the folder, its lists or a word is not there.
    ValueError
        If the part is unknown or holds none of the words, or as `read`.
    signalrp.manifests.DataError
        If a file is damaged.
    """
    if part not in (None, "training", *_PARTS):
        raise ValueError(f"The part {part!r} is unknown; choose 'training', 'validation' or 'test'.")
    folder = _find(path, "testing_list.txt").parent
    listed = {
        line.strip(): name for name, file in _PARTS.items() for line in _find(folder, file).read_text().splitlines()
    }
    files: list[Path] = []
    for word in words:
        found = sorted((folder / word).glob("*.wav"))
        if not found:
            raise FileNotFoundError(f"{folder} has no recordings of {word!r}; name words that are subfolders of it.")
        files += found
    parts = [listed.get(f"{file.parent.name}/{file.name}", "training") for file in files]
    kept = [number for number, name in enumerate(parts) if part in (None, name)]
    if not kept:
        raise ValueError(f"No recording of {some(list(words))} is in the part {part!r}; read more words or all parts.")
    files = [files[number] for number in kept]
    speaker, take = zip(*(file.stem.split("_nohash_") for file in files), strict=True)
    settings: dict[str, Any] = {
        "sfreq": 16000.0,
        "length": 16000,
        "shorter": "end",
        "silence": "keep",
        "clipping": "keep",
        "title": "Speech Commands v0.02",
        "source": "arXiv:1804.03209",
    } | choices
    return read(
        files,
        [file.parent.name for file in files],
        speaker,
        list(words),
        trial={"take": np.array(take, dtype=np.int64), "part": [parts[number] for number in kept]},
        **settings,
    )


def esc50(path: PathLike | None = None, classes: Sequence[str] | None = None, **choices: Any) -> xr.DataArray:
    """ESC-50: 2,000 environmental sounds of five seconds at 44.1 kHz, 50 classes; Piczak (2015).

    Data of doi:10.1145/2733373.2806390. Fragments of one original recording are in one fold only.

    Parameters
    ----------
    path : path, optional
        The folder with ``meta`` and ``audio``, or one above it; by default it is fetched.
    classes : sequence of str, optional
        Categories to read, in the order of their labels; by default all, which take 1.8 GB of memory, in the order of
        the authors.
    **choices
        As for `signalrp.domains.audio.readers.read`.

    Returns
    -------
    xarray.DataArray, shape (40 per class, 1, 220500)
        Along trial, beside those of `read`: fold (1 to 5, to be held out one by one) and take (a letter). Speaker and
        subject are the number of the original recording.

    Raises
    ------
    FileNotFoundError
        If the folder is not there.
    ValueError
        If a class is unknown, or as `read`.
    signalrp.manifests.DataError
        If the set cannot be fetched, or a file is missing or damaged.
    """
    listing = _find(manifests.fetch("esc-50") if path is None else path, "meta/esc50.csv")
    table = pd.read_csv(listing)
    by_number = table.drop_duplicates("target").sort_values("target")["category"].astype(str).tolist()
    names = by_number if classes is None else [str(name) for name in classes]
    unknown = [name for name in names if name not in by_number]
    if unknown:
        raise ValueError(f"The classes {some(unknown)} are unknown; ESC-50 has {some(by_number)}.")
    table = table[table["category"].isin(names)].sort_values("filename")
    files = [listing.parent.parent / "audio" / str(name) for name in table["filename"]]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise DataError(f"The folder audio of ESC-50 lacks {some(missing)}; unpack the archive again.")
    fold, clip, take, _ = zip(*(file.stem.split("-") for file in files), strict=True)
    settings: dict[str, Any] = {
        "silence": "keep",
        "clipping": "keep",
        "title": "ESC-50",
        "source": "doi:10.1145/2733373.2806390",
    } | choices
    return read(
        files,
        table["category"].astype(str).tolist(),
        clip,
        names,
        trial={"fold": np.array(fold, dtype=np.int64), "take": take},
        **settings,
    )


def _find(path: PathLike, name: str) -> Path:
    """The file of this name in a folder or anywhere below it."""
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    if (folder / name).is_file():
        return folder / name
    found = sorted(folder.rglob(name))
    if not found:
        raise FileNotFoundError(f"{folder} holds no {name}; give the folder that the set was unpacked to.")
    return found[0]
