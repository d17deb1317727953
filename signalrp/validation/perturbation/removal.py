"""Trials with ever more pieces removed, or brought back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from signalrp.validation.perturbation.fills import Replacement
from signalrp.validation.perturbation.orders import Pieces


@dataclass(frozen=True)
class Removal:
    """The order in which the pieces of some trials go, or come back.

    ``order`` (trial, piece), the first to go first, pieces absent from a trial last; ``labels`` (trial or 1, …)
    as in ``pieces``.
    """

    order: Tensor
    labels: Tensor
    pieces: Pieces
    insertion: bool

    def filled(
        self, content: Tensor, replacement: Replacement, counts: NDArray[np.int64], at_once: int
    ) -> Iterator[Tensor]:
        """Contents (step, trial, …) of which so many pieces are removed or brought back, some steps at once.

        Parameters
        ----------
        content
            (trial, …), untouched.
        replacement
            See `signalrp.validation.perturbation.fills`.
        counts
            (step,), ascending.
        at_once
            The most steps at once.
        """
        if self.pieces.alone and isinstance(replacement, Tensor):
            yield from self._sample_by_sample(content, replacement, counts, at_once)
            return
        ranks = self._sample_ranks()
        for limits in torch.from_numpy(counts.astype(np.int32)).to(content.device).split(at_once):
            limits = limits.view(-1, *[1] * ranks.ndim)
            removed = (ranks >= limits) & (ranks < self.pieces.count) if self.insertion else ranks < limits
            values = replacement if isinstance(replacement, Tensor) else replacement(removed)
            yield torch.where(removed, values, content)

    def _sample_by_sample(
        self, content: Tensor, replacement: Tensor, counts: NDArray[np.int64], at_once: int
    ) -> Iterator[Tensor]:
        """Each step writes only the samples that it adds: what `filled` gives, without a look at all others."""
        replacement = replacement.expand(content.shape)
        first, then = (replacement, content) if self.insertion else (content, replacement)
        state, source = first.flatten(1).clone(), then.flatten(1)
        done = 0
        for limits in (counts[start : start + at_once] for start in range(0, len(counts), at_once)):
            batch = content.new_empty(len(limits), *content.shape)
            for place, limit in enumerate(limits):
                index = self.order[:, done:limit]
                state.scatter_(1, index, source.gather(1, index))
                batch[place] = state.view(content.shape)
                done = int(limit)
            yield batch

    def _sample_ranks(self) -> Tensor:
        """Rank of every sample's piece, (trial, …); of samples that always stay the number of pieces."""
        trials, count = self.order.shape
        place = torch.arange(count, device=self.order.device)
        ranks = torch.empty_like(self.order).scatter_(1, self.order, place.expand_as(self.order))
        labels = self.labels.expand(trials, *self.labels.shape[1:])
        mapped = ranks.gather(1, labels.clamp(min=0).flatten(1)).view(labels.shape)
        # every step reads all ranks: half the bytes are half the time
        return torch.where(labels < 0, count, mapped).int()
