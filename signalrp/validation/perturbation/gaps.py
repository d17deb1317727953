"""What a gap holds by what is on its two sides: a straight line, or a linear system of neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

# Weights of the samples one and two away, a sample two away counting half: the ratio of ROAD's neighbours in a
# picture, of which those that touch at a side weigh 1/6 and those that touch at a corner 1/12.
_NEAR, _FAR = 1 / 3, 1 / 6
# the elimination keeps two numbers per sample; this many samples are solved at once (64 MB)
_SOLVED_AT_ONCE = 2**22


def interpolate_gaps(signal: Tensor, removed: Tensor) -> Tensor:
    """Linear interpolation along the last dimension across what is removed; edges are extended.

    Parameters
    ----------
    signal
        (trial, …, time), equally spaced in time.
    removed
        (step, trial, …, time), boolean.

    Returns
    -------
    Tensor
        Shape of `removed`. A row that is removed altogether has nothing to interpolate between and holds
        anything.
    """
    length = signal.shape[-1]
    time = torch.arange(length, device=signal.device)
    # products with 0 and 1, since choosing by a mask is several times slower: -1 or length where removed
    kept = (~removed).long()
    before = ((time + 1) * kept - 1).cummax(-1).values
    after = (length - (length - time) * kept).flip(-1).cummin(-1).values.flip(-1)
    left = torch.where(before < 0, after, before).clamp(max=length - 1)
    right = torch.where(after == length, before, after).clamp(min=0)
    values = signal.expand(removed.shape)
    low, high = values.gather(-1, left), values.gather(-1, right)
    weight = (time - left).to(signal) / (right - left).clamp(min=1)
    return low + (high - low) * weight


def solve_gaps(signal: Tensor, removed: Tensor) -> Tensor:
    r"""Removed samples as weighted means of their neighbours, all at once, along the last dimension.

    Every removed sample obeys :math:`x_t = \sum_j w_j x_{t+j} / \sum_j w_j` over the samples one and two away that
    exist, weighing 1/3 and 1/6, whether these are removed themselves or not: Rong et al. (2022, arXiv 2202.00449)
    for one dimension. A line is filled by a line, noise at the gap's sides is averaged, edges are extended. The
    banded system is solved by elimination, in double precision, since a gap of n samples amplifies errors as n².

    Parameters
    ----------
    signal, removed
        See `interpolate_gaps`.

    Returns
    -------
    Tensor
        Shape of `removed`. A row that is removed altogether has no solution and holds anything.
    """
    values = signal.expand(removed.shape)
    rows, masks = values.flatten(0, -2), removed.flatten(0, -2)
    at_once = max(1, _SOLVED_AT_ONCE // signal.shape[-1])
    parts = [_eliminate(x, gone) for x, gone in zip(rows.split(at_once), masks.split(at_once), strict=True)]
    return torch.cat(parts).view(removed.shape).to(signal)


def _eliminate(rows: Tensor, removed: Tensor) -> Tensor:
    """Solve for rows (row, time): x_t = p_t + q_t x_{t+1} + r_t x_{t+2} from the left, then back from the right."""
    length = rows.shape[1]
    # time first, so that what a step reads lies together
    solved = rows.double().t().contiguous()
    gone = removed.t().contiguous()
    none = torch.zeros_like(solved[0])
    near, far = [none, none], [none, none]
    for t in range(length):
        weights = {j: w for j, w in ((-2, _FAR), (-1, _NEAR), (1, _NEAR), (2, _FAR)) if 0 <= t + j < length}
        total = sum(weights.values()) or 1
        left2, left1, right1, right2 = (weights.get(j, 0) / total for j in (-2, -1, 1, 2))
        # the sample two to the left, put in terms of the one to the left and of this one
        known = left2 * solved[t - 2] if t > 1 else none
        through = left1 + left2 * near[-2]
        if t:
            known = known + through * solved[t - 1]
        share = gone[t] / (1 - left2 * far[-2] - through * near[-1])
        solved[t] = torch.where(gone[t], known * share, solved[t])
        near.append((right1 + through * far[-1]) * share)
        far.append(right2 * share)
    near, far = near[2:], far[2:]
    for t in range(length - 2, -1, -1):
        solved[t].addcmul_(near[t], solved[t + 1])
        if t + 2 < length:
            solved[t].addcmul_(far[t], solved[t + 2])
    return solved.t()
