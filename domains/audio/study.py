"""The main job: what does a classifier hear, when, at which frequencies, and does it need what it is said to hear?

Clips in, nets on waveforms and on spectrograms, explanations of clips they have not heard, masking, harmonics, sound to
listen to, figures and a report out. The rooms beside this one do the work; this one puts it in order.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from signalrp.explain import explain
from signalrp.inspection import DFT, inspect
from signalrp.manifests import DataError
from signalrp.propagation.composites import composite as signalrp_composite
from signalrp.studies import (
    Say,
    check_folder,
    file_name,
    join_folds,
    new_folder,
    require_models,
    sanity_checks,
    side_by_side,
)
from signalrp.validation.verdicts import Check

from .crepe import CLASSES, Crepe, frames, pitch, tiny
from .data import classes_of
from .datasets import digits, spoken_words
from .findings import Findings, PitchFindings, TaskFindings
from .harmonics import fundamental, harmonic_share, nearest_f0
from .masking import mask_clips
from .models import DEFAULTS, MODELS, REPRESENTATION
from .reporting import write
from .results import pitch_errors
from .tasks import NAMED, Task, load_task
from .train import accuracy, fit, prepared, pretrained

PITCH_RULES = ("epsilon", "epsilon-plus")
_VOICES = 2
"""Clips of every speaker whose pitch is explained."""
_CONFIDENT = 0.5
_CHECKED = 16


def run(
    data: Sequence[str] = ("digit", "speaker"),
    models: Sequence[str] = DEFAULTS,
    out: str | os.PathLike[str] = "runs/audio",
    *,
    composite: str = "epsilon",
    count: int = 4,
    clips: int = 300,
    speaker: bool = False,
    seed: int = 0,
    overwrite: bool = False,
    say: Say = print,
) -> Path:
    """Run the study and write report, explanations, tables, figures and sound into one folder.

    Parameters
    ----------
    data : sequence of str
        Tasks by name, or folders of clips by path, see `signalrp.domains.audio.tasks.load_task`. Where the set of the
        named tasks can neither be found nor fetched they are left out; the pitch net is then studied on sound from a
        Python package.
    models : sequence of str
        Of ``"raw-small"``, ``"spectrogram-small"``, ``"crnn"`` and ``"audionet"``.
    out : path
        Folder to write; it must not exist unless `overwrite` is set.
    composite : str
        Rules of the explanation, see :func:`signalrp.composite`.
    count : int
        Number of folds of own clips.
    clips : int
        How many held-out clips of a task are explained.
    speaker : bool
        Whether names of own files begin with the speaker.
    seed : int
        Seed of folds, weights, orders.
    overwrite : bool
        Replace the folder if it exists.
    say : callable
        Gets a line of progress at a time.

    Returns
    -------
    pathlib.Path
        The report.

    Raises
    ------
    ValueError
        If a model or the data is unknown or does not fit, or two folders have the same name.
    signalrp.manifests.DataError
        If a file of a folder is damaged, or there is nothing that can be studied.
    FileExistsError
        If the folder exists and `overwrite` is not set, or holds anything but an earlier study.
    """
    require_models(models, [name for name in MODELS if name != "alexnet"])
    if not data or clips < 10:
        raise ValueError(f"found {len(data)} tasks and {clips} clips to explain; give a task, and 10 clips or more.")
    signalrp_composite(composite)
    target = check_folder(out, overwrite)
    tasks, spoken = [], False
    for name in dict.fromkeys(data):
        try:
            tasks.append(load_task(name, count=count, seed=seed, speaker=speaker))
        except DataError as error:
            if name not in NAMED:
                raise
            say(f"{name} is left out, the spoken digits are not to be had: {error}")
        else:
            spoken = spoken or name in NAMED
    files = [file_name(task.name) for task in tasks]
    if len(set(files)) < len(files):
        raise ValueError(f"tasks would write the same files, they are called {', '.join(files)}; rename a folder.")
    calls: list[tuple[Any, ...]] = [(partial(study_task, task, models, composite, clips, seed),) for task in tasks]
    calls.append((partial(_study_pitch_if_possible, bool(tasks), spoken, seed),))
    say(f"{len(tasks)} tasks with {' and '.join(models)}, and a pitch net; this takes some minutes")
    *found, voice = side_by_side(_call, calls, say)
    with new_folder(target, overwrite) as folder:
        write(folder, found, voice, composite=composite, seed=seed, say=say)
    return target / "report.html"


def _call(job: Any, say: Say) -> Any:
    return job(say)


def _study_pitch_if_possible(beside: bool, voices: bool, seed: int, say: Say) -> PitchFindings | None:
    """Study the pitch net, or nothing where it cannot be had and there is something else to study."""
    try:
        return study_pitch(voices, seed, say)
    except DataError as error:
        if not beside:
            raise
        say(f"the pitch net is left out: {error}")
        return None


def study_task(task: Task, models: Sequence[str], composite: str, clips: int, seed: int, say: Say) -> TaskFindings:
    """Explain what every net hears in clips that it was not trained on."""
    signal = task.signal
    chosen = [chosen_clips(signal, test, clips // len(task.splits)) for _, test in task.splits]
    rows = np.concatenate(chosen)
    say(f"{task.question} {signal.sizes['trial']} clips, {len(rows)} of them explained: {task.words}")
    f0 = fundamental(signal[rows])
    nets = {}
    for name in models:
        given = prepared(name, signal).assign_coords(trial=np.arange(signal.sizes["trial"]))
        correct, parts, curves = [], [], []
        checks: list[Check] = []
        for fold, (train, test) in enumerate(task.splits):
            own = name in DEFAULTS and fold < len(task.known)
            net = pretrained(name, task.known[fold]) if own else fit(name, given[train], seed + fold)
            correct.append(accuracy(net, given[test]))
            held = given[chosen[fold]]
            raw = REPRESENTATION[name] == "waveform"
            part = explain(net, held, composite=composite, classes=classes_of(signal), per_unit=raw)
            # mel bands are too wide to tell harmonics
            its = f0.isel(trial=np.isin(rows, chosen[fold])) if raw else None
            curves.append(mask_clips(net, part, f0=its, seed=seed + fold))
            if fold == 0:
                few = held[:_CHECKED].drop_vars("subject", errors="ignore")
                checks = sanity_checks(net, few, composite, name, say)
            parts.append(part)
            right = float(correct[-1].mean())
            say(f"  {task.name}, {name}, fold {fold + 1} of {len(task.splits)}: {right:.1%} of {len(test)} clips right")
        nets[name] = Findings(
            xr.concat(correct, "trial"),
            xr.concat(parts, "trial"),
            {what: join_folds([each[what] for each in curves]) for what in curves[0]},
            checks,
        )
    return TaskFindings(task, signal[rows].assign_coords(trial=rows), f0.assign_coords(trial=rows), nets)


def chosen_clips(signal: xr.DataArray, test: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Return about so many of the held-out clips, as many of every class, spread over the set."""
    label = signal["label"].values[test]
    each = max(1, round(count / len(np.unique(label))))
    picked = []
    for number in np.unique(label):
        mine = test[label == number]
        picked.append(mine[np.unique(np.linspace(0, len(mine) - 1, min(each, len(mine))).round().astype(int))])
    return np.sort(np.concatenate(picked))


