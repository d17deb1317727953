from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, fisher_exact

from signalrp.domains.eeg.reasons import REASONS, Limits, give_reasons, summarise


class TestReasons:
    def table(self) -> pd.DataFrame:
        """20 correct trials with margins 1 to 20, and five errors, one for each reason and one for none."""
        correct = pd.DataFrame({"margin": np.arange(1.0, 21), "p_true": 0.5, "p_rival": 0.01, "coincides": ""})
        correct["distance_true"], correct["distance_rival"] = 1.0, 2.0
        errors = pd.DataFrame(
            {
                "margin": [-10.0, -1.0, -10.0, -10.0, -10.0],
                "p_true": [0.5, 0.5, 0.05, 0.02, 0.5],
                "p_rival": [0.5, 0.5, 0.05, 0.5, 0.2],
                "coincides": ["blink", "", "", "", ""],
                "distance_true": [1.0, 1.0, 3.0, 2.0, 2.0],
                "distance_rival": [2.0, 2.0, 3.0, 1.0, 1.0],
            }
        )
        table = pd.concat([correct.assign(correct=True), errors.assign(correct=False)], ignore_index=True)
        table["true"] = "a"
        table["predicted"] = np.where(table["correct"], "a", "b")
        table.loc[:9, ["true", "predicted"]] = "b"
        return table

    def test_definitions(self):
        found = give_reasons(self.table(), Limits())
        assert found["reason"].tolist()[20:] == ["artefact", "boundary", "unlike", "like", "unexplained"]
        assert found["boundary"].to_numpy().nonzero()[0].tolist() == [0, 1, 21]
        # class b has margins 1 to 10 and class a 11 to 20; the least clear quarter of each is not typical
        assert found["like"].to_numpy()[:20].nonzero()[0].tolist() == [*range(3, 10), *range(13, 20)]

    def test_limits_move_definitions(self):
        found = give_reasons(self.table(), Limits(near=0.5, unlike=0.01, typical=0.6))
        assert found["boundary"].sum() == 15
        assert not found["unlike"].any()
        assert set(Limits(near=0.5).definitions()) == {*REASONS, "unexplained"}
        assert "50%" in Limits(near=0.5).definitions()["boundary"]

    def test_numbers_of_one_person(self):
        summary = summarise(give_reasons(self.table(), Limits()))
        row = summary.loc["boundary"]
        assert (row["errors"], row["correct"], row["share"], row["base"]) == (1, 2, 0.2, 0.1)
        assert row["p"] == pytest.approx(fisher_exact([[1, 4], [2, 18]]).pvalue)
        assert [row["low"], row["high"]] == pytest.approx(list(binomtest(1, 5).proportion_ci(0.95)))
        # Newcombe's example of 56/70 against 48/80: 0.0524 to 0.3339
        table = pd.DataFrame({"correct": [False] * 70 + [True] * 80, "reason": "boundary"})
        table[[*REASONS, "unexplained"]] = False
        table.loc[np.r_[:56, 70:118], "boundary"] = True
        row = summarise(table).loc["boundary"]
        assert [row["difference_low"], row["difference_high"]] == pytest.approx([0.0524, 0.3339], abs=1e-4)
        assert summary.attrs == {"unit": "trial", "people": 1, "errors": 5, "correct": 20}

    def test_holm(self):
        rng = np.random.default_rng(0)
        table = pd.DataFrame({"correct": rng.random(200) < 0.7, "reason": "unexplained"})
        for number, name in enumerate((*REASONS, "unexplained")):
            table[name] = rng.random(200) < np.where(table["correct"], 0.2, 0.2 + 0.1 * number)
        summary = summarise(table)
        p = np.sort(summary["p"])
        expected = np.minimum(np.maximum.accumulate(p * [5, 4, 3, 2, 1]), 1)
        np.testing.assert_allclose(np.sort(summary["p_holm"]), expected)

    def test_people_are_the_units_where_there_are_several(self):
        rng = np.random.default_rng(0)
        table = pd.DataFrame({"subject": np.repeat(list("abcdef"), 50), "correct": rng.random(300) < 0.6})
        table[[*REASONS, "unexplained"]] = False
        table["boundary"] = rng.random(300) < np.where(table["correct"], 0.1, 0.5)
        table["reason"] = np.where(table["boundary"], "boundary", "unexplained")
        summary = summarise(table)
        assert summary.attrs["unit"] == "person"
        rates = table.groupby(["subject", "correct"])["boundary"].mean().unstack()
        row = summary.loc["boundary"]
        assert row["share"] == pytest.approx(rates[False].mean())
        assert row["difference"] == pytest.approx((rates[False] - rates[True]).mean())
        # six people flip signs in 64 ways, the two extremes of which are as far
        assert row["p"] == pytest.approx(2 / 64)
        lone = table.assign(correct=table["correct"] | (table["subject"] != "a"))
        assert summarise(lone)["share"].isna().all()

    def test_no_error_leaves_shares_unknown(self):
        table = give_reasons(self.table(), Limits())
        summary = summarise(table[table["correct"]])
        assert summary["share"].isna().all()
        assert summary.loc["boundary", "base"] == 0.1
