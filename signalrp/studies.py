"""What the studies of all fields share: a folder that appears whole or not at all, figures, what folds give."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure
from torch import nn

from signalrp.report import Report
from signalrp.validation.sanity import cascading_randomisation
from signalrp.validation.sanity.contrast import class_contrast
from signalrp.validation.verdicts import Check

Say = Callable[[str], None]
T = TypeVar("T")


def check_folder(out: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """Refuse a folder that exists, and even when overwriting one that no study has written.

    Raises
    ------
    FileExistsError
        If the folder exists and `overwrite` is not set, or holds anything but an earlier study.
    """
    target = Path(out)
    if not target.exists():
        return target
    if not overwrite:
        raise FileExistsError(f"{target} exists already; choose another folder with --out, or replace it: --overwrite.")
    if not target.is_dir() or (any(target.iterdir()) and not (target / "report.html").is_file()):
        raise FileExistsError(f"{target} was not written by a study, so it is not replaced; choose another --out.")
    return target


def require_models(models: Sequence[str], known: Iterable[str]) -> None:
    """Refuse no model at all, and one that a study does not know.

    Raises
    ------
    ValueError
        Naming the first that is unknown, and what there is.
    """
    names = list(known)
    unknown = [name for name in models if name not in names]
    if unknown or not models:
        raise ValueError(f"there is no model {(unknown or ['(none)'])[0]!r}; choose of {', '.join(names)}.")


@contextmanager
def new_folder(out: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Give a folder to write into, which takes its place, in that of an earlier one, only once all went well.

    Raises
    ------
    FileExistsError
        As `check_folder`.
    """
    target = check_folder(out, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        (work / "figures").mkdir()
        yield work
        work.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        os.replace(work, target)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


class Figures:
    """Puts figures into the report and, as PNG, into the folder ``figures`` beside it.

    Parameters
    ----------
    folder : pathlib.Path
        Of the study.
    report : signalrp.report.Report
        Of the study.
    """

    def __init__(self, folder: Path, report: Report) -> None:
        self._folder = folder / "figures"
        self._report = report

    def __call__(self, figure: Figure, name: str, caption: str) -> None:
        """Add a figure under a name, from which that of its file is made."""
        file, number = self._folder / f"{file_name(name)}.png", 1
        # Names that differ only in what no file name takes must not share a file.
        while file.exists():
            number += 1
            file = file.with_name(f"{file_name(name)}-{number}.png")
        figure.savefig(file, dpi=130)
        self._report.figure(figure, caption)


def file_name(name: str) -> str:
    """Return what every file system takes; names of people and channels come from the user's files."""
    return re.sub(r"[^\w.-]+", "_", name)


def side_by_side(function: Callable[..., T], calls: Sequence[tuple[Any, ...]], say: Say) -> list[T]:
    """Call a function with each set of arguments, in as many processes as there are cores.

    Each process works on one thread, which for small nets is faster than several. What a call says is said when it
    is done. One call, or one core, is worked off here, and says at once.

    Parameters
    ----------
    function : callable
        Of a module, so that other processes find it; its last argument is `say`.
    calls : sequence of tuple
        Arguments but the last.
    say : callable
        Gets a line of progress at a time.

    Returns
    -------
    list
        What the calls return, in their order.
    """
    workers = min(len(calls), _cores())
    if workers < 2:
        return [function(*arguments, say) for arguments in calls]
    from joblib import Parallel, delayed

    done = Parallel(n_jobs=workers, return_as="generator")(
        delayed(_listening)(function, arguments) for arguments in calls
    )
    results = []
    for result, lines in done:
        for line in lines:
            say(line)
        results.append(result)
    return results


def _listening(function: Callable[..., T], arguments: tuple[Any, ...]) -> tuple[T, list[str]]:
    """Call a function in a process of its own, and keep what it says."""
    torch.set_num_threads(1)
    lines: list[str] = []
    return function(*arguments, lines.append), lines


def _cores() -> int:
    """Cores that this process may use; 1 where it was told to use one thread."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, torch.get_num_threads())


def join_folds(curves: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return the curves of all folds as one; what limits the usual distance to the data is averaged over folds."""
    limits = [data.attrs["distance_95"] for data in curves if "distance_95" in data.attrs]
    joined = xr.concat(curves, "trial")
    return joined.assign_attrs(distance_95=float(np.mean(limits))) if limits else joined


def sanity_checks(model: nn.Module, scaled: xr.DataArray, composite: Any, name: str, say: Say) -> list[Check]:
    """Ask whether relevance depends on the weights and on the class; nothing where a check cannot be made."""
    checks = []
    for check in (cascading_randomisation, class_contrast):
        try:
            checks.append(check(model, scaled, composite))
        except ValueError as error:
            say(f"  {name}: no {check.__name__.replace('_', ' ')}: {error}")
    return checks