def study_pitch(voices: bool, seed: int, say: Say) -> PitchFindings:
    """Explain the pitch that a published net finds, and ask whether its relevance lies on the harmonics."""
    if voices:
        every = digits("speaker")
        first = [np.flatnonzero(every["speaker"].values == name)[:: 500 // _VOICES][:_VOICES] for name in
                 np.unique(every["speaker"].values)]  # fmt: skip
        clips = every[np.concatenate(first)]
    else:
        clips = spoken_words()
    source = str(clips.attrs.get("title", clips.attrs.get("source", "own clips")))
    net, f0 = tiny(), fundamental(clips)
    cut = frames(clips)
    found = pitch(net, cut)
    tracked = nearest_f0(f0, cut).values
    kept = np.flatnonzero(np.isfinite(tracked) & (found["confidence"].values >= _CONFIDENT))
    say(f"pitch net: {len(kept)} voiced frames of {clips.sizes['trial']} clips ({source})")
    shares, example = {}, None
    nyquist = float(clips.attrs["sfreq"]) / 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        untrained = Crepe().eval()
    for rules, model, words in [(rules, net, rules) for rules in PITCH_RULES] + [
        (rules, untrained, f"{rules}, random weights") for rules in PITCH_RULES
    ]:
        seen = inspect(
            explain(
                model, cut[kept], torch.as_tensor(found["bin"].values[kept]), rules, classes=CLASSES, per_unit=True
            ),
            DFT(),
        )
        shares[words] = harmonic_share(seen, found["f0"].values[kept], highest=nyquist, seed=seed)
        if example is None:
            example = steadiest(seen, found["f0"].values[kept])
    assert example is not None
    return PitchFindings(source, shares, pitch_errors(found.isel(trial=kept), tracked[kept]), example)


def steadiest(seen: xr.Dataset, f0: npt.NDArray[np.float64]) -> xr.Dataset:
    """Return the mean explanation, in frequency, of the ten frames of a voice whose pitches are most alike."""
    order = np.argsort(f0)
    count = min(10, len(order))
    spans = f0[order[count - 1 :]] / f0[order[: len(order) - count + 1]]
    chosen = order[int(spans.argmin()) : int(spans.argmin()) + count]
    mean = seen[["relevance", "signal"]].isel(trial=chosen).sum("channel").mean("trial")
    return mean.assign_attrs(f0=float(f0[chosen].mean()), frames=count)
