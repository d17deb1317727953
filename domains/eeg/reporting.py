"""What the study writes: tables, explanations, figures and the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

import signalrp
from signalrp.report import Report
from signalrp.studies import Figures, Say, file_name
from signalrp.validation_report import write_validation

from .findings import Recording, Task
from .pictures import pictures
from .reasons import Limits
from .results import (
    ERROR_COLUMNS,
    accuracy_table,
    artefact_table,
    cluster_tables,
    error_table,
    in_short,
    physiology_table,
    reason_table,
    transfer_tables,
)
from .trial_page import trial_page

_ROWS = 12
"""The most errors that the page lists; all of them are in errors.csv."""


def write(
    folder: Path,
    tasks: Sequence[Task],
    recordings: Sequence[Recording],
    *,
    composite: str,
    count: int,
    pages: int,
    seed: int,
    say: Say,
) -> None:
    """Write everything into a folder that exists."""
    say("writing tables, explanations, figures and the report")
    report = Report(f"{' '.join(task.question for task in tasks)} EEG explained by layer-wise relevance propagation")
    add = Figures(folder, report)
    for recording in recordings:
        for name, data in recording.explanations.items():
            data.to_netcdf(folder / f"explanation_{file_name(f'{recording.title}_{name}')}.nc")
    # A dollar in a name is no formula.
    with plt.rc_context({"text.parse_math": False}):
        _write_accuracy(report, folder, recordings, composite, count)
        for task in tasks:
            own = [recording for recording in recordings if recording.task == task.name]
            _write_task(report, add, folder, task, own, seed)
        _write_errors(report, add, folder, recordings, pages)
        _write_transfer(report, folder, recordings, seed)
        _write_removal(report, add, folder, recordings, seed)
    report.heading("How to repeat this")
    report.text(
        f"Seed {seed}. The tables stand beside this page as CSV, the explanations as netCDF (signalrp.load reads them; "
        "signalrp.domains.eeg.relevance.to_evoked makes MNE objects of them), the figures as PNG."
    )
    report.save(folder / "report.html")


def _write_accuracy(report: Report, folder: Path, recordings: Sequence[Recording], composite: str, count: int) -> None:
    first = next(iter(recordings[0].explanations))
    for recording in recordings:
        signal = recording.signal
        rejected = f" Left out before: {signal.attrs['rejected']}." if signal.attrs.get("rejected") else ""
        report.text(
            f"{recording.title}: {signal.sizes['trial']} trials, {signal.sizes['channel']} electrodes, "
            f"{signal.sizes['time']} instants from {float(signal['time'][0]):.3g} to "
            f"{float(signal['time'][-1]):.3g} s. {count}-fold cross-validation, {recording.splits}.{rejected}"
        )
    report.text(
        f"Scaling is fitted on the training part. All explanations are of held-out trials by the composite {composite} "
        f"(signalrp {signalrp.__version__}); pictures, errors and tests are those of {first}."
    )
    report.heading("In short")
    for recording in recordings:
        report.text(in_short(recording))
    report.heading("How well do the models tell?")
    report.text(
        "Accuracy on held-out trials with 95 % bootstrap intervals over trials, which speak of this recording of this "
        "person alone, beside that of always naming the most frequent class; p of a binomial test against it. erp-lda "
        "decides by amplitudes in windows of 50 ms, csp-lda by power, which evoked responses barely change."
    )
    table = accuracy_table(recordings)
    table.to_csv(folder / "accuracy.csv", index=False)
    report.table(table)


def _write_task(
    report: Report, add: Figures, folder: Path, task: Task, recordings: Sequence[Recording], seed: int
) -> None:
    report.heading(f"{task.question} Where, when, and at which frequencies")
    report.text(
        "Only trials that were classified correctly. Red speaks for the class of the trial, blue against it; the unit "
        "of relevance is that of the model's output."
    )
    for number, recording in enumerate(recordings):
        if number:
            report.open_details(f"The same for {recording.person}")
        else:
            report.text(f"{recording.person[0].upper()}{recording.person[1:]}.")
        for name, figure, caption in pictures(task, recording, seed):
            add(figure, f"{recording.title}_{name}", f"{recording.title}. {caption}")
        if number:
            report.close_details()
    _write_physiology(report, folder, task, recordings, seed)


def _write_physiology(report: Report, folder: Path, task: Task, recordings: Sequence[Recording], seed: int) -> None:
    table = physiology_table(task, recordings)
    if len(table):
        report.heading(f"{task.question} Does the explanation say physiology?")
        sources = {expected.name: expected.source for expected in (*task.expected, *task.lateral) if expected.source}
        report.text(
            "Where a response is known to be, does relevance lie there, more than at as large a place drawn at random? "
            + " ".join(f"{name}: {source}." for name, source in sources.items())
            + " Whatever the numbers are: a model may find something else that tells the classes apart, and relevance "
            "may be negative where the response is, since two classes share it."
        )
        table.to_csv(folder / f"physiology_{file_name(task.name)}.csv", index=False)
        report.table(table)
    if task.name == "presses":
        report.text(
            "Presses answer a checkerboard on the same side, 0.4 s before in the median, so that what remains of the "
            "visual response tells the hand as well: relevance at visual places, and before the press, need not be "
            "about the movement."
        )
    clusters = cluster_tables(task, recordings, seed)
    if not len(clusters):
        report.text(
            "No cluster of electrodes and windows of 25 ms is shown to have more relevance than its trial's mean."
        )
    else:
        report.text(
            "Clusters of electrodes and windows of 25 ms with more relevance than the mean of its trial (cluster "
            "permutation over trials, one-sided, formed at p .001, 500 sign flips, p at most 0.05, the "
            "largest four); expected: the share of the expected places that lie in the cluster. The limits of a "
            "cluster have no p of their own."
        )
        clusters.to_csv(folder / f"clusters_{file_name(task.name)}.csv", index=False)
        report.table(clusters)


def _write_errors(report: Report, add: Figures, folder: Path, recordings: Sequence[Recording], pages: int) -> None:
    report.heading("Why were trials misclassified?")
    for recording in recordings:
        if recording.examination is None:
            report.text(f"{recording.title}: not examined. {recording.missing}")
    errors, reasons = error_table(recordings), reason_table(recordings)
    if not len(reasons):
        return
    counts = [
        f"{recording.title}: {len(recording.examination.errors)} of {recording.signal.sizes['trial']}"
        for recording in recordings if recording.examination is not None
    ]  # fmt: skip
    report.text(
        f"Misclassified trials: {'; '.join(counts)}. How many of them are explained by what, beside correct ones:"
    )
    reasons.to_csv(folder / "reasons.csv", index=False)
    shown = [
        "task",
        "person",
        "reason",
        "errors",
        "correct",
        "share",
        "low",
        "high",
        "base",
        "difference",
        "p_holm",
        "first",
    ]
    report.table(reasons[shown])
    words = "; ".join(f"{name}: {text}" for name, text in _limits(recordings).definitions().items())
    report.text(
        f"Reasons may overlap; first counts every error once. {words}. A reason explains errors as far as it holds for "
        "more of them (share) than of correct trials (base)."
    )
    errors.to_csv(folder / "errors.csv", index=False)
    report.text(
        f"The {min(_ROWS, len(errors))} errors with the most unusual relevance; all are in errors.csv. unusual: "
        "distance of the relevance from the mean of correct trials of the nearer class, as a multiple of the usual "
        "one; electrode and window: what spoke most for the wrong class, robust z against correct trials."
    )
    report.table(errors[ERROR_COLUMNS].head(_ROWS))
    for recording in recordings:
        if recording.examination is None or not pages:
            continue
        chosen = recording.examination.errors.index[:pages]
        report.open_details(f"{recording.title}: pages of the {len(chosen)} most unusual errors")
        for trial in chosen:
            figure = trial_page(recording.examination, trial)
            add(figure, f"{recording.title}_trial_{trial}", f"{recording.title}, trial {trial}")
        report.close_details()


def _limits(recordings: Sequence[Recording]) -> Limits:
    return next(recording.examination.limits for recording in recordings if recording.examination is not None)


def _write_transfer(report: Report, folder: Path, recordings: Sequence[Recording], seed: int) -> None:
    accuracy, similarity = transfer_tables(recordings, seed)
    if not len(accuracy):
        return
    report.heading("Does it carry over to another person?")
    report.text(
        "Models trained on one person, tested on their own held-out trials and on the other person's, electrodes "
        "matched by name and scaled within each person. Similarity: cosine of the mean maps of a class in either "
        "person, freed of noise (1: the same map); other classes: that with the maps of the other classes, which is "
        "what all maps of these models have in common. Intervals are over trials of these two people."
    )
    accuracy.to_csv(folder / "transfer_accuracy.csv", index=False)
    similarity.to_csv(folder / "transfer_similarity.csv", index=False)
    report.table(accuracy)
    report.table(similarity)


def _titled(add: Figures, title: str) -> Callable[[Figure, str], None]:
    return lambda figure, caption: add(figure, f"{title}_removal", f"{title}. {caption}")


def _write_removal(report: Report, add: Figures, folder: Path, recordings: Sequence[Recording], seed: int) -> None:
    report.heading("Does the model need what the relevance marks?")
    report.text(
        "Electrodes, windows of 50 ms and frequency bands are removed in the order of their relevance for the "
        "predicted class and at random, filled with the mean of the training trials. Accuracy that falls earlier "
        "than at random says that the model needs them."
    )
    scores = []
    for number, recording in enumerate(recordings):
        if number:
            report.open_details(f"{recording.title}: the same")
        else:
            report.text(f"{recording.title}.")
        table = write_validation(
            report,
            {what: data.drop_vars("subject", errors="ignore") for what, data in recording.curves.items()},
            checks={"electrodes": recording.checks},
            heading=None,
            seed=seed,
            figure=_titled(add, recording.title),
        )
        scores.append(table.rename(columns={"curves": "removed"}).assign(task=recording.task, person=recording.person))
        if number:
            report.close_details()
    pd.concat(scores, ignore_index=True).to_csv(folder / "faithfulness.csv", index=False)
    table = artefact_table(recordings, seed)
    if len(table):
        report.text(
            "Artefacts taken out of the trials that have some (blinks, muscle, movements, pops, see the pages above), "
            "beside as many samples taken out of the same trials elsewhere. Were the model to lean on artefacts, their "
            "share of relevance would be far above that of samples, and accuracy would change without them."
        )
        table.to_csv(folder / "artefacts.csv", index=False)
        report.table(table)
