"""A folder of small films by class, and findings about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from signalrp.domains.video.findings import Findings
from signalrp.domains.video.motion import moving_or_static
from signalrp.domains.video.tasks import Task
from signalrp.domains.video.write import write_video

CLASSES = ("left", "right")
EACH = 16
CLIPS = len(CLASSES) * EACH
FPS = 10.0
_SIZE = 32


def pictures(name: str, number: int, frames: int = 20) -> np.ndarray:
    """A blob that moves two pixels per frame, around the edges, in front of a grey that is a little uneven."""
    rng = np.random.default_rng([number, name == "right"])
    row, column = rng.integers(8, 24, 2)
    rows, columns = np.mgrid[:_SIZE, :_SIZE]
    step = 2 if name == "right" else -2
    made = []
    for frame in range(frames):
        apart = np.abs(columns - (column + step * frame) % _SIZE)
        squared = np.minimum(apart, _SIZE - apart) ** 2 + (rows - row) ** 2
        made.append(40 + rng.integers(0, 20, (_SIZE, _SIZE)) + 180 * np.exp(-squared / 8))
    return np.repeat(np.stack(made)[..., None], 3, -1).astype(np.uint8)


def write_folder(folder: Path, classes: tuple[str, ...] = CLASSES, each: int = EACH, frames: int = 20) -> Path:
    """One subfolder per class; every class but the first two moves as the second does."""
    for place, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            images = pictures(CLASSES[min(place, 1)], number, frames)
            write_video(folder / name / f"{name}_{number}.mp4", images, FPS)
    return folder


def answered(explanation: xr.Dataset, answers: list[int]) -> xr.Dataset:
    """The explanation as if the net had given these answers; it is the surer the later the clip comes."""
    output = np.zeros((len(answers), explanation.sizes["class"]))
    output[np.arange(len(answers)), answers] = 1 + np.arange(len(answers))
    found = explanation.drop_vars("target")
    return found.assign(output=(("trial", "class"), output)).assign(target=("trial", answers))


def task_of(explanation: xr.Dataset, name: str = "noise") -> Task:
    """The task of these clips, every second of which was held out at a time."""
    numbers = np.arange(explanation.sizes["trial"])
    halves = [(numbers[1::2], numbers[::2]), (numbers[::2], numbers[1::2])]
    signal = (
        explanation["signal"]
        .assign_coords({key: explanation[key] for key in ("label", "subject", "file")})
        .assign_attrs(units="1", fps=20.0, classes=" | ".join(map(str, explanation["class"].values)))
    )
    return Task(name, "Which class is shown?", signal, halves, "halves")


def findings(explanation: xr.Dataset, answers: list[int]) -> Findings:
    """Findings of a net that gave these answers; in the shuffled clips frames weigh otherwise."""
    given = answered(explanation, answers).assign_coords(trial=np.arange(len(answers)))
    label, subject = (explanation[key].values for key in ("label", "subject"))
    correct = xr.DataArray(
        (label == np.array(answers)).astype(float),
        {"subject": ("trial", subject), "label": ("trial", label)},
        ["trial"],
    )
    rng = np.random.default_rng(len(answers))
    mixed = given.assign(
        relevance=given["relevance"] * rng.uniform(0, 1, (given.sizes["trial"], 1, given.sizes["frame"], 1, 1))
    )
    evidence = moving_or_static(given)
    return Findings(correct, given, {"shuffled": mixed}, {}, pd.DataFrame(), evidence, pd.DataFrame())
