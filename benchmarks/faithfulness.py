"""Which method finds what: every method of signalrp on every cause of the synthetic benchmark.

For each cause and each seed, data are made and a small net is trained that tells the classes of other people's trials
with an accuracy of at least 0.9 (`signalrp.validation.synthetic`). Then, for every method of `signalrp.methods()`, on
held-out trials that the net gets right, relevance of the predicted class (the two outputs of these nets are each
other's negative, so that its output is half the log odds):

localisation
    Relevance mass accuracy, relevance rank accuracy and pointing game against the place where the cause was put, in
    the signal's own dimensions ("signal"); where the cause is known in frequency also through the discrete Fourier
    transform ("DFT"): the method then explains the net behind the inverse transform.
faithfulness
    Perturbation curves: pieces (channel × 1/16 s; in frequency, channel × 2 Hz) are replaced by the mean of the
    training trials, highest relevance first and lowest first. "accuracy left" is the area under the accuracy curve,
    highest first, over 0 to 50 % removed (lower is better); "ABPC" the area between the curves of the predicted
    output, and "AOPC" the area over it, highest first, both in units of the net's mean output (higher is better).

Methods run with their default options. What they take besides: bounds of the signal are the smallest and the largest
value of the training trials, which are the reference data too. Left out are cp-lrp, attnlrp and mamba-lrp: they differ
from epsilon only in attention and state spaces, which these nets have not. pattern-net and pattern-attribution know
patterns of the net's own layers alone and are not defined behind a transform ("–").

± is half the 95 % interval of a bootstrap over seeds, each with data, subjects and a net of its own (over subjects
where there is one seed only); with few seeds it is somewhat too narrow. "chance" is the mask's share of the trial.
Trials where a method has no relevance above 0 count as missed; the column "nowhere" of the CSV file is their share.
Bold: the best of its column. Italics: the interval reaches chance.
Run: ``python benchmarks/faithfulness.py [--quick] [--seeds N] [--cause NAME ...] [--out FILE.csv]``.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import nn

import signalrp
from signalrp.baselines import explain_with
from signalrp.inspection import DFT, gather
from signalrp.validation import abpc, aopc, area_under_accuracy, bootstrap_interval, perturbation_curves, synthetic
from signalrp.validation.localisation import mass_accuracy, pointing_game, rank_accuracy

ONLY_WITH_ATTENTION = ("cp-lrp", "attnlrp", "mamba-lrp")
ONLY_IN_SIGNAL = ("pattern-net", "pattern-attribution")
LOCALISATION: dict[str, Callable[[xr.Dataset, xr.DataArray], xr.DataArray]] = {
    "mass": mass_accuracy,
    "rank": rank_accuracy,
    "pointing": pointing_game,
}
FAITHFULNESS = ("accuracy left", "ABPC", "AOPC")
LOWER_IS_BETTER = ("accuracy left",)
PIECE_SECONDS, PIECE_HERTZ = 1 / 16, 2.0


@dataclass
class View:
    """A net and its held-out trials in one basis, and where the cause is there."""

    name: str
    model: nn.Module
    trials: xr.DataArray
    reference: xr.DataArray
    truth: xr.DataArray
    pieces: xr.DataArray
    seen: Callable[[xr.Dataset], xr.Dataset]


def views(learned: synthetic.Learned, test: xr.Dataset) -> Iterator[View]:
    """Yield the views in which the truth is stated."""
    signal = test["signal"]
    yield View(
        "signal",
        learned.model,
        signal,
        learned.train["signal"],
        test["truth"],
        pieces(signal["channel"], signal["time"], PIECE_SECONDS),
        lambda explanation: explanation,
    )
    if "truth_frequency" in test:
        bound = DFT().bind(signal)
        yield View(
            "DFT",
            bound.in_front_of(learned.model),
            bound.coefficients(signal),
            bound.coefficients(learned.train["signal"]),
            test["truth_frequency"],
            pieces(signal["channel"], test["frequency"], PIECE_HERTZ),
            lambda explanation: gather(explanation, bound),
        )


def pieces(channel: xr.DataArray, along: xr.DataArray, width: float) -> xr.DataArray:
    """Labels (channel, time or frequency) of pieces of some width in every channel."""
    number = np.floor(along / width + 1e-9).astype(int)
    first = xr.DataArray(np.arange(len(channel)) * (int(number.max()) + 1), coords={"channel": channel.values})
    return first + number


def explained(
    view: View, learned: synthetic.Learned, methods: list[str], seed: int
) -> Iterator[tuple[str, xr.Dataset]]:
    """Yield what each method says, in the dimensions of the truth."""
    low, high = (float(found(learned.train["signal"])) for found in (np.min, np.max))
    for method in methods:
        if view.name != "signal" and method in ONLY_IN_SIGNAL:
            continue
        options = {"low": low, "high": high} if method == "epsilon-gamma-box" else {}
        if method == "occlusion" and view.name != "signal":
            options["segments"] = view.pieces
        explanation = explain_with(
            method, view.model, view.trials, reference=view.reference, seed=seed, batch_size=256, **options
        )
        yield method, view.seen(explanation)


def located(explanation: xr.Dataset, truth: xr.DataArray) -> dict[str, np.ndarray]:
    """Localisation of every trial, and whether it has no relevance above 0, so that nothing is found."""
    dims = [dim for dim in explanation["relevance"].dims if dim != "trial"]
    points = (explanation["relevance"] > 0).any(dims).values
    scores = {name: np.zeros(len(points)) for name in LOCALISATION}
    if points.any():
        own = truth.isel(trial=points) if "trial" in truth.dims else truth
        for name, score in LOCALISATION.items():
            scores[name][points] = score(explanation.isel(trial=points), own).values
    return {**scores, "nowhere": ~points}


def faithful(
    view: View, learned: synthetic.Learned, found: dict[str, xr.Dataset], seed: int
) -> dict[str, xr.DataArray]:
    """Areas (order, trial) of the perturbation curves of all methods."""
    first = next(iter(found.values()))
    orders = {name: explanation["relevance"].values for name, explanation in found.items()}
    curves = perturbation_curves(
        learned.model,
        first,
        orders=orders,
        segments=view.pieces,
        fractions=(0.02, 0.05, 0.1, 0.2, 0.3, 0.5),
        reference=learned.train["signal"],
        basis=None if view.name == "signal" else DFT(),
        seed=seed,
    )
    mean = float(curves["initial_output"].mean())
    return {
        "accuracy left": area_under_accuracy(curves).sel(direction="morf"),
        "ABPC": abpc(curves) / mean,
        "AOPC": aopc(curves).sel(direction="morf") / mean,
    }


def one_seed(cause: str, seed: int, trials: int, methods: list[str]) -> tuple[list[pd.DataFrame], dict[str, object]]:
    """Return the scores of every trial by every method, and what the net has learnt."""
    learned = synthetic.learn(synthetic.make(cause, seed=seed), seed=seed)
    with torch.no_grad():
        said = learned.model(torch.from_numpy(learned.test["signal"].values)).argmax(1).numpy()
    right = np.flatnonzero(said == learned.test["label"].values)[:trials]
    test = learned.test.isel(trial=right)
    parts = []
    for view in views(learned, test):
        found = dict(explained(view, learned, methods, seed))
        areas = faithful(view, learned, found, seed)
        share = view.truth.mean([dim for dim in view.truth.dims if dim != "trial"]).values
        for method, explanation in found.items():
            scores = located(explanation, view.truth)
            scores |= {name: areas[name].sel(order=method).values for name in FAITHFULNESS}
            part = pd.DataFrame({**scores, "chance": share, "subject": test["subject"].values})
            parts.append(part.assign(cause=cause, view=view.name, method=method, seed=seed))
    net = {"cause": cause, "seed": seed, "accuracy": learned.accuracy, "without the cause": learned.without}
    return parts, net


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """Return mean, interval and range over seeds of every cause, view, method and criterion."""
    rows = []
    criteria = [*LOCALISATION, *FAITHFULNESS]
    for (cause, view, method), part in scores.groupby(["cause", "view", "method"], sort=False):
        by_seed = part.groupby("seed")[criteria].mean()
        cluster = part["seed" if len(by_seed) > 1 else "subject"].to_numpy()
        interval = bootstrap_interval(part[criteria].to_numpy(), cluster)
        for number, name in enumerate(criteria):
            rows.append(
                {
                    "cause": cause,
                    "view": view,
                    "method": method,
                    "criterion": name,
                    **{key: float(value[number]) for key, value in interval._asdict().items()},
                    "lowest seed": by_seed[name].min(),
                    "highest seed": by_seed[name].max(),
                    "chance": part["chance"].mean() if name in LOCALISATION else np.nan,
                    "better": "lower" if name in LOWER_IS_BETTER else "higher",
                    "nowhere": part["nowhere"].mean(),
                    "trials": len(part),
                }
            )
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame, criterion: str) -> str:
    """Return a table of methods × causes."""
    own = table[table["criterion"] == criterion].set_index(["method", "cause", "view"])
    columns = list(dict.fromkeys((cause, view) for _, cause, view in own.index))
    names = [cause if view == "signal" else f"{cause} ({view})" for cause, view in columns]
    lines = [f"| method | {' | '.join(names)} |", "|---" * (len(columns) + 1) + "|"]
    best = own.groupby(["cause", "view"])["estimate"].agg("min" if criterion in LOWER_IS_BETTER else "max")
    for method in dict.fromkeys(name for name, *_ in own.index):
        entries = []
        for column in columns:
            if (method, *column) not in own.index:
                entries.append("–")
                continue
            cell = own.loc[(method, *column)]
            text = f"{cell['estimate']:.2f} ± {(cell['high'] - cell['low']) / 2:.2f}"
            mark = "**" if cell["estimate"] == best[column] else "*" if cell["low"] <= cell["chance"] else ""
            entries.append(mark + text + mark)
        lines.append(f"| {method} | {' | '.join(entries)} |")
    if criterion in LOCALISATION:
        chance = own.groupby(["cause", "view"])["chance"].first()
        lines.append(f"| chance | {' | '.join(f'{chance[column]:.2f}' for column in columns)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed, few trials")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of data and net")
    parser.add_argument("--trials", type=int, default=120, help="explained trials per cause and seed")
    parser.add_argument("--cause", nargs="+", choices=synthetic.causes().index.tolist(), help="by default all")
    parser.add_argument("--out", type=Path, help="CSV file for all numbers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds, trials = (1, 24) if options.quick else (options.seeds, options.trials)
    methods = [name for name in signalrp.methods()["name"] if name not in ONLY_WITH_ATTENTION]
    parts, nets = [], []
    begun = time.perf_counter()
    for cause in options.cause or synthetic.causes().index:
        for seed in range(seeds):
            found, net = one_seed(cause, seed, trials, methods)
            parts += found
            nets.append(net)
            print(f"{cause}, seed {seed}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    table = summarise(pd.concat(parts))
    learnt = pd.DataFrame(nets)
    table = table.merge(learnt.groupby("cause", as_index=False).mean().drop(columns="seed"), on="cause")
    print(f"Nets ({seeds} per cause), accuracy on other people's trials, and with the cause taken out of these:\n")
    for cause, part in learnt.groupby("cause", sort=False):
        with_cause, without = part["accuracy"], part["without the cause"]
        print(
            f"- {cause}: {with_cause.min():.3f} to {with_cause.max():.3f}; {without.min():.3f} to {without.max():.3f}"
        )
    for criterion in (*LOCALISATION, *FAITHFULNESS):
        better = "lower" if criterion in LOWER_IS_BETTER else "higher"
        print(f"\n### {criterion} ({better} is better)\n\n{markdown(table, criterion)}")
    if options.out:
        table.to_csv(options.out, index=False, float_format="%.6g")


if __name__ == "__main__":
    warnings.filterwarnings("default", category=UserWarning, module="signalrp")
    main()
