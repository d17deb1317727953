"""From curves to sentences: what a manipulation test supports, and what it does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from signalrp.validation.curve_reading import (
    VALUES,
    chance_level,
    clusters_of,
    done,
    fill_distance,
    inserted,
    p_words,
    percent,
    pieces,
    point_table,
    step_unit,
)
from signalrp.validation.curve_scores import curve_scores
from signalrp.validation.statistics import bootstrap_interval

# the share of samples that the sentences speak of, settled before any result is seen
_SHARE = {"morf": 5.0, "lerf": 50.0}


class Conclusion(NamedTuple):
    """What a test supports, and what it does not, each in a few sentences."""

    supports: str
    limits: str


def conclude(
    curves: xr.Dataset,
    order: str = "relevance",
    *,
    value: str = "accuracy",
    step: float | None = None,
    subject: str | ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Conclusion:
    """Say in a few sentences what the curves support and what they do not.

    The sentences speak of one step, settled beforehand, and of a test over all steps: the area under the curve
    against random orders and against the order by amplitude, with p corrected for the number of orders. They say
    when the model is no better than chance, when the test could not have found anything with so few subjects, and
    when clearly more filled than untouched trials lie farther from the data than 95 % of the data do.

    Parameters
    ----------
    curves
        From `perturbation_curves`.
    order
        The order under test.
    value
        ``"accuracy"``, or ``"output"`` of the class predicted for the untouched trial.
    step
        The step to speak of; by default 5 % or one segment, and with lowest first alone 50 % or half of the segments,
        or else the nearest there is.
    subject, level, resamples, seed
        See `bootstrap_interval`. What has a p above 1 − level is called not shown.

    Returns
    -------
    Conclusion
        ``supports`` and ``limits``.

    Raises
    ------
    ValueError
        If these are no curves, they hold no such order or step, or the value is unknown.
    """
    if value not in VALUES:
        raise ValueError(f"Value {value!r} is unknown; choose {' or '.join(VALUES)}.")
    if order == "random":
        raise ValueError("The order under test is random, which claims nothing; name the order that does.")
    scores = curve_scores(curves, order, subject, level, resamples, seed)
    direction = scores.attrs["direction"]
    points = point_table(curves, value, subject, level, resamples, seed)
    cluster, clusters, noun = clusters_of(curves, subject)
    told = _Told(
        curves=curves,
        order=order,
        value=value,
        direction=direction,
        step=_settled_step(curves, step, direction),
        points=points[points["direction"] == direction].set_index(["order", "step"]),
        scores=scores[scores["measure"] == f"area under {value}"].set_index("order"),
        alpha=1 - level,
        smallest=scores.attrs["smallest_p"],
        clusters=f"{clusters} {noun}{'s' if clusters > 1 else ''}",
    )
    if clusters < 2:
        supports = f"{told.change()} With {told.clusters} there is no test, so this supports nothing yet."
        return Conclusion(supports, told.limits())
    chance = chance_level(curves)
    if value == "accuracy" and chance is not None:
        correct = (curves["predicted"] == curves["label"]).values
        accuracy = bootstrap_interval(correct, cluster, level, resamples, seed)
        if accuracy.low <= chance:
            supports = (
                f"The model is not shown to do better than chance (accuracy {told.interval(*accuracy)}, chance "
                f"{told.number(chance)}, {told.clusters}): there is nothing it could lose, so the test supports no "
                "statement about what it needs."
            )
            return Conclusion(supports, told.limits())
    sentences = (told.change(), told.against_random(), told.against_amplitude(), told.fill())
    return Conclusion(" ".join(filter(None, sentences)), told.limits())


@dataclass(frozen=True)
class _Told:
    """The numbers, and a sentence from each part of them."""

    curves: xr.Dataset
    order: str
    value: str
    direction: str
    step: float
    points: pd.DataFrame
    scores: pd.DataFrame
    alpha: float
    smallest: float
    clusters: str

    def change(self) -> str:
        """What happens at the settled step."""
        start, end = (self.points.loc[(self.order, step)] for step in (self.curves["step"].values[0], self.step))
        most, per = pieces(self.curves), step_unit(self.curves)
        amount = f"{self.step:g} %" if per else f"{self.step:g}"
        amount = f"{amount} of the {most}"
        what = self.what()
        before, after = self.number(start["estimate"]), self.interval(*end[["estimate", "low", "high"]])
        if before == self.number(end["estimate"]):
            moves, to = f"leaves {what} at {after}", "at"
        else:
            rises = end["estimate"] > start["estimate"]
            moves, to = f"{'raises' if rises else 'lowers'} {what} from {before} to {after}", "to"
        how = f"Putting back {amount}" if inserted(self.curves) else f"Removing {amount}"
        random = f", random order {to} {self.at_step('random')}" if "random" in self.scores.index else ""
        return f"{how}, {self.first()}, {moves}{random}."

    def against_random(self) -> str:
        """Whether all steps together say more than random orders do, and what follows."""
        if "random" not in self.scores.index:
            return "No random order stands beside it, without which this supports nothing."
        numbers = f"(area under {self.value}, advantage {self.test('random')}, {self.clusters})"
        found = self.found("random")
        if found:
            word = "better" if found > 0 else "worse"
            return f"Over all steps {self.order} does {word} than random order {numbers}: {self.claim(found > 0)}."
        sentence = (
            f"Over all steps {self.order} is not shown to do better than random order {numbers}, so the test does not "
            f"support that {self.claim(True)}."
        )
        if self.smallest > self.alpha:
            sentence += (
                f" With {self.clusters} no p below {p_words(self.smallest)} is possible: it could not have shown it."
            )
        return sentence

    def against_amplitude(self) -> str:
        """Whether relevance knows more than where the signal is large."""
        if "amplitude" not in self.scores.index or self.order == "amplitude":
            return ""
        numbers = f"({self.at_step('amplitude')} at the same step; advantage {self.test('amplitude')})"
        found = self.found("amplitude")
        if found < 0:
            return (
                f"Order by amplitude does better {numbers}: where the signal is large is the better guide to what the "
                "model uses."
            )
        if not found:
            return (
                f"It is not shown to do better than order by amplitude {numbers}: whether it knows more than where the "
                "signal is large stays open."
            )
        alone = self.found("random") <= 0
        so = ", which alone says little" if alone else ": it knows more than where the signal is large"
        return f"It does better than order by amplitude {numbers}{so}."

    def fill(self) -> str:
        """Whether the fill takes trials away from the data."""
        far = fill_distance(self.curves)
        if far is None:
            return "How far the fill takes trials from the data is not known."
        share = far.share.sel(direction=self.direction)
        own = share.sel(order=self.order).to_series()
        outside = far.outside.sel(direction=self.direction, order=self.order).to_series()
        usual = f"farther from the data than 95 % of the data do (untouched: {percent(far.untouched)})"
        if not outside.any():
            return f"Filled trials stay near the data: at most {percent(own.max())} lie {usual}."
        if not outside[self.step]:
            steps = ", ".join(f"{step:g}" for step in own[outside].index) + step_unit(self.curves)
            return (
                f"With {steps} {done(self.curves)}, up to {percent(own.max())} of the filled trials lie {usual}: what "
                "happens there may be due to the fill."
            )
        sentence = (
            f"At this step {percent(own[self.step])} of the filled trials lie {usual}: what the model says of these "
            "may be "
            "due to the fill."
        )
        here = self.curves.sel(order=self.order, direction=self.direction, step=self.step)
        near = here[VALUES[self.value]].values[here["distance"].values <= far.limit]
        if len(near):
            sentence += f" Among the others {self.what()} is {self.number(near.mean())}."
        if self.found("random") > 0 and (random := float(share.sel(order="random", step=self.step))) >= own[self.step]:
            sentence += f" Random order takes as many there ({percent(random)}), so distance alone does not explain it."
        return sentence

    def limits(self) -> str:
        """What no such test can show."""
        most = pieces(self.curves)
        return (
            f"This does not show that a person would need the same {most}, that they cause anything outside the model, "
            f"nor that what stays unmarked is unimportant: {most} can stand in for one another. It holds for this "
            f"model, these trials and this fill ({self.curves.attrs.get('fill', 'unknown')})."
        )

    def first(self) -> str:
        """In which order, e.g. ``"most relevant first"``."""
        highest = self.direction == "morf"
        if self.order == "relevance":
            return f"{'most' if highest else 'least'} relevant first"
        return f"{'highest' if highest else 'lowest'} by {self.order} first"

    def claim(self, better: bool) -> str:
        """What it means to do better, or worse, than random order."""
        most = pieces(self.curves)
        highest = self.direction == "morf"
        top = f"the {'most' if highest else 'least'} relevant {most}"
        if self.order != "relevance":
            top = f"the {most} that rank {'high' if highest else 'low'} by {self.order}"
        more = "more" if highest == better else "less"
        if inserted(self.curves):
            return f"{top} tell the model {more} than randomly chosen ones"
        return f"the model needs {top} {more} than randomly chosen ones"

    def found(self, other: str) -> int:
        """1 or -1 where the order under test does better or worse than another, 0 where neither is shown."""
        row = self.scores.loc[other] if other in self.scores.index else None
        return 0 if row is None or not row["p_corrected"] <= self.alpha else int(np.sign(row["advantage"]))

    def test(self, other: str) -> str:
        """The advantage over another order, with its interval and p."""
        row = self.scores.loc[other]
        numbers = self.interval(row["advantage"], row["advantage_low"], row["advantage_high"])
        p = p_words(row["p_corrected"])
        return f"{numbers}, p {'' if p.startswith('<') else '= '}{p}"

    def at_step(self, order: str) -> str:
        """The value of another order at the settled step."""
        return self.number(self.points.loc[(order, self.step), "estimate"])

    def what(self) -> str:
        """What changes."""
        return "accuracy" if self.value == "accuracy" else "the output of the predicted class"

    def number(self, value: float) -> str:
        """A number as prose has it: .86, −.03, 1.00; outputs in three digits."""
        text = f"{value:.3g}" if self.value == "output" else f"{value:.2f}".replace("0.", ".", 1)
        return text.replace("-.00", ".00").replace("-", "−")

    def interval(self, estimate: ArrayLike, low: ArrayLike, high: ArrayLike) -> str:
        """A number with its interval, where there is one."""
        mean, start, end = map(float, np.asarray([estimate, low, high]))
        return self.number(mean) + ("" if np.isnan(start) else f" [{self.number(start)}, {self.number(end)}]")


def _settled_step(curves: xr.Dataset, step: float | None, direction: str) -> float:
    steps = curves["step"].values[1:]
    if step is not None:
        if step not in steps:
            found = ", ".join(f"{value:g}" for value in steps)
            raise ValueError(f"There is no step {step:g} in the curves; choose from {found}.")
        return float(step)
    wanted = _SHARE[direction]
    if not step_unit(curves):
        wanted = 1 if direction == "morf" else steps[-1] / 2
    return float(steps[abs(steps - wanted).argmin()])
