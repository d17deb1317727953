"""Virtual inspection: the relevance that a model of raw signals gives, seen in another basis.

A transform and its inverse in front of a model change nothing of what it computes, but show its relevance where people
can read it: at frequencies, in time and frequency, at independent components. They need not be put there. With
relevance per unit of signal c, the coefficients z = W x of an analysis W and its synthesis V, of which V W = 1, have
the relevance R = Re(z conj(V^H c)): nothing is divided, sums are kept exactly, and the model stays as it is
(Vielhaben et al. 2024, doi:10.1016/j.patcog.2024.110309, arXiv:2303.06365).

Examples
--------
Relevance per frequency band, and per independent component:

>>> explanation = signalrp.explain(model, signal, per_unit=True)
>>> seen = inspect(explanation, DFT())
>>> seen.relevance.groupby_bins("frequency", [4, 8, 13, 30], labels=["theta", "alpha", "beta"], right=False).sum()
>>> seen = inspect(explanation, Chain(Linear(unmixing, dim="channel"), DFT()))
>>> seen.relevance.sum("frequency")

Any other method of explanation in the same basis, through the model behind the inverse:

>>> bound = DFT().bind(signal)
>>> other = explain_with("integrated-gradients", bound.in_front_of(model), bound.coefficients(signal))
>>> seen = gather(other, bound)
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from signalrp.inspection.bases import DCT, DFT, STFT, Basis, Chain, Linear
from signalrp.inspection.maps import PART, Bound

__all__ = ["DCT", "DFT", "STFT", "Basis", "Bound", "Chain", "Linear", "gather", "inspect"]

_MAPS = ("signal", "relevance", "per_unit")
_VALUES = 2**18
"""Coefficients that are computed at once; of more trials than these fill memory holds the results alone."""

_NEAR_ZERO = 1e-2
"""Samples far below this part of their trial's largest value count as 0 where relevance is divided by them.

