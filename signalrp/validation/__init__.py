"""Validation by input manipulation: does the model need what the relevance says it needs?"""

from signalrp.validation.clusters import cluster_table, cluster_test
from signalrp.validation.comparison import compare_methods
from signalrp.validation.conclusion import Conclusion, conclude
from signalrp.validation.context import context_by_class, context_ratio
from signalrp.validation.curve_scores import curve_scores
from signalrp.validation.localisation import localisation_table, mass_accuracy, pointing_game, rank_accuracy
from signalrp.validation.perturbation import (
    channels,
    from_masks,
    patches,
    perturbation_curves,
    region_perturbation,
    time_slices,
    windows,
)
from signalrp.validation.quantus import quantus_scores, to_quantus
from signalrp.validation.reliability import split_half, trials_needed
from signalrp.validation.sanity import (
    cascading_randomisation,
    class_contrast,
    efficient_mprt,
    histogram_entropy,
    input_invariance,
    label_randomisation,
)
from signalrp.validation.stability import agreement, noise_stability, similarity
from signalrp.validation.statistics import (
    abpc,
    aopc,
    area_under_accuracy,
    area_under_output,
    bootstrap_interval,
    paired_difference,
    summary,
)
from signalrp.validation.verdicts import Check, checks_table

__all__ = [
    "Check",
    "Conclusion",
    "abpc",
    "agreement",
    "aopc",
    "area_under_accuracy",
    "area_under_output",
    "bootstrap_interval",
    "cascading_randomisation",
    "channels",
    "checks_table",
    "class_contrast",
    "cluster_table",
    "cluster_test",
    "compare_methods",
    "conclude",
    "context_by_class",
    "context_ratio",
    "curve_scores",
    "efficient_mprt",
    "from_masks",
    "histogram_entropy",
    "input_invariance",
    "label_randomisation",
    "localisation_table",
    "mass_accuracy",
    "noise_stability",
    "paired_difference",
    "patches",
    "perturbation_curves",
    "pointing_game",
    "quantus_scores",
    "rank_accuracy",
    "region_perturbation",
    "similarity",
    "split_half",
    "summary",
    "time_slices",
    "to_quantus",
    "trials_needed",
    "windows",
]
