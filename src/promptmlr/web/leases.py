"""Which cells are handed out, to whom and until when: two people are never asked the same."""

import time
from collections.abc import Callable, Iterable

__all__ = ["SECONDS", "Leases"]

SECONDS = 300.0  # a page that is open says more often that it is there

Place = tuple[int, int]  # row and column of a cell


class Leases:
    """Cells that are handed out.

    Args:
        seconds: for which whoever holds a cell may be silent.
        clock: gives seconds.
    """

    def __init__(self, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._held: dict[Place, tuple[str, float]] = {}  # whose it is, and until when

    def take(self, holder: str, places: Iterable[Place]) -> bool:
        """Hand cells out, or hold them for longer: all of them, or none where somebody else has one."""
        places, held = list(places), self.held()
        if any(held.get(place, holder) != holder for place in places):
            return False
        until = self._clock() + self._seconds
        self._held |= dict.fromkeys(places, (holder, until))
        return True

    def give_back(self, holder: str, places: Iterable[Place]) -> None:
        """Hold those of these cells no longer that are this holder's."""
        for place in places:
            if self._held.get(place, ("", 0))[0] == holder:
                del self._held[place]

    def held(self) -> dict[Place, str]:
        """The cells that somebody has now, and who."""
        now = self._clock()
        self._held = {place: lease for place, lease in self._held.items() if lease[1] > now}
        return {place: holder for place, (holder, _) in self._held.items()}
