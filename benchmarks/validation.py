"""Time of one manipulation curve here and in Quantus, at equal values, in one run.

The same quantity in both: samples set to 0 in the order of given scores, most relevant first, in about 100 steps; the
output of the initially predicted class at every step of every trial. Quantus has this twice: ``PixelFlipping`` with an
equal number of samples at each step until none is left, and ``RegionPerturbation``, its MoRF curve, with one sample (a
patch of one) at each of its usual 100 steps. Both tools get the same model, trials and scores; here the defaults, in
Quantus the fastest of some batch sizes. For ``PixelFlipping`` channels follow one another in one row, of which the
model makes channels again, since it takes no steps that divide the samples of a channel with a rest; for
``RegionPerturbation`` a signal is a picture of one colour. Beside them stand the pure forward passes of as many trials,
below which no tool can come. All are timed in turn, on one thread by the processor's clock, otherwise by the wall's;
the median of the rounds counts.
Run: ``python benchmarks/validation.py [--cases TEXT ...] [--trials N] [--rounds N] [--threads N] [--device cpu|cuda]
[--csv FILE]``; needs quantus: pip install "signalrp[quantus]".
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import nn

from signalrp.validation import perturbation_curves
from signalrp.validation.perturbation.machine import trials_at_once

STEPS = 100
CLASSES = 4
QUANTUS_BATCHES = (64, 500)
TOLERANCE = 1e-5


def perceptron(channels: int, times: int) -> nn.Module:
    """A small net: one hidden layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * times, 32), nn.ReLU(), nn.Linear(32, CLASSES))


def convolutional(channels: int, times: int) -> nn.Module:
    """A larger net: three convolutions along time over all channels."""
    return nn.Sequential(
        nn.Conv1d(channels, 32, 9, stride=2), nn.ReLU(), nn.Conv1d(32, 64, 9, stride=2), nn.ReLU(),
        nn.Conv1d(64, 64, 9, stride=2), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(256, CLASSES),
    )  # fmt: skip


MODELS = {"perceptron": perceptron, "convolutional": convolutional}
METRICS = ("RegionPerturbation", "PixelFlipping")
SIGNALS = {"gait 6 x 101": (6, 101), "EEG 22 x 1000": (22, 1000)}


