"""Virtual inspection by fast transforms, and by matrices of N columns as the method was first published.

The way of matrices, written anew after Vielhaben et al. 2024 (doi:10.1016/j.patcog.2024.110309): analysis and
transposed synthesis are dense, real and imaginary parts stacked, and a signal's coefficients and relevance are
products with them. They are kept between calls; making them is timed apart. Both ways get the same signals and the
same relevance per unit of signal, in turn within one process; the median of the rounds counts.
``signalrp.inspection.inspect`` is timed as a whole, labels and checks included. Memory is the peak of one call from
nothing, the making of matrices included, each in a process of its own. The published layout of a short-time transform
gives every frame as many frequencies as the whole signal has and takes more than the matrices here; its size is given
below the table.
Run: ``python benchmarks/inspection.py [--sizes N ...] [--signals N] [--rounds N] [--dtype float64|float32]``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
import xarray as xr
from memory import in_a_process, peak_bytes
from torch import Tensor

from signalrp.inspection import DFT, STFT, Basis, inspect

WINDOW = np.sin(np.pi * (np.arange(256) + 0.5) / 256)
HOP = 128
BASES: dict[str, Basis] = {"DFT": DFT(), "STFT": STFT(WINDOW, hop=HOP)}
SIGNIFICANT = {"float64": 1e-10, "float32": 1e-3}

Matrices = tuple[Tensor, Tensor]


def stacked(n: int, dtype: torch.dtype) -> Matrices:
    """Analysis and transposed synthesis of a one-sided transform, cosines above sines."""
    k, t = torch.arange(n // 2 + 1), torch.arange(n)
    # Exact: the phase counts whole turns of n steps.
    phase = 2 * torch.pi * ((k[:, None] * t) % n).double() / n
    twins = torch.full((len(k), 1), 2.0, dtype=torch.float64)
    twins[0] = 1
    if n % 2 == 0:
        twins[-1] = 1
    analysis = torch.cat([phase.cos(), -phase.sin()])
    return analysis.to(dtype), (torch.cat([twins, twins]) / n * analysis).to(dtype)


def dense_matrices(kind: str, n: int, dtype: torch.dtype) -> Matrices:
    """The matrices (coefficients, N) of a basis."""
    if kind == "DFT":
        return stacked(n, dtype)
    length, window = len(WINDOW), torch.as_tensor(WINDOW)
    small = stacked(length, torch.float64)
    starts = [s for s in (p * HOP - length // 2 for p in range(-1, n // HOP + 2)) if -length < s < n]
    seen = torch.zeros(n, dtype=torch.float64)
    spans = [(max(0, s), min(n, s + length)) for s in starts]
    for s, (first, stop) in zip(starts, spans, strict=True):
        seen[first:stop] += window[first - s : stop - s] ** 2
    large = tuple(torch.zeros(len(starts), len(small[0]), n, dtype=dtype) for _ in small)
    for f, (s, (first, stop)) in enumerate(zip(starts, spans, strict=True)):
        part = slice(first - s, stop - s)
        large[0][f, :, first:stop] = small[0][:, part] * window[part]
        large[1][f, :, first:stop] = small[1][:, part] * window[part] / seen[first:stop]
    return large[0].flatten(0, 1), large[1].flatten(0, 1)


def dense(matrices: Matrices, x: Tensor, c: Tensor, kind: str) -> Tensor:
    """Relevance (signal, frequency) or (signal, frequency, frame): that of both parts of a coefficient together."""
    analysis, synthesis = matrices
    shares = (x @ analysis.T) * (c @ synthesis.T)
    bins = (x.shape[-1] if kind == "DFT" else len(WINDOW)) // 2 + 1
    parts = shares.unflatten(-1, (-1, 2, bins)).sum(-2)
    return parts.mT if kind == "STFT" else parts[:, 0]


def data(n: int, signals: int, dtype: str) -> xr.Dataset:
    """Noise, and noise for relevance per unit of it."""
    x, c = np.random.default_rng(0).standard_normal((2, signals, 1, n)).astype(dtype)
    dims, seconds = ("trial", "channel", "time"), ("time", np.arange(n) / 1000, {"units": "s"})
    return xr.Dataset({"signal": (dims, x), "relevance": (dims, x * c), "per_unit": (dims, c)}, {"time": seconds})


def tensors(explanation: xr.Dataset) -> tuple[Tensor, Tensor]:
    """Signals and relevance per unit without names."""
    return tuple(torch.as_tensor(explanation[name].values[:, 0]) for name in ("signal", "per_unit"))


def seconds(run: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(kind: str, n: int, options: argparse.Namespace) -> dict[str, float]:
    """Time both ways and return how far their values are apart, relative to the largest."""
    dtype = getattr(torch, options.dtype)
    explanation = data(n, options.signals, options.dtype)
    x, c = tensors(explanation)
    start = time.perf_counter()
    matrices = dense_matrices(kind, n, dtype)
    making = time.perf_counter() - start
    ways = {
        "dense": lambda: dense(matrices, x, c, kind),
        "fast": lambda: inspect(explanation, BASES[kind]),
    }
    theirs, ours = ways["dense"]().numpy(), ways["fast"]().relevance.values[:, 0]
    rounds = [{name: seconds(run) for name, run in ways.items()} for _ in range(options.rounds)]
    found = {name: statistics.median(each[name] for each in rounds) for name in ways}
    return {**found, "making": making, "apart": float(abs(theirs - ours).max() / abs(ours).max())}


def memory(options: argparse.Namespace) -> dict[str, float]:
    """Measure the peak of one way."""
    kind, n, dtype = options.kind, options.sizes[0], getattr(torch, options.dtype)

    def run(explanation: xr.Dataset) -> object:
        if options.way == "fast":
            return inspect(explanation, BASES[kind])
        return dense(dense_matrices(kind, explanation.sizes["time"], dtype), *tensors(explanation), kind)

    large, small = data(n, options.signals, options.dtype), data(300, 1, options.dtype)
    return {"bytes": peak_bytes(lambda: run(large), warm_up=lambda: run(small))}


def published_bytes(n: int, dtype: str) -> float:
    """Both matrices of a short-time transform in the published layout, one-sided."""
    frames = (n - len(WINDOW)) // HOP + 1
    return 2 * frames * n * n * np.dtype(dtype).itemsize


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 2000, 4000, 8000])
    parser.add_argument("--signals", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--dtype", choices=list(SIGNIFICANT), default="float64")
    parser.add_argument("--kind", choices=list(BASES), help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=["dense", "fast"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(memory(options)))
        return
    print(f"{options.signals} signals, {options.dtype}, torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print("| basis | N | matrices, ms | here, ms | ratio | matrices, MiB | here, MiB | ratio | apart | made in, s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    failed = []
    for kind in BASES:
        for n in options.sizes:
            common = [sys.argv[0], "--kind", kind, "--sizes", str(n), "--dtype", options.dtype]
            common += ["--signals", str(options.signals)]
            row = compare(kind, n, options)
            peaks = [in_a_process(*common, "--way", way) for way in ("dense", "fast")]
            error = next((peak["error"] for peak in peaks if "error" in peak), None)
            if error:
                print(f"| {kind} | {n} | - | - | - | - | - | - | - | {error} |", flush=True)
                failed.append(f"{kind} {n}")
                continue
            theirs, ours = (peak["bytes"] / 2**20 for peak in peaks)
            print(
                f"| {kind} | {n} | {1e3 * row['dense']:.1f} | {1e3 * row['fast']:.1f} "
                f"| {row['dense'] / row['fast']:.1f} | {theirs:.0f} | {ours:.1f} | {theirs / ours:.0f} "
                f"| {row['apart']:.0e} | {row['making']:.1f} |",
                flush=True,
            )
            if row["apart"] > SIGNIFICANT[options.dtype]:
                failed.append(f"{kind} {n}")
    layout = ", ".join(f"{published_bytes(n, options.dtype) / 2**30:.1f} GiB at {n}" for n in options.sizes)
    print(f"\nmatrices of the short-time transform in the published layout: {layout}")
    if failed:
        sys.exit(f"values differ, or were not to be had: {', '.join(failed)}")


if __name__ == "__main__":
    main()
