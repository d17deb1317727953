from __future__ import annotations

import numpy as np
import pytest

mne = pytest.importorskip("mne")
pytest.importorskip("sklearn")

from signalrp.domains.eeg import classical  # noqa: E402


def test_bands_that_do_not_fit_are_refused():
    for band, sfreq in (((8, 30), None), ((8, 64), 128), ((30, 8), 128), ((0, 30), 128)):
        with pytest.raises(ValueError, match="needs a sampling rate of more than twice"):
            classical.csp_lda(band=band, sfreq=sfreq)


def test_band_pass_keeps_the_band_and_its_phase():
    time = np.arange(256) / 128
    slow, middle, fast = (np.sin(2 * np.pi * f * time) for f in (2, 15, 50))
    found = classical.band_pass(slow + middle + fast, 8, 30, 128)
    np.testing.assert_allclose(found[64:192], middle[64:192], atol=0.02)


def test_windows_may_leave_a_shorter_one_over():
    x = np.arange(20.0).reshape(1, 2, 10)
    expected = [np.mean(part) for row in x[0] for part in (row[:4], row[4:8], row[8:])]
    np.testing.assert_allclose(classical.window_means(x, 4), [expected])
    with pytest.raises(ValueError, match="shorter than a sample at 16 Hz"):
        classical.erp_lda(16, window=0.01)
