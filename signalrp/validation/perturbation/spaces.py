"""Where pieces are removed: in the signal that the model takes, or in its coefficients in a basis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from signalrp.inspection import Basis, Bound
from signalrp.validation.checks import labelled_array

# coefficients computed at once
_AT_ONCE = 256


@dataclass(frozen=True)
class Space:
    """What is cut into pieces and ranked, and what the model takes, the same where there is no basis.

    ``signal`` has the dimensions of relevance and pieces, in a basis with complex coefficients their magnitudes;
    ``inputs`` are the signals that go into the model.
    """

    signal: xr.DataArray
    inputs: xr.DataArray
    bound: Bound | None

    @property
    def name(self) -> str:
        """How the space is called on a plot."""
        return "signal" if self.bound is None else self.bound.name

    def content(self, inputs: Tensor) -> Tensor:
        """What pieces are removed from."""
        return inputs if self.bound is None else self.bound.forward(inputs)

    def values(self, inputs: NDArray[np.generic]) -> NDArray[np.generic]:
        """Contents of many signals in double precision."""
        if self.bound is None:
            return inputs
        parts = torch.from_numpy(np.ascontiguousarray(inputs, np.float64)).split(_AT_ONCE)
        return torch.cat([self.bound.forward(part) for part in parts]).resolve_conj().numpy()


def space_of(explanation: xr.Dataset, basis: Basis | None) -> Space:
    """The space of an explanation, inspected in that basis or not at all.

    Raises
    ------
    ValueError
        If the explanation is not one of that basis, or incomplete.
    """
    signal = labelled_array(explanation, "signal")
    if basis is None:
        if "waveform" in explanation:
            raise ValueError(
                "The explanation was inspected in another basis, and its signal is not what the model takes; give that "
                "basis as basis=."
            )
        return Space(signal, signal, None)
    if "waveform" not in explanation:
        raise ValueError(
            "The explanation holds no waveform, the signal that a basis is computed from; give "
            "signalrp.inspect(explanation, basis)."
        )
    inputs = labelled_array(explanation[["waveform"]], "waveform")
    bound = basis.bind(inputs)
    inputs = inputs.transpose(*bound.signal_dims)
    if set(bound.dims) != set(signal.dims):
        raise ValueError(
            f"The explanation has dimensions {signal.dims}, the basis {bound.name} makes {bound.dims}; give the basis "
            "in which it was inspected."
        )
    space = Space(signal.transpose(*bound.dims), inputs, bound)
    found, first = space.values(inputs.values[:1]), space.signal.values[:1]
    found = abs(found) if bound.is_complex else found
    if found.shape != first.shape or abs(found - first).max() > 1e-3 * abs(first).max():
        raise ValueError(
            f"The explanation's signal is not that of its waveform in the basis {bound.name}; give the basis in which "
            "it was inspected."
        )
    return space
