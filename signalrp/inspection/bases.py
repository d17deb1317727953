"""The bases that signals can be seen in: what is asked for, and what it is for signals of a certain shape."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from signalrp.explanation import labelled
from signalrp.inspection.maps import Bound, Cosine, Fourier, Matrix, ShortTime
from signalrp.inspection.sampling import Axis

_COVERED = 1e-8


class Basis(ABC):
    """A basis that signals can be seen in."""

    @abstractmethod
    def bind(self, signal: xr.DataArray) -> Bound:
        """Return what the basis is for signals of the dimensions and coordinates of this one, ``trial`` first.

        Raises
        ------
        ValueError
            When the signal lacks the dimension, or its size or its coordinate does not fit the basis.
        """


@dataclass(frozen=True)
class DFT(Basis):
    """The discrete Fourier transform of real signals: complex coefficients at frequencies from 0 to Nyquist.

    A coefficient stands for its negative frequency as well and takes the relevance of both. Coefficients are not
    normalised, ``X_k = sum_n x_n exp(-2 pi i k n / N)``; the transform costs O(N log N).

    Parameters
    ----------
    dim : str
        The dimension to transform, evenly sampled. In s, ms … its frequencies are in Hz, in other units in cycles per
        unit, without a coordinate in cycles per sample.
    new_dim : str
        Name of the dimension in its place.
    """

    dim: str = "time"
    new_dim: str = field(default="frequency", repr=False)

    def bind(self, signal: xr.DataArray) -> Bound:
        """See :class:`Basis`."""
        axis = Axis(signal, self.dim, self)
        frequency = axis.frequencies(np.arange(axis.size // 2 + 1) / axis.size)
        return axis.bound(Fourier(axis.size), {self.new_dim: frequency}, is_complex=True)


@dataclass(frozen=True)
class DCT(Basis):
    """The orthonormal discrete cosine transform of type II: real coefficients, O(N log N).

    Parameters
    ----------
    dim, new_dim : str
        See :class:`DFT`. Coefficient k oscillates with k half periods over the whole signal.
    """

    dim: str = "time"
    new_dim: str = field(default="frequency", repr=False)

    def bind(self, signal: xr.DataArray) -> Bound:
        """See :class:`Basis`."""
        axis = Axis(signal, self.dim, self)
        frequency = axis.frequencies(np.arange(axis.size) / (2 * axis.size))
        return axis.bound(Cosine(axis.size), {self.new_dim: frequency}, is_complex=False)


class STFT(Basis):
    """The short-time Fourier transform of real signals: complex coefficients (frequency, frame).

    All frames that reach into the signal count, with zeros beyond its ends, so that the inverse, overlap-add divided by
    the sum of the squared windows (Griffin and Lim 1984, doi:10.1109/TASSP.1984.1164317), is exact up to the ends.

    Parameters
    ----------
    window : str, tuple or array of float
        A name that :func:`scipy.signal.get_window` knows, or the window itself.
    length : int, optional
        Samples of the window; for an array it is known.
    hop : int, optional
        Samples from one frame to the next; by default half the window.
    dim : str
        The dimension to transform, see :class:`DFT`.
    new_dims : tuple of str
        Names of the two dimensions in its place. The second has the instant at the middle of each frame, sample
        ``length // 2`` of its window; the first frames are centred before the signal, the last ones behind it.

    Raises
    ------
    ValueError
        When window, length and hop do not fit one another, or leave samples that no window sees.
    """

    def __init__(
        self,
        window: str | tuple[Any, ...] | ArrayLike = "hann",
        length: int | None = None,
        hop: int | None = None,
        dim: str = "time",
        new_dims: tuple[str, str] = ("frequency", "frame"),
    ) -> None:
        self.window, self.name = _window(window, length)
        self.hop = max(1, len(self.window) // 2) if hop is None else hop
        self.dim, self.new_dims = dim, new_dims
        if not isinstance(self.hop, Integral) or self.hop < 1:
            raise ValueError(f"the hop is a number of samples, at least 1, found {hop!r}.")
        if not _covers(self.window, self.hop):
            longest = next((h for h in range(len(self.window), 0, -1) if h < self.hop and _covers(self.window, h)), 0)
            advice = f"give a hop of {longest} samples or fewer" if longest else "it is 0 throughout; give another"
            raise ValueError(
                f"a window {self.name} of {len(self.window)} samples and a hop of {self.hop} cannot be inverted: some "
                f"samples are seen by no window but where it is 0; {advice}."
            )

    def __repr__(self) -> str:
        return f"STFT(window={self.name}, length={len(self.window)}, hop={self.hop}, dim={self.dim!r})"

    def bind(self, signal: xr.DataArray) -> Bound:
        """See :class:`Basis`."""
        axis, length = Axis(signal, self.dim, self), len(self.window)
        if length > axis.size:
            raise ValueError(
                f"the window of {length} samples is longer than the signal, {axis.size} along {self.dim!r}; give a "
                "shorter one."
            )
        step = ShortTime(axis.size, self.window, self.hop)
        frequency = axis.frequencies(np.arange(step.sizes[0]) / length)
        coords = zip(self.new_dims, (frequency, axis.instants(step.frames * self.hop)), strict=True)
        return axis.bound(step, dict(coords), is_complex=True)


class Linear(Basis):
    """Any linear map along one dimension that can be undone: PCA, ICA, a montage, a frame of wavelets.

    Parameters
    ----------
    matrix : array (coefficients, samples)
        The analysis: coefficients are ``matrix @ x``. For an ICA the unmixing matrix. A complex one is for real
        signals, such as analytic wavelets.
    inverse : array (samples, coefficients), optional
        The synthesis, the model sees ``inverse @ coefficients``; of complex ones its real part. By default the
        pseudo-inverse. Which inverse it is matters where there are more coefficients than samples, or correlated ones:
        relevance of a coefficient is that of what its column adds to the signal.
    dim : str
        The dimension to map.
    names : sequence, optional
        Names of the coefficients.
    new_dim : str
        Name of the dimension in its place.

    Raises
    ------
    ValueError
        When a matrix holds NaN, sizes do not fit, or ``inverse @ matrix`` is not the identity.
    """

    def __init__(
        self,
        matrix: ArrayLike,
        inverse: ArrayLike | None = None,
        dim: str = "channel",
        names: Sequence[str] | NDArray[Any] | None = None,
        new_dim: str = "component",
    ) -> None:
        self.matrix, exact = _matrix(matrix, "matrix")
        self.dim, self.new_dim = dim, new_dim
        coefficients, samples = self.matrix.shape
        if inverse is None:
            self.inverse = _left_inverse(self.matrix)
        else:
            self.inverse, also_exact = _matrix(inverse, "inverse")
            exact = exact and also_exact
            if self.inverse.shape != (samples, coefficients):
                raise ValueError(
                    f"the inverse of a matrix {self.matrix.shape} must be {(samples, coefficients)}, found "
                    f"{self.inverse.shape}."
                )
        off = abs((self.inverse @ self.matrix).real - np.eye(samples)).max()
        if off > (1e-8 if exact else 1e-4):
            few = coefficients * (1 + np.iscomplexobj(self.matrix)) < samples
            rest = "; for fewer coefficients than samples add rows for the rest: scipy.linalg.null_space(matrix).T"
            raise ValueError(
                f"inverse @ matrix differs from the identity by up to {off:.2g}, so that the signal cannot be had back "
                f"from its coefficients{rest if few else '; give an invertible matrix, or its own inverse'}."
            )
        self.names = np.arange(coefficients) if names is None else np.asarray(names)
        if self.names.shape != (coefficients,):
            raise ValueError(f"found {self.names.size} names for {coefficients} coefficients; give one for each.")

    def __repr__(self) -> str:
        coefficients, samples = self.matrix.shape
        return f"Linear({coefficients} x {samples}, dim={self.dim!r})"

    def bind(self, signal: xr.DataArray) -> Bound:
        """See :class:`Basis`."""
        is_complex = np.iscomplexobj(self.matrix)
        axis = Axis(signal, self.dim, self, real=is_complex)
        if axis.size != self.matrix.shape[1]:
            raise ValueError(
                f"the matrix has {self.matrix.shape[1]} columns where the signal has {axis.size} along {self.dim!r}; "
                "give one column for each."
            )
        step = Matrix(self.matrix, self.inverse)
        return axis.bound(step, {self.new_dim: (self.names, {})}, is_complex or axis.signal.dtype.kind == "c")


class Chain(Basis):
    """Several bases one after the other, such as independent components and then their frequencies.

    Parameters
    ----------
    *bases : Basis
        The first is for the signal, each other one for the coefficients of the one before.

    Examples
    --------
    >>> Chain(Linear(unmixing, dim="channel"), DFT(dim="time"))
    """

    def __init__(self, *bases: Basis) -> None:
        if not bases or not all(isinstance(basis, Basis) for basis in bases):
            raise ValueError(f"a chain is made of bases, such as Chain(Linear(unmixing), DFT()), found {bases}.")
        self.bases = bases

    def __repr__(self) -> str:
        return f"Chain({', '.join(map(repr, self.bases))})"

    def bind(self, signal: xr.DataArray) -> Bound:
        """See :class:`Basis`."""
        signal = labelled(signal)
        first, *others = self.bases
        bound = first.bind(signal)
        for basis in others:
            # Nothing but dimensions, coordinates and type counts; this takes no memory.
            zero = np.zeros((), complex if bound.is_complex else float)
            between = xr.DataArray(np.broadcast_to(zero, (1, *bound.shape)), dict(bound.coords), bound.dims)
            after = basis.bind(between)
            again = sorted((set(after.dims) - set(between.dims)) & set(signal.dims))
            if again:
                raise ValueError(f"{basis!r} makes {again[0]!r}, as the signal calls its own; choose another new_dim.")
            bound = replace(
                after,
                name=repr(self),
                signal_dims=bound.signal_dims,
                signal_coords=bound.signal_coords,
                steps=(*bound.steps, *after.steps),
            )
        return bound


def _window(window: str | tuple[Any, ...] | ArrayLike, length: int | None) -> tuple[NDArray[np.float64], str]:
    """Return the values of a window and what to call it."""
    if length is not None and (not isinstance(length, Integral) or length < 1):
        raise ValueError(f"the length of the window is a number of samples, at least 1, found {length!r}.")
    if isinstance(window, str) or (isinstance(window, tuple) and window and isinstance(window[0], str)):
        if length is None:
            raise ValueError(f"a window {window!r} needs a length in samples, e.g. STFT({window!r}, length=256).")
        # It takes as long to import as torch does.
        from scipy.signal import get_window

        try:
            return np.asarray(get_window(window, int(length)), np.float64), repr(window)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"scipy.signal.get_window makes no window of {window!r} ({error}); give another name, or the window's "
                "values as an array."
            ) from None
    values = np.asarray(window)
    if values.ndim != 1 or values.dtype.kind not in "fiu" or not np.isfinite(values).all() or not len(values):
        raise ValueError(f"a window must be one row of finite real numbers, found {values.dtype} of {values.shape}.")
    if length is not None and length != len(values):
        raise ValueError(f"found a window of {len(values)} samples and length={length}; leave out the length.")
    return values.astype(np.float64), "array"


def _covers(window: NDArray[np.float64], hop: int) -> bool:
    """Whether every sample is seen by a window with a weight that it can be had back from."""
    squares = np.pad(window**2, (0, -len(window) % hop)).reshape(-1, hop).sum(0)
    return bool(squares.min() > _COVERED * squares.max())


def _matrix(values: ArrayLike, name: str) -> tuple[NDArray[Any], bool]:
    """Return a matrix in double precision, and whether it was given in it."""
    matrix = np.asarray(values)
    if matrix.ndim != 2 or not matrix.size or matrix.dtype.kind not in "fiubc":
        raise ValueError(
            f"the {name} must have two dimensions, numbers throughout, found {matrix.dtype} of {matrix.shape}."
        )
    if not np.isfinite(matrix).all():
        raise ValueError(f"the {name} holds {int((~np.isfinite(matrix)).sum())} values that are NaN or infinite.")
    exact = matrix.dtype.kind in "iub" or np.finfo(matrix.dtype).eps < 1e-10
    return matrix.astype(np.result_type(matrix.dtype, np.float64)), exact


def _left_inverse(matrix: NDArray[Any]) -> NDArray[Any]:
    if not np.iscomplexobj(matrix):
        return np.asarray(np.linalg.pinv(matrix))
    # For real signals a complex coefficient is two real ones.
    real, imaginary = np.hsplit(np.linalg.pinv(np.vstack([matrix.real, matrix.imag])), 2)
    return np.asarray(real - 1j * imaginary)
