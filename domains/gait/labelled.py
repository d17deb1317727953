"""The labelled signal of this domain: an array (trial, channel, time) in s or % stance."""

from __future__ import annotations

from functools import partial

from signalrp.signals import labelled_signal

STANCE = "% stance"
SECONDS = "s"

labelled = partial(labelled_signal, name="ground reaction force")
