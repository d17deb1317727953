"""What chance exchanges in a permutation test of maps: one difference per subject, or two groups of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from signalrp.places import same_places
from signalrp.validation.checks import labelled_array
from signalrp.validation.statistics import check_same_trials

_NOTHING = 1e-12


@dataclass(frozen=True)
class Units:
    """Maps (unit, position) of one group, whose signs flip, or of two, between which units change places."""

    groups: tuple[NDArray[np.float64], ...]
    unit: str
    against: str

    @property
    def size(self) -> int:
        return sum(map(len, self.groups))

    @property
    def freedom(self) -> int:
        """Degrees of freedom of t."""
        return self.size - len(self.groups)

    @property
    def varying(self) -> NDArray[np.bool_]:
        """Positions where chance can make any difference: elsewhere all units are 0, or all the same in two groups."""
        together = np.concatenate(self.groups)
        spread = np.ptp(together, axis=0) if len(self.groups) == 2 else np.abs(together).max(0)
        return spread > _NOTHING * np.abs(together).max()

    def t(self) -> NDArray[np.float64]:
        """Student's t of every position, 0 where there is nothing to see.

        Raises
        ------
        ValueError
            If there are too few units, or t is infinite somewhere.
        """
        if min(map(len, self.groups)) < 2:
            found = " and ".join(str(len(group)) for group in self.groups)
            raise ValueError(
                f"There are {found} {self.unit}s to compare; expected at least two{' in each group' * self._two}."
            )
        means = [group.mean(0) for group in self.groups]
        difference = means[0] - means[1] if self._two else means[0]
        squares = sum(((group - mean) ** 2).sum(0) for group, mean in zip(self.groups, means, strict=True))
        error = np.sqrt(squares / self.freedom * sum(1 / len(group) for group in self.groups))
        fixed = self.varying & (error <= _NOTHING * np.abs(difference))
        if fixed.any():
            raise ValueError(
                f"At {int(fixed.sum())} of {fixed.size} positions all {self.unit}s differ by the same amount, so that "
                "t is infinite; leave these positions out, or give data that vary."
            )
        return np.divide(difference, error, out=np.zeros_like(difference), where=self.varying)

    def arrangements(self, tail: int) -> int:
        """Number of sign flips or exchanges that differ in their t; two-sided, the mirror image does not."""
        if not self._two:
            return 2 ** (self.size - (tail == 0))
        return comb(self.size, len(self.groups[0])) // (1 + (tail == 0 and self.size == 2 * len(self.groups[0])))

    def smallest_p(self, permutations: int, tail: int) -> float:
        """Smallest p that the number of units and of permutations allows."""
        return 1 / min(permutations, self.arrangements(tail))

    @property
    def _two(self) -> bool:
        return len(self.groups) == 2


def units_of(
    explanation: xr.Dataset, relevance: xr.DataArray, against: Any, subjects: NDArray[np.generic] | None
) -> Units:
    """Means of every subject, or the trials where there are none, less what they are compared with."""
    unit = "trial" if subjects is None else "subject"
    values = relevance.values.reshape(len(relevance), -1).astype(np.float64)
    names = np.arange(len(values)) if subjects is None else subjects
    if names.shape != (len(values),):
        raise ValueError(f"subject has shape {names.shape}; expected one entry for each of {len(values)} trials.")
    if isinstance(against, xr.Dataset):
        other = labelled_array(against, "relevance")
        same_places(other, relevance, "The other explanation's relevances")
        check_same_trials(relevance, other, "The two explanations")
        others = other.transpose(*relevance.dims).values.reshape(values.shape)
        return Units((_means(values - others, names),), unit, "another explanation")
    if isinstance(against, str) and against == "uniform":
        return Units((_means(values - values.mean(1, keepdims=True), names),), unit, "uniform")
    if isinstance(against, Real):
        return Units((_means(values - float(against), names),), unit, f"{float(against):g}")
    group, name = _groups(explanation, against, len(values))
    first, second = np.unique(group)
    one, two = group == first, group == second
    both, every = np.intersect1d(names[one], names[two]), np.unique(names)
    if 0 < len(both) < len(every):
        raise ValueError(
            f"{len(both)} of {len(every)} subjects have trials in both groups, the others in one; keep those with "
            "both to compare within subjects, or give each subject one group."
        )
    maps = _means(values[one], names[one]), _means(values[two], names[two])
    return Units((maps[0] - maps[1],) if len(both) else maps, unit, f"{name} {first} minus {name} {second}")


def _groups(explanation: xr.Dataset, against: str | ArrayLike, trials: int) -> tuple[NDArray[np.generic], str]:
    """Group of every trial, and what the groups are called."""
    if isinstance(against, str):
        if against not in explanation.variables or explanation[against].dims != ("trial",):
            raise ValueError(
                f"{against!r} is neither 'uniform' nor a variable or coordinate along trial; give one of these, a "
                "number, another explanation, or one value per trial."
            )
        group, name = explanation[against].values, against
    else:
        group, name = np.asarray(against), "group"
    if group.shape != (trials,):
        raise ValueError(f"The groups have shape {group.shape}; expected one entry for each of {trials} trials.")
    count = len(np.unique(group))
    if count != 2:
        raise ValueError(f"Found {count} groups; expected two, so select the trials of two of them.")
    return group, name


def _means(values: NDArray[np.float64], names: NDArray[np.generic]) -> NDArray[np.float64]:
    """Mean of every unit, in the order of their names."""
    _, number, counts = np.unique(names, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, number, values)
    return sums / counts[:, None]
