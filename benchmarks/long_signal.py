"""An hour of 64-channel EEG at 256 Hz through a fully convolutional net, explained in pieces and in one.

Every setting runs in a process of its own. Memory is the peak above what the process holds with model and signal
loaded; the relevance that is returned, as large as the signal, is a part of it. The last column compares the
relevance with that of one piece, where both fit.
Run: ``python benchmarks/long_signal.py [--minutes N] [--windows SECONDS ...] [--batch-sizes N ...] [--no-whole]``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from memory import in_a_process, peak_bytes
from torch import Tensor, nn

import signalrp

RATE, CHANNELS = 256, 64


def net() -> nn.Module:
    """Nine convolutions, three of them followed by pooling, four dilated: two scores, 32 times a second."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in pairwise((CHANNELS, 32, 32, 64)):
        layers += [nn.Conv1d(before, after, 9, padding=4), nn.BatchNorm1d(after), nn.ReLU(), nn.MaxPool1d(2)]
    for dilation in (1, 2, 4, 8):
        layers += [nn.Conv1d(64, 64, 5, padding=2 * dilation, dilation=dilation), nn.BatchNorm1d(64), nn.ELU()]
    return nn.Sequential(*layers, nn.Conv1d(64, 64, 1), nn.ReLU(), nn.Conv1d(64, 2, 1)).eval()


def recording(minutes: float) -> xr.DataArray:
    """Noise in the scale of EEG."""
    samples = round(60 * minutes * RATE)
    values = np.random.default_rng(0).standard_normal((1, CHANNELS, samples), np.float32)
    time = ("time", np.arange(samples) / RATE, {"units": "s"})
    return xr.DataArray(values, dims=("trial", "channel", "time"), coords={"time": time}, name="EEG")


def score(out: Tensor) -> Tensor:
    """Explain the second score, summed over the recording."""
    return out[:, 1].sum(-1)


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Explain once and return seconds and bytes."""
    model, signal = net(), recording(options.minutes)
    window = round(options.window * RATE) if options.window else None
    found: dict[str, object] = {}

    def run() -> None:
        start = time.perf_counter()
        explanation = signalrp.explain(
            model, signal, score, options.composite, window=window, batch_size=options.batch_size
        )
        found["seconds"] = time.perf_counter() - start
        np.save(options.save, explanation["relevance"].values)

    short = signal.isel(time=slice(30 * RATE))
    peak = peak_bytes(run, warm_up=lambda: signalrp.explain(model, short, score, options.composite))
    return {"seconds": float(str(found["seconds"])), "bytes": float(peak), "signal": float(signal.nbytes)}


def distance(one: Path, other: Path) -> float:
    """Return the largest difference of two results, relative to the largest value."""
    first, second = (np.load(path, mmap_mode="r") for path in (one, other))
    return float(max(np.abs(a - b).max() for a, b in zip(first[0], second[0], strict=True)) / np.abs(second).max())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--composite", default="epsilon-plus")
    parser.add_argument("--windows", type=float, nargs="+", default=[10, 60, 300], help="seconds")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--whole", action=argparse.BooleanOptionalAction, default=True, help="explain in one piece too")
    parser.add_argument("--window", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--batch-size", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--save", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.save:
        print(json.dumps(measure(options)))
        return
    settings = [(window, size) for window in options.windows for size in options.batch_sizes]
    if options.whole:
        settings.insert(0, (0.0, 1))
    print(
        f"{options.minutes:g} min, {CHANNELS} channels, {RATE} Hz, {options.composite}, torch {torch.__version__}, ",
        end="",
    )
    print(
        f"{torch.get_num_threads()} threads\n\n| window, s | pieces at once | peak memory, MiB | time, s | difference |"
    )
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        whole = None
        for window, size in settings:
            path = Path(folder) / f"{window}_{size}.npy"
            common = ["--minutes", str(options.minutes), "--composite", options.composite, "--save", str(path)]
            row = in_a_process(sys.argv[0], *common, "--window", str(window), "--batch-size", str(size))
            name = f"{window:g}" if window else "one piece"
            if "error" in row:
                print(f"| {name} | {size} | - | - | {row['error']} |", flush=True)
                continue
            whole = whole or (None if window else path)
            apart = f"{distance(path, whole):.1e}" if whole and window else ""
            print(f"| {name} | {size} | {row['bytes'] / 2**20:.0f} | {row['seconds']:.0f} | {apart} |", flush=True)
            if path != whole:
                path.unlink()
        print(f"\nsignal, and relevance likewise: {round(60 * options.minutes * RATE) * CHANNELS * 4 / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
