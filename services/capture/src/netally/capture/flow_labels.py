"""A label for each flow, four bytes a flow: labels that flows share (a program, a domain) are kept once."""

from __future__ import annotations

from typing import Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

Slots = NDArray[np.int64]


class FlowLabels(Generic[T]):
    """Labels by slot, None where there is none. Labels must be hashable."""

    def __init__(self, capacity: int) -> None:
        self._codes: NDArray[np.uint32] = np.zeros(capacity, np.uint32)
        self._labels: list[T | None] = [None]
        self._code: dict[T | None, int] = {None: 0}
        self._compact_at = 1024

    @overload
    def __getitem__(self, slots: int) -> T | None: ...
    @overload
    def __getitem__(self, slots: Slots) -> list[T | None]: ...
    def __getitem__(self, slots: int | Slots) -> T | list[T | None] | None:
        if isinstance(slots, int):
            return self._labels[int(self._codes[slots])]
        return [self._labels[code] for code in self._codes[slots].tolist()]

    def __setitem__(self, slots: int | Slots, label: T | None) -> None:
        code = self._code.get(label)
        if code is None:
            if len(self._labels) >= self._compact_at:
                self._compact()
            code = self._code[label] = len(self._labels)
            self._labels.append(label)
        self._codes[slots] = code

    def __len__(self) -> int:
        """Different labels kept."""
        return len(self._labels) - 1

    def grow(self, more: int) -> None:
        """Room for so many more flows."""
        self._codes = np.concatenate((self._codes, np.zeros(more, np.uint32)))

    def _compact(self) -> None:
        """Forget labels that no flow has any more."""
        used, codes = np.unique(np.append(self._codes, np.uint32(0)), return_inverse=True)
        self._codes = codes[:-1].astype(np.uint32)
        self._labels = [self._labels[code] for code in used.tolist()]
        self._code = {label: code for code, label in enumerate(self._labels)}
        self._compact_at = max(1024, 2 * len(self._labels))
