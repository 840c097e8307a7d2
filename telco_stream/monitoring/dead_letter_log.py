"""Log lines for dead letters."""

import time
from collections.abc import Callable
from dataclasses import asdict

from telco_stream.runtime.logs import MAX_LINES, MINUTE, list_facts, log
from telco_stream.scoring import Outcome


class DeadLetterLog:
    """Observer that logs dead letters: the first ten of each minute, and the number of the others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minute_started = clock()
        self._logged = 0
        self._suppressed = 0

    def attach(self, partitions: object) -> None:
        """Ignore the partitions."""

    def on_poll(self) -> None:
        """Begin a new minute when the last one is over."""
        if self._clock() - self._minute_started >= MINUTE:
            self.finish()

    def on_committed(self, outcome: Outcome, timings: object) -> None:  # noqa: ARG002 - the protocol's parameters
        """Log the batch's dead letters."""
        rejections = outcome.rejected[: MAX_LINES - self._logged]
        for rejection in rejections:
            facts = asdict(rejection)
            log.warning("dead letter for %s", list_facts(facts), extra={"event": "dead_letter", "facts": facts})
        self._logged += len(rejections)
        self._suppressed += len(outcome.rejected) - len(rejections)

    def finish(self) -> None:
        """Log how many were suppressed, and begin a new minute."""
        if self._suppressed:
            facts = {"count": self._suppressed, "seconds": round(self._clock() - self._minute_started)}
            log.warning("more dead letters: %s", list_facts(facts), extra={"event": "dead_letters", "facts": facts})
        self._minute_started, self._logged, self._suppressed = self._clock(), 0, 0
