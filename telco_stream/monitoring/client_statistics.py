"""What librdkafka's statistics say, as far as it is worth showing."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

#: The statistics' names of a broker's counters, and ours.
_REQUEST_ERRORS = {"txerrs": "transmit", "rxerrs": "receive", "req_timeouts": "timeout"}
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Readings:
    """One client's statistics, condensed."""

    request_errors: Counter[str]
    round_trip_seconds: float
    queued: int


class Statistics:
    """The newest readings of each client; counters of clients that are gone stay counted."""

    def __init__(self) -> None:
        self._by_client: dict[str, Readings] = {}

    def take(self, text: str) -> None:
        """Take in one client's statistics. Called back by the client, so it is total: what can't be read is left."""
        try:
            found = json.loads(text)
            self._by_client[found["name"]] = _readings(found)
        except (ValueError, KeyError, TypeError, AttributeError):
            return

    @property
    def request_errors(self) -> dict[str, int]:
        """Failed requests so far, by kind."""
        clients = list(self._by_client.values())
        return {kind: sum(one.request_errors[kind] for one in clients) for kind in _REQUEST_ERRORS.values()}

    @property
    def newest(self) -> Readings:
        """Of the client that was made last."""
        return list(self._by_client.values())[-1] if self._by_client else Readings(Counter(), 0.0, 0)


def _readings(found: dict[str, Any]) -> Readings:
    brokers = list(found["brokers"].values())
    errors = Counter({ours: sum(one[theirs] for one in brokers) for theirs, ours in _REQUEST_ERRORS.items()})
    slowest = max((one["rtt"]["avg"] for one in brokers), default=0)
    return Readings(errors, slowest / _MICROSECONDS, found["msg_cnt"] or _fetched(found))


def _fetched(found: dict[str, Any]) -> int:
    """The partitions of a group share one queue, and each tells of its length: count it once."""
    lengths = [part["fetchq_cnt"] for topic in found["topics"].values() for part in topic["partitions"].values()]
    return max(lengths, default=0)
