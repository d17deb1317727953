"""Relevance through attention, sum by sum in plain loops: slow, after the papers.

``cp``: the attention weights are constants and the values take everything (Ali et al. 2022, arXiv:2202.07304).
``attnlrp``: either factor of a matrix product takes half, and a softmax ``s = softmax(x)`` hands on
``x_j (R_j - s_j sum_k R_k)``, its Taylor expansion at x (Achtibat et al. 2024, arXiv:2402.05602, propositions 3.1 and
3.3). Relevance itself is carried, never relevance per unit. One sample at a time, one head at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
HALF = 0.5


@dataclass
class Shared:
    """Relevance of the factors of one head, and of what was added to its scores."""

    query: Array
    key: Array
    value: Array
    mask: Array


def scores_of(query: Array, key: Array, scale: float, mask: Array | None) -> Array:
    """Return ``scale * query key' + mask``, (queries, keys); where a boolean mask is False, minus infinity."""
    scores = np.zeros((len(query), len(key)))
    for i, j in np.ndindex(*scores.shape):
        scores[i, j] = scale * math.fsum(query[i] * key[j])
        if mask is not None:
            scores[i, j] = (
                (scores[i, j] if mask[i, j] else -np.inf) if mask.dtype == bool else scores[i, j] + mask[i, j]
            )
    return scores


def weights_of(scores: Array) -> Array:
    """Return the softmax of each row; rows that may look at nothing are 0."""
    weights = np.zeros_like(scores)
    for i, row in enumerate(scores):
        if np.isfinite(row).any():
            powers = [math.exp(s - max(row)) for s in row]
            weights[i] = [p / math.fsum(powers) for p in powers]
    return weights


def attended(query: Array, key: Array, value: Array, scale: float, mask: Array | None = None) -> Array:
    """Return the values of each query, weighted by attention."""
    weights = weights_of(scores_of(query, key, scale, mask))
    out = np.zeros((len(query), value.shape[1]))
    for i, d in np.ndindex(*out.shape):
        out[i, d] = math.fsum(weights[i] * value[:, d])
    return out


def share(
    query: Array, key: Array, value: Array, relevance: Array, rule: str, scale: float, mask: Array | None = None,
    constant: str = "",
) -> Shared:  # fmt: skip
    """Share the relevance of one head's output.

    Parameters
    ----------
    query, key, value : array, shapes (queries, width), (keys, width), (keys, width of values)
    relevance : array, shape (queries, width of values)
    rule : {"cp", "attnlrp"}
    scale : float
    mask : array, shape (queries, keys), optional
        True where a query may look, or numbers added to the scores.
    constant : str
        Which of "query", "key", "value" are no signals, e.g. "query key": the other factor takes their part.
    """
    scores = scores_of(query, key, scale, mask)
    weights = weights_of(scores)
    out = attended(query, key, value, scale, mask)
    shared = Shared(*(np.zeros_like(a) for a in (query, key, value, scores)))
    weights_vary = not ("query" in constant and "key" in constant)
    if rule == "cp":
        of_weights, of_values = 0.0, 1.0
    else:
        of_weights, of_values = parts(weights_vary, "value" not in constant)
    of_query, of_key = parts("query" not in constant, "key" not in constant)
    for i in range(len(query)):
        at_weights = np.zeros(len(key))
        for j, d in np.ndindex(*value.shape):
            arrived = weights[i, j] * value[j, d] / out[i, d] * relevance[i, d] if weights[i, j] else 0.0
            at_weights[j] += of_weights * arrived
            shared.value[j, d] += of_values * arrived
        for j in range(len(key)):
            if weights[i, j] == 0 or scores[i, j] == 0:
                continue
            at_score = scores[i, j] * (at_weights[j] - weights[i, j] * math.fsum(at_weights))
            for d in range(query.shape[1]):
                product = scale * query[i, d] * key[j, d] / scores[i, j] * at_score
                shared.query[i, d] += of_query * product
                shared.key[j, d] += of_key * product
            if mask is not None and mask.dtype != bool:
                shared.mask[i, j] = mask[i, j] / scores[i, j] * at_score
    return shared


def parts(first: bool, second: bool) -> tuple[float, float]:
    """Return what each factor of a product takes: half where both vary, nothing where it does not."""
    if first and second:
        return HALF, HALF
    return float(first), float(second)


def share_linear(x: Array, weight: Array, bias: Array | None, relevance: Array, epsilon: float) -> Array:
    """Share the relevance of ``weight x + bias``, row by row, by the epsilon rule; the bias keeps its share."""
    shared = np.zeros_like(x)
    for t, o in np.ndindex(*relevance.shape):
        z = math.fsum(weight[o] * x[t]) + (0.0 if bias is None else bias[o])
        stable = z + epsilon if z >= 0 else z - epsilon
        for i in range(x.shape[1]):
            shared[t, i] += x[t, i] * weight[o, i] / stable * relevance[t, o]
    return shared


@dataclass
class Layer:
    """Weights of attention with several heads: projections of query, key and value, and of the output."""

    weights: list[Array]
    biases: list[Array | None]
    heads: int
    more: tuple[list[Array], list[Array]] = ((), ())  # type: ignore[assignment]
    """Rows that the layer adds to the projected keys and values."""

    def project(self, n: int, x: Array) -> Array:
        """Return one of the projections of the rows of x."""
        bias = self.biases[n]
        return x @ self.weights[n].T + (0.0 if bias is None else bias)

    def share(
        self, inputs: list[Array], per_unit: Array, rule: str, epsilon: float, mask: Array | None = None
    ) -> list[Array]:
        """Share ``per_unit * output`` among the inputs query, key and value, each (time, width)."""
        query, key, value = (self.project(n, x) for n, x in enumerate(inputs))
        key, value = (np.concatenate([x, *rows]) for x, rows in zip((key, value), self.more, strict=True))
        columns = np.split(np.arange(query.shape[1]), self.heads)
        scale = (query.shape[1] // self.heads) ** -0.5
        joined = np.concatenate([attended(query[:, h], key[:, h], value[:, h], scale, mask) for h in columns], 1)
        at_out = per_unit * self.project(3, joined)
        at_joined = share_linear(joined, self.weights[3], self.biases[3], at_out, epsilon)
        arrived = [np.zeros_like(x) for x in (query, key, value)]
        for h in columns:
            head = share(query[:, h], key[:, h], value[:, h], at_joined[:, h], rule, scale, mask)
            for whole, part in zip(arrived, (head.query, head.key, head.value), strict=True):
                whole[:, h] = part
        return [
            share_linear(x, self.weights[n], self.biases[n], arrived[n][: len(x)], epsilon)
            for n, x in enumerate(inputs)
        ]
