"""Which models can be explained: signalrp, zennit and Captum on classifiers that other people wrote.

Every tool explains the predicted class of two samples by its epsilon rule, with a stabiliser of 1e-9 that takes next
to nothing, in float64 (float32 where a model knows nothing else). What is asked is whether the relevance adds up;
whether it lies in the right place is for the tests, which compare maps with dense references. A verdict is

``exact``
    The relevance at the input, per sample, sums to what it should, within 1e-3 of the output; in float32 of the
    sum of absolute values where that is larger, for rounding's sake.
``flagged``
    The tool raises an error or warns: no number, or one that nobody will trust unaware.
``wrong``
    It returns, in silence, numbers that do not add up, are not finite, or are so large (1e9 times the output in
    absolute value) that their sum is rounding.

and what relevance should sum to depends on the model; the column *judge* says which of the two was used:

``output``
    In a copy of the model, everything that is added is set to 0: biases, shifts and means of norms, positions, class
    tokens (told by name). If that copy turns an input of zeros into an output of zeros, nothing is left in it that
    could earn a share, and the relevance must sum to the output. This judge knows nothing of signalrp.
``books``
    The copy still answers to silence (a table of sinusoids, a logarithm of a floor), or its output vanishes. The
    model is then taken as it is, and the relevance must sum to the output less what constants keep. No tool but
    signalrp says what they keep, so that its audit is the reference for all: an account whose entries are each
    computed where relevance ends and must close by themselves, but the account of one of the competitors.

signalrp has to pass one more test on every model: its audit of the model as it is, biases included, closes to 1e-6
of the largest entry (1e-3 in float32). And it may earn a fourth verdict, from the output judge:

``booked``
    The relevance does not sum to the output, but the ledger of the same explanation says, entry by entry, where the
    rest ended: mostly where the model itself cuts a path (``detach``). Without books a gap is a gap, hence ``wrong``.

zennit runs with its layer map, ``Epsilon`` on linear layers and convolutions, and merged batch norms; Captum's LRP as
it comes. zennit names classes of torchvision when it is imported; empty ones stand in where that is absent.
Run: ``python benchmarks/coverage.py [--source NAME ...] [--model TEXT] [--csv FILE]``.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from speed import stand_in_for_torchvision
from third_party import SOURCES
from torch import Tensor, nn

import signalrp

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from reference.families import ADDITIVE, FAMILIES, randomise

TOLERANCE = 1e-3
EPSILON = 1e-9
DROWNED = 1e9
Explain = Callable[[nn.Module, tuple[Tensor, ...], Tensor], tuple[Tensor, ...]]


class Positional(nn.Module):
    """A model as function of its float inputs alone, with one (batch, classes) tensor as output."""

    def __init__(self, model: nn.Module, inputs: Any) -> None:
        super().__init__()
        self.model = model
        pairs = (
            inputs.items() if isinstance(inputs, dict) else enumerate(inputs if isinstance(inputs, tuple) else [inputs])
        )
        self.given = dict(pairs)
        self.free = [key for key, value in self.given.items() if value.is_floating_point()]

    def forward(self, *values: Tensor) -> Tensor:
        """Return the scores, whatever container the model puts them in."""
        given = {**self.given, **dict(zip(self.free, values, strict=True))}
        by_name = {key: value for key, value in given.items() if isinstance(key, str)}
        out = self.model(*(value for key, value in given.items() if not isinstance(key, str)), **by_name)
        if not isinstance(out, Tensor):
            parts = out.values() if isinstance(out, dict) else out
            out = out["logits"] if isinstance(out, dict) and "logits" in out else next(iter(parts))
        return out.reshape(len(out), -1)

    def batch(self, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Return the float inputs in a precision, apart from those that are held."""
        return tuple(self.given[key].to(dtype, copy=True) for key in self.free)


@dataclass
class Subject:
    """A model under test, what it says, and what relevance should sum to."""

    model: nn.Module
    inputs: tuple[Tensor, ...]
    target: Tensor
    output: Tensor
    kept: Tensor
    judge: str


def prepared(model: nn.Module, inputs: Any) -> Positional:
    """Return a model in evaluation mode and double precision where it runs in that, with parameters all unlike."""
    wrapped = Positional(randomise(model).eval(), inputs).eval()
    with torch.no_grad():
        wrapped(*wrapped.batch(torch.get_default_dtype()))  # leaves no graph in normed weights, which hinders copies
    try:
        double = copy.deepcopy(wrapped).double().eval()
        with torch.no_grad():
            if double(*double.batch(torch.float64)).dtype == torch.float64:
                return double
    except (RuntimeError, TypeError):
        pass
    return wrapped


