"""The autograd nodes that stand where automatic differentiation alone would not hand on relevance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.autograd import Function

from signalrp.propagation.pull import amount, pull, real, stabilise, total
from signalrp.propagation.sums import WeightedSum

if TYPE_CHECKING:
    from signalrp.propagation.engine import Engine

Grads = tuple[Tensor | None, ...]


class Step:
    """One operation: its inputs and output without graph, and how relevance goes back through it.

    Parameters
    ----------
    inputs : sequence of torch.Tensor
        The inputs that relevance may reach.
    out : torch.Tensor
        The output.
    """

    inputs: list[Tensor]
    reads_values: ClassVar[bool] = True
    """Whether the pull back reads the values of input and output; an audit always does."""

    def __init__(self, engine: Engine, name: str, inputs: Sequence[Tensor], out: Tensor) -> None:
        self.engine, self.name, self.path = engine, name, engine.path
        self.number = engine.next_step()
        if not self.reads_values and engine.ledger is None:
            self.inputs = [x.new_empty(()).expand(x.shape) for x in inputs]
            self.out = out.new_empty(()).expand(out.shape)
            return
        # Copies are swapped in before the model overwrites one of these.
        self.inputs = []
        for i, x in enumerate(inputs):
            self.inputs.append(engine.kept.keep(partial(self.inputs.__setitem__, i), x))
        self.out = engine.kept.keep(partial(setattr, self, "out"), out)

    def per_unit(self, c: Tensor) -> Grads:
        """Hand on relevance per unit of activation."""
        raise TypeError(f"{type(self).__name__} does not say how to hand on relevance.")

    def relevance(self, r: Tensor) -> Grads:
        """Hand on relevance itself: unchanged to a single input, in equal shares to several."""
        share = r / len(self.inputs)
        return tuple(share.sum_to_size(x.shape) for x in self.inputs)

    def absorbed(self, c: Tensor, is_relevance: bool) -> dict[str, float]:
        """Return what ends here, by name; called in an audit only."""
        return {}

    def backward(self, grad: Tensor) -> Grads:
        """Pull back in the engine's current mode and book the step."""
        is_relevance = self.engine.carries_relevance
        grads = self.relevance(grad) if is_relevance else self.per_unit(grad)
        if self.engine.ledger is not None:
            received = total(grad) if is_relevance else amount(grad, self.out)
            passed = sum(
                total(g) if is_relevance else amount(g, x)
                for g, x in zip(grads, self.inputs, strict=True)
                if g is not None
            )
            self.engine.ledger.book(
                self.number, self.name, self.path, received, passed, absorbed=self.absorbed(grad, is_relevance)
            )
        return grads


def fresh(out: Tensor) -> Tensor:
    """Return a tensor that autograd lets the model overwrite: a view of a node's output may not be."""
    if not out._is_view():
        return out
    if out.is_conj() or out.is_neg():
        return out.clone()
    return out.new_empty(0).set_(out.untyped_storage(), out.storage_offset(), out.size(), out.stride())


class StepNode(Function):
    """Hangs a step into the graph."""

    @staticmethod
    def forward(ctx: Any, step: Step, out: list[Tensor], *inputs: Tensor) -> Tensor:
        # The output comes in a list: as an argument of its own it would be returned as a view.
        ctx.step = step
        return fresh(out[0])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        step = ctx.step
        if step.engine.is_last:
            ctx.step = None
        return (None, None, *step.backward(grads[0]))


