"""What the pull back will need of tensors that the model may overwrite before."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


class Kept:
    """Tensors kept without a copy, by the storage they share with the model's; a copy is made when it comes to it."""

    def __init__(self) -> None:
        self._by_storage: dict[int, list[tuple[Callable[[Tensor], None], Tensor, bool]]] = {}

    def keep(self, put: Callable[[Tensor], None], tensor: Tensor, is_sum: bool = False) -> Tensor:
        """Return `tensor` without graph; `put` receives a copy before it is overwritten."""
        alias = tensor.detach()
        self._by_storage.setdefault(alias.untyped_storage().data_ptr(), []).append((put, alias, is_sum))
        return alias

    def release(self, tensor: Tensor, spare_sums: bool = False) -> None:
        """Copy what is kept of a storage that is about to be overwritten, outputs of weighted sums on demand."""
        for put, alias, is_sum in self._by_storage.pop(tensor.untyped_storage().data_ptr(), ()):
            if not (spare_sums and is_sum):
                put(alias.clone())

    def drop(self, alias: Tensor) -> None:
        """Let go of one tensor that was kept."""
        key = alias.untyped_storage().data_ptr()
        left = [entry for entry in self._by_storage.pop(key, ()) if entry[1] is not alias]
        if left:
            self._by_storage[key] = left

    def clear(self) -> None:
        """Let go of everything."""
        self._by_storage.clear()
