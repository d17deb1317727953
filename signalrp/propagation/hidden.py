"""Calls that would hide torch functions from the engine: custom autograd functions, checkpoints, compiled parts.

Relevance needs the forward pass only. While a model is watched, a custom autograd function therefore runs as the
torch functions that its ``forward`` is made of, unless it is registered, and a checkpoint runs what it was given.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.utils.checkpoint
from torch.autograd import Function
from torch.autograd.function import _SingleLevelFunction
from torch.overrides import _get_current_function_mode_stack, _pop_mode_temporarily

from signalrp.propagation.registry import REGISTERED

if TYPE_CHECKING:
    from signalrp.propagation.engine import Engine

CHECKPOINT = torch.utils.checkpoint._checkpoint_without_reentrant_generator

_lock = threading.Lock()
_watching: list[Engine] = []
_stances: list[Any] = []


@contextmanager
def opened_functions(engine: Engine) -> Iterator[None]:
    """Open what hides torch functions from an engine; others may do so in other threads at the same time."""
    with _lock:
        _watching.append(engine)
        # The class from which Function inherits: models keep `MyFunction.apply`, which is Function's own, under names.
        setattr(_SingleLevelFunction, "apply", classmethod(_apply))  # noqa: B010 - it has no such method
        torch.utils.checkpoint._checkpoint_without_reentrant_generator = _checkpoint
        # One stance holds for all threads. Its import takes seconds, for nothing where nothing is compiled.
        if not _stances and "torch._dynamo" in sys.modules:
            _stances.append(torch.compiler.set_stance("force_eager"))
    try:
        yield
    finally:
        with _lock:
            _watching.remove(engine)
            if not _watching:
                del _SingleLevelFunction.apply  # type: ignore[attr-defined]
                while _stances:
                    _stances.pop().__exit__(None, None, None)
                torch.utils.checkpoint._checkpoint_without_reentrant_generator = CHECKPOINT


def _engine() -> Engine | None:
    """Return the engine that watches this thread, unless it is handling a function."""
    modes = _get_current_function_mode_stack()
    return next((engine for engine in _watching if modes and modes[-1] is engine), None)


class Applied:
    """A custom autograd function, as one function that was called."""

    def __init__(self, function: type[Function]) -> None:
        self.function, self.__name__ = function, function.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function.apply(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return other is self.function

    def __hash__(self) -> int:
        return hash(self.function)


class Context:
    """Takes what a forward pass keeps for a backward pass that nobody runs."""

    def __init__(self, count: int) -> None:
        self.needs_input_grad = (False,) * count
        self.saved_tensors: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors for the function's own later use in its forward pass."""
        self.saved_tensors = tensors

    def mark_dirty(self, *tensors: Any) -> None:
        """Nothing to do: overwriting is seen where it happens."""

    mark_non_differentiable = mark_dirty
    save_for_forward = mark_dirty

    def set_materialize_grads(self, value: bool) -> None:
        """Nothing to do: there is no backward pass."""


def _apply(cls: type[Function], *args: Any, **kwargs: Any) -> Any:
    engine = _engine()
    if engine is None:
        return super(_SingleLevelFunction, cls).apply(*args, **kwargs)  # type: ignore[misc]
    if cls in REGISTERED:
        with _pop_mode_temporarily():
            return engine.dispatch(Applied(cls), args, kwargs)
    if cls is torch.utils.checkpoint.CheckpointFunction:
        run, _, *rest = args
        return run(*rest)
    forward: Callable[..., Any] = cls.forward
    if cls.setup_context is not Function.setup_context:
        return forward(*args, **kwargs)
    return forward(Context(len(args)), *args, **kwargs)


def _checkpoint(*args: Any, **kwargs: Any) -> Iterator[None]:
    if _engine() is None:
        yield from CHECKPOINT(*args, **kwargs)
    else:
        yield
