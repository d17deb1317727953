"""Time and peak memory of an explanation as multiples of those of one plain input gradient of the same model.

Time here and in zennit and Captum: all are timed in turn within one run, so that what else the machine does falls on
all alike; the median of the rounds counts. Memory here: how far it rises above what model and data take, in a process
for each model (``benchmarks/memory.py``). What a tool does not explain is a dash, with its error below the tables.
Run: ``python benchmarks/speed.py [--models TEXT ...] [--only time|memory] [--rounds N] [--device cpu|cuda]
[--csv FILE]``.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
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
from memory import in_a_process, peak_bytes
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
        stand_in_for_torchvision()
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


def stand_in_for_torchvision() -> None:
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


def our_runs(model: nn.Module, x: Tensor) -> dict[str, Run]:
    """Return our composites on the model."""
    return {label: (lambda c=composite: signalrp.attribute(model, x, composite=c)) for label, composite in OURS.items()}


def time_model(name: str, rounds: int, device: str) -> list[dict[str, object]]:
    """Time everything on one model and return its rows."""
    model, x = build(name)
    model, x = model.to(device), x.to(device)
    runs: dict[tuple[str, str], Run] = {("gradient", ""): lambda: gradient(model, x)}
    runs |= {("signalrp", label): run for label, run in our_runs(model, x).items()}
    runs |= {("zennit", label): run for label, run in zennit_runs(model, x).items()}
    runs |= {("captum", label): run for label, run in captum_runs(model, x).items()}
    rows: list[dict[str, object]] = []
    for key, run in list(runs.items()):
        try:
            run()
        except Exception as error:
            rows.append({"model": name, "library": key[0], "composite": key[1], "error": _short(error)})
            del runs[key]
    seconds: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for key, run in runs.items():
            start = time.perf_counter()
            run()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds.setdefault(key, []).append(time.perf_counter() - start)
    base = seconds.pop(("gradient", ""))
    for (library, composite), times in seconds.items():
        ratio = statistics.median(t / b for t, b in zip(times, base, strict=True))
        rows.append({"model": name, "library": library, "composite": composite, "ratio": ratio})
    return [{**row, "quantity": "time", "gradient": 1000 * statistics.median(base)} for row in rows]


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:150]}"


def memory_of(name: str, device: str) -> dict[str, float | str]:
    """Return the peak memory in bytes of the gradient and of our composites on one model, or the error."""
    model, x = build(name)
    model, x = model.to(device), x.to(device)
    found: dict[str, float | str] = {}
    for label, run in {"gradient": lambda: gradient(model, x), **our_runs(model, x)}.items():
        try:
            found[label] = float(peak_bytes(run, device))
        except Exception as error:
            found[label] = _short(error)
    return found


def memory_rows(name: str, device: str) -> list[dict[str, object]]:
    """Measure the memory of one model in another process and return its rows."""
    found = in_a_process(__file__, "--memory-of", name, "--device", device)
    base = found.get("gradient")
    rows: list[dict[str, object]] = []
    for label in OURS:
        row = {"model": name, "library": "signalrp", "composite": label, "quantity": "memory"}
        value = found.get(label, found.get("error"))
        if isinstance(base, float) and isinstance(value, float):
            row |= {"ratio": value / base, "gradient": base / 2**20}
        else:
            row["error"] = value if isinstance(base, float) else found.get("error", base)
        rows.append(row)
    return rows


def show(title: str, frame: pd.DataFrame, names: list[str]) -> None:
    """Print one table: a row for each model, a column for each composite."""
    table = frame.pivot(index="model", columns="composite", values="ratio").reindex(names)
    columns = [c for c in OURS if c in table.columns]
    print(f"\n{title}\n\n| model | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    for model, row in table.iterrows():
        cells = ("-" if pd.isna(row[c]) else f"{row[c]:.2f}" for c in columns)
        print(f"| {model} | " + " | ".join(cells) + " |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--models", nargs="+", default=[""], metavar="TEXT", help="models whose name holds one of these"
    )
    parser.add_argument("--only", choices=["time", "memory"], help="measure one of the two")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.memory_of:
        print(json.dumps(memory_of(options.memory_of, options.device)))
        return
    names = [name for name in MODELS if any(text.lower() in name.lower() for text in options.models)]
    if not names:
        parser.error(f"no model has such a name; there are {', '.join(MODELS)}")
    rounds = max(options.rounds, 7)
    rows: list[dict[str, object]] = []
    for name in names:
        rows += time_model(name, rounds, options.device) if options.only != "memory" else []
        rows += memory_rows(name, options.device) if options.only != "time" else []
    frame = pd.DataFrame(rows, columns=["quantity", "model", "library", "composite", "ratio", "gradient", "error"])
    if options.csv:
        frame.to_csv(options.csv, index=False)
    where = torch.cuda.get_device_name() if options.device == "cuda" else platform.processor() or platform.machine()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {where}, {rounds} rounds")
    for (quantity, library), part in frame.groupby(["quantity", "library"], sort=False):
        show(f"{library}: {quantity} / input gradient", part, names)
    for quantity, unit in (("time", "ms"), ("memory", "MiB")):
        base = frame[frame["quantity"] == quantity].groupby("model", sort=False)["gradient"].first().dropna()
        if len(base):
            print(
                f"\ngradient, {quantity}, {unit}: " + ", ".join(f"{name} {value:.0f}" for name, value in base.items())
            )
    failed = frame.dropna(subset="error").groupby(["model", "library", "error"], sort=False)["composite"].unique()
    if len(failed):
        print("\nnot explained:")
    for (model, library, error), composites in failed.items():
        print(f"- {model}, {library} {', '.join(composites)}: {error}")


if __name__ == "__main__":
    main()
