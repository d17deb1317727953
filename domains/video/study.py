"""The main job: which frames and which place does a video net look at, and does the clip's border count too much?

Clips in, nets, explanations of clips they have not seen, border effect, fast forward, localisation, manipulation of
frames and tubes, cuts, films, figures and a report out. The rooms beside this one do the work; this one puts it in
order.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import nn

from signalrp.explain import explain
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

from .border import shuffled
from .cuts import explain_cuts, share_at_cut, shots, splices, untrained
from .data import classes_of
from .findings import PUBLISHED, CutFindings, Findings, TaskFindings
from .forward import fast_forward, forward_table
from .frames import frame_shares
from .line_plots import around_cut
from .localisation import localise
from .models import DEFAULTS, MODELS
from .motion import motion_magnitude, moving_or_static
from .removal import remove_frames, remove_tubes
from .reporting import write
from .tasks import Task, load_task
from .train import WEIGHTS, accuracy, fit, pretrained
from .transnet import probability, published

BORDER = ("small-3d-even", "small-3d-border")
"""Nets of the same architecture as small-3d that learnt when nothing, or all, is to be had at the clip's border."""
FRACTIONS = (0.0, 0.125, 0.25, 0.5, 0.75, 0.875)
"""Shares of the frames; a net of moving things loses little before half of them are gone."""
_CHECKED = 4
_LOCALISED = 30
_REACH = 10


