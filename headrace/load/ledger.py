"""What became of the bodies of one target: a byte for each, and none where all from the beginning are acknowledged."""

from typing import Final

UNSENT: Final = 0
PERHAPS: Final = 1
"""Sent, and nobody knows whether it arrived."""
ACKNOWLEDGED: Final = 2

_FOLD = 1024


class Ledger:
    def __init__(self) -> None:
        self._folded = 0  # every step below it is acknowledged
        self._states = bytearray()

    @property
    def steps(self) -> int:
        """One more than the last step that was sent."""
        return self._folded + len(self._states)

    def state(self, step: int) -> int:
        if step < self._folded:
            return ACKNOWLEDGED
        at = step - self._folded
        return self._states[at] if at < len(self._states) else UNSENT

    def states(self, first: int, count: int) -> bytes:
        """Of so many steps from `first` on."""
        folded = min(count, max(0, self._folded - first))
        at = first + folded - self._folded
        states = bytes([ACKNOWLEDGED]) * folded + bytes(self._states[at : at + count - folded])
        return states.ljust(count, bytes([UNSENT]))

    def sent(self, step: int) -> None:
        """From now on it may be there."""
        if self.state(step) == UNSENT:
            self._set(step, PERHAPS)

    def acknowledged(self, step: int) -> None:
        self._set(step, ACKNOWLEDGED)
        if len(self._states) >= 2 * _FOLD and self._states[:_FOLD].count(ACKNOWLEDGED) == _FOLD:
            del self._states[:_FOLD]
            self._folded += _FOLD

    def _set(self, step: int, state: int) -> None:
        at = step - self._folded
        if at < 0:
            return  # acknowledged long ago
        if at >= len(self._states):
            self._states.extend(bytes(at + 1 - len(self._states)))
        self._states[at] = state
