"""One captured interface in mode ebpf: its sums are made by a program, and a tap reads what names its flows."""

from __future__ import annotations

from collections.abc import Callable

from netally.capture.attribution import Attribution
from netally.capture.ebpf.kernel_programs import InterfacePrograms
from netally.capture.interfaces import Interface
from netally.capture.name_tap import NameTap


class WatchedInterface:
    """OSError as packet(7). Closing it ends the sums; what was summed up stays in the map."""

    def __init__(
        self, interface: Interface, programs: InterfacePrograms, attribution: Attribution, clock: Callable[[], float]
    ) -> None:
        self.interface = interface
        self._watch = programs.watch(interface.name, ethernet=interface.ethernet, loopback=interface.loopback)
        try:
            self._tap = NameTap(interface, attribution, clock, openings=False)
        except OSError:
            self._watch.close()
            raise

    def follow(self, interface: Interface) -> None:
        """The same interface, as it is now."""
        self.interface = self._tap.interface = interface

    def pause(self, *, paused: bool) -> None:
        self._tap.paused = paused

    def is_bound(self) -> bool:
        """Whether packets are still seen: not of an interface that was away, even if it is back with its index."""
        return bool(self._watch.getsockname()[0])

    def close(self) -> None:
        self._tap.close()
        self._watch.close()
