"""A benchmark of signals whose causes are known: what tells two classes apart was put there, and where.

`make` returns trials of noise as biosignals have it (1/f or autoregressive, mixed across channels, with line noise
and drift) that hold a cause, which differs between two classes, and a distractor, twice as large, which does not.
`causes` lists what there is. `learn` trains a small net and says how well it tells the classes of subjects that it
has not seen. `signalrp.validation.localisation_table` then compares relevance with the truth.

What the truth means: it is where the cause *is*. A net may well use more. Channels that tell what the noise is where
the cause is help it (Haufe et al. 2014, doi:10.1016/j.neuroimage.2013.10.067); each subject therefore mixes its noise
in its own way, and nets are tried on other subjects than they were trained on. And what is there in every trial, such
as a distractor, may serve as a bias. A method that says so is right and scores low. The same seed with
``distractors=False``, or ``signal - cause``, shows what a net makes of each part.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn

from signalrp.training import fit_classifier
from signalrp.validation.synthetic.generators import CAUSES, ELECTRODES, SIGNAL, Trials
from signalrp.validation.synthetic.noise import BACKGROUNDS, Background, background

_DISTRACTION = 6.0
_SLOWEST = 120.0


def causes() -> pd.DataFrame:
    """What `make` can plant.

    Returns
    -------
    pandas.DataFrame
        One row per cause, with the columns ``classes``, what tells them apart; ``known``, in which dimensions the
        truth is stated; ``otherwise``, why nothing else tells them apart; ``distractor``; and ``snr``, in dB.
    """
    columns = ("classes", "known", "otherwise", "distractor", "snr")
    rows = {name: [getattr(cause, column) for column in columns] for name, cause in CAUSES.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(columns)).rename_axis("cause")


def make(
    cause: str,
    trials: int = 2400,
    *,
    seed: int = 0,
    snr: float | None = None,
    subjects: int = 12,
    samples: int = 256,
    rate: float = 128.0,
    noise: Background = "pink",
    distractors: bool = True,
) -> xr.Dataset:
    """Signals of two classes with a known cause.

    Parameters
    ----------
    cause
        ``"transients"``, ``"frequencies"``, ``"delays"``, ``"coupling"`` or ``"sources"``; see `causes`.
    trials
        Number of trials, as many of either class as the other, give or take one.
    seed
        Of everything random.
    snr
        Mean square of the cause over the time that it lasts, in the channel where it is strongest, over the
        variance of the background, in dB. By default that of `causes`. The distractor has 6 dB more.
    subjects
        Number of subjects; each mixes the noise in its own way and has trials of both classes.
    samples
        Length of a trial, at least a second.
    rate
        Samples per second, above 120.
    noise
        ``"pink"``, power falling as 1/f, or ``"ar"``, autoregressive of the first order with coefficient 0.9.
    distractors
        Whether to put in the distractor.

    Returns
    -------
    xarray.Dataset
        ``signal`` (trial, channel, time), in standard deviations of the background, with the coordinates
        ``label`` and ``subject`` (trial) and ``time`` in seconds. ``cause``, of the same dimensions: what was
        added because of the class, so that ``signal - cause`` tells nothing of it. ``truth``: boolean, where the
        cause is, in those of these dimensions in which it is known. For frequencies and coupling also
        ``truth_frequency``, in those of (trial, channel, frequency), for relevance seen through
        ``signalrp.inspection.DFT``. For sources, the coordinates ``x`` and ``y`` (channel) are the places of the
        electrodes. The attributes hold the entries of `causes`.

    Raises
    ------
    ValueError
        If the cause or the noise is unknown, or trials are too few, too short or sampled too slowly.
    """
    if cause not in CAUSES:
        raise ValueError(f"Cause {cause!r} is unknown; choose one of {', '.join(CAUSES)}.")
    if noise not in BACKGROUNDS:
        raise ValueError(f"Noise {noise!r} is unknown; choose one of {', '.join(BACKGROUNDS)}.")
    if subjects < 2 or trials < 2 * subjects:
        raise ValueError(f"Found {trials} trials of {subjects} subjects; expected two subjects, two trials each.")
    if rate <= _SLOWEST or samples < rate:
        raise ValueError(
            f"Found {samples} samples at {rate:g} per second; expected a second at least and more than "
            f"{_SLOWEST:g} per second."
        )
    chosen = CAUSES[cause]
    strength = chosen.snr if snr is None else float(snr)
    rng = np.random.default_rng([seed, list(CAUSES).index(cause)])
    order = rng.permutation(trials)
    label, subject = order % 2, order // 2 % subjects
    planted = chosen.plant(Trials(rng, label, chosen.channels, samples, rate))
    added = 10 ** (strength / 20) * planted.cause
    signal = background(rng, subject, len(chosen.channels), samples, rate, noise) + added
    if distractors:
        signal += 10 ** ((strength + _DISTRACTION) / 20) * planted.distractor
    units = {"units": "sd of the background"}
    coords = {
        "trial": np.arange(trials),
        "channel": np.array(chosen.channels),
        "time": ("time", np.arange(samples) / rate, {"units": "s"}),
        "label": ("trial", label),
        "subject": ("trial", np.array([f"S{number + 1:02d}" for number in subject])),
    }
    variables = {
        "signal": (SIGNAL, signal.astype(np.float32), units),
        "cause": (SIGNAL, added.astype(np.float32), units),
        "truth": planted.truth,
    }
    if planted.frequency is not None:
        variables["truth_frequency"] = planted.frequency
        coords["frequency"] = ("frequency", np.fft.rfftfreq(samples, 1 / rate), {"units": "Hz"})
    if cause == "sources":
        places = np.array(list(ELECTRODES.values()))
        coords |= {"x": ("channel", places[:, 0]), "y": ("channel", places[:, 1])}
    attributes = {
        "name": cause,
        "snr": strength,
        "noise": noise,
        "seed": seed,
        **{key: getattr(chosen, key) for key in ("classes", "known", "otherwise")},
        "distractor": chosen.distractor if distractors else "none",
    }
    return xr.Dataset(variables, coords, attributes)


class Learned(NamedTuple):
    """A net that has learnt a cause.

    Attributes
    ----------
    model
        The net, in evaluation mode: (trial, channel, time) in, (trial, class) out.
    accuracy
        On the trials held out, 0 to 1; chance is 0.5.
    without
        The same with the cause taken out of these trials: what the net knows from anything else.
    train, test
        The trials that it was trained on and those held out, of other subjects.
    """

    model: nn.Module
    accuracy: float
    without: float
    train: xr.Dataset
    test: xr.Dataset


def network(channels: int) -> nn.Sequential:
    """Small convolutional net: two layers of 16 filters with ReLU, pooled in between, averaged over time.

    Its two outputs are each other's negative, and training keeps them so: softmax ignores what outputs have in
    common, and explanations of a single output do not.
    """
    last = nn.Linear(16, 2)
    with torch.no_grad():
        last.weight.sub_(last.weight.mean(0))
        last.bias.sub_(last.bias.mean())
    return nn.Sequential(
        nn.Conv1d(channels, 16, 17, padding=8),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(16, 16, 9, padding=4),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        last,
    )


def learn(
    data: xr.Dataset, *, seed: int = 0, model: nn.Module | None = None, epochs: int = 20, minimum: float = 0.9
) -> Learned:
    """Train a net on two thirds of the subjects and try it on the others.

    Parameters
    ----------
    data
        From `make`.
    seed
        Of the net's first weights and of the order of the trials.
    model
        The net to train, in place; by default a new `network`.
    epochs
        Passes over the trials.
    minimum
        Accuracy on the trials held out below which the net has not learnt the cause. Where relevance lies then
        says nothing about a method, so that no net is returned.

    Raises
    ------
    ValueError
        If the accuracy is below the minimum.
    """
    names = np.unique(data["subject"].values)
    held_out = np.isin(data["subject"].values, names[-max(1, round(len(names) / 3)) :])
    train, test = data.isel(trial=~held_out), data.isel(trial=held_out)
    if model is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = network(data.sizes["channel"])
    x, y = _tensor(train["signal"]), _tensor(train["label"])
    fit_classifier(model, x, y, epochs=epochs, learning_rate=3e-3, weight_decay=1e-2, seed=seed)
    accuracy = _accuracy(model, test["signal"], test["label"])
    if accuracy < minimum:
        name = data.attrs.get("name", "the data")
        raise ValueError(
            f"The net tells the classes of {name} with accuracy {accuracy:.0%}, less than the {minimum:.0%} asked for, "
            "so it has not learnt the cause; give more trials, more epochs or a higher snr."
        )
    without = _accuracy(model, test["signal"] - test["cause"], test["label"])
    return Learned(model, accuracy, without, train, test)


def _tensor(values: xr.DataArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values.values))


def _accuracy(model: nn.Module, signal: xr.DataArray, label: xr.DataArray) -> float:
    with torch.no_grad():
        correct = model(_tensor(signal)).argmax(1) == _tensor(label)
    return float(correct.double().mean())
