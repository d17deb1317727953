"""Time of an explanation as a multiple of one plain input gradient of the same model, here and in zennit and Captum.

All are timed in turn within one run, so that what else the machine does falls on all alike; the median of the rounds
counts. Run: ``python benchmarks/speed.py [--rounds N] [--device cpu|cuda] [--csv FILE]``.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import platform
import statistics
import sys
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from models import MODELS, build
from torch import Tensor, nn

import signalrp

LOW, HIGH = -6.0, 6.0
OURS = {
    "epsilon": "epsilon",
    "epsilon-plus": "epsilon-plus",
    "epsilon-plus-flat": "epsilon-plus-flat",
    "epsilon-gamma": signalrp.Composite(name="epsilon-gamma").where(signalrp.Gamma(0.25), kind="convolution"),
    "epsilon-gamma-box": signalrp.composite("epsilon-gamma-box", low=LOW, high=HIGH),
    "epsilon-alpha2-beta1": "epsilon-alpha2-beta1",
}

Run = Callable[[], object]


def gradient(model: nn.Module, x: Tensor) -> Tensor:
    """Gradient of the predicted class' output."""
    x = x.clone().requires_grad_()
    output = model(x)
    return torch.autograd.grad(output.gather(1, output.argmax(1, keepdim=True)).sum(), x)[0]


def zennit_runs(model: nn.Module, x: Tensor) -> dict[str, Run]:
    """Return zennit's composites on the model, where zennit can be imported."""
    try:
        _stand_in_for_torchvision()
        composites = importlib.import_module("zennit.composites")
        canonizer = importlib.import_module("zennit.canonizers").SequentialMergeBatchNorm
    except ImportError:
        return {}
    rules, kinds = importlib.import_module("zennit.rules"), importlib.import_module("zennit.types")

    def composite(name: str) -> object:
        options = {"canonizers": [canonizer()]}
        if name == "epsilon":
            return composites.LayerMapComposite(
                [(kinds.Activation, rules.Pass()), (kinds.AvgPool, rules.Norm()), (kinds.Linear, rules.Epsilon())],
                **options,
            )
        if name == "epsilon-gamma-box":
            return composites.EpsilonGammaBox(low=LOW, high=HIGH, **options)
        return {
            "epsilon-plus": composites.EpsilonPlus,
            "epsilon-plus-flat": composites.EpsilonPlusFlat,
            "epsilon-alpha2-beta1": composites.EpsilonAlpha2Beta1,
        }[name](**options)

    def run(name: str) -> Run:
        def explain() -> Tensor:
            data = x.clone().requires_grad_()
            with composite(name).context(model) as changed:
                output = changed(data)
                seed = torch.zeros_like(output).scatter_(1, output.argmax(1, keepdim=True), 1)
                return torch.autograd.grad((output * seed).sum(), data)[0]

        return explain

    return {name: run(name) for name in OURS if name != "epsilon-gamma"}


def captum_runs(model: nn.Module, x: Tensor) -> dict[str, Run]:
    """Return Captum's epsilon rule on the model, where Captum accepts it."""
    try:
        lrp = importlib.import_module("captum.attr").LRP
    except ImportError:
        return {}

    def explain() -> Tensor:
        return lrp(model).attribute(x.clone(), target=model(x).argmax(1))

    return {"epsilon": explain}


def _stand_in_for_torchvision() -> None:
    # zennit names these classes when it is imported and uses them for its own model zoo only.
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is not None:
        return
    for path, names in (
        ("torchvision", ()), ("torchvision.models", ()), ("torchvision.models.vgg", ("VGG",)),
        ("torchvision.models.resnet", ("ResNet", "BasicBlock", "Bottleneck")),
    ):  # fmt: skip
        module = types.ModuleType(path)
        for name in names:
            setattr(module, name, type(name, (nn.Module,), {}))
        sys.modules[path] = module


def time_model(name: str, rounds: int, device: str) -> list[dict[str, object]]:
    """Time everything on one model and return its rows."""
    model, x = build(name)
    model, x = model.to(device), x.to(device)
    runs: dict[tuple[str, str], Run] = {("gradient", ""): lambda: gradient(model, x)}
    runs |= {
        ("signalrp", label): (lambda c=composite: signalrp.attribute(model, x, composite=c))
        for label, composite in OURS.items()
    }
    runs |= {("zennit", label): run for label, run in zennit_runs(model, x).items()}
    runs |= {("captum", label): run for label, run in captum_runs(model, x).items()}
    seconds: dict[tuple[str, str], list[float]] = {}
    for key, run in list(runs.items()):
        try:
            run()
        except Exception as error:
            print(f"  {key[0]} {key[1]}: {type(error).__name__}: {str(error).splitlines()[0][:90]}", file=sys.stderr)
            del runs[key]
    for _ in range(rounds):
        for key, run in runs.items():
            start = time.perf_counter()
            run()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds.setdefault(key, []).append(time.perf_counter() - start)
    base = seconds["gradient", ""]
    return [
        {
            "model": name,
            "library": library,
            "composite": composite,
            "ratio": statistics.median(t / b for t, b in zip(times, base, strict=True)),
            "gradient_ms": 1000 * statistics.median(base),
        }
        for (library, composite), times in seconds.items()
        if library != "gradient"
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = [row for name in MODELS for row in time_model(name, max(options.rounds, 7), options.device)]
    frame = pd.DataFrame(rows)
    if options.csv:
        frame.to_csv(options.csv, index=False)
    where = torch.cuda.get_device_name() if options.device == "cuda" else platform.processor() or platform.machine()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {where}, {max(options.rounds, 7)} rounds")
    for library, part in frame.groupby("library", sort=False):
        table = part.pivot(index="model", columns="composite", values="ratio").reindex(list(MODELS))
        columns = [c for c in OURS if c in table.columns]
        print(f"\n{library}: time / input gradient\n")
        print("| model | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
        for model, row in table.iterrows():
            cells = ("-" if pd.isna(row[c]) else f"{row[c]:.2f}" for c in columns)
            print(f"| {model} | " + " | ".join(cells) + " |")
    print("\ngradient, ms: " + ", ".join(f"{n} {g['gradient_ms'].iloc[0]:.0f}" for n, g in frame.groupby("model")))


if __name__ == "__main__":
    main()
