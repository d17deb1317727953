"""What the study writes: tables, explanations, figures and the report."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

import signalrp
from signalrp.plotting import plot_mean, plot_perturbation, relevance_norm
from signalrp.report import Report
from signalrp.validation import abpc, aopc, bootstrap_interval, paired_difference, similarity, summary

from .findings import Findings, Task
from .plots import mark_phases, plot_people, plot_signature, relevant_instants
from .segments import PHASES

ORDERS = ("relevance", "amplitude", "random")


def accuracy_table(findings: Mapping[str, Findings]) -> pd.DataFrame:
    """Accuracy of each model with its interval (bootstrap over people), and that of always saying the same."""
    rows = []
    for name, found in findings.items():
        data = found.explanation
        correct = (data["target"].values == data["label"].values).astype(float)
        interval = bootstrap_interval(correct, data["subject"].values)
        chance = np.bincount(data["label"].values).max() / data.sizes["trial"]
        rows.append((name, interval.estimate, interval.low, interval.high, chance, data.sizes["trial"]))
    return pd.DataFrame(rows, columns=["model", "accuracy", "low", "high", "chance", "trials"])


def curve_table(findings: Mapping[str, Findings]) -> pd.DataFrame:
    """Accuracy along every manipulation curve, tidy."""
    return pd.concat([summary(found.samples).assign(model=name) for name, found in findings.items()], ignore_index=True)


def faithfulness_table(findings: Mapping[str, Findings]) -> pd.DataFrame:
    """AOPC and ABPC of each order, and what relevance has over the others, tested by person."""
    rows = []
    for name, found in findings.items():
        area = aopc(found.samples).sel(direction="morf")
        between = abpc(found.samples)
        clusters = found.explanation["subject"].values
        for order in ORDERS:
            interval = bootstrap_interval(area.sel(order=order).values, clusters)
            low, high, p = np.nan, np.nan, np.nan
            gain = np.nan
            if order != "relevance":
                difference = paired_difference(area.sel(order="relevance"), area.sel(order=order), clusters)
                gain, low, high, p = difference.estimate, difference.low, difference.high, difference.p
            rows.append((name, order, interval.estimate, float(between.sel(order=order).mean()), gain, low, high, p))
    columns = ["model", "order", "AOPC", "ABPC", "relevance - order", "low", "high", "p"]
    return pd.DataFrame(rows, columns=columns)


def stability_table(findings: Mapping[str, Findings]) -> pd.DataFrame:
    """Cosine similarity of relevance within a person and between persons, for trials that were recognised.

    Empty where fewer than three people were recognised, or none twice.
    """
    rows = []
    for name, found in findings.items():
        data = _recognised(found.explanation)
        data = data.isel(trial=np.flatnonzero(np.abs(data["relevance"]).max(("channel", "time"))))
        trials = np.unique(data["subject"].values, return_counts=True)[1]
        if len(trials) < 3 or trials.max() < 2:
            rows += [(name, pairs, np.nan, np.nan, np.nan) for pairs in ("within", "between", "difference")]
            continue
        table = similarity(data)
        rows += [(name, what, *table.loc[what, ["estimate", "low", "high"]]) for what in table.index]
        control = [value for value in found.same_output.values() if np.isfinite(value)]
        if control:
            rows.append((name, "between, same output", *bootstrap_interval(control)))
    return pd.DataFrame(rows, columns=["model", "pairs", "cosine similarity", "low", "high"])


def phase_table(findings: Mapping[str, Findings]) -> pd.DataFrame:
    """Share of the positive relevance in each phase of stance, beside the phase's share of time.

    Empty where fewer than two people were recognised.
    """
    rows = []
    for name, found in findings.items():
        data = _recognised(found.explanation)
        positive = data["relevance"].clip(min=0).sum("channel")
        positive = positive.isel(trial=np.flatnonzero(positive.sum("time")))
        subjects = positive["subject"].values
        share = positive / positive.sum("time")
        time = data["time"].values
        for phase, (start, end) in PHASES.items():
            inside = (time >= start) & ((time < end) | ((end == 100) & (time <= end)))
            values = share.isel(time=np.flatnonzero(inside)).sum("time").values
            several = len(np.unique(subjects)) > 1
            interval = bootstrap_interval(values, subjects) if several else (np.nan, np.nan, np.nan)
            rows.append((name, phase, *interval, inside.mean()))
    return pd.DataFrame(rows, columns=["model", "phase", "share of relevance", "low", "high", "share of time"])


def write(
    folder: Path,
    task: Task,
    findings: Mapping[str, Findings],
    *,
    composite: str,
    fill: str,
    count: int,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Write everything into a folder that exists."""
    say("writing tables, explanations, figures and the report")
    by_phase = all(found.phases is not None for found in findings.values())
    tables = {
        "accuracy": accuracy_table(findings),
        "curves": curve_table(findings),
        "faithfulness": faithfulness_table(findings),
        "stability": stability_table(findings),
    }
    if by_phase:
        tables["phases"] = phase_table(findings)
        tables["phase_curves"] = pd.concat(
            [summary(found.phases).assign(model=name) for name, found in findings.items() if found.phases is not None],
            ignore_index=True,
        )
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    for name, found in findings.items():
        found.explanation.to_netcdf(folder / f"explanation_{name}.nc")
    (folder / "figures").mkdir()
    # A dollar in a name is no formula.
    with plt.rc_context({"text.parse_math": False}):
        _report(folder, task, findings, tables, composite, fill, count, seed)


