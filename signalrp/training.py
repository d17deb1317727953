"""Training of small classifiers, for the studies of the domains."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def fit_classifier(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    epochs: int = 60,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-4,
    seed: int = 0,
) -> nn.Module:
    """Train a classifier with Adam on the cross-entropy, the learning rate falling to 0 along a cosine.

    Parameters
    ----------
    model : torch.nn.Module
        Trained in place, on its own device.
    x : torch.Tensor
        Inputs, (trial, ...).
    y : torch.Tensor
        Classes, (trial,), integers.
    epochs, batch_size : int
        Passes over the trials; trials per step.
    learning_rate, weight_decay : float
        Of Adam with decoupled decay.
    seed : int
        Of the order of the trials.

    Returns
    -------
    torch.nn.Module
        The model, in evaluation mode.

    Raises
    ------
    ValueError
        When the loss becomes infinite or NaN.
    """
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), learning_rate, weight_decay=weight_decay, fused=True)
    steps = epochs * -(-len(x) // batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=generator).to(x.device).split(batch_size):
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            if not bool(torch.isfinite(loss)):
                raise ValueError(f"the loss became {loss.item()}; scale the signal or lower the learning rate.")
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return model.eval()
