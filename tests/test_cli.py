from __future__ import annotations

import builtins
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from signalrp import __main__ as start
from signalrp import manifests

pytest.importorskip("typer", reason="the command line needs typer")
testing = pytest.importorskip("typer.testing")

from signalrp.cli import app  # noqa: E402 - cannot be imported without typer
from signalrp.cli_studies import study_audio, study_eeg, study_gait, study_video  # noqa: E402


@pytest.fixture
def run(monkeypatch):
    """Run the command with arguments; wide, so that no line of a table is broken."""
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: testing.CliRunner().invoke(app, words, prog_name="signalrp")


def one_line(result) -> str:
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "Traceback" not in line
    return line


def test_help_is_a_manual_page(run):
    for words in (
        [],
        ["study"],
        ["study", "gait"],
        ["study", "eeg"],
        ["data"],
        ["data", "list"],
        ["data", "info"],
        ["data", "fetch"],
    ):
        result = run(*words, "--help")
        assert result.exit_code == 0
        assert result.stdout.startswith(f"Usage: {' '.join(['signalrp', *words])} ")
        assert run(*words, "-h").stdout == result.stdout
    manual = run("study", "gait", "--help").stdout
    for part in ("DATA is one of:", "Models:", "Results in FOLDER:", "report.html", "Examples:", "Exit codes:"):
        assert part in manual


STUDIES = ("gait", "eeg", "audio", "video")


@pytest.mark.parametrize("field", STUDIES)
def test_the_manual_names_every_model_and_set_of_rules(run, field):
    study = pytest.importorskip(f"signalrp.domains.{field}.study")
    from signalrp.propagation.composites import COMPOSITES

    manual = " ".join(run("study", field, "--help").stdout.split())
    models = manual.split("Models: ")[1].split(".")[0].split(", ")
    known = {"gait": {"svm"}, "eeg": {*getattr(study, "CLASSICAL", ())}}.get(field, set())
    known |= {*getattr(study, "BORDER", ())}
    # this one has a spectrogram of its own
    assert set(models) == (set(study.MODELS) | known) - {"alexnet"}
    without = manual.split("ithout --model ")[1].split(".")[0]
    if field == "gait":
        assert tuple(models[:-1]) == study.DEFAULT_MODELS
    else:
        default = inspect.signature(study.run).parameters["models"].default
        assert tuple(re.split(", | and ", without)) == default
    rules = manual.split("Rules: ")[1].split(".")[0].split(", ")
    # The one left out needs bounds, which depend on the fold.
    assert sorted(rules) == sorted(COMPOSITES.keys() - {"epsilon-gamma-box"})


@pytest.mark.parametrize("field", STUDIES)
def test_defaults_are_those_of_the_study(field):
    study = pytest.importorskip(f"signalrp.domains.{field}.study")
    command_of = {"gait": study_gait, "eeg": study_eeg, "audio": study_audio, "video": study_video}[field]
    function = {name: p.default for name, p in inspect.signature(study.run).parameters.items()}
    command = {name: p.default for name, p in inspect.signature(command_of).parameters.items()}
    assert command["dataset"] in (function["data"], None)
    assert command["folds"] == function["count"]
    assert command["out"] == Path(function["out"])
    for name in command.keys() & function.keys() - {"out"}:
        assert command[name] == function[name]


def test_options_reach_the_study_and_its_report_is_printed(run, monkeypatch):
    study = pytest.importorskip("signalrp.domains.gait.study")
    seen = {}

    def record(data, **options):
        options.pop("say")("halfway")
        seen.clear()
        seen.update(options, data=data)
        return Path("here/report.html")

    monkeypatch.setattr(study, "run", record)
    result = run("study", "gait", "--data", "a.csv", "--model", "svm", "--model", "mlp", "--folds", "4", "--seed", "7")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "here/report.html\n", "halfway\n")
    assert seen["data"] == "a.csv"
    assert seen["models"] == ["svm", "mlp"]
    assert (seen["count"], seen["seed"], seen["overwrite"]) == (4, 7, False)
    run("study", "gait", "--overwrite")
    assert seen["overwrite"] is True
    assert "models" not in seen, "without --model the study chooses"


