"""What the study writes: tables, explanations, figures, sound and the report."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

import signalrp
from signalrp.report import Report
from signalrp.studies import Figures, Say, file_name
from signalrp.validation_report import write_validation

from .comparison import compare_strategies
from .findings import Findings, PitchFindings, TaskFindings
from .listen import common_gain, heard, wav_bytes, write_wav
from .plots import plot_class_means, plot_harmonics, plot_spectrogram, plot_views, plot_waveform
from .results import accuracy_table, harmonics_table, pitch_table, speaker_table

_SHOWN = 2
"""Clips of every task that are shown and can be listened to, of different classes."""
_MANY = 14
"""Columns that a table of speakers may have on the page."""
_HIGHEST = 800.0
"""Hz up to which the picture of the pitch net reaches."""


def write(
    folder: Path, found: Sequence[TaskFindings], voice: PitchFindings | None, *, composite: str, seed: int, say: Say
) -> None:
    """Write everything into a folder that exists; no voice, no section about pitch."""
    say("writing tables, explanations, figures, sound and the report")
    questions = " ".join(task.task.question for task in found) or "Which pitch is it?"
    report = Report(f"{questions} Sound explained by layer-wise relevance propagation")
    add = Figures(folder, report)
    (folder / "sound").mkdir()
    for task in found:
        for name, net in task.nets.items():
            net.explanation.to_netcdf(folder / f"explanation_{file_name(f'{task.task.name}_{name}')}.nc")
    # A dollar in a name is no formula.
    with plt.rc_context({"text.parse_math": False}):
        if found:
            _write_accuracy(report, folder, found, composite)
            for task in found:
                _write_task(report, add, folder, task)
            _write_harmonics(report, add, folder, found, seed)
            _write_masking(report, add, folder, found, seed)
            for task in found:
                _write_comparison(report, folder, task, seed)
        else:
            report.text(
                "The Free Spoken Digit Dataset was neither found nor fetched, so that no classifier could be studied: "
                "signalrp data info fsdd says how to get it."
            )
        if voice is not None:
            _write_pitch(report, add, folder, voice)
    report.heading("How to repeat this")
    report.text(
        f"Seed {seed}. The tables stand beside this page as CSV, the explanations as netCDF (signalrp.load reads "
        "them), the figures as PNG, the sound as WAV."
    )
    report.save(folder / "report.html")


def _write_accuracy(report: Report, folder: Path, found: Sequence[TaskFindings], composite: str) -> None:
    for task in found:
        signal = task.task.signal
        seconds = signal.sizes["time"] / float(signal.attrs["sfreq"])
        voices = len(np.unique(signal["subject"].values))
        # Where speakers are not known every clip is one of its own.
        by = f" of {voices} speakers" if voices < signal.sizes["trial"] else ""
        report.text(
            f"{task.task.question} {signal.attrs.get('title', task.task.name)}: {signal.sizes['trial']} clips{by}, "
            f"{seconds:g} s at "
            f"{float(signal.attrs['sfreq']):g} Hz; {task.task.words}. Explained are {task.clips.sizes['trial']} "
            "held-out clips."
        )
    report.text(
        f"Explanations are by the composite {composite} (signalrp {signalrp.__version__}) of the class that the net "
        "predicted. raw nets take waveforms; spectrogram nets take the power in 40 mel bands in dB, silence being 0."
    )
    report.heading("How well do the nets tell?")
    report.text(
        "Accuracy on all held-out clips. Intervals are 95 % bootstrap intervals over speakers, six in the digits (over "
        "clips where speakers are not known): another speaker may be told far better or worse, as the second table "
        "shows."
    )
    table, speakers = accuracy_table(found), speaker_table(found)
    table.to_csv(folder / "accuracy.csv", index=False)
    speakers.to_csv(folder / "speakers.csv", index=False)
    report.table(table)
    if len(speakers.columns) <= _MANY:
        report.table(speakers)


def _write_task(report: Report, add: Figures, folder: Path, task: TaskFindings) -> None:
    name = task.task.name
    report.heading(f"{task.task.question} When, and at which frequencies")
    report.text(
        "Single clips that every net got right, then means over a class. Red speaks for the class, blue against it. "
        "The raw net is one and the same in time, in frequency and in both: the sums of relevance agree."
    )
    for trial in shown_clips(task):
        what = str(task.clips.isel(trial=trial)["file"].values) if "file" in task.clips.coords else f"clip {trial}"
        for net, data in task.nets.items():
            explanation, raw = data.explanation, "per_unit" in data.explanation
            title = f"{name}, {net}, {what}"
            if raw:
                add(
                    plot_waveform(explanation, trial), f"{title}_waveform", f"{title}: waveform, coloured by relevance."
                )
                add(plot_views(explanation, trial), f"{title}_views", f"{title}: in time, in both, in frequency.")
            f0 = task.f0 if raw else None
            add(
                plot_spectrogram(explanation, trial, f0=f0),
                f"{title}_spectrogram",
                f"{title}: relevance over the spectrogram.",
            )
            _write_sound(report, folder, task, net, trial, title)
    for net, data in task.nets.items():
        known = data.explanation.isel(trial=data.recognised())
        if known.sizes["trial"]:
            caption = f"{name}, {net}: means over the clips of a class, begun at the onset; s.e.m. over clips."
            add(plot_class_means(known, align="onset"), f"{name}_{net}_means", caption)


def shown_clips(task: TaskFindings) -> list[int]:
    """Return the positions of clips that every net got right, the surest of the first of different classes."""
    right = np.logical_and.reduce(
        [net.explanation["target"].values == net.explanation["label"].values for net in task.nets.values()]
    )
    sure = np.mean([_sureness(net.explanation) for net in task.nets.values()], axis=0)
    label = task.clips["label"].values
    best = [max(np.flatnonzero(right & (label == number)), key=lambda trial: sure[trial])
            for number in np.unique(label[right])]  # fmt: skip
    return sorted(int(trial) for trial in sorted(best, key=lambda trial: -sure[trial])[:_SHOWN])


def _sureness(explanation: xr.Dataset) -> np.ndarray:
    """How far the highest output is above the next, (trial,)."""
    output = np.sort(explanation["output"].values, axis=1)
    margins: np.ndarray = output[:, -1] - output[:, -2]
    return margins


def _write_sound(report: Report, folder: Path, task: TaskFindings, net: str, trial: int, title: str) -> None:
    """Let the clip be heard, and what the net found relevant in it."""
    explanation = task.nets[net].explanation.isel(trial=[trial])
    clip = task.clips.isel(trial=[trial])
    waveform = None if "per_unit" in explanation else clip
    parts = {what: heard(explanation, what, waveform=waveform) for what in ("positive", "negative")}
    gain = common_gain(clip, *parts.values())
    sounds = {"the clip": clip} | {f"what has {what} relevance": part for what, part in parts.items()}
    for what, sound in sounds.items():
        kept = f", {float(sound['energy_kept'][0]):.1%} of its energy" if "energy_kept" in sound.coords else ""
        report.audio(wav_bytes(sound.isel(trial=0), gain=gain), f"{title}: {what}{kept}")
        file, number = folder / "sound" / f"{file_name(f'{title}_{what}')}.wav", 1
        # As with figures: names may differ only in what no file name takes.
        while file.exists():
            number += 1
            file = file.with_name(f"{file_name(f'{title}_{what}')}-{number}.wav")
        write_wav(file, sound.isel(trial=0), gain=gain)


def _write_harmonics(report: Report, add: Figures, folder: Path, found: Sequence[TaskFindings], seed: int) -> None:
    tables, missing = harmonics_table(found, seed)
    if not tables and not missing:
        return
    report.heading("Is it the voice's harmonics that the raw net hears?")
    report.text(
        "Share of the positive relevance on the fundamental (pYIN; Mauch and Dixon 2014) and its harmonics in voiced "
        "frames, against the share of bins, combs of the same spacing shifted at random, and the share of the power of "
        "the clip itself: what exceeds the last is more than loudness. Recognised clips; intervals over speakers."
    )
    for name, reason in missing.items():
        report.text(f"{name}: not examined. {reason}")
    if not tables:
        return
    add(plot_harmonics(tables), "harmonics", "Relevance on the harmonics, and without aim.")
    pd.concat([table.rename_axis("quantity").reset_index().assign(net=name) for name, table in tables.items()]).to_csv(
        folder / "harmonics.csv", index=False
    )


def _titled(add: Figures, title: str) -> Callable[[Figure, str], None]:
    return lambda figure, caption: add(figure, f"{title}_masking", f"{title}. {caption}")


def _write_masking(report: Report, add: Figures, folder: Path, found: Sequence[TaskFindings], seed: int) -> None:
    report.heading("Does the net need what the relevance marks?")
    report.text(
        "Held-out clips are masked, the most relevant first: samples are set to zero, bins to silence, as in Becker et "
        "al. (2018); then pieces that mean something: windows of 80 ms, bands about the formants, and the harmonics of "
        "the voice against what lies between them. Beside it a random order, the order of amplitude, and relevance "
        "shuffled among samples of equal amplitude. A single sample set to zero is a click at all frequencies, so that "
        "windows and bands are the fairer test."
    )
    scores = []
    for task in found:
        for net, data in task.nets.items():
            title = f"{task.task.name}, {net}"
            report.open_details(title)
            first = next(iter(data.curves))
            table = write_validation(
                report, data.curves, checks={first: data.checks}, heading=None, seed=seed, figure=_titled(add, title)
            )
            scores.append(table.rename(columns={"curves": "masked"}).assign(task=task.task.name, net=net))
            report.close_details()
    pd.concat(scores, ignore_index=True).to_csv(folder / "faithfulness.csv", index=False)


def _write_comparison(report: Report, folder: Path, task: TaskFindings, seed: int) -> None:
    if len(task.nets) < 2:
        return
    (first, one), (second, other) = alike_in_accuracy(task)
    report.heading(f"{task.task.question} Do {first} and {second} listen to the same?")
    try:
        tables = compare_strategies(
            one.explanation, other.explanation, names=(first, second), f0=task.f0, clips=task.clips, seed=seed
        )
    except ValueError as error:
        report.text(f"{task.task.name}: not examined. {error}")
        return
    report.text(
        "The same clips, relevance of both on one grid of cells (100 Hz × 40 ms), sums kept. Answers: which clips "
        "either gets right; error consistency is kappa, 0 for what their accuracies alone would give. Similarity: of "
        "the two maps of a clip. Shares: of the positive relevance in bands, in parts of the sound and on harmonics. "
        "Clips that both got right; intervals over speakers."
    )
    for name, table in tables.items():
        table = table.reset_index() if table.index.name else table
        table.to_csv(folder / f"{file_name(task.task.name)}_{name}.csv", index=False)
        report.table(table)


def alike_in_accuracy(task: TaskFindings) -> list[tuple[str, Findings]]:
    """Return the two nets whose accuracies are closest, those on different representations if there are any."""
    mean = {name: float(net.correct.mean()) for name, net in task.nets.items()}
    raw = {name: "per_unit" in net.explanation for name, net in task.nets.items()}
    pairs = list(itertools.combinations(task.nets, 2))
    pairs = [pair for pair in pairs if raw[pair[0]] != raw[pair[1]]] or pairs
    closest = min(pairs, key=lambda pair: abs(mean[pair[0]] - mean[pair[1]]))
    return [(name, task.nets[name]) for name in closest]


def _write_pitch(report: Report, add: Figures, folder: Path, voice: PitchFindings) -> None:
    report.heading("A net that others trained: does CREPE hear the harmonics?")
    row = voice.error.iloc[0]
    report.text(
        f"CREPE (tiny; Kim et al. 2018) on {voice.source}: {int(row['frames'])} voiced frames, pitch within 50 cents "
        f"of pYIN in {row['within 50 cents']:.1%}, median distance {row['median distance (cents)']:.0f} cents. Its "
        "relevance for the pitch that it finds, seen in frequency, should lie on that pitch and its multiples. The "
        "power of a voice lies there too, so compare with bins, shifted combs, power, and a net with random weights. "
        "Intervals over clips."
    )
    voice.error.to_csv(folder / "pitch.csv", index=False)
    tables = pitch_table(voice)
    add(plot_harmonics(tables), "pitch_harmonics", "Pitch net: relevance on the harmonics, and without aim, by rules.")
    add(plot_pitch(voice.example), "pitch_example", "Pitch net: mean of the frames of one voice whose pitch is alike.")
    pd.concat(
        [table.rename_axis("quantity").reset_index().assign(rules=name) for name, table in tables.items()]
    ).to_csv(folder / "pitch_harmonics.csv", index=False)


def plot_pitch(example: xr.Dataset) -> Figure:
    """Relevance and magnitude over frequency, with the pitch and its multiples marked."""
    f0 = float(example.attrs["f0"])
    near = example.isel(frequency=example["frequency"].values <= max(_HIGHEST, 6 * f0))
    figure, axes = plt.subplots(2, 1, sharex=True, layout="constrained", figsize=(7.5, 4.2))
    for ax, name, label in zip(axes, ("relevance", "signal"), ("relevance", "magnitude"), strict=True):
        for number in range(1, int(near["frequency"].values[-1] // f0) + 1):
            ax.axvline(number * f0, color="0.8", linewidth=1.5, zorder=0)
        ax.plot(near["frequency"].values, near[name].values, color="0.1", linewidth=1)
        ax.axhline(0, color="0.4", linewidth=0.6)
        ax.set_ylabel(label)
    axes[1].set_xlabel("frequency (Hz)")
    axes[0].set_title(
        f"{example.attrs['frames']} frames about {f0:.0f} Hz; lines: the pitch and its multiples", fontsize="medium"
    )
    return figure
