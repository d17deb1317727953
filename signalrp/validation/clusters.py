"""Where relevance differs from chance: cluster-based permutation tests over any dimensions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from types import ModuleType
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, stats
from scipy.sparse.csgraph import connected_components

from signalrp.validation._units import Units, units_of
from signalrp.validation.checks import labelled_array
from signalrp.validation.statistics import trial_clusters

Neighbours: TypeAlias = str | ArrayLike | sparse.sparray | sparse.spmatrix
_FORMING = 0.05
_TFCE_STEPS = 100
_NUMBERS = "fiumM"
# equal masses may differ in the last bits with the order of summation
_SLACK = 1 - 1e-9


def cluster_test(
    explanation: xr.Dataset,
    against: float | str | xr.Dataset | ArrayLike = 0.0,
    *,
    subject: str | ArrayLike | None = None,
    adjacency: Mapping[str, Neighbours] | None = None,
    threshold: float | Literal["tfce"] | None = None,
    tail: Literal[-1, 0, 1] = 0,
    permutations: int = 2000,
    level: float = 0.05,
    seed: int = 0,
) -> xr.Dataset:
    """Where is relevance above chance, or different between two classes or two explanations?

    The cluster-based permutation test of Maris & Oostenveld (2007), doi:10.1016/j.jneumeth.2007.03.024, as MNE
    computes it: neighbouring positions whose t exceeds a threshold form a cluster, its mass is the sum of their
    t, and p is how often chance has a larger mass anywhere. The one p thus covers all positions tested.

    The unit that chance exchanges is the subject: relevance is averaged within each first. Without subjects it
    is the trial, and the result then says nothing beyond the subjects the trials come from.

    What p does **not** say (Sassenhagen & Draschkow 2019, doi:10.1111/psyp.13335): it belongs to the cluster as
    a whole, and to the hypothesis that there is no difference anywhere. The first and last instant, the channels
    and the frequencies of a cluster are a description without an error rate; do not report them as an onset or
    as a significant position. The absence of a cluster is no evidence that relevance is even.

    Parameters
    ----------
    explanation
        Dataset with ``relevance``, ``trial`` and any other dimensions: channel, time, frequency, row, column …
    against
        A number, by default 0: is relevance of the same sign in all subjects? Since most rules share out the
        model's output, which is positive for a predicted class, relevance above 0 means little.
        ``"uniform"``: is it above the mean of its own trial, so above what an even spread would give?
        Another explanation of the same trials, e.g. of a model with random weights, of another class, or by
        another method. Or two groups: the name of a variable or coordinate along trial (``"label"``), or one
        value per trial, with two different values; first minus second in sorted order is tested, within
        subjects where each has trials of both, else between them.
    subject
        Name of the coordinate along trial, or one value per trial. By default the coordinate ``subject``
        where there is one, else every trial counts for itself.
    adjacency
        What neighbours what along a dimension: ``"lattice"`` (the one before and the one after), ``"none"``, or
        a symmetric matrix, dense or sparse, e.g. ``{"channel": mne.channels.find_ch_adjacency(info, "eeg")[0]}``
        with channels in the order of the explanation. By default a lattice, but none along ``channel`` and
        along every dimension with names for coordinates: the order in which channels are stored is arbitrary,
        so a cluster then stays within one channel until their neighbourhood is given.
    threshold
        t that a position needs to enter a cluster, positive; by default that of p < .05 for this tail. It
        decides which extents are found, not how often something is found by chance. ``"tfce"`` does without
        (Smith & Nichols 2009, doi:10.1016/j.neuroimage.2008.03.061), takes some hundred times longer, and
        gives a p to every position, which is then one of that position (at `level`, neighbours make a cluster).
    tail
        0 for both sides, 1 for above only, -1 for below only.
    permutations
        Sign flips or exchanges to draw, the observed arrangement included. Where there are no more sign flips
        than this, each is taken once and p is exact.
    level
        With ``"tfce"``, where clusters end; and a warning says when so few units cannot reach it.
    seed
        Seed of the drawing.

    Returns
    -------
    xarray.Dataset
        In the dimensions of the relevance without trial: ``statistic``, Student's t; ``cluster``, the number of
        the cluster a position belongs to, by rising p, -1 for none; ``p`` of that cluster, 1 for none, with
        ``"tfce"`` of that position. The attributes name the test, the units and how many, the ``arrangements``
        that differ and the ``smallest_p`` that they and the permutations allow, and the settings.
        `cluster_table` lists the clusters; ``to_netcdf`` saves it.

    Raises
    ------
    ValueError
        If an input is incomplete, not finite or unknown, another explanation is not of the same trials and
        places, groups are not two, subjects have now one, now both of them, there are fewer than two units (in
        each group), or a position has the same nonzero difference in all of them, so that t is infinite.
    ImportError
        If mne is not installed.
    """
    mne = _mne()
    relevance = labelled_array(explanation, "relevance")
    _check_options(threshold, tail, permutations, level)
    units = units_of(explanation, relevance, against, trial_clusters(explanation, subject))
    graph, described = _graph(relevance, adjacency or {}, mne)
    statistic = units.t()
    least = units.smallest_p(permutations, tail)
    if least > level:
        warnings.warn(
            f"With {units.size} {units.unit}s no p below {least:.3g} is possible; whatever the relevance, nothing "
            f"can be found at the level {level:g}.",
            UserWarning,
            stacklevel=2,
        )
    if threshold is None:
        threshold = float(stats.t.isf(_FORMING / (2 if tail == 0 else 1), units.freedom))
    chance, scores = _chance(units, statistic, graph, threshold, tail, permutations, seed, mne)
    p = np.ones(statistic.size)
    if threshold == "tfce":
        p[units.varying] = _p(scores, chance)
        inside = p <= level
    else:
        inside = (np.abs(statistic) if tail == 0 else tail * statistic) > threshold
    label = _components(inside, np.sign(statistic), graph)
    mass = np.abs(np.bincount(label[label >= 0], statistic[label >= 0]))
    if threshold != "tfce":
        p[label >= 0] = _p(mass, chance)[label[label >= 0]]
    label = _by_rising_p(label, p, mass)
    dims, shape = relevance.dims[1:], relevance.shape[1:]
    variables = {"statistic": statistic, "cluster": label, "p": p}
    result = xr.Dataset(
        {name: (dims, values.reshape(shape)) for name, values in variables.items()},
        {name: c for name, c in relevance.coords.items() if "trial" not in c.dims},
        {
            "test": "signs of units flipped" if len(units.groups) == 1 else "units exchanged between two groups",
            "against": units.against,
            "unit": units.unit,
            "units": units.size,
            "degrees_of_freedom": units.freedom,
            "smallest_p": least,
            "threshold": threshold,
            "tail": tail,
            "adjacency": described,
            "permutations": permutations,
            "arrangements": float(units.arrangements(tail)),
            "level": level,
            "seed": seed,
        },
    )
    result["statistic"].attrs["long_name"] = "Student's t"
    return result


def cluster_table(result: xr.Dataset) -> pd.DataFrame:
    """List the clusters of a `cluster_test`, by rising p.

    Returns
    -------
    pandas.DataFrame
        One row per cluster: ``cluster``, its number; ``p`` (with ``"tfce"`` the smallest of its positions);
        ``mass``, the sum of t; ``size``, the number of positions; ``peak``, the t farthest from 0; for every
        dimension with numbers ``<dim>_first`` and ``<dim>_last``, for others ``<dim>``, the names; and
        ``extent``, the same in words with units. The extent describes; no p belongs to its limits (see
        `cluster_test`).
    """
    statistic, label, p = (result[name].values for name in ("statistic", "cluster", "p"))
    rows = []
    for number in range(int(label.max()) + 1):
        inside = label == number
        values = statistic[inside]
        row = {"cluster": number, "p": p[inside].min(), "mass": values.sum(), "size": values.size}
        row["peak"] = values[np.abs(values).argmax()]
        words = []
        for dim, where in zip(result["cluster"].dims, np.nonzero(inside), strict=True):
            places = result[dim].values[np.unique(where)]
            if places.dtype.kind in _NUMBERS:
                low, high = row[f"{dim}_first"], row[f"{dim}_last"] = places.min(), places.max()
                units = result[dim].attrs.get("units", "")
                words.append(f"{dim} {_short(low)} to {_short(high)} {units}".rstrip())
            else:
                row[str(dim)] = ", ".join(map(str, places))
                words.append(f"{dim} {row[str(dim)]}")
        rows.append(row | {"extent": "; ".join(words)})
    return pd.DataFrame(rows, columns=None if rows else ["cluster", "p", "mass", "size", "peak", "extent"])


def _short(value: np.generic) -> str:
    return f"{value:.4g}" if value.dtype.kind in "fiu" else str(value)


def _chance(
    units: Units,
    statistic: NDArray[np.float64],
    graph: sparse.csr_array,
    threshold: float | str,
    tail: int,
    permutations: int,
    seed: int,
    mne: ModuleType,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Largest mass of each permutation, in rising order, and the scores of the varying positions with TFCE."""
    where = np.flatnonzero(units.varying)
    t = np.abs(statistic[where]) if tail == 0 else tail * statistic[where]
    highest = float(t.max(initial=0))
    if highest <= (0 if isinstance(threshold, str) else threshold):
        return np.zeros(1), np.zeros(len(where))
    two = len(units.groups) == 2
    # In permutations of two groups MNE 1.13 looks for the largest mass above only, whatever the tail, which halves
    # p; so both sides go in as one map without bonds between them. Below is tested as above of the opposite,
    # since TFCE scores know no side.
    sides = (1, -1) if two and tail == 0 else (tail or 1,)
    groups = [np.hstack([side * group[:, where] for side in sides]) for group in units.groups]
    test = partial(
        mne.stats.permutation_cluster_test if two else mne.stats.permutation_cluster_1samp_test,
        stat_fun=mne.stats.ttest_ind_no_p if two else None,
        tail=1 if two else abs(tail),
        adjacency=sparse.coo_array(sparse.block_diag([graph[where][:, where]] * len(sides))),
        threshold={"start": 0, "step": highest / _TFCE_STEPS} if isinstance(threshold, str) else threshold,
        buffer_size=None,
        seed=seed,
    )
    # groups of equal units, which an exchange may make, have no t
    with mne.use_log_level("ERROR"), np.errstate(divide="ignore", invalid="ignore"):
        scores, _, _, chance = test(groups if two else groups[0], n_permutations=permutations)
        if not two and tail != 0 and units.arrangements(tail) <= permutations and np.isclose(chance[-1], chance[0]):
            # one-sided and exact, MNE 1.13 takes the observed signs twice and never flips all of them
            chance[-1] = test(-groups[0], n_permutations=1)[-1].max(initial=0)
    return np.sort(np.abs(chance)), np.abs(scores).reshape(len(sides), -1).max(0)


