"""The table of torch functions: which family each belongs to. The families fill it when they are imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Handler = Callable[..., Any]

HANDLERS: dict[str, Handler] = {}
"""By name: a function, its tensor method and its form in torch.nn.functional behave alike."""

REGISTERED: dict[Any, Handler] = {}
"""By function: what users registered, asked first."""

IN_PLACE: dict[str, str] = {}
"""Functions that overwrite their first argument, with the name of the twin that does not; empty where it is
handled by itself."""

LINEAR_IN_PLACE = {"relu", "leaky_relu", "rrelu", "abs", "neg", "add", "sub", "subtract"}
"""Twins of functions that can overwrite their argument natively, since the derivative is right for them."""

CUTS = {
    "detach", "detach_", "data", "floor", "ceil", "round", "trunc", "sign", "sgn", "heaviside", "fix",
    "floor_divide", "__floordiv__", "__rfloordiv__", "signbit", "bernoulli",
}  # fmt: skip
"""Functions whose derivative is 0: the model itself cuts the way."""

CONSTRUCTORS = {
    "zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "randint_like", "new_zeros",
    "new_ones", "new_empty", "new_full", "new_tensor",
}  # fmt: skip
"""Functions that read nothing of their argument but its shape and type."""

MARKERS = {
    "requires_grad_", "retain_grad", "register_hook", "size", "dim", "numel", "stride", "storage_offset",
    "is_floating_point", "is_complex", "is_contiguous", "shape", "dtype", "device", "ndim", "ndimension", "layout",
    "requires_grad", "is_leaf", "grad", "grad_fn", "is_cuda", "is_sparse", "is_quantized", "is_nested", "names",
    "_version", "__len__", "element_size", "nelement", "get_device", "is_signed", "is_mkldnn", "is_meta", "_base",
    "is_inference", "is_conj", "is_neg", "data_ptr", "untyped_storage", "storage", "__hash__", "__repr__",
    "itemsize", "nbytes", "_backward_hooks", "output_nr", "is_shared", "is_pinned", "__format__", "__deepcopy__",
    "set_", "share_memory_",
}  # fmt: skip
"""Functions that say something of a tensor and compute nothing."""


SHAPED_LIKE = {"expand_as", "view_as", "reshape_as", "type_as", "resize_as", "to"}
"""Functions that read nothing of their second argument but its shape and type."""

STATISTICAL = {"batch_norm", "instance_norm", "native_batch_norm", "_native_batch_norm_legit"}
"""Functions that may write to statistics among their arguments."""

LEAVING = {"numpy", "__array__", "__dlpack__", "tolist", "item", "__float__"}
"""Functions behind which torch does not see what becomes of the values."""


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Enter a function as the handler of torch functions with these names."""

    def enter(handler: Handler) -> Handler:
        for name in names:
            HANDLERS[name] = handler
        return handler

    return enter


def overwrites(*names: str) -> None:
    """Enter the forms of functions that overwrite their argument: ``relu_`` for ``relu``."""
    for name in names:
        IN_PLACE[name + "_"] = name


def writes(func: Any, name: str) -> bool:
    """Whether a function overwrites its first tensor, or assigns to one of its attributes."""
    return func.__name__ == "__set__" or name in IN_PLACE or (name.endswith("_") and not name.endswith("__"))
