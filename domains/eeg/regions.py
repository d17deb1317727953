"""Where on the head an electrode is: its region, its side, and its place from front to back."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import xarray as xr

from ._mne import mne

REGIONS = ("frontal", "central", "temporal", "parietal", "occipito-temporal", "occipital")
"""Regions of the scalp, from front to back; occipito-temporal is where the N170 is measured (P7 to P10, PO7 to PO10;
Bentin et al. 1996, doi:10.1162/jocn.1996.8.6.551)."""
SIDES = ("left", "midline", "right")

Places = npt.NDArray[np.float64]

_LETTERS = {
    "frontal": ("FP", "AF", "F"),
    "central": ("FC", "C", "CP"),
    "temporal": ("FT", "T", "TP"),
    "parietal": ("P",),
    "occipital": ("PO", "O", "I"),
}
# T3 to T6 are the names of 1958 for what the 10-10 system calls T7, T8, P7 and P8.
_RENAMED = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
_CENTRE = np.array([0.0, 0.0, 0.04])
"""Middle of the head in the head frame, m: as far above the ears as in the caps that MNE ships."""
_ELSEWHERE = np.cos(np.deg2rad(40))
"""A name whose place is 40 degrees from the electrode is that of another system: on the ABC caps C3 is no C3."""
_OFF_MIDLINE = 0.1
"""Sine of the angle to the midline from which on an electrode is left or right: 6 degrees."""


def regions(signal: xr.DataArray | xr.Dataset, sides: bool = False) -> xr.DataArray:
    """Return the region of the scalp that every electrode is in.

    It is told by the electrodes' names in the 10-10 system (Oostenveld and Praamstra 2001,
    doi:10.1016/S1388-2457(00)00527-7).
    Where a cap has other names, or electrodes that are not where their names say, each of
    its electrodes belongs to the region of the 10-10 place nearest to its position.

    Parameters
    ----------
    signal : xarray.DataArray or Dataset
        Signal or explanation; with the positions x, y and z (head frame, m) along channel where known.
    sides : bool
        Name the side as well: "left central", "midline central", "right central".

    Returns
    -------
    xarray.DataArray, shape (channel,)
        One of `REGIONS`; empty for channels that are no EEG.

    Raises
    ------
    ValueError
        If an electrode has neither a position nor a name of the 10-10 system.
    """
    towards, names = directions(signal), _names(signal)
    known, places = ten_ten()
    eeg = np.flatnonzero(_is_eeg(signal))
    own = [_standard(names[number]) for number in eeg]
    trusted = all(
        n is not None and places[known.index(n)] @ towards[i] > _ELSEWHERE for n, i in zip(own, eeg, strict=True)
    )
    nearest = [known[number] for number in np.argmax(towards[eeg] @ places.T, axis=1)]
    found = np.full(len(names), "", dtype=object)
    found[eeg] = [_region(str(name)) for name in (own if trusted else nearest)]
    if sides:
        side = _side(towards)
        found = np.array([f"{SIDES[s]} {region}" if region else "" for s, region in zip(side, found, strict=True)])
    return xr.DataArray(found.astype(str), {"channel": np.array(names)}, ("channel",), "region")


def head_order(signal: xr.DataArray | xr.Dataset) -> npt.NDArray[np.int64]:
    """Return the positions along channel of all EEG channels, from front to back.

    Region after region as `REGIONS` lists them; in each first what is left, then the midline, then what is right, each
    from front to back.
    """
    towards, names = directions(signal), regions(signal).values
    eeg = np.flatnonzero(_is_eeg(signal))
    region = np.array([REGIONS.index(name) for name in names[eeg]])
    x, y = towards[eeg, 0], towards[eeg, 1]
    return eeg[np.lexsort((x, np.round(-y, 3), _side(towards)[eeg], region))]


def region_names(signal: xr.DataArray | xr.Dataset, sides: bool = False) -> list[str]:
    """Return the regions that hold an electrode, from front to back and left to right."""
    every = [f"{side} {region}" for region in REGIONS for side in SIDES] if sides else list(REGIONS)
    present = set(regions(signal, sides).values)
    return [name for name in every if name in present]


def _names(signal: xr.DataArray | xr.Dataset) -> list[str]:
    if "channel" not in signal.dims:
        raise ValueError(f"Regions are of channels, but the signal has the dimensions {tuple(signal.dims)}.")
    return [str(name) for name in signal["channel"].values]


def _is_eeg(signal: xr.DataArray | xr.Dataset) -> npt.NDArray[np.bool_]:
    if "kind" in signal.coords:
        return np.asarray(signal["kind"].values == "eeg")
    return np.ones(signal.sizes["channel"], dtype=bool)


def directions(signal: xr.DataArray | xr.Dataset) -> Places:
    """Return the direction of each channel from the middle of the head.

    Parameters
    ----------
    signal : xarray.DataArray or Dataset
        See `regions`.

    Returns
    -------
    numpy.ndarray, shape (channel, 3)
        To the right, to the front and up, of length 1; NaN for channels that are no EEG. From positions, and where
        there is none from names of the 10-10 system.

    Raises
    ------
    ValueError
        If an electrode has neither a position nor a name of the 10-10 system.
    """
    names, eeg = _names(signal), _is_eeg(signal)
    found = np.full((len(names), 3), np.nan)
    if all(axis in signal.coords for axis in "xyz"):
        found[eeg] = np.stack([signal[axis].values for axis in "xyz"], axis=-1)[eeg]
    placed = np.isfinite(found).all(1)
    found[placed] -= _centre(found[placed])
    lengths = np.linalg.norm(found[placed], axis=1, keepdims=True)
    found[placed] /= np.where(lengths > 0, lengths, 1)
    known, places = ten_ten()
    strange = []
    for number in np.flatnonzero(eeg & ~placed):
        named = _standard(names[number])
        if named is None:
            strange.append(names[number])
        else:
            found[number] = places[known.index(named)]
    if strange:
        raise ValueError(
            f"The electrodes {', '.join(strange[:8])}{' ...' if len(strange) > 8 else ''} have neither a position nor "
            "a name of the 10-10 system, so that it is unknown where they are; set a montage."
        )
    return found


def _centre(places: Places) -> npt.NDArray[np.float64]:
    """Middle of the sphere through the electrodes, or the usual one where they are too few to tell."""
    if len(places) < 8:
        return _CENTRE
    equations = np.c_[2 * places, np.ones(len(places))]
    solution, _, rank, _ = np.linalg.lstsq(equations, (places**2).sum(1), rcond=1e-3)
    centre = solution[:3]
    # electrodes on one side of the head alone fit spheres that are no heads
    return centre if rank == 4 and np.linalg.norm(centre - _CENTRE) < 0.06 else _CENTRE


@cache
def ten_ten() -> tuple[list[str], Places]:
    """Return the names of the 10-10 system and the directions of their places, see `directions`."""
    places = mne.channels.make_standard_montage("easycap-M1").get_positions()["ch_pos"]
    towards = np.stack(list(places.values()))
    return list(places), towards / np.linalg.norm(towards, axis=1, keepdims=True)


def _standard(name: str) -> str | None:
    """The 10-10 name that a name stands for, such as "Fp1" for "FP1." and "P7" for "T5"; None if it is none."""
    plain = name.strip(". ").upper()
    plain = _RENAMED.get(plain, plain)
    return next((known for known in ten_ten()[0] if known.upper() == plain), None)


def _region(name: str) -> str:
    letters = name.rstrip("z0123456789")
    place = name.removeprefix(letters)
    if letters in ("P", "PO") and place != "z" and int(place) >= 7:
        return "occipito-temporal"
    return next(region for region, known in _LETTERS.items() if letters.upper() in known)


def _side(towards: Places) -> npt.NDArray[np.int64]:
    """Number of the side in `SIDES`."""
    x = np.nan_to_num(towards[:, 0])
    return np.where(np.abs(x) < _OFF_MIDLINE, 1, np.where(x < 0, 0, 2))
