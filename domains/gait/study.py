"""The main job: who is walking, by what do models tell, and does it survive manipulation?

Data in, cross-validated models, explanations of the held-out trials, manipulation tests, figures and a report
out. The rooms beside this one do the work; this one puts it in order.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import nn

from signalrp.explain import explain
from signalrp.propagation.composites import composite as signalrp_composite
from signalrp.splits import Scaler, folds
from signalrp.studies import Say, check_folder, join_folds, new_folder, require_models, sanity_checks
from signalrp.training import fit_classifier
from signalrp.validation import perturbation_curves
from signalrp.validation.perturbation.fills import FILLS
from signalrp.validation.verdicts import Check

from .data import clinical_grf, speedgrf
from .findings import Findings, Task
from .labelled import STANCE
from .models import MODELS, from_linear_svm
from .reporting import write
from .segments import stance_phases
from .tables import tidy_csv

TRAINING: dict[str, dict[str, Any]] = {
    "linear": {"epochs": 60, "learning_rate": 3e-2},
    "mlp": {"epochs": 40, "learning_rate": 1e-3},
    "cnn-a": {"epochs": 60, "learning_rate": 3e-3},
    "cnn-c3": {"epochs": 40, "learning_rate": 1e-3},
    "cnn1d-c8": {"epochs": 60, "learning_rate": 2e-3},
}
DEFAULT_MODELS = ("linear", "svm", "mlp", "cnn-a", "cnn-c3")
FRACTIONS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)


def run(
    data: str = "speedgrf",
    models: Sequence[str] = DEFAULT_MODELS,
    out: str | os.PathLike[str] = "runs/gait",
    *,
    composite: str = "epsilon",
    count: int = 10,
    fill: str = "mean",
    seed: int = 0,
    overwrite: bool = False,
    say: Say = print,
) -> Path:
    """Run the study and write report, explanations, tables and figures into one folder.

    Parameters
    ----------
    data : str
        ``"speedgrf"`` (fetched; who is walking?), ``"clinical-grf"`` with ``=PATH`` of its folder (injured or
        healthy?), or the path of a tidy CSV file (see `tidy_csv`) with the columns ``subject`` and, unless
        the subject is the class, ``label``.
    models : sequence of str
        Of ``"linear"``, ``"svm"``, ``"mlp"``, ``"cnn-a"``, ``"cnn-c3"``, ``"cnn1d-c8"``.
    out : path
        Folder to write; it must not exist unless `overwrite` is set.
    composite : str
        Rules of the explanation, see :func:`signalrp.composite`.
    count : int
        Number of folds: stratified by person for identity, grouped by person for anything else.
    fill : str
        What stands in the place of removed samples, see `signalrp.validation.perturbation_curves`.
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
    require_models(models, (*MODELS, "svm"))
    signalrp_composite(composite)
    if fill not in FILLS:
        raise ValueError(f"there is no fill {fill!r}; choose of {', '.join(FILLS)}.")
    target = check_folder(out, overwrite)
    task = load_task(data)
    trials, people = task.signal.sizes["trial"], len(np.unique(task.signal["subject"]))
    say(f"{task.question} {trials} trials of {people} people, {len(task.classes)} classes, {count} folds")
    splits = folds(task.signal, count, by="label", group=task.group, seed=seed)
    findings = {name: study_model(name, task, splits, composite, fill, seed, say) for name in models}
    with new_folder(target, overwrite) as folder:
        write(folder, task, findings, composite=composite, fill=fill, count=count, seed=seed, say=say)
    return target / "report.html"


def load_task(data: str) -> Task:
    """Load a data set by name, or a tidy CSV file by path, with the question it poses."""
    if data == "speedgrf":
        signal = speedgrf()
        return Task(signal, sorted(set(map(str, signal["subject"].values))), "Who is walking?", group=None)
    if data.startswith("clinical-grf"):
        _, _, path = data.partition("=")
        if not path:
            raise ValueError("the clinical set is fetched by hand; give its folder: clinical-grf=PATH.")
        signal = clinical_grf(path)
        injured = (signal["label"].values > 0).astype(np.int64)
        signal = signal.assign_coords(label=("trial", injured))
        return Task(signal, ["healthy", "injured"], "Is this person injured?")
    if not Path(data).is_file():
        raise ValueError(
            f"{data!r} is no data set of this study and no file; give speedgrf, clinical-grf=PATH or a CSV."
        )
    signal = tidy_csv(data)
    if "subject" not in signal.coords:
        raise ValueError(f"{data} has no column 'subject'; the folds need to know who walked.")
    subject = signal["subject"].values.astype(str)
    names = signal["label"].values.astype(str) if "label" in signal.coords else subject
    classes, label = np.unique(names, return_inverse=True)
    if len(classes) < 2:
        what = "class" if "label" in signal.coords else "person"
        raise ValueError(f"{data} has one {what} only, {classes[0]!r}; there is nothing to tell apart.")
    signal = signal.assign_coords(label=("trial", label.astype(np.int64)), subject=("trial", subject))
    identity = len(classes) == len(np.unique(subject)) == len(set(zip(names, subject, strict=True)))
    question = "Who is walking?" if identity else "Which class is it?"
    return Task(signal, list(map(str, classes)), question, group=None if identity else "subject")


