"""How fast something goes, from looks at a count that grows; the clock, in seconds, is the caller's."""

from collections import deque

#: Seconds over which the rate is taken.
_LATELY = 4.0
#: Seconds of one bar, and how many bars are kept.
_BAR = 1.0
_BARS = 40


class Pace:
    """Told of the count at each look."""

    def __init__(self, now: float) -> None:
        self._looks = deque([(now, 0)])
        self._bar = (now, 0)
        #: The rate of each second since the first that counted anything, newest last.
        self.bars: deque[float] = deque(maxlen=_BARS)

    def look(self, now: float, count: int) -> None:
        """So many by now."""
        self._looks.append((now, count))
        while self._looks[1][0] <= now - _LATELY:
            self._looks.popleft()
        since, before = self._bar
        if now - since >= _BAR:
            self._bar = (now, count)
            if count:
                self.bars.append((count - before) / (now - since))

    def rate(self) -> float:
        """So many a second, of late."""
        (since, before), (now, count) = self._looks[0], self._looks[-1]
        return (count - before) / (now - since) if now > since else 0.0