class Local(Step):
    """Any differentiable function, pulled back by its own derivative.

    Parameters
    ----------
    shares : sequence of float
        The part of each input: 1 for functions that are linear in it, 1/2 for either factor of a product.
    spread : {"equal", "flat", "proportional"}
        How relevance itself is handed on: as :class:`Step` does; by the (non-negative) weights of the function;
        by the inputs' contributions.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        inputs: Sequence[Tensor],
        function: Callable[..., Tensor],
        shares: Sequence[float] | None = None,
        spread: str = "equal",
    ) -> None:
        with torch.enable_grad():
            leaves = [x.detach().requires_grad_() for x in inputs]
            out = function(*leaves)
        super().__init__(engine, name, inputs, out.detach())
        self.local, self.leaves, self.function = out, leaves, function
        self.shares, self.spread = shares or [1.0] * len(leaves), spread
        self.uncut: Callable[..., Tensor] | None = None

    def forget(self) -> None:
        """Let go of the local graph and of the call, which may lead back to this step."""
        del self.local, self.leaves, self.function
        self.uncut = None

    def _derivative(self, c: Tensor) -> Grads:
        return torch.autograd.grad(self.local, self.leaves, c, retain_graph=True, allow_unused=True)

    def per_unit(self, c: Tensor) -> Grads:
        return tuple(None if g is None else g * s for g, s in zip(self._derivative(c), self.shares, strict=True))

    def relevance(self, r: Tensor) -> Grads:
        if self.spread == "equal":
            whole = sum(self.shares)
            parts = zip(self.inputs, self.shares, strict=True)
            return tuple((real(r) * s / whole).sum_to_size(x.shape).to(x.dtype) for x, s in parts)
        if self.spread == "flat":
            weight = self._weight()
            return self._derivative(torch.where(weight == 0, 0, r / torch.where(weight == 0, 1, weight)))
        grads = self.per_unit(self._unit(r))
        return tuple(
            None if g is None else real(g.conj() * x).to(x.dtype) for g, x in zip(grads, self.inputs, strict=True)
        )

    def _weight(self) -> Tensor:
        """Return the sum of the weights of each output; what constants contribute is left out."""
        ones = [torch.ones_like(x) for x in self.inputs]
        return self.function(*ones) - self.function(*map(torch.zeros_like, self.inputs))

    def _unit(self, r: Tensor) -> Tensor:
        """Return relevance per unit of the output, stabilised."""
        if not self.out.is_complex():
            return r / stabilise(self.out, self.engine.epsilon)
        return r.real * self.out / (self.out.abs().square() + self.engine.epsilon)

    def absorbed(self, c: Tensor, is_relevance: bool) -> dict[str, float]:
        if not is_relevance:
            return self.engine.constants(self, c)
        if self.spread == "flat":
            return {"constant": total(torch.where(self._weight() == 0, c, 0))}
        if self.spread == "equal":
            return {}
        unit = self._unit(c)
        epsilon = self.engine.epsilon
        if self.out.is_complex():
            kept = c.real * epsilon / (self.out.abs().square() + epsilon)
        else:
            kept = unit * torch.where(self.out >= 0, 1, -1) * epsilon
        return {"stabiliser": total(kept), **self.engine.constants(self, unit)}


class SumNode(Function):
    """Hangs a weighted sum into the graph; its rule is asked in the pull back."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, out: list[Tensor], op: WeightedSum, engine: Engine, number: int, name: str
    ) -> Tensor:
        ctx.state = (op, engine, number, name)
        return fresh(out[0])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (op, engine, number, name), grad = ctx.state, grads[0]
        is_relevance = engine.carries_relevance
        rule = op.rule
        if rule is None:
            raise RuntimeError(f"the weighted sum at {op.path!r} got no rule: it was met after the forward pass.")
        pulled = pull(op, rule, grad, is_relevance, engine.ledger is not None)
        if engine.is_last:
            op.let_go()
            ctx.state = None
        if engine.ledger is not None:
            engine.ledger.book(
                number,
                name,
                op.path,
                total(grad if is_relevance else grad * op.out),
                (total(pulled.per_unit * op.x) if pulled.per_unit is not None else 0.0)
                + (total(pulled.relevance) if pulled.relevance is not None else 0.0),
                type(rule).__name__,
                {"bias": pulled.bias, "stabiliser": pulled.stabiliser, "withheld": pulled.withheld},
            )
        if is_relevance:
            below = pulled.relevance
            if pulled.per_unit is not None:
                contribution = pulled.per_unit * op.x
                below = contribution if below is None else below + contribution
            return below, None, None, None, None, None
        if pulled.relevance is not None:
            engine.restart(op.edge, pulled.relevance.expand_as(op.x))
        return pulled.per_unit, None, None, None, None, None


def share(x: Tensor, part: float) -> Tensor:
    """Return x itself, of whose pull back only a part is handed on."""
    view = x.view_as(x)
    if part != 1:
        view.register_hook(lambda grad: grad * part)
    return view