def _report(
    folder: Path,
    task: Task,
    findings: Mapping[str, Findings],
    tables: Mapping[str, pd.DataFrame],
    composite: str,
    fill: str,
    count: int,
    seed: int,
) -> None:
    report = Report(f"{task.question} Gait explained by layer-wise relevance propagation")
    signal = task.signal
    people = np.unique(signal["subject"].values)
    kept = "balanced over people" if task.group is None else f"with every {task.group} in one fold only"
    report.text(
        f"{signal.attrs.get('title', signal.name)}: {signal.sizes['trial']} trials of {len(people)} people, "
        f"{signal.sizes['channel']} channel(s) over {signal.sizes['time']} instants. {count}-fold cross-validation "
        f"{kept}; scaling is fitted on the training part. All explanations are of held-out trials "
        f"and of the class that the model predicted, by the composite {composite} (signalrp {signalrp.__version__})."
    )
    report.heading("How well do the models tell?")
    report.text("Accuracy on held-out trials; intervals are 95 % bootstrap intervals over people.")
    report.table(tables["accuracy"])

    def add(figure: Figure, name: str, caption: str) -> None:
        file, number = folder / "figures" / f"{name}.png", 1
        # Names that differ only in what no file name takes must not share a file.
        while file.exists():
            number += 1
            file = file.with_name(f"{name}-{number}.png")
        figure.savefig(file, dpi=130)
        report.figure(figure, caption)

    explanations = {name: found.explanation for name, found in findings.items()}
    by_phase = "phases" in tables
    if by_phase:
        _write_signatures(report, task, explanations, people, add)
        report.heading("When in stance?")
        report.table(tables["phases"])
        _write_phase_removal(report, findings, add)
    _write_validation(report, findings, tables, fill, add)
    report.heading("Is a person's relevance the same from trial to trial?")
    report.text(
        "Cosine similarity of the relevance of two trials: of the same person, of two persons, and the difference. "
        "Intervals resample people. Only trials that were recognised."
    )
    if task.group is None:
        report.text(
            "Trials of one person are alike for one reason already: the same output of the model is explained. The "
            "rows 'between, same output' say how alike a person's trials and other people's are when both are "
            "explained for that person's output; what 'within' has over that is the person's."
        )
    report.table(tables["stability"])
    report.heading("How to repeat this")
    report.text(
        f"Seed {seed}. The tables stand beside this page as CSV, the explanations as netCDF "
        "(signalrp.load reads them), the figures as PNG."
    )
    report.save(folder / "report.html")


def _write_signatures(
    report: Report,
    task: Task,
    explanations: Mapping[str, xr.Dataset],
    people: np.ndarray,
    add: Callable[[Figure, str, str], None],
) -> None:
    report.heading("By what is a person recognised?" if task.group is None else "By what is the class recognised?")
    report.text(
        "Every trial that the model got right, over stance, coloured by relevance: red speaks for the predicted class, "
        "blue against it. Triangles mark the most relevant instants of the mean."
    )
    known = {str(person) for data in explanations.values() for person in _recognised(data)["subject"].values}
    if not known:
        report.text("No model recognised a single trial.")
        return
    best = max(explanations, key=lambda name: float((explanations[name].target == explanations[name].label).mean()))
    channels = [str(c) for c in task.signal["channel"].values]
    if task.group is not None:
        for channel in channels:
            figure = _means_by_class(_recognised(explanations[best]), task.classes, channel)
            add(figure, f"mean_{_file_name(channel)}", f"{best}: {channel}, mean and relevance of each class")
        return
    for number, person in enumerate(map(str, people)):
        if number == 3:
            report.open_details(f"The other {len(people) - 3} people")
        if person not in known:
            report.text(f"No model recognised a trial of {person}.")
            continue
        for channel in channels:
            suffix = "" if len(channels) == 1 else f"_{_file_name(channel)}"
            caption = f"{person}, {channel}. {_instants(explanations[best], person, channel, best)}"
            add(plot_signature(explanations, person, channel), f"signature_{_file_name(person)}{suffix}", caption)
    if len(people) > 3:
        report.close_details()
    for channel in channels:
        figure, ax = plt.subplots(layout="constrained", figsize=(9, 0.34 * len(people) + 1.6))
        plot_people(explanations[best], channel, ax)
        add(figure, f"people_{_file_name(channel)}", f"{best}: mean relevance of every person, {channel}")


