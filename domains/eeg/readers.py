"""Files as labelled arrays: what MNE reads (FIF, EDF, BDF, GDF, BrainVision, EEGLAB), and named npz files."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import xarray as xr

from signalrp.manifests import DataError

from ._mne import mne
from .classes import Classes, with_classes
from .data import from_epochs
from .epoching import epochs_of, events_of, rejected
from .npz import read_npz

_READERS = {
    ".fif": "read_raw_fif",
    ".fif.gz": "read_raw_fif",
    ".edf": "read_raw_edf",
    ".bdf": "read_raw_bdf",
    ".gdf": "read_raw_gdf",
    ".vhdr": "read_raw_brainvision",
    ".set": "read_raw_eeglab",
}


def read(
    path: str | os.PathLike[str],
    classes: Classes | None = None,
    tmin: float = -0.2,
    tmax: float = 0.5,
    *,
    subject: str | None = None,
    run: str | None = None,
    session: str | None = None,
    **choices: Any,
) -> xr.DataArray:
    """Read epochs from a file: a continuous recording with events, or epochs that were saved.

    Parameters
    ----------
    path : path
        A recording in .fif, .edf, .bdf, .gdf, .vhdr (BrainVision) or .set (EEGLAB); epochs in .fif or .set; or
        .npz as `signalrp.domains.eeg.npz.read_npz` describes it.
    classes : sequence of str or mapping, optional
        Events that make the classes, see `signalrp.domains.eeg.data.from_epochs`. Needed for recordings.
    tmin, tmax : float
        Window around the event in s, for recordings.
    subject, run, session : str, optional
        What the file is, as coordinates along trial, for splits that cannot leak.
    **choices
        Filter, reference, rate, montage and the like, see `signalrp.domains.eeg.epoching.epochs_of`; for files
        of epochs only picks and bads.

    Returns
    -------
    xarray.DataArray, shape (trial, channel, time)
        See `signalrp.domains.eeg.data.from_epochs`. ``attrs["rejected"]`` says how many epochs were left out
        and why.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    signalrp.manifests.DataError
        If the file is cut short or not what its name says.
    ValueError
        If the format or an event is unknown, or as `epochs_of` and `from_epochs` say.
    """
    file = Path(path)
    if file.suffix.lower() == ".npz":
        signal = read_npz(file)
        signal = signal if classes is None else with_classes(signal, classes)
    else:
        recording = open_file(file)
        if isinstance(recording, mne.BaseEpochs):
            unknown = sorted(set(choices) - {"picks", "bads"})
            if unknown:
                raise ValueError(f"{file.name} holds epochs, to which {unknown} cannot be applied; leave them out.")
            signal = from_epochs(recording, subject, classes, **choices)
        else:
            signal = from_raw(recording, classes, tmin, tmax, subject=subject, **choices)
    given = {"subject": subject, "run": run, "session": session}
    coords = {key: ("trial", [value] * signal.sizes["trial"]) for key, value in given.items() if value is not None}
    return signal.assign_coords(coords).assign_attrs(source=signal.attrs.get("source", file.name))


def from_raw(
    raw: Any,
    classes: Classes | None,
    tmin: float = -0.2,
    tmax: float = 0.5,
    *,
    subject: str | None = None,
    attrs: dict[str, Any] | None = None,
    **choices: Any,
) -> xr.DataArray:
    """Labelled array of a continuous recording; parameters as for `read`.

    Raises
    ------
    ValueError
        If no classes are given (the message lists the events), or as `epochs_of` and `from_epochs` say.
    """
    if classes is None:
        raise ValueError(f"A recording needs the events that make the classes; it has {list(events_of(raw)[1])}.")
    interpolated = list(raw.info["bads"]) if choices.get("bads") == "interpolate" else []
    epochs = epochs_of(raw, classes, tmin, tmax, **choices)
    told: dict[str, Any] = {"rejected": rejected(epochs)}
    if interpolated:
        told["interpolated"] = ", ".join(interpolated)
    if choices.get("reference") is not None:
        told["reference"] = choices["reference"] if isinstance(choices["reference"], str) else "custom"
    return from_epochs(
        epochs,
        subject,
        classes,
        picks="all",
        bads="keep" if choices.get("bads") == "keep" else "drop",
        **(told | (attrs or {})),
    )


def open_file(path: str | os.PathLike[str]) -> Any:
    """Recording or epochs of a file, as MNE reads it.

    Returns
    -------
    mne.io.Raw or mne.Epochs

    Raises
    ------
    FileNotFoundError, signalrp.manifests.DataError, ValueError
        As `read`.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {file}.")
    ending = next((ending for ending in _READERS if file.name.lower().endswith(ending)), None)
    if ending is None:
        raise ValueError(f"{file.name} has no known ending; expected one of {', '.join(_READERS)} or .npz.")
    if ending in (".edf", ".bdf"):
        _check_length(file, 2 if ending == ".edf" else 3)
    try:
        if ending.startswith(".fif") and mne.what(file) == "epochs":
            return mne.read_epochs(file, verbose="error")
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            loud = "warning" if ending == ".vhdr" else "error"
            raw = getattr(mne.io, _READERS[ending])(file, preload=True, verbose=loud)
    except (ImportError, MemoryError):
        raise
    except Exception as error:
        if ending == ".set" and "number of trials" in str(error):
            return mne.read_epochs_eeglab(file, verbose="error")
        why = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{file.name} cannot be read ({why}); it is cut short or not what its ending says, copy it again."
        ) from error
    # The header of this format does not say how long the recording is; its markers do.
    if ending == ".vhdr" and any("outside data range" in str(warning.message) for warning in said):
        raise DataError(
            f"The markers of {file.name} go on after its samples end; the .eeg file was cut short, copy it again."
        )
    return raw


def _check_length(file: Path, width: int) -> None:
    """Compare the length of an EDF or BDF file with its header: MNE reads what is left of one that was cut short."""
    with file.open("rb") as stream:
        fixed = stream.read(256)
        try:
            records, count = int(fixed[236:244]), int(fixed[252:256])
            lengths = stream.read(256 * count)[216 * count : 224 * count]
            samples = sum(int(lengths[8 * i : 8 * i + 8]) for i in range(count))
        except ValueError:
            raise DataError(
                f"{file.name} has no whole EDF or BDF header; it is cut short or not what its ending says."
            ) from None
    expected = 256 * (count + 1) + records * samples * width
    found = file.stat().st_size
    # A recorder that is still running writes -1 records.
    if records >= 0 and found < expected:
        raise DataError(
            f"{file.name} has {found} bytes where its header promises {expected}; it was cut short, copy it again "
            "(or read what is left of it with mne and pass that to from_raw)."
        )
