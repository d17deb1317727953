"""One forward pass under a torch function mode, one pull back.

The model runs once, natively. Every torch function it calls passes through :class:`Engine`, which lets automatic
differentiation carry what is linear and homogeneous and hangs a node of its own where that is not enough.
What then flows back is ``c = R / a``, relevance per unit of activation, so that relevance itself is ``a * c``
anywhere. Below rules that give relevance to inputs that are 0, R itself flows: those rules cut the graph and
a second pull back, with :attr:`Engine.carries_relevance` set, starts at the cuts.
"""

from __future__ import annotations

import types
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode

from signalrp.propagation.composites import Composite
from signalrp.propagation.errors import Overwritten, UnsupportedOperation
from signalrp.propagation.hidden import opened_functions
from signalrp.propagation.kept import Kept
from signalrp.propagation.ledger import Ledger
from signalrp.propagation.nodes import Local, Step, StepNode, SumNode, share
from signalrp.propagation.overwriting import overwrite
from signalrp.propagation.pull import amount
from signalrp.propagation.registry import (
    CONSTRUCTORS,
    CUTS,
    HANDLERS,
    IN_PLACE,
    LEAVING,
    MARKERS,
    REGISTERED,
    SHAPED_LIKE,
    STATISTICAL,
    writes,
)
from signalrp.propagation.state import State
from signalrp.propagation.sums import WeightedSum, depth
from signalrp.propagation.tags import (
    Call,
    Gate,
    Linked,
    Tag,
    constant,
    mark,
    name_of,
    opened,
    tag_of,
    tensors_in,
    with_tensors,
)
from signalrp.propagation.visits import OnOutput, Visits, check_gates


