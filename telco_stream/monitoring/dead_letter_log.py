"""Log lines for dead letters."""

import time
from collections.abc import Callable
from dataclasses import asdict

from telco_stream.runtime.logs import list_facts, log
from telco_stream.runtime.throttle import MINUTE, TOLD
from telco_stream.scoring import Outcome


class DeadLetterLog:
    """Looks on in `consume`: tells of dead letters by coordinates, type and code, and of a flood by its size."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._told = 0
        self._untold = 0

    def on_poll(self) -> None:
        """A minute may be over."""
        if self._clock() - self._since >= MINUTE:
            self.finish()

    def on_committed(self, outcome: Outcome, seconds: object) -> None:  # noqa: ARG002 - as `consume` calls it
        """Tell of the batch's dead letters."""
        told = outcome.rejected[: TOLD - self._told]
        for one in told:
            facts = asdict(one)
            log.warning("dead letter for %s", list_facts(facts), extra={"event": "dead_letter", "facts": facts})
        self._told += len(told)
        self._untold += len(outcome.rejected) - len(told)

    def finish(self) -> None:
        """Tell how many were left untold, and begin a new minute."""
        if self._untold:
            facts = {"count": self._untold, "seconds": round(self._clock() - self._since)}
            log.warning("more dead letters: %s", list_facts(facts), extra={"event": "dead_letters", "facts": facts})
        self._since, self._told, self._untold = self._clock(), 0, 0
