"""What each family of torch functions does with relevance: a file per family, entered in the registry."""

from signalrp.propagation.operations import (
    activations,
    custom,
    normalisers,
    products,
    sources,
    structure,
    weighted_sums,
)

__all__ = ["activations", "custom", "normalisers", "products", "sources", "structure", "weighted_sums"]
