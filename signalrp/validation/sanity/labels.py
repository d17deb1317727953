"""Does relevance depend on what there was to learn? The labels are randomised to find out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import nn

from signalrp.baselines import Method, explain_with
from signalrp.targets import Target
from signalrp.validation.likeness import Measure, check_measure, likeness, mean_of
from signalrp.validation.statistics import paired_difference
from signalrp.validation.verdicts import (
    RESEMBLANCE,
    Case,
    Check,
    at_least_one,
    known_interval,
    left_out,
    words,
)

Train = Callable[[xr.DataArray, NDArray[np.int64]], nn.Module]


def label_randomisation(
    model: nn.Module,
    data: xr.DataArray | xr.Dataset,
    train: Train,
    training: xr.DataArray,
    method: Method = "epsilon-plus",
    *,
    target: Target = None,
    measure: Measure = RESEMBLANCE,
    threshold: float = 0.5,
    repeats: int = 1,
    subject: str | ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
    **options: Any,
) -> Check:
    """Train the same architecture on permuted labels and compare its maps with those of the model.

    Adebayo et al. (2018), arXiv:1810.03292. The yardstick is the architecture trained anew on the true labels: its
    maps must resemble the model's more than those from permuted labels do. The test is as strong as the latter was
    learnt; the table gives the accuracy on them, and the statement says so below 80 %.

    Parameters
    ----------
    train
        Function of the training signal (trial, …) and labels (trial,), which returns a new, trained model in
        evaluation mode. It is called 1 + `repeats` times.
    training
        Signal it trains on, with the true classes as coordinate ``label`` along trial.
    measure, threshold
        It passes if, for permuted labels, the interval lies below this (see `cascading_randomisation`), and the
        interval of the difference to true labels above 0.
    repeats
        Number of permutations.
    model, data, method, target, subject, level, seed
        See `cascading_randomisation`.

    Returns
    -------
    Check
        Table with rows true, permuted and difference; columns labels, similarity, low, high, accuracy (on the
        labels trained with).

    Raises
    ------
    ValueError
        As `cascading_randomisation`; if labels are missing or of one class only, or `train` returns no new model.
    """
    at_least_one(repeats)
    case = Case.of(model, data, method, target, subject, options)
    check_measure(measure, case.signal.shape[1:])
    labels = _training_labels(training)
    rng = np.random.default_rng(seed)
    found, accuracies = [], []
    for given in (labels, *(rng.permutation(labels) for _ in range(repeats))):
        trained = train(training, given)
        if trained is model:
            raise ValueError("train returned the model to compare with; it must build and return a new one.")
        found.append(likeness(case.maps, case.maps_of(trained), measure))
        output = explain_with("amplitude", trained, training)["output"].values
        accuracies.append(float((output.argmax(1) == given).mean()))
    true, permuted = found[0], mean_of(found[1:])
    both = np.isfinite(true) & np.isfinite(permuted)
    true, permuted = (np.where(both, values, np.nan) for values in (true, permuted))
    intervals = [known_interval(values, case.cluster, level, seed) for values in (true, permuted)]
    cluster = None if case.cluster is None else case.cluster[both]
    difference = paired_difference(true[both], permuted[both], cluster, level, seed=seed)
    passed = bool(intervals[1].high < threshold and difference.low > 0)
    fit = (accuracies[0], float(np.mean(accuracies[1:])))
    rows = [
        ("true", *intervals[0], fit[0]),
        ("permuted", *intervals[1], fit[1]),
        ("difference", *difference[:3], np.nan),
    ]
    statement = (
        f"Maps of {case.name} from a model trained on permuted labels (learnt to {fit[1]:.0%}) have a similarity "
        f"({measure}) of {words(intervals[1])} to the model's, against {words(intervals[0])} when trained anew on the "
        f"true ones; asked for is less than {threshold:g}, and a difference above 0."
        + (" The permuted labels were hardly learnt, which weakens the test: train longer." if fit[1] < 0.8 else "")
        + left_out(true)
    )
    table = pd.DataFrame(rows, columns=["labels", "similarity", "low", "high", "accuracy"])
    return Check("label randomisation", passed, statement, table)


def _training_labels(training: xr.DataArray) -> NDArray[np.int64]:
    if "label" not in training.coords or training["label"].dims != ("trial",):
        raise ValueError("The training signal has no coordinate 'label' along trial; assign the class of every trial.")
    labels = training["label"].values
    if labels.dtype.kind not in "iu":
        raise ValueError(f"The training labels are {labels.dtype}; expected integers counted from 0.")
    if len(np.unique(labels)) < 2:
        raise ValueError(
            "The training labels are of one class only, so permuting them changes nothing; give two or more."
        )
    return np.asarray(labels, dtype=np.int64)
