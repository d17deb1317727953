"""What each family of torch functions does with relevance: a file per family, entered in the registry."""

from torch import Tensor

from signalrp.propagation.operations import (
    activations,
    arithmetic,
    attention,
    contractions,
    custom,
    normalisers,
    products,
    recurrent,
    reductions,
    slopes,
    sources,
    spectral,
    structure,
    weighted_sums,
)
from signalrp.propagation.registry import HANDLERS, IN_PLACE, overwrites

__all__ = [
    "activations",
    "arithmetic",
    "attention",
    "contractions",
    "custom",
    "normalisers",
    "products",
    "recurrent",
    "reductions",
    "slopes",
    "sources",
    "spectral",
    "structure",
    "weighted_sums",
]

# A method that overwrites its tensor is handled by its twin that does not, unless it is handled by itself.
overwrites(*(name for name in HANDLERS if hasattr(Tensor, f"{name}_") and f"{name}_" not in {*IN_PLACE, *HANDLERS}))
