"""What several consumers at work look like together."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from telco_stream.monitoring.snapshot import AT_RISK, ConsumerSnapshot

#: Of what has been looked at.
_NOTHING_NEW: dict[str, Any] = {"sampled": 0, "sampled_yes": 0, "at_risk": ()}


class WorkerAggregator:
    """Looks on at several consumers, each in a slot, that tell of themselves; what they log is said here."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._consumed = self._dead_lettered = 0
        self._newest: dict[int, ConsumerSnapshot] = {}
        self._looking = threading.Lock()

    def advance(self, records: int, dead_letters: int) -> None:
        """One of them has answered so many."""
        self._consumed += records
        self._dead_lettered += dead_letters

    def on_snapshot(self, slot: int, snapshot: ConsumerSnapshot) -> None:
        """What one of them looks like now."""
        with self._looking:
            before = self._newest.get(slot, ConsumerSnapshot())
            self._newest[slot] = replace(
                snapshot,
                sampled=before.sampled + snapshot.sampled,
                sampled_yes=before.sampled_yes + snapshot.sampled_yes,
                at_risk=(snapshot.at_risk + before.at_risk)[:AT_RISK],
            )

    def said(self, line: str) -> None:
        """A line of the log of one of them."""
        self._say(line)

    def gone(self, slot: int) -> None:
        """The one in that slot has ended."""
        with self._looking:
            self._newest.pop(slot, None)

    def snapshot(self) -> ConsumerSnapshot:
        """How all of them look together."""
        with self._looking:
            some = list(self._newest.values())
            self._newest = {slot: replace(one, **_NOTHING_NEW) for slot, one in self._newest.items()}
        return ConsumerSnapshot(
            consumed=self._consumed,
            dead_lettered=self._dead_lettered,
            reading=any(one.reading for one in some),
            joined=any(one.joined for one in some),
            lag={number: lag for one in some for number, lag in one.lag.items()},
            unavailable_for=max((one.unavailable_for for one in some if one.unavailable_for is not None), default=None),
            sampled=sum(one.sampled for one in some),
            sampled_yes=sum(one.sampled_yes for one in some),
            at_risk=tuple(customer for one in some for customer in one.at_risk)[:AT_RISK],
        )
