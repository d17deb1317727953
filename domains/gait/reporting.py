"""What the study writes: tables, explanations, figures and the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

import signalrp
from signalrp.plotting import plot_curves
from signalrp.report import Report
from signalrp.studies import Figures
from signalrp.validation import summary
from signalrp.validation.conclusion import conclude
from signalrp.validation_report import write_validation

from .findings import Findings, Task, recognised
from .plots import plot_classes, plot_people, plot_signature, relevant_instants
from .results import (
    accuracy_table,
    curve_table,
    phase_table,
    stability_table,
)


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
    if "comment" in signal.attrs:
        report.text(f"Note on the data: {signal.attrs['comment']}.")
    report.heading("How well do the models tell?")
    report.text("Accuracy on held-out trials; intervals are 95 % bootstrap intervals over people.")
    report.table(tables["accuracy"])

    add = Figures(folder, report)
    explanations = {name: found.explanation for name, found in findings.items()}
    by_phase = "phases" in tables
    if by_phase and task.group is None:
        _write_signatures(report, task, explanations, people, add)
    else:
        _write_classes(report, task, explanations, add)
    if by_phase:
        report.heading("When in stance?")
        report.table(tables["phases"])
        _write_phase_removal(report, findings, add)
    _write_validation(report, findings, fill, folder, add)
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
    add: Figures,
) -> None:
    report.heading("By what is a person recognised?")
    report.text(
        "Every trial that the model got right, over stance, coloured by relevance: red speaks for the predicted class, "
        "blue against it. Triangles mark the most relevant instants of the mean."
    )
    known = {str(person) for data in explanations.values() for person in recognised(data)["subject"].values}
    if not known:
        report.text("No model recognised a single trial.")
        return
    best = _best(explanations)
    channels = [str(c) for c in task.signal["channel"].values]
    for number, person in enumerate(map(str, people)):
        if number == 3:
            report.open_details(f"The other {len(people) - 3} people")
        if person not in known:
            report.text(f"No model recognised a trial of {person}.")
            continue
        for channel in channels:
            suffix = "" if len(channels) == 1 else f"_{channel}"
            caption = f"{person}, {channel}. {_instants(explanations[best], person, channel, best)}"
            add(plot_signature(explanations, person, channel), f"signature_{person}{suffix}", caption)
    if len(people) > 3:
        report.close_details()
    for channel in channels:
        figure, ax = plt.subplots(layout="constrained", figsize=(9, 0.34 * len(people) + 1.6))
        plot_people(explanations[best], channel, ax)
        add(figure, f"people_{channel}", f"{best}: mean relevance of every person, {channel}")


def _write_classes(report: Report, task: Task, explanations: Mapping[str, xr.Dataset], add: Figures) -> None:
    report.heading("By what is a class recognised?")
    best = _best(explanations)
    known = recognised(explanations[best])
    if not known.sizes["trial"]:
        report.text("No model recognised a single trial.")
        return
    report.text("Mean signal and mean relevance of the trials that the model got right: red speaks for the class.")
    for channel in map(str, task.signal["channel"].values):
        figure = plot_classes(known, task.classes, channel)
        add(figure, f"mean_{channel}", f"{best}: {channel}, mean and relevance of each class")


def _best(explanations: Mapping[str, xr.Dataset]) -> str:
    """Return the model with the highest accuracy."""
    return max(explanations, key=lambda name: float((explanations[name].target == explanations[name].label).mean()))


def _instants(explanation: xr.Dataset, person: str, channel: str, model: str) -> str:
    own = recognised(explanation)
    own = own.isel(trial=np.flatnonzero(own["subject"].values == person))
    if not own.sizes["trial"]:
        return f"{model} recognised no trial."
    instants = relevant_instants(own["relevance"].sel(channel=channel))
    return f"{model} looks most at {', '.join(f'{i:g}' for i in instants)} % stance." if len(instants) else ""


def _write_phase_removal(report: Report, findings: Mapping[str, Findings], add: Figures) -> None:
    curves = {name: found.phases for name, found in findings.items() if found.phases is not None}
    add(
        cast("Figure", plot_curves(curves)[0].figure),
        "phase_removal",
        "Accuracy as whole phases of stance are removed.",
    )
    report.open_details("What this supports, model by model")
    for name, data in curves.items():
        report.text(f"{name}: {conclude(data).supports}")
    report.close_details()


def _write_validation(
    report: Report,
    findings: Mapping[str, Findings],
    fill: str,
    folder: Path,
    add: Figures,
) -> None:
    report.heading("Does the model need what the relevance marks?")
    report.text(
        "Samples are removed in the order of their relevance for the predicted class, highest first or lowest first, "
        f"and filled with: {fill}. Beside it the order by amplitude and random orders. Relevance that means something "
        "makes accuracy fall early when the highest go first, and late when the lowest go first."
    )
    scores = write_validation(
        report,
        {name: found.samples for name, found in findings.items()},
        checks={name: found.checks for name, found in findings.items()},
        heading=None,
        figure=lambda figure, caption: add(figure, "removal", caption),
    )
    if any(found.checks for found in findings.values()):
        report.text("These checks are of the held-out trials of the first fold.")
    scores.rename(columns={"curves": "model"}).to_csv(folder / "faithfulness.csv", index=False)
