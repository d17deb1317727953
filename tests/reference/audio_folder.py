"""A small folder of spoken clips: voices of several pitches whose class is where their formants lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
import xarray as xr

from signalrp.domains.audio.findings import Findings, PitchFindings, TaskFindings
from signalrp.domains.audio.harmonics import fundamental
from signalrp.domains.audio.results import pitch_errors
from signalrp.domains.audio.tasks import Task

RATE = 4000
SECONDS = 0.25
FORMANTS = {"high": 1500.0, "low": 400.0, "middle": 900.0}
"""Hz of the one formant of each class, in the order of their labels."""
SPEAKERS = ("ann", "bob", "cid", "dot", "eve", "fay")
TAKES = 4


def voice(formant: float, f0: float, seed: int, *, rate: int = RATE, seconds: float = SECONDS) -> np.ndarray:
    """Harmonics that are loud about a formant, swelling and fading, with a little noise; float32 (time,)."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(rate * seconds)) / rate
    pitch = f0 * np.arange(1, int(0.48 * rate / f0) + 1)
    loud = np.exp(-0.5 * ((pitch - formant) / 200) ** 2) + 0.05
    phase = rng.uniform(0, 2 * np.pi, len(pitch))
    sound = (loud[:, None] * np.sin(2 * np.pi * pitch[:, None] * time + phase[:, None])).sum(0)
    sound *= np.hanning(len(time)) * rng.uniform(0.2, 0.6) / np.abs(sound).max()
    return (sound + 0.001 * rng.standard_normal(len(time))).astype(np.float32)


def write_folder(
    folder: Path,
    formants: Mapping[str, float] = FORMANTS,
    speakers: Sequence[str] = SPEAKERS,
    takes: int = TAKES,
) -> Path:
    """Write class/speaker_take.wav, every file of its own length up to `SECONDS`, and return the folder."""
    number = 0
    for name, formant in formants.items():
        (folder / name).mkdir(parents=True)
        for place, speaker in enumerate(speakers):
            for take in range(takes):
                # The first take of everybody fills the clip, others are up to a tenth shorter.
                seconds = SECONDS * (1 - 0.1 * take / max(takes, 2))
                clip = voice(formant, 90 + 12 * place, number, seconds=seconds)
                soundfile.write(folder / name / f"{speaker}_{take}.wav", clip, RATE, subtype="FLOAT")
                number += 1
    return folder


def pretended_pitch(frames: int = 12) -> PitchFindings:
    """What the study of the pitch net might find, of four recordings, without any net."""
    rng = np.random.default_rng(0)
    along = {"recording": ("trial", np.arange(frames) % 4)}
    shares = {
        rules: xr.Dataset(
            {
                name: ("trial", level + 0.05 * rng.random(frames))
                for name, level in {"share": first, "bins": 0.3, "shifted": 0.35, "power": 0.6}.items()
            },
            along,
        )
        for rules, first in {"epsilon": 0.7, "epsilon, random weights": 0.4}.items()
    }
    frequency = np.arange(0, 2000, 20.0)
    curve = ("frequency", np.cos(2 * np.pi * frequency / 120.0))
    example = xr.Dataset({"relevance": curve, "signal": curve}, {"frequency": frequency}, {"f0": 120.0, "frames": 3})
    found = xr.Dataset({"f0": ("trial", np.full(frames, 120.0))})
    return PitchFindings("four clips", shares, pitch_errors(found, np.full(frames, 121.0)), example)


def task_findings(
    clips: xr.DataArray, explanations: Mapping[str, xr.Dataset], **answers: Sequence[int]
) -> TaskFindings:
    """What a study found of these clips, of which one half was held out and then the other.

    Answers say by net which class each clip was taken for, the later the surer; by default that which was explained.
    """
    rows = np.arange(clips.sizes["trial"])
    splits = [(rows[rows % 2 != part], rows[rows % 2 == part]) for part in (0, 1)]
    nets = {}
    for name, data in explanations.items():
        target = np.asarray(answers.get(name, data["target"].values))
        right = xr.DataArray((target == clips["label"].values).astype(float), {"subject": clips["subject"]}, ("trial",))
        output = np.zeros(data["output"].shape)
        output[rows, target] = 1 + rows
        told = data.assign(target=("trial", target), output=(data["output"].dims, output))
        told = told.assign_coords(label=clips["label"], file=clips["file"], subject=clips["subject"])
        nets[name] = Findings(right, told, {})
    task = Task("vowels", "Which vowel?", clips, splits, "halves")
    return TaskFindings(task, clips, fundamental(clips), nets)
