"""Baselines by way of Captum (Kokhlikyan et al. 2020, arXiv:2009.07896), an optional dependency."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from signalrp.baselines.asked import Asked, Found

_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
_SEEN = (nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus, *_POOLS)
_ADVICE = (
    "make every nonlinearity a module of its own (nn.ReLU, nn.MaxPool1d without overlap, ...) that runs once and leave "
    'a last softmax out, or use "integrated-gradients"'
)


def attr() -> Any:
    """Return Captum's methods.

    Raises
    ------
    ImportError
        When Captum is not installed.
    """
    try:
        import captum.attr
    except ImportError:
        raise ImportError('this method needs captum: pip install "signalrp[validation]".') from None
    return captum.attr


def gradient(asked: Asked) -> Found:
    """Absolute value of the gradient (Simonyan et al. 2013)."""
    return Found(_gradient(asked, asked.x).abs())


def input_x_gradient(asked: Asked) -> Found:
    """The signal times the gradient (Shrikumar et al. 2016)."""
    found = _gradient(asked, asked.x)
    return Found(asked.x * found, found)


def integrated_gradients(asked: Asked, *, steps: int = 64) -> Found:
    """The gradient's mean on the way from the reference (Sundararajan et al. 2017).

    `steps` nodes of a Gauss-Legendre quadrature, of which as many at once as `batch_size` allows.
    """
    _at_least_one("steps", steps)
    origin = asked.setting.origin(asked.x)
    mean = attr().IntegratedGradients(asked.forward, multiply_by_inputs=False).attribute(
        _leaf(asked.x), baselines=origin.expand(1, *asked.x.shape[1:]), target=asked.classes, n_steps=steps,
        internal_batch_size=asked.setting.batch_size,
    )  # fmt: skip
    found = _from_reference(asked, mean.to(asked.x), origin)
    missed = _missed(asked, found, origin, 0.05)
    if missed:
        warnings.warn(
            f"in trial {missed[0]} integrated gradients miss the difference of the outputs, {missed[1]:.3g}, by "
            f"{missed[2]:.3g}; raise steps, now {steps}.",
            stacklevel=2,
        )
    return found


def smoothgrad(asked: Asked, *, samples: int = 50, noise: float = 0.15) -> Found:
    """Absolute value of the mean gradient under noise (Smilkov et al. 2017).

    The noise has a standard deviation of `noise` times the range of a trial, of each channel by itself where the
    signal has channels.
    """
    _at_least_one("samples", samples)
    if not noise > 0:
        raise ValueError(f"noise is a share of the signal's range above 0, 0.15 for 15 %, found {noise}.")
    kept = [axis for axis, dim in enumerate(asked.setting.dims) if dim not in ("trial", "channel")]
    x = asked.x
    spread = noise * (x.amax(kept, keepdim=True) - x.amin(kept, keepdim=True)) if kept else noise * x.abs()
    total = torch.zeros_like(x)
    generators = asked.generators()
    for _ in range(samples):
        drawn = np.stack([generator.standard_normal(x.shape[1:]) for generator in generators])
        total += _gradient(asked, x + spread * torch.as_tensor(drawn).to(x))
    return Found((total / samples).abs())


def gradient_shap(asked: Asked, *, samples: int = 50) -> Found:
    """The expected gradient on the way from trials of the reference (Lundberg and Lee 2017; Erion et al. 2021)."""
    _at_least_one("samples", samples)
    reference = asked.setting.reference
    if reference is None:
        raise ValueError("gradient-shap compares with data; give reference=..., such as the training signals.")
    x, total = asked.x, torch.zeros_like(asked.x)
    generators = asked.generators()
    for _ in range(samples):
        chosen = [generator.integers(len(reference)) for generator in generators]
        way = np.array([generator.uniform() for generator in generators])
        start = torch.as_tensor(reference[chosen]).to(x)
        difference = x - start
        part = torch.as_tensor(way).to(x).view(-1, *(1,) * (x.dim() - 1))
        total += difference * _gradient(asked, start + part * difference)
    return Found(total / samples)


def deeplift(asked: Asked) -> Found:
    """Contributions to the difference from the reference, by the rescale rule (Shrikumar et al. 2017).

    Captum sees nonlinearities only where they are modules of their own that run once. Whether it has seen all is told
    by the sum of the contributions, which must be the difference of the outputs.
    """
    origin = asked.setting.origin(asked.x).expand(1, *asked.x.shape[1:])
    module = _Module(asked)
    parts = [part for part in module.modules() if type(part) in _SEEN]
    # Captum's rule for these takes the gradient of the first trial for all (its issue 1276).
    size = 1 if any(isinstance(part, _POOLS) for part in parts) else len(asked.x)
    batches = [slice(start, start + size) for start in range(0, len(asked.x), size)]
    with ExitStack() as stack:
        for part in parts:
            # Without a copy between two nonlinearities the first one's hook comes before the second one's rule.
            stack.callback(part.register_forward_pre_hook(lambda _, inputs: tuple(x.clone() for x in inputs)).remove)
        multipliers = [_multipliers(module, asked, batch, origin) for batch in batches]
    found = _from_reference(asked, torch.cat(multipliers), origin)
    missed = _missed(asked, found, origin, 0.01)
    if missed:
        raise ValueError(
            f"in trial {missed[0]} the contributions of DeepLIFT miss the difference of the outputs, {missed[1]:.3g}, "
            f"by {missed[2]:.3g}, since Captum does not know all that this model does; {_ADVICE}."
        )
    return found


def _multipliers(module: _Module, asked: Asked, batch: slice, origin: Tensor) -> Tensor:
    method = attr().DeepLift(module, multiply_by_inputs=False)
    classes = None if asked.classes is None else asked.classes[batch]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*Setting forward, backward hooks")
        try:
            found: Tensor = method.attribute(_leaf(asked.x[batch]), baselines=origin, target=classes)
        except (RuntimeError, ValueError) as error:
            reused = "more than once" in str(error)
            if isinstance(error, RuntimeError) and not reused:
                raise
            why = "it runs a module twice" if reused else str(error)
            raise ValueError(f"Captum's DeepLIFT cannot take this model ({why}); {_ADVICE}.") from None
    return found


def occlusion(asked: Asked) -> Found:
    """How much the score falls when a segment is replaced by the reference (Zeiler and Fergus 2014).

    The samples of a segment share it equally, so that its relevance, summed, is the fall.
    """
    x, segments = asked.x, asked.setting.segments
    labels = torch.as_tensor(segments[asked.trials] if len(segments) > 1 else segments).to(x.device)
    removable = labels >= 0
    with torch.no_grad():
        # What no segment holds goes with the first one and is replaced by itself.
        fall = attr().FeatureAblation(asked.forward).attribute(
            x, baselines=torch.where(removable, asked.setting.origin(x), x), target=asked.classes,
            feature_mask=labels.clamp(min=0), perturbations_per_eval=max(1, asked.setting.batch_size // len(x)),
        )  # fmt: skip
    flat = labels.flatten(1)
    counts = x.new_zeros(len(flat), int(labels.max()) + 1)
    counts.scatter_add_(1, flat.clamp(min=0), removable.flatten(1).to(x.dtype))
    sizes = counts.gather(1, flat.clamp(min=0)).view(labels.shape).clamp(min=1)
    return Found(fall.to(x) * removable / sizes)


def _gradient(asked: Asked, x: Tensor) -> Tensor:
    found: Tensor = attr().Saliency(asked.forward).attribute(_leaf(x), target=asked.classes, abs=False)
    return found


def _leaf(x: Tensor) -> Tensor:
    return x.detach().clone().requires_grad_()


def _from_reference(asked: Asked, slope: Tensor, origin: Tensor) -> Found:
    slope = slope.detach()
    return Found((asked.x - origin) * slope, slope if asked.setting.reference is None else None)


def _missed(asked: Asked, found: Found, origin: Tensor, share: float) -> tuple[int, float, float] | None:
    """Return the trial where relevance misses its sum most, that sum, and by how much; None within a share of it."""
    with torch.no_grad():
        here, there = asked.score(asked.x), asked.score(origin.expand_as(asked.x))
    gap = (found.relevance.flatten(1).sum(1) - (here - there)).abs()
    excess = gap - share * (here.abs() + there.abs())
    worst = int(excess.argmax())
    return (asked.trials[worst], float((here - there)[worst]), float(gap[worst])) if excess[worst] > 0 else None


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, found {value}.")


class _Module(nn.Module):
    """The model with its target, in the form that Captum's DeepLIFT hooks itself into."""

    def __init__(self, asked: Asked) -> None:
        super().__init__()
        self.model, self._asked, self.training = asked.model, asked, False

    def forward(self, x: Tensor) -> Tensor:
        return self._asked.forward(x)
