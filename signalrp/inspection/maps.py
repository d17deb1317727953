"""Linear maps of a signal into another basis and back, exact in both directions: tensors in, tensors out.

A map acts along the last axis. With its analysis W and its synthesis V, of which V W = 1, coefficients are z = W x and
a model sees x = V z. Relevance per unit of signal c becomes relevance per unit of coefficient by the adjoint of V:
sum(c x) = sum(c V z) = Re sum(z conj(V^H c)), whatever V is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from signalrp.propagation.operations.custom import register_operation

PART = "part"


class Map(ABC):
    """A linear map along the last axis of a tensor.

    Attributes
    ----------
    sizes : tuple of int
        The axes that stand in the place of the last one.
    """

    sizes: tuple[int, ...]

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return the coefficients, W x."""

    @abstractmethod
    def inverse(self, z: Tensor) -> Tensor:
        """Return the signal, V z."""

    @abstractmethod
    def adjoint(self, c: Tensor) -> Tensor:
        """Return V^H c: relevance per unit of coefficient from relevance per unit of signal."""


class Fourier(Map):
    """The one-sided spectrum of n real samples, not normalised."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.sizes = (n // 2 + 1,)
        # In an inverse real transform a frequency stands for its negative twin too, which 0 and Nyquist do not have.
        self.counts = torch.full(self.sizes, 2.0, dtype=torch.float64)
        self.counts[0] = 1
        if n % 2 == 0:
            self.counts[-1] = 1

    def forward(self, x: Tensor) -> Tensor:
        """See :class:`Map`."""
        return torch.fft.rfft(x)

    def inverse(self, z: Tensor) -> Tensor:
        """See :class:`Map`."""
        return torch.fft.irfft(z, n=self.n)

    def adjoint(self, c: Tensor) -> Tensor:
        """See :class:`Map`."""
        return torch.fft.rfft(c) * (self.counts / self.n).to(c)


class ShortTime(Map):
    """Spectra of windowed frames, (frequency, frame); frame p is centred on sample p * hop.

    All frames that touch the signal count, with zeros beyond its ends. Every sample thus lies in as many frames as one
    in the middle does, and overlap-add, divided by the sum of the squared windows there, is exact up to the ends.
    """

    def __init__(self, n: int, window: np.ndarray, hop: int) -> None:
        length = len(window)
        first, last = -((length - 1 - length // 2) // hop), (n - 1 + length // 2) // hop
        self.n, self.hop, self.frames = n, hop, np.arange(first, last + 1)
        self.sizes = (length // 2 + 1, len(self.frames))
        self.window = torch.as_tensor(window, dtype=torch.float64)
        self.spectrum = Fourier(length)
        self.before = length // 2 - first * hop
        self.after = (len(self.frames) - 1) * hop + length - self.before - n
        self.overlap = self._overlap_add((self.window**2).expand(len(self.frames), length))

    def _framed(self, x: Tensor) -> Tensor:
        return F.pad(x, (self.before, self.after)).unfold(-1, len(self.window), self.hop) * self.window.to(x)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        lead, (count, length) = frames.shape[:-2], frames.shape[-2:]
        columns = frames.reshape(-1, count, length).mT
        size = (1, (count - 1) * self.hop + length)
        whole = F.fold(columns, size, (1, length), stride=(1, self.hop))
        return whole.reshape(*lead, -1)[..., self.before : self.before + self.n]

    def forward(self, x: Tensor) -> Tensor:
        """See :class:`Map`."""
        return self.spectrum.forward(self._framed(x)).mT

    def inverse(self, z: Tensor) -> Tensor:
        """See :class:`Map`."""
        frames = self.spectrum.inverse(z.mT)
        return self._overlap_add(frames * self.window.to(frames)) / self.overlap.to(frames)

    def adjoint(self, c: Tensor) -> Tensor:
        """See :class:`Map`."""
        return self.spectrum.adjoint(self._framed(c / self.overlap.to(c))).mT


class Cosine(Map):
    """The orthonormal discrete cosine transform of type II, by one real Fourier transform of n samples.

    The even samples followed by the odd ones backwards have a spectrum that, turned by exp(-i pi k / 2n), holds
    coefficient k in its real part and coefficient n - k in its negative imaginary part (Makhoul 1980,
    doi:10.1109/TASSP.1980.1163351).
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self.sizes = (n,)
        self.order = torch.cat([torch.arange(0, n, 2), torch.arange(1, n, 2).flip(0)])
        self.turn = torch.exp(-0.5j * torch.pi * torch.arange(n // 2 + 1, dtype=torch.float64) / n)
        self.scale = torch.full((n,), (2 / n) ** 0.5, dtype=torch.float64)
        self.scale[0] = (1 / n) ** 0.5

    def forward(self, x: Tensor) -> Tensor:
        """See :class:`Map`."""
        spectrum = torch.fft.rfft(x[..., self.order.to(x.device)])
        turned = spectrum * self.turn.to(spectrum)
        mirrored = -turned.imag[..., 1 : (self.n + 1) // 2].flip(-1)
        return torch.cat([turned.real, mirrored], -1) * self.scale.to(x)

    def inverse(self, z: Tensor) -> Tensor:
        """See :class:`Map`."""
        plain = z / self.scale.to(z)
        half = len(self.turn)
        # The coefficient n, which stands beside the coefficient 0, is 0.
        mirrored = F.pad(plain, (0, 1)).flip(-1)[..., :half]
        turned = torch.complex(plain[..., :half], -mirrored)
        ordered = torch.fft.irfft(turned * self.turn.conj().to(turned), n=self.n)
        return ordered[..., self.order.argsort().to(z.device)]

    def adjoint(self, c: Tensor) -> Tensor:
        """See :class:`Map`."""
        return self.forward(c)


class Matrix(Map):
    """A map given by its matrices; of complex ones, the signal is the real part of V z."""

    def __init__(self, analysis: np.ndarray, synthesis: np.ndarray) -> None:
        self.sizes = (len(analysis),)
        self.analysis, self.synthesis = torch.as_tensor(analysis), torch.as_tensor(synthesis)

    @staticmethod
    def _product(x: Tensor, matrix: Tensor) -> Tensor:
        dtype = x.dtype.to_complex() if matrix.is_complex() else x.dtype
        return x.to(dtype) @ matrix.to(x.device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """See :class:`Map`."""
        return self._product(x, self.analysis.mT)

    def inverse(self, z: Tensor) -> Tensor:
        """See :class:`Map`."""
        x = self._product(z, self.synthesis.mT)
        return x.real if self.analysis.is_complex() else x

    def adjoint(self, c: Tensor) -> Tensor:
        """See :class:`Map`."""
        return self._product(c, self.synthesis.conj())


@dataclass(frozen=True, eq=False)
class Bound:
    """A basis for signals of a certain shape.

    Attributes
    ----------
    name : str
        The basis, for attributes and labels.
    dims : tuple of str
        Dimensions of the coefficients, ``trial`` first.
    shape : tuple of int
        Their sizes but that of trial.
    coords : mapping
        Their coordinates, name to `xarray.Variable`, but those along trial.
    is_complex : bool
        Whether coefficients are complex.
    signal_dims, signal_coords : tuple of str, mapping
        Dimensions and coordinates, but those along trial, of the signal that the basis was bound to.
    steps : tuple of (Map, int)
        The maps one after the other, and the axis each acts along.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    coords: Mapping[str, xr.Variable]
    is_complex: bool
    signal_dims: tuple[str, ...]
    signal_coords: Mapping[str, xr.Variable]
    steps: tuple[tuple[Map, int], ...]

    def forward(self, x: Tensor) -> Tensor:
        """Return the coefficients of signals, (trial, dims) to (trial, new dims)."""
        return self._analyse(x, lambda step: step.forward)

    def adjoint(self, c: Tensor) -> Tensor:
        """Return relevance per unit of coefficient, g, from that per unit of signal; relevance is Re(z conj(g))."""
        return self._analyse(c, lambda step: step.adjoint)

    def inverse(self, z: Tensor) -> Tensor:
        """Return the signals that coefficients stand for; ``inverse(forward(x)) == x``."""
        for step, axis in reversed(self.steps):
            new = range(axis, axis + len(step.sizes))
            z = step.inverse(z.movedim(tuple(new), tuple(range(-len(new), 0)))).movedim(-1, axis)
        return z

    def _analyse(self, x: Tensor, way: Callable[[Map], Callable[[Tensor], Tensor]]) -> Tensor:
        for step, axis in self.steps:
            new = range(axis, axis + len(step.sizes))
            x = way(step)(x.movedim(axis, -1)).movedim(tuple(range(-len(new), 0)), tuple(new))
        return x

    def coefficients(self, signal: xr.DataArray) -> xr.DataArray:
        """Return the coefficients of a signal as a signal of their own, for the model :meth:`in_front_of` makes.

        Complex ones stand as their real and imaginary parts in a last dimension ``part``, since a signal holds real
        numbers: so every method explains them that explains signals.
        """
        values = signal.transpose(*self.signal_dims).values
        dtype = values.dtype if values.dtype in (np.float32, np.float64) else np.float64
        z = self.forward(torch.as_tensor(values.astype(dtype)))
        dims, coords = self.dims, dict(self.coords)
        coords.update({str(name): c.variable for name, c in signal.coords.items() if c.dims == ("trial",)})
        if self.is_complex:
            z, dims = torch.view_as_real(z.resolve_conj()), (*dims, PART)
            coords[PART] = xr.Variable(PART, ["real", "imaginary"])
        return xr.DataArray(z.numpy(), coords, dims, signal.name, signal.attrs)

    def in_front_of(self, model: Callable[..., Any]) -> InFrontOf:
        """Return the model of the coefficients: it puts the inverse in front of the model, which stays as it is.

        It takes complex coefficients, or their real and imaginary parts in a last dimension of 2. The paths of the
        model's modules begin with ``model.`` there.
        """
        return InFrontOf(self, model)


class InFrontOf(nn.Module):
    """A model behind the inverse of a transform."""

    def __init__(self, bound: Bound, model: Callable[..., Any]) -> None:
        super().__init__()
        self.bound, self.model = bound, model
        self.training = getattr(model, "training", False)

    def forward(self, coefficients: Tensor) -> Any:
        """Return the model's output for coefficients."""
        shape, whole = tuple(coefficients.shape[1:]), self.bound.shape
        in_parts = self.bound.is_complex and not coefficients.is_complex()
        if shape != (whole + (2,) * in_parts) or coefficients.is_complex() > self.bound.is_complex:
            kind = "complex, or real with a last dimension of 2," if self.bound.is_complex else "real"
            raise ValueError(
                f"the model takes {kind} coefficients (trial, {', '.join(self.bound.dims[1:])}) with sizes {whole} "
                f"behind trial, found {coefficients.dtype} of {shape}; bind the basis to the signal they come from."
            )
        return self.model(Synthesis.apply(coefficients, self.bound))


class Synthesis(Function):
    """The inverse as one function: with a matrix, too, it is no layer of the model that a rule could be meant for."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, bound: Bound) -> Tensor:
        """Return the signal."""
        ctx.bound, ctx.in_parts = bound, bound.is_complex and not z.is_complex()
        x = bound.inverse(torch.view_as_complex(z.contiguous()) if ctx.in_parts else z)
        # The model may overwrite its input, or view it in another shape.
        return x.clone(memory_format=torch.contiguous_format)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Pull back by the adjoint."""
        g = ctx.bound.adjoint(grads[0])
        return torch.view_as_real(g.resolve_conj()) if ctx.in_parts else g, None


register_operation(Synthesis, "homogeneous")
