"""Larger public sets as they are published: clip lists of UCF101, HMDB51, KTH and Kinetics, for `read_list`."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import pandas as pd

from signalrp import manifests
from signalrp.manifests import DataError

from .data import some
from .decoding import PathLike

_PARTS = {"training": "train", "test": "test"}
_HMDB_MARKS = {"1": "training", "2": "test"}
# The people of each part, as the page of the set lists them.
KTH_PEOPLE = {
    "training": (11, 12, 13, 14, 15, 16, 17, 18),
    "validation": (19, 20, 21, 23, 24, 25, 1, 4),
    "test": (22, 2, 3, 5, 6, 7, 8, 9, 10),
}
_KTH_RATE = 25.0
Value = TypeVar("Value")


def ucf101(path: PathLike, part: Literal["training", "test"] = "training", split: int = 1) -> pd.DataFrame:
    """Clip list of UCF101 (Soomro et al. 2012, arXiv:1212.0402): 101 actions, three published splits.

    Parameters
    ----------
    path : path
        The folder with the unpacked videos and lists.
    part : {"training", "test"}
        Between which no group of clips is shared.
    split : int
        1, 2 or 3.

    Returns
    -------
    pandas.DataFrame
        Columns file, label, subject (class and group: clips of one group come from one video) and part.

    Raises
    ------
    FileNotFoundError
        If the folder, the list or a video on it is not there.
    ValueError
        If the part or split is unknown.
    signalrp.manifests.DataError
        If a name on the list is not that of a clip.
    """
    listing = _find(path, f"{_known(part, _PARTS)}list{_split(split)}.txt")
    named = [line.split()[0] for line in listing.read_text(encoding="utf-8").splitlines() if line.strip()]
    files = _files(path)
    rows = []
    for name in named:
        label, _, file = name.partition("/")
        group = re.search(r"_(g\d+)_c\d+\.", file)
        if group is None:
            raise DataError(f"{listing.name} lists {name!r}; expected names such as Class/v_Class_g01_c01.avi.")
        rows.append((file, label, f"{label} {group[1]}", part))
    return _table(rows, files, path)


def hmdb51(path: PathLike, part: Literal["training", "test"] = "training", split: int = 1) -> pd.DataFrame:
    """Clip list of HMDB51 (Kuehne et al. 2011, doi:10.1109/ICCV.2011.6126543): 51 actions, three published splits.

    Parameters
    ----------
    path : path
        The folder with the unpacked videos and lists.
    part, split
        See `ucf101`; of every class 70 clips are for training and 30 for test, the others are in neither.

    Returns
    -------
    pandas.DataFrame
        Columns file, label, subject (what the name of the file has before its class: the film) and part.

    Raises
    ------
    FileNotFoundError, ValueError, signalrp.manifests.DataError
        As `ucf101`.
    """
    _known(part, _PARTS)
    ending = f"_test_split{int(_split(split))}.txt"
    listings = sorted(_folder(path).rglob(f"*{ending}"))
    if not listings:
        raise FileNotFoundError(f"{path} holds no lists *{ending}; unpack test_train_splits.rar into it.")
    rows = []
    for listing in listings:
        label = listing.name.removesuffix(ending)
        for line in listing.read_text(encoding="utf-8").splitlines():
            file, _, mark = line.strip().rpartition(" ")
            if _HMDB_MARKS.get(mark) == part:
                rows.append((file.strip(), label, file.partition(f"_{label}_")[0], part))
    return _table(rows, _files(path), path)


def kth(path: PathLike | None = None, part: Literal["training", "validation", "test"] | None = None) -> pd.DataFrame:
    """Clip list of the KTH actions (Schüldt et al. 2004, doi:10.1109/ICPR.2004.1334462): six actions, 25 people.

    Parameters
    ----------
    path : path, optional
        The folder with the unpacked videos and 00sequences.txt; by default the set is fetched.
    part : {"training", "validation", "test"}, optional
        Eight, eight and nine people; by default all.

    Returns
    -------
    pandas.DataFrame
        One row per sequence, of which a file holds up to four. Columns file, label, subject (the person), start and
        stop (s), scenario (1 to 4) and part.

    Raises
    ------
    FileNotFoundError, ValueError, signalrp.manifests.DataError
        As `ucf101`; or if the set cannot be fetched.
    """
    wanted = KTH_PEOPLE if part is None else {part: _known(part, KTH_PEOPLE)}
    part_of = {number: name for name, people in wanted.items() for number in people}
    folder = manifests.fetch("kth") if path is None else path
    listing = _find(folder, "00sequences.txt")
    rows = []
    for line in listing.read_text(encoding="utf-8").splitlines():
        head = re.match(r"\s*person(\d+)_([a-z]+)_d(\d)\s+frames", line)
        if head is None or int(head[1]) not in part_of:
            continue
        person, label, scenario = head.groups()
        file = f"person{person}_{label}_d{scenario}_uncomp.avi"
        for first, last in re.findall(r"(\d+)-(\d+)", line[head.end() :]):
            times = (int(first) - 1) / _KTH_RATE, int(last) / _KTH_RATE
            rows.append((file, label, f"person {person}", part_of[int(person)], *times, int(scenario)))
    return _table(rows, _files(folder), folder, ["start", "stop", "scenario"])


def kinetics(path: PathLike, listing: PathLike) -> pd.DataFrame:
    """Clip list of what is there of Kinetics (Kay et al. 2017, arXiv:1705.06950).

    Parameters
    ----------
    path : path
        The folder with the videos, anywhere below: trimmed (``ID_000010_000020.mp4``, seconds in six digits) or whole
        (``ID.mp4``).
    listing : path
        One of the published lists, such as train.csv: label (not in test.csv), youtube_id, time_start, time_end, split.

    Returns
    -------
    pandas.DataFrame
        Columns file, label (where given), subject (the video), start, stop (s in the file) and part. Videos that are
        not there are left out with a warning that says how many.

    Raises
    ------
    FileNotFoundError
        If the folder or the list, or every video, is not there.
    signalrp.manifests.DataError
        If the list lacks a column.
    """
    if not Path(listing).is_file():
        raise FileNotFoundError(f"There is no list {listing}.")
    table = pd.read_csv(listing, dtype={"youtube_id": str})
    missing = [key for key in ("youtube_id", "time_start", "time_end", "split") if key not in table]
    if missing:
        raise DataError(
            f"{Path(listing).name} lacks the columns {some(missing)}; give a list as Kinetics publishes it."
        )
    files = {file.stem: file for file in _files(path).values()}
    start, stop = table["time_start"].astype(float), table["time_end"].astype(float)
    trimmed = [
        f"{name}_{int(first):06d}_{int(last):06d}"
        for name, first, last in zip(table["youtube_id"], start, stop, strict=True)
    ]
    cut = pd.Series([name in files for name in trimmed], index=table.index)
    names = pd.Series(trimmed, index=table.index).where(cut, table["youtube_id"])
    there = names.isin(list(files))
    if not there.any():
        raise FileNotFoundError(f"{path} holds none of the {len(table)} videos on {Path(listing).name}.")
    if not there.all():
        warnings.warn(
            f"{int((~there).sum())} of {len(table)} videos on {Path(listing).name} are not in {path}; left out.",
            stacklevel=2,
        )
    columns = {
        "file": names.map(lambda name: str(files.get(name, ""))),
        "subject": table["youtube_id"],
        "start": start.where(~cut, 0.0),
        "stop": stop.where(~cut, float("inf")),
        "part": table["split"],
    }
    if "label" in table:
        columns["label"] = table["label"]
    return pd.DataFrame(columns)[there].reset_index(drop=True)


def _known(part: str, parts: Mapping[str, Value]) -> Value:
    if part not in parts:
        raise ValueError(f"The part {part!r} is unknown; choose {', '.join(map(repr, parts))}.")
    return parts[part]


def _split(split: int) -> str:
    if split not in (1, 2, 3):
        raise ValueError(f"The split {split!r} is unknown; choose 1, 2 or 3.")
    return f"{split:02d}"


def _folder(path: PathLike) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    return folder


def _find(path: PathLike, name: str) -> Path:
    found = sorted(_folder(path).rglob(name))
    if not found:
        raise FileNotFoundError(f"{path} holds no {name}; give the folder that the set was unpacked to.")
    return found[0]


def _files(path: PathLike) -> dict[str, Path]:
    """Videos anywhere below a folder by their names."""
    return {
        file.name: file for file in _folder(path).rglob("*") if file.suffix.lower() in (".avi", ".mp4", ".mkv", ".webm")
    }


def _table(
    rows: Sequence[tuple[object, ...]], files: dict[str, Path], path: PathLike, more: list[str] | None = None
) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["file", "label", "subject", "part", *(more or [])])
    absent = [str(name) for name in table["file"] if name not in files]
    if absent or table.empty:
        raise FileNotFoundError(
            f"{path} lacks {len(absent)} of the {len(table)} videos that are listed ({some(absent)}); unpack all "
            "of them."
        )
    return table.assign(file=table["file"].map(lambda name: str(files[name])))
