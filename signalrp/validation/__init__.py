"""Validation by input manipulation: does the model need what the relevance says it needs?"""

from signalrp.validation.curves import perturbation_curves
from signalrp.validation.segments import channels, from_masks, time_slices, windows
from signalrp.validation.stability import similarity
from signalrp.validation.statistics import (
    abpc,
    aopc,
    area_under_accuracy,
    bootstrap_interval,
    paired_difference,
    summary,
)

__all__ = [
    "abpc",
    "aopc",
    "area_under_accuracy",
    "bootstrap_interval",
    "channels",
    "from_masks",
    "paired_difference",
    "perturbation_curves",
    "similarity",
    "summary",
    "time_slices",
    "windows",
]
