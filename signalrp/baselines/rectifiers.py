"""DeconvNet and guided backpropagation: gradients with another rule for ReLUs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from signalrp.baselines.asked import Asked, Found
from signalrp.propagation.tags import name_of


def deconvnet(asked: Asked) -> Found:
    """Backward signals that are negative stop at a ReLU, whatever its input (Zeiler and Fergus 2014)."""
    return _through(Rectifiers(guided=False), asked, "deconvnet")


def guided_backprop(asked: Asked) -> Found:
    """Negative gradients stop at a ReLU, as do those of inactive units (Springenberg et al. 2015)."""
    return _through(Rectifiers(guided=True), asked, "guided-backprop")


def _through(mode: Rectifiers, asked: Asked, name: str) -> Found:
    with mode:
        relevance = asked.gradient()
    if not mode.met:
        raise ValueError(
            f"{name} is another rule for ReLUs and the model calls none, so that this would be the plain gradient; "
            'ask for "gradient" or "input-x-gradient".'
        )
    return Found(relevance)


class Rectifiers(TorchFunctionMode):
    """Changes what flows back through every ReLU: a module's, a function's, in place or not.

    Other activations keep their derivative.
    """

    def __init__(self, guided: bool) -> None:
        super().__init__()
        self.guided, self.met = guided, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = name_of(func)
        if name in ("rnn_relu", "rnn_relu_cell"):
            raise ValueError(
                "the ReLUs of a recurrent layer with nonlinearity='relu' are inside its kernel, where no other rule "
                "can be set; write the layer out, or choose another method."
            )
        if name not in ("relu", "relu_"):
            return func(*args, **kwargs)
        x: Tensor = args[0] if args else kwargs["input"]
        if not (torch.is_grad_enabled() and x.requires_grad):
            return func(*args, **kwargs)
        self.met += 1
        out: Tensor
        if self.guided:
            out = func(*args, **kwargs)
        else:
            # The value of a ReLU and the derivative 1; the sum is exact, since one of its terms is 0 or they cancel.
            out = x + (x.relu() - x).detach()
            if name == "relu_" or kwargs.get("inplace") or args[1:2] == (True,):
                out = x.copy_(out)
        out.register_hook(lambda gradient: gradient.clamp(min=0))
        return out
