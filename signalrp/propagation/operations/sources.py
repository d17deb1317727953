"""Where relevance ends: embeddings of integers, and constants that take a share of their own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from signalrp.propagation.engine import Engine
from signalrp.propagation.operations.products import matrix_product
from signalrp.propagation.pull import total
from signalrp.propagation.registry import handles
from signalrp.propagation.tags import Call, Tag, mark, tag_of, tensors_in, with_tensors


@handles("embedding", "embedding_bag")
def embedding(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """What an integer stands for is a source: relevance that reaches it is booked and goes no further."""
    if call.tracked:
        # The table itself is a signal: its rows are chosen, or added up.
        return matrix_product(engine, call)
    return source(engine, call.name, call.value(), "source")


def source(engine: Engine, name: str, value: Tensor, cause: str) -> Tensor:
    """Return a tensor that may take relevance, which is booked and goes no further."""
    leaf = value.detach().clone().requires_grad_()
    number, path, value = engine.next_step(), engine.path, leaf.detach()

    def book(c: Tensor | None) -> None:
        if engine.ledger is not None and c is not None:
            received = total(c if engine.carries_relevance else c.conj() * value)
            engine.ledger.book(number, name, path, received, 0.0, absorbed={cause: received})

    leaf.register_hook(book)
    with torch.enable_grad():
        result = leaf.clone()
    engine.sources.append(leaf)
    mark(result, Tag(engine, (), engine.next_step()))
    return result


def with_sources(engine: Engine, call: Call) -> Call:
    """Return the call with a source in the place of every constant, which then takes its share as signals do."""
    sources: dict[int, Tensor] = {}

    def replaced(tensor: Tensor) -> Tensor:
        if any(tensor is t for t in call.tracked) or not (tensor.is_floating_point() or tensor.is_complex()):
            return tensor
        if id(tensor) not in sources:
            tag = tag_of(tensor, engine)
            cause = "cut" if tag is not None and tag.cut else "constant"
            sources[id(tensor)] = source(engine, call.name, tensor, cause)
        return sources[id(tensor)]

    args, kwargs = with_tensors(call.args, replaced), with_tensors(call.kwargs, replaced)
    tracked = list({id(t): t for t in tensors_in(args, kwargs) if t.requires_grad}.values())
    return Call(engine, call.func, call.name, args, kwargs, tracked)
