"""Which module of a model is running."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from torch import nn

OnOutput = Callable[[str, Any], None]


class Visits:
    """The paths of the modules that are running, told by hooks that are removed on every way out."""

    def __init__(self) -> None:
        self._paths: list[str] = []

    @property
    def path(self) -> str:
        """Path of the module that is running, empty outside any."""
        return self._paths[-1] if self._paths else ""

    @contextmanager
    def of(self, model: object, on_output: OnOutput) -> Iterator[None]:
        """Follow a model; `on_output` gets the path of each module and what it returned."""
        modules = dict(model.named_modules()) if isinstance(model, nn.Module) else {}
        handles: list[Any] = []
        # Another thread may run the same model meanwhile.
        thread = threading.get_ident()

        def enter(path: str, module: nn.Module, args: Any) -> None:
            if threading.get_ident() == thread:
                self._paths.append(path)

        def leave(path: str, module: nn.Module, args: Any, out: Any) -> None:
            if threading.get_ident() == thread:
                self._paths.pop()
                on_output(path, out)

        try:
            for path, module in modules.items():
                handles.append(module.register_forward_pre_hook(partial(enter, path)))
                handles.append(module.register_forward_hook(partial(leave, path)))
            yield
        finally:
            for handle in handles:
                handle.remove()


def check_gates(globs: Sequence[str], model: object, composite: str) -> None:
    """Raise ValueError when a glob for gates matches no module."""
    paths = [path for path, _ in model.named_modules()] if isinstance(model, nn.Module) else []
    for glob in globs:
        if not any(fnmatchcase(path, glob) for path in paths):
            raise ValueError(
                f"no module matches the gate {glob!r} of the composite {composite!r}; the model has "
                f"{', '.join(filter(None, paths)) or 'none'}."
            )