def test_an_existing_folder_is_never_replaced(run, tmp_path):
    pytest.importorskip("signalrp.domains.gait.study")
    (tmp_path / "mine.txt").write_text("work of a week")
    line = one_line(run("study", "gait", "--out", str(tmp_path)))
    assert str(tmp_path) in line
    assert "--overwrite" in line
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("study", "gait", "--model", "resnet"), "'resnet'"),
        (("study", "gait", "--data", "no_such.csv"), "no_such.csv"),
        (("data", "info", "gaitrek"), "Did you mean 'gaitrec'?"),
        (("data", "fetch", "horst2019"), "by hand from https://data.mendeley.com"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(run, tmp_path, monkeypatch, words, said):
    monkeypatch.setenv("SIGNALRP_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    line = one_line(run(*words))
    assert line.startswith("signalrp: ")
    assert said in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (manifests.DataError("cut\nshort"), "signalrp: cut short"),
        (KeyError("no such channel"), "signalrp: no such channel"),
        (ImportError('pip install "signalrp[gait]"'), 'signalrp: pip install "signalrp[gait]"'),
        (PermissionError(13, "Permission denied", "runs"), "signalrp: [Errno 13] Permission denied: 'runs'"),
        (ValueError(), "signalrp: ValueError"),
    ],
)
def test_expected_errors_are_one_line_unless_a_traceback_is_wanted(run, monkeypatch, error, said):
    def fail(*_):
        raise error

    monkeypatch.setattr(manifests, "fetch", fail)
    assert one_line(run("data", "fetch", "speedgrf")) == said
    assert run("--traceback", "data", "fetch", "speedgrf").exception is error


def test_a_defect_keeps_its_traceback(run, monkeypatch):
    monkeypatch.setattr(manifests, "available", lambda: 1 / 0)
    assert isinstance(run("data", "list").exception, ZeroDivisionError)


@pytest.mark.parametrize(
    "words", [("dance",), ("study", "gait", "--folds", "1"), ("data", "info"), ("data", "list", "x")]
)
def test_a_wrong_command_line_is_exit_code_2(run, words):
    result = run(*words)
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: signalrp")


def test_data_list_and_info(run, tmp_path):
    (tmp_path / "speedgrf").mkdir()
    rows = run("data", "list", "--root", str(tmp_path)).stdout.splitlines()
    assert [row.split()[0] for row in rows[1:]] == manifests.available()
    (row,) = [row for row in rows if row.startswith("speedgrf")]
    assert row.split()[1:4] == ["8.5", "MB", "yes"]
    assert [row.split()[1:3] for row in rows if row.startswith("horst2019")] == [["by", "hand"]]
    for name in manifests.available():
        shown = run("data", "info", name, "--root", str(tmp_path)).stdout
        manifest = manifests.load(name)
        assert ("https://doi.org/" in shown) == bool(manifest.doi)
        assert f"{manifest.doi}" in shown
        assert " ".join(manifest.licence.split()) in shown
        assert shown.count(": missing") == len(manifest.files)


def test_data_fetch_prints_the_folder(run, tmp_path, monkeypatch):
    monkeypatch.setattr(manifests, "fetch", lambda name, root: Path(root) / name)
    result = run("data", "fetch", "speedgrf", "--root", str(tmp_path))
    assert result.stdout == f"{tmp_path / 'speedgrf'}\n"


def test_the_command_starts_in_a_process_of_its_own():
    done = subprocess.run([sys.executable, "-m", "signalrp", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split()[0] == "signalrp"


def test_without_typer_one_sentence_says_what_to_install(monkeypatch):
    original = builtins.__import__

    def without_typer(name, *rest):
        if name == "typer":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_typer)
    with pytest.raises(SystemExit) as stopped:
        start.main()
    assert 'pip install "signalrp[cli]"' in str(stopped.value)