def data(model: nn.Module, shape: tuple[int, int, int]) -> xr.Dataset:
    """Random trials, labels from the model, and scores: the ranks of input times gradient, among which no two tie."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=shape).astype(np.float32)
    x = torch.tensor(signal, device=next(model.parameters()).device, requires_grad=True)
    output = model(x)
    (gradient,) = torch.autograd.grad(output.max(1).values.sum(), x)
    ranks = (signal * gradient.cpu().numpy()).reshape(len(signal), -1).argsort(1).argsort(1)
    dims = ("trial", "channel", "time")
    predicted = output.argmax(1).cpu().numpy()
    return xr.Dataset(
        {
            "signal": (dims, signal),
            "relevance": (dims, ranks.reshape(shape).astype(np.float32)),
            "label": ("trial", np.where(np.arange(len(signal)) % 4, predicted, (predicted + 1) % CLASSES)),
        }
    )


def ours(model: nn.Module, explanation: xr.Dataset, metric: str) -> np.ndarray:
    samples = explanation["signal"][0].size
    at_once = per_step(metric, samples)
    steps = STEPS if metric == "RegionPerturbation" else math.ceil(samples / at_once)
    fractions = [min(at_once * (k + 1), samples) / samples for k in range(steps)]
    curves = perturbation_curves(
        model, explanation, orders="relevance", direction="morf", fill="zero", fractions=fractions
    )
    return curves["output"].sel(order="relevance", direction="morf").values[1:].T


def theirs(model: nn.Module, explanation: xr.Dataset, metric: str, batch: int) -> np.ndarray:
    import quantus

    signal, relevance = explanation["signal"].values, explanation["relevance"].values
    place = next(model.parameters()).device
    with torch.no_grad():
        predicted = model(torch.tensor(signal, device=place)).argmax(1).cpu().numpy()
    picture = nn.Sequential(nn.Flatten(), nn.Unflatten(1, signal.shape[1:]), model).eval()
    settings = {"perturb_baseline": 0.0, "abs": False, "normalise": False, "disable_warnings": True}
    if metric == "PixelFlipping":
        shape = (len(signal), 1, signal[0].size)
        tool = quantus.PixelFlipping(features_in_step=per_step(metric, signal[0].size), **settings)
    else:
        shape = (len(signal), 1, *signal.shape[1:])
        tool = quantus.RegionPerturbation(patch_size=1, regions_evaluation=STEPS, order="morf", **settings)
    scores = tool(
        model=picture, x_batch=signal.reshape(shape), y_batch=predicted, a_batch=relevance.reshape(shape),
        softmax=False, batch_size=batch, channel_first=True, device=str(place),
    )  # fmt: skip
    if metric == "PixelFlipping":
        return np.array(scores)
    # It tells the fall of the output.
    with torch.no_grad():
        initial = model(torch.tensor(signal, device=place)).cpu().numpy()[np.arange(len(signal)), predicted]
    return initial[:, None] - np.array(scores)


def per_step(metric: str, samples: int) -> int:
    """Samples removed at each step."""
    return samples // STEPS if metric == "PixelFlipping" else 1


def forwards(model: nn.Module, explanation: xr.Dataset, steps: int) -> None:
    """Only what every tool must do: the model on as many trials, in the batches that we take."""
    signal = explanation["signal"]
    inputs = torch.tensor(signal.values, device=next(model.parameters()).device)
    batch = trials_at_once(None, signal[0].size, inputs.device)
    inputs = inputs.repeat(math.ceil(batch / len(inputs)), 1, 1)[:batch]
    total = len(signal) * steps
    with torch.no_grad():
        for start in range(0, total, batch):
            model(inputs[: total - start])
    if inputs.is_cuda:
        torch.cuda.synchronize()


def seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    run()
    return clock() - start


def measure(net: str, kind: str, metric: str, trials: int, rounds: int, device: str) -> dict[str, object]:
    torch.manual_seed(0)
    channels, times = SIGNALS[kind]
    model = MODELS[net](channels, times).eval().to(device)
    explanation = data(model, (trials, channels, times))
    found = ours(model, explanation, metric)
    off = float(abs(found - theirs(model, explanation, metric, trials)).max())
    if off > TOLERANCE * abs(found).max():
        raise SystemExit(f"{net}, {kind}: the values differ by {off:.2g}, of up to {abs(found).max():.2g}.")
    runs: dict[str, Callable[[], object]] = {
        "signalrp": lambda: ours(model, explanation, metric),
        "forward passes": lambda: forwards(model, explanation, found.shape[1]),
    }
    for batch in QUANTUS_BATCHES:
        runs[f"quantus {batch}"] = lambda batch=batch: theirs(model, explanation, metric, batch)
    # what else the machine does leaves the processor's time nearly as it is; an accelerator's does not show there
    clock = time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    times_taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            times_taken[name].append(seconds(run, clock))
    median = {name: statistics.median(taken) for name, taken in times_taken.items()}
    quantus = min(median[f"quantus {batch}"] for batch in QUANTUS_BATCHES)
    return {
        "signal": kind,
        "model": net,
        "quantus metric": metric,
        "steps": found.shape[1],
        "signalrp (s)": median["signalrp"],
        "quantus (s)": quantus,
        "ratio": quantus / median["signalrp"],
        "forward passes (s)": median["forward passes"],
        "highest ratio possible": quantus / median["forward passes"],
        "largest difference": off,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=[], help="parts of the names of signals, models, metrics")
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore", module="quantus")
    # Quantus imports zennit where that is installed, and zennit torchvision, which need not be.
    sys.modules["zennit"] = None  # type: ignore[assignment]
    try:
        import quantus
    except ImportError:
        sys.exit('quantus is not installed: pip install "signalrp[quantus]".')
    cases = [(net, kind, metric) for metric in METRICS for kind in SIGNALS for net in MODELS]
    cases = [case for case in cases if not arguments.cases or any(t in " ".join(case) for t in arguments.cases)]
    rows = [measure(*case, arguments.trials, arguments.rounds, arguments.device) for case in cases]
    table = pd.DataFrame(rows)
    print(
        f"{arguments.trials} trials, quantus {quantus.__version__}, torch {torch.__version__}, {arguments.device}, "
        f"{arguments.threads} of {os.cpu_count()} cores, median of {arguments.rounds} rounds"
    )
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3g}"))
    if arguments.csv:
        table.to_csv(arguments.csv, index=False)


if __name__ == "__main__":
    main()