Of relevance spread evenly over a sine of 10 Hz in noise of a tenth of its amplitude, 0.99 comes out within 1 Hz of it,
with a standard deviation of 0.02 over noises, and 0.01 is lost; with 1e-6 it is 0.95 with a deviation of 0.33.
"""


def inspect(explanation: xr.Dataset, basis: Basis) -> xr.Dataset:
    """Show the relevance of an explanation in another basis.

    Parameters
    ----------
    explanation : xarray.Dataset
        From :func:`signalrp.explain` with ``per_unit=True``: ``signal``, ``relevance`` and ``per_unit``.
    basis : Basis
        Such as ``DFT()``, ``STFT("hann", length=256)``, ``DCT()``, ``Linear(unmixing)`` or a ``Chain`` of these.

    Returns
    -------
    xarray.Dataset
        ``signal``, the coefficients or, of complex ones, their magnitudes, and ``relevance`` in the new dimensions;
        ``waveform``, the signal in its own; all other variables and coordinates as they are. Sums of relevance over a
        trial are those of the explanation. Computed in double precision, stored in the types of the explanation.

        Relevance that rules gave to samples as such (ZBox, Flat and WSquare in the first layer) is per unit of nothing
        and is carried over as relevance divided by the sample. What lies on samples of about 0, below a hundredth of
        the trial's largest value, cannot be carried anywhere. It is booked in ``lost`` (trial), absent where nothing
        is: relevance, summed, and ``lost`` make up the relevance of the explanation.

    Raises
    ------
    ValueError
        When ``per_unit`` is missing, values are not finite, or the basis does not fit the signal.
    TypeError
        When `basis` is no basis.
    """
    if not isinstance(basis, Basis):
        raise TypeError(f"the basis must be one such as DFT() or Linear(matrix), found {basis!r}.")
    if "waveform" in explanation:
        raise ValueError("this explanation was inspected before; inspect the one it was made of, with Chain(...).")
    if "signal" not in explanation:
        raise ValueError(
            "the dataset holds no signal and is no explanation; make one with explain(..., per_unit=True)."
        )
    if "per_unit" not in explanation:
        raise ValueError(
            "the explanation holds no relevance per unit of signal, which another basis needs; make it with "
            "explain(..., per_unit=True)."
        )
    bound = basis.bind(explanation["signal"])
    taken = (set(bound.dims) - set(bound.signal_dims)) & {*explanation.variables, *explanation.dims}
    if taken:
        raise ValueError(f"the explanation has another {min(taken)!r} already; choose another name with new_dim=...")
    x, relevance, per_unit = (_values(explanation, name, bound.signal_dims) for name in _MAPS)
    size = np.finfo(relevance.dtype)
    # What a product of two rounded numbers may be off by.
    rounding = 16 * max(size.eps, np.finfo(per_unit.dtype).eps), size.tiny
    seen = np.empty((len(x), *bound.shape), np.result_type(x.dtype, relevance.dtype))
    shares, lost = np.empty(seen.shape, relevance.dtype), np.zeros(len(x))
    for batch in _batches(len(x), bound):
        signal, received, c = (_doubles(values[batch]) for values in (x, relevance, per_unit))
        c, lost[batch] = _whole_per_unit(signal, received, c, rounding)
        z = bound.forward(signal)
        seen[batch], shares[batch] = _magnitude(z), _real(z * bound.adjoint(c).conj())
    result = _dataset(explanation.drop_vars(list(_MAPS)), bound, explanation["signal"].variable, seen, shares)
    if lost.any():
        result["lost"] = ("trial", lost, {"units": "relevance", "long_name": "relevance on samples of about 0"})
    return result


def gather(explanation: xr.Dataset, bound: Bound) -> xr.Dataset:
    """Give an explanation of coefficients the form in which :func:`inspect` returns one of a signal.

    Parameters
    ----------
    explanation : xarray.Dataset
        Of the model ``bound.in_front_of(model)`` and the signal ``bound.coefficients(signal)``, by any method.
    bound : Bound
        From :meth:`Basis.bind`.

    Returns
    -------
    xarray.Dataset
        See :func:`inspect`. The relevance of a complex coefficient is that of its two parts together.

    Raises
    ------
    ValueError
        When the explanation is not one of these coefficients.
    """
    dims = (*bound.dims, PART) if bound.is_complex else bound.dims
    if "signal" not in explanation or explanation["signal"].shape[1:] != bound.shape + (2,) * bound.is_complex:
        raise ValueError(
            f"an explanation of the coefficients has {dims} with sizes {bound.shape} between, found "
            f"{dict(explanation.sizes)}; explain bound.in_front_of(model) with bound.coefficients(signal)."
        )
    values, relevance = (_values(explanation, name, dims) for name in ("signal", "relevance"))
    seen = np.empty((len(values), *bound.shape), values.dtype)
    waveforms = []
    for batch in _batches(len(values), bound):
        z = _doubles(values[batch])
        z = torch.view_as_complex(z) if bound.is_complex else z
        seen[batch] = _magnitude(z)
        waveforms.append(bound.inverse(z).numpy().astype(values.dtype))
    waveform = xr.Variable(bound.signal_dims, np.concatenate(waveforms), explanation["signal"].attrs)
    rest = explanation.drop_vars([*_MAPS, PART], errors="ignore").assign_coords(bound.signal_coords)
    return _dataset(rest, bound, waveform, seen, relevance.sum(-1) if bound.is_complex else relevance)


def _values(explanation: xr.Dataset, name: str, dims: tuple[str, ...]) -> NDArray[Any]:
    if name not in explanation or set(explanation[name].dims) != set(dims):
        found = f"{name!r} {explanation[name].dims}" if name in explanation else f"no {name!r}"
        raise ValueError(f"the explanation has {found} where {name!r} {dims} was expected; make it with explain().")
    values = explanation[name].transpose(*dims).values
    bad = ~np.isfinite(values).reshape(len(values), -1).all(1)
    if bad.any():
        raise ValueError(
            f"{name} has NaN or infinite values in {int(bad.sum())} of {len(bad)} trials, first in trial "
            f"{int(bad.argmax())}; fill or drop them."
        )
    return values


def _doubles(values: NDArray[Any]) -> Tensor:
    # A copy: torch takes no array that may not be written to, or whose bytes are in another order.
    return torch.as_tensor(values.astype(np.float64))


def _batches(trials: int, bound: Bound) -> Iterator[slice]:
    size = max(1, _VALUES // prod(bound.shape))
    return (slice(start, start + size) for start in range(0, trials, size))


def _whole_per_unit(
    x: Tensor, relevance: Tensor, c: Tensor, rounding: tuple[float, float]
) -> tuple[Tensor, NDArray[np.float64] | float]:
    """Return relevance per unit of signal, what was given as such included, and what of that is lost, by trial."""
    known = x * c
    given = relevance - known
    significant = given.abs() > rounding[0] * known.abs() + rounding[1]
    if not significant.any():
        return c, 0.0
    given = torch.where(significant, given, 0)
    floor = _NEAR_ZERO * x.flatten(1).abs().amax(1).reshape(-1, *(1,) * (x.dim() - 1))
    square = x.square() + floor.square()
    per_unit = torch.where(square == 0, 0, given * x / square)
    return c + per_unit, (given - x * per_unit).flatten(1).sum(1).numpy()


def _magnitude(z: Tensor) -> NDArray[Any]:
    return (z.abs() if z.is_complex() else z).numpy()


def _real(value: Tensor) -> NDArray[Any]:
    return (value.real if value.is_complex() else value).resolve_conj().numpy()


def _dataset(
    rest: xr.Dataset, bound: Bound, waveform: xr.Variable, signal: NDArray[Any], relevance: NDArray[Any]
) -> xr.Dataset:
    """Put an inspected explanation together; `rest` is what is carried over."""
    what = "magnitude" if bound.is_complex else "coefficient"
    variables = {
        "signal": (bound.dims, signal, {**waveform.attrs, "long_name": what}),
        "relevance": (bound.dims, relevance, {"units": "relevance"}),
        "waveform": waveform,
    }
    return rest.assign(variables).assign_coords(bound.coords).assign_attrs(basis=bound.name)
