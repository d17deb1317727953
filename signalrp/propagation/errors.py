"""Errors of the engine."""

from __future__ import annotations


class UnsupportedOperation(RuntimeError):  # noqa: N818 - the name says what it is
    """A differentiable function through which the engine knows no right way for relevance."""

    def __init__(self, function: str, path: str, advice: str = "") -> None:
        place = f"in module {path!r}" if path else "outside any submodule"
        advice = advice or (
            "register how it hands on relevance with signalrp.register_operation, or accept its gradient with "
            'unknown="gradient"'
        )
        super().__init__(f"no family of operations knows {function}, called {place}; {advice}.")
        self.function, self.path = function, path


class Overwritten(RuntimeError):  # noqa: N818 - the name says what it is
    """A value that the pull back needs was overwritten in the forward pass, and nothing had kept a copy."""
