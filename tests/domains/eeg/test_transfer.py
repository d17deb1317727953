from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from reference.planted_eeg import epochs, model

from signalrp.domains.eeg.misclassified import explain_classes
from signalrp.domains.eeg.transfer import transfer


class TestTransfer:
    def person(self, seed: int, templates: np.ndarray, trials: int = 60, spread: float = 1.0) -> xr.Dataset:
        """Maps that are a template for each class and noise, and outputs that are right for nine of ten trials."""
        rng = np.random.default_rng(seed)
        label = np.arange(trials) % 2
        maps = rng.standard_normal((trials, 2, 4, 20)) * spread
        maps[np.arange(trials), label] += templates[label]
        output = np.where((np.arange(trials) % 10 == 0)[:, None], 1.0, -1.0) * (2 * label - 1)[:, None] * [1, -1]
        coords = {"channel": list("abcd"), "time": np.arange(20) / 100, "class": ["face", "house"]}
        return xr.Dataset(
            {
                "class_relevance": (("trial", "class", "channel", "time"), maps),
                "output": (("trial", "class"), output),
                "label": ("trial", label),
            },
            coords,
        )

    def templates(self) -> np.ndarray:
        """Two maps of length 1 without anything in common."""
        first, second = np.linalg.qr(np.random.default_rng(9).standard_normal((80, 2)))[0].T
        return 3 * np.stack([first, second]).reshape(2, 4, 20)

    def test_the_same_maps_in_noise(self):
        templates = self.templates()
        accuracy, similarity = transfer(self.person(0, templates), self.person(1, templates), resamples=500)
        assert accuracy["accuracy"].tolist() == [0.9, 0.9]
        assert accuracy["chance"].tolist() == [0.5, 0.5]
        assert (similarity["low"] < 1.02).all()
        np.testing.assert_allclose(similarity["similarity"], 1, atol=0.12)
        np.testing.assert_allclose(similarity["other_classes"], 0, atol=0.2)
        # noise lowers what is not freed of it
        assert (similarity["plain"] < similarity["similarity"]).all()
        assert (similarity["plain"] < 0.9).all()

    def test_other_maps_and_opposite_ones(self):
        templates = self.templates()
        _, found = transfer(self.person(0, templates), self.person(1, templates[::-1]), resamples=300)
        np.testing.assert_allclose(found["similarity"], 0, atol=0.2)
        np.testing.assert_allclose(found["other_classes"], 1, atol=0.12)
        _, found = transfer(self.person(0, templates), self.person(1, -5 * templates), resamples=300)
        np.testing.assert_allclose(found["similarity"], -1, atol=0.12)

    def test_another_class_without_a_map_does_not_hide_the_rest(self):
        """Of three classes one has no map in the other person; the mean over the others is that of the known ones."""

        def three(seed: int, kept: int) -> xr.Dataset:
            rng = np.random.default_rng(seed)
            label = np.arange(60) % 3
            maps = np.zeros((60, 3, 4, 20))
            maps[np.arange(60), label] = 0.01 * rng.standard_normal((60, 4, 20))
            for number in range(kept):
                maps[label == number, number] += self.templates()[number % 2] / 3
            # pairs of trials that cancel each other: the mean map is shorter than noise
            maps[label == 2, 2] = (
                np.tile([1, -1], 10)[:, None, None] * self.templates()[0] if kept < 3 else maps[label == 2, 2]
            )
            variables = {
                "class_relevance": (("trial", "class", "channel", "time"), maps),
                "output": (("trial", "class"), np.eye(3)[label]),
                "label": ("trial", label),
            }
            return xr.Dataset(variables, {"channel": list("abcd"), "time": np.arange(20) / 100, "class": list("xyz")})

        _, found = transfer(three(0, 3), three(1, 2), resamples=20)
        assert np.isnan(found.loc["z", "similarity"])
        assert found.loc["x", "other_classes"] == pytest.approx(0, abs=0.1)
        assert found.loc["x", "similarity"] == pytest.approx(1, abs=0.1)

    def test_equals_sums_over_pairs(self):
        own, other = self.person(0, self.templates(), 12), self.person(1, self.templates(), 14)
        _, found = transfer(own, other, resamples=10)
        maps = []
        for part in (own, other):
            chosen = np.flatnonzero(part["label"].values == 1)
            maps.append(part["class_relevance"].values[chosen, 1].reshape(len(chosen), -1))
        across = np.mean([one @ two for one in maps[0] for two in maps[1]])
        squares = [np.mean([x @ y for i, x in enumerate(each) for j, y in enumerate(each) if i != j]) for each in maps]
        assert found.loc["house", "similarity"] == pytest.approx(across / np.sqrt(np.prod(squares)))
        means = [each.mean(0) for each in maps]
        plain = means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1])
        assert found.loc["house", "plain"] == pytest.approx(plain)

    def test_intervals_cover_what_is_true(self):
        """In 40 repetitions of a known similarity of 0.6, about one in twenty intervals misses it."""
        first, second = np.linalg.qr(np.random.default_rng(9).standard_normal((80, 2)))[0].T
        own = 3 * np.stack([first, second]).reshape(2, 4, 20)
        other = 3 * np.stack([0.6 * first + 0.8 * second] * 2).reshape(2, 4, 20)
        missed = []
        for seed in range(40):
            people = self.person(2 * seed, own, spread=0.5), self.person(2 * seed + 1, other, spread=0.5)
            row = transfer(*people, resamples=300)[1].loc["face"]
            missed.append(not row["low"] <= 0.6 <= row["high"])
        assert np.mean(missed) < 0.15

    def test_from_a_model(self):
        net = model()
        parts = [explain_classes(net, epochs(40, seed, cause=12.0), "epsilon") for seed in (0, 1)]
        accuracy, similarity = transfer(*parts, resamples=200)
        assert accuracy.loc["other", "accuracy"] > 0.8
        np.testing.assert_allclose(similarity["similarity"], 1, atol=0.25)

    def test_refusals(self):
        own = self.person(0, self.templates())
        with pytest.raises(ValueError, match="The classes are"):
            transfer(own, own.assign_coords({"class": ["a", "b"]}))
        with pytest.raises(ValueError, match="explain_classes"):
            transfer(own, own.drop_vars("class_relevance"))
        with pytest.raises(ValueError, match="channel"):
            transfer(own, own.isel(channel=[1, 0, 2, 3]))
        with pytest.raises(ValueError, match="The class face has 3 trials"):
            transfer(own, own.isel(trial=slice(0, 7, 1)).isel(trial=[0, 2, 4, 1, 3, 5]))
