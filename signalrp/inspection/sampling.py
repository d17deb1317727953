"""One dimension of a signal: its samples, and what the numbers along it mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from signalrp.explanation import labelled
from signalrp.inspection.maps import Bound, Map

_SECONDS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "μs", "usec", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nanosecond", "nanoseconds"), 1e-9),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
}

Coordinate = tuple[NDArray[Any], dict[str, Any]]


class Axis:
    """One dimension of a signal, and what the numbers along it mean."""

    def __init__(self, signal: xr.DataArray, dim: str, basis: object, real: bool = True) -> None:
        self.signal, self.dim, self.basis = labelled(signal), dim, basis
        if dim == "trial" or dim not in self.signal.dims:
            others = ", ".join(map(repr, self.signal.dims[1:]))
            raise ValueError(f"{basis!r} needs the dimension {dim!r}, found {others} behind trial; give dim=...")
        if real and self.signal.dtype.kind == "c":
            raise ValueError(f"{basis!r} is for real numbers, found complex coefficients; put it first in the chain.")
        self.size = self.signal.sizes[dim]
        if self.size == 0:
            raise ValueError(f"the signal has no sample along {dim!r}.")

    def _steps(self) -> tuple[float, float, str]:
        """Return the first instant, the step to the next, and the units of both; samples where none are known."""
        if self.dim not in self.signal.coords or self.signal[self.dim].dtype.kind not in "fiumM":
            return 0.0, 1.0, ""
        coordinate = self.signal[self.dim]
        values, units = coordinate.values, str(coordinate.attrs.get("units", ""))
        if values.dtype.kind in "mM":
            values, units = (values - values[0]) / np.timedelta64(1, "s"), "s"
        values = values.astype(np.float64)
        if self.size == 1:
            return float(values[0]), 1.0, ""
        step = (values[-1] - values[0]) / (self.size - 1)
        # Coordinates are often rounded to few digits.
        off = abs(values - (values[0] + step * np.arange(self.size))).max()
        if not step > 0 or not off <= 0.05 * step:
            raise ValueError(
                f"the coordinate {self.dim!r} must increase in equal steps, found steps from "
                f"{np.diff(values).min():.4g} to {np.diff(values).max():.4g}; resample the signal, or drop the "
                "coordinate to count in samples."
            )
        return float(values[0]), float(step), units

    def frequencies(self, per_sample: NDArray[np.float64]) -> Coordinate:
        """Return frequencies from cycles per sample."""
        _, step, units = self._steps()
        if units in _SECONDS:
            return per_sample / (step * _SECONDS[units]), {"units": "Hz"}
        return per_sample / step, {"units": f"cycles per {units or ('sample' if step == 1 else f'unit of {self.dim}')}"}

    def instants(self, samples: NDArray[np.int64]) -> Coordinate:
        """Return the instants of samples, which may lie beyond the ends of the signal."""
        start, step, _ = self._steps()
        coordinate = self.signal[self.dim]
        if coordinate.dtype.kind in "mM":
            nanoseconds = np.rint(1e9 * step * samples).astype("timedelta64[ns]")
            return coordinate.values[0] + nanoseconds, coordinate.attrs
        return start + step * samples, coordinate.attrs

    def bound(self, step: Map, new: dict[str, Coordinate], is_complex: bool) -> Bound:
        """Return the basis that replaces this dimension by new ones."""
        dims = [str(dim) for dim in self.signal.dims]
        taken = [name for name in new if name in self.signal.dims or name in self.signal.coords]
        if taken or len(new) < len(step.sizes):
            raise ValueError(
                f"a new dimension cannot be called {(taken or list(new))[0]!r}, a name the signal has in use; choose "
                "another with new_dim=... (of an STFT new_dims=...)."
            )
        axis = dims.index(self.dim)
        old = {
            str(name): coordinate.variable
            for name, coordinate in self.signal.coords.items()
            if "trial" not in coordinate.dims
        }
        kept = {name: variable for name, variable in old.items() if self.dim not in variable.dims}
        made = {name: xr.Variable(name, values, attrs) for name, (values, attrs) in new.items()}
        sizes = [self.signal.sizes[dim] for dim in dims]
        return Bound(
            name=repr(self.basis),
            dims=(*dims[:axis], *new, *dims[axis + 1 :]),
            shape=(*sizes[1:axis], *step.sizes, *sizes[axis + 1 :]),
            coords={**kept, **made},
            is_complex=is_complex,
            signal_dims=tuple(dims),
            signal_coords=old,
            steps=((step, axis),),
        )
