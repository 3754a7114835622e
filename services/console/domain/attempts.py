"""Limit of sign-in attempts. Pure.

A name may fail five times, and an address twenty times, before the next attempt waits; a wait is short enough that an
attacker who fails on purpose locks a person out for a minute at most.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

NAME_MAX: Final = 5  # failed attempts in a row
ADDRESS_MAX: Final = 20
FORGET_S: Final = 60.0  # one failure is forgiven after so long
KEPT_MAX: Final = 10_000  # names and addresses; the oldest go first


@dataclass(slots=True)
class _Failures:
    count: float
    at_s: float

    def left(self, now_s: float) -> float:
        return max(0.0, self.count - (now_s - self.at_s) / FORGET_S * NAME_MAX)


class SignInAttempts:
    """Failed attempts by name and by address."""

    def __init__(self) -> None:
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()

    def wait_s(self, name: str, address: str, *, now_s: float) -> float:
        """Return how long the next attempt has to wait, often 0."""
        waits = [0.0]
        for key, most in _keys(name, address):
            if (found := self._failures.get(key)) is not None and (over := found.left(now_s) - most + 1) > 0:
                waits.append(over * FORGET_S / NAME_MAX)
        return max(waits)

    def add_failure(self, name: str, address: str, *, now_s: float) -> None:
        """Count an attempt.

        It is counted before its outcome is known, so that many at once count too.
        """
        for key, _ in _keys(name, address):
            found = self._failures.pop(key, None)
            self._failures[key] = _Failures(1 + (found.left(now_s) if found else 0), now_s)
        while len(self._failures) > KEPT_MAX:
            self._failures.popitem(last=False)

    def forget(self, name: str, address: str, *, now_s: float) -> None:
        """Forgive an attempt that succeeded, and those of the name before."""
        self._failures.pop(("name", name), None)
        key = ("address", address)
        if (found := self._failures.get(key)) is not None:
            self._failures[key] = _Failures(max(0.0, found.left(now_s) - 1), now_s)


def _keys(name: str, address: str) -> tuple[tuple[tuple[str, str], int], ...]:
    return ((("name", name), NAME_MAX), (("address", address), ADDRESS_MAX))
