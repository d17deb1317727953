"""A model trained on one person, asked about another: is it right, and by the same relevance?"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from signalrp.groups import class_names
from signalrp.places import same_places
from signalrp.validation import bootstrap_interval
from signalrp.validation.checks import true_classes

Values = npt.NDArray[np.float64]


def transfer(
    own: xr.Dataset, other: xr.Dataset, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare what a model makes of held-out trials of its own person with what it makes of another person's.

    Relevance is asked for the true class of each trial, right or wrong, so that both people are asked the same. The
    mean maps of a class are compared by their cosine, freed of noise: products of maps are averaged over pairs of
    *different* trials only, so that few or noisy trials do not lower it, and 1 means the same map but for size. It may
    exceed 1 by chance. Beside it: the similarity of the mean map of the class in one person with that of the other
    classes in the other person. What the first has above this is what carries over of the class; the rest is what maps
    of this model have in common. ``halves`` is the plain cosine that two mean maps of half the trials of the own person
    have, which noise allows at most of plain similarity.

    Parameters
    ----------
    own, other : xarray.Dataset
        From `explain_classes`, of the same classes, channels and times: trials of the person that the models were
        trained on, held out, and trials of the other person. Trials are the units; the interval is about these two
        people, not about people.
    level, resamples, seed
        See `signalrp.validation.bootstrap_interval`.

    Returns
    -------
    accuracy : pandas.DataFrame
        A row for either person: ``accuracy``, ``low``, ``high``, ``chance`` (of always saying the most frequent class),
        ``trials``.
    similarity : pandas.DataFrame
        A row for each class: ``similarity``, ``low``, ``high``, ``other_classes``, ``other_low``, ``other_high``,
        ``plain``, the cosine of the two mean maps as they are, and ``halves``. Where ``halves`` is near 0 the mean map
        of the class is lost in noise, of which it cannot be freed: the similarity is then anything, or NaN.

    Raises
    ------
    ValueError
        If classes, channels or times differ, or a class has fewer than four trials in one person.
    """
    if class_names(own) != class_names(other):
        raise ValueError(
            f"The classes are {class_names(own)} and {class_names(other)}; compare models of the same ones."
        )
    for part in (own, other):
        if "class_relevance" not in part:
            raise ValueError("Relevance for the true class of every trial is needed; explain with explain_classes.")
    same_places(
        other["class_relevance"],
        own["class_relevance"],
        "The other person's trials",
        free=("trial",),
        of="the own trials",
    )
    rng = np.random.default_rng(seed)
    accuracy = pd.DataFrame(
        [_accuracy(part, who, level, resamples, seed) for part, who in ((own, "own"), (other, "other"))]
    ).set_index("person")
    names = class_names(own)
    people = [_Maps(part, names) for part in (own, other)]
    products = people[0].flat @ people[1].flat.T
    rows = [_similarity(people, products, number, level, resamples, rng) for number in range(len(names))]
    return accuracy, pd.DataFrame(rows, index=pd.Index(names, name="class"))


def _accuracy(part: xr.Dataset, person: str, level: float, resamples: int, seed: int) -> dict[str, Any]:
    label = true_classes(part)
    correct = (part["output"].transpose("trial", "class").values.argmax(1) == label).astype(np.float64)
    interval = bootstrap_interval(correct, np.arange(len(correct)), level, resamples, seed)
    return {
        "person": person,
        "accuracy": float(interval.estimate),
        "low": float(interval.low),
        "high": float(interval.high),
        "chance": float(np.bincount(label).max() / len(label)),
        "trials": len(label),
    }


class _Maps:
    """Relevance of a person's trials for their own class, (trial, place), and its products with itself."""

    def __init__(self, part: xr.Dataset, names: list[str]) -> None:
        self.label = true_classes(part)
        maps = part["class_relevance"].transpose("trial", "class", ...).values
        self.flat = maps[np.arange(len(maps)), self.label].reshape(len(maps), -1).astype(np.float64)
        self.products = self.flat @ self.flat.T
        few = np.bincount(self.label, minlength=len(names))
        if few.min() < 4:
            raise ValueError(f"The class {names[int(few.argmin())]} has {few.min()} trials; at least four are needed.")

    def weights(self, number: int, draws: int, rng: np.random.Generator) -> Values:
        """Weights (draw, trial) of a class: once as it is, then as often as each trial is drawn anew."""
        mine = self.label == number
        count = int(mine.sum())
        found = np.zeros((1 + draws, len(mine)))
        found[0, mine] = 1
        found[1:, mine] = rng.multinomial(count, np.full(count, 1 / count), size=draws)
        return found

    def square(self, weights: Values) -> Values:
        """Squared length of the mean map, from pairs of different trials."""
        alone = weights**2 @ np.diag(self.products)
        pairs = weights.sum(1) ** 2 - (weights**2).sum(1)
        return (((weights @ self.products) * weights).sum(1) - alone) / np.maximum(pairs, 1)


def _similarity(
    people: list[_Maps], products: Values, number: int, level: float, resamples: int, rng: np.random.Generator
) -> dict[str, float]:
    one, two = people
    mine = one.weights(number, resamples, rng)
    own_square = one.square(mine)
    theirs: dict[bool, list[Values]] = {True: [], False: []}
    plain = float("nan")
    for other in np.unique(two.label):
        weights = two.weights(int(other), resamples, rng)
        across = ((mine @ products) * weights).sum(1) / mine.sum(1) / weights.sum(1)
        norms = own_square * two.square(weights)
        cosine = np.divide(across, np.sqrt(np.maximum(norms, 0)), out=np.full_like(across, np.nan), where=norms > 0)
        theirs[other == number].append(cosine)
        if other == number:
            plain = float(_cosine(one.flat[one.label == number].mean(0), two.flat[two.label == number].mean(0)))
    same, different = theirs[True][0], _mean_of_known(np.stack(theirs[False]))
    ends = [(1 - level) / 2, (1 + level) / 2]
    return {
        "similarity": float(same[0]),
        **dict(zip(("low", "high"), np.nanquantile(same[1:], ends).tolist(), strict=True)),
        "other_classes": float(different[0]),
        **dict(zip(("other_low", "other_high"), np.nanquantile(different[1:], ends).tolist(), strict=True)),
        "plain": plain,
        "halves": _halves(one.flat[one.label == number], rng),
    }


def _mean_of_known(values: Values) -> Values:
    """Mean over the first axis of what is not NaN; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(0)
    return np.divide(np.where(known, values, 0).sum(0), count, out=np.full(values.shape[1:], np.nan), where=count > 0)


def _halves(maps: Values, rng: np.random.Generator, splits: int = 20) -> float:
    found = []
    for _ in range(splits):
        order = rng.permutation(len(maps))
        half = len(maps) // 2
        found.append(_cosine(maps[order[:half]].mean(0), maps[order[half : 2 * half]].mean(0)))
    return float(np.mean(found))


def _cosine(one: Values, two: Values) -> np.float64:
    return np.float64(one @ two / np.sqrt((one @ one) * (two @ two)))
