"""Which events make the classes, and what the classes are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from signalrp.groups import SEPARATOR as SEPARATOR
from signalrp.groups import classes_of as classes_of

Classes = Sequence[str] | Mapping[str, str | Sequence[str]]


def with_classes(signal: xr.DataArray, classes: Classes) -> xr.DataArray:
    """The trials of these classes only, labelled 0, 1, ... in the order given.

    Parameters
    ----------
    signal : xarray.DataArray
        Signal with labels and the attribute classes.
    classes : sequence of str or mapping
        Classes to keep, or a mapping of new classes to one or several of the old.

    Raises
    ------
    ValueError
        If a class is unknown or has no trials.
    """
    names = classes_of(signal)
    wanted = class_events(classes, names)
    new = {names.index(old): label for label, found in enumerate(wanted.values()) for old in found}
    chosen = signal.isel(trial=np.isin(signal["label"].values, list(new)))
    label = np.array([new[int(old)] for old in chosen["label"].values], dtype=np.int64)
    require_trials(label, list(wanted))
    return chosen.assign_coords(label=("trial", label)).assign_attrs(classes=SEPARATOR.join(wanted))


def class_events(classes: Classes | None, known: list[str]) -> dict[str, list[str]]:
    """Event names of every class; a query with tags finds every name that has all of them, as in MNE."""
    if classes is None:
        return {name: [name] for name in known}
    asked = (
        {name: [found] if isinstance(found, str) else list(found) for name, found in classes.items()}
        if isinstance(classes, Mapping)
        else {name: [name] for name in ([classes] if isinstance(classes, str) else classes)}
    )
    wanted: dict[str, list[str]] = {}
    for name, queries in asked.items():
        found = {query: _matching(query, known) for query in queries}
        absent = [query for query, events in found.items() if not events]
        if absent:
            raise ValueError(f"There are no events {absent}; the events are {known}.")
        wanted[name] = list(dict.fromkeys(event for events in found.values() for event in events))
    shared = [event for event in known if sum(event in found for found in wanted.values()) > 1]
    if shared:
        raise ValueError(f"The events {shared} belong to more than one class; name the classes so that they differ.")
    return wanted


def _matching(query: str, known: list[str]) -> list[str]:
    """Events of this name, or else those that have all its tags."""
    return [query] if query in known else [event for event in known if set(query.split("/")) <= set(event.split("/"))]


def require_trials(label: npt.NDArray[np.int64], classes: list[str], epochs: Any = None) -> None:
    """Refuse a class without trials; the rejected epochs are counted where there are any."""
    empty = [name for number, name in enumerate(classes) if not (label == number).any()]
    if not empty:
        return
    dropped = sum(1 for reasons in getattr(epochs, "drop_log", ()) if reasons and reasons != ("IGNORED",))
    why = f" ({dropped} epochs were rejected)" if dropped else ""
    raise ValueError(
        f"The class {', '.join(empty)} has no trials{why}; loosen the rejection, or leave that class out of `classes`."
    )


def split(joined: str) -> list[str]:
    """Names of an attribute that holds several."""
    return joined.split(SEPARATOR) if joined else []
