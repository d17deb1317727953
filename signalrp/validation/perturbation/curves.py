"""Perturbation curves: remove what matters most (or least) first and watch the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from signalrp.inspection import Basis
from signalrp.validation.checks import (
    check_model,
    labelled_array,
    own_positions,
    reference_values,
    removal_steps,
    true_classes,
)
from signalrp.validation.perturbation.distance import watched
from signalrp.validation.perturbation.fills import Material, UserFill, check_fill, fill_name, prepare_fill
from signalrp.validation.perturbation.machine import Answers, Machine, Model, blocks, placed, trials_at_once
from signalrp.validation.perturbation.orders import (
    ORDERS,
    Pieces,
    SegmentScore,
    backwards,
    order_values,
    random_scores,
    removal_order,
)
from signalrp.validation.perturbation.removal import Removal
from signalrp.validation.perturbation.segments import pieces_of
from signalrp.validation.perturbation.spaces import space_of

_DIRECTIONS = {"morf": ("morf",), "lerf": ("lerf",), "both": ("morf", "lerf")}
_MODES = ("deletion", "insertion")

_Results = dict[str, NDArray[np.float64]]


def perturbation_curves(
    model: Model,
    explanation: xr.Dataset,
    *,
    orders: str | Sequence[str] | Mapping[str, ArrayLike | str] = ORDERS,
    direction: str = "both",
    fill: str | UserFill = "mean",
    fractions: Sequence[float] | None = None,
    segments: ArrayLike | None = None,
    segment_score: SegmentScore = "sum",
    repeats: int = 10,
    mode: str = "deletion",
    basis: Basis | None = None,
    reference: ArrayLike | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
    batch_size: int | None = None,
    device: str | torch.device | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Remove parts of every trial step by step, or bring them back, and record what the model still says.

    Samek et al. (2017), doi:10.1109/TNNLS.2016.2599820. Ranks are computed once per trial and order; all
    steps go through the model in large batches.

    Parameters
    ----------
    model
        Takes signals in the dimensions of the explanation, trial first, in the dtype of its parameters, and
        returns (trial, class); in evaluation mode.
    explanation
        Dataset with ``signal`` and ``relevance`` over the same dimensions, usually (trial, channel, time), but
        any others beside trial will do; ``label`` (trial); and, where present, ``output`` (trial, class) and
        ``target`` (trial). The relevance should be that of the predicted class: ordering by the true class
        leaks the label, and a warning says so.
    orders
        Of ``"relevance"``, ``"amplitude"`` (absolute value of the signal) and ``"random"``; or a mapping from
        a name to one of these or to another method's scores, of the signal's shape.
    direction
        ``"morf"``, most relevant first; ``"lerf"``, least relevant first; or ``"both"``.
    fill
        What stands in place of what is removed; a channel is here all that shares its place along the
        dimensions other than trial, time, frame, row and column.

        - ``"mean"``: mean over the reference trials at every place; ``"zero"``.
        - ``"interpolate"``: linear along time across the gap, edges extended; ``"noisy-linear"``: each sample
          the weighted mean of its neighbours along time, solved together, plus noise of 1 % of the channel's
          standard deviation (ROAD, Rong et al. 2022, arXiv 2202.00449). The mean where a channel is gone
          throughout its time.
        - ``"noise"``: Gaussian with each channel's mean and standard deviation in the reference; ``"uniform"``:
          uniform between each channel's smallest and largest value there (Samek et al. 2017).
        - ``"spectrum-surrogate"``: the trial itself, the phases of its frequencies along time drawn at random,
          the same for all channels (Theiler et al. 1992, doi:10.1016/0167-2789(92)90102-S).
        - ``"trial-swap"``: the same piece of another trial of the reference, drawn at random.
        - A function of signals and boolean masks, both (batch, …), returning what stands where the mask is set.

        Time is the dimension ``time``, or ``frame`` where there is no time. In units of the signal.
    fractions
        Shares of the samples (or segments) removed, 0 to 1, rounded down to a whole number; 0 is always
        added. By default 0, 1, 2, 5, 10, 20, 30 and 50 % of the samples, or segments one by one.
    segments
        Integer labels of what is removed as a whole, over any of the signal's dimensions, as an
        `xarray.DataArray`; the same along the others. Negative labels stay. A plain array is taken as (time,),
        (channel, time) or (trial, channel, time) where the signal has these dimensions; else it has the shape of
        the signal or of a trial. By default every sample for itself.
    segment_score
        Rank segments by ``"sum"`` or ``"mean"`` of their samples' scores.
    repeats
        Number of random orders.
    mode
        ``"deletion"`` removes pieces from the trial; ``"insertion"`` begins with all pieces removed and brings
        the trial's own back in the same order (Petsiuk et al. 2018, arXiv 1806.07421).
    basis
        Remove coefficients, or segments of them such as bands and components, in this basis, and transform back.
        The explanation is then that of `signalrp.inspect`, in the basis' dimensions, and fills make coefficients,
        real and imaginary parts each for themselves; fills along time are refused.
    reference
        Data of the signal's dimensions that the fills take their values from, best the training trials. By default
        the explained trials. In a basis: signals, not coefficients.
    transform
        Applied to the manipulated signals on their way into the model, e.g. the scaling it was trained with.
    batch_size
        Manipulated trials per forward pass, by default as many as run fast: 2¹⁹ samples per thread of a processor,
        2²⁶ on an accelerator, at most 1024 trials.
    device
        Where to compute; by default where the model is. The model returns to its place afterwards.
    seed
        Seed of random orders and fills, which depend on it and on the trial's position alone.

    Returns
    -------
    xarray.Dataset
        ``output`` of the initially predicted class, ``correct`` (0 or 1) and ``distance``, over (order, direction,
        step, trial); for the random order their mean over the draws, which are kept in ``random_output``,
        ``random_correct`` and ``random_distance`` (repeat, step, trial) and stand in both directions, since chance
        has none. ``initial_output``, ``predicted`` and ``label`` (trial). Coordinate ``step``: % removed (or
        inserted), or the number of segments. Coordinates of the trials are kept. Curves of several folds join by
        ``xarray.concat(curves, "trial")``.

        ``distance`` tells how far a fill takes trials from the data: Euclidean, from the filled trial to the nearest
        of up to 200 reference trials other than itself, in the features that the model's last layer with weights
        is given, in units of the median distance of these trials to their own nearest neighbour, of which
        ``attrs["distance_95"]`` is the 95th percentile. Absent where the model is a plain function or has no such
        features, or there are fewer than three reference trials. Other attributes: ``perturbation`` (the mode),
        ``basis``, ``fill``, ``removed``, ``classes``, ``seed``.

    Raises
    ------
    ValueError
        If an input is incomplete, of a wrong shape, not finite or unknown; if the model is in training mode,
        does not return finite (trial, class), or is not the model that was explained; if a fill lacks data or a
        dimension to fill along.

    Warns
    -----
    UserWarning
        If relevance explains the true class of trials that the model gets wrong, or all trials have one label.
    """
    space = space_of(explanation, basis)
    signal, inputs = space.signal, space.inputs
    relevance = labelled_array(explanation, "relevance").transpose(*signal.dims)
    label = true_classes(explanation)
    _check_options(direction, segment_score, mode, repeats, batch_size)
    check_fill(fill, space.bound is not None)
    pieces = pieces_of(segments, signal)
    steps, counts = removal_steps(fractions, pieces.count, one_by_one=segments is not None)
    given = reference_values(reference, inputs)
    own = own_positions(given, inputs.values)
    material = Material(space.values(given), tuple(map(str, signal.dims)), own, seed, space.bound is not None)
    prepared = prepare_fill(fill, material)
    values = order_values(orders, signal, relevance)
    run = _Run(pieces, counts, _DIRECTIONS[direction], mode, segment_score, repeats, seed)
    with placed(model, device) as (place, dtype), watched(model) as features, torch.no_grad():
        inverse = None if space.bound is None else space.bound.inverse
        size = trials_at_once(batch_size, max(inputs[0].size, signal[0].size), place)
        machine = Machine(model, transform, inverse, features, place, dtype, size)
        machine.learn(given, seed)
        initial, distance = machine.initial(inputs, own)
        predicted = check_model(explanation, initial, label)
        start = initial[np.arange(len(label)), predicted]
        intact = {"output": start, "correct": (predicted == label).astype(np.float64), "distance": distance}
        results = {name: run.results(score is None, intact) for name, score in values.items()}
        for trials in blocks(len(label), size):
            content = space.content(machine.tensor(inputs.values[trials]))
            replacement = prepared(content, trials)
            classes, positions = (torch.from_numpy(found[trials]).to(place) for found in (predicted, own))
            for name, score in values.items():
                for number, removal in run.removals(score, trials, place):
                    steps_at_once = max(1, size // len(content))
                    filled = removal.filled(content, replacement, counts[run.first :], steps_at_once)
                    run.keep(results[name], number, trials, machine.answers(filled, classes, positions), label[trials])
    if machine.near is None:
        for found in results.values():
            del found["distance"]
    curves = _dataset(signal, results, run.directions, values)
    units = "segments" if segments is not None and fractions is None else "%"
    done = {"deletion": "removed", "insertion": "inserted"}[mode]
    curves = curves.assign(
        initial_output=("trial", start), predicted=("trial", predicted), label=("trial", label)
    ).assign_coords(step=("step", steps, {"long_name": done, "units": units}))
    whole = "samples" if space.bound is None else "coefficients"
    known = {} if machine.near is None else {"distance_95": machine.near.usual}
    return curves.assign_attrs(
        perturbation=mode,
        basis=space.name,
        fill=fill_name(fill),
        removed=whole if segments is None else "segments",
        classes=initial.shape[1],
        seed=seed,
        **known,
    )


@dataclass(frozen=True)
class _Run:
    """What is the same for all trials of a run."""

    pieces: Pieces
    counts: NDArray[np.int64]
    directions: tuple[str, ...]
    mode: str
    segment_score: SegmentScore
    repeats: int
    seed: int

    @property
    def first(self) -> int:
        """The first step to compute: where nothing is removed yet, the model's answer is known."""
        return int(self.mode == "deletion")

    def results(self, random: bool, intact: _Results) -> _Results:
        """Room for results (direction or repeat, step, trial), where the trial is intact in place."""
        number = self.repeats if random else len(self.directions)
        room = {name: np.empty((number, len(self.counts), len(values))) for name, values in intact.items()}
        for name, values in intact.items():
            room[name][:, 0] = values
        return room

    def keep(self, results: _Results, number: int, trials: slice, answers: Answers, label: NDArray[np.int64]) -> None:
        """Put a curve's answers in their place."""
        results["output"][number, self.first :, trials] = answers.output
        results["correct"][number, self.first :, trials] = answers.chosen == label
        results["distance"][number, self.first :, trials] = np.nan if answers.distance is None else answers.distance

    def removals(
        self, values: NDArray[np.floating] | None, trials: slice, device: torch.device
    ) -> Iterator[tuple[int, Removal]]:
        """The removal in every direction, or in every random order, with its number."""
        labels = self.pieces.of(trials, device)
        insertion = self.mode == "insertion"
        if values is None:
            for repeat in range(self.repeats):
                draws = random_scores(trials, self.pieces.count, self.seed, repeat).to(device)
                if not self.pieces.alone:
                    absent = self.pieces.scores(torch.zeros(labels.shape, device=device), labels, "sum") < 0
                    draws = draws.masked_fill(absent, -torch.inf)
                yield repeat, Removal(removal_order(draws), labels, self.pieces, insertion)
            return
        scores = self.pieces.scores(torch.tensor(values[trials], device=device), labels, self.segment_score)
        order = removal_order(scores)
        for number, direction in enumerate(self.directions):
            directed = backwards(order, scores) if direction == "lerf" else order
            yield number, Removal(directed, labels, self.pieces, insertion)


def _check_options(direction: str, segment_score: str, mode: str, repeats: int, batch_size: int | None) -> None:
    if direction not in _DIRECTIONS:
        raise ValueError(f"Direction {direction!r} is unknown; choose from {', '.join(_DIRECTIONS)}.")
    if segment_score not in ("sum", "mean"):
        raise ValueError(f"Segment score {segment_score!r} is unknown; choose sum or mean.")
    if mode not in _MODES:
        raise ValueError(f"Mode {mode!r} is unknown; choose from {', '.join(_MODES)}.")
    if repeats < 1 or (batch_size is not None and batch_size < 1):
        raise ValueError(f"repeats is {repeats} and batch_size {batch_size}; both must be at least 1.")


def _dataset(
    signal: xr.DataArray,
    results: Mapping[str, _Results],
    directions: tuple[str, ...],
    values: Mapping[str, NDArray[np.floating] | None],
) -> xr.Dataset:
    dims = ("order", "direction", "step", "trial")
    variables: dict[str, tuple[tuple[str, ...], NDArray[np.float64]]] = {}
    for name in next(iter(results.values())):
        stacked = []
        for order, score in values.items():
            found = results[order][name]
            if score is None:
                variables[f"random_{name}"] = (("repeat", "step", "trial"), found)
                found = np.broadcast_to(found.mean(0), (len(directions), *found.shape[1:]))
            stacked.append(found)
        variables[name] = (dims, np.stack(stacked))
    coordinates = {name: c for name, c in signal.coords.items() if c.dims == ("trial",)}
    return xr.Dataset(variables, {**coordinates, "order": list(values), "direction": list(directions)})
