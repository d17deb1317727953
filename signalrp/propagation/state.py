"""A model is left as it was found, whatever it does to itself in its forward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class State:
    """What a model holds before its forward pass: attributes, and values once they are about to be overwritten.

    Nets with a norm constraint write to their own weights, others keep statistics, hidden states or attention maps,
    which would also keep the graph of the explanation alive.
    """

    def __init__(self, model: object) -> None:
        modules = list(model.modules()) if isinstance(model, nn.Module) else []
        self._attributes = [(module, _shallow(vars(module))) for module in modules]
        own = [t for module in modules for t in (*module._parameters.values(), *module._buffers.values())]
        self._own = {_address(t) for t in own if t is not None and not nn.parameter.is_lazy(t)}
        self._values: dict[int, tuple[Tensor, Tensor]] = {}
        self._data: dict[int, tuple[Tensor, Tensor]] = {}

    def about_to_change(self, tensor: Tensor, is_assignment: bool) -> None:
        """Keep a tensor of the model that is about to be overwritten or to be given other data."""
        if is_assignment and isinstance(tensor, nn.Parameter):
            self._data.setdefault(id(tensor), (tensor, tensor.data))
        elif not is_assignment and tensor.device.type != "meta" and _address(tensor) in self._own:
            whole = tensor.detach().new_empty(0).set_(tensor.untyped_storage())
            self._values.setdefault(_address(tensor), (whole, whole.clone()))

    def restore(self) -> None:
        """Bring everything back."""
        for parameter, data in self._data.values():
            parameter.data = data
        for tensor, value in self._values.values():
            # By way of .data, so that the version by which autograd knows changes stays.
            tensor.data.copy_(value)
        for module, attributes in self._attributes:
            _bring_back(vars(module), attributes)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else id(tensor)


def _shallow(attributes: dict[str, Any]) -> dict[str, Any]:
    inner = ("_parameters", "_buffers", "_modules")
    return {k: (v, dict(v)) if k in inner else (v, None) for k, v in attributes.items()}


def _bring_back(attributes: dict[str, Any], kept: dict[str, Any]) -> None:
    for name in attributes.keys() - kept.keys():
        del attributes[name]
    for name, (value, inner) in kept.items():
        attributes[name] = value
        if inner is not None:
            value.clear()
            value.update(inner)
