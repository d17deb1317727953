"""What the engine knows of the tensors of a forward pass, and of one call of a function."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from signalrp.propagation.engine import Engine
    from signalrp.propagation.sums import WeightedSum


@dataclass(slots=True)
class Linked:
    """What a tensor was made of, for as long as neither has been overwritten since.

    By itself: the input of the operation that made it, so that a batch norm can be merged with a weighted sum.
    """

    signal: Tensor
    signal_version: int
    version: int

    def holds(self, out: Tensor) -> bool:
        """Whether signal and result are as they were."""
        return self.signal._version == self.signal_version and out._version == self.version


@dataclass(slots=True)
class Affine(Linked):
    """A tensor that is ``scale * signal + offset`` with two numbers."""

    scale: float
    offset: float


@dataclass(slots=True)
class Floor(Linked):
    """A tensor that is the greater of a signal and a positive number."""

    value: float


Gate = Literal["", "gate", "attention", "divisor"]


@dataclass(slots=True, eq=False)
class Tag:
    """Where a tensor comes from.

    Attributes
    ----------
    parents : tuple of WeightedSum
        The nearest weighted sums upstream.
    token : int
        When it was made; the call itself would keep its inputs alive.
    link : Linked, optional
        With `sum` or `norm`: what went in.
    sum : WeightedSum, optional
        The weighted sum whose output this is.
    norm : (scale, shift), optional
        The batch norm, per channel, whose output this is.
    gate : {"", "gate", "attention", "divisor"}
        Whether it scales another signal rather than being one: a gate (sigmoid, exponential), the weights of an
        attention (softmax), what something is divided by; empty where it is a signal.
    affine : Affine, optional
        What it was before a number was added to it.
    floor : Floor, optional
        What it was before a number bounded it from below.
    cut : bool
        Whether it depends on the input by a way that the model has cut (detach, integers).
    """

    engine: Engine
    parents: tuple[WeightedSum, ...] = ()
    token: int = 0
    link: Linked | None = None
    sum: WeightedSum | None = None
    norm: tuple[Tensor, Tensor] | None = None
    gate: Gate = ""
    affine: Affine | None = None
    floor: Floor | None = None
    cut: bool = False


def tag_of(tensor: Tensor, engine: Engine) -> Tag | None:
    """Return the tag that this engine gave a tensor."""
    tag = tensor.__dict__.get("_signalrp")
    return tag if tag is not None and tag.engine is engine else None


def affine_of(engine: Engine, tensor: Tensor) -> Affine | None:
    """Return what a tensor was before a number other than 0 was added to it, None where none was."""
    tag = tag_of(tensor, engine)
    known = tag.affine if tag is not None else None
    return known if known is not None and known.offset and known.holds(tensor) else None


def mark(tensor: Tensor, tag: Tag) -> None:
    """Tag a tensor."""
    tensor.__dict__["_signalrp"] = tag


def name_of(func: Any) -> str:
    """Return the name of a torch function, without the overload where it is an operator of a traced graph."""
    if isinstance(func, torch._ops.OpOverload):
        return func._schema.name.partition("::")[2]
    name: str = func.__name__
    if name in ("__get__", "__set__"):
        return getattr(func.__self__, "__name__", name)
    return name


def tensors_in(*objects: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and dicts."""
    for item in objects:
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, (tuple, list)):
            yield from tensors_in(*item)
        elif isinstance(item, dict):
            yield from tensors_in(*item.values())


def with_tensors(item: Any, change: Callable[[Tensor], Any]) -> Any:
    """Return nested tuples, lists and dicts with every tensor changed."""
    if isinstance(item, Tensor):
        return change(item)
    if isinstance(item, tuple) and hasattr(item, "_fields"):
        return type(item)(*(with_tensors(x, change) for x in item))
    if isinstance(item, (tuple, list)) and type(item) in (tuple, list):
        return type(item)(with_tensors(x, change) for x in item)
    if isinstance(item, dict):
        return {k: with_tensors(v, change) for k, v in item.items()}
    return item


def constant(tensor: Tensor) -> Tensor:
    """Return a tensor without gradient if it is a parameter, so that none is computed for it."""
    return tensor.detach() if tensor.requires_grad and tensor.is_leaf else tensor


class Call:
    """One call of a torch function with at least one input that relevance may reach."""

    def __init__(
        self, engine: Engine, func: Any, name: str, args: Any, kwargs: dict[str, Any], tracked: list[Tensor]
    ) -> None:
        self.engine, self.func, self.name, self.tracked = engine, func, name, tracked
        self.token = engine.next_step()
        self.args, self.kwargs = with_tensors(tuple(args), constant), with_tensors(kwargs, constant)

    @property
    def tags(self) -> list[Tag]:
        """The tags of the tracked inputs."""
        return [tag for t in self.tracked if (tag := tag_of(t, self.engine)) is not None]

    @cached_property
    def parents(self) -> tuple[WeightedSum, ...]:
        """The nearest weighted sums upstream of all inputs."""
        tags = self.tags
        if len(tags) == 1:
            return tags[0].parents
        return tuple({id(p): p for tag in tags for p in tag.parents}.values())

    def native(self) -> Any:
        """Run the function as the model called it."""
        return self.func(*self.args, **self.kwargs)

    def value(self) -> Any:
        """Run the function without graph."""
        with torch.no_grad():
            return self.native()

    def rebind(self, *tensors: Tensor) -> Any:
        """Run the function with other tensors in the place of the tracked ones."""
        other = dict(zip(map(id, self.tracked), tensors, strict=True))
        return self._with(lambda t: other.get(id(t), t))

    def without_cuts(self) -> Callable[..., Any] | None:
        """Return `rebind` with 0 for constants that the model has cut off from the input, None if there is none."""

        def is_cut(tensor: Tensor) -> bool:
            tag = tag_of(tensor, self.engine)
            return tag is not None and tag.cut and tensor.is_floating_point()

        if not any(map(is_cut, tensors_in(self.args, self.kwargs))):
            return None

        def run(*tensors: Tensor) -> Any:
            other = dict(zip(map(id, self.tracked), tensors, strict=True))
            return self._with(lambda t: other[id(t)] if id(t) in other else torch.zeros_like(t) if is_cut(t) else t)

        return run

    def renamed(self, name: str, target: Tensor) -> Call:
        """Return the call of the twin that does not overwrite, on a copy of the target."""
        home = torch.Tensor if hasattr(torch.Tensor, name) else torch.nn.functional
        kwargs = {k: v for k, v in self.kwargs.items() if k != "inplace"}
        old = self.args[0]
        swap = {id(old): target}
        args = with_tensors(self.args, lambda t: swap.get(id(t), t))
        kwargs = with_tensors(kwargs, lambda t: swap.get(id(t), t))
        tracked = [swap.get(id(t), t) for t in self.tracked]
        return Call(self.engine, getattr(home, name), name, args, kwargs, tracked)

    def _with(self, change: Callable[[Tensor], Any]) -> Any:
        return self.func(*with_tensors(self.args, change), **with_tensors(self.kwargs, change))


@cache
def opened(func: types.FunctionType) -> Callable[..., Any]:
    """Return a Python function of torch whose own check for overrides is blind, so that its body is seen."""
    blind = {name: lambda *_: False for name in func.__globals__ if name.startswith("has_torch_function")}
    blinded = types.FunctionType(
        func.__code__, {**func.__globals__, **blind}, func.__name__, func.__defaults__, func.__closure__
    )
    blinded.__kwdefaults__ = func.__kwdefaults__
    return blinded
