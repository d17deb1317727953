"""Distances from groups of maps as they are defined: everything anew without each trial, dense."""

from __future__ import annotations

import numpy as np
from sklearn.covariance import ledoit_wolf


def slow_typicality(maps: np.ndarray, group: np.ndarray, axes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = maps.reshape(len(maps), -1)
    lengths = np.linalg.norm(x, axis=1)
    part = np.minimum(1, 2 * np.median(lengths[group >= 0]) / lengths)[:, None]
    mean = (part * x).mean(0)
    directions = np.linalg.svd(part * x - mean, full_matrices=False)[2][:axes]
    along = (x - mean) @ directions.T
    seen = np.column_stack([along, np.linalg.norm(x - mean - along @ directions, axis=1)])
    groups = range(group.max() + 1)
    distance, cosine = np.zeros((2, len(x), len(groups)))
    for trial in range(len(x)):
        others = np.flatnonzero(np.arange(len(x)) != trial)
        members = {number: others[group[others] == number] for number in groups}
        means = {number: (part * seen)[rows].mean(0) for number, rows in members.items()}
        centred = np.concatenate([(part * seen)[rows] - means[number] for number, rows in members.items()])
        covariance = ledoit_wolf(centred, assume_centered=True)[0] * len(centred) / (len(centred) - len(means))
        for number, rows in members.items():
            away, template = seen[trial] - means[number], (part * x)[rows].mean(0)
            distance[trial, number] = np.sqrt(away @ np.linalg.inv(covariance) @ away)
            cosine[trial, number] = x[trial] @ template / lengths[trial] / np.linalg.norm(template)
    own = np.array([distance[trial, group[trial]] for trial in range(len(x)) if group[trial] >= 0])
    distance /= np.median(own)
    p = np.zeros_like(distance)
    for trial in range(len(x)):
        for number in groups:
            farther = [distance[other, number] >= distance[trial, number] for other in np.flatnonzero(group == number)]
            p[trial, number] = np.mean(farther if group[trial] == number else [*farther, True])
    return distance, p, cosine
