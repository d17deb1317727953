"""The studies of the command ``signalrp``: the main job of each field, from end to end."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer


def group(text: str, **options: Any) -> typer.Typer:
    """Return a group of commands that share their looks."""
    settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
    return typer.Typer(
        help=text,
        context_settings=settings,
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        **options,
    )


study = group(
    """Run the main job of a field: data, models, explanation, validation, pictures, report.

    \b
    Example:
      signalrp study gait
    """
)


@study.command("gait", short_help="Who is walking, and what in the gait gives it away?")
def study_gait(
    dataset: Annotated[str, typer.Option("--data", metavar="DATA", help="The data to study, see above.")] = "speedgrf",
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help="A model, see above; repeat it for several.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the results go.")] = Path("runs/gait"),
    folds: Annotated[int, typer.Option("--folds", metavar="K", min=2, help="Folds of the cross-validation.")] = 10,
    composite: Annotated[
        str, typer.Option("--composite", metavar="NAME", help="Rules of the explanation, see above.")
    ] = "epsilon",
    fill: Annotated[
        str,
        typer.Option(
            "--fill",
            metavar="NAME",
            help="What replaces removed samples: mean, zero, interpolate, noisy-linear, noise, uniform, "
            "spectrum-surrogate or trial-swap.",
        ),
    ] = "mean",
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of folds, weights and random orders.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FOLDER if it exists.")] = False,
) -> None:
    """Who is walking, and what in the gait gives it away?

    Trains every model by cross-validation, explains the held-out trials, tests the explanations by removing
    what they call relevant, and writes a report. Progress goes to standard error, the path of the report to
    standard output. An existing FOLDER is left alone unless --overwrite is given, and nothing appears in it
    before all is done.

    \b
    DATA is one of:
      speedgrf             ground reaction forces of ten people, fetched (8.5 MB): who is walking?
      clinical-grf=PATH    the clinical set in the folder PATH: healthy or injured?
      PATH                 your own trials, a tidy CSV file: one row per instant, with the columns trial,
                           subject, channel, time, value and, unless the person is the class, label; a column
                           time_unit with "% stance" in it brings the figures over stance

    \b
    Models: linear, svm, mlp, cnn-a, cnn-c3, cnn1d-c8. Without --model all but the last.

    \b
    Rules: epsilon, epsilon-plus, epsilon-plus-flat, epsilon-alpha2-beta1, epsilon-alpha2-beta1-flat,
    deep-taylor, excitation-backprop, cp-lrp, attnlrp, mamba-lrp.

    \b
    Results in FOLDER:
      report.html          everything on one page that needs no other file
      explanation_*.nc     signals and relevance of every held-out trial, a file per model (netCDF)
      *.csv                the tables of the report: accuracy, manipulation curves, stability, phases
      figures/             the figures as PNG

    \b
    Examples:
      signalrp study gait
      signalrp study gait --model linear --model cnn-a --folds 5 --out runs/quick
      signalrp study gait --data my_trials.csv --out runs/mine --seed 1

    \b
    Exit codes:
      0  done
      1  it could not be done; one line on standard error says why
      2  the command line was not understood
    """  # noqa: D301 - the command line reads this backspace as: keep the lines
    _run_study(
        "gait", data=dataset, models=model, out=out, count=folds, composite=composite, fill=fill, seed=seed,
        overwrite=overwrite,
    )  # fmt: skip


@study.command("eeg", short_help="What tells the trials of a person apart, and why was one misclassified?")
def study_eeg(
    dataset: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="DATA", help="A task or file, see above; repeat it.", show_default=False),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help="A model, see above; repeat it for several.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the results go.")] = Path("runs/eeg"),
    folds: Annotated[int, typer.Option("--folds", metavar="K", min=2, help="Folds within every person.")] = 5,
    composite: Annotated[
        str, typer.Option("--composite", metavar="NAME", help="Rules of the explanation, see above.")
    ] = "epsilon",
    pages: Annotated[
        int, typer.Option("--pages", metavar="N", min=0, help="Pages of misclassified trials for each recording.")
    ] = 4,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of folds, weights and random orders.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FOLDER if it exists.")] = False,
) -> None:
    """What tells the trials of a person apart, and why was a trial misclassified?

    Trains every model by cross-validation within each person, explains the held-out trials, examines the errors,
    asks whether relevance lies where the response is known to be, tries the models on the other people, removes
    electrodes, windows, frequency bands and artefacts, and writes a report. Progress goes to standard error, the
    path of the report to standard output. An existing FOLDER is left alone unless --overwrite is given, and
    nothing appears in it before all is done.

    \b
    DATA is one of:
      faces, presses, checkerboards   128 electrodes, two people, fetched (50 MB); without --data the first two
      ssvep=FOLDER                    steady-state responses of a headband, the folder of muse-headband; with
                                      --model shallow-convnet, for deep4 is at chance there
      PATH                            your own epochs: .fif or .set as MNE writes and reads them, or .npz; the
                                      metadata column subject tells people apart, run or session what must stay
                                      together

    \b
    Models: deep4, shallow-convnet, eegnet, sturm, erp-lda, csp-lda. The first is examined, the others are shown
    beside it; without --model deep4, erp-lda and csp-lda.

    \b
    Rules: epsilon, epsilon-plus, epsilon-plus-flat, epsilon-alpha2-beta1, epsilon-alpha2-beta1-flat,
    deep-taylor, excitation-backprop, cp-lrp, attnlrp, mamba-lrp.

    \b
    Results in FOLDER:
      report.html          everything on one page that needs no other file
      explanation_*.nc     signals and relevance of every held-out trial, a file per person and model (netCDF)
      *.csv                the tables of the report; errors.csv has every misclassified trial
      figures/             the figures as PNG

    \b
    Examples:
      signalrp study eeg
      signalrp study eeg --data faces --model shallow-convnet --pages 20 --out runs/faces
      signalrp study eeg --data mine-epo.fif --model eegnet --model erp-lda --out runs/mine

    \b
    Exit codes:
      0  done
      1  it could not be done; one line on standard error says why
      2  the command line was not understood
    """  # noqa: D301 - the command line reads this backspace as: keep the lines
    _run_study(
        "eeg", data=dataset, models=model, out=out, composite=composite, count=folds, pages=pages, seed=seed,
        overwrite=overwrite,
    )  # fmt: skip


@study.command("audio", short_help="What does a classifier hear, when, at which frequencies, and does it need it?")
def study_audio(
    dataset: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="DATA", help="A task or folder, see above; repeat it.", show_default=False),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help="A net, see above; repeat it for several.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the results go.")] = Path("runs/audio"),
    folds: Annotated[int, typer.Option("--folds", metavar="K", min=2, help="Folds of your own clips.")] = 4,
    clips: Annotated[
        int, typer.Option("--clips", metavar="N", min=10, help="Held-out clips of each task that are explained.")
    ] = 300,
    speakers: Annotated[
        bool, typer.Option("--speakers", help="Names of your files begin with the speaker, up to the first underscore.")
    ] = False,
    composite: Annotated[
        str, typer.Option("--composite", metavar="NAME", help="Rules of the explanation, see above.")
    ] = "epsilon",
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of folds, weights and random orders.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FOLDER if it exists.")] = False,
) -> None:
    """What does a classifier hear, when, at which frequencies, and does it need it?

    Explains nets on waveforms and on spectrograms in clips that they were not trained on, masks what they call
    relevant, asks whether that is the voice's harmonics, lets it be heard, compares two nets, and writes a report.
    Progress goes to standard error, the path of the report to standard output. An existing FOLDER is left alone
    unless --overwrite is given, and nothing appears in it before all is done.

    \b
    DATA is one of:
      digit, speaker   which digit is said, or who says it (Free Spoken Digit Dataset, fetched); without --data
                       both. Where the set is not to be had, the pitch net CREPE alone is studied, on two words
                       from a Python package
      PATH             your own clips: a folder with one subfolder of .wav files per class

    \b
    Models: raw-small, spectrogram-small, crnn, audionet. raw-small and audionet take waveforms, the others
    spectrograms; without --model raw-small, spectrogram-small and crnn.

    \b
    Rules: epsilon, epsilon-plus, epsilon-plus-flat, epsilon-alpha2-beta1, epsilon-alpha2-beta1-flat,
    deep-taylor, excitation-backprop, cp-lrp, attnlrp, mamba-lrp.

    \b
    Results in FOLDER:
      report.html          everything on one page that needs no other file, sound included
      explanation_*.nc     clips and relevance, a file per task and net (netCDF)
      *.csv                the tables of the report
      figures/, sound/     the figures as PNG, the sound as WAV

    \b
    Examples:
      signalrp study audio
      signalrp study audio --data digit --model crnn --clips 60 --out runs/digits
      signalrp study audio --data my_clips --speakers --out runs/mine

    \b
    Exit codes:
      0  done
      1  it could not be done; one line on standard error says why
      2  the command line was not understood
    """  # noqa: D301 - the command line reads this backspace as: keep the lines
    _run_study(
        "audio", data=dataset, models=model, out=out, composite=composite, count=folds, clips=clips, speaker=speakers,
        seed=seed, overwrite=overwrite,
    )  # fmt: skip


@study.command("video", short_help="Which frames and which place does a net look at, and does the border count?")
def study_video(
    dataset: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="DATA", help="A task or folder, see above; repeat it.", show_default=False),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help="A net, see above; repeat it for several.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the results go.")] = Path("runs/video"),
    folds: Annotated[int, typer.Option("--folds", metavar="K", min=2, help="Folds of your own clips.")] = 4,
    clips: Annotated[
        int, typer.Option("--clips", metavar="N", min=10, help="Held-out clips of each task that are explained.")
    ] = 60,
    cuts: Annotated[
        int, typer.Option("--cuts", metavar="N", min=0, help="Splices on which TransNet V2 is explained.")
    ] = 16,
    composite: Annotated[
        str, typer.Option("--composite", metavar="NAME", help="Rules of the explanation, see above.")
    ] = "epsilon-plus",
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of clips, folds and random orders.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FOLDER if it exists.")] = False,
) -> None:
    """Which frames and which place does a net look at, and does the border of the clip count too much?

    Explains nets in clips that they were not trained on, frame by frame and place by place, beside what moves;
    asks whether the first and last frames count too much and whether fast forward helps; compares with the true
    place and moment; freezes, drops, blurs and swaps frames; explains a published net at cuts; and writes a report
    with films. Progress goes to standard error, the path of the report to standard output. An existing FOLDER is
    left alone unless --overwrite is given, and nothing appears in it before all is done.

    \b
    DATA is one of:
      moving-digits   handwritten digits that move in front of real video (semi-synthetic; the background is
                      fetched, 2 MB); the default
      PATH            your own clips: a folder with one subfolder of video files per class

    \b
    Models: c3d, r2plus1d-18, small-3d, cnn-lstm, timesformer, small-3d-even, small-3d-border. The last two are
    for moving digits. Without --model small-3d, cnn-lstm, timesformer, small-3d-even and small-3d-border.

    \b
    Rules: epsilon, epsilon-plus, epsilon-plus-flat, epsilon-alpha2-beta1, epsilon-alpha2-beta1-flat,
    deep-taylor, excitation-backprop, cp-lrp, attnlrp, mamba-lrp.

    \b
    Results in FOLDER:
      report.html          everything on one page that needs no other file, films included
      explanation_*.nc     clips and relevance, a file per task and net (netCDF)
      *.csv                the tables of the report
      figures/, films/     the figures as PNG, the films as MP4 and GIF

    \b
    Examples:
      signalrp study video
      signalrp study video --model small-3d --cuts 0 --out runs/quick
      signalrp study video --data my_clips --model small-3d --cuts 0 --out runs/mine

    \b
    Exit codes:
      0  done
      1  it could not be done; one line on standard error says why
      2  the command line was not understood
    """  # noqa: D301 - the command line reads this backspace as: keep the lines
    _run_study(
        "video", data=dataset, models=model, out=out, composite=composite, count=folds, clips=clips, cuts=cuts,
        seed=seed, overwrite=overwrite,
    )  # fmt: skip


def _run_study(field: str, **options: Any) -> None:
    """Run the study of a field with the options that were given, and print where its report is."""
    # Domains are met by name, here at the topmost room: nothing below may import them.
    run = importlib.import_module(f"signalrp.domains.{field}.study").run
    given = {name: value for name, value in options.items() if value is not None}
    typer.echo(str(run(**given, say=partial(typer.echo, err=True))))
