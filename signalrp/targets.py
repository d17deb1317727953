"""Which number of a model's output is explained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from signalrp.propagation.tags import tensors_in

Target = int | Sequence[int] | Tensor | Callable[[Any], Tensor] | None


class Explained(NamedTuple):
    """What is explained, and of which tensor of the output.

    Attributes
    ----------
    tensor : torch.Tensor
        The tensor to pull back from.
    scalar : torch.Tensor
        The number explained for each sample, (batch,).
    seed : torch.Tensor
        Its derivative by `tensor`.
    target : torch.Tensor or None
        The classes, (batch,); None where a callable or a single output is explained.
    shown : torch.Tensor
        What the model returned, usually (batch, classes).
    """

    tensor: Tensor
    scalar: Tensor
    seed: Tensor
    target: Tensor | None
    shown: Tensor


def explained(returned: Any, target: Target, samples: torch.Size) -> Explained:
    """Return what is explained of a model's output.

    Raises
    ------
    ValueError
        When the target is out of range or does not fit the output, or the output is not finite.
    TypeError
        When the model returned no tensor.
    """
    if callable(target):
        scalar = target(returned)
        if not isinstance(scalar, Tensor) or tuple(scalar.shape) not in ((1,), tuple(samples)):
            found = f"shape {tuple(scalar.shape)}" if isinstance(scalar, Tensor) else type(scalar).__name__
            raise ValueError(f"the target function must return one number per sample, {tuple(samples)}, found {found}.")
        _check_output(scalar)
        shown = main_output(returned) if _has_output(returned) else scalar
        return Explained(scalar, scalar, torch.ones_like(scalar), None, shown)
    output = main_output(returned)
    _check_output(output)
    if output.dim() == 1 and target is None:
        return Explained(output, output, torch.ones_like(output), None, output)
    if output.dim() != 2:
        raise ValueError(
            f"the model's output has shape {tuple(output.shape)} where (batch, classes) was expected; say what to "
            "explain with a target function, e.g. target=lambda out: out[:, :, 10].sum(1)."
        )
    batch, classes = output.shape
    with torch.no_grad():
        chosen = output.argmax(1) if target is None else torch.as_tensor(target, device=output.device)
    if chosen.is_floating_point() or chosen.dtype == torch.bool or chosen.dim() > 1:
        raise ValueError(
            f"targets must be integers, one or one per sample, found {chosen.dtype}, {tuple(chosen.shape)}."
        )
    if chosen.dim() == 1 and len(chosen) != batch:
        raise ValueError(f"found {len(chosen)} targets for {batch} samples; give one, or one per sample.")
    chosen = chosen.long().expand(batch)
    if bool(((chosen < 0) | (chosen >= classes)).any()):
        wrong = int(chosen[(chosen < 0) | (chosen >= classes)][0])
        raise ValueError(f"target {wrong} is out of range; the model has classes 0 to {classes - 1}.")
    seed = torch.zeros_like(output).scatter_(1, chosen[:, None], 1)
    scalar = output.detach().gather(1, chosen[:, None])[:, 0]
    return Explained(output, scalar, seed, chosen.clone(), output)


def _has_output(returned: Any) -> bool:
    values = tuple(returned.values()) if isinstance(returned, Mapping) else returned
    return any(tensor.is_floating_point() for tensor in tensors_in(values))


def main_output(returned: Any) -> Tensor:
    """Return a model's output: of several tensors the one called logits, or the first."""
    if isinstance(returned, Tensor):
        return returned
    if isinstance(returned, Mapping) and isinstance(returned.get("logits"), Tensor):
        return returned["logits"]
    values = returned.values() if isinstance(returned, Mapping) else returned
    for tensor in tensors_in(tuple(values) if isinstance(values, Sequence) or isinstance(returned, Mapping) else ()):
        if tensor.is_floating_point():
            return tensor
    raise TypeError(
        f"the model returned {type(returned).__name__}, in which no tensor was found; say what to explain with a "
        "target function."
    )


def _check_output(output: Tensor) -> None:
    if not bool(torch.isfinite(output.detach()).all()):
        raise ValueError("the model's output holds NaN or infinite values; check its weights and the signal's scale.")
