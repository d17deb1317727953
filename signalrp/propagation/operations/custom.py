"""Operations that users register."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from signalrp.propagation.engine import Engine
from signalrp.propagation.nodes import Step
from signalrp.propagation.operations.activations import hang_pointwise
from signalrp.propagation.registry import REGISTERED
from signalrp.propagation.tags import Call

PullBack = Callable[[Tensor, Tensor, Sequence[Tensor]], Sequence[Tensor | None]]
FAMILIES = ("homogeneous", "pointwise", "constant")


class Custom(Step):
    """A step whose pull back a user wrote."""

    pull_back: PullBack

    def per_unit(self, c: Tensor) -> tuple[Tensor | None, ...]:
        return tuple(self.pull_back(c, self.out, self.inputs))

    def absorbed(self, c: Tensor, is_relevance: bool) -> dict[str, float]:
        if is_relevance:
            return {}
        # What a foreign rule keeps is not said by it: here alone the entry is what is missing.
        kept = (c * self.out).sum(dtype=torch.float64)
        for part, x in zip(self.per_unit(c), self.inputs, strict=True):
            kept = kept - (part * x).sum(dtype=torch.float64) if part is not None else kept
        return {"withheld": float(kept)}


def register_operation(
    function: Callable[..., Any], behaviour: Literal["homogeneous", "pointwise", "constant"] | PullBack
) -> None:
    """Tell the engine how relevance goes back through a torch function.

    Parameters
    ----------
    function : callable
        The function as the model calls it: a builtin or Python function of torch, or a tensor method
        (``torch.Tensor.name``), or a subclass of ``torch.autograd.Function``, which otherwise is explained by the torch
        functions in its ``forward``. The last registration counts.
    behaviour : {"homogeneous", "pointwise", "constant"} or callable
        ``homogeneous``: linear or piecewise linear through the origin, its derivative is right. ``pointwise``: a
        function of one tensor, element by element: the slope from the origin. ``constant``: nothing goes
        back. A callable ``pull_back(c, output, inputs)`` gets relevance per unit of the output, the output and
        the tuple of tensors that relevance may reach, and returns relevance per unit for each of them.

    Raises
    ------
    ValueError
        When the behaviour is not one of these.

    Examples
    --------
    >>> def share_by_magnitude(c, output, inputs):
    ...     return [c * output / inputs[0]]
    >>> signalrp.register_operation(torch.special.i0e, share_by_magnitude)
    """
    if behaviour not in FAMILIES and not callable(behaviour):
        raise ValueError(f"behaviour must be one of {', '.join(FAMILIES)} or a function, found {behaviour!r}.")

    def handler(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
        if behaviour == "homogeneous":
            return engine.local(call, spread="proportional")
        if behaviour == "pointwise":
            return hang_pointwise(engine, call)
        if behaviour == "constant" or not callable(behaviour):
            return engine.cut(call)
        out = call.value()
        step = Custom(engine, call.name, call.tracked, out)
        step.pull_back = behaviour
        return engine.hang(step, call.tracked, out)

    REGISTERED[function] = handler