def without_additions(model: nn.Module) -> nn.Module:
    """Return a copy with everything that it adds, as far as names tell, set to 0."""
    bare = copy.deepcopy(model).eval()
    with torch.no_grad():
        for name, value in [*bare.named_parameters(), *bare.named_buffers()]:
            words = [part for part in name.split(".") if not part.isdigit()]
            added = ADDITIVE.search(words[-1]) or (words[-1] == "weight" and "position" in words[-2])
            if added and value.is_floating_point():
                value.zero_()
    return bare


def subjects(wrapped: Positional) -> Iterator[Subject]:
    """Yield the model as it is (judged by signalrp's books) and, if that decides, its copy without additions."""
    dtype = next((p.dtype for p in wrapped.parameters() if p.is_floating_point()), torch.float32)
    inputs = wrapped.batch(dtype)
    for model, judge in ((wrapped, "books"), (without_additions(wrapped), "output")):
        with torch.no_grad():
            scores, silence = model(*inputs), model(*(torch.zeros_like(x) for x in inputs))
        target = scores.argmax(1)
        output = scores.gather(1, target[:, None])[:, 0].double()
        size = output.abs().min()
        if judge == "books" or (torch.isfinite(output).all() and silence.abs().max() <= 1e-9 * size and size > 1e-9):
            yield Subject(model, inputs, target, output, torch.zeros_like(output), judge)


def by_signalrp(model: nn.Module, inputs: tuple[Tensor, ...], target: Tensor) -> tuple[Tensor, ...]:
    """Explain with signalrp."""
    return signalrp.attribute(model, inputs, target, composite=signalrp.Epsilon(EPSILON)).relevance


def by_zennit(model: nn.Module, inputs: tuple[Tensor, ...], target: Tensor) -> tuple[Tensor, ...]:
    """Explain with zennit, on a copy, since it leaves merged weights behind where a model raises."""
    composites, rules, kinds, canonizers = zennit_modules()
    layers = [*composites.layer_map_base(), (kinds.Linear, rules.Epsilon(epsilon=EPSILON))]
    composite = composites.LayerMapComposite(layers, canonizers=[canonizers.SequentialMergeBatchNorm()])
    leaves = tuple(x.clone().requires_grad_() for x in inputs)
    with composite.context(copy.deepcopy(model).eval()) as changed:
        scores = changed(*leaves)
        seed = torch.zeros_like(scores).scatter_(1, target[:, None], 1) * scores.detach()
        parts = torch.autograd.grad(scores, leaves, seed, allow_unused=True)
    return tuple(torch.zeros_like(x) if r is None else r for x, r in zip(leaves, parts, strict=True))


def zennit_modules() -> list[Any]:
    """Import zennit; its stand-in for torchvision goes again, lest other packages take it for the real one."""
    before = set(sys.modules)
    stand_in_for_torchvision()
    try:
        return [importlib.import_module(f"zennit.{name}") for name in ("composites", "rules", "types", "canonizers")]
    finally:
        for name in sys.modules.keys() - before:
            if name.partition(".")[0] == "torchvision" and sys.modules[name].__spec__ is None:
                del sys.modules[name]


def by_captum(model: nn.Module, inputs: tuple[Tensor, ...], target: Tensor) -> tuple[Tensor, ...]:
    """Explain with Captum."""
    lrp = importlib.import_module("captum.attr").LRP
    return lrp(copy.deepcopy(model).eval()).attribute(tuple(x.clone() for x in inputs), target=target)


TOOLS: dict[str, Explain] = {"signalrp": by_signalrp, "zennit": by_zennit, "captum": by_captum}


