"""Perturbation curves: remove what matters most (or least) first and watch the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from signalrp.explain import type_and_place
from signalrp.validation.checks import (
    check_model,
    labelled_array,
    reference_values,
    removal_steps,
    true_classes,
)
from signalrp.validation.fills import Replace, UserFill, fill_name, prepare_fill
from signalrp.validation.orders import (
    ORDERS,
    Pieces,
    SegmentScore,
    order_values,
    random_scores,
    removal_ranks,
)
from signalrp.validation.segments import pieces_of

_DIRECTIONS = {"morf": ("morf",), "lerf": ("lerf",), "both": ("morf", "lerf")}

Model = Callable[[Tensor], Tensor]
_Results = tuple[NDArray[np.float64], NDArray[np.float64]]


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
    reference: ArrayLike | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
    batch_size: int = 1024,
    device: str | torch.device | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Remove parts of every trial step by step and record what the model still says.

    Samek et al. (2017), doi:10.1109/TNNLS.2016.2599820. Ranks are computed once per trial and order; all
    steps go through the model in large batches.

    Parameters
    ----------
    model
        Takes (trial, channel, time) in the dtype of its parameters, returns (trial, class); in evaluation
        mode.
    explanation
        Dataset with ``signal`` and ``relevance`` (trial, channel, time), ``label`` (trial), and, where
        present, ``output`` (trial, class) and ``target`` (trial). The relevance should be that of the
        predicted class: ordering by the true class leaks the label, and a warning says so.
    orders
        Of ``"relevance"``, ``"amplitude"`` (absolute value of the signal) and ``"random"``; or a mapping from
        a name to one of these or to scores (trial, channel, time) of another method.
    direction
        ``"morf"``, most relevant first; ``"lerf"``, least relevant first; or ``"both"``.
    fill
        ``"mean"``, ``"zero"``, ``"interpolate"``, ``"noise"``, or a function of signals and boolean masks,
        both (batch, channel, time), returning what stands where the mask is set. In units of the signal.
    fractions
        Shares of the samples (or segments) removed, 0 to 1, rounded down to a whole number; 0 is always
        added. By default 0, 1, 2, 5, 10, 20, 30 and 50 % of the samples, or segments one by one.
    segments
        Integer labels (time,), (channel, time) or (trial, channel, time) of what is removed as a whole;
        negative labels stay. By default every sample for itself.
    segment_score
        Rank segments by ``"sum"`` or ``"mean"`` of their samples' scores.
    repeats
        Number of random orders.
    reference
        Data (trial, channel, time) whose mean and standard deviation the fills use, best the training trials.
        By default the explained trials.
    transform
        Applied to the manipulated signals on their way into the model, e.g. the scaling it was trained with.
    batch_size
        Manipulated trials per forward pass.
    device
        Where to compute; by default where the model is. The model returns to its place afterwards.
    seed
        Seed of random orders and noise, which depend on it and on the trial's position alone.

    Returns
    -------
    xarray.Dataset
        ``output`` of the initially predicted class and ``correct`` (0 or 1), over (order, direction, step,
        trial); for the random order their mean over the draws, which are kept in ``random_output`` and
        ``random_correct`` (repeat, step, trial) and stand in both directions, since chance has none.
        ``initial_output``, ``predicted`` and ``label`` (trial). Coordinate ``step``: % removed, or the number
        of segments removed. Coordinates of the trials are kept. Curves of several folds join by
        ``xarray.concat(curves, "trial")``.

    Raises
    ------
    ValueError
        If an input is incomplete, of a wrong shape, not finite or unknown; if the model is in training mode,
        does not return finite (trial, class), or is not the model that was explained.
    """
    signal, relevance = labelled_array(explanation, "signal"), labelled_array(explanation, "relevance")
    label = true_classes(explanation)
    _check_options(direction, segment_score, repeats, batch_size)
    pieces = pieces_of(segments, signal)
    steps, counts = removal_steps(fractions, pieces.count, one_by_one=segments is not None)
    prepared = prepare_fill(fill, reference_values(reference, signal), seed)
    values = order_values(orders, signal, relevance)
    run = _Run(pieces, counts, _DIRECTIONS[direction], segment_score, repeats, seed)
    with _placed(model, device) as (place, dtype), torch.no_grad():
        machine = _Machine(model, transform, place, dtype, batch_size)
        initial = machine.initial(signal)
        predicted = check_model(explanation, initial, label)
        start = initial[np.arange(len(label)), predicted]
        correct = predicted == label
        results = {name: run.results(score is None, start, correct) for name, score in values.items()}
        for trials in _blocks(len(label), batch_size):
            block = machine.tensor(signal.values[trials])
            replace = prepared(block, trials)
            classes = torch.from_numpy(predicted[trials]).to(place)
            for name, score in values.items():
                for number, ranks in run.rank_maps(score, trials, place):
                    output, chosen = machine.curve(block, replace, ranks, counts[1:], classes)
                    results[name][0][number, 1:, trials] = output
                    results[name][1][number, 1:, trials] = chosen == label[trials]
    curves = _dataset(signal, results, run.directions, values)
    units = "segments" if segments is not None and fractions is None else "%"
    curves = curves.assign(
        initial_output=("trial", start), predicted=("trial", predicted), label=("trial", label)
    ).assign_coords(step=("step", steps, {"long_name": "removed", "units": units}))
    return curves.assign_attrs(
        fill=fill_name(fill),
        removed="samples" if segments is None else "segments",
        classes=initial.shape[1],
        seed=seed,
    )


