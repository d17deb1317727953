"""Sanity checks: relevance must depend on the model, on what it has learnt, and on the class."""

from signalrp.validation.sanity.contrast import class_contrast, input_invariance
from signalrp.validation.sanity.labels import label_randomisation
from signalrp.validation.sanity.weights import cascading_randomisation, efficient_mprt, histogram_entropy

__all__ = [
    "cascading_randomisation",
    "class_contrast",
    "efficient_mprt",
    "histogram_entropy",
    "input_invariance",
    "label_randomisation",
]