def study_model(
    name: str,
    task: Task,
    splits: list[tuple[Any, Any]],
    composite: str = "epsilon",
    fill: str = "mean",
    seed: int = 0,
    say: Say = print,
) -> Findings:
    """Train, explain and validate one model on every fold, always on the trials it has not seen."""
    explanations, samples, phases, same = [], [], [], []
    checks: list[Check] = []
    pieces = stance_phases(task.signal) if task.signal["time"].attrs.get("units") == STANCE else None
    for fold, (train, test) in enumerate(splits):
        scaler = Scaler("z-score").fit(task.signal[train])
        model = train_model(name, scaler.transform(task.signal[train]), len(task.classes), seed + fold)
        held_out = task.signal[test]
        scaled = scaler.transform(held_out)
        explanation = explain(model, scaled, composite=composite, classes=task.classes)
        if task.group is None:
            same.append(same_output(model, scaled, explanation, composite))
        # Relevance belongs to the scaled input; the signal is shown as it was measured.
        explanation["signal"] = held_out.variable
        explanation = explanation.assign_coords(
            fold=("trial", np.full(len(test), fold)), source_trial=("trial", np.asarray(test))
        )
        explanations.append(explanation)
        options: dict[str, Any] = {
            "fill": fill, "reference": task.signal[train], "transform": scaler.on_tensors(), "seed": seed + fold,
        }  # fmt: skip
        if fold == 0:
            checks = sanity_checks(model, scaled, composite, name, say)
        samples.append(perturbation_curves(model, explanation, fractions=FRACTIONS, repeats=5, **options))
        if pieces is not None:
            phases.append(
                perturbation_curves(model, explanation, segments=pieces, direction="morf", repeats=5, **options)
            )
        right = int((explanation["target"] == explanation["label"]).sum())
        say(f"  {name}, fold {fold + 1} of {len(splits)}: {right} of {len(test)} held-out trials recognised")
    joined = xr.concat(explanations, "trial")
    joined.attrs["model"] = name
    joined.attrs["input"] = "z-score per channel, fitted on the training part of each fold"
    order = np.argsort(joined["source_trial"].values)
    return Findings(
        joined.isel(trial=order),
        join_folds(samples).isel(trial=order),
        join_folds(phases).isel(trial=order).assign_attrs(removed="phases of stance") if phases else None,
        pd.DataFrame(same, columns=task.classes).mean().to_dict() if same else {},
        checks,
    )


def same_output(model: nn.Module, scaled: xr.DataArray, explanation: xr.Dataset, composite: str) -> list[float]:
    """Compare recognised trials of each person with other people's, all explained for that person's output.

    Two trials of a person are alike in relevance for one reason already: the same output is explained. This is what
    that alone amounts to.

    Returns
    -------
    list of float
        Mean cosine similarity for each class, NaN where no trial was recognised.
    """
    label, right = explanation["label"].values, explanation["target"].values == explanation["label"].values
    values = []
    for person in range(explanation.sizes["class"]):
        maps = explain(model, scaled, person, composite)["relevance"].values.reshape(len(label), -1)
        maps = maps / np.maximum(np.linalg.norm(maps, axis=1, keepdims=True), np.finfo(maps.dtype).tiny)
        own, others = maps[(label == person) & right], maps[label != person]
        values.append(float(own.mean(0) @ others.mean(0)) if len(own) and len(others) else float("nan"))
    return values


def train_model(name: str, signal: xr.DataArray, classes: int, seed: int) -> nn.Module:
    """Train a model of `MODELS`, or the linear support vector machine, on scaled trials."""
    channels, points = signal.sizes["channel"], signal.sizes["time"]
    x = np.ascontiguousarray(signal.values, dtype=np.float32)
    y = signal["label"].values.astype(np.int64)
    if name == "svm":
        from sklearn.svm import LinearSVC

        machine = LinearSVC(C=0.1, random_state=seed, max_iter=20000).fit(x.reshape(len(x), -1), y)
        return from_linear_svm(machine, channels, points)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MODELS[name](channels, points, classes)
    return fit_classifier(model, torch.from_numpy(x), torch.from_numpy(y), seed=seed, **TRAINING[name])
