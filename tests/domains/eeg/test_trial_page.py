from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from reference.planted_eeg import blink, epochs, examined, model

from signalrp.domains.eeg.misclassified import Examination, examine
from signalrp.domains.eeg.trial_page import trial_page
from signalrp.domains.eeg.verdicts import verdict


@pytest.fixture(scope="module")
def plain() -> Examination:
    return examined(epochs(), model(0.05))


@pytest.fixture(scope="module")
def blinked() -> tuple[Examination, np.ndarray]:
    signal = epochs()
    trials = np.flatnonzero(signal["label"].values == 0)[::12]
    signal.values[trials] += (1e-6 * blink(150)).astype(np.float32)
    return examined(signal, model(0.25)), trials


class TestPage:
    @pytest.fixture(autouse=True)
    def _close(self):
        yield
        plt.close("all")

    def test_a_page_of_an_error(self, blinked):
        examination, trials = blinked
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure = trial_page(examination, trials[0])
            figure.canvas.draw()
        titles = [ax.get_title() for part in figure.subfigs for ax in all_axes(part)]
        assert any(title.startswith("relevance for predicted: house") for title in titles)
        assert any(title.startswith("relevance for true: face") for title in titles)
        maps = [ax for part in figure.subfigs for ax in all_axes(part) if ax.get_title().startswith("relevance for ")]
        assert maps[0].collections[0].norm.vmax == maps[1].collections[0].norm.vmax
        assert "for house" in titles

    def test_without_positions_there_are_no_scalp_maps(self, plain):
        signal = epochs().drop_vars(["x", "y", "z"]).assign_coords(channel=[f"E{number}" for number in range(31)])
        found = examined(signal, model(0.05))
        figure = trial_page(found, found.errors.index[0])
        figure.canvas.draw()
        titles = [ax.get_title() for part in figure.subfigs for ax in all_axes(part)]
        assert "signal" not in titles
        figure = trial_page(examine(plain.explained), plain.trials.index[plain.trials["correct"]][0])
        figure.canvas.draw()
        assert any("runner-up" in ax.get_title() for part in figure.subfigs for ax in all_axes(part))

    def test_eyes_without_a_position_leave_the_scalp_maps(self, plain):
        kind = np.where(plain.explained["channel"].values == "Oz", "eog", "eeg")
        place = plain.explained["x"].where(kind == "eeg")
        found = examine(plain.explained.assign_coords(kind=("channel", kind), x=place))
        figure = trial_page(found, found.errors.index[0])
        figure.canvas.draw()
        assert "for house" in [ax.get_title() for part in figure.subfigs for ax in all_axes(part)]

    def test_verdict(self, blinked, plain):
        examination, trials = blinked
        words = verdict(examination, trials[0])
        assert f"Trial {trials[0]}, face, was taken for house" in words
        assert "coincides with an artefact: blink" in words
        assert "µV, limit" in words
        assert "at a place that misled: blink" in words
        right = plain.trials.index[plain.trials["correct"] & (plain.trials["artefacts"] == "")][0]
        assert "was recognised" in verdict(plain, right)
        assert "No artefact" in verdict(plain, right)

    def test_unknown_trial(self, plain):
        with pytest.raises(KeyError, match="no trial 999"):
            trial_page(plain, 999)


def all_axes(part):
    return [*part.get_axes()] if not part.subfigs else [ax for one in part.subfigs for ax in all_axes(one)]
