"""Every branch of what a manipulation test is said to support, with the numbers recomputed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from reference.pretend_curves import USUAL, pretend

from signalrp.validation import perturbation_curves
from signalrp.validation.conclusion import conclude
from signalrp.validation.curve_scores import curve_scores
from signalrp.validation.statistics import bootstrap_interval

NEAR = dict.fromkeys(USUAL, (0.05, 0.08, 0.12))
FAR = {"relevance": (0.05, 0.81, 0.9), "amplitude": (0.05, 0.1, 0.1), "random": (0.05, 0.3, 0.5)}
LIMITS = (
    "This does not show that a person would need the same samples, that they cause anything outside the model, nor "
    "that "
    "what stays unmarked is unimportant: samples can stand in for one another. It holds for this model, these trials "
    "and "
    "this fill (mean)."
)


def short(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".")


def at_step(curves: xr.Dataset, order: str, step: float, direction: str = "morf") -> str:
    """Mean with interval, as prose has it."""
    values = curves["correct"].sel(order=order, step=step, direction=direction)
    mean, low, high = bootstrap_interval(values.values, curves["subject"].values)
    return f"{short(mean)} [{short(low)}, {short(high)}]"


def test_relevance_that_beats_both_yardsticks() -> None:
    curves = pretend(outside=NEAR)
    scores = curve_scores(curves).set_index(["measure", "order"]).loc["area under accuracy"]
    gains = {
        order: f"{short(row.advantage)} [{short(row.advantage_low)}, {short(row.advantage_high)}]"
        for order, row in scores.iterrows()
    }
    supports, limits = conclude(curves)
    assert supports == (
        f"Removing 5 % of the samples, most relevant first, lowers accuracy from .90 to "
        f"{at_step(curves, 'relevance', 5)}, "
        "random order to .80. Over all steps relevance does better than random order (area under accuracy, advantage "
        f"{gains['random']}, p = .002, 10 subjects): the model needs the most relevant samples more than randomly "
        "chosen "
        f"ones. It does better than order by amplitude (.70 at the same step; advantage {gains['amplitude']}, p = "
        ".002): "
        "it knows more than where the signal is large. Filled trials stay near the data: at most 12 % lie farther from "
        "the data than 95 % of the data do (untouched: 5 %)."
    )
    assert limits == LIMITS


def test_relevance_that_is_no_better_than_chance_order() -> None:
    counts = USUAL | {"relevance": (9, 8, 6)}
    supports, _ = conclude(pretend(counts))
    assert "relevance is not shown to do better than random order (area under accuracy, advantage .00" in supports
    assert "p = 1, 10 subjects), so the test does not support that the model needs the most relevant" in supports
    assert "Order by amplitude does better (.70 at the same step; advantage −." in supports
    assert "where the signal is large is the better guide to what the model uses" in supports
    assert "could not have shown it" not in supports


def test_relevance_that_is_worse_than_chance_order() -> None:
    counts = {"relevance": (9, 8, 6), "amplitude": (9, 8, 7), "random": (9, 4, 2)}
    supports, _ = conclude(pretend(counts))
    assert "Over all steps relevance does worse than random order" in supports
    assert ": the model needs the most relevant samples less than randomly chosen ones." in supports
    # to be better than something that is worse still earns nothing
    assert "It does better than order by amplitude" in supports
    assert "p = .002), which alone says little." in supports


def test_amplitude_that_does_as_well() -> None:
    supports, _ = conclude(pretend(USUAL | {"amplitude": (9, 4, 2)}))
    assert "Over all steps relevance does better than random order" in supports
    assert "It is not shown to do better than order by amplitude (.40 at the same step; advantage .00" in supports
    assert supports.count("whether it knows more than where the signal is large stays open.") == 1


def test_amplitude_that_does_better() -> None:
    supports, _ = conclude(pretend(USUAL | {"amplitude": (9, 2, 1)}))
    assert "the model needs the most relevant samples more than randomly chosen ones." in supports
    assert "Order by amplitude does better (.20 at the same step; advantage −." in supports


@pytest.mark.parametrize("classes", [2, 10])
def test_a_model_at_chance_supports_nothing(classes: int) -> None:
    right = 10 // classes
    counts = {"relevance": (right, 0, 0), "amplitude": (right, right, right), "random": (right, right, right)}
    curves = pretend(counts, classes=classes)
    supports, limits = conclude(curves)
    accuracy = at_step(curves, "relevance", 0)
    assert supports == (
        f"The model is not shown to do better than chance (accuracy {accuracy}, chance {short(1 / classes)}, 10 "
        "subjects): "
        "there is nothing it could lose, so the test supports no statement about what it needs."
    )
    assert limits == LIMITS
    # its outputs can be moved all the same
    assert conclude(curves, value="output").supports.startswith("Removing 5 %")


def test_one_class_has_no_chance_level() -> None:
    assert conclude(pretend(classes=1)).supports.startswith("Removing 5 % of the samples")


def test_a_fill_that_leaves_the_data_is_told_at_once() -> None:
    curves = pretend(outside=FAR)
    others = curves.sel(order="relevance", direction="morf", step=5).isel(trial=slice(81, None))
    supports, _ = conclude(curves)
    assert supports.endswith(
        "At this step 81 % of the filled trials lie farther from the data than 95 % of the data do (untouched: 5 %): "
        "what the model says of these may be due to the fill. Among the others accuracy is "
        f"{short(others['correct'].values.mean())}."
    )
    supports, _ = conclude(pretend(outside=FAR | {"relevance": (0.05, 1, 1)}))
    assert "At this step 100 % of the filled trials lie" in supports
    assert "Among the others" not in supports


def test_a_fill_that_takes_random_order_as_far_is_not_all_of_it() -> None:
    supports, _ = conclude(pretend(outside=FAR | {"random": (0.05, 0.85, 0.9)}))
    assert supports.endswith("Random order takes as many there (85 %), so distance alone does not explain it.")
    # where relevance does no better there is nothing to explain
    supports, _ = conclude(pretend(USUAL | {"relevance": (9, 8, 6)}, outside=FAR | {"random": (0.05, 0.85, 0.9)}))
    assert "Random order takes" not in supports


def test_a_fill_that_leaves_the_data_later() -> None:
    supports, _ = conclude(pretend(outside=FAR | {"relevance": (0.05, 0.15, 0.4)}))
    assert supports.endswith(
        "With 50 % removed, up to 40 % of the filled trials lie farther from the data than 95 % of the data do "
        "(untouched: "
        "5 %): what happens there may be due to the fill."
    )
    assert conclude(pretend()).supports.endswith("How far the fill takes trials from the data is not known.")


def test_trials_that_were_outside_untouched_are_not_the_fill_s_doing() -> None:
    supports, _ = conclude(pretend(outside=dict.fromkeys(USUAL, (0.4, 0.45, 0.5))))
    assert supports.endswith("at most 50 % lie farther from the data than 95 % of the data do (untouched: 40 %).")


def test_too_few_subjects_for_any_finding() -> None:
    curves = pretend(subjects=4)
    supports, _ = conclude(curves)
    assert "relevance is not shown to do better than random order" in supports
    assert "With 4 subjects no p below .125 is possible: it could not have shown it." in supports
    assert (
        "4 trials"
        in conclude(pretend(subjects=4, trials=1, morf=dict.fromkeys(USUAL, (1, 1, 0))).drop_vars("subject")).supports
    )
    # at a lower level the same p is a finding
    assert "relevance does better than random order" in conclude(curves, level=0.8).supports


def test_one_subject_allows_no_test() -> None:
    supports, limits = conclude(pretend(subjects=1))
    assert supports == (
        "Removing 5 % of the samples, most relevant first, lowers accuracy from .90 to .40, random order to .80. "
        "With 1 "
        "subject there is no test, so this supports nothing yet."
    )
    assert limits == LIMITS


def test_no_random_order_is_no_yardstick() -> None:
    supports, _ = conclude(pretend({name: USUAL[name] for name in ("relevance", "amplitude")}))
    assert ". No random order stands beside it, without which this supports nothing. It does better than" in supports
    assert ", which alone says little." in supports
    supports, _ = conclude(pretend({"relevance": USUAL["relevance"]}))
    assert "amplitude" not in supports


def test_lowest_first_speaks_of_what_may_go() -> None:
    curves = pretend(None, {"relevance": (9, 9, 8), "amplitude": (9, 7, 4), "random": (9, 8, 6)})
    supports, _ = conclude(curves)
    accuracy = at_step(curves, "relevance", 50, "lerf")
    assert supports.startswith(
        f"Removing 50 % of the samples, least relevant first, lowers accuracy from .90 to {accuracy}, random order "
        "to .60."
    )
    assert "the model needs the least relevant samples less than randomly chosen ones." in supports
    # with both directions it is highest first that is spoken of
    both = conclude(pretend(USUAL, dict.fromkeys(USUAL, (9, 9, 8)))).supports
    assert both.startswith("Removing 5 % of the samples, most relevant first")


def test_insertion_speaks_of_what_suffices() -> None:
    counts = {"relevance": (1, 6, 9), "amplitude": (1, 3, 9), "random": (1, 2, 9)}
    curves = pretend(counts, perturbation="insertion")
    # the untouched trial is not among these steps
    curves["predicted"] = curves["label"]
    supports, _ = conclude(curves)
    assert supports.startswith(
        "Putting back 5 % of the samples, most relevant first, raises accuracy from .10 to .60 ["
    )
    assert ", random order to .20. Over all steps relevance does better than random order" in supports
    assert ": the most relevant samples tell the model more than randomly chosen ones." in supports
    swapped = curves.assign_coords(order=["random", "amplitude", "relevance"])
    assert ": the most relevant samples tell the model less than randomly chosen ones." in conclude(swapped).supports


def test_segments_bases_and_methods_are_named() -> None:
    curves = pretend(steps=(0, 1, 2), units="segments", removed="phases of stance")
    assert conclude(curves).supports.startswith(
        "Removing 1 of the phases of stance, most relevant first, lowers accuracy"
    )
    assert "nor that what stays unmarked is unimportant: phases of stance can stand in" in conclude(curves).limits
    curves = pretend(removed="coefficients", basis="DFT(dim='time')")
    assert conclude(curves).supports.startswith("Removing 5 % of the coefficients in the DFT(dim='time') basis, most")
    renamed = pretend().assign_coords(order=["gradient", "amplitude", "random"])
    supports, _ = conclude(renamed, "gradient")
    assert "highest by gradient first, lowers accuracy" in supports
    assert "Over all steps gradient does better" in supports
    assert ": the model needs the samples that rank high by gradient more than randomly chosen ones." in supports
    assert "order by amplitude" not in conclude(renamed, "amplitude").supports


def test_output_instead_of_accuracy() -> None:
    supports, _ = conclude(pretend(), value="output")
    assert "lowers the output of the predicted class from 3.7 to 2.2 [" in supports
    assert (
        ", random order to 3.4. Over all steps relevance does better than random order (area under output," in supports
    )


def test_steps_can_be_chosen_but_not_invented() -> None:
    assert conclude(pretend(), step=50).supports.startswith("Removing 50 % of the samples")
    with pytest.raises(ValueError, match=r"no step 7 in the curves; choose from 5, 50\."):
        conclude(pretend(), step=7)
    # without 5 % it is the nearest
    assert conclude(pretend(steps=(0, 2, 10))).supports.startswith("Removing 2 % of")
    leaves = dict.fromkeys(USUAL, (9, 9, 9))
    assert " leaves accuracy at .90 [" in conclude(pretend(leaves)).supports
    assert ", random order at .90." in conclude(pretend(leaves)).supports


def test_bad_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="no order 'gradient' in the curves; found relevance, amplitude, random"):
        conclude(pretend(), "gradient")
    with pytest.raises(ValueError, match="random, which claims nothing"):
        conclude(pretend(), "random")
    with pytest.raises(ValueError, match="Value 'f1' is unknown; choose accuracy or output"):
        conclude(pretend(), value="f1")
    with pytest.raises(ValueError, match="have no variable 'correct'"):
        conclude(pretend().drop_vars("correct"))


def test_real_curves_are_understood(model: torch.nn.Module, explanation: xr.Dataset) -> None:
    for mode, word in (("deletion", "Removing"), ("insertion", "Putting back")):
        curves = perturbation_curves(model, explanation, fractions=(0.1, 0.5, 1.0), repeats=3, mode=mode)
        supports, limits = conclude(curves, value="output")
        assert supports.startswith(f"{word} 10 % of the samples, most relevant first")
        assert "With 3 subjects no p below .25 is possible" in supports
        assert limits == LIMITS
        assert np.isfinite(curves["output"]).all()
