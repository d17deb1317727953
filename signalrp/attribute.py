"""Relevance of a model's inputs: tensors in, tensors out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge, saved_tensors_hooks

import signalrp.propagation.operations  # noqa: F401 - fills the registry
from signalrp.propagation.composites import Composite
from signalrp.propagation.composites import composite as composite_of
from signalrp.propagation.engine import Engine
from signalrp.propagation.errors import Overwritten, UnsupportedOperation
from signalrp.propagation.ledger import Ledger
from signalrp.propagation.pull import real
from signalrp.propagation.rules import Rule
from signalrp.propagation.tags import tag_of, tensors_in, with_tensors
from signalrp.targets import Target, explained


@dataclass
class Attribution:
    """What :func:`attribute` returns.

    Attributes
    ----------
    relevance : tensor, or tuple, list or dict of tensors
        In the structure of the inputs; None in the place of inputs without gradient (integers, booleans).
    output : torch.Tensor
        What the model returned, usually (batch, classes); of several tensors the one called logits, or the first.
    target : torch.Tensor or None
        The classes explained, (batch,); None where a callable or a single output was explained.
    explained : torch.Tensor
        The scalar explained for each sample, (batch,): what relevance and absorbed sum to.
    per_unit : tensor, or tuple, list or dict of tensors
        The modified gradient c at the inputs: relevance is ``inputs * per_unit``, plus what rules that give relevance
        to zeros as well (ZBox, Flat, WSquare) hand to the inputs as such. Of a complex input, relevance is the real
        part of ``inputs * per_unit.conj()``.
    layers : dict
        Relevance at the outputs of the modules asked for; a tuple of tensors for modules called several times.
    absorbed : torch.Tensor or None
        What ended on the way, (batch,), from the ledger; None without an audit.
    ledger : pandas.DataFrame or None
        One row per step and sample: received, passed, and absorbed by cause; None without an audit.
    """

    relevance: Any
    output: Tensor
    target: Tensor | None
    explained: Tensor
    per_unit: Any
    layers: dict[str, Any] = field(default_factory=dict)
    absorbed: Tensor | None = None
    ledger: pd.DataFrame | None = None


def attribute(
    model: nn.Module | Callable[..., Any],
    inputs: Any,
    target: Target = None,
    composite: str | Composite | Rule = "epsilon-plus",
    layers: Sequence[str] = (),
    audit: bool = False,
    unknown: Literal["raise", "gradient"] = "raise",
) -> Attribution:
    """Explain a model's output by Layer-wise Relevance Propagation.

    The model runs once, unmodified, in evaluation mode. What it changes of itself meanwhile (weights under a norm
    constraint, kept states) and the random numbers it draws are set back, so that the next call finds the same.

    Parameters
    ----------
    model : torch.nn.Module, torch.export.ExportedProgram or callable
        Any model of torch functions in eager mode. Of a compiled model the original is explained.
    inputs : tensor, or tuple, list or dict of tensors
        The model's arguments: a tensor or each item of a tuple or list is one positional argument, a dict holds
        keyword arguments. The first dimension of the first tensor counts the samples. Relevance is given for
        those of floating point.
    target : int, sequence or tensor of int, callable, optional
        The class to explain, one for all or one per sample; None explains the predicted class. A callable gets
        the model's output and returns one number per sample, (batch,): a regression output, the difference of
        two logits, one instant of a sequence.
    composite : str, Composite or Rule
        Which rule goes where: a name (see :func:`signalrp.composite`), a composite, or one rule for all sums.
    layers : sequence of str
        Paths of modules at whose outputs relevance is wanted as well, e.g. ``"features.3"``.
    audit : bool
        Keep the ledger: ``explained == sum(relevance) + absorbed`` can then be checked. Costs one pull back
        per sample.
    unknown : {"raise", "gradient"}
        What to do with a differentiable function that no family knows: refuse, or use its gradient.

    Returns
    -------
    Attribution

    Raises
    ------
    UnsupportedOperation
        When the model calls a function through which no right way for relevance is known.
    ValueError
        When the model is in training mode, an input or output is not finite, a target is out of range, or a
        layer does not exist.
    TypeError
        When the model is a ScriptModule or an input is no tensor.

    References
    ----------
    Bach et al. 2015, doi:10.1371/journal.pone.0130140
    """
    if unknown not in ("raise", "gradient"):
        raise ValueError(f'unknown must be "raise" or "gradient", found {unknown!r}.')
    model = eager(model)
    check_inputs(inputs)
    modules = dict(model.named_modules()) if isinstance(model, nn.Module) else {}
    missing = [path for path in layers if path not in modules]
    if missing:
        known = ", ".join(path for path in modules if path)
        raise ValueError(f"the model has no module {missing[0]!r}; it has {known or 'none'}.")
    devices = {t.device.index for t in tensors_in(inputs) if t.is_cuda}
    # Scans write into what a product before has saved, which runs under no_grad alone: then a copy of all is saved.
    for saving in (nullcontext(), saved_tensors_hooks(Tensor.clone, lambda saved: saved)):
        engine = Engine(composite_of(composite), unknown, Ledger() if audit else None)
        try:
            with torch.inference_mode(False), torch.random.fork_rng(devices), saving:
                return _Run(engine, model, inputs, target, layers).result()
        except Overwritten:
            continue
        finally:
            engine.close()
    raise UnsupportedOperation(
        "what overwrites a value that is needed before it", "", "overwrite a copy (y = x.clone(); y.mul_(...))"
    )


class _Run:
    """One forward pass and what is asked of it."""

    def __init__(self, engine: Engine, model: Any, inputs: Any, target: Target, layers: Sequence[str]) -> None:
        self.engine = engine
        self.inputs = inputs
        self.leaves: list[Tensor] = []
        self.captured: dict[str, list[Any]] = {path: [] for path in layers}
        tracked = with_tensors(inputs, self._track)
        if not any(True for _ in tensors_in(inputs)):
            raise TypeError("the inputs hold no tensor; give the model's arguments as tensors.")
        with engine.watch(model, self._capture):
            if isinstance(tracked, Mapping):
                returned = model(**tracked)
            elif isinstance(tracked, (tuple, list)):
                returned = model(*tracked)
            else:
                returned = model(tracked)
            samples = next(tensors_in(inputs)).shape[:1]
            self.output, self.scalar, self.seed, self.target, self.shown = explained(returned, target, samples)
        if not self.output.requires_grad or tag_of(self.output, engine) is None:
            raise ValueError(
                "the explained output does not depend on the inputs by a differentiable way; does the model "
                "detach them or run under torch.no_grad()?"
            )

    def _track(self, x: Tensor) -> Tensor:
        if not x.is_floating_point() and not x.is_complex():
            return self.engine.mark_source(x)
        leaf, copy = self.engine.track(x)
        self.leaves.append(leaf)
        return copy

    def _capture(self, path: str, out: Any) -> None:
        if path in self.captured:
            self.captured[path].append(with_tensors(out, lambda t: _Captured(t, self.engine)))

    def result(self) -> Attribution:
        engine = self.engine
        engine.assign_rules(self.output)
        captured = [c for calls in self.captured.values() for item in calls for c in _captures(item)]
        ends = [get_gradient_edge(leaf) for leaf in self.leaves]
        for capture in captured:
            ends += capture.edges()
        ledger, engine.ledger = engine.ledger, None
        # Layers are read from the sums' values afterwards.
        retain = ledger is not None or bool(captured)
        pulled = engine.pull_back(self.output, self.seed, ends, retain)
        leaves = list(zip(self.leaves, pulled, strict=False))
        relevance = self._at_inputs([_relevance(x, *parts) for x, parts in leaves])
        per_unit = self._at_inputs([torch.zeros_like(x) if c is None else c for x, (c, _) in leaves])
        parts = iter(pulled[len(self.leaves) :])
        for capture in captured:
            capture.take(parts)
        result = Attribution(
            relevance,
            self.shown.detach(),
            self.target,
            self.scalar.detach(),
            per_unit,
            {path: _layer(calls) for path, calls in self.captured.items()},
        )
        if ledger is not None:
            engine.ledger = ledger
            self._audit(ledger, ends, result)
        return result

    def _at_inputs(self, values: list[Tensor]) -> Any:
        """Return what was found for each leaf in the structure of the inputs."""
        each = iter(values)
        return with_tensors(self.inputs, lambda t: next(each) if t.is_floating_point() or t.is_complex() else None)

    def _audit(self, ledger: Ledger, ends: list[GradientEdge], result: Attribution) -> None:
        """Pull every sample back by itself: only so can what is absorbed be told apart by sample."""
        samples, mixes = len(self.scalar), False
        for sample in range(samples):
            ledger.sample = sample
            seed = torch.zeros_like(self.seed)
            seed[sample] = self.seed[sample]
            pulled = self.engine.pull_back(self.output, seed, ends, retain=True)
            mixes = mixes or self._reaches_others(sample, pulled)
        if mixes:
            warnings.warn(
                "samples of this batch mix in the model (it runs, or norms, over the first dimension): the relevance "
                "of one sample's output lies at the inputs of others as well; explain them one at a time.",
                stacklevel=4,
            )
        result.ledger = ledger.frame()
        absorbed = result.ledger.groupby("sample")["absorbed"].sum().reindex(range(samples), fill_value=0.0)
        result.absorbed = torch.tensor(absorbed.to_numpy(), dtype=torch.float64)

    def _reaches_others(self, sample: int, pulled: Sequence[tuple[Tensor | None, Tensor | None]]) -> bool:
        for x, parts in zip(self.leaves, pulled, strict=False):
            if x.dim() and len(x) == len(self.scalar) > 1:
                found = _relevance(x, *parts)
                if bool(found[:sample].any()) or bool(found[sample + 1 :].any()):
                    return True
        return False


class _Captured:
    """The output of a module at the moment it was returned."""

    def __init__(self, tensor: Tensor, engine: Engine) -> None:
        tag = tag_of(tensor, engine)
        self.value = tensor.detach().clone()
        self.edge = get_gradient_edge(tensor) if tensor.requires_grad and tag is not None else None
        self.sum = tag.sum if tag is not None else None
        self.relevance = torch.zeros_like(self.value)

    def edges(self) -> list[GradientEdge]:
        """Return where relevance passes: here, and at the batch norm that this sum was merged with."""
        self.merged = self.sum.merged if self.sum is not None else None
        below = self.merged.node if self.merged is not None else None
        return [edge for edge in (self.edge, below) if edge is not None]

    def take(self, parts: Any) -> None:
        """Add up what arrived at each of the edges."""
        if self.edge is not None:
            self.relevance = _relevance(self.value, *next(parts))
        if self.merged is not None:
            self.relevance = self.relevance + _relevance(self.merged.out, *next(parts))


def _captures(item: Any) -> list[_Captured]:
    if isinstance(item, _Captured):
        return [item]
    if isinstance(item, dict):
        item = tuple(item.values())
    return [c for part in item for c in _captures(part)] if isinstance(item, (tuple, list)) else []


def _layer(calls: list[Any]) -> Any:
    def unpack(item: Any) -> Any:
        if isinstance(item, _Captured):
            return item.relevance
        if isinstance(item, dict):
            return {k: unpack(v) for k, v in item.items()}
        return type(item)(unpack(part) for part in item) if isinstance(item, (tuple, list)) else item

    unpacked = tuple(map(unpack, calls))
    return unpacked[0] if len(unpacked) == 1 else unpacked


def _relevance(x: Tensor, per_unit: Tensor | None, relevance: Tensor | None) -> Tensor:
    x = x.detach()
    result = torch.zeros_like(x) if per_unit is None else x * per_unit.conj()
    if relevance is not None:
        result = result + relevance
    return real(result)


def eager(model: Any) -> Any:
    """Return the model to run: a compiled one's original; refuse what torch functions cannot be seen in."""
    if isinstance(model, torch.export.ExportedProgram):
        model = model.module()
    model = getattr(model, "_orig_mod", model)
    parts = dict(model.named_modules()) if isinstance(model, nn.Module) else {"": model}
    for path, part in parts.items():
        if isinstance(part, (torch.jit.ScriptModule, torch.jit.ScriptFunction)):
            raise TypeError(
                f"{f'module {path!r}' if path else 'the model'} is a ScriptModule, which hides the functions it calls; "
                "explain the eager model it was made from (load its weights into the original class)."
            )
    if isinstance(model, torch.fx.GraphModule) and "train" in vars(model):
        # An exported program has no modes; its flag says nothing.
        return model
    for path, part in parts.items():
        if getattr(part, "training", False) and isinstance(part, nn.Module):
            place = f"module {path!r}" if path else "the model"
            raise ValueError(f"{place} is in training mode, so that its output depends on chance; call model.eval().")
    return model


def check_inputs(inputs: Any) -> None:
    """Refuse inputs that are not finite."""
    for x in tensors_in(inputs):
        if (x.is_floating_point() or x.is_complex()) and not bool(torch.isfinite(x).all()):
            bad = int((~torch.isfinite(x)).sum())
            raise ValueError(f"{bad} of {x.numel()} input values are NaN or infinite; fill or leave out those samples.")
