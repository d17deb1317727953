"""What the study writes: tables, explanations, figures, films and the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import signalrp
from signalrp.report import Report
from signalrp.studies import Figures, Say, file_name
from signalrp.validation_report import write_validation

from .border import border_profile
from .data import classes_of
from .digits import while_moving
from .findings import CutFindings, TaskFindings
from .overlay import overlay_gif, overlay_mp4
from .plots import plot_border, plot_cut, plot_forward, plot_mean_map, plot_slice, plot_strip
from .results import accuracy_table, border_table, concentration_table, cut_table, evidence_table, surest, with_controls

_SHOWN = 2
_SLOWER = 0.25


def write(
    folder: Path,
    found: Sequence[TaskFindings],
    cut: CutFindings | None,
    *,
    composite: str,
    seed: int,
    say: Say,
) -> None:
    """Write everything into a folder that exists."""
    say("writing tables, explanations, figures, films and the report")
    questions = " ".join(task.task.question for task in found)
    report = Report(f"{questions} Video explained by layer-wise relevance propagation")
    add = Figures(folder, report)
    (folder / "films").mkdir()
    # A dollar in a name is no formula.
    with plt.rc_context({"text.parse_math": False}):
        for task in found:
            for name, net in task.nets.items():
                net.explanation.to_netcdf(folder / f"explanation_{file_name(f'{task.task.name}_{name}')}.nc")
            _write_accuracy(report, folder, task, composite)
            _write_pictures(report, add, folder, task)
            _write_frames(report, folder, task)
            _write_border(report, add, folder, task)
            _write_forward(report, add, folder, task)
            _write_localisation(report, folder, task)
            _write_removal(report, add, folder, task, seed)
        if cut is not None:
            _write_cuts(report, add, folder, cut)
    report.heading("How to repeat this")
    report.text(
        f"Seed {seed}. The tables stand beside this page as CSV, the explanations as netCDF (signalrp.load reads "
        "them), the figures as PNG, the films as MP4 and GIF."
    )
    report.save(folder / "report.html")


def _save(table: pd.DataFrame, folder: Path, task: str, name: str, report: Report | None = None) -> None:
    table.to_csv(folder / f"{file_name(f'{task}_{name}')}.csv", index=False)
    if report is not None:
        report.table(table)


def _write_accuracy(report: Report, folder: Path, found: TaskFindings, composite: str) -> None:
    signal, task = found.task.signal, found.task
    explained = next(iter(found.nets.values())).explanation.sizes["trial"]
    report.heading(task.question)
    report.text(
        f"{signal.attrs.get('title', task.name)}: {signal.sizes['trial']} held-out clips of {signal.sizes['frame']} "
        f"frames, {signal.sizes['row']} × {signal.sizes['column']} pixels, {float(signal.attrs['fps']):g} frames per "
        f"second, classes {', '.join(classes_of(signal))}; {task.words}. Explained are {explained} of them, by the "
        f"composite {composite} (signalrp {signalrp.__version__}), for the class that the net predicted."
    )
    if not task.splits:
        report.text(
            "The clips are semi-synthetic: handwritten digits move in front of real video. What they say of a net "
            "holds for such clips; where and when the cause is, is known, which no natural clip can offer."
        )
    report.text("Accuracy on all held-out clips, with 95 % bootstrap intervals over subjects.")
    _save(accuracy_table(found), folder, task.name, "accuracy", report)


def _write_pictures(report: Report, add: Figures, folder: Path, found: TaskFindings) -> None:
    name = found.task.name
    report.heading("Which frames, which place?")
    report.text(
        "Clips that the net got right. Red speaks for the class, blue against it, on one scale in a picture; relevance "
        "is summed over the colours. A net that keeps the largest of some neighbours leaves a chequered pattern."
    )
    for number, (net, data) in enumerate(found.nets.items()):
        if number:
            report.open_details(f"The same for {net}")
        for trial in surest(data, 1 if number else _SHOWN):
            title = f"{name}, {net}, clip {int(data.explanation['trial'].values[trial])}"
            one = data.explanation
            truth = None if found.task.truth is None else while_moving(found.task.truth[one["trial"].values])
            add(plot_strip(one, trial, truth=truth), f"{title}_strip", f"{title}: frames, relevance, its time course.")
            add(plot_slice(one, trial), f"{title}_slice", f"{title}: space by time.")
            if not number:
                film = overlay_mp4(one, trial, speed=_SLOWER)
                report.video(film, f"{title}: the clip and its relevance, at a quarter of its speed.")
                (folder / "films" / f"{file_name(title)}.mp4").write_bytes(film)
                (folder / "films" / f"{file_name(title)}.gif").write_bytes(overlay_gif(one, trial, speed=_SLOWER))
        known = data.explanation.isel(trial=data.recognised())
        if known.sizes["trial"]:
            add(plot_mean_map(known), f"{name}_{net}_means", f"{name}, {net}: mean over clips and frames, by class.")
        else:
            report.text(f"{net} got no clip right of those that are explained.")
        if number:
            report.close_details()


def _write_frames(report: Report, folder: Path, found: TaskFindings) -> None:
    report.text(
        "Shares of positive and negative relevance, over how many frames it is spread (effective frames: the "
        "exponential of its entropy), the share of the largest frame, its centre and spread in s; means over the clips."
    )
    _save(concentration_table(found.nets), folder, found.task.name, "concentration", report)
    evidence = evidence_table(found.nets)
    if not len(evidence):
        return
    report.text(
        "Moving or static evidence? Spearman's correlation, over places and frames within a clip, of positive "
        "relevance with optical-flow magnitude and with static contrast, and partial ones; chance: with the maps of "
        "other subjects' clips. Intervals over subjects."
    )
    _save(evidence, folder, found.task.name, "evidence", report)


def _write_border(report: Report, add: Figures, folder: Path, found: TaskFindings) -> None:
    report.heading("Does the border of the clip count too much?")
    report.text(
        "Anders et al. (2018) found that a video net leans on the first and last frames, as if to look beyond. "
        "Relevance by position of the frame in the clip, against the same clips with their frames shuffled (what stays "
        "there goes with the position, not with the content) and against a net of the same architecture with random "
        "weights, which shows what padding alone does: 1 is not the natural baseline of a convolution. small-3d-even "
        "learnt from clips in which the moment of the motion was drawn at random, small-3d-border from clips that move "
        "at both ends only. ratio: share of the first and last two frames over that of an even spread, p of 1; "
        "difference: of a net to the first one, of a control to its net."
    )
    profiles = {}
    for name, net in found.nets.items():
        profiles[name] = border_profile(with_controls(name, net))
        caption = f"{found.task.name}, {name}: share of the relevance by position of the frame in the clip."
        add(plot_border(profiles[name]), f"{found.task.name}_{name}_border", caption)
    pd.concat(profiles.values(), ignore_index=True).to_csv(
        folder / f"{file_name(found.task.name)}_border_profile.csv", index=False
    )
    _save(border_table(found.nets), folder, found.task.name, "border", report)


def _write_forward(report: Report, add: Figures, folder: Path, found: TaskFindings) -> None:
    tables = {name: net.forward for name, net in found.nets.items() if len(net.forward)}
    if not tables:
        return
    report.heading("Fast forward")
    report.text(
        "Every n-th frame of longer clips, without training anew, and as a control all frames of the same stretch in "
        "as many clips, outputs averaged: more to see without being faster. Speeds in the clips are 1 to 3 pixels per "
        "frame, so that step 3 shows motions that the nets have never seen."
    )
    for name, table in tables.items():
        caption = f"{found.task.name}, {name}: accuracy against the frame step."
        add(plot_forward(table), f"{found.task.name}_{name}_forward", caption)
    whole = pd.concat([table.assign(net=name) for name, table in tables.items()], ignore_index=True)
    _save(whole, folder, found.task.name, "forward", report)


def _write_localisation(report: Report, folder: Path, found: TaskFindings) -> None:
    for name, net in found.nets.items():
        if len(net.localisation):
            report.heading("Is it where the cause is?")
            counts = net.localisation.attrs.get("trials", {})
            words = ", ".join(f"{where}: {number} clips" for where, number in counts.items())
            report.text(
                f"{name}: share of the positive relevance inside the digit's true tube (mass) and whether its highest "
                f"place is (pointing game), beside other methods; chance is what no aim would give. {words}."
            )
            _save(net.localisation, folder, found.task.name, "localisation", report)


def _titled(add: Figures, title: str) -> Callable[[Figure, str], None]:
    return lambda figure, caption: add(figure, f"{title}_removal", f"{title}. {caption}")


def _write_removal(report: Report, add: Figures, folder: Path, found: TaskFindings, seed: int) -> None:
    report.heading("Does the net need what the relevance marks?")
    report.text(
        "Frames are frozen (the frame before is shown), dropped (the clip closes up), blurred or swapped, and tubes of "
        "4 frames and 8 × 8 pixels frozen, in the order of relevance, of motion, and at random."
    )
    scores = []
    for name, net in found.nets.items():
        title = f"{found.task.name}, {name}"
        report.open_details(title)
        first = next(iter(net.curves))
        table = write_validation(
            report, net.curves, checks={first: net.checks}, heading=None, seed=seed, figure=_titled(add, title)
        )
        scores.append(table.rename(columns={"curves": "removed"}).assign(net=name))
        report.close_details()
    _save(pd.concat(scores, ignore_index=True), folder, found.task.name, "faithfulness")


def _write_cuts(report: Report, add: Figures, folder: Path, cut: CutFindings) -> None:
    report.heading("A net that others trained: does TransNet V2 see the cut?")
    says = cut.probability.values
    report.text(
        f"TransNet V2 (Soucek and Lokoc 2020) on {cut.probability.sizes['trial']} splices of real shots at known "
        f"frames: it says cut, with a probability of at least one half, in {float((says >= 0.5).mean()):.1%}; the "
        f"median probability is {float(np.median(says)):.3f}. Relevance of that logit in time, against the same net "
        "where no cut was made (it looks mostly at the frames it is asked about, cut or not) and against the same "
        "architecture with random weights; difference: of the first row to these. Counting colours has no way back, so "
        "that what the net takes from its colour histograms reaches no pixel. Intervals over pairs of shots."
    )
    add(plot_cut(cut.around), "cuts", "Share of the relevance by distance from the cut.")
    place = int(cut.example["cut"].values[0])
    near = [int(number) for number in range(place - 4, place + 4)]
    add(plot_strip(cut.example, 0, frames=near), "cut_strip", "Eight frames about the cut, and relevance in time.")
    table = cut_table(cut)
    table.to_csv(folder / "cuts.csv", index=False)
    report.table(table)
