"""The classical yardsticks of scikit-learn and MNE, as pipelines for arrays (trial, channel, time).

Common spatial patterns tell oscillations, by the power of a few spatial filters; discriminant analysis of the epoch
itself tells evoked potentials, such as those of faces. `signalrp.domains.eeg.equivalents` makes a torch module of
either once it is fitted, and that is explained like any net.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfiltfilt

from ._fitted import Floats


def csp_lda(
    n_components: int = 6,
    *,
    band: tuple[float, float] | None = None,
    sfreq: float | None = None,
    reg: float | str | None = "ledoit_wolf",
    **options: Any,
) -> Any:
    """Return an unfitted pipeline of common spatial patterns and discriminant analysis, for oscillations.

    Parameters
    ----------
    n_components : int
        Number of spatial filters.
    band : tuple of float, optional
        Lowest and highest frequency in Hz to look at, such as (8, 30) for movements; without it the signal is taken
        as it is.
    sfreq : float, optional
        Sampling rate in Hz, needed with a band.
    reg : float, str or None
        Regularisation of the covariances, see :class:`mne.decoding.CSP`.
    **options
        Further options of :class:`mne.decoding.CSP`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        For arrays (trial, channel, time).

    Raises
    ------
    ValueError
        When the band does not fit the sampling rate.

    References
    ----------
    Blankertz et al. 2008, doi:10.1109/MSP.2008.4408441
    """
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    from ._mne import mne

    steps: list[tuple[str, Any]] = []
    if band is not None:
        if sfreq is None or not 0 < band[0] < band[1] < sfreq / 2:
            raise ValueError(
                f"the band {band} Hz needs a sampling rate of more than twice its upper end, found sfreq={sfreq}; "
                "give sfreq in Hz and a lower end above 0."
            )
        options_of_band = {"low": float(band[0]), "high": float(band[1]), "sfreq": float(sfreq)}
        steps.append(("band", FunctionTransformer(band_pass, kw_args=options_of_band)))
    csp = mne.decoding.CSP(n_components, reg=reg, **options)
    return Pipeline([*steps, ("csp", csp), ("standardise", StandardScaler()), ("lda", _shrunk_lda())])


def erp_lda(sfreq: float, *, window: float = 0.05) -> Any:
    """Return an unfitted pipeline of discriminant analysis of the epoch, for evoked potentials.

    Parameters
    ----------
    sfreq : float
        Sampling rate in Hz.
    window : float
        Length in s of the windows in which the signal is averaged; mean amplitudes of all electrodes and windows are
        the features.

    Returns
    -------
    sklearn.pipeline.Pipeline
        For arrays (trial, channel, time).

    Raises
    ------
    ValueError
        When a window is shorter than a sample.

    Notes
    -----
    Of every sample instead of windows, discriminant analysis takes minutes to fit: 128 electrodes and 90 samples are
    11520 features, with a covariance of as many rows.

    References
    ----------
    Blankertz et al. 2011, doi:10.1016/j.neuroimage.2010.06.048
    """
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    samples = round(window * sfreq)
    if samples < 1:
        raise ValueError(f"a window of {window} s is shorter than a sample at {sfreq} Hz; take a longer one.")
    means = FunctionTransformer(window_means, kw_args={"samples": samples})
    return Pipeline([("windows", means), ("standardise", StandardScaler()), ("lda", _shrunk_lda())])


def band_pass(x: npt.NDArray[Any], low: float, high: float, sfreq: float) -> Floats:
    """Filter signals (..., time) without shift of phase, by a Butterworth filter of fourth order there and back."""
    sections = butter(4, [low, high], "bandpass", fs=sfreq, output="sos")
    return np.ascontiguousarray(sosfiltfilt(sections, np.asarray(x, dtype=np.float64), axis=-1))


def window_means(x: npt.NDArray[Any], samples: int) -> Floats:
    """Return means over windows of so many samples, (trial, channel * window); the last may be shorter."""
    starts = np.arange(0, np.shape(x)[-1], samples)
    sums = np.add.reduceat(np.asarray(x, dtype=np.float64), starts, axis=-1)
    return (sums / np.diff([*starts, np.shape(x)[-1]])).reshape(len(x), -1)


def _shrunk_lda() -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