def run(
    data: Sequence[str] = ("moving-digits",),
    models: Sequence[str] = (*DEFAULTS, *BORDER),
    out: str | os.PathLike[str] = "runs/video",
    *,
    composite: str = "epsilon-plus",
    count: int = 4,
    clips: int = 60,
    cuts: int = 16,
    seed: int = 0,
    overwrite: bool = False,
    say: Say = print,
) -> Path:
    """Run the study and write report, explanations, tables, figures and films into one folder.

    Parameters
    ----------
    data : sequence of str
        Tasks by name, or folders of clips by path, see `signalrp.domains.video.tasks.load_task`.
    models : sequence of str
        Of `signalrp.domains.video.models.MODELS`; for moving digits also ``"small-3d-even"`` and
        ``"small-3d-border"``, which differ from ``"small-3d"`` in when the digit moved in what they learnt from.
    out : path
        Folder to write; it must not exist unless `overwrite` is set.
    composite : str
        Rules of the explanation, see :func:`signalrp.composite`.
    count : int
        Number of folds of own clips.
    clips : int
        How many held-out clips of a task are explained.
    cuts : int
        How many splices the net that finds cuts is explained on; 0 leaves it out.
    seed : int
        Seed of clips, folds, weights, orders.
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
    require_models(models, (*MODELS, *BORDER))
    if not data or clips < 10 or cuts < 0 or cuts in (1, 2):
        raise ValueError(
            f"found {len(data)} tasks, {clips} clips and {cuts} cuts; give a task, 10 clips or more, and 0 or at least "
            "3 cuts: two may be of one pair of shots."
        )
    signalrp_composite(composite)
    target = check_folder(out, overwrite)
    tasks = [load_task(name, 4 * clips, count=count, seed=seed) for name in dict.fromkeys(data)]
    pairs = _pairs(tasks, list(dict.fromkeys(models)))
    calls: list[tuple[Any, ...]] = [
        (partial(study_net, task, name, composite, clips, number == 0, seed),)
        for number, (task, name) in enumerate(pairs)
    ]
    if cuts:
        calls.insert(0, (partial(study_cuts, cuts, composite, seed),))
    say(f"{len(tasks)} task(s) with {', '.join(models)}; this takes some minutes")
    found = side_by_side(_call, calls, say)
    cut = found.pop(0) if cuts else None
    nets = [
        TaskFindings(task, {name: net for (own, name), net in zip(pairs, found, strict=True) if own is task})
        for task in tasks
    ]
    with new_folder(target, overwrite) as folder:
        write(folder, nets, cut, composite=composite, seed=seed, say=say)
    return target / "report.html"


def _pairs(tasks: Sequence[Task], models: Sequence[str]) -> list[tuple[Task, str]]:
    """Which net is studied on which task: those of the border only where they have learnt the task."""
    names = [file_name(task.name) for task in tasks]
    if len(set(names)) < len(names):
        raise ValueError(f"the tasks would write the same files, they are called {', '.join(names)}; rename a folder.")
    pairs = []
    for task in tasks:
        fitting = [name for name in models if name in (MODELS if task.splits else WEIGHTS)]
        missing = [name for name in models if name not in fitting and name not in BORDER]
        if missing or not fitting:
            possible = ", ".join(MODELS if task.splits else WEIGHTS)
            raise ValueError(
                f"there are no weights of {(missing or models)[0]!r} for {task.name}; choose of {possible}."
            )
        pairs += [(task, name) for name in fitting]
    return pairs


def _call(job: Any, say: Say) -> Any:
    return job(say)


def study_net(task: Task, name: str, composite: str, clips: int, first: bool, seed: int, say: Say) -> Findings:
    """Explain what a net looks at in clips that it was not trained on."""
    signal = task.signal
    everything = np.arange(signal.sizes["trial"])
    splits = task.splits or [(everything[:0], everything)]
    correct, parts, films = [], [], []
    controls: dict[str, list[xr.Dataset]] = {}
    curves: dict[str, list[xr.Dataset]] = {}
    checks: list[Check] = []
    forward = localisation = pd.DataFrame()
    for fold, (train, test) in enumerate(splits):
        net = pretrained(name) if not len(train) else fit(name, signal[train], seed + fold)
        correct.append(accuracy(net, signal[test]))
        rows = test[np.linspace(0, len(test) - 1, min(len(test), -(-clips // len(splits)))).round().astype(int)]
        held = signal[rows].assign_coords(trial=rows)
        part = explain(net, held, composite=composite, classes=classes_of(signal), batch_size=16)
        motion = motion_magnitude(held)
        for what, found in removals(net, part, motion, seed + fold).items():
            curves.setdefault(what, []).append(found)
        for what, model, shown in (("shuffled", net, shuffled(held, seed)), ("untrained", drawn_anew(net, seed), held)):
            found = explain(model, shown, composite=composite, classes=classes_of(signal), batch_size=16)
            controls.setdefault(what, []).append(found)
        if fold == 0:
            if first:
                checks = sanity_checks(net, held[:_CHECKED].drop_vars("subject", errors="ignore"), composite, name, say)
            if task.longer is not None:
                forward = forward_table(fast_forward(net, task.longer, steps=(1, 2, 3)))
            if first and task.truth is not None:
                places = task.truth[rows[:_LOCALISED]].assign_coords(trial=rows[:_LOCALISED])
                localisation = localise(net, held[:_LOCALISED], places, seed=seed)
        parts.append(part)
        films.append(motion)
        right = float(correct[-1].mean())
        say(f"  {task.name}, {name}, fold {fold + 1} of {len(splits)}: {right:.1%} of {len(test)} clips right")
    joined = xr.concat(parts, "trial")
    evidence = pd.DataFrame()
    try:
        evidence = moving_or_static(joined, motion=xr.concat(films, "trial"), seed=seed)
    except ValueError as error:
        # Clips that stand still, as own ones may, are no reason to lose all else.
        say(f"  {task.name}, {name}: relevance is not compared with motion: {error}")
    return Findings(
        xr.concat(correct, "trial"),
        joined,
        {what: xr.concat(each, "trial") for what, each in controls.items()},
        {what: join_folds(each) for what, each in curves.items()},
        forward,
        evidence,
        localisation,
        checks,
    )


def drawn_anew(net: nn.Module, seed: int) -> nn.Module:
    """Return a net of the same architecture whose weights are drawn at random: what the architecture alone does."""
    fresh = copy.deepcopy(net)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in fresh.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
    return fresh.eval()


def removals(net: nn.Module, explanation: xr.Dataset, motion: xr.DataArray, seed: int) -> dict[str, xr.Dataset]:
    """Freeze, drop, blur and swap frames, and freeze tubes, in the order of relevance, of motion, and at random."""
    options: dict[str, Any] = {"motion": motion, "repeats": 2, "seed": seed}
    frames = remove_frames(net, explanation, fractions=FRACTIONS, **options)
    tubes = remove_tubes(net, explanation, how=("frozen",), **options)
    found = {f"frames {how}": curves.assign_attrs(removed="frames") for how, curves in frames.items()}
    return found | {f"tubes {how}": curves.assign_attrs(removed="tubes") for how, curves in tubes.items()}


def study_cuts(count: int, composite: str, seed: int, say: Say) -> CutFindings:
    """Explain where a published net sees a cut, on real shots that are spliced at known frames."""
    scenes, net = shots(), published()
    signal, uncut = (splices(scenes, count, cut=made, seed=seed) for made in (True, False))
    cases = {
        PUBLISHED: (net, signal),
        "the same, no cut made": (net, uncut),
        "random weights": (untrained(seed), signal),
    }
    shares, around = {}, {}
    example = None
    for name, (model, shown) in cases.items():
        found = explain_cuts(model, shown, composite)
        shares[name] = share_at_cut(found)
        around[name] = around_cut(frame_shares(found), found["cut"].values, _REACH)
        example = found.isel(trial=[0]) if example is None else example
    assert example is not None
    says = probability(net, signal)
    at = xr.DataArray(signal["cut"].values - 1, dims="trial")
    say(f"cuts: {count} splices, {float(shares[PUBLISHED].mean()):.1%} of the relevance within 2 frames")
    return CutFindings(shares, around, says.isel(frame=at), example)
