"""The account of a pull back: what every step received, passed on and absorbed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

ABSORBED = ("bias", "stabiliser", "constant", "cut", "source", "withheld")
"""Where relevance can end: biases; the stabiliser of a rule; constants of the model (a shift of a norm, a
number added, the value of an activation at 0, a statistic); paths that the model cuts (detach, no_grad,
rounding); sources (embeddings of integers); withheld by a rule that keeps what it gets (``Zero``), or
that finds no contribution of the kind it shares among (``ZPlus`` at a sum of negative terms alone)."""


class Ledger:
    """Entries by step and sample; each is computed at the place where the relevance ends."""

    def __init__(self) -> None:
        self.sample = 0
        self._entries: dict[tuple[int, int], dict[str, Any]] = {}

    def book(
        self,
        step: int,
        function: str,
        module: str,
        received: float,
        passed: float,
        rule: str = "",
        absorbed: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Add to the entry of one step and the current sample."""
        key = (step, self.sample)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = {
                "step": step,
                "sample": self.sample,
                "module": module,
                "function": function,
                "rule": rule,
                "received": 0.0,
                "passed": 0.0,
                **dict.fromkeys(ABSORBED, 0.0),
            }
        entry["received"] += received
        entry["passed"] += passed
        for name, value in absorbed.items():
            entry[name] += value

    def frame(self) -> pd.DataFrame:
        """Return the entries as a table, from the output down to the input, with the sum of what was absorbed."""
        columns = ["step", "sample", "module", "function", "rule", "received", "passed", *ABSORBED]
        frame = pd.DataFrame(list(self._entries.values()), columns=columns)
        frame["absorbed"] = frame[list(ABSORBED)].sum(axis=1)
        return frame.sort_values(["sample", "step"], ascending=[True, False], ignore_index=True)
