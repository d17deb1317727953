"""The validation section: words, figure, table and checks, all of them there, in order, and escaped."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from reference.figures import closed_figures
from reference.pretend_curves import USUAL, pretend

from signalrp.report import Report
from signalrp.validation.conclusion import conclude
from signalrp.validation.curve_scores import curve_scores
from signalrp.validation.verdicts import Check
from signalrp.validation_report import write_validation

__all__ = ["closed_figures"]

HOSTILE = "<script>alert(1)</script>"
PASSED = Check("cascading randomisation", True, "The maps depend on the weights.", pd.DataFrame())
FAILED = Check("class contrast", False, f"The maps do not tell classes apart {HOSTILE}.", pd.DataFrame())
BOTH = {"relevance": (9, 9, 8), "amplitude": (9, 7, 5), "random": (9, 8, 6)}


class Parts(HTMLParser):
    """What stands on the page, tag by tag."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.parts: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.parts.append(("img", dict(attrs)["alt"]))

    def handle_endtag(self, tag):
        self.tags.append(f"/{tag}")

    def handle_data(self, data):
        if data.strip():
            self.parts.append((self.tags[-1], data))

    def of(self, tag: str) -> list[str]:
        return [text for where, text in self.parts if where == tag]


@pytest.fixture
def page(tmp_path):
    def write(*args, **options):
        report = Report("Report")
        table = write_validation(report, *args, resamples=200, **options)
        return Parts(report.save(tmp_path / "report.html")), table

    return write


def test_the_section_holds_words_figure_numbers_and_checks_in_this_order(page) -> None:
    curves = pretend(USUAL, BOTH)
    parts, _ = page(curves, checks=[PASSED])
    conclusion = conclude(curves, resamples=200)
    assert parts.of("h2") == ["Does the model need what the relevance marks?"]
    assert parts.of("p")[:2] == [conclusion.supports, conclusion.limits]
    assert parts.of("img") == ["Accuracy as samples are removed; bands are 95 % intervals (bootstrap)."]
    order = [name for name, _ in parts.parts if name in ("h2", "p", "img", "td")]
    assert list(dict.fromkeys(order)) == ["h2", "p", "img", "td"]
    assert parts.of("p")[-1] == "cascading randomisation: pass. The maps depend on the weights."
    assert not plt.get_fignums()


def test_the_table_holds_the_scores_with_their_intervals(page) -> None:
    curves = pretend(USUAL, BOTH)
    parts, _ = page(curves)
    heads = parts.of("th")
    assert heads == ["order", "AOPC", "ABPC", "area under accuracy", "area under output", "advantage", "p"]
    cells = np.array(parts.of("td")).reshape(-1, len(heads))
    assert cells[:, 0].tolist() == list(USUAL)
    scores = curve_scores(curves, resamples=200).set_index(["measure", "order"])
    for row, order in zip(cells, USUAL, strict=True):
        for head, cell in zip(heads[1:5], row[1:5], strict=True):
            entry = scores.loc[(head, order)]
            assert cell == f"{entry.estimate:.3g} [{entry.low:.3g}, {entry.high:.3g}]"
        entry = scores.loc[("area under accuracy", order)]
        gain = f"{entry.advantage:.3g} [{entry.advantage_low:.3g}, {entry.advantage_high:.3g}]"
        assert row[5:].tolist() == (["–", "–"] if order == "relevance" else [gain, ".002"])
    assert any("p by flipping the signs of whole subjects" in text for text in parts.of("p"))


def test_the_caption_says_what_hollow_marks_are(page) -> None:
    parts, _ = page({"near": pretend(), "far": pretend(outside=dict.fromkeys(USUAL, (0, 0.6, 1)))})
    assert "Marks are hollow where most filled trials lie farther from the data than 95 %" in parts.of("img")[0]


def test_several_sets_of_curves_share_what_they_have_in_common(page) -> None:
    named = {"linear": pretend(), HOSTILE: pretend(USUAL | {"relevance": (9, 8, 6)})}
    parts, table = page(named, checks={HOSTILE: [FAILED]}, heading="Removal")
    texts = parts.of("p")
    assert parts.of("h2") == ["Removal"]
    assert texts[0].startswith("linear: Removing 5 %")
    assert texts[1].startswith(f"{HOSTILE}: Removing 5 %")
    assert sum("does not show that a person" in text for text in texts) == 1
    assert texts[-1] == f"{HOSTILE}, class contrast: fail. {FAILED.statement}"
    assert table["curves"].unique().tolist() == ["linear", HOSTILE]
    pd.testing.assert_frame_equal(
        table[table["curves"] == "linear"].drop(columns="curves"), curve_scores(named["linear"], resamples=200)
    )
    assert "script" not in parts.tags
    # another fill has other limits, which then stand with each
    parts, _ = page({"mean": pretend(), "noise": pretend(fill="noise")}, heading=None)
    assert sum("does not show that a person" in text for text in parts.of("p")) == 2
    assert not parts.of("h2")


def test_outputs_and_insertion_are_told_as_such(page) -> None:
    curves = pretend(perturbation="insertion")
    curves["predicted"] = curves["label"]
    parts, _ = page(curves, value="output")
    assert parts.of("img") == [
        "Output of the predicted class as samples are inserted; bands are 95 % intervals (bootstrap)."
    ]
    assert parts.of("th") == ["order", "area under accuracy", "area under output", "advantage", "p"]
    assert not any("AOPC" in text for text in parts.of("p"))


def test_the_figure_can_go_elsewhere(page) -> None:
    kept = []
    parts, _ = page(pretend(), figure=lambda figure, caption: kept.append((figure, caption)))
    ((figure, caption),) = kept
    assert caption.startswith("Accuracy as samples")
    assert figure.axes[0].get_xlabel().startswith("samples removed")
    assert not parts.of("img")


def test_one_subject_has_a_section_without_tests(page) -> None:
    parts, _ = page(pretend(subjects=1))
    assert any("no test, so this supports nothing yet" in text for text in parts.of("p"))
    cells = parts.of("td")
    assert "[" not in "".join(cells)
    assert "nan" not in "".join(cells).lower()


def test_checks_of_unknown_curves_are_refused(page) -> None:
    with pytest.raises(ValueError, match="checks of 'cnn', but no such curves; found linear"):
        page({"linear": pretend()}, checks={"cnn": [PASSED]})
    with pytest.raises(ValueError, match="no order 'gradient'"):
        page(pretend(), order="gradient")