def _p(values: NDArray[np.float64], chance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of chance, in rising order, that reaches each value."""
    return 1 - np.searchsorted(chance, values * _SLACK) / len(chance)


def _components(inside: NDArray[np.bool_], side: NDArray[np.float64], graph: sparse.csr_array) -> NDArray[np.int64]:
    """Number of the connected set of positions on the same side that each position belongs to, -1 outside."""
    label = np.full(len(inside), -1)
    for part in (1, -1):
        where = np.flatnonzero(inside & (side == part))
        if len(where):
            label[where] = connected_components(graph[where][:, where], directed=False)[1] + label.max() + 1
    return label


def _by_rising_p(label: NDArray[np.int64], p: NDArray[np.float64], mass: NDArray[np.float64]) -> NDArray[np.int64]:
    best = np.ones(len(mass))
    np.minimum.at(best, label[label >= 0], p[label >= 0])
    number = np.empty(len(mass), dtype=np.int64)
    number[np.lexsort((-mass, best))] = np.arange(len(mass))
    return np.where(label < 0, -1, number[label]) if len(mass) else label


def _graph(
    relevance: xr.DataArray, adjacency: Mapping[str, Neighbours], mne: ModuleType
) -> tuple[sparse.csr_array, str]:
    """Neighbourhood of all positions in the order of memory, and which it is in words."""
    dims = [str(dim) for dim in relevance.dims[1:]]
    unknown = set(adjacency) - set(dims)
    if unknown:
        raise ValueError(f"adjacency names {', '.join(sorted(unknown))}; the relevance has {', '.join(dims)}.")
    structure, words = [], []
    for dim in dims:
        size = relevance.sizes[dim]
        named = dim == "channel" or relevance[dim].dtype.kind not in _NUMBERS
        given = adjacency.get(dim, "none" if named else "lattice")
        if isinstance(given, str):
            if given not in ("lattice", "none"):
                raise ValueError(f"The adjacency of {dim} is {given!r}; choose lattice, none, or give a matrix.")
            structure.append(size if given == "lattice" else sparse.coo_array((size, size)))
        else:
            matrix = sparse.csr_array(given) != 0
            if matrix.shape != (size, size) or (matrix != matrix.T).nnz:
                raise ValueError(
                    f"The adjacency of {dim} has shape {matrix.shape}; expected a symmetric matrix of {size} × {size}, "
                    "a row for each position along it."
                )
            structure.append(sparse.coo_array(matrix.astype(float)))
            given = "matrix"
        words.append(f"{dim} {given}")
    return sparse.csr_array(mne.stats.combine_adjacency(*structure)), ", ".join(words)


def _check_options(threshold: float | str | None, tail: int, permutations: int, level: float) -> None:
    if threshold not in (None, "tfce") and (isinstance(threshold, str) or not threshold > 0):
        raise ValueError(f"threshold is {threshold!r}; expected a positive t, 'tfce', or None for that of p < .05.")
    if tail not in (-1, 0, 1):
        raise ValueError(f"tail is {tail!r}; expected 0 for both sides, 1 for above or -1 for below.")
    if permutations < 1 or not 0 < level < 1:
        raise ValueError(f"permutations is {permutations} and level {level}; expected at least 1, and 0 < level < 1.")


def _mne() -> ModuleType:
    try:
        import mne
    except ImportError:
        raise ImportError('cluster_test needs mne: pip install "signalrp[validation]".') from None
    return mne
