"""Where relevance ends: embeddings of integers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from signalrp.propagation.engine import Engine
from signalrp.propagation.pull import total
from signalrp.propagation.registry import handles
from signalrp.propagation.tags import Call, Tag, mark


@handles("embedding", "embedding_bag")
def embedding(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Tensor:
    """What an integer stands for is a source: relevance that reaches it is booked and goes no further."""
    leaf = call.value().requires_grad_()
    number, path, value = engine.next_step(), engine.path, leaf.detach()

    def book(c: Tensor | None) -> None:
        if engine.ledger is not None and c is not None:
            received = total(c if engine.carries_relevance else c * value)
            engine.ledger.book(number, call.name, path, received, 0.0, absorbed={"source": received})

    leaf.register_hook(book)
    with torch.enable_grad():
        result = leaf.clone()
    engine.sources.append(leaf)
    mark(result, Tag(engine, (), call.token))
    return result
