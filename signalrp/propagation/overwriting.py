"""Functions that overwrite a tensor: natively where that is right, else by their twin on a copy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from signalrp.propagation.registry import HANDLERS, IN_PLACE, LINEAR_IN_PLACE
from signalrp.propagation.tags import Call, Tag, mark, tag_of

if TYPE_CHECKING:
    from signalrp.propagation.engine import Engine


def overwrite(engine: Engine, call: Call) -> Any:
    """Run a function that overwrites its first argument, and keep what the pull back needs of it."""
    try:
        return _overwrite(engine, call)
    except RuntimeError as error:
        if "is a view and is being modified inplace" not in str(error):
            raise
        engine.unsupported(call, "on one of several outputs of a function (split, chunk, unbind); clone it before")


def _overwrite(engine: Engine, call: Call) -> Any:
    target, twin = call.args[0], IN_PLACE[call.name]
    made = engine.inherited(call)
    # A number that is added is remembered, for which there must be a signal without it.
    adds_number = twin in ("add", "sub", "subtract") and not isinstance(call.args[1], Tensor)
    if twin in LINEAR_IN_PLACE and not adds_number and not engine.is_careful(call):
        engine.note_readers(call.tracked, rectifier=twin == "relu")
        # A sum that only ReLUs read serves as well once one has overwritten it: where they differ, c is 0.
        engine.kept.release(target, spare_sums=all(tag.sum is not None and tag.sum.is_rectified for tag in call.tags))
        out = call.native()
    elif not twin:
        engine.note_readers(call.tracked)
        engine.kept.release(target)
        out = HANDLERS[call.name](engine, call, *call.args, **call.kwargs)
    else:
        plain = call.renamed(twin, _copy(engine, target))
        result = engine.handle(plain)
        engine.tag(result, plain)
        made = tag_of(result, engine) or made
        engine.kept.release(target)
        out = target.copy_(result)
    for changed in (target, target._base):
        if changed is not None and changed.requires_grad:
            # A part does not make the whole a gate.
            tag = tag_of(changed, engine)
            whole = changed is target or (tag is not None and tag.gate)
            left = Tag(engine, made.parents, engine.next_step(), gate=made.gate if whole else "")
            mark(changed, _with_links(left, made, changed) if changed is target else left)
    return out


def _copy(engine: Engine, target: Tensor) -> Tensor:
    copy = target.clone()
    tag = tag_of(target, engine)
    if tag is not None:
        mark(copy, _with_links(tag, tag, copy))
    return copy


def _with_links(tag: Tag, known: Tag, tensor: Tensor) -> Tag:
    """Return a tag with what is known of the numbers added to a tensor of the same values."""
    affine, floor = known.affine, known.floor
    return replace(
        tag,
        affine=None if affine is None else replace(affine, version=tensor._version),
        floor=None if floor is None else replace(floor, version=tensor._version),
    )
