"""Does relevance depend on what the model has learnt? Its weights are randomised to find out.

To pass is necessary, not sufficient: a map of pure chance passes where it differs from model to model.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import nn

from signalrp.baselines import Method
from signalrp.targets import Target
from signalrp.validation.likeness import Measure, check_measure, has_ssim, likeness, mean_of
from signalrp.validation.sanity.randomised import cascade, inside, layers_from_output
from signalrp.validation.verdicts import (
    RESEMBLANCE,
    Case,
    Check,
    as_inputs,
    at_least_one,
    known_interval,
    left_out,
    words,
)


def cascading_randomisation(
    model: nn.Module,
    data: xr.DataArray | xr.Dataset,
    method: Method = "epsilon-plus",
    *,
    target: Target = None,
    layers: Sequence[str] | None = None,
    measures: Sequence[Measure] | None = None,
    threshold: float = 0.5,
    repeats: int = 5,
    subject: str | ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
    **options: Any,
) -> Check:
    """Randomise the weights layer by layer from the output downwards and compare the maps with the original ones.

    Adebayo et al. (2018), arXiv:1810.03292. A map that stays when what was learnt is gone does not explain it.
    Methods that hand on positive parts only are known to stay (Sixt et al. 2020, arXiv:1912.09818): guided
    backpropagation, deconvnet, LRP with ZPlus or alpha-beta in every layer.

    Parameters
    ----------
    model
        Stays as it is; copies are randomised, by ``reset_parameters`` where a module has it. Takes
        (trial, …) and returns (trial, class).
    data
        Signal (trial, …), or an explanation, whose signal and targets are taken.
    method
        What makes the maps, see `signalrp.methods`; further options go to `signalrp.explain_with`.
    target
        Class explained, by default that of the explanation, else the one predicted. It stays the same throughout.
    layers
        Paths of modules, each randomised with all that is inside, in this order. By default every module with
        weights of its own, in the opposite order of their calls.
    measures
        Of ``"spearman-up-to-sign"``, ``"spearman"`` (with sign), ``"spearman-absolute"``, ``"correlation"``,
        ``"cosine"`` and ``"ssim"``, see `signalrp.validation.likeness`. The first decides. By default the first
        three, and SSIM for maps of two dimensions, else the cosine. Where the map is a product with the signal,
        similarity of absolute values stays high by the signal alone, so it does not decide.
    threshold
        It passes if the similarity, averaged over the steps of the cascade, has its interval below this. The sign
        is set aside since a random output may turn a whole map round. By default 0.5, at which the ranks have a
        quarter of their variance in common; maps of n independent samples that have nothing in common reach about
        ``sqrt(2 / (pi * n))``, smooth maps somewhat more.
    repeats
        Number of random models, each kept as a copy.
    subject, level
        Cluster of every trial and coverage of the intervals, see `signalrp.validation.bootstrap_interval`.
    seed
        Of weights and resampling.

    Returns
    -------
    Check
        Table with columns step, layer, measure, similarity, low, high (over trials), and two_random: similarity
        between two models equally randomised, which shows what of the map comes from the signal alone.

    Raises
    ------
    ValueError
        If the signal holds NaN, the model has no weights, trials are of one subject only, or maps are zero in
        more than half of the trials.
    """
    at_least_one(repeats)
    case = Case.of(model, data, method, target, subject, options)
    sizes = case.signal.shape[1:]
    chosen: Sequence[Measure] = measures or (
        RESEMBLANCE,
        "spearman",
        "spearman-absolute",
        "ssim" if has_ssim(sizes) else "cosine",
    )
    for measure in chosen:
        check_measure(measure, sizes)
    if layers is None:
        steps = {path: [path] for path in layers_from_output(model, as_inputs(model, case.signal[:1]))}
    else:
        steps = {path: inside(model, path) for path in layers}
    original = case.maps
    copies = [cascade(model, list(steps.values()), seed + 1000 * repeat) for repeat in range(repeats)]
    rows, deciding = [], []
    # every copy is randomised one layer further in each round
    for step, (path, *randomised) in enumerate(zip(steps, *copies, strict=True), start=1):
        maps = [case.maps_of(copy) for copy in randomised]
        for measure in chosen:
            values = mean_of([likeness(original, other, measure) for other in maps])
            pairs = [likeness(one, two, measure) for one, two in combinations(maps, 2)]
            interval = known_interval(values, case.cluster, level, seed)
            two = float(np.nanmean(pairs)) if pairs else np.nan
            rows.append((step, path, measure, interval.estimate, interval.low, interval.high, two))
            if measure == chosen[0]:
                deciding.append(values)
    mean = mean_of(deciding)
    over, last = (known_interval(values, case.cluster, level, seed) for values in (mean, deciding[-1]))
    passed = bool(over.high < threshold)
    statement = (
        f"Randomising {len(steps)} layer{'s' * (len(steps) > 1)} from the output downwards, the similarity "
        f"({chosen[0]}) of {case.name} to its original maps is {words(over)} on average over the steps and "
        f"{words(last)} after the last; asked for is an average below {threshold:g}. "
        + ("The maps depend on the weights." if passed else "The maps keep too much of what the signal alone gives.")
        + left_out(mean)
    )
    columns = ["step", "layer", "measure", "similarity", "low", "high", "two_random"]
    return Check("cascading randomisation", passed, statement, pd.DataFrame(rows, columns=columns))


def efficient_mprt(
    model: nn.Module,
    data: xr.DataArray | xr.Dataset,
    method: Method = "epsilon-plus",
    *,
    target: Target = None,
    bins: int = 100,
    repeats: int = 5,
    subject: str | ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
    **options: Any,
) -> Check:
    """Relative rise of the maps' complexity once all weights are random.

    Efficient model parameter randomisation test (Hedström et al. 2024, arXiv:2401.06465): (H(random) − H) / H with
    H the `histogram_entropy` of a trial's map. What was learnt makes a map simpler, so it passes if the mean rise
    has its interval above 0. No similarity is measured, hence none that the signal alone keeps up. It asks for less
    than the cascade: guided backpropagation and ZPlus, which stay much the same there, rise here. And it takes for
    granted that random weights draw more complex maps; where a shallow model sees smooth signals they need not, and
    gradients fail too.

    Parameters
    ----------
    bins
        Of the histogram; 100 in the paper.
    model, data, method, target, repeats, subject, level, seed
        See `cascading_randomisation`; the rise is averaged over `repeats` random models.

    Returns
    -------
    Check
        Table with one row: complexity before, complexity randomised, rise, low, high.

    Raises
    ------
    ValueError
        As `cascading_randomisation`, and for fewer than 2 bins.
    """
    at_least_one(repeats)
    case = Case.of(model, data, method, target, subject, options)
    before = histogram_entropy(case.maps, bins)
    randomised = []
    for repeat in range(repeats):
        (copy,) = cascade(model, [inside(model, "")], seed + 1000 * repeat)
        randomised.append(histogram_entropy(case.maps_of(copy), bins))
    after = np.mean(randomised, axis=0)
    # a constant map has entropy 0 and cannot rise by a share of it
    rise = (after - before) / np.where(before > 0, before, np.nan)
    # means over the repeats of one and the same entropy differ in their last bits
    rise[np.abs(rise) < 1e-12] = 0
    interval = known_interval(rise, case.cluster, level, seed)
    passed = bool(interval.low > 0)
    statement = (
        f"With all weights random the complexity (entropy of {bins} bins) of the maps of {case.name} changes by a "
        f"share of {words(interval)}; asked for is a rise, an interval above 0." + left_out(rise)
    )
    row = {
        "complexity": before.mean(),
        "complexity_random": after.mean(),
        "rise": interval.estimate,
        "low": interval.low,
        "high": interval.high,
    }
    return Check("efficient MPRT", passed, statement, pd.DataFrame([row]))


def histogram_entropy(maps: ArrayLike, bins: int = 100) -> NDArray[np.float64]:
    """Complexity of every map (trial, …): entropy, in nats, of its histogram.

    The bins are of equal width between a map's smallest and largest value.

    Raises
    ------
    ValueError
        For fewer than 2 bins or values that are not finite.
    """
    values = np.asarray(maps, dtype=np.float64)
    if bins < 2 or values.ndim < 2 or not np.isfinite(values).all():
        raise ValueError(
            f"Found {bins} bins and maps of shape {values.shape}; expected 2 or more, (trial, …) and no NaN."
        )
    entropies = np.empty(len(values))
    for trial, one in enumerate(values):
        counts, _ = np.histogram(one, bins)
        shares = counts[counts > 0] / one.size
        entropies[trial] = -(shares * np.log(shares)).sum()
    return entropies
