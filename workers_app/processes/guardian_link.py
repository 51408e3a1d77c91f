"""What a worker says to its guardian: both ends of the pipe between them, and the exit statuses that mean something."""

from __future__ import annotations

import contextlib
import os
import struct
from typing import Final

#: Exit status of a worker whose lease ended: start a new incarnation at once (EX_TEMPFAIL of sysexits.h).
FENCED: Final = 75
#: Exit status of a worker that has drained, but some of whose work did not stop: nobody may take that work on before it
#: is dead, so it is the guardian who marks this death (EX_SOFTWARE).
UNFINISHED: Final = 70
_MESSAGE: Final = struct.Struct("<d")
_CONFIRMED: Final = -1.0


class GuardianLink:
    """The worker's end of the pipe. Writes are atomic (8 bytes), and a full pipe or a dead guardian is no error."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor
        self._confirmed = False

    def beat(self, sent: float) -> None:
        self._write(sent)

    def confirm_fenced(self) -> None:
        """Say once that the lease has ended and that no work is alive."""
        if not self._confirmed:
            self._confirmed = True
            self._write(_CONFIRMED)

    def _write(self, value: float) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.write(self._descriptor, _MESSAGE.pack(value))


class WorkerLink:
    """The guardian's end: when the last accepted beat was sent, and whether the end of the lease is confirmed."""

    def __init__(self, descriptor: int) -> None:
        #: What to wait on; empty once the worker has closed its end.
        self.open: tuple[int, ...] = (descriptor,)
        self.last_beat: float | None = None
        self.confirmed = False

    def read(self) -> None:
        """Take in what the worker has said since."""
        data = os.read(self.open[0], 64 * _MESSAGE.size)
        if not data:  # it is exiting
            self.open = ()
            return
        messages = [value for (value,) in _MESSAGE.iter_unpack(data)]
        self.confirmed |= _CONFIRMED in messages
        self.last_beat = max([self.last_beat or 0.0, *(message for message in messages if message >= 0)])
