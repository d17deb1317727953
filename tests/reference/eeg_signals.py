"""What every loader of a domain's recordings promises."""

from __future__ import annotations

import numpy as np

from signalrp.domains.eeg.classes import classes_of
from signalrp.domains.eeg.data import from_epochs, to_epochs


def check_signal(signal):
    """What every loader promises."""
    assert signal.dims == ("trial", "channel", "time")
    assert (signal.name, signal.attrs["units"], signal.time.attrs["units"]) == ("EEG", "V", "s")
    assert 1e-7 < float(signal.std()) < 1e-3
    assert np.isfinite(signal.values).all()
    assert {"label", "subject", "event"} <= set(signal.coords)
    assert sorted(set(signal.label.values.tolist())) == list(range(len(classes_of(signal))))
    back = from_epochs(to_epochs(signal), classes=dict(zip(classes_of(signal), events_by_label(signal), strict=True)))
    np.testing.assert_allclose(back.values, signal.values, rtol=1e-6)
    np.testing.assert_array_equal(back.label, signal.label)


def events_by_label(signal):
    return [str(signal.event.values[signal.label.values == label][0]) for label in range(len(classes_of(signal)))]
