"""The main job: by what does a model tell the trials of a person apart, and why was a trial misclassified?

Epochs in, cross-validated models, explanations of the held-out trials, an examination of the errors, physiology,
manipulation tests, figures and a report out. The rooms beside this one do the work; this one puts it in order.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import nn

from signalrp.explain import explain
from signalrp.propagation.composites import composite as signalrp_composite
from signalrp.splits import Scaler
from signalrp.studies import Say, check_folder, join_folds, new_folder, require_models, sanity_checks, side_by_side
from signalrp.training import fit_classifier
from signalrp.validation.verdicts import Check

from ._mne import mne
from .artefacts import find_artefacts
from .checks import match_channels, sampling_rate
from .classes import classes_of
from .classical import csp_lda, erp_lda
from .findings import Recording, Task
from .misclassified import examine, explain_classes
from .models import DEFAULT, MODELS, TRAINING, torch_model
from .patterns import patterns_of
from .relevance import in_volt
from .removal import remove_artefacts, remove_pieces
from .reporting import write
from .tasks import load_task, split

CLASSICAL = ("erp-lda", "csp-lda")


def run(
    data: Sequence[str] = ("faces", "presses"),
    models: Sequence[str] = (DEFAULT, *CLASSICAL),
    out: str | os.PathLike[str] = "runs/eeg",
    *,
    composite: str = "epsilon",
    count: int = 5,
    pages: int = 4,
    seed: int = 0,
    overwrite: bool = False,
    say: Say = print,
) -> Path:
    """Run the study and write report, explanations, tables and figures into one folder.

    Parameters
    ----------
    data : sequence of str
        Tasks by name, or files of epochs by path, see `signalrp.domains.eeg.tasks.load_task`.
    models : sequence of str
        Of ``"sturm"``, ``"eegnet"``, ``"shallow-convnet"``, ``"deep4"``, ``"erp-lda"`` and ``"csp-lda"``. The first
        is examined; of the others the accuracy and the mean relevance are shown beside it.
    out : path
        Folder to write; it must not exist unless `overwrite` is set.
    composite : str
        Rules of the explanation, see :func:`signalrp.composite`.
    count : int
        Number of folds within every person.
    pages : int
        For how many misclassified trials of each recording a page is drawn, the most unusual first.
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
        If a model or the data is unknown or does not fit.
    FileExistsError
        If the folder exists and `overwrite` is not set, or holds anything but an earlier study.
    """
    require_models(models, (*MODELS, *CLASSICAL))
    if not data:
        raise ValueError("there are no data to study; give a task or a file of epochs.")
    if pages < 0:
        raise ValueError(f"the number of pages is {pages}; give 0 or more.")
    signalrp_composite(composite)
    target = check_folder(out, overwrite)
    tasks = [load_task(name) for name in dict.fromkeys(data)]
    calls = [(task, person, models, composite, count, seed) for task in tasks for person in task.signals]
    say(f"{len(calls)} recordings, {count} folds each, with {', '.join(models)}; this takes some minutes")
    recordings = side_by_side(study_person, calls, say)
    with new_folder(target, overwrite) as folder:
        write(folder, tasks, recordings, composite=composite, count=count, pages=pages, seed=seed, say=say)
    return target / "report.html"


def study_person(
    task: Task, person: str, models: Sequence[str], composite: str, count: int, seed: int, say: Say
) -> Recording:
    """Train and explain every model on every fold of a person, always on the trials it has not seen."""
    sizes = task.signals[person].sizes
    say(f"{task.question} {person}: {sizes['trial']} trials, {sizes['channel']} channels")
    signal, splits, words = split(task.signals[person], count, seed)
    channels = [str(name) for name in signal["channel"].values]
    others = {name: match_channels(own, channels) for name, own in task.signals.items() if name != person}
    # another head, another gain: scaled by what is known of this person without labels
    theirs = {name: Scaler("z-score").fit(own) for name, own in others.items()}
    strange = {name: np.array_split(np.arange(own.sizes["trial"]), len(splits)) for name, own in others.items()}
    found: dict[str, list[xr.Dataset]] = {name: [] for name in models}
    curves: dict[str, list[xr.Dataset]] = {}
    elsewhere: dict[str, list[xr.Dataset]] = {name: [] for name in others}
    patterns, without = [], []
    checks: list[Check] = []
    artefacts, names = find_artefacts(signal), classes_of(signal)
    for fold, (train, test) in enumerate(splits):
        scaler = Scaler("z-score").fit(signal[train])
        training, scaled = scaler.transform(signal[train]), scaler.transform(signal[test])
        for name in models:
            model = train_model(name, training, seed + fold)
            first = name == models[0]
            part = (
                explain_classes(model, scaled, composite, classes=names, per_unit=True)
                if first
                else explain(model, scaled, composite=composite, classes=names)
            )
            found[name].append(in_volt(part, scaler).assign_coords(fold=("trial", np.full(len(test), fold))))
            if name == "erp-lda":
                patterns.append((scale_of(scaler) * patterns_of(model, training)).transpose("class", "channel", "time"))
            if not first:
                continue
            if fold == 0:
                checks = sanity_checks(model, scaled.drop_vars("subject", errors="ignore"), composite, name, say)
            reference, scale = training * scale_of(scaler), scale_of(scaler)
            for what, data in remove_pieces(model, found[name][-1], reference, scale, seed + fold).items():
                curves.setdefault(what, []).append(data)
            its = artefacts.isel(trial=np.asarray(test))
            without.append(remove_artefacts(model, found[name][-1], its, reference, scale, seed + fold))
            for other, rows in strange.items():
                own = theirs[other].transform(others[other][rows[fold]])
                elsewhere[other].append(in_volt(explain_classes(model, own, composite, classes=names), theirs[other]))
            right = int((part["target"] == part["label"]).sum())
            say(f"  {name}, fold {fold + 1} of {len(splits)}: {right} of {len(test)} held-out trials recognised")
    joined = {name: together(parts) for name, parts in found.items()}
    recording = Recording(
        task.name, person, signal, joined, words,
        patterns=sum(patterns[1:], patterns[0]) / len(patterns) if patterns else None,
        curves={what: join_folds(parts) for what, parts in curves.items()},
        checks=checks,
        without=pd.concat(without, ignore_index=True),
        elsewhere={other: xr.concat(parts, "trial") for other, parts in elsewhere.items()},
    )  # fmt: skip
    try:
        recording.examination = examine(recording.best, artefacts)
    except ValueError as error:
        recording.missing = str(error)
        say(f"  errors are not examined: {error}")
    return recording


def train_model(name: str, training: xr.DataArray, seed: int) -> nn.Module:
    """Train a net, or fit a classical pipeline and turn it into a module, on scaled trials."""
    x, y = np.ascontiguousarray(training.values, dtype=np.float32), training["label"].values.astype(np.int64)
    rate = sampling_rate(training)
    if name in CLASSICAL:
        pipeline = erp_lda(rate) if name == "erp-lda" else csp_lda(min(6, training.sizes["channel"]))
        with mne.use_log_level("ERROR"):
            return torch_model(pipeline.fit(x.astype(np.float64), y))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MODELS[name](training.sizes["channel"], training.sizes["time"], int(y.max()) + 1, rate)
        return fit_classifier(model, torch.from_numpy(x), torch.from_numpy(y), seed=seed, **TRAINING[name])


def scale_of(scaler: Scaler) -> xr.DataArray:
    """Return the standard deviation of every channel over the training trials, (channel,)."""
    assert scaler.scale is not None
    return scaler.scale.reset_coords(drop=True)


def together(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return what the folds found in the order of the trials."""
    joined = xr.concat(parts, "trial")
    return joined.isel(trial=np.argsort(joined["trial"].values))