def verdict(tool: str, subject: Subject) -> tuple[str, str]:
    """Return the verdict on one tool and one model, and the gap or the reason."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            relevance = TOOLS[tool](subject.model, subject.inputs, subject.target)
        except Exception as error:
            return "flagged", reason(error)
    said = [w for w in heard if f"/{tool}/" in w.filename and issubclass(w.category, (UserWarning, RuntimeWarning))]
    if said:
        return "flagged", str(said[0].message).splitlines()[0]
    total = sum(r.double().flatten(1).sum(1) for r in relevance)
    size = sum(r.double().flatten(1).abs().sum(1) for r in relevance)
    if not torch.isfinite(size).all():
        return "wrong", "not finite"
    size, output = size / subject.output.abs(), subject.output.abs()
    if subject.inputs[0].dtype == torch.float64 and float(size.max()) > DROWNED:
        return "wrong", f"{float(size.max()):.0e} times the output in size"
    allowed = TOLERANCE * (1 if subject.inputs[0].dtype == torch.float64 else size.clamp(min=1))
    gap = (total + subject.kept - subject.output).abs() / output
    return ("exact" if bool((gap <= allowed).all()) else "wrong"), f"{float(gap.max()):.0e}"


def audit(subject: Subject) -> tuple[str, str, Tensor]:
    """Return whether signalrp's own books close, how far off they are, and what was kept of each sample's output."""
    nothing = torch.zeros_like(subject.output)
    try:
        result = signalrp.attribute(
            subject.model, subject.inputs, subject.target, composite=signalrp.Epsilon(EPSILON), audit=True
        )
    except Exception as error:
        return "flagged", reason(error), nothing
    total = sum(r.double().flatten(1).sum(1) for r in result.relevance)
    largest = max(result.ledger[["received", "passed"]].abs().to_numpy().max(), float(subject.output.abs().max()))
    gap = float((result.explained.double() - total - result.absorbed).abs().max()) / largest
    unchanged = torch.allclose(result.explained.double(), subject.output, rtol=1e-4)
    closes = unchanged and gap <= (1e-6 if subject.inputs[0].dtype == torch.float64 else TOLERANCE)
    return ("exact" if closes else "wrong"), f"books {gap:.0e}", result.absorbed


def reason(error: Exception) -> str:
    """Return the first line of an error."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def examine(source: str, name: str, build: Callable[[], tuple[nn.Module, Any]], tools: list[str]) -> dict[str, str]:
    """Judge every tool on one model."""
    torch.manual_seed(0)
    row = {"source": source, "model": name}
    try:
        whole, *others = subjects(prepared(*build()))
        judged = others[0] if others else whole
    except Exception as error:
        return {**row, "not built": reason(error)}
    row["judge"] = judged.judge
    closes, why, whole.kept = audit(whole)
    for tool in tools:
        if closes != "exact" and (tool == "signalrp" or judged.judge == "books"):
            found = (closes, why) if tool == "signalrp" else ("no judge", why)
        else:
            found = verdict(tool, judged)
        if tool == "signalrp" and found[0] == "wrong" and judged.judge == "output":
            judged.kept = audit(judged)[2]
            found = ("booked", found[1]) if verdict(tool, judged)[0] == "exact" else found
            judged.kept = torch.zeros_like(judged.output)
        row[tool], row[f"{tool}: why"] = found
    return row


def main() -> None:
    """Print the table and the totals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sources = {"families": lambda: {name: partial(family, name) for name in FAMILIES}, **SOURCES}
    parser.add_argument("--source", nargs="+", choices=list(sources), default=list(sources))
    parser.add_argument("--model", default="", help="only models whose name holds this")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    tools = [tool for tool in TOOLS if importlib.util.find_spec(tool)]
    rows = []
    for source in options.source:
        for name, build in sources[source]().items():
            if options.model in name:
                rows.append(examine(source, name, build, tools))
                print("| " + " | ".join(line(rows[-1], tools)) + " |", flush=True)
    frame = pd.DataFrame(rows)
    if options.csv:
        frame.to_csv(options.csv, index=False)
    judged = frame[frame["judge"].notna()] if "judge" in frame else frame.iloc[:0]
    print(f"\n{len(judged)} models, {len(frame) - len(judged)} not built")
    for tool in tools:
        counts = judged[tool].value_counts()
        shares = (f"{verdict} {n} ({n / len(judged):.0%})" for verdict, n in counts.items())
        print(f"{tool}: " + ", ".join(shares))


def family(name: str) -> tuple[nn.Module, Any]:
    """Build one of the families of the tests."""
    return FAMILIES[name]()


def line(row: dict[str, str], tools: list[str]) -> list[str]:
    """Return the cells of one model."""
    cells = [row["source"], row["model"], row.get("judge", row.get("not built", ""))[:60]]
    return cells + [f"{row.get(tool, '-')}, {row.get(f'{tool}: why', '')[:60]}" for tool in tools]


if __name__ == "__main__":
    main()