def _means_by_class(explanation: xr.Dataset, classes: Sequence[str], channel: str) -> Figure:
    """Draw mean signal and mean relevance for every class that was recognised at all, side by side."""
    trials = {name: np.flatnonzero(explanation["label"].values == i) for i, name in enumerate(classes)}
    trials = {name: chosen for name, chosen in trials.items() if len(chosen)}
    figure, axes = plt.subplots(
        2,
        len(trials),
        sharex=True,
        sharey="row",
        squeeze=False,
        height_ratios=(2, 1),
        layout="constrained",
        figsize=(1.5 + 4.6 * len(trials), 4.2),
    )
    parts = {name: explanation.isel(trial=chosen) for name, chosen in trials.items()}
    norm = relevance_norm(*(part["relevance"].sel(channel=channel).mean("trial") for part in parts.values()))
    for column, (name, part) in zip(axes.T, parts.items(), strict=True):
        plot_mean(part, channel=channel, axes=column, norm=norm)
        mark_phases(column[0])
        column[0].set_title(f"{name}, {part.sizes['trial']} trials", pad=20, fontsize="medium")
        if column[0] is not axes[0, 0]:
            column[0].set_ylabel("")
            column[1].set_ylabel("")
    return figure


def _instants(explanation: xr.Dataset, person: str, channel: str, model: str) -> str:
    own = _recognised(explanation)
    own = own.isel(trial=np.flatnonzero(own["subject"].values == person))
    if not own.sizes["trial"]:
        return f"{model} recognised no trial."
    instants = relevant_instants(own["relevance"].sel(channel=channel))
    return f"{model} looks most at {', '.join(f'{i:g}' for i in instants)} % stance." if len(instants) else ""


def _write_phase_removal(
    report: Report, findings: Mapping[str, Findings], add: Callable[[Figure, str, str], None]
) -> None:
    curves = {name: found.phases for name, found in findings.items() if found.phases is not None}
    add(
        _curves_by_model(curves),
        "phase_removal",
        "Accuracy as whole phases of stance are removed.",
    )


def _write_validation(
    report: Report,
    findings: Mapping[str, Findings],
    tables: Mapping[str, pd.DataFrame],
    fill: str,
    add: Callable[[Figure, str, str], None],
) -> None:
    report.heading("Does relevance survive manipulation?")
    report.text(
        "Samples are removed in the order of their relevance for the predicted class, most relevant first (MoRF) or "
        f"least relevant first (LeRF), and filled with: {fill}. Beside it the order by amplitude and random orders. "
        "Relevance that means something makes accuracy fall early (MoRF) and late (LeRF)."
    )
    figure = _curves_by_model({name: found.samples for name, found in findings.items()})
    add(figure, "removal", "Accuracy on held-out trials as samples are removed; bands are 95 % intervals over people.")
    report.text(
        "AOPC: mean fall of the predicted class' output while the most relevant goes first; ABPC: mean difference of "
        "LeRF and MoRF. The gain of relevance over the other orders is tested by flipping signs by person."
    )
    report.table(tables["faithfulness"])


def _curves_by_model(curves: Mapping[str, xr.Dataset]) -> Figure:
    """Draw a panel of manipulation curves for each model, with axis labels and a legend for all."""
    figure, axes = plt.subplots(
        1, len(curves), sharey=True, squeeze=False, layout="constrained", figsize=(2.2 * len(curves) + 2.4, 3.4)
    )
    for ax, (name, data) in zip(axes[0], curves.items(), strict=True):
        plot_perturbation(data, ax)
        ax.set_title(name, fontsize="medium")
        label = ax.get_xlabel()
        ax.set_xlabel("")
        legend = ax.get_legend()
        if ax is not axes[0, 0]:
            ax.set_ylabel("")
        if legend is not None and ax is not axes[0, -1]:
            legend.remove()
    figure.supxlabel(label, fontsize="medium")
    return figure


def _file_name(name: str) -> str:
    """Return what every file system takes; names of people and channels come from the user's files."""
    return re.sub(r"[^\w.-]+", "_", name)


def _recognised(explanation: xr.Dataset) -> xr.Dataset:
    return explanation.isel(trial=np.flatnonzero(explanation["target"].values == explanation["label"].values))
