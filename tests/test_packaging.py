"""The wheel that users get, built from this tree."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    # A copy, because building in place leaves folders in the tree whose stale files get into later wheels.
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in ("signalrp", "domains", "data_manifests", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", out, tree]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel) -> PathDistribution:
    (folder,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    return PathDistribution(zipfile.Path(wheel, f"{folder}/"))


def test_every_module_and_manifest_is_in_the_wheel(wheel):
    expected = {"signalrp/py.typed"}
    for folder, place in (("signalrp", ""), ("domains", "signalrp/"), ("data_manifests", "signalrp/")):
        files = [path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".toml", ".safetensors")]
        expected |= {f"{place}{path.relative_to(ROOT).as_posix()}" for path in files}
    assert {"signalrp/domains/gait/data.py", "signalrp/data_manifests/speedgrf.toml"} <= expected
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == expected


def test_nothing_but_signalrp_lands_in_site_packages(wheel):
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"signalrp"}


def test_metadata(wheel, metadata):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata.version == project["version"]
    assert metadata.metadata["License-Expression"] == "BSD-3-Clause"
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
    assert metadata.metadata["Description-Content-Type"] == "text/markdown"
    # Only the core is required: whatever a domain or the command needs is asked for by its extra.
    required = {re.split(r"[\s<>=]", r)[0] for r in metadata.requires or [] if "extra ==" not in r}
    assert required == {"torch", "numpy", "scipy", "pandas", "xarray", "matplotlib", "seaborn"}


def test_the_command_points_at_a_function_that_exists(metadata):
    (command,) = metadata.entry_points.select(group="console_scripts")
    assert command.name == "signalrp"
    assert callable(command.load())


def test_the_citation_names_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {project['version']}\n" in citation
    assert f"\nlicense: {project['license']}\n" in citation
