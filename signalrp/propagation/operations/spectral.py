"""Complex numbers and Fourier transforms.

Relevance of a complex number is one real number, ``R = Re(conj(c) x)``: its real and its imaginary part take it
together, and automatic differentiation hands c on as it is (what torch calls the gradient is conjugated in the same
way). A magnitude is homogeneous of degree one and hands on everything; a square modulus is a product of two.

An angle does not change when its signal grows: of degree 0, its derivative gives the signal nothing in sum, whatever
is done. It counts as cut by the model, and the ledger says so: where a magnitude and a phase are put together again
all goes through the magnitude; a model that looks at the phase alone shows all of it as cut.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from signalrp.propagation.engine import Engine
from signalrp.propagation.nodes import Grads, Step
from signalrp.propagation.registry import handles
from signalrp.propagation.tags import Call


@handles("conj", "_conj", "conj_physical", "resolve_conj", "resolve_neg", "real", "imag")
def complex_part(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """A part of a complex number."""
    return engine.local(call)


@handles(
    "view_as_complex", "complex", "stft", "istft", "_fft_r2c", "_fft_c2r", "_fft_c2c", "fft_fft",
    "fft_ifft", "fft_rfft", "fft_irfft", "fft_hfft", "fft_ihfft", "fft_fft2", "fft_ifft2", "fft_rfft2", "fft_irfft2",
    "fft_hfft2", "fft_ihfft2", "fft_fftn", "fft_ifftn", "fft_rfftn", "fft_irfftn", "fft_hfftn", "fft_ihfftn",
    "fft_fftshift", "fft_ifftshift",
)  # fmt: skip
def transform(engine: Engine, call: Call, input: Any, *args: Any, **kwargs: Any) -> Any:
    """Linear with fixed weights of either sign; a window is a constant."""
    if call.name in ("stft", "istft") and any(t is not input for t in call.tracked):
        return engine.unsupported(call, "with a window that depends on the input; multiply by the window instead")
    return engine.local(call, spread="proportional")


class Magnitude(Step):
    """The magnitude of a complex number; where it underflows nothing goes back, since its derivative is not finite."""

    def per_unit(self, c: Tensor) -> Grads:
        x, size = self.inputs[0], self.out
        direction = x / size
        return (torch.where(torch.isfinite(direction), c * direction, 0),)


def magnitude(engine: Engine, call: Call) -> Any:
    """Run ``abs`` on a complex signal."""
    out = call.value()
    return engine.hang(Magnitude(engine, call.name, call.tracked, out), call.tracked, out)


class Parts(Step):
    """A complex number's real and imaginary part side by side; what they have got goes to the number as one."""

    reads_values = False

    def per_unit(self, c: Tensor) -> Grads:
        return (torch.view_as_complex(c.clone(memory_format=torch.contiguous_format)),)

    def relevance(self, r: Tensor) -> Grads:
        return (r.sum(-1).to(self.inputs[0].dtype),)


@handles("view_as_real")
def two_parts(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Both parts side by side."""
    out = call.value()
    return engine.hang(Parts(engine, call.name, call.tracked, out), call.tracked, out)


@handles("angle", "atan2", "arctan2")
def angle(engine: Engine, call: Call, *args: Any, **kwargs: Any) -> Any:
    """Of degree 0: nothing goes back."""
    return engine.cut(call)


@handles("polar")
def polar(engine: Engine, call: Call, abs: Tensor, angle: Tensor) -> Any:
    """The magnitude takes all. An angle alone goes by the slopes of its cosine and sine."""
    # Not by the derivative that torch has: it takes every magnitude to be positive.
    with engine:
        fixed = angle.detach() if any(abs is t for t in call.tracked) else angle
        return torch.complex(abs * torch.cos(fixed), abs * torch.sin(fixed))
