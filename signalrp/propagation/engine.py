"""One forward pass under a torch function mode, one pull back.

The model runs once, natively. Every torch function it calls passes through :class:`Engine`, which lets automatic
differentiation carry what is linear and homogeneous and hangs a node of its own where that is not enough.
What then flows back is ``c = R / a``, relevance per unit of activation, so that relevance itself is ``a * c``
anywhere. Below rules that give relevance to inputs that are 0, R itself flows: those rules cut the graph and
a second pull back, with :attr:`Engine.carries_relevance` set, starts at the cuts.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode

from signalrp.propagation.composites import Composite
from signalrp.propagation.errors import UnsupportedOperation
from signalrp.propagation.kept import Kept
from signalrp.propagation.ledger import Ledger
from signalrp.propagation.nodes import Local, Step, StepNode, SumNode, share
from signalrp.propagation.pull import total
from signalrp.propagation.registry import (
    CONSTRUCTORS,
    CUTS,
    HANDLERS,
    IN_PLACE,
    LINEAR_IN_PLACE,
    MARKERS,
    REGISTERED,
    ROUTES,
)
from signalrp.propagation.sums import WeightedSum, depth
from signalrp.propagation.tags import Call, Linked, Tag, constant, mark, opened, tag_of, tensors_in, with_tensors


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
        self.sums: list[WeightedSum] = []
        self._steps = 0
        self._paths: list[str] = []
        self.kept = Kept()
        self._cuts: list[tuple[GradientEdge, Tensor]] = []
        self._locals: list[Local] = []
        self.sources: list[Tensor] = []

    # -- the forward pass -------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """Path of the module that is running, empty outside any."""
        return self._paths[-1] if self._paths else ""

    def next_step(self) -> int:
        """Number the steps in the order of the forward pass."""
        self._steps += 1
        return self._steps

    def is_careful(self, call: Call) -> bool:
        """Whether a call needs a step of its own: in an audit, and where relevance itself may come to flow."""
        return self.ledger is not None or depth(call.parents) < self.composite.relevance_depth

    def track(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return a leaf for one input of the model and a copy of it that the model may overwrite."""
        leaf = x.detach().clone().requires_grad_()
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
    def watch(self, model: object, on_output: Callable[[str, Any], None] | None = None) -> Iterator[None]:
        """Watch calls of torch functions, and of the model's modules for their paths."""
        handles: list[Any] = []

        def enter(path: str) -> Callable[..., None]:
            return lambda module, args: self._paths.append(path)

        def leave(path: str) -> Callable[..., None]:
            def hook(module: nn.Module, args: Any, out: Any) -> None:
                self._paths.pop()
                if on_output is not None:
                    on_output(path, out)

            return hook

        try:
            if isinstance(model, nn.Module):
                for path, module in model.named_modules():
                    handles.append(module.register_forward_pre_hook(enter(path)))
                    handles.append(module.register_forward_hook(leave(path)))
            with torch.enable_grad(), self:
                yield
        finally:
            for handle in handles:
                handle.remove()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Handle one call of a torch function."""
        return self.dispatch(func, args, kwargs or {})

    def dispatch(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Run a function natively and see to it that relevance finds its way back."""
        name = func.__name__
        if name in ("__get__", "__set__"):
            name = getattr(func.__self__, "__name__", name)
        tensors = list(tensors_in(args, kwargs))
        if not tensors or func.__name__ == "__set__" or name in MARKERS:
            return func(*args, **kwargs)
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
            return self._overwrite(call)
        out = self._handle(call)
        self.tag(out, call)
        return out

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
                    "it was computed where torch functions cannot be seen (a custom autograd function, a scripted "
                    "function, or before the forward pass); write it with torch functions in eager mode",
                )
        return list(tracked.values())

    def _untracked(self, func: Any, name: str, args: Any, kwargs: dict[str, Any], tensors: list[Tensor]) -> Any:
        marked = any(tag_of(t, self) is not None for t in tensors)
        if marked and torch.is_grad_enabled() and name in ("embedding", "embedding_bag"):
            return self._handle(Call(self, func, name, args, kwargs, []))
        out = func(*with_tensors(args, constant), **with_tensors(kwargs, constant))
        return self._mark_cut(out) if marked and name not in CONSTRUCTORS else out

    def _handle(self, call: Call) -> Any:
        handler = REGISTERED.get(call.func) or HANDLERS.get(call.name)
        is_python = isinstance(call.func, types.FunctionType)
        if is_python and (handler is None or "inplace" in call.func.__code__.co_varnames):
            with self:
                return opened(call.func)(*call.args, **call.kwargs)
        self._note_readers(call.tracked, rectifier=call.name == "relu")
        if handler is not None:
            return handler(self, call, *call.args, **call.kwargs)
        if self.unknown == "gradient":
            return call.native()
        out = call.value()
        if any(t.is_floating_point() or t.is_complex() for t in tensors_in(out)):
            self.unsupported(call)
        return self._mark_cut(out)

    def _note_readers(self, tensors: Iterable[Tensor], rectifier: bool = False) -> None:
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

    def _overwrite(self, call: Call) -> Any:
        """Run a function that overwrites its first argument."""
        target, twin = call.args[0], IN_PLACE[call.name]
        if twin in LINEAR_IN_PLACE and not self.is_careful(call):
            self._note_readers(call.tracked, rectifier=twin == "relu")
            # A sum that only ReLUs read serves as well once one has overwritten it: where they differ, c is 0.
            self.kept.release(target, spare_sums=all(tag.sum is not None and tag.sum.is_rectified for tag in call.tags))
            out = call.native()
        elif not twin:
            self._note_readers(call.tracked)
            self.kept.release(target)
            out = HANDLERS[call.name](self, call, *call.args, **call.kwargs)
        else:
            plain = call.renamed(twin, self._copy(target))
            result = self._handle(plain)
            self.tag(result, plain)
            self.kept.release(target)
            out = target.copy_(result)
        for changed in (target, target._base):
            if changed is not None and changed.requires_grad:
                mark(changed, Tag(self, call.parents, self.next_step()))
        return out

    def _copy(self, target: Tensor) -> Tensor:
        copy = target.clone()
        tag = tag_of(target, self)
        if tag is not None:
            mark(copy, tag)
        return copy

    def tag(self, out: Any, call: Call) -> None:
        """Mark what a function returned, unless it is its own input or was marked while it ran."""
        for tensor in tensors_in(out):
            tag = tag_of(tensor, self)
            if not tensor.requires_grad:
                self._mark_cut(tensor)
            elif tag is None or (tag.token < call.token and not any(tensor is t for t in call.tracked)):
                gate = call.name in ROUTES and all(t.gate for t in call.tags)
                mark(tensor, Tag(self, call.parents, call.token, gate=gate))

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
        self._locals.append(step)
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
        zeros = [torch.zeros_like(x) for x in step.inputs]
        both = total(c.conj() * step.function(*zeros))
        if step.uncut is None:
            return {"constant": both}
        constant = total(c.conj() * step.uncut(*zeros))
        return {"constant": constant, "cut": both - constant}

    def weighted_sum(self, call: Call, x: Tensor, op: WeightedSum, out: Tensor) -> Tensor:
        """Put a weighted sum of `x` into the graph; `out` is its native output."""
        op.path = op.path or self.path
        op.edge = get_gradient_edge(x)
        tag = tag_of(x, self)
        op.parents = tag.parents if tag is not None else ()
        op.from_input = 1 + depth(op.parents)
        op.x = self.kept.keep(lambda v: setattr(op, "x", v), op.x)
        self._keep_output(op, op.out)
        self.sums.append(op)
        result: Tensor = SumNode.apply(x, [out], op, self, self.next_step(), call.name)
        op.node = get_gradient_edge(result)
        mark(result, Tag(self, (op,), call.token, Linked(x, x._version, result._version), sum=op))
        return result

    # -- the pull back ------------------------------------------------------------------------------------------

    def assign_rules(self, output: Tensor) -> None:
        """Give every weighted sum its rule, now that its distance from the output is known."""
        tag = tag_of(output, self)
        self._note_readers([output])
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
        every = [*ends, *map(get_gradient_edge, self.sources)]
        per_unit = torch.autograd.grad(output, every, seed, retain_graph=retain, allow_unused=True)
        relevance: tuple[Tensor | None, ...] = (None,) * len(every)
        if self._cuts:
            self.carries_relevance = True
            edges, values = zip(*self._cuts, strict=True)
            relevance = torch.autograd.grad(edges, every, values, retain_graph=retain, allow_unused=True)
            self.carries_relevance = False
        arrived: list[tuple[Tensor | None, Tensor | None]] = list(zip(per_unit, relevance, strict=True))
        return arrived[: len(ends)]

    def close(self) -> None:
        """Let go of the graph: its nodes and this engine hold one another where Python cannot see it."""
        for op in self.sums:
            op.edge = op.node = None
        for step in self._locals:
            step.forget()
        for store in (self.sums, self.kept, self._cuts, self._locals, self.sources):
            store.clear()
