"""What tests of figures share."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    """Draw on no screen, and leave no figure open."""
    backend = mpl.get_backend()
    plt.switch_backend("agg")
    yield
    plt.close("all")
    plt.switch_backend(backend)


def texts_in_the_way(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts that overlap, and texts that leave the figure, each with what is in its way."""
    figure.canvas.draw()
    shown = [(text.get_text(), text.get_window_extent().shrunk(0.98, 0.9)) for text in _texts(figure)]
    shown = [(name, box) for name, box in shown if name.strip()]
    pairs = [(a, b) for (a, one), (b, two) in combinations(shown, 2) if one.overlaps(two)]
    left, low, right, high = figure.bbox.extents
    inside = [(name, box.x0 >= left and box.y0 >= low and box.x1 <= right and box.y1 <= high) for name, box in shown]
    return pairs + [(name, "the border") for name, fits in inside if not fits]


def _texts(figure: Figure) -> list[Text]:
    found = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for ax in figure.axes:
        found += [*ax.texts, ax.title, ax.xaxis.label, ax.yaxis.label]
        found += ax.get_legend().get_texts() if ax.get_legend() else []
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            # ticks beyond the limits exist but are not drawn
            found += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [text for text in found if text.get_visible()]