@dataclass(frozen=True)
class _Run:
    """What is the same for all trials of a run."""

    pieces: Pieces
    counts: NDArray[np.int64]
    directions: tuple[str, ...]
    segment_score: SegmentScore
    repeats: int
    seed: int

    def results(self, random: bool, start: NDArray[np.floating], correct: NDArray[np.bool_]) -> _Results:
        """Room for output and correctness (direction or repeat, step, trial), the first step in place."""
        shape = (self.repeats if random else len(self.directions), len(self.counts), len(start))
        output, classified = np.empty(shape), np.empty(shape)
        output[:, 0], classified[:, 0] = start, correct
        return output, classified

    def rank_maps(
        self, values: NDArray[np.floating] | None, trials: slice, device: torch.device
    ) -> Iterator[tuple[int, Tensor]]:
        """Ranks (trial, channel, time) of every direction, or of every random draw, with its number."""
        labels = self.pieces.of(trials, device)
        if values is None:
            absent = self.pieces.scores(torch.zeros(labels.shape, device=device), labels, "sum") < 0
            for repeat in range(self.repeats):
                draws = random_scores(trials, self.pieces.count, self.seed, repeat).to(device)
                yield repeat, removal_ranks(draws.masked_fill(absent, -torch.inf), labels)
            return
        block = torch.tensor(values[trials], device=device)
        scores = self.pieces.scores(block, labels, self.segment_score)
        for number, direction in enumerate(self.directions):
            yield number, removal_ranks(scores, labels, lerf=direction == "lerf")


@dataclass(frozen=True)
class _Machine:
    """The model with everything it takes to run it."""

    model: Model
    transform: Callable[[Tensor], Tensor] | None
    device: torch.device
    dtype: torch.dtype
    batch_size: int

    def tensor(self, values: NDArray[np.floating]) -> Tensor:
        return torch.tensor(values, device=self.device, dtype=self.dtype)

    def outputs(self, inputs: Tensor) -> Tensor:
        output = self.model(inputs if self.transform is None else self.transform(inputs))
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(inputs):
            found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(
                f"The model returned {found} for {len(inputs)} trials; expected a tensor (trial, class). "
                "Wrap the model so that it returns class scores."
            )
        if not torch.isfinite(output).all():
            raise ValueError("The model returned NaN or infinite outputs; check its weights and its input scaling.")
        return output

    def initial(self, signal: xr.DataArray) -> NDArray[np.float64]:
        """Outputs (trial, class) before anything is removed."""
        blocks = [
            self.outputs(self.tensor(signal.values[trials])).double().cpu()
            for trials in _blocks(len(signal), self.batch_size)
        ]
        return torch.cat(blocks).numpy()

    def curve(
        self, signal: Tensor, replace: Replace, ranks: Tensor, counts: NDArray[np.int64], classes: Tensor
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Output of the initial classes and the class chosen, both (step, trial)."""
        steps_at_once = max(1, self.batch_size // len(signal))
        outputs, chosen = [], []
        for limits in torch.split(torch.from_numpy(counts).to(self.device), steps_at_once):
            removed = ranks < limits[:, None, None, None]
            inputs = torch.where(removed, replace(removed), signal)
            output = self.outputs(inputs.flatten(0, 1)).view(*inputs.shape[:2], -1)
            outputs.append(output.gather(2, classes.expand(inputs.shape[:2])[..., None])[..., 0])
            chosen.append(output.argmax(2))
        return torch.cat(outputs).double().cpu().numpy(), torch.cat(chosen).cpu().numpy()


@contextmanager
def _placed(model: Model, device: str | torch.device | None) -> Iterator[tuple[torch.device, torch.dtype]]:
    dtype, home = type_and_place(model)
    place = torch.device(device) if device is not None else home or torch.device("cpu")
    if not isinstance(model, torch.nn.Module):
        yield place, dtype
        return
    if any(module.training for module in model.modules()):
        raise ValueError("The model is in training mode; call model.eval() first.")
    moved = home is not None and place != home
    try:
        if moved:
            model.to(place)
        yield place, dtype
    finally:
        if moved:
            model.to(home)


def _blocks(trials: int, size: int) -> Iterator[slice]:
    for start in range(0, trials, size):
        yield slice(start, min(start + size, trials))


def _check_options(direction: str, segment_score: str, repeats: int, batch_size: int) -> None:
    if direction not in _DIRECTIONS:
        raise ValueError(f"Direction {direction!r} is unknown; choose from {', '.join(_DIRECTIONS)}.")
    if segment_score not in ("sum", "mean"):
        raise ValueError(f"Segment score {segment_score!r} is unknown; choose sum or mean.")
    if repeats < 1 or batch_size < 1:
        raise ValueError(f"repeats is {repeats} and batch_size {batch_size}; both must be at least 1.")


def _dataset(
    signal: xr.DataArray,
    results: Mapping[str, _Results],
    directions: tuple[str, ...],
    values: Mapping[str, NDArray[np.floating] | None],
) -> xr.Dataset:
    dims = ("order", "direction", "step", "trial")
    variables: dict[str, tuple[tuple[str, ...], NDArray[np.float64]]] = {}
    for position, name in enumerate(("output", "correct")):
        stacked = []
        for order, score in values.items():
            found = results[order][position]
            if score is None:
                variables[f"random_{name}"] = (("repeat", "step", "trial"), found)
                found = np.broadcast_to(found.mean(0), (len(directions), *found.shape[1:]))
            stacked.append(found)
        variables[name] = (dims, np.stack(stacked))
    coordinates = {name: c for name, c in signal.coords.items() if c.dims == ("trial",)}
    return xr.Dataset(variables, {**coordinates, "order": list(values), "direction": list(directions)})
