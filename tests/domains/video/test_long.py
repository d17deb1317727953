"""Videos of any length, against all their windows explained at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import signalrp

pytest.importorskip("av")

from signalrp.domains.video.long import explain_file
from signalrp.domains.video.readers import windows
from signalrp.domains.video.write import write_video

FRAMES, HOP = 6, 3


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    pictures = np.random.default_rng(0).integers(0, 256, (23, 16, 16, 3), dtype=np.uint8)
    return write_video(tmp_path_factory.mktemp("film") / "film.mp4", pictures, 25)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(2), nn.Flatten(), nn.Linear(32, 3)
    ).eval()


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_every_frame_has_the_mean_of_the_clips_that_hold_it(film, model, batch):
    told: list[tuple[int, int]] = []
    found = explain_file(
        model, film, frames=FRAMES, batch=batch, progress=lambda *n: told.append(n), classes=list("abc")
    )
    (clips,) = windows(film, FRAMES, HOP, batch=100)
    whole = signalrp.explain(model, clips)
    each = whole["relevance"].sum(("rgb", "row", "column")).values
    sums, counts = np.zeros(23), np.zeros(23)
    for trial, first in enumerate(clips["first"].values):
        sums[first : first + FRAMES] += each[trial]
        counts[first : first + FRAMES] += 1
    assert found["clips"].values.tolist() == counts.tolist()
    np.testing.assert_allclose(found["relevance"], sums / counts, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["positive"] - found["negative"], found["relevance"], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found["frame"], np.arange(23) / 25, atol=1e-4)
    np.testing.assert_allclose(found["output"], whole["output"], rtol=1e-4, atol=1e-6)
    assert told[-1] == (len(clips), len(clips))
    assert found["class"].values.tolist() == ["a", "b", "c"]


def test_a_class_of_choice_and_part_of_the_file(film, model):
    found = explain_file(model, film, frames=FRAMES, target=2, start=0.2, stop=0.6)
    assert set(found["target"].values.tolist()) == {2}
    assert found["frame"].values.min() == pytest.approx(0.2, abs=1e-3)


def test_a_file_that_is_not_there(model, tmp_path):
    with pytest.raises(FileNotFoundError):
        explain_file(model, tmp_path / "none.mp4")