class Engine(TorchFunctionMode):
    """Watches one forward pass of a model and pulls relevance back through it.

    Parameters
    ----------
    composite : Composite
        Which rule goes where.
    unknown : {"raise", "gradient"}
        What to do with a differentiable function that belongs to no family.
    ledger : Ledger, optional
        Where to book every step.
    """

    epsilon = 1e-6

    def __init__(self, composite: Composite, unknown: str = "raise", ledger: Ledger | None = None) -> None:
        super().__init__()
        self.composite, self.unknown, self.ledger = composite, unknown, ledger
        self.carries_relevance = False
        self.is_last = False
        self.sums: list[WeightedSum] = []
        self._steps = 0
        self._visits = Visits()
        self.kept = Kept()
        self._cuts: list[tuple[GradientEdge, Tensor]] = []
        self.forgetful: list[Any] = []
        self.sources: list[Tensor] = []
        self._state: State | None = None

    # -- the forward pass -------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """Path of the module that is running, empty outside any."""
        return self._visits.path

    def next_step(self) -> int:
        """Number the steps in the order of the forward pass."""
        self._steps += 1
        return self._steps

    def is_careful(self, call: Call) -> bool:
        """Whether a call needs a step of its own: in an audit, and where relevance itself may come to flow."""
        return self.ledger is not None or depth(call.parents) < self.composite.relevance_depth

    def track(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return a leaf for one input of the model and a copy of it that the model may overwrite."""
        # The model sees the copy alone, so that the leaf may share the caller's memory.
        leaf = (x.clone() if x.is_inference() else x.detach()).requires_grad_()
        with torch.enable_grad():
            copy = leaf.clone()
        mark(copy, Tag(self))
        return leaf, copy

    def mark_source(self, x: Tensor) -> Tensor:
        """Return an input without gradient (integers, booleans), marked as one that carries information."""
        copy = x.detach().clone()
        mark(copy, Tag(self, cut=True))
        return copy

    @contextmanager
    def watch(self, model: object, on_output: OnOutput | None = None) -> Iterator[None]:
        """Watch calls of torch functions, and of the model's modules for their paths."""

        def leave(path: str, out: Any) -> None:
            if any(fnmatchcase(path, glob) for glob in self.composite.gates):
                for tag in (tag_of(tensor, self) for tensor in tensors_in(out)):
                    if tag is not None:
                        tag.gate = "gate"
            if on_output is not None:
                on_output(path, out)

        check_gates(self.composite.gates, model, self.composite.name)
        self._state = State(model)
        with self._visits.of(model, leave), torch.enable_grad(), opened_functions(self), self:
            yield

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Handle one call of a torch function."""
        return self.dispatch(func, args, kwargs or {})

    def dispatch(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Run a function natively and see to it that relevance finds its way back."""
        name = name_of(func)
        tensors = list(tensors_in(args, kwargs))
        is_assignment = func.__name__ == "__set__"
        if tensors and writes(func, name):
            self._about_to_change(tensors[0], is_assignment)
        if name in STATISTICAL:
            for tensor in tensors:
                self._about_to_change(tensor, is_assignment=False)
        if not tensors or is_assignment or name in MARKERS:
            return func(*args, **kwargs)
        if name in SHAPED_LIKE:
            tensors = tensors[:1]
        tracked = self._tracked(tensors, name)
        if not tracked:
            return self._untracked(func, name, args, kwargs, tensors)
        call = Call(self, func, name, args, kwargs, tracked)
        if name in CONSTRUCTORS:
            return call.value()
        if not torch.is_grad_enabled() or name in CUTS:
            if name in IN_PLACE and any(call.args[0] is t for t in tracked):
                self.unsupported(call, "on the signal under torch.no_grad(); write the result to a new tensor")
            return self.cut(call)
        if kwargs.get("out") is not None:
            raise UnsupportedOperation(f"{name}(out=...)", self.path, "call it without out= and use what it returns")
        if name in IN_PLACE:
            return overwrite(self, call)
        out = self.handle(call)
        self.tag(out, call)
        return out

    def _about_to_change(self, tensor: Tensor, is_assignment: bool) -> None:
        if self._state is not None:
            self._state.about_to_change(tensor, is_assignment)
        if not is_assignment and (tensor.is_leaf or not tensor.requires_grad) and tensor.layout is torch.strided:
            # A constant that the pull back may still need.
            self.kept.release(tensor)

    def _tracked(self, tensors: Iterable[Tensor], name: str) -> list[Tensor]:
        tracked: dict[int, Tensor] = {}
        for tensor in tensors:
            if not tensor.requires_grad:
                continue
            tag = tag_of(tensor, self)
            if tag is not None and not tag.cut:
                tracked[id(tensor)] = tensor
            elif not tensor.is_leaf:
                origin = type(tensor.grad_fn).__name__
                raise UnsupportedOperation(
                    f"what made an input of {name} ({origin})",
                    self.path,
                    "it was computed where torch functions cannot be seen (a scripted function, torch.vmap, an "
                    "extension, or before the forward pass); write it with torch functions in eager mode",
                )
        return list(tracked.values())

    def _untracked(self, func: Any, name: str, args: Any, kwargs: dict[str, Any], tensors: list[Tensor]) -> Any:
        marked = any(tag_of(t, self) is not None for t in tensors)
        if marked and torch.is_grad_enabled() and name in ("embedding", "embedding_bag"):
            return self.handle(Call(self, func, name, args, kwargs, []))
        if marked and name in LEAVING and tensors[0].is_floating_point():
            self._warn_of_leaving(name)
        out = func(*with_tensors(args, constant), **with_tensors(kwargs, constant))
        return self._mark_cut(out) if marked and name not in CONSTRUCTORS else out

    def _warn_of_leaving(self, name: str) -> None:
        warnings.warn(
            f"the model leaves torch by {name} in module {self.path!r}: what it computes there of the signal counts "
            "as a constant; write it with torch functions to have it explained.",
            stacklevel=2,
        )

    def handle(self, call: Call) -> Any:
        """Run a function by the family it belongs to."""
        handler = REGISTERED.get(call.func) or HANDLERS.get(call.name)
        is_python = isinstance(call.func, types.FunctionType)
        if is_python and (handler is None or "inplace" in call.func.__code__.co_varnames):
            with self:
                return opened(call.func)(*call.args, **call.kwargs)
        self.note_readers(call.tracked, rectifier=call.name == "relu")
        if call.name in LEAVING:
            self._warn_of_leaving(call.name)
        if handler is not None:
            return handler(self, call, *call.args, **call.kwargs)
        if self.unknown == "gradient":
            return call.native()
        out = call.value()
        if any(t.is_floating_point() or t.is_complex() for t in tensors_in(out)):
            self.unsupported(call)
        return self._mark_cut(out)

    def note_readers(self, tensors: Iterable[Tensor], rectifier: bool = False) -> None:
        """Count who reads the outputs of weighted sums; what only ReLUs read costs less."""
        for tensor in tensors:
            tag = tag_of(tensor, self)
            if tag is not None and tag.sum is not None:
                tag.sum.readers += 1
                tag.sum.rectifiers += rectifier
                if tag.sum.readers > 1:
                    self.substitute(tag.sum, tensor)

    def substitute(self, op: WeightedSum, out: Tensor) -> None:
        """Keep another tensor in the place of a sum's output, where it serves as well and is alive anyway."""
        self.kept.drop(op.out)
        self._keep_output(op, out)

    def _keep_output(self, op: WeightedSum, out: Tensor) -> None:
        op.out = self.kept.keep(lambda v: setattr(op, "out", v), out, is_sum=True)

    def tag(self, out: Any, call: Call) -> None:
        """Mark what a function returned, unless it is its own input or was marked while it ran."""
        for tensor in tensors_in(out):
            tag = tag_of(tensor, self)
            if not tensor.requires_grad:
                self._mark_cut(tensor)
            elif tag is None or (tag.token < call.token and not any(tensor is t for t in call.tracked)):
                mark(tensor, self.inherited(call))

    def inherited(self, call: Call) -> Tag:
        """Return the tag of what a function makes of its inputs: of gates alone it makes gates."""
        kinds = {tag.gate for tag in call.tags}
        gate: Gate = (
            "" if "" in kinds else "attention" if "attention" in kinds else "gate" if "gate" in kinds else "divisor"
        )
        return Tag(self, call.parents, call.token, gate=gate)

    def _mark_cut(self, out: Any) -> Any:
        for tensor in tensors_in(out):
            if tag_of(tensor, self) is None:
                mark(tensor, Tag(self, cut=True))
        return out

    # -- building blocks of the operations ----------------------------------------------------------------------

    def hang(self, step: Step, inputs: Iterable[Tensor], out: Tensor) -> Tensor:
        """Put a step into the graph."""
        return StepNode.apply(step, [out], *inputs)

    def local(self, call: Call, shares: list[float] | None = None, spread: str = "equal") -> Any:
        """Run a function that its own derivative pulls back, with a step of its own where one is needed."""
        if not self.is_careful(call):
            return call.native()
        step = Local(self, call.name, call.tracked, call.rebind, shares, spread)
        step.uncut = call.without_cuts()
        self.forgetful.append(step)
        return self.hang(step, call.tracked, step.out.detach())

    def scaled(self, call: Call, shares: list[float], spread: str = "equal") -> Any:
        """Run a function of which each input takes a part: 1/2 each for a product, 0 for a gate."""
        if self.is_careful(call):
            return self.local(call, shares, spread)
        parts = [share(t, s) if s else t.detach() for t, s in zip(call.tracked, shares, strict=True)]
        return call.rebind(*parts)

    def cut(self, call: Call) -> Any:
        """Run a function through which nothing goes back."""
        return self._mark_cut(call.value())

    def unsupported(self, call: Call, detail: str = "") -> NoReturn:
        """Refuse a call."""
        name, _, advice = detail.partition("; ")
        raise UnsupportedOperation(f"{call.name} {name}".strip(), self.path, advice)

    def constants(self, step: Local, c: Tensor) -> dict[str, float]:
        """Return what the constants of an affine function take, those that the model has cut off apart."""
        # A factor without a share stays: with a divisor of 0 there would be nothing to compute.
        zeros = [torch.zeros_like(x) if part else x for x, part in zip(step.inputs, step.shares, strict=True)]
        both = step.function(*zeros)
        if step.uncut is None or not bool(both.any()):
            return {"constant": amount(c, both)}
        constant = amount(c, step.uncut(*zeros))
        return {"constant": constant, "cut": amount(c, both) - constant}

    def enter(self, op: WeightedSum, parents: tuple[WeightedSum, ...]) -> None:
        """Enter a weighted sum, so that the composite gives it a rule."""
        op.path, op.parents = op.path or self.path, parents
        op.from_input = 1 + depth(parents)
        self.sums.append(op)

    def keep_constants(self, holder: Any, *names: str) -> None:
        """Keep constants that an operation holds as they are now, whatever the model does to them later."""
        for name in names:
            value = getattr(holder, name)
            if isinstance(value, Tensor) and value.layout is torch.strided:
                setattr(holder, name, self.kept.keep(partial(setattr, holder, name), value))

    def weighted_sum(self, call: Call, x: Tensor, op: WeightedSum, out: Tensor) -> Tensor:
        """Put a weighted sum of `x` into the graph; `out` is its native output."""
        tag = tag_of(x, self)
        self.enter(op, tag.parents if tag is not None else ())
        op.edge = get_gradient_edge(x)
        op.x = self.kept.keep(lambda v: setattr(op, "x", v), op.x)
        self.keep_constants(op, "raw", "bias")
        self._keep_output(op, op.out)
        result: Tensor = SumNode.apply(x, [out], op, self, self.next_step(), call.name)
        op.node = get_gradient_edge(result)
        mark(result, Tag(self, (op,), call.token, Linked(x, x._version, result._version), sum=op))
        return result

    # -- the pull back ------------------------------------------------------------------------------------------

    def assign_rules(self, output: Tensor) -> None:
        """Give every weighted sum its rule, now that its distance from the output is known."""
        tag = tag_of(output, self)
        self.note_readers([output])
        reached = {id(p): p for p in (tag.parents if tag else ())}
        for op in reached.values():
            op.from_output = 1
        for op in reversed(self.sums):
            if op.from_output:
                for parent in op.parents:
                    parent.from_output = max(parent.from_output, op.from_output + 1)
        self.composite.assign([op for op in self.sums if op.from_output])

    def restart(self, edge: GradientEdge | None, relevance: Tensor) -> None:
        """Note that relevance itself flows from an edge of the graph downwards."""
        if edge is not None:
            self._cuts.append((edge, relevance))

    def pull_back(
        self, output: Tensor, seed: Tensor, ends: list[GradientEdge], retain: bool = False
    ) -> list[tuple[Tensor | None, Tensor | None]]:
        """Return, for each end, relevance per unit of activation and relevance that arrived as such."""
        self._cuts.clear()
        self.carries_relevance = False
        retain = retain or self.composite.carries_relevance
        # What has been pulled back for good lets go of its values, as autograd does; nothing is overwritten any more.
        self.is_last = not retain
        if self.is_last:
            self.kept.clear()
        every = [*ends, *map(get_gradient_edge, self.sources)]
        try:
            per_unit = torch.autograd.grad(output, every, seed, retain_graph=retain, allow_unused=True)
        except RuntimeError as error:
            if "modified by an inplace operation" not in str(error):
                raise
            raise Overwritten from error
        relevance: tuple[Tensor | None, ...] = (None,) * len(every)
        if self._cuts:
            self.carries_relevance = True
            edges, values = zip(*self._cuts, strict=True)
            relevance = torch.autograd.grad(edges, every, values, retain_graph=retain, allow_unused=True)
            self.carries_relevance = False
        arrived: list[tuple[Tensor | None, Tensor | None]] = list(zip(per_unit, relevance, strict=True))
        return arrived[: len(ends)]

    def close(self) -> None:
        """Give the model back as it was and let go of the graph, whose nodes and this engine hold one another."""
        if self._state is not None:
            # Not before: until now the pull back reads the weights that the forward pass has used.
            self._state.restore()
        for op in self.sums:
            op.edge = op.node = None
        for step in self.forgetful:
            step.forget()
        for store in (self.sums, self.kept, self._cuts, self.forgetful, self.sources):
            store.clear()
