"""Remove pieces of a signal, or bring them back, and watch the model."""

from signalrp.validation.perturbation.curves import perturbation_curves
from signalrp.validation.perturbation.fills import FILLS
from signalrp.validation.perturbation.regions import patches, region_perturbation
from signalrp.validation.perturbation.segments import channels, from_masks, time_slices, windows

__all__ = [
    "FILLS",
    "channels",
    "from_masks",
    "patches",
    "perturbation_curves",
    "region_perturbation",
    "time_slices",
    "windows",
]
