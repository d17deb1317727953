"""Plots every field shares: they take and return matplotlib axes, labelled from coordinates and units."""

from signalrp.plotting.curves import plot_curves
from signalrp.plotting.localisation import plot_localisation
from signalrp.plotting.methods import plot_methods
from signalrp.plotting.relevance import plot_heatmap, plot_mean, plot_relevance_lines
from signalrp.plotting.style import RELEVANCE_COLOURS, add_colorbar, relevance_norm

__all__ = [
    "RELEVANCE_COLOURS",
    "add_colorbar",
    "plot_curves",
    "plot_heatmap",
    "plot_localisation",
    "plot_mean",
    "plot_methods",
    "plot_relevance_lines",
    "relevance_norm",
]
